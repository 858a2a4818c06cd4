// See tls.h.
#include "dataplane/config/tls.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <algorithm>

#include "base/status.h"
#include "dataplane/config/fields.h"
#include "dataplane/matching/matchers.h"
#include "dataplane/net/address.h"
#include "dataplane/tls/verification.h"
#include "envoy/extensions/transport_sockets/tls/v3/common.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace fairlead::config {
namespace v3 = envoy::extensions::transport_sockets::tls::v3;
namespace core = envoy::config::core::v3;
namespace {

// What a context needs beyond its own message; `whole` is lost when something was not looked at.
struct Reader {
  const TlsSources& sources;
  bool whole = true;

  absl::StatusOr<std::string> text(const core::DataSource& proto, const std::string& field) {
    const bool elsewhere = proto.has_filename() || proto.has_environment_variable();
    if (elsewhere && !sources.read_file) whole = false;
    return router::read_data_source(proto, sources.read_file, field);
  }
};

std::string place_of(const core::DataSource& proto) { return proto.has_filename() ? proto.filename() : "<inline>"; }

// A static secret by name, of the kind wanted. Sources that are not static are refused by the support table.
absl::StatusOr<const v3::Secret*> secret(const v3::SdsSecretConfig& proto, const std::string& field, Reader& reader) {
  if (proto.has_sds_config()) return absl::InvalidArgumentError(absl::StrCat(field, ".sds_config: not supported: secrets are not discovered, only static_resources.secrets"));
  if (!reader.sources.secrets) {  // a lone resource is judged without its bootstrap
    if (!reader.sources.read_file) {
      reader.whole = false;
      return nullptr;
    }
    return absl::InvalidArgumentError(absl::StrCat(field, ": Unknown static secret: ", proto.name()));
  }
  const auto known = reader.sources.secrets->find(proto.name());
  if (known == reader.sources.secrets->end()) return absl::InvalidArgumentError(absl::StrCat(field, ": Unknown static secret: ", proto.name()));
  return known->second.get();
}

absl::StatusOr<tls::KeyPair> read_pair(const v3::TlsCertificate& proto, const std::string& field, Reader& reader) {
  tls::KeyPair pair;
  FL_ASSIGN_OR_RETURN(pair.chain, reader.text(proto.certificate_chain(), field + ".certificate_chain"));
  FL_ASSIGN_OR_RETURN(pair.key, reader.text(proto.private_key(), field + ".private_key"));
  FL_ASSIGN_OR_RETURN(pair.password, reader.text(proto.password(), field + ".password"));
  FL_ASSIGN_OR_RETURN(pair.pkcs12, reader.text(proto.pkcs12(), field + ".pkcs12"));
  FL_ASSIGN_OR_RETURN(pair.ocsp_staple, reader.text(proto.ocsp_staple(), field + ".ocsp_staple"));
  pair.place = place_of(proto.has_pkcs12() ? proto.pkcs12() : proto.certificate_chain());
  pair.key_place = place_of(proto.private_key());
  if (proto.has_pkcs12() && (proto.has_certificate_chain() || proto.has_private_key())) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": Certificate configuration can't have both pkcs12 and ", proto.has_private_key() ? "private_key" : "certificate_chain"));
  }
  return pair;
}

struct NameMatcher {
  bool any_type = false;  // match_subject_alt_names: Envoy 1.40 tries all four
  tls::San::Type type = tls::San::Type::kDns;
  std::string oid;
  matching::StringMatcher matcher;
  bool matches(const tls::San& san) const {
    if (any_type ? san.type == tls::San::Type::kOther : san.type != type) return false;
    if (san.type == tls::San::Type::kOther && !oid.empty() && san.oid != oid) return false;
    // Envoy 1.40: an exact DNS matcher accepts certificates with wildcards
    const bool dns = san.type == tls::San::Type::kDns && matcher.kind() == matching::StringMatcher::Kind::Exact;
    return dns ? tls::dns_covers(san.value, matcher.text()) : matcher.match(san.value);
  }
};

absl::StatusOr<NameMatcher> read_matcher(const v3::SubjectAltNameMatcher& proto, const std::string& field) {
  auto matcher = matching::StringMatcher::compile(proto.matcher());
  if (!matcher.ok()) return prefix(field + ".matcher", matcher.status());
  NameMatcher out{false, tls::San::Type::kDns, proto.oid(), *std::move(matcher)};
  switch (proto.san_type()) {
    case v3::SubjectAltNameMatcher::EMAIL: out.type = tls::San::Type::kEmail; break;
    case v3::SubjectAltNameMatcher::DNS: out.type = tls::San::Type::kDns; break;
    case v3::SubjectAltNameMatcher::URI: out.type = tls::San::Type::kUri; break;
    case v3::SubjectAltNameMatcher::IP_ADDRESS: out.type = tls::San::Type::kIp; break;
    case v3::SubjectAltNameMatcher::OTHER_NAME:
      if (proto.oid().empty()) return absl::InvalidArgumentError(absl::StrCat(field, ": oid is required for OTHER_NAME SAN type"));
      out.type = tls::San::Type::kOther;
      break;
    default: return absl::InvalidArgumentError(absl::StrCat(field, ".san_type: unspecified"));
  }
  return out;
}

absl::Status read_pins(const v3::CertificateValidationContext& proto, const std::string& field, tls::Verification& out) {
  for (const std::string& pin : proto.verify_certificate_hash()) {
    const std::string digits = absl::StrReplaceAll(pin, {{":", ""}});
    const bool hex = std::all_of(digits.begin(), digits.end(), [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); });
    if (digits.size() != 64 || !hex) return absl::InvalidArgumentError(absl::StrCat(field, ".verify_certificate_hash: Invalid hex-encoded SHA-256 ", pin));
    out.hash_pins.push_back(absl::HexStringToBytes(digits));
  }
  for (const std::string& pin : proto.verify_certificate_spki()) {
    std::string bytes;
    if (!absl::Base64Unescape(pin, &bytes) || bytes.size() != 32) {
      return absl::InvalidArgumentError(absl::StrCat(field, ".verify_certificate_spki: Invalid base64-encoded SHA-256 ", pin));
    }
    out.spki_pins.push_back(std::move(bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<tls::Verification> read_verification(const v3::CertificateValidationContext& proto, const std::string& field, Reader& reader) {
  tls::Verification out;
  const bool system = proto.has_system_root_certs();
  FL_ASSIGN_OR_RETURN(out.trusted_ca, reader.text(proto.trusted_ca(), field + ".trusted_ca"));
  if (system && out.trusted_ca.empty()) {
    if (reader.sources.read_file) {
      FL_ASSIGN_OR_RETURN(out.trusted_ca, reader.sources.read_file("/etc/ssl/certs/ca-certificates.crt"));
    } else {
      reader.whole = false;
    }
  }
  out.trusted_ca_place = place_of(proto.trusted_ca());
  FL_ASSIGN_OR_RETURN(out.crl, reader.text(proto.crl(), field + ".crl"));
  out.only_leaf_crl = proto.only_verify_leaf_cert_crl();
  out.allow_expired = proto.allow_expired_certificate();
  out.accept_untrusted = proto.trust_chain_verification() == v3::CertificateValidationContext::ACCEPT_UNTRUSTED;
  if (proto.has_max_verify_depth()) out.max_depth = static_cast<int>(proto.max_verify_depth().value());
  FL_RETURN_IF_ERROR(read_pins(proto, field, out));
  auto matchers = std::make_shared<std::vector<NameMatcher>>();
  for (int i = 0; i < proto.match_typed_subject_alt_names_size(); ++i) {
    FL_ASSIGN_OR_RETURN(NameMatcher matcher, read_matcher(proto.match_typed_subject_alt_names(i), absl::StrCat(field, ".match_typed_subject_alt_names[", i, "]")));
    matchers->push_back(std::move(matcher));
  }
  if (matchers->empty()) {
    for (int i = 0; i < proto.match_subject_alt_names_size(); ++i) {
      auto matcher = matching::StringMatcher::compile(proto.match_subject_alt_names(i));
      if (!matcher.ok()) return prefix(absl::StrCat(field, ".match_subject_alt_names[", i, "]"), matcher.status());
      matchers->push_back({true, tls::San::Type::kDns, "", *std::move(matcher)});
    }
  }
  const bool any_ca = proto.has_trusted_ca() || system;
  if (!matchers->empty()) {
    // Envoy 1.40: names say nothing when anybody may have signed them
    if (!any_ca) return absl::InvalidArgumentError(absl::StrCat(field, ": SAN-based verification of peer certificates without trusted CA is insecure and not allowed"));
    for (const auto& matcher : proto.match_typed_subject_alt_names()) absl::StrAppend(&out.matcher_identity, matcher.ShortDebugString(), "\n");
    for (const auto& matcher : proto.match_subject_alt_names()) absl::StrAppend(&out.matcher_identity, matcher.ShortDebugString(), "\n");
    out.match_names = [matchers](const std::vector<tls::San>& names) {
      for (const NameMatcher& matcher : *matchers) {
        for (const tls::San& san : names) {
          if (matcher.matches(san)) return true;
        }
      }
      return false;
    };
  }
  if (out.allow_expired && !any_ca) return absl::InvalidArgumentError(absl::StrCat(field, ": Certificate validity period is always ignored without trusted CA"));
  return out;
}

std::optional<tls::Version> version(v3::TlsParameters::TlsProtocol protocol) {
  switch (protocol) {
    case v3::TlsParameters::TLSv1_0: return tls::Version::kTls10;
    case v3::TlsParameters::TLSv1_1: return tls::Version::kTls11;
    case v3::TlsParameters::TLSv1_2: return tls::Version::kTls12;
    case v3::TlsParameters::TLSv1_3: return tls::Version::kTls13;
    default: return std::nullopt;
  }
}

absl::StatusOr<tls::KeyLog> read_key_log(const v3::TlsKeyLog& proto, const std::string& field) {
  tls::KeyLog log;
  log.path = proto.path();
  auto ranges = std::make_shared<std::pair<std::vector<matching::Cidr>, std::vector<matching::Cidr>>>();
  for (const auto& range : proto.local_address_range()) {
    auto cidr = matching::Cidr::compile(range);
    if (!cidr.ok()) return prefix(field + ".local_address_range", cidr.status());
    ranges->first.push_back(*cidr);
  }
  for (const auto& range : proto.remote_address_range()) {
    auto cidr = matching::Cidr::compile(range);
    if (!cidr.ok()) return prefix(field + ".remote_address_range", cidr.status());
    ranges->second.push_back(*cidr);
  }
  if (ranges->first.empty() && ranges->second.empty()) return log;
  log.wanted = [ranges](const net::Address& local, const net::Address& remote) {
    const auto within = [](const std::vector<matching::Cidr>& all, const net::Address& address) {
      if (all.empty()) return true;
      const std::string ip = address.ip_string();
      return std::any_of(all.begin(), all.end(), [&](const matching::Cidr& range) { return range.contains_text(ip); });
    };
    return within(ranges->first, local) && within(ranges->second, remote);
  };
  return log;
}

// The certificates of either place; Envoy 1.40 allows one of the two.
absl::StatusOr<std::vector<tls::KeyPair>> read_pairs(const v3::CommonTlsContext& proto, const std::string& field, Reader& reader) {
  std::vector<tls::KeyPair> out;
  for (int i = 0; i < proto.tls_certificates_size(); ++i) {
    FL_ASSIGN_OR_RETURN(tls::KeyPair pair, read_pair(proto.tls_certificates(i), absl::StrCat(field, ".tls_certificates[", i, "]"), reader));
    out.push_back(std::move(pair));
  }
  if (!out.empty()) return out;
  for (int i = 0; i < proto.tls_certificate_sds_secret_configs_size(); ++i) {
    const std::string place = absl::StrCat(field, ".tls_certificate_sds_secret_configs[", i, "]");
    FL_ASSIGN_OR_RETURN(const v3::Secret* known, secret(proto.tls_certificate_sds_secret_configs(i), place, reader));
    if (known == nullptr) continue;
    if (!known->has_tls_certificate()) return absl::InvalidArgumentError(absl::StrCat(place, ": Unknown static secret: ", known->name(), " is no tls_certificate"));
    FL_ASSIGN_OR_RETURN(tls::KeyPair pair, read_pair(known->tls_certificate(), absl::StrCat("secret '", known->name(), "': tls_certificate"), reader));
    out.push_back(std::move(pair));
  }
  return out;
}

absl::StatusOr<std::optional<v3::CertificateValidationContext>> validation_of(const v3::CommonTlsContext& proto, const std::string& field, Reader& reader, std::string& place) {
  const auto by_name = [&](const v3::SdsSecretConfig& config, const std::string& where) -> absl::StatusOr<v3::CertificateValidationContext> {
    FL_ASSIGN_OR_RETURN(const v3::Secret* known, secret(config, where, reader));
    if (known == nullptr) return v3::CertificateValidationContext();
    if (!known->has_validation_context()) return absl::InvalidArgumentError(absl::StrCat(where, ": Unknown static certificate validation context: ", config.name()));
    place = absl::StrCat("secret '", known->name(), "': validation_context");
    return known->validation_context();
  };
  switch (proto.validation_context_type_case()) {
    case v3::CommonTlsContext::kValidationContext:
      place = field + ".validation_context";
      return proto.validation_context();
    case v3::CommonTlsContext::kValidationContextSdsSecretConfig: {
      FL_ASSIGN_OR_RETURN(auto found, by_name(proto.validation_context_sds_secret_config(), field + ".validation_context_sds_secret_config"));
      return found;
    }
    case v3::CommonTlsContext::kCombinedValidationContext: {
      const auto& combined = proto.combined_validation_context();
      const std::string where = field + ".combined_validation_context";
      v3::CertificateValidationContext merged = combined.default_validation_context();
      FL_ASSIGN_OR_RETURN(auto dynamic, by_name(combined.validation_context_sds_secret_config(), where + ".validation_context_sds_secret_config"));
      merged.MergeFrom(dynamic);  // Envoy 1.40
      place = where;
      return merged;
    }
    default: return std::nullopt;
  }
}

absl::Status read_common(const v3::CommonTlsContext& proto, const std::string& field, Reader& reader, tls::CommonOptions& out, bool& suppress_ca_list) {
  const auto& parameters = proto.tls_params();
  out.parameters.min = version(parameters.tls_minimum_protocol_version());
  out.parameters.max = version(parameters.tls_maximum_protocol_version());
  out.parameters.ciphers.assign(parameters.cipher_suites().begin(), parameters.cipher_suites().end());
  out.parameters.curves.assign(parameters.ecdh_curves().begin(), parameters.ecdh_curves().end());
  out.parameters.signature_algorithms.assign(parameters.signature_algorithms().begin(), parameters.signature_algorithms().end());
  out.alpn.assign(proto.alpn_protocols().begin(), proto.alpn_protocols().end());
  std::string place;
  FL_ASSIGN_OR_RETURN(auto validation, validation_of(proto, field, reader, place));
  if (validation) {
    suppress_ca_list = validation->suppress_client_ca_list();
    FL_ASSIGN_OR_RETURN(out.verification.emplace(), read_verification(*validation, place, reader));
  }
  if (proto.has_key_log()) {
    FL_ASSIGN_OR_RETURN(out.key_log, read_key_log(proto.key_log(), field + ".key_log"));
    if (!reader.sources.read_file) out.key_log.path.clear();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ticket_keys(const v3::DownstreamTlsContext& proto, const std::string& field, Reader& reader) {
  const v3::TlsSessionTicketKeys* keys = proto.has_session_ticket_keys() ? &proto.session_ticket_keys() : nullptr;
  std::string place = field + ".session_ticket_keys";
  if (proto.has_session_ticket_keys_sds_secret_config()) {
    place = field + ".session_ticket_keys_sds_secret_config";
    FL_ASSIGN_OR_RETURN(const v3::Secret* known, secret(proto.session_ticket_keys_sds_secret_config(), place, reader));
    if (known != nullptr && !known->has_session_ticket_keys()) return absl::InvalidArgumentError(absl::StrCat(place, ": Unknown tls session ticket keys: ", known->name()));
    if (known != nullptr) keys = &known->session_ticket_keys();
  }
  std::vector<std::string> out;
  for (int i = 0; keys != nullptr && i < keys->keys_size(); ++i) {
    FL_ASSIGN_OR_RETURN(std::string key, reader.text(keys->keys(i), absl::StrCat(place, ".keys[", i, "]")));
    out.push_back(std::move(key));
  }
  return out;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const DownstreamTls>> parse_downstream_tls(const v3::DownstreamTlsContext& proto, const std::string& field, const TlsSources& sources) {
  Reader reader{sources};
  tls::ServerOptions options;
  const std::string common = field + ".common_tls_context";
  bool suppress_ca_list = false;
  FL_RETURN_IF_ERROR(read_common(proto.common_tls_context(), common, reader, options, suppress_ca_list));
  options.send_trusted_names = !suppress_ca_list;
  FL_ASSIGN_OR_RETURN(options.certificates, read_pairs(proto.common_tls_context(), common, reader));
  FL_ASSIGN_OR_RETURN(options.ticket_keys, ticket_keys(proto, field, reader));
  options.require_client_certificate = proto.require_client_certificate().value();
  options.full_scan_on_sni_mismatch = proto.full_scan_certs_on_sni_mismatch().value();
  options.prefer_client_ciphers = proto.prefer_client_ciphers();
  options.tickets = !proto.disable_stateless_session_resumption();
  options.session_cache = !proto.disable_stateful_session_resumption();
  if (proto.has_session_timeout()) options.session_timeout = std::chrono::seconds(proto.session_timeout().seconds());
  switch (proto.ocsp_staple_policy()) {
    case v3::DownstreamTlsContext::STRICT_STAPLING: options.ocsp = tls::OcspPolicy::kStrict; break;
    case v3::DownstreamTlsContext::MUST_STAPLE: options.ocsp = tls::OcspPolicy::kMustStaple; break;
    default: options.ocsp = tls::OcspPolicy::kLenient;
  }
  auto out = std::make_shared<DownstreamTls>();
  if (options.certificates.empty() && reader.whole) return absl::InvalidArgumentError(absl::StrCat(field, ": No TLS certificates found for server context"));
  if (!reader.whole) return std::shared_ptr<const DownstreamTls>(std::move(out));
  auto context = tls::ServerContext::create(options);
  if (!context.ok()) return prefix(field, context.status());
  out->context = *std::move(context);
  return std::shared_ptr<const DownstreamTls>(std::move(out));
}

absl::StatusOr<std::shared_ptr<const UpstreamTls>> parse_upstream_tls(const v3::UpstreamTlsContext& proto, const std::string& field, const TlsSources& sources) {
  Reader reader{sources};
  tls::ClientOptions options;
  const std::string common = field + ".common_tls_context";
  bool unused = false;
  FL_RETURN_IF_ERROR(read_common(proto.common_tls_context(), common, reader, options, unused));
  FL_ASSIGN_OR_RETURN(auto pairs, read_pairs(proto.common_tls_context(), common, reader));
  if (pairs.size() > 1) return absl::InvalidArgumentError(absl::StrCat(field, ": Multiple TLS certificates are not supported for client contexts"));
  if (!pairs.empty()) options.certificate = std::move(pairs.front());
  options.server_name = proto.sni();
  options.max_sessions = proto.has_max_session_keys() ? proto.max_session_keys().value() : 1;
  if (proto.auto_sni_san_validation() && (!options.verification || options.verification->trusted_ca.empty()) && reader.whole) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".auto_sni_san_validation: 'auto_sni_san_validation' was configured without configuring a trusted CA"));
  }
  auto out = std::make_shared<UpstreamTls>();
  out->alpn = options.alpn;
  out->server_name = proto.sni();
  out->auto_host_sni = proto.auto_host_sni();
  out->auto_sni_san_validation = proto.auto_sni_san_validation();
  if (!reader.whole) return std::shared_ptr<const UpstreamTls>(std::move(out));
  auto context = tls::ClientContext::create(options);
  if (!context.ok()) return prefix(field, context.status());
  out->context = *std::move(context);
  return std::shared_ptr<const UpstreamTls>(std::move(out));
}

}  // namespace fairlead::config
