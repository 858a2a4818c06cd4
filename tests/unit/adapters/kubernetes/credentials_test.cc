// Credentials: of a pod and of a kubeconfig; what is not done here is refused by name, with file and line.
#include <catch2/catch.hpp>

#include <stdlib.h>

#include <string>

#include "adapters/kubernetes/credentials.h"
#include "base/file.h"

namespace fairlead::adapters::kubernetes::credentials_test {
namespace {

// Sets or unsets a variable for a test.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    const char* old = getenv(name);
    had_ = old != nullptr;
    if (had_) old_ = old;
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~Environment() { had_ ? setenv(name_, old_.c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  bool had_ = false;
  std::string old_;
};

std::string kubeconfig(const std::string& cluster, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
         "contexts:\n- name: here\n  context: {cluster: c, user: u, namespace: mine}\n- name: there\n  context: {cluster: d, user: u}\n"
         "clusters:\n- name: c\n  cluster: {" + cluster + "}\n- name: d\n  cluster: {server: 'http://[::1]:8001/k8s/'}\n"
         "users:\n- name: u\n  user: {" + user + "}\n";
}

std::string error_of(const std::string& cluster, const std::string& user) {
  TemporaryDirectory dir;
  const auto read = from_kubeconfig(dir.write("config", kubeconfig(cluster, user)));
  REQUIRE_FALSE(read.ok());
  std::string text(read.status().message());
  REQUIRE(text.starts_with(dir.path()));
  return text.substr(dir.path().size() + 1);
}

TEST_CASE("in a pod the server comes from the environment and the rest from the service account's files") {
  TemporaryDirectory dir;
  dir.write("token", "abc\n");
  dir.write("ca.crt", "PEM");
  dir.write("namespace", "system");
  Environment host("KUBERNETES_SERVICE_HOST", "10.96.0.1"), port("KUBERNETES_SERVICE_PORT", "6443");
  const auto c = in_cluster(dir.path());
  REQUIRE(c.ok());
  CHECK(c->server == "https://10.96.0.1:6443");
  CHECK(c->tls);
  CHECK(c->host == "10.96.0.1");
  CHECK(c->port == 6443);
  CHECK(c->ns == "system");
  CHECK(*c->token.read() == "abc\n");
  CHECK(*c->authorities.read() == "PEM");
  dir.write("token", "def");
  CHECK(*c->token.read() == "def");
}

TEST_CASE("an IPv6 server of a pod gets its brackets") {
  TemporaryDirectory dir;
  dir.write("token", "abc");
  dir.write("ca.crt", "PEM");
  Environment host("KUBERNETES_SERVICE_HOST", "fd00::1"), port("KUBERNETES_SERVICE_PORT", "443");
  const auto c = in_cluster(dir.path());
  REQUIRE(c.ok());
  CHECK(c->server == "https://[fd00::1]:443");
  CHECK(c->host == "fd00::1");
  CHECK(c->ns == "default");
}

TEST_CASE("without the environment of a pod there is no cluster, and a pod without its token is told so") {
  TemporaryDirectory dir;
  {
    Environment host("KUBERNETES_SERVICE_HOST", nullptr);
    CHECK(absl::IsNotFound(in_cluster(dir.path()).status()));
  }
  Environment host("KUBERNETES_SERVICE_HOST", "10.96.0.1"), port("KUBERNETES_SERVICE_PORT", "443");
  const auto c = in_cluster(dir.path());
  CHECK(absl::IsFailedPrecondition(c.status()));
  CHECK(std::string(c.status().message()).find(dir.path("token")) != std::string::npos);
}

TEST_CASE("a kubeconfig's current context is used unless another is named") {
  TemporaryDirectory dir;
  const std::string path = dir.write("config", kubeconfig("server: 'https://api.test', certificate-authority-data: UEVN, tls-server-name: kubernetes",
                                                          "client-certificate: pki/me.crt, client-key: /abs/me.key, token: abc"));
  const auto here = from_kubeconfig(path);
  REQUIRE(here.ok());
  CHECK(here->host == "api.test");
  CHECK(here->port == 443);
  CHECK(here->authorities.text == "PEM");
  CHECK(here->tls_server_name == "kubernetes");
  CHECK(here->client_certificate.file == dir.path("pki/me.crt"));
  CHECK(here->client_key.file == "/abs/me.key");
  CHECK(here->token.text == "abc");
  CHECK(here->ns == "mine");
  CHECK(here->compression);

  const auto there = credentials_of("kubernetes:" + path + "#there");
  REQUIRE(there.ok());
  CHECK_FALSE(there->tls);
  CHECK(there->host == "::1");
  CHECK(there->port == 8001);
  CHECK(there->base_path == "/k8s");
  CHECK(there->ns == "default");

  const auto nowhere = from_kubeconfig(path, "nowhere");
  CHECK(nowhere.status().message() == path + ":5: contexts: has no entry \"nowhere\"");
}

TEST_CASE("a token file wins over a token, and data over a file") {
  TemporaryDirectory dir;
  const auto c = from_kubeconfig(dir.write("config", kubeconfig("server: 'https://a:1', certificate-authority-data: UEVN, certificate-authority: ca.pem, disable-compression: true",
                                                                "tokenFile: token, token: abc")));
  REQUIRE(c.ok());
  CHECK(c->token.text.empty());
  CHECK(c->token.file == dir.path("token"));
  CHECK(c->authorities.text == "PEM");
  CHECK(c->authorities.file.empty());
  CHECK_FALSE(c->compression);
}

TEST_CASE("what would make another answer, or us another, is refused by name") {
  const std::string good = "server: 'https://a'";
  CHECK(error_of(good, "exec: {command: aws}").starts_with("config:16: users[0].user.exec: plug-ins are not run (aws): give a token"));
  CHECK(error_of(good, "auth-provider: {name: gcp}").starts_with("config:16: users[0].user.auth-provider: plug-ins are not run"));
  CHECK(error_of(good, "as: admin").starts_with("config:16: users[0].user.as: impersonation is not supported"));
  CHECK(error_of(good, "username: a, password: b").find("API servers no longer take passwords") != std::string::npos);
  CHECK(error_of(good + ", proxy-url: 'http://p'", "token: a").starts_with("config:11: clusters[0].cluster.proxy-url: proxies on the way"));
  CHECK(error_of(good, "client-certificate: a.crt").find("client-certificate: needs client-key") != std::string::npos);
  CHECK(error_of("server: 'tcp://a'", "token: a").find("server: expected https://HOST[:PORT], got \"tcp://a\"") != std::string::npos);
  CHECK(error_of("server: 'https://a:99999'", "token: a").find("\"99999\" is not a port") != std::string::npos);
  CHECK(error_of(good + ", certificate-authority-data: '?'", "token: a").find("certificate-authority-data: is not base64") != std::string::npos);
  CHECK(error_of(good + ", certificate-authority: a, insecure-skip-tls-verify: true", "token: a").find("contradicts certificate-authority") != std::string::npos);
}

TEST_CASE("the source without a path looks at the pod, then $KUBECONFIG, then the home directory, and says so when there is none") {
  TemporaryDirectory dir;
  Environment host("KUBERNETES_SERVICE_HOST", nullptr), home("HOME", dir.path().c_str());
  {
    Environment none("KUBECONFIG", nullptr);
    const auto missing = credentials_of("kubernetes");
    CHECK(absl::IsNotFound(missing.status()));
    CHECK(std::string(missing.status().message()).find("not in a cluster") != std::string::npos);
    CHECK(std::string(missing.status().message()).find(dir.path(".kube/config")) != std::string::npos);
    dir.write(".kube/config", kubeconfig("server: 'https://home'", "token: a"));
    CHECK(credentials_of("kubernetes")->host == "home");
  }
  {
    Environment one("KUBECONFIG", dir.write("config", kubeconfig("server: 'https://listed'", "token: a")).c_str());
    CHECK(credentials_of("kubernetes")->host == "listed");
  }
  Environment two("KUBECONFIG", "/a:/b");
  CHECK(std::string(credentials_of("kubernetes").status().message()).find("lists several files") != std::string::npos);
}

TEST_CASE("the syntax of the source") {
  CHECK(is_kubernetes_source("kubernetes"));
  CHECK(is_kubernetes_source("kubernetes:/a"));
  CHECK_FALSE(is_kubernetes_source("kubernetesx"));
  CHECK_FALSE(is_kubernetes_source("file:kubernetes"));
  CHECK_FALSE(credentials_of("kubernetes:").ok());
  CHECK(absl::IsNotFound(credentials_of("kubernetes:/no/such#file").status()));
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::credentials_test
