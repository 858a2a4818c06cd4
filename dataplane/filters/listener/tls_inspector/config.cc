// See config.h.
#include "dataplane/filters/listener/tls_inspector/config.h"

#include <absl/strings/str_cat.h>

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"

namespace fairlead::filters::listener::tls_inspector {
namespace {

using stats::Kind;
constexpr stats::StatDef kDefs[] = {{"client_hello_too_large", Kind::counter}, {"tls_found", Kind::counter}, {"tls_not_found", Kind::counter}, {"alpn_found", Kind::counter},
                                    {"alpn_not_found", Kind::counter},         {"sni_found", Kind::counter}, {"sni_not_found", Kind::counter}, {"bytes_processed", Kind::histogram}};

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector>(any, field));
  auto out = std::make_shared<Config>();
  out->wanted.ja3 = proto.enable_ja3_fingerprinting().value();
  out->wanted.ja4 = proto.enable_ja4_fingerprinting().value();
  if (proto.has_max_client_hello_size()) out->wanted.limit = proto.max_client_hello_size().value();
  if (out->wanted.limit > kMaxClientHello) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".max_client_hello_size: max_client_hello_size of ", out->wanted.limit, " is greater than maximum of ", kMaxClientHello, "."));  // Envoy's text
  }
  out->close_on_errors = proto.close_connection_on_client_hello_parsing_errors();
  return out;
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};

void register_config(config::Registry& registry) { registry.add(config::ListenerFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.listener.tls_inspector", .parse = parse}); }

}  // namespace fairlead::filters::listener::tls_inspector
