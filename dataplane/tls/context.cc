// Contexts from plain values; see context.h.
#include "dataplane/tls/context.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include <algorithm>

#include "base/status.h"
#include "dataplane/tls/handshake_kdf.h"
#include "dataplane/tls/material.h"
#include "dataplane/tls/session.h"

namespace fairlead::tls {
namespace {

// Envoy 1.40, of TLS 1.2: both groups are the peer's choice.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
constexpr const char* kCiphers13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";  // BoringSSL's order
constexpr const char* kCurves = "X25519:P-256";  // Envoy 1.40

// "[A|B]" groups as single names: OpenSSL has no groups. SSL_OP_PRIORITIZE_CHACHA gives what they are used for.
std::vector<std::string> single_names(const std::vector<std::string>& ciphers, bool& grouped) {
  std::vector<std::string> out;
  for (const std::string& entry : ciphers) {
    std::string_view text = entry;
    if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
      grouped = true;
      text = text.substr(1, text.size() - 2);
    }
    for (std::string_view name : absl::StrSplit(text, '|', absl::SkipEmpty())) out.emplace_back(name);
  }
  return out;
}

absl::Status set_ciphers(SSL_CTX* ctx, const std::vector<std::string>& ciphers, bool& grouped) {
  grouped = true;
  if (SSL_CTX_set_ciphersuites(ctx, kCiphers13) != 1) return absl::InternalError(absl::StrCat("cipher suites of TLS 1.3: ", take_cause()));
  if (ciphers.empty()) {
    if (SSL_CTX_set_cipher_list(ctx, kCiphers) != 1) return absl::InternalError(absl::StrCat("default cipher suites: ", take_cause()));
    return absl::OkStatus();
  }
  grouped = false;
  std::vector<std::string> rejected;
  const std::vector<std::string> names = single_names(ciphers, grouped);
  for (const std::string& name : names) {
    const bool command = name.front() == '!' || name.front() == '-' || name.front() == '+' || name.front() == '@';
    if (!command && SSL_CTX_set_cipher_list(ctx, name.c_str()) != 1) rejected.push_back(name);
  }
  ERR_clear_error();
  if (!rejected.empty() || SSL_CTX_set_cipher_list(ctx, absl::StrJoin(names, ":").c_str()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat("Failed to initialize cipher suites ", absl::StrJoin(ciphers, ":"), ". The following ciphers were rejected when tried individually: ",
                                                   absl::StrJoin(rejected, ", ")));
  }
  return absl::OkStatus();
}

absl::Status set_parameters(SSL_CTX* ctx, const Parameters& wanted, bool server) {
  const Version min = wanted.min.value_or(Version::kTls12);                                   // Envoy 1.40: 1.2
  const Version max = wanted.max.value_or(server ? Version::kTls13 : Version::kTls12);        // Envoy 1.40: clients 1.2
  if (min < Version::kTls12) SSL_CTX_set_security_level(ctx, 0);  // OpenSSL 3 has no TLS 1.1 above it
  if (SSL_CTX_set_min_proto_version(ctx, static_cast<int>(min)) != 1 || SSL_CTX_set_max_proto_version(ctx, static_cast<int>(max)) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("Failed to set TLS protocol versions: ", take_cause()));
  }
  bool grouped = false;
  FL_RETURN_IF_ERROR(set_ciphers(ctx, wanted.ciphers, grouped));
  if (grouped && server) SSL_CTX_set_options(ctx, SSL_OP_PRIORITIZE_CHACHA);
  const std::string curves = wanted.curves.empty() ? kCurves : absl::StrJoin(wanted.curves, ":");
  if (SSL_CTX_set1_groups_list(ctx, curves.c_str()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat("Failed to initialize ECDH curves ", curves));
  }
  if (!wanted.signature_algorithms.empty()) {
    const std::string names = absl::StrJoin(wanted.signature_algorithms, ":");
    if (SSL_CTX_set1_sigalgs_list(ctx, names.c_str()) != 1) {
      ERR_clear_error();
      return absl::InvalidArgumentError(absl::StrCat("Failed to initialize TLS signature algorithms ", names));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> wire_form(const std::vector<std::string>& protocols) {
  std::string out;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) return absl::InvalidArgumentError(absl::StrCat("Invalid ALPN protocol string: ", protocol));
    out += static_cast<char>(protocol.size());
    out += protocol;
  }
  if (out.size() > 65535) return absl::InvalidArgumentError("Invalid ALPN protocol string: too many");
  return out;
}

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned int in_size, void* arg) {
  const std::string& own = static_cast<const Common*>(arg)->alpn;
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(own.data()), static_cast<unsigned>(own.size()), in, in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;  // Envoy 1.40: without ALPN then
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// Sessions are resumed only where the same is asked of the peer and the same names are served: a hash of both.
std::string session_context(const ServerOptions& options, const std::vector<ListedCertificate>& leaves) {
  std::string text = absl::StrCat(options.require_client_certificate, "|", absl::StrJoin(options.alpn, ","), "|");
  for (const ListedCertificate& leaf : leaves) {
    absl::StrAppend(&text, leaf.facts.common_name, "\n");
    for (const San& san : leaf.facts.names) absl::StrAppend(&text, static_cast<int>(san.type), san.value, "\n");
  }
  if (options.verification) {
    const Verification& v = *options.verification;
    absl::StrAppend(&text, "|", v.trusted_ca, "|", v.crl, "|", v.matcher_identity, "|", absl::StrJoin(v.spki_pins, ","), "|", absl::StrJoin(v.hash_pins, ","), v.accept_untrusted, v.allow_expired);
  }
  unsigned char digest[32];
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<char*>(digest), size};
}

int verify_mode(const ServerOptions& options) {
  if (!options.verification) return options.require_client_certificate ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE;
  const Verification& v = *options.verification;
  // Envoy 1.40: trusted_ca alone does not require a certificate; names and pins do.
  const bool needed = options.require_client_certificate || v.match_names || !v.spki_pins.empty() || !v.hash_pins.empty();
  if (needed) return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  return v.trusted_ca.empty() ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
}

void set_client_names(SSL_CTX* ctx, const std::string& trusted_ca) {
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  BioPtr in = bio_over(trusted_ca);
  while (X509Ptr certificate{PEM_read_bio_X509_AUX(in.get(), nullptr, nullptr, nullptr)}) {
    X509_NAME* name = X509_NAME_dup(X509_get_subject_name(certificate.get()));
    bool known = false;
    for (int i = 0; i < sk_X509_NAME_num(names); ++i) known |= X509_NAME_cmp(sk_X509_NAME_value(names, i), name) == 0;
    known ? X509_NAME_free(name) : static_cast<void>(sk_X509_NAME_push(names, name));
  }
  ERR_clear_error();
  SSL_CTX_set_client_CA_list(ctx, names);
}

void log_key(const SSL* ssl, const char* line) { Session::of(ssl).log_key(line); }

int new_client_session(SSL* ssl, SSL_SESSION* session) {
  Session::of(ssl).session_offered(session);
  return 1;  // it is ours now
}

}  // namespace

absl::StatusOr<StorePtr> load_trusted(const Verification& verification, std::vector<ListedCertificate>& listed) {
  StorePtr store(X509_STORE_new());
  const auto read = [](const std::string& pem) {
    BioPtr in = bio_over(pem);
    return PEM_X509_INFO_read_bio(in.get(), nullptr, nullptr, nullptr);
  };
  const auto free_all = [](STACK_OF(X509_INFO) * items) { sk_X509_INFO_pop_free(items, X509_INFO_free); };
  ERR_clear_error();
  STACK_OF(X509_INFO)* items = read(verification.trusted_ca);
  int certificates = 0, lists = 0;
  for (int i = 0; items != nullptr && i < sk_X509_INFO_num(items); ++i) {
    X509_INFO* item = sk_X509_INFO_value(items, i);
    if (item->x509 != nullptr) {
      X509_STORE_add_cert(store.get(), item->x509);
      listed.push_back({verification.trusted_ca_place, facts_of(item->x509), verification.name});
      ++certificates;
    }
    if (item->crl != nullptr) lists += X509_STORE_add_crl(store.get(), item->crl);
  }
  free_all(items);
  if (certificates == 0) return absl::InvalidArgumentError(absl::StrCat("Failed to load trusted CA certificates from ", verification.trusted_ca_place));
  if (!verification.crl.empty()) {
    items = read(verification.crl);
    int own = 0;
    for (int i = 0; items != nullptr && i < sk_X509_INFO_num(items); ++i) {
      X509_INFO* item = sk_X509_INFO_value(items, i);
      if (item->crl != nullptr) own += X509_STORE_add_crl(store.get(), item->crl);
    }
    free_all(items);
    if (own == 0) return absl::InvalidArgumentError("Failed to load CRL from <inline>");
    lists += own;
  }
  ERR_clear_error();
  if (lists != 0) X509_STORE_set_flags(store.get(), verification.only_leaf_crl ? X509_V_FLAG_CRL_CHECK : X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return store;
}

absl::Status read_common(const CommonOptions& options, Common& out, std::vector<ListedCertificate>& trusted) {
  out.verification = options.verification;
  if (options.verification && !options.verification->trusted_ca.empty()) {
    FL_ASSIGN_OR_RETURN(out.trusted, load_trusted(*options.verification, trusted));
    out.verification->trusted_ca.clear();  // megabytes, in every cluster
    out.verification->crl.clear();
  } else if (options.verification && !options.verification->crl.empty()) {
    return absl::InvalidArgumentError("Failed to load CRL from <inline> without trusted CA");
  }
  FL_ASSIGN_OR_RETURN(out.alpn, wire_form(options.alpn));
  if (!options.key_log.path.empty()) {
    FL_ASSIGN_OR_RETURN(out.key_log, KeyLogFile::open(options.key_log.path));
    out.key_log_wanted = options.key_log.wanted;
  }
  return absl::OkStatus();
}

absl::Status apply(SSL_CTX* ctx, const CommonOptions& options, bool server, const Common& common) {
  FL_RETURN_IF_ERROR(set_parameters(ctx, options.parameters, server));
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_cert_verify_callback(ctx, verify_peer, const_cast<Common*>(&common));
  if (common.trusted) SSL_CTX_set1_cert_store(ctx, common.trusted.get());
  if (common.key_log) SSL_CTX_set_keylog_callback(ctx, log_key);
  return absl::OkStatus();
}

absl::Status check(const CommonOptions& options, bool server) {
  Common common;
  FL_ASSIGN_OR_RETURN(common.alpn, wire_form(options.alpn));
  const CtxPtr ctx(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  return set_parameters(ctx.get(), options.parameters, server);
}

absl::Status check_certificate(const KeyPair& pair) { return load_leaf(pair).status(); }

absl::Status check_authorities(const Verification& verification) {
  std::vector<ListedCertificate> listed;
  return load_trusted(verification, listed).status();
}

absl::Status check_ticket_keys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    if (key.size() != 80) return absl::InvalidArgumentError(absl::StrCat("Incorrect TLS session ticket key length. Length ", key.size(), ", expected length 80."));
  }
  return absl::OkStatus();
}

ServerContext::ServerContext() : material_(std::make_unique<Material>()) {}
ServerContext::~ServerContext() = default;

absl::StatusOr<std::shared_ptr<const ServerContext>> ServerContext::create(const ServerOptions& options) {
  std::shared_ptr<ServerContext> out(new ServerContext());
  Material& material = *out->material_;
  if (options.certificates.empty()) return absl::InvalidArgumentError("Server TlsCertificates must have a certificate specified");
  FL_RETURN_IF_ERROR(read_common(options, material, out->trusted_));
  material.full_scan = options.full_scan_on_sni_mismatch;
  material.own_records = options.own_records;
  material.ocsp = options.ocsp;
  FL_RETURN_IF_ERROR(check_ticket_keys(options.ticket_keys));
  for (const std::string& key : options.ticket_keys) {
    TicketKey ticket;
    std::copy_n(key.data(), 16, ticket.name.begin());
    std::copy_n(key.data() + 16, 32, ticket.hmac.begin());
    std::copy_n(key.data() + 48, 32, ticket.aes.begin());
    material.ticket_keys.push_back(ticket);
  }
  for (const KeyPair& pair : options.certificates) {
    FL_ASSIGN_OR_RETURN(Leaf leaf, load_leaf(pair));
    FL_RETURN_IF_ERROR(load_staple(pair, options.ocsp, leaf));
    out->certificates_.push_back({pair.place, facts_of(leaf.certificate.get()), pair.name});
    const size_t index = material.served.size();
    const CertificateFacts& facts = out->certificates_.back().facts;
    material.has_rsa |= leaf.curve == 0;
    const auto add_name = [&](std::string name) {
      absl::AsciiStrToLower(&name);
      if (absl::StartsWith(name, "*.")) name.erase(0, 1);
      std::vector<size_t>& known = material.by_name[name];
      const bool taken = std::any_of(known.begin(), known.end(), [&](size_t i) { return (material.served[i].leaf.curve != 0) == (leaf.curve != 0); });
      if (!taken) known.push_back(index);
    };
    bool named = false;
    for (const San& san : facts.names) {
      if (san.type != San::Type::kDns) continue;
      named = true;
      add_name(san.value);
    }
    if (!named && !facts.common_name.empty()) add_name(facts.common_name);
    material.served.push_back({std::move(leaf), new_server_ctx(options.own_records)});
  }
  const std::string id = session_context(options, out->certificates_);
  for (Material::Served& served : material.served) {
    SSL_CTX* ctx = served.ctx.get();
    FL_RETURN_IF_ERROR(apply(ctx, options, true, material));
    FL_RETURN_IF_ERROR(use_leaf(ctx, served.leaf, served.leaf.place));
    SSL_CTX_set_app_data(ctx, &material);
    SSL_CTX_set_verify(ctx, verify_mode(options), nullptr);
    SSL_CTX_set_session_id_context(ctx, reinterpret_cast<const unsigned char*>(id.data()), static_cast<unsigned>(id.size()));
    if (!options.prefer_client_ciphers) SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (!options.tickets) {
      SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
      SSL_CTX_set_num_tickets(ctx, 0);
    }
    SSL_CTX_set_session_cache_mode(ctx, options.session_cache ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
    if (options.session_timeout) SSL_CTX_set_timeout(ctx, options.session_timeout->count());
    if (!material.ticket_keys.empty()) SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, crypt_ticket);
    if (!material.alpn.empty()) SSL_CTX_set_alpn_select_cb(ctx, select_alpn, static_cast<Common*>(&material));
    if (options.send_trusted_names && options.verification && !options.verification->trusted_ca.empty()) set_client_names(ctx, options.verification->trusted_ca);
    SSL_CTX_set_client_hello_cb(ctx, choose_certificate, &material);
    SSL_CTX_set_tlsext_status_cb(ctx, +[](SSL* ssl, void*) { return Session::of(ssl).staple(ssl); });
  }
  return std::shared_ptr<const ServerContext>(std::move(out));
}

ClientContext::ClientContext() : material_(std::make_unique<Material>()) {}
ClientContext::~ClientContext() = default;

absl::StatusOr<std::shared_ptr<const ClientContext>> ClientContext::create(const ClientOptions& options) {
  std::shared_ptr<ClientContext> out(new ClientContext());
  Material& material = *out->material_;
  FL_RETURN_IF_ERROR(read_common(options, material, out->trusted_));
  if (options.server_name.size() > 255) return absl::InvalidArgumentError("SNI names longer than 255 bytes are not allowed");
  if (options.server_name.find('\0') != std::string::npos) return absl::InvalidArgumentError("SNI names containing NULL-byte are not allowed");
  material.server_name = options.server_name;
  material.max_sessions = options.max_sessions;
  material.ctx.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* ctx = material.ctx.get();
  FL_RETURN_IF_ERROR(apply(ctx, options, false, material));
  if (options.certificate) {
    FL_ASSIGN_OR_RETURN(Leaf leaf, load_leaf(*options.certificate));
    FL_RETURN_IF_ERROR(use_leaf(ctx, leaf, options.certificate->place));
    out->certificates_.push_back({options.certificate->place, facts_of(leaf.certificate.get()), options.certificate->name});
  }
  SSL_CTX_set_verify(ctx, options.verification ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!material.alpn.empty()) SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(material.alpn.data()), static_cast<unsigned>(material.alpn.size()));
  if (options.max_sessions != 0) {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, new_client_session);
  } else {
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  }
  return std::shared_ptr<const ClientContext>(std::move(out));
}

}  // namespace fairlead::tls
