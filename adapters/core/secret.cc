// Secrets and bundles of certificates. See secret.h.
#include "adapters/core/secret.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/clock.h"
#include "base/doc_reader.h"
#include "base/status.h"
#include "base/strings.h"
#include "dataplane/tls/certificate.h"
#include "dataplane/tls/context.h"

namespace fairlead::adapters::core {

namespace {

constexpr std::string_view kTlsType = "kubernetes.io/tls";
constexpr std::string_view kCertificate = "tls.crt", kKey = "tls.key", kBundle = "ca.crt";

// A value, and where it is written.
struct Field {
  doc::Reader reader;
  std::string text;
};
using Fields = std::map<std::string, Field, std::less<>>;

// The texts of one map. Errors name the key and never what stands there. `encoded`: in base64.
void read_texts(doc::Object& top, std::string_view key, bool encoded, ErrorList& errors, Fields& into) {
  const doc::Reader map = top.get(key);
  if (!map.present()) return;
  if (!map.value().is_map()) {
    errors.add(map.error(absl::StrCat("expected a map, got ", doc::kind_name(map.value().kind()))));
    return;
  }
  for (const doc::Entry& entry : map.value().entries()) {
    const doc::Reader reader = map.get(entry.key);
    if (!reader.present()) continue;
    if (!reader.value().is_string()) {
      errors.add(reader.error(absl::StrCat("expected a string, got ", doc::kind_name(reader.value().kind()))));
      continue;
    }
    std::string text = reader.value().as_string();
    if (encoded) {
      std::optional<std::string> bytes = decode_base64(absl::StrReplaceAll(text, {{"\n", ""}, {"\r", ""}}));
      if (!bytes) {
        errors.add(reader.error(absl::StrCat("is not base64; text as it is goes into stringData")));
        continue;
      }
      text = *std::move(bytes);
    }
    into.insert_or_assign(entry.key, Field{reader, std::move(text)});
  }
}

// As doc::Object does, but for names that are none: they may be what should be a value.
void refuse_unknown(doc::Object& top, ErrorList& errors) {
  constexpr size_t kLongestName = 40;
  for (const doc::Entry& entry : top.reader().value().entries()) {
    if (entry.key.size() <= kLongestName) continue;
    errors.add(doc::error_at(top.reader().get(entry.key).mark(), "", "unknown field"));
    top.ignore(entry.key);
  }
}

std::string day(SystemTime time) {
  const std::string text = format_time(time);
  return text.substr(0, text.find('T'));
}

std::string describe(const tls::CertificateFacts& facts) { return absl::StrCat("certificate of \"", facts.subject, "\""); }

// Warnings about dates; the object stays good.
void check_dates(const std::vector<tls::CertificateFacts>& chain, const Field& field, const Object& object, std::vector<Diagnostic>& out) {
  const SystemTime now = RealClock::instance().system();
  for (const tls::CertificateFacts& facts : chain) {
    std::string wrong;
    if (facts.not_after < now) wrong = absl::StrCat(describe(facts), " expired on ", day(facts.not_after));
    if (facts.not_before > now) wrong = absl::StrCat(describe(facts), " is not valid before ", day(facts.not_before));
    if (wrong.empty()) continue;
    out.push_back(Diagnostic{Severity::kWarning, object.key, object.file, static_cast<int>(field.reader.mark().line), field.reader.path(), std::move(wrong)});
  }
}

std::vector<std::string> names_of(const tls::CertificateFacts& facts) {
  std::vector<std::string> names;
  for (const tls::San& san : facts.names) {
    if (san.type == tls::San::Type::kDns) names.push_back(san.value);
  }
  if (facts.names.empty() && !facts.common_name.empty()) names.push_back(facts.common_name);
  return names;
}

const Field* required(const Fields& fields, std::string_view key, doc::Object& top, ErrorList& errors) {
  const auto found = fields.find(key);
  if (found == fields.end()) {
    // said already where it is there and cannot be read
    if (errors.empty()) top.error("data", absl::StrCat(key, " is required"));
    return nullptr;
  }
  if (found->second.text.empty()) errors.add(found->second.reader.error("must not be empty"));
  return found->second.text.empty() ? nullptr : &found->second;
}

// The certificates of a field, with what is wrong about them said; empty: they cannot be read.
std::vector<tls::CertificateFacts> read_chain(const Field& field, const Object& object, ErrorList& errors, std::vector<Diagnostic>& out) {
  auto chain = tls::read_certificates(field.text);
  if (!chain.ok()) {
    errors.add(field.reader.error(chain.status().message()));
    return {};
  }
  check_dates(*chain, field, object, out);
  return *std::move(chain);
}

// The pair as a server would load it.
void check_pair(const Field& certificate, const Field& key, ErrorList& errors) {
  tls::ServerOptions options;
  tls::KeyPair& pair = options.certificates.emplace_back();
  pair.chain = certificate.text;
  pair.key = key.text;
  pair.place = kCertificate;
  pair.key_place = kKey;
  const auto context = tls::ServerContext::create(options);
  if (context.ok()) return;
  const Field& wrong = absl::StartsWith(context.status().message(), "Failed to load private key") ? key : certificate;
  errors.add(wrong.reader.error(context.status().message()));
}

}  // namespace

bool is_tls_secret(const Object& object) {
  const doc::Value* type = object.body.find("type");
  return object.key.group.empty() && object.key.kind == "Secret" && type != nullptr && type->is_string() && type->as_string() == kTlsType;
}

bool has_ca_bundle(const Object& object) {
  const doc::Value* data = object.body.find("data");
  return object.key.group.empty() && object.key.kind == "ConfigMap" && data != nullptr && data->find(kBundle) != nullptr;
}

TlsSecret read_tls_secret(const Object& object, std::vector<Diagnostic>& out) {
  TlsSecret secret;
  secret.key = object.key;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    for (std::string_view field : {"apiVersion", "kind", "metadata", "type"}) top.ignore(field);
    top.boolean("immutable");
    refuse_unknown(top, errors);
    Fields fields;
    read_texts(top, "data", true, errors, fields);
    read_texts(top, "stringData", false, errors, fields);  // wins, as in Kubernetes
    const Field* certificate = required(fields, kCertificate, top, errors);
    const Field* key = required(fields, kKey, top, errors);
    if (certificate != nullptr) {
      const std::vector<tls::CertificateFacts> chain = read_chain(*certificate, object, errors, out);
      if (!chain.empty()) {
        if (key != nullptr) check_pair(*certificate, *key, errors);
        secret.dns_names = names_of(chain.front());
      }
      secret.certificate_chain = certificate->text;
    }
    if (key != nullptr) secret.private_key = key->text;
  }
  add_errors(errors, object, out);
  return secret;
}

CaBundle read_ca_bundle(const Object& object, std::vector<Diagnostic>& out) {
  CaBundle bundle;
  bundle.key = object.key;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    for (std::string_view field : {"apiVersion", "kind", "metadata", "binaryData"}) top.ignore(field);
    top.boolean("immutable");
    Fields fields;
    read_texts(top, "data", false, errors, fields);
    if (const Field* certificates = required(fields, kBundle, top, errors)) {
      read_chain(*certificates, object, errors, out);
      bundle.certificates = certificates->text;
    }
  }
  add_errors(errors, object, out);
  return bundle;
}

bool covers(const std::vector<std::string>& names, std::string_view hostname) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    if (absl::EqualsIgnoreCase(name, hostname)) return true;
    if (!absl::StartsWith(name, "*.")) return false;
    const size_t dot = hostname.find('.');
    return dot != std::string_view::npos && absl::EqualsIgnoreCase(hostname.substr(dot), name.substr(1));
  });
}

}  // namespace fairlead::adapters::core
