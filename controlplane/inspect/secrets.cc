// What is shown of a resource: all of it but private keys, passwords and ticket keys, and of certificates what they say.
#include "base/descriptors.h"
#include "base/doc_proto.h"
#include "base/redact.h"
#include "base/strings.h"
#include "controlplane/inspect/inspect.h"
#include "dataplane/tls/certificate.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace fairlead::inspect {
namespace {

std::string_view text_of(const envoy::config::core::v3::DataSource& source) {
  return source.has_inline_string() ? std::string_view(source.inline_string()) : std::string_view(source.inline_bytes());
}

doc::Value certificate_doc(const tls::CertificateFacts& facts) {
  std::vector<doc::Value> names;
  for (const tls::San& san : facts.names) names.push_back(doc::string(san.value));
  return doc::map({{"subject", doc::string(facts.subject), {}},
                   {"names", doc::list(std::move(names)), {}},
                   {"not_before", doc::string(format_time(facts.not_before)), {}},
                   {"not_after", doc::string(format_time(facts.not_after)), {}},
                   {"sha256", doc::string(facts.sha256), {}}});
}

}  // namespace

doc::Value shown(const resources::Resource& resource) {
  auto message = parse_message(resources::type_url(resource.type), resource.body());
  if (!message.ok()) return doc::null();
  redact(**message);
  return doc::from_message(**message);
}

doc::Value certificates(const resources::Resource& resource) {
  std::vector<doc::Value> items;
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  const std::string_view body = resource.body();
  if (resource.type == Type::kSecret && secret.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    const std::string_view pem = text_of(secret.has_validation_context() ? secret.validation_context().trusted_ca() : secret.tls_certificate().certificate_chain());
    if (const auto read = tls::read_certificates(std::string(pem)); read.ok()) {
      for (const tls::CertificateFacts& facts : *read) items.push_back(certificate_doc(facts));
    }
  }
  return doc::list(std::move(items));
}

}  // namespace fairlead::inspect
