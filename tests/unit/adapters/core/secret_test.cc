// Secrets and bundles: what is read, what is refused, and that no message tells a part of what stands there.
#include <catch2/catch.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "adapters/core/core.h"
#include "adapters/core/secret.h"
#include "base/file.h"

namespace fairlead::adapters::core::secret_test {
namespace {

ObjectPtr make(const std::string& yaml) {
  std::vector<Diagnostic> errors;
  const auto documents = doc::parse_yaml(yaml, "secrets.yaml");
  INFO(documents.status().message());
  REQUIRE(documents.ok());
  ObjectPtr o = read_object((*documents)[0], "s", "secrets.yaml", errors);
  REQUIRE(o);
  return o;
}

// The Secret "a" (base64), the Secret "wild" (text) or the ConfigMap "authority" of the golden folder.
std::string material(const std::string& name) {
  const auto text = read_file(std::string(FAIRLEAD_SOURCE_DIR) + "/tests/golden/gatewayapi/base.yaml");
  REQUIRE(text.ok());
  const size_t at = text->find("metadata: {name: " + name + "}");
  REQUIRE(at != std::string::npos);
  const size_t begin = text->rfind("\n---\n", at) + 5, end = text->find("\n---\n", at);
  return text->substr(begin, end == std::string::npos ? end : end + 1 - begin);
}

std::string field(const std::string& yaml, const std::string& key) {
  const size_t begin = yaml.find(key + ": ") + key.size() + 2;
  return yaml.substr(begin, yaml.find('\n', begin) - begin);
}

std::vector<std::string> told(const ObjectPtr& object) {
  std::vector<Diagnostic> out;
  CHECK(check_core(*object, out));
  std::vector<std::string> texts;
  for (const Diagnostic& d : out) texts.push_back(std::string(severity_name(d.severity)) + ": " + d.str());
  return texts;
}

TEST_CASE("a TLS secret is read from data and from stringData") {
  for (const char* name : {"a", "wild"}) {
    INFO(name);
    const ObjectPtr object = make(material(name));
    CHECK(told(object).empty());
    std::vector<Diagnostic> out;
    const TlsSecret secret = read_tls_secret(*object, out);
    CHECK(secret.certificate_chain.starts_with("-----BEGIN CERTIFICATE-----\n"));
    CHECK(secret.private_key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    CHECK(secret.dns_names == std::vector<std::string>{name == std::string("a") ? "a.example.com" : "*.example.com"});
  }
}

TEST_CASE("base64 may be broken into lines, and stringData wins") {
  const std::string a = material("a"), certificate = field(a, "tls.crt"), key = field(a, "tls.key");
  const std::string head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\n";
  CHECK(told(make(head + "data:\n  tls.crt: |\n    " + certificate.substr(0, 76) + "\n    " + certificate.substr(76) + "\n  tls.key: " + key + "\n")).empty());
  const std::string wild = material("wild");
  CHECK(told(make(a + wild.substr(wild.find("stringData:")))).empty());
}

TEST_CASE("material that no server could load is refused at its line, and no message tells a part of it") {
  const std::string a = material("a"), certificate = field(a, "tls.crt"), key = field(a, "tls.key"), wild = material("wild");
  const std::string head = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\n";
  struct Row {
    std::string body, said;
  };
  const std::vector<Row> rows = {
      {"data: {tls.crt: " + certificate + "}\n", "error: secrets.yaml:5: Secret default/a: data: tls.key is required"},
      {"data: {tls.crt: " + certificate + ", tls.key: \"" + key.substr(1) + "\"}\n", "error: secrets.yaml:5: Secret default/a: data[\"tls.key\"]: "},
      {"data:\n  tls.crt: " + certificate + "\n  tls.key: \"%" + key + "\"\n", "error: secrets.yaml:7: Secret default/a: data[\"tls.key\"]: is not base64"},
      {"data:\n  tls.crt: " + key + "\n  tls.key: " + key + "\n", "error: secrets.yaml:6: Secret default/a: data[\"tls.crt\"]: no certificate in PEM form"},
      {"data:\n  tls.crt: " + certificate + "\n  tls.key: " + certificate + "\n", "error: secrets.yaml:7: Secret default/a: data[\"tls.key\"]: Failed to load private key from tls.key, Cause: "},
      {key + ": x\ndata:\n  tls.crt: " + certificate + "\n  tls.key: " + key + "\n", "error: secrets.yaml:5: Secret default/a: unknown field"},
      {"data: " + key + "\n", "error: secrets.yaml:5: Secret default/a: data: expected a map, got a string"},
      {"data: {tls.crt: " + certificate + "}\n" + wild.substr(wild.find("stringData:"), wild.find("  tls.crt:") - wild.find("stringData:")) + wild.substr(wild.find("  tls.key:")),
       "Secret default/a: stringData[\"tls.key\"]: Failed to load private key from tls.key, Cause: it does not belong to the certificate in tls.crt"},
  };
  for (const Row& row : rows) {
    INFO(row.said);
    const std::vector<std::string> texts = told(make(head + row.body));
    REQUIRE(texts.size() == 1);
    INFO(texts[0]);
    CHECK(texts[0].find(row.said) != std::string::npos);
    CHECK(texts[0].find("-----BEGIN") == std::string::npos);
    for (size_t i = 0; i + 12 < key.size(); i += 4) CHECK(texts[0].find(key.substr(i, 12)) == std::string::npos);
  }
}

TEST_CASE("secrets of other types and ConfigMaps without certificates are not kept") {
  std::vector<Diagnostic> out;
  CHECK_FALSE(check_core(*make("{apiVersion: v1, kind: Secret, metadata: {name: a}, type: Opaque, data: {tls.key: x}}"), out));
  CHECK_FALSE(check_core(*make("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: b}}"), out));
  for (const Diagnostic& d : out) CHECK(d.severity == Severity::kNote);
}

TEST_CASE("a bundle of certificates is a ConfigMap's ca.crt") {
  const ObjectPtr object = make(material("authority"));
  CHECK(told(object).empty());
  std::vector<Diagnostic> out;
  CHECK(read_ca_bundle(*object, out).certificates.starts_with("-----BEGIN CERTIFICATE-----\n"));
  CHECK(told(make("{apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {ca.crt: nothing}}")) ==
        std::vector<std::string>{"error: secrets.yaml:1: ConfigMap default/b: data[\"ca.crt\"]: no certificate in PEM form"});
}

TEST_CASE("a wildcard name covers one label") {
  CHECK(covers({"a.com", "*.b.com"}, "A.com"));
  CHECK(covers({"*.b.com"}, "x.b.com"));
  CHECK_FALSE(covers({"*.b.com"}, "x.y.b.com"));
  CHECK_FALSE(covers({"*.b.com"}, "b.com"));
  CHECK_FALSE(covers({}, "b.com"));
}

}  // namespace
}  // namespace fairlead::adapters::core::secret_test
