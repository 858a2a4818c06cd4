// See config.h.
#include "dataplane/filters/http/compressor/config.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/http/compressor/v3/compressor.pb.h"

namespace fairlead::filters::compressor {
namespace {

namespace v3 = envoy::extensions::filters::http::compressor::v3;

// Envoy 1.40
constexpr std::string_view kDefaultTypes[] = {
    "text/html", "text/plain", "text/css", "application/javascript", "application/x-javascript", "text/javascript", "text/x-javascript", "text/ecmascript", "text/js", "text/jscript",
    "text/x-js", "application/ecmascript", "application/x-json", "application/xml", "application/json", "image/svg+xml", "text/xml", "application/xhtml+xml"};

template <class Strings>
void add_types(const Strings& names, Direction& out) {
  for (const auto& name : names) out.content_types.push_back(matching::StringMatcher::exact(name));
}

absl::Status read_direction(const v3::Compressor::CommonDirectionConfig& proto, Direction& out) {
  if (proto.has_enabled()) out.enabled = {proto.enabled().default_value().value(), proto.enabled().runtime_key()};
  if (proto.has_min_content_length()) out.min_content_length = proto.min_content_length().value();
  for (int i = 0; i < proto.content_type_matcher_size(); ++i) {
    auto matcher = matching::StringMatcher::compile(proto.content_type_matcher(i));
    if (!matcher.ok()) return prefix(absl::StrCat("content_type_matcher[", i, "]"), matcher.status());
    out.content_types.push_back(std::move(*matcher));
  }
  add_types(proto.content_type(), out);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::Compressor>(any, "typed_config"));
  auto config = std::make_shared<Config>();
  auto library = compression::parse_compressor(proto.compressor_library());
  if (!library.ok()) return prefix("compressor_library", library.status());
  config->library = std::move(*library);
  config->choose_first = proto.choose_first();
  if (proto.has_request_direction_config()) {
    config->request.configured = true;
    FL_RETURN_IF_ERROR(prefix("request_direction_config.common_config", read_direction(proto.request_direction_config().common_config(), config->request)));
  }
  if (proto.has_response_direction_config()) {
    const auto& response = proto.response_direction_config();
    config->response.configured = true;
    FL_RETURN_IF_ERROR(prefix("response_direction_config.common_config", read_direction(response.common_config(), config->response)));
    config->disable_on_etag_header = response.disable_on_etag_header();
    config->weaken_etag = response.weaken_etag_on_compress();
    config->remove_accept_encoding = response.remove_accept_encoding_header();
    config->status_header = response.status_header_enabled();
    config->uncompressible_codes.assign(response.uncompressible_response_codes().begin(), response.uncompressible_response_codes().end());
  } else {  // the older fields count only without the newer message
    if (proto.has_content_length()) config->response.min_content_length = proto.content_length().value();
    add_types(proto.content_type(), config->response);
    config->disable_on_etag_header = proto.disable_on_etag_header();
    config->remove_accept_encoding = proto.remove_accept_encoding_header();
    if (proto.has_runtime_enabled()) config->response.enabled = {proto.runtime_enabled().default_value().value(), proto.runtime_enabled().runtime_key()};
  }
  for (Direction* direction : {&config->request, &config->response}) {
    if (direction->content_types.empty()) add_types(kDefaultTypes, *direction);
  }
  return config;
}

}  // namespace

Choice choose(std::string_view accept_encoding, Offer* offers, size_t count, std::string_view preferred) {
  const auto offered = [&](std::string_view name) { return std::any_of(offers, offers + count, [&](const Offer& o) { return !o.excluded && o.encoding == name; }); };
  struct Wish {
    std::string_view name;
    double q = 1;
  };
  const auto next_wish = [](std::string_view& rest, Wish& wish) {
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      std::string_view token = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      const size_t semicolon = token.find(';');
      wish = {absl::StripAsciiWhitespace(token.substr(0, semicolon)), 1};
      if (semicolon != std::string_view::npos) {
        const std::string_view parameter = token.substr(semicolon + 1);
        const size_t equals = parameter.find('=');
        if (equals != std::string_view::npos && absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(parameter.substr(0, equals)), "q") &&
            !absl::SimpleAtod(absl::StripAsciiWhitespace(parameter.substr(equals + 1)), &wish.q)) {
          continue;  // Envoy 1.40: what has an unreadable q is not there
        }
      }
      if (!wish.name.empty()) return true;
    }
    return false;
  };
  Wish wish;
  for (std::string_view rest = accept_encoding; next_wish(rest, wish);) {
    if (wish.q != 0) continue;
    for (size_t i = 0; i < count; ++i) offers[i].excluded = offers[i].excluded || offers[i].encoding == wish.name;
  }
  if (std::all_of(offers, offers + count, [](const Offer& o) { return o.excluded; })) return {};
  Wish best{"", 0};
  for (std::string_view rest = accept_encoding; next_wish(rest, wish);) {
    if (wish.name != "identity" && wish.name != "*" && !offered(wish.name)) continue;
    if (wish.q > best.q || (wish.q == best.q && wish.q > 0 && !preferred.empty() && wish.name == preferred)) best = wish;
  }
  if (best.q <= 0) return {};
  if (best.name == "identity") return {Choice::Kind::Identity, {}};
  if (best.name == "*") {
    const Offer* first = std::find_if(offers, offers + count, [](const Offer& o) { return !o.excluded; });
    return {Choice::Kind::Wildcard, first->encoding};
  }
  return {Choice::Kind::Encoding, best.name};
}

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor",
                .canonical = "envoy.filters.http.compressor",
                .parse = parse,
                .per_route_type_url = "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.CompressorPerRoute",
                .parse_per_route = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const fairlead::router::PerFilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::CompressorPerRoute>(any, "typed_per_filter_config"));
                  auto config = std::make_shared<RouteConfig>();
                  config->disabled = proto.disabled();
                  const auto& response = proto.overrides().response_direction_config();
                  if (response.has_remove_accept_encoding_header()) config->remove_accept_encoding = response.remove_accept_encoding_header().value();
                  return config;
                }});
}

}  // namespace fairlead::filters::compressor
