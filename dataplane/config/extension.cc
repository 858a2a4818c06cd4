// See extension.h.
#include "dataplane/config/extension.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/descriptors.h"
#include "base/status.h"
#include "dataplane/config/fields.h"
#include "dataplane/config/support.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/config/core/v3/extension.pb.h"

namespace fairlead::config {

absl::Status check_terminal(const std::string& name, const HttpFilterType& type, bool last) {
  if (last == type.terminal) return absl::OkStatus();
  return absl::InvalidArgumentError(last ? absl::StrCat("Error: non-terminal filter named ", name, " of type ", type.canonical, " is the last filter in a http filter chain.")
                                         : absl::StrCat("Error: terminal filter named ", name, " of type ", type.canonical, " must be the last filter in a http filter chain."));
}

absl::Status FilterDiscovery::admits(const HttpFilterType& type) const {
  const std::string message(type_name(type.type_url));
  if (!std::binary_search(types.begin(), types.end(), message))
    return absl::InvalidArgumentError(absl::StrCat("Error: filter config has type URL ", message, " but expect ", absl::StrJoin(types, ", "), "."));
  return check_terminal(name, type, last);
}

absl::StatusOr<std::shared_ptr<const FilterDiscovery>> parse_filter_discovery(const envoy::config::core::v3::ExtensionConfigSource& proto, const std::string& name, bool last,
                                                                              const std::string& field, const Registry& registry) {
  const std::string place = field + ".config_discovery";
  auto out = std::make_shared<FilterDiscovery>();
  ErrorList errors;
  out->name = name;
  out->key = absl::StrCat(name, "\n", hash_of(proto.config_source()));
  out->last = last;
  out->without_warming = proto.apply_default_config_without_warming();
  if (out->without_warming && !proto.has_default_config())
    errors.add(place + ".apply_default_config_without_warming", absl::StrCat("Error: filter config ", name, " applied without warming but has no default config."));
  auto source = parse_config_source(proto.config_source(), place + ".config_source");
  if (errors.check(source)) out->source = *std::move(source);
  if (out->source.kind == ConfigSource::Kind::Self)  // Envoy 1.40: `self` is no source for filters, wherever the listener came from
    errors.add(place + ".config_source", "Missing config source specifier in envoy::config::core::v3::ConfigSource");
  for (int i = 0; i < proto.type_urls_size(); ++i) {
    const std::string type(type_name(proto.type_urls(i)));
    if (registry.http_filter(type) == nullptr) errors.add(absl::StrCat(place, ".type_urls[", i, "]"), absl::StrCat("Error: no factory found for a required type URL ", type, "."));
    out->types.push_back(type);
  }
  std::sort(out->types.begin(), out->types.end());
  out->types.erase(std::unique(out->types.begin(), out->types.end()), out->types.end());
  if (proto.has_default_config()) {
    const std::string inside = place + ".default_config";
    const auto& any = proto.default_config();
    if ((out->default_type = registry.http_filter(any.type_url())) == nullptr) {
      errors.add(inside, absl::StrCat("Error: cannot find filter factory ", name, " for default filter configuration with type URL ", any.type_url(), "."));
    } else {
      errors.add(prefix(inside, out->admits(*out->default_type)));
      auto config = out->default_type->parse(any);
      if (config.ok()) {
        out->default_config = *std::move(config);
      } else {
        errors.add(prefix(inside, config.status()));
      }
    }
  }
  if (!errors.empty()) return errors.status();
  return std::shared_ptr<const FilterDiscovery>(std::move(out));
}

absl::StatusOr<std::shared_ptr<const ExtensionConfig>> parse_extension(const envoy::config::core::v3::TypedExtensionConfig& proto, const Registry& registry) {
  FL_RETURN_IF_ERROR(admit(proto));
  auto out = std::make_shared<ExtensionConfig>();
  out->name = proto.name();
  out->content_hash = hash_of(proto.typed_config());
  out->type = registry.http_filter(proto.typed_config().type_url());
  if (out->type == nullptr) return unknown_extension("typed_config", proto.name(), proto.typed_config().type_url());
  auto config = out->type->parse(proto.typed_config());
  if (!config.ok()) return prefix("typed_config", config.status());
  out->config = *std::move(config);
  return std::shared_ptr<const ExtensionConfig>(std::move(out));
}

}  // namespace fairlead::config
