// The files behind the xDS port, and what becomes of their changes.
#include <catch2/catch.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "base/file.h"
#include "controlplane/serve/credentials.h"
#include "tests/unit/controlplane/serve/make_tokens.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace credentials_test {

using namespace fairlead;
using serve::Credentials;
using Catch::Matchers::Contains;

namespace {

struct Folder {
  TemporaryDirectory d;
  test::Authority ca;
  Credentials::Files files{d.path("cert.pem"), d.path("key.pem"), d.path("ca.pem"), {}, ""};
  Folder() {
    save(ca.issue("one"));
    put("ca.pem", ca.pem());
  }
  void put(const std::string& name, const std::string& text) { REQUIRE(replace_file(d.path(name), text).ok()); }
  void save(const test::MadeCertificate& made) {
    put("cert.pem", made.chain);
    put("key.pem", made.key);
  }
  std::string wrong() { return std::string(Credentials::load(files).status().message()); }
};

// What the watching thread says.
struct Heard {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> words;
  void say(std::string word) {
    const std::lock_guard lock(mutex);
    words.push_back(std::move(word));
    changed.notify_all();
  }
  // The next one that holds this; those before it are over.
  std::string await(const std::string& part) {
    std::unique_lock lock(mutex);
    std::string found;
    REQUIRE(changed.wait_for(lock, std::chrono::seconds(20), [&] {
      while (found.find(part) == std::string::npos && !words.empty()) {
        found = words.front();
        words.pop_front();
      }
      return found.find(part) != std::string::npos;
    }));
    return found;
  }
  std::unique_ptr<Credentials> watch(const Credentials::Files& files) {
    return std::make_unique<Credentials>(
        files, *Credentials::load(files),
        [this](Credentials::Loaded loaded) {
          say(loaded.tls ? loaded.tls->certificates().front().facts.common_name : loaded.tokens ? "keys " + std::to_string(loaded.tokens->keys()) : "rules " + std::to_string(loaded.authorization->size()));
        },
        [this](const absl::Status& why) { say("rejected: " + std::string(why.message())); }, std::chrono::milliseconds(5));
  }
};

}  // namespace

TEST_CASE("what is read at the start is complete or an error with the file's name") {
  Folder f;
  const auto loaded = Credentials::load(f.files);
  REQUIRE(loaded.ok());
  CHECK(loaded->tls->certificates().front().facts.common_name == "one");
  CHECK_FALSE(loaded->authorization);
  f.put("key.pem", f.ca.issue("two").key);
  CHECK_THAT(f.wrong(), Contains("key.pem"));
  f.files.key = f.d.path("absent.pem");
  CHECK_THAT(f.wrong(), Contains("absent.pem"));
  f.files.key = f.d.path("key.pem");
  f.save(f.ca.issue("one"));
  f.put("ca.pem", "nothing");
  CHECK_THAT(f.wrong(), Contains("ca.pem"));
  f.put("ca.pem", f.ca.pem());
  f.files.rules_file = f.d.path("rules");
  f.put("rules", "# nobody\n");
  CHECK(f.wrong() == f.d.path("rules") + ": no rule in it");
  f.put("rules", "\nx\n");
  CHECK_THAT(f.wrong(), Contains(f.d.path("rules") + ":2: rule \"x\""));
  f.put("rules", "a=id:*\n");
  f.files.rules = {{"b=id:*", "--xds-authorize"}};
  CHECK(Credentials::load(f.files)->authorization->size() == 2);
  const auto none = Credentials::load({});
  CHECK_FALSE(none->tls);
  CHECK_FALSE(none->authorization);
}

TEST_CASE("a new certificate with its key goes into service, and half of it does not") {
  Folder f;
  Heard heard;
  const auto watching = heard.watch(f.files);
  f.save(f.ca.issue("two"));
  CHECK(heard.await("two") == "two");
  const test::MadeCertificate three = f.ca.issue("three");
  f.put("cert.pem", three.chain);
  CHECK_THAT(heard.await("rejected: "), Contains("key.pem"));
  f.put("key.pem", three.key);
  CHECK(heard.await("three") == "three");
}

TEST_CASE("rules are read anew, and wrong ones leave the old in force") {
  Folder f;
  f.put("rules", "a=id:*\n");
  Credentials::Files files;
  files.rules_file = f.d.path("rules");
  Heard heard;
  const auto watching = heard.watch(files);
  f.put("rules", "a=id:*\nb=id:*\n");
  CHECK(heard.await("rules") == "rules 2");
  f.put("rules", "");
  CHECK(heard.await("rejected") == "rejected: " + f.d.path("rules") + ": no rule in it");
  f.put("rules", "a=id:1\n");
  CHECK(heard.await("rules 1") == "rules 1");
}

TEST_CASE("keys of tokens are read anew, and a set that cannot be used leaves the old in force") {
  Folder f;
  const test::Signer one, two("EdDSA", "k2");
  Credentials::Files files;
  files.token_keys = f.d.path("keys.json");
  files.token_policy = {"issuer", {"audience"}};
  CHECK_THAT(std::string(Credentials::load(files).status().message()), Contains("keys.json"));
  f.put("keys.json", test::jwks({one.jwk()}));
  Heard heard;
  const auto watching = heard.watch(files);
  f.put("keys.json", test::jwks({one.jwk(), two.jwk()}));
  CHECK(heard.await("keys") == "keys 2");
  f.put("keys.json", "{\"keys\":[]}");
  CHECK(heard.await("rejected") == "rejected: " + f.d.path("keys.json") + ": no key for RS256, ES256 or EdDSA in it");
  f.put("keys.json", test::jwks({two.jwk()}));
  CHECK(heard.await("keys 1") == "keys 1");
}

}  // namespace credentials_test
