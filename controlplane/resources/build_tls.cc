// TLS: filter chains by server name, contexts that name their secrets, and the secrets themselves. Private keys stand in Secret resources and
// nowhere else; whoever prints one redacts it (base/redact.h).
#include <algorithm>

#include "controlplane/resources/messages.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace fairlead::resources {
namespace {

namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;

// What Debian, Ubuntu and Envoy's own images have, and whatever installs ca-certificates as they do.
constexpr const char* kSystemTrust = "/etc/ssl/certs/ca-certificates.crt";

void name_secret(tls_v3::SdsSecretConfig& to, const std::string& name) {
  to.set_name(name);
  over_ads(*to.mutable_sds_config());
}

tls_v3::TlsParameters::TlsProtocol version(const std::string& text) {
  if (text == "1.2") return tls_v3::TlsParameters::TLSv1_2;
  if (text == "1.3") return tls_v3::TlsParameters::TLSv1_3;
  return tls_v3::TlsParameters::TLS_AUTO;
}

// Text where it is some: protobuf's strings are UTF-8, and people read it.
void set_data(envoy::config::core::v3::DataSource& to, const std::string& data) {
  const bool ascii = std::all_of(data.begin(), data.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (ascii) {
    to.set_inline_string(data);
  } else {
    to.set_inline_bytes(data);
  }
}

void end_tls(const plan::FilterChain& chain, envoy::config::listener::v3::FilterChain& to) {
  tls_v3::DownstreamTlsContext context;
  auto* common = context.mutable_common_tls_context();
  for (const std::string& name : chain.tls->certificates) name_secret(*common->add_tls_certificate_sds_secret_configs(), name);
  if (!chain.tls->min_version.empty()) common->mutable_tls_params()->set_tls_minimum_protocol_version(version(chain.tls->min_version));
  if (!chain.tls->max_version.empty()) common->mutable_tls_params()->set_tls_maximum_protocol_version(version(chain.tls->max_version));
  for (const std::string& suite : chain.tls->cipher_suites) common->mutable_tls_params()->add_cipher_suites(suite);
  if (!chain.tls->trusted_clients.empty()) {
    context.mutable_require_client_certificate()->set_value(chain.tls->require_client);
    auto* clients = common->mutable_combined_validation_context();
    auto* checks = clients->mutable_default_validation_context();
    if (!chain.tls->require_client) checks->set_trust_chain_verification(tls_v3::CertificateValidationContext::ACCEPT_UNTRUSTED);
    name_secret(*clients->mutable_validation_context_sds_secret_config(), chain.tls->trusted_clients);
  }
  if (!chain.route_table.empty()) {
    common->add_alpn_protocols("h2");
    common->add_alpn_protocols("http/1.1");
  }
  to.mutable_transport_socket()->set_name("envoy.transport_sockets.tls");
  to.mutable_transport_socket()->mutable_typed_config()->PackFrom(context);
}

}  // namespace

void add_chains(const plan::Listener& l, envoy::config::listener::v3::Listener& to) {
  auto* inspector = to.add_listener_filters();
  inspector->set_name("envoy.filters.listener.tls_inspector");
  inspector->mutable_typed_config()->PackFrom(envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector());
  for (const plan::FilterChain& chain : l.chains) {
    auto* out = to.add_filter_chains();
    out->set_name(chain.name);
    out->mutable_filter_chain_match()->set_transport_protocol("tls");
    if (!chain.server_name.empty()) out->mutable_filter_chain_match()->add_server_names(chain.server_name);
    if (chain.tls) end_tls(chain, *out);
    if (chain.route_table.empty()) {
      add_tcp_proxy(l.name + "/" + chain.name, chain.shares, *out);
    } else {
      add_http(chain.route_table, chain.filters, *out);
    }
  }
}

void secure(const plan::Cluster& c, envoy::config::cluster::v3::Cluster& to) {
  tls_v3::UpstreamTlsContext context;
  context.set_sni(c.tls->server_name);
  auto* common = context.mutable_common_tls_context();
  if (c.protocol == intent::BackendProtocol::kHttp2) common->add_alpn_protocols("h2");
  if (!c.tls->client_certificate.empty()) name_secret(*common->add_tls_certificate_sds_secret_configs(), c.tls->client_certificate);
  tls_v3::CertificateValidationContext* checks;
  if (c.tls->trusted_ca.empty()) {
    checks = common->mutable_validation_context();
    checks->mutable_trusted_ca()->set_filename(kSystemTrust);
  } else {
    checks = common->mutable_combined_validation_context()->mutable_default_validation_context();
    name_secret(*common->mutable_combined_validation_context()->mutable_validation_context_sds_secret_config(), c.tls->trusted_ca);
  }
  for (const intent::SubjectAltName& name : c.tls->names) {
    auto* san = checks->add_match_typed_subject_alt_names();
    san->set_san_type(name.type == intent::SubjectAltNameType::kDns ? tls_v3::SubjectAltNameMatcher::DNS : tls_v3::SubjectAltNameMatcher::URI);
    san->mutable_matcher()->set_exact(name.value);
  }
  to.mutable_transport_socket()->set_name("envoy.transport_sockets.tls");
  to.mutable_transport_socket()->mutable_typed_config()->PackFrom(context);
}

ResourcePtr build_secret(const intent::Secret& secret) {
  tls_v3::Secret out;
  out.set_name(secret.name);
  if (secret.trusted_ca.empty()) {
    set_data(*out.mutable_tls_certificate()->mutable_certificate_chain(), secret.certificate_chain);
    set_data(*out.mutable_tls_certificate()->mutable_private_key(), secret.private_key);
  } else {
    set_data(*out.mutable_validation_context()->mutable_trusted_ca(), secret.trusted_ca);
  }
  return make_resource(Type::kSecret, secret.name, out, secret.origins);
}

}  // namespace fairlead::resources
