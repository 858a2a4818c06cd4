// Contexts that are made of discovered secrets and of files that change.
#include "dataplane/config/secrets.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <catch2/catch.hpp>

#include "dataplane/config/tls.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "tests/unit/dataplane/from_yaml.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace secrets_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Contains;
namespace v3 = envoy::extensions::transport_sockets::tls::v3;

namespace {

const test::Authority& ca() {
  static const test::Authority authority;
  return authority;
}
std::string quoted(const std::string& text) { return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\""); }
std::string in_line(const std::string& text) { return absl::StrCat("{inline_string: ", quoted(text), "}"); }
std::string ads(const std::string& name) { return absl::StrCat("{name: ", name, ", sds_config: {ads: {}, resource_api_version: V3}}"); }
std::string key(const std::string& name) { return secret_key(name, "ads"); }

// What the proxy's main thread has: files, secrets, and what was parsed with them.
struct World {
  World() {
    sources.read_file = [this](const std::string& path) -> absl::StatusOr<std::string> {
      const auto it = files.find(path);
      if (it == files.end()) return absl::NotFoundError(absl::StrCat(path, ": no such file"));
      return it->second;
    };
    sources.discovered = std::make_shared<DiscoveredSecrets>(sources.read_file);
    sources.secrets = std::make_shared<StaticSecrets>();
  }
  std::shared_ptr<const DownstreamTls> down(const std::string& yaml) {
    auto parsed = parse_downstream_tls(test::from_yaml<v3::DownstreamTlsContext>(yaml), "ts", sources);
    INFO(parsed.status().ToString());
    REQUIRE(parsed.ok());
    return *parsed;
  }
  std::shared_ptr<const UpstreamTls> up(const std::string& yaml) {
    auto parsed = parse_upstream_tls(test::from_yaml<v3::UpstreamTlsContext>(yaml), "ts", sources);
    INFO(parsed.status().ToString());
    REQUIRE(parsed.ok());
    return *parsed;
  }
  absl::StatusOr<bool> set(const std::string& yaml) {
    auto secret = std::make_shared<const v3::Secret>(test::from_yaml<v3::Secret>(yaml));
    return sources.discovered->set(key(secret->name()), secret);
  }
  absl::StatusOr<bool> pair(const std::string& name, const test::MadeCertificate& made) { return pair(name, made.chain, made.key); }
  absl::StatusOr<bool> pair(const std::string& name, const std::string& chain, const std::string& private_key) {
    return set(absl::StrCat("{name: ", name, ", tls_certificate: {certificate_chain: ", in_line(chain), ", private_key: ", in_line(private_key), "}}"));
  }
  absl::StatusOr<bool> trust(const std::string& name, const std::string& pem) { return set(absl::StrCat("{name: ", name, ", validation_context: {trusted_ca: ", in_line(pem), "}}")); }

  std::map<std::string, std::string> files;
  TlsSources sources;
};

std::string served(const DownstreamTls& tls) { return tls.context() == nullptr ? "nothing" : tls.context()->certificates().front().facts.common_name; }

}  // namespace

TEST_CASE("a listener has no context before its certificate has come, and a new one whenever it changes") {
  World w;
  const auto tls = w.down("common_tls_context: {tls_certificate_sds_secret_configs: [" + ads("s") + "]}");
  REQUIRE(tls->secrets.size() == 1);
  CHECK(tls->secrets[0].name == "s");
  CHECK(tls->secrets[0].key == key("s"));
  CHECK(served(*tls) == "nothing");
  int changes = 0;
  tls->on_change([&](const tls::ServerContext*) { ++changes; });
  const auto one = ca().issue("one");
  CHECK(w.pair("s", one).value());
  CHECK(served(*tls) == "one");
  const auto old = tls->context();
  CHECK_FALSE(w.pair("s", one).value());  // the same again
  CHECK(tls->context() == old);
  CHECK(w.pair("s", ca().issue("two")).value());
  CHECK(served(*tls) == "two");
  CHECK(old->certificates().front().facts.common_name == "one");  // for connections that began with it
  CHECK(changes == 2);
  CHECK(served(*w.down("common_tls_context: {tls_certificate_sds_secret_configs: [" + ads("s") + "]}")) == "two");  // a later listener need not wait
}

TEST_CASE("a secret that cannot be used is refused without its content, and the old one keeps serving everybody") {
  World w;
  const auto tls = w.down("common_tls_context: {tls_certificate_sds_secret_configs: [" + ads("s") + "]}");
  const auto one = ca().issue("one"), other = ca().issue("other");
  REQUIRE(w.pair("s", one).ok());
  const auto before = tls->context();
  const auto refused = [&](const absl::StatusOr<bool>& set, const std::string& why) {
    REQUIRE_FALSE(set.ok());
    CHECK_THAT(std::string(set.status().message()), Contains(why) && !Contains("PRIVATE KEY") && !Contains(other.key.substr(40, 30)));
    CHECK(tls->context() == before);
  };
  refused(w.pair("s", one.chain, other.key), "Failed to load private key from <inline>");
  refused(w.pair("s", "nonsense", other.key), "Failed to load certificate chain from <inline>");
  refused(w.pair("s", one.chain, "-----BEGIN PRIVATE KEY-----\nTm90IGEga2V5\n-----END PRIVATE KEY-----\n"), "Failed to load private key from <inline>");
  refused(w.trust("s", ca().pem()), "is no tls_certificate");
  CHECK(w.pair("s", ca().issue("expired", test::Authority::Wish{.valid_from = -7200, .valid_for = -3600})).ok());  // Envoy 1.40: likewise
  CHECK(served(*tls) == "expired");
}

TEST_CASE("one context that cannot be made with a secret keeps it from all") {
  World w;
  const std::string lead = "common_tls_context: {validation_context_sds_secret_config: " + ads("ca");
  const auto plain = w.up(lead + "}");
  const auto picky = w.up(lead + "}\nauto_sni_san_validation: true\nsni: a");
  REQUIRE(w.trust("ca", ca().pem()).ok());
  const auto before = plain->context();
  REQUIRE(before != nullptr);
  CHECK_THAT(std::string(w.set("{name: ca, validation_context: {verify_certificate_hash: [" + std::string(64, 'a') + "]}}").status().message()), Contains("without configuring a trusted CA"));
  CHECK(plain->context() == before);
}

TEST_CASE("a combined context waits for its secret and joins it with its default") {
  World w;
  const auto one = ca().issue("one");
  REQUIRE(w.pair("pair", one).ok());
  w.files["/ca.pem"] = ca().pem();
  const auto tls = w.up("common_tls_context: {tls_certificate_sds_secret_configs: [" + ads("pair") +
                        "], combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}, validation_context_sds_secret_config: " + ads("ca") + "}}");
  CHECK(tls->secrets.size() == 2);
  CHECK(tls->context() == nullptr);
  CHECK_FALSE(w.pair("pair", one.chain, ca().issue("x").key).ok());  // although no context could be made anyway
  REQUIRE(w.trust("ca", ca().pem()).ok());
  REQUIRE(tls->context() != nullptr);
  CHECK(tls->context()->trusted().size() == 1);
  CHECK(tls->context()->trusted()[0].secret == "ca");
  // the default's own file stands beside files of the secret
  const auto filed = w.up("common_tls_context: {combined_validation_context: {default_validation_context: {trusted_ca: {filename: /ca.pem}}, validation_context_sds_secret_config: " + ads("names") + "}}");
  REQUIRE(w.set("{name: names, validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}}").ok());
  REQUIRE(filed->context() != nullptr);
  CHECK(filed->context()->trusted().size() == 1);
}

TEST_CASE("of several certificates those that have come serve; ticket keys are waited for") {
  World w;
  const auto tls = w.down("common_tls_context: {tls_certificate_sds_secret_configs: [" + ads("a") + ", " + ads("b") + "]}\nsession_ticket_keys_sds_secret_config: " + ads("keys"));
  REQUIRE(w.pair("b", ca().issue("b")).ok());
  CHECK(tls->context() == nullptr);
  CHECK_THAT(std::string(w.set("{name: keys, session_ticket_keys: {keys: [{inline_string: short}]}}").status().message()), Contains("Incorrect TLS session ticket key length. Length 5, expected length 80."));
  REQUIRE(w.set("{name: keys, session_ticket_keys: {keys: [{inline_string: " + std::string(80, 'k') + "}]}}").ok());
  REQUIRE(tls->context() != nullptr);
  CHECK(tls->context()->certificates().size() == 1);
  REQUIRE(w.pair("a", ca().issue("a")).ok());
  CHECK(tls->context()->certificates().size() == 2);
}

TEST_CASE("what is wrong whatever the secret holds is refused before it comes") {
  World w;
  const auto error = [&](const std::string& yaml) { return std::string(parse_downstream_tls(test::from_yaml<v3::DownstreamTlsContext>(yaml), "ts", w.sources).status().message()); };
  const std::string lead = "common_tls_context: {tls_certificate_sds_secret_configs: [";
  CHECK_THAT(error(lead + ads("s") + "], tls_params: {cipher_suites: [NO_SUCH]}}"), Contains("ts: Failed to initialize cipher suites NO_SUCH"));
  CHECK_THAT(error(lead + "{name: s, sds_config: {self: {}}}]}"), Contains("ts.common_tls_context.tls_certificate_sds_secret_configs[0].sds_config: Missing config source specifier"));
  CHECK_THAT(error(lead + "{name: s, sds_config: {}}]}"), Contains("ts.common_tls_context.tls_certificate_sds_secret_configs[0].sds_config"));
  const auto two = parse_upstream_tls(test::from_yaml<v3::UpstreamTlsContext>(lead + ads("a") + ", " + ads("b") + "]}"), "ts", w.sources);
  CHECK_THAT(std::string(two.status().message()), Contains("Multiple TLS certificates are not supported for client contexts"));
}

TEST_CASE("files that a secret names are read again after a move in their directory, together or not at all") {
  World w;
  const auto tls = w.down("common_tls_context: {tls_certificate_sds_secret_configs: [" + ads("s") + "]}");
  const std::string yaml = "{name: s, tls_certificate: {certificate_chain: {filename: /certs/chain.pem}, private_key: {filename: /keys/key.pem}}}";
  CHECK_THAT(std::string(w.set(yaml).status().message()), Contains("/certs/chain.pem: no such file"));
  const auto write = [&](const test::MadeCertificate& made) {
    w.files["/certs/chain.pem"] = made.chain;
    w.files["/keys/key.pem"] = made.key;
  };
  write(ca().issue("one"));
  REQUIRE(w.set(yaml).ok());
  CHECK(served(*tls) == "one");
  CHECK(tls->context()->certificates()[0].place == "/certs/chain.pem");
  CHECK(w.sources.discovered->directories() == std::set<std::string>{"/certs", "/keys"});
  CHECK(w.sources.discovered->moved({"/certs"}).empty());  // nothing of ours
  const auto two = ca().issue("two");
  w.files["/certs/chain.pem"] = two.chain;
  auto read = w.sources.discovered->moved({"/certs"});
  REQUIRE(read.size() == 1);
  CHECK(read[0].secret == "s");
  CHECK_THAT(std::string(read[0].status.message()), Contains("Failed to load private key from /keys/key.pem"));
  CHECK(served(*tls) == "one");
  write(two);
  read = w.sources.discovered->moved({"/keys"});
  REQUIRE(read.size() == 1);
  CHECK(read[0].status.ok());
  CHECK(served(*tls) == "two");
  write(ca().issue("three"));
  CHECK(w.sources.discovered->moved({"/elsewhere"}).empty());
  CHECK(served(*tls) == "two");
  w.files.erase("/keys/key.pem");
  CHECK_FALSE(w.sources.discovered->moved({"/keys"}).at(0).status.ok());
  CHECK(served(*tls) == "two");
}

TEST_CASE("a watched directory stands for the files of its secret, and of a certificate that is no secret") {
  World w;
  const auto made = ca().issue("one"), next = ca().issue("two");
  w.files = {{"/c", made.chain}, {"/k", made.key}};
  const std::string pair = "{certificate_chain: {filename: /c}, private_key: {filename: /k}, watched_directory: {path: /watched}}";
  const auto fixed = w.down("common_tls_context: {tls_certificates: [" + pair + "]}");
  const auto unwatched = w.down("common_tls_context: {tls_certificates: [{certificate_chain: {filename: /c}, private_key: {filename: /k}}]}");
  const auto by_source = w.down("common_tls_context: {tls_certificates: [{certificate_chain: {filename: /c, watched_directory: {path: /other}}, private_key: {filename: /k}}]}");
  const auto tls = w.down("common_tls_context: {tls_certificate_sds_secret_configs: [" + ads("s") + "]}");
  REQUIRE(w.set("{name: s, tls_certificate: " + pair + "}").ok());
  CHECK(w.sources.discovered->directories() == std::set<std::string>{"/other", "/watched"});
  const auto before = fixed->context();
  CHECK(w.sources.discovered->moved({"/watched"}).empty());
  CHECK(fixed->context() == before);
  w.files = {{"/c", next.chain}, {"/k", next.key}};
  CHECK(w.sources.discovered->moved({"/watched"}).size() == 2);
  CHECK(served(*fixed) == "two");
  CHECK(served(*tls) == "two");
  CHECK(served(*by_source) == "one");
  CHECK(w.sources.discovered->moved({"/other"}).size() == 1);
  CHECK(served(*by_source) == "two");
  CHECK(served(*unwatched) == "one");
}

TEST_CASE("files that change while they are read are read until they stay") {
  World w;
  const auto old = ca().issue("old"), fresh = ca().issue("fresh");
  std::string chain = old.chain, private_key = fresh.key;
  int reads = 0;
  const DiscoveredSecrets::Known* known = nullptr;
  DiscoveredSecrets secrets([&](const std::string& path) -> absl::StatusOr<std::string> {
    if (++reads == 3) chain = fresh.chain;  // between the two files of the second reading
    return path == "/c" ? chain : private_key;
  });
  REQUIRE(secrets.set("s\nads", std::make_shared<const v3::Secret>(test::from_yaml<v3::Secret>("{name: s, tls_certificate: {certificate_chain: {filename: /c}, private_key: {filename: /k}}}"))).ok());
  known = secrets.find("s\nads").get();
  REQUIRE(known != nullptr);
  CHECK(known->files.at("/c") == fresh.chain);
  CHECK(reads >= 6);
}

TEST_CASE("what is judged without a proxy may name discovered secrets") {
  const auto parsed = parse_downstream_tls(test::from_yaml<v3::DownstreamTlsContext>("common_tls_context: {tls_certificate_sds_secret_configs: [" + ads("s") + "], combined_validation_context: {default_validation_context: "
                                                                                      "{match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}, validation_context_sds_secret_config: " + ads("ca") + "}}"), "ts", {});
  REQUIRE(parsed.ok());
  CHECK((*parsed)->context() == nullptr);
  CHECK((*parsed)->secrets.size() == 2);
}

TEST_CASE("sources are told apart by what they are") {
  ConfigSource path;
  path.kind = ConfigSource::Kind::Path;
  path.path = "/a";
  ConfigSource watched = path;
  watched.watched_directory = "/b";
  ConfigSource api;
  api.kind = ConfigSource::Kind::Api;
  api.api.services.push_back({"sds", "", {}, {}});
  CHECK(std::set<std::string>{source_key({}), source_key(path), source_key(watched), source_key(api)}.size() == 4);
  CHECK(secret_name(secret_key("a b", source_key(path))) == "a b");
}

}  // namespace secrets_test
