// See tls.h.
#include "dataplane/config/tls.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <algorithm>
#include <type_traits>

#include "base/hash.h"
#include "base/status.h"
#include "dataplane/config/fields.h"
#include "dataplane/matching/matchers.h"
#include "dataplane/net/address.h"
#include "dataplane/tls/verification.h"
#include "envoy/extensions/transport_sockets/tls/v3/common.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"

namespace fairlead::config {
namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;
namespace core = envoy::config::core::v3;
namespace {

// What a context needs beyond its own message; `whole` is lost when something was not looked at or has not come yet. Notes what may change.
struct Reader {
  const TlsSources& sources;
  bool whole = true;
  std::vector<SecretRef> secrets{};
  std::set<std::string> directories{};
  std::set<std::string> files{};  // all that were read

  absl::StatusOr<std::string> text(core::DataSource proto, const std::string& field) {
    const bool elsewhere = proto.has_filename() || proto.has_environment_variable();
    if (elsewhere && !sources.read_file) whole = false;
    if (proto.has_watched_directory()) directories.insert(proto.watched_directory().path());
    if (proto.has_filename()) files.insert(proto.filename());
    proto.clear_watched_directory();
    return router::read_data_source(proto, sources.read_file, field);
  }
};

std::string place_of(const core::DataSource& proto) { return proto.has_filename() ? proto.filename() : "<inline>"; }

// A secret and the reader for the files it names, of a discovered one as they were when it came; null: it is not there.
struct Found {
  SecretPtr secret;
  std::shared_ptr<const DiscoveredSecrets::Known> known;  // of a discovered one

  const tls_v3::Secret* operator->() const { return secret.get(); }
  explicit operator bool() const { return secret != nullptr; }
  TlsSources sources(const Reader& reader) const { return {known != nullptr ? known->reader(reader.sources.read_file) : reader.sources.read_file, nullptr}; }
  std::string text() const { return absl::StrCat(known != nullptr ? "secret " : "Unknown static secret: ", secret->name()); }
};

absl::StatusOr<Found> discovered_secret(const tls_v3::SdsSecretConfig& proto, const std::string& field, Reader& reader) {
  FL_ASSIGN_OR_RETURN(ConfigSource source, parse_config_source(proto.sds_config(), field + ".sds_config"));
  // Envoy 1.40: `self` is no source for secrets
  if (source.kind == ConfigSource::Kind::Self) return absl::InvalidArgumentError(absl::StrCat(field, ".sds_config: Missing config source specifier in envoy::config::core::v3::ConfigSource"));
  if (proto.name().empty()) return absl::InvalidArgumentError(absl::StrCat(field, ".name: a secret is discovered by its name"));
  std::string key = secret_key(proto.name(), source_key(source));
  Found found;
  if (reader.sources.discovered != nullptr) found.known = reader.sources.discovered->find(key);
  if (found.known != nullptr) found.secret = found.known->secret;
  reader.secrets.push_back({proto.name(), std::move(key), std::move(source)});
  return found;
}

// A secret by name: of the bootstrap, or of the source that is named with it.
absl::StatusOr<Found> secret(const tls_v3::SdsSecretConfig& proto, const std::string& field, Reader& reader) {
  if (proto.has_sds_config()) return discovered_secret(proto, field, reader);
  if (!reader.sources.secrets) {  // a lone resource is judged without its bootstrap
    if (!reader.sources.read_file) {
      reader.whole = false;
      return Found{};
    }
    return absl::InvalidArgumentError(absl::StrCat(field, ": Unknown static secret: ", proto.name()));
  }
  const auto known = reader.sources.secrets->find(proto.name());
  if (known == reader.sources.secrets->end()) return absl::InvalidArgumentError(absl::StrCat(field, ": Unknown static secret: ", proto.name()));
  return Found{known->second, nullptr};
}

absl::StatusOr<tls::KeyPair> read_pair(const tls_v3::TlsCertificate& proto, const std::string& field, Reader& reader) {
  tls::KeyPair pair;
  FL_ASSIGN_OR_RETURN(pair.chain, reader.text(proto.certificate_chain(), field + ".certificate_chain"));
  FL_ASSIGN_OR_RETURN(pair.key, reader.text(proto.private_key(), field + ".private_key"));
  FL_ASSIGN_OR_RETURN(pair.password, reader.text(proto.password(), field + ".password"));
  FL_ASSIGN_OR_RETURN(pair.pkcs12, reader.text(proto.pkcs12(), field + ".pkcs12"));
  FL_ASSIGN_OR_RETURN(pair.ocsp_staple, reader.text(proto.ocsp_staple(), field + ".ocsp_staple"));
  if (proto.has_watched_directory()) reader.directories.insert(proto.watched_directory().path());
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

absl::StatusOr<NameMatcher> read_matcher(const tls_v3::SubjectAltNameMatcher& proto, const std::string& field) {
  auto matcher = matching::StringMatcher::compile(proto.matcher());
  if (!matcher.ok()) return prefix(field + ".matcher", matcher.status());
  NameMatcher out{false, tls::San::Type::kDns, proto.oid(), *std::move(matcher)};
  switch (proto.san_type()) {
    case tls_v3::SubjectAltNameMatcher::EMAIL: out.type = tls::San::Type::kEmail; break;
    case tls_v3::SubjectAltNameMatcher::DNS: out.type = tls::San::Type::kDns; break;
    case tls_v3::SubjectAltNameMatcher::URI: out.type = tls::San::Type::kUri; break;
    case tls_v3::SubjectAltNameMatcher::IP_ADDRESS: out.type = tls::San::Type::kIp; break;
    case tls_v3::SubjectAltNameMatcher::OTHER_NAME:
      if (proto.oid().empty()) return absl::InvalidArgumentError(absl::StrCat(field, ": oid is required for OTHER_NAME SAN type"));
      out.type = tls::San::Type::kOther;
      break;
    default: return absl::InvalidArgumentError(absl::StrCat(field, ".san_type: unspecified"));
  }
  return out;
}

absl::Status read_pins(const tls_v3::CertificateValidationContext& proto, const std::string& field, tls::Verification& out) {
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

absl::StatusOr<tls::Verification> read_verification(const tls_v3::CertificateValidationContext& proto, const std::string& field, Reader& reader) {
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
  if (proto.has_watched_directory()) reader.directories.insert(proto.watched_directory().path());
  out.trusted_ca_place = place_of(proto.trusted_ca());
  FL_ASSIGN_OR_RETURN(out.crl, reader.text(proto.crl(), field + ".crl"));
  out.only_leaf_crl = proto.only_verify_leaf_cert_crl();
  out.allow_expired = proto.allow_expired_certificate();
  out.accept_untrusted = proto.trust_chain_verification() == tls_v3::CertificateValidationContext::ACCEPT_UNTRUSTED;
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

std::optional<tls::Version> version(tls_v3::TlsParameters::TlsProtocol protocol) {
  switch (protocol) {
    case tls_v3::TlsParameters::TLSv1_0: return tls::Version::kTls10;
    case tls_v3::TlsParameters::TLSv1_1: return tls::Version::kTls11;
    case tls_v3::TlsParameters::TLSv1_2: return tls::Version::kTls12;
    case tls_v3::TlsParameters::TLSv1_3: return tls::Version::kTls13;
    default: return std::nullopt;
  }
}

absl::StatusOr<tls::KeyLog> read_key_log(const tls_v3::TlsKeyLog& proto, const std::string& field) {
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

// What was read of a secret's files is watched by whoever keeps the secret; of the bootstrap's, by the user.
void take_over(Reader& reader, const Reader& inner, const Found& found) {
  reader.whole &= inner.whole;
  if (found.known != nullptr) return;
  reader.directories.insert(inner.directories.begin(), inner.directories.end());
  reader.files.insert(inner.files.begin(), inner.files.end());
}

// The certificates of either place; Envoy 1.40 allows one of the two. Of discovered ones those that have come: one is enough to serve.
absl::StatusOr<std::vector<tls::KeyPair>> read_pairs(const tls_v3::CommonTlsContext& proto, const std::string& field, Reader& reader) {
  std::vector<tls::KeyPair> out;
  for (int i = 0; i < proto.tls_certificates_size(); ++i) {
    FL_ASSIGN_OR_RETURN(tls::KeyPair pair, read_pair(proto.tls_certificates(i), absl::StrCat(field, ".tls_certificates[", i, "]"), reader));
    out.push_back(std::move(pair));
  }
  if (!out.empty()) return out;
  for (int i = 0; i < proto.tls_certificate_sds_secret_configs_size(); ++i) {
    const std::string place = absl::StrCat(field, ".tls_certificate_sds_secret_configs[", i, "]");
    FL_ASSIGN_OR_RETURN(const Found known, secret(proto.tls_certificate_sds_secret_configs(i), place, reader));
    if (!known) continue;
    if (!known->has_tls_certificate()) return absl::InvalidArgumentError(absl::StrCat(place, ": ", known.text(), " is no tls_certificate"));
    const TlsSources sources = known.sources(reader);
    Reader inner{sources};
    FL_ASSIGN_OR_RETURN(tls::KeyPair pair, read_pair(known->tls_certificate(), absl::StrCat("secret '", known->name(), "': tls_certificate"), inner));
    take_over(reader, inner, known);
    pair.name = known->name();
    out.push_back(std::move(pair));
  }
  if (out.empty() && proto.tls_certificate_sds_secret_configs_size() != 0) reader.whole = false;
  return out;
}

// What peers are verified with, and who reads the files it names.
struct Validation {
  tls_v3::CertificateValidationContext proto;
  std::string place;
  Found found;  // where it is a secret's, or partly
  bool missing = false;  // the secret is not there: what it will say is not known
};

absl::StatusOr<std::optional<Validation>> validation_of(const tls_v3::CommonTlsContext& proto, const std::string& field, Reader& reader) {
  const auto by_name = [&](const tls_v3::SdsSecretConfig& config, const std::string& where) -> absl::StatusOr<Validation> {
    FL_ASSIGN_OR_RETURN(Found known, secret(config, where, reader));
    if (!known) {
      reader.whole = false;
      return Validation{{}, where, {}, true};
    }
    if (!known->has_validation_context()) return absl::InvalidArgumentError(absl::StrCat(where, ": ", known.text(), " is no validation_context"));
    return Validation{known->validation_context(), absl::StrCat("secret '", known->name(), "': validation_context"), known};
  };
  switch (proto.validation_context_type_case()) {
    case tls_v3::CommonTlsContext::kValidationContext: return Validation{proto.validation_context(), field + ".validation_context", {}};
    case tls_v3::CommonTlsContext::kValidationContextSdsSecretConfig: {
      FL_ASSIGN_OR_RETURN(Validation found, by_name(proto.validation_context_sds_secret_config(), field + ".validation_context_sds_secret_config"));
      return found;
    }
    case tls_v3::CommonTlsContext::kCombinedValidationContext: {
      const auto& combined = proto.combined_validation_context();
      const std::string where = field + ".combined_validation_context";
      tls_v3::CertificateValidationContext merged = combined.default_validation_context();
      FL_ASSIGN_OR_RETURN(Validation found, by_name(combined.validation_context_sds_secret_config(), where + ".validation_context_sds_secret_config"));
      merged.MergeFrom(found.proto);  // Envoy 1.40
      return Validation{std::move(merged), where, std::move(found.found), found.missing};
    }
    default: return std::nullopt;
  }
}

absl::Status read_common(const tls_v3::CommonTlsContext& proto, const std::string& field, Reader& reader, tls::CommonOptions& out, bool& suppress_ca_list) {
  const auto& parameters = proto.tls_params();
  out.parameters.min = version(parameters.tls_minimum_protocol_version());
  out.parameters.max = version(parameters.tls_maximum_protocol_version());
  out.parameters.ciphers.assign(parameters.cipher_suites().begin(), parameters.cipher_suites().end());
  out.parameters.curves.assign(parameters.ecdh_curves().begin(), parameters.ecdh_curves().end());
  out.parameters.signature_algorithms.assign(parameters.signature_algorithms().begin(), parameters.signature_algorithms().end());
  out.alpn.assign(proto.alpn_protocols().begin(), proto.alpn_protocols().end());
  FL_ASSIGN_OR_RETURN(const auto validation, validation_of(proto, field, reader));
  if (validation && !validation->missing) {
    suppress_ca_list = validation->proto.suppress_client_ca_list();
    const TlsSources sources = validation->found.sources(reader);
    Reader inner{sources};
    FL_ASSIGN_OR_RETURN(out.verification.emplace(), read_verification(validation->proto, validation->place, inner));
    out.verification->name = validation->found ? validation->found->name() : "";
    take_over(reader, inner, validation->found);
  }
  if (proto.has_key_log()) {
    FL_ASSIGN_OR_RETURN(out.key_log, read_key_log(proto.key_log(), field + ".key_log"));
    if (!reader.sources.read_file) out.key_log.path.clear();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> read_keys(const tls_v3::TlsSessionTicketKeys& proto, const std::string& place, Reader& reader) {
  std::vector<std::string> out;
  for (int i = 0; i < proto.keys_size(); ++i) {
    FL_ASSIGN_OR_RETURN(std::string key, reader.text(proto.keys(i), absl::StrCat(place, ".keys[", i, "]")));
    out.push_back(std::move(key));
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> ticket_keys(const tls_v3::DownstreamTlsContext& proto, const std::string& field, Reader& reader) {
  if (!proto.has_session_ticket_keys_sds_secret_config()) return read_keys(proto.session_ticket_keys(), field + ".session_ticket_keys", reader);
  const std::string place = field + ".session_ticket_keys_sds_secret_config";
  FL_ASSIGN_OR_RETURN(const Found known, secret(proto.session_ticket_keys_sds_secret_config(), place, reader));
  if (!known) {
    reader.whole = false;
    return std::vector<std::string>();
  }
  if (!known->has_session_ticket_keys()) return absl::InvalidArgumentError(absl::StrCat(place, ": ", known.text(), " is no session_ticket_keys"));
  const TlsSources sources = known.sources(reader);
  Reader inner{sources};
  FL_ASSIGN_OR_RETURN(auto keys, read_keys(known->session_ticket_keys(), absl::StrCat("secret '", known->name(), "': session_ticket_keys"), inner));
  take_over(reader, inner, known);
  return keys;
}

absl::StatusOr<tls::ServerOptions> server_options(const tls_v3::DownstreamTlsContext& proto, const std::string& field, Reader& reader) {
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
    case tls_v3::DownstreamTlsContext::STRICT_STAPLING: options.ocsp = tls::OcspPolicy::kStrict; break;
    case tls_v3::DownstreamTlsContext::MUST_STAPLE: options.ocsp = tls::OcspPolicy::kMustStaple; break;
    default: options.ocsp = tls::OcspPolicy::kLenient;
  }
  if (options.certificates.empty() && reader.whole) return absl::InvalidArgumentError(absl::StrCat(field, ": No TLS certificates found for server context"));
  return options;
}

absl::StatusOr<tls::ClientOptions> client_options(const tls_v3::UpstreamTlsContext& proto, const std::string& field, Reader& reader) {
  tls::ClientOptions options;
  const std::string common = field + ".common_tls_context";
  bool unused = false;
  FL_RETURN_IF_ERROR(read_common(proto.common_tls_context(), common, reader, options, unused));
  if (proto.common_tls_context().tls_certificates_size() + proto.common_tls_context().tls_certificate_sds_secret_configs_size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": Multiple TLS certificates are not supported for client contexts"));
  }
  FL_ASSIGN_OR_RETURN(auto pairs, read_pairs(proto.common_tls_context(), common, reader));
  if (!pairs.empty()) options.certificate = std::move(pairs.front());
  options.server_name = proto.sni();
  options.max_sessions = proto.has_max_session_keys() ? proto.max_session_keys().value() : 1;
  if (proto.auto_sni_san_validation() && (!options.verification || options.verification->trusted_ca.empty()) && reader.whole) {
    return absl::InvalidArgumentError(absl::StrCat(field, ".auto_sni_san_validation: 'auto_sni_san_validation' was configured without configuring a trusted CA"));
  }
  return options;
}

absl::StatusOr<tls::ServerOptions> options_of(const tls_v3::DownstreamTlsContext& proto, const std::string& field, Reader& reader) { return server_options(proto, field, reader); }
absl::StatusOr<tls::ClientOptions> options_of(const tls_v3::UpstreamTlsContext& proto, const std::string& field, Reader& reader) { return client_options(proto, field, reader); }

// Null: something is missing, or only judged.
template <class Context, class Proto>
absl::StatusOr<std::shared_ptr<const Context>> make_context(const Proto& proto, const std::string& field, Reader& reader) {
  auto options = options_of(proto, field, reader);
  if (!options.ok()) return options.status();
  if (!reader.whole) {
    // what is wrong whatever the secrets hold is not to be found by the first of them
    if (!reader.secrets.empty()) FL_RETURN_IF_ERROR(prefix(field, tls::check(*options, std::is_same_v<Context, tls::ServerContext>)));
    return std::shared_ptr<const Context>();
  }
  auto context = Context::create(*options);
  if (!context.ok()) return prefix(field, context.status());
  return context;
}

// The first context of `user`, and how it is made anew where secrets or watched files may change it.
template <class Context, class Proto, class User>
absl::Status make_live(const Proto& proto, const std::string& field, const TlsSources& sources, const std::shared_ptr<User>& user) {
  Reader reader{sources};
  FL_ASSIGN_OR_RETURN(auto context, (make_context<Context>(proto, field, reader)));
  user->place = field;
  user->secrets = std::move(reader.secrets);
  if (sources.discovered != nullptr && sources.read_file && !reader.directories.empty()) {
    user->directories = std::move(reader.directories);
    for (const std::string& path : reader.files) {
      const auto text = sources.read_file(path);
      user->files[path] = text.ok() ? xx_hash64(*text) : 0;
    }
  }
  user->put(std::move(context));
  if (sources.discovered == nullptr || (user->secrets.empty() && user->directories.empty())) return absl::OkStatus();
  // the field stands for messages that come without it, below the secret's name
  user->make = [proto, sources, field]() -> absl::StatusOr<std::shared_ptr<const Context>> {
    Reader again{sources};
    return make_context<Context>(proto, field, again);
  };
  sources.discovered->attach(user);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const DownstreamTls>> parse_downstream_tls(const tls_v3::DownstreamTlsContext& proto, const std::string& field, const TlsSources& sources) {
  auto out = std::make_shared<DownstreamTls>();
  FL_RETURN_IF_ERROR(make_live<tls::ServerContext>(proto, field, sources, out));
  return std::shared_ptr<const DownstreamTls>(std::move(out));
}

absl::StatusOr<std::shared_ptr<const UpstreamTls>> parse_upstream_tls(const tls_v3::UpstreamTlsContext& proto, const std::string& field, const TlsSources& sources) {
  auto out = std::make_shared<UpstreamTls>();
  out->alpn.assign(proto.common_tls_context().alpn_protocols().begin(), proto.common_tls_context().alpn_protocols().end());
  out->server_name = proto.sni();
  out->auto_host_sni = proto.auto_host_sni();
  out->auto_sni_san_validation = proto.auto_sni_san_validation();
  FL_RETURN_IF_ERROR(make_live<tls::ClientContext>(proto, field, sources, out));
  return std::shared_ptr<const UpstreamTls>(std::move(out));
}

absl::Status check_secret(const tls_v3::Secret& secret, const router::FileReader& read_file) {
  const TlsSources sources{read_file, nullptr};
  Reader reader{sources};
  switch (secret.type_case()) {
    case tls_v3::Secret::kTlsCertificate: {
      FL_ASSIGN_OR_RETURN(const tls::KeyPair pair, read_pair(secret.tls_certificate(), "tls_certificate", reader));
      return tls::check_certificate(pair);
    }
    case tls_v3::Secret::kValidationContext: {
      if (!secret.validation_context().has_trusted_ca()) return absl::OkStatus();  // may be the default part's
      tls::Verification authorities;
      FL_ASSIGN_OR_RETURN(authorities.trusted_ca, reader.text(secret.validation_context().trusted_ca(), "validation_context.trusted_ca"));
      authorities.trusted_ca_place = place_of(secret.validation_context().trusted_ca());
      FL_ASSIGN_OR_RETURN(authorities.crl, reader.text(secret.validation_context().crl(), "validation_context.crl"));
      return tls::check_authorities(authorities);
    }
    case tls_v3::Secret::kSessionTicketKeys: {
      FL_ASSIGN_OR_RETURN(const auto keys, read_keys(secret.session_ticket_keys(), "session_ticket_keys", reader));
      return tls::check_ticket_keys(keys);
    }
    default: return absl::InvalidArgumentError("Secret type not implemented");
  }
}

}  // namespace fairlead::config
