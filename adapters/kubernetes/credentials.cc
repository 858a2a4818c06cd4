// See credentials.h.
#include "adapters/kubernetes/credentials.h"

#include <cstdlib>
#include <optional>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>

#include "base/doc_reader.h"
#include "base/file.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::adapters::kubernetes {

namespace {

constexpr size_t kMostBytes = size_t{4} << 20;  // of any file named here
constexpr std::string_view kScheme = "kubernetes";

bool consume(std::string_view& text, std::string_view prefix) {
  const bool there = absl::StartsWith(text, prefix);
  if (there) text.remove_prefix(prefix.size());
  return there;
}

// "https://host:port/path" into its parts.
absl::Status read_server(std::string_view url, Credentials& out) {
  out.server = std::string(url);
  std::string_view rest = url;
  if (consume(rest, "https://")) {
    out.tls = true;
  } else if (consume(rest, "http://")) {
    out.tls = false;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("expected https://HOST[:PORT], got \"", url, "\""));
  }
  out.port = out.tls ? 443 : 80;
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    out.base_path = std::string(std::string_view(absl::StripSuffix(rest.substr(slash), "/")));
    rest = rest.substr(0, slash);
  }
  std::string_view port;
  if (absl::StartsWith(rest, "[")) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return absl::InvalidArgumentError(absl::StrCat("\"", url, "\" lacks the ']' of its address"));
    out.host = std::string(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
    if (!rest.empty() && !consume(rest, ":")) return absl::InvalidArgumentError(absl::StrCat("expected a port after ']' in \"", url, "\""));
    port = rest;
  } else {
    const size_t colon = rest.rfind(':');
    out.host = std::string(rest.substr(0, colon));
    if (colon != std::string_view::npos) port = rest.substr(colon + 1);
  }
  if (out.host.empty() || absl::StrContains(out.host, "@")) return absl::InvalidArgumentError(absl::StrCat("expected a host in \"", url, "\""));
  if (!port.empty() && (!absl::SimpleAtoi(port, &out.port) || out.port < 1 || out.port > 65535)) return absl::InvalidArgumentError(absl::StrCat("\"", port, "\" is not a port, in \"", url, "\""));
  return absl::OkStatus();
}

// Paths in a kubeconfig are relative to it.
std::string beside(const std::string& kubeconfig, const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  const size_t slash = kubeconfig.rfind('/');
  return slash == std::string::npos ? path : absl::StrCat(kubeconfig.substr(0, slash + 1), path);
}

// The pair NAME-data (base64) and NAME (a file).
Material read_pair(doc::Object& from, const std::string& name, const std::string& kubeconfig) {
  Material out;
  const std::string data = from.string_or(name + "-data", "");
  out.file = beside(kubeconfig, from.string_or(name, ""));
  if (data.empty()) return out;
  out.file.clear();  // client-go: the data comes first
  if (std::optional<std::string> text = decode_base64(data)) {
    out.text = *std::move(text);
  } else {
    from.error(name + "-data", "is not base64");
  }
  return out;
}

void read_cluster(doc::Object cluster, const std::string& path, Credentials& out) {
  const std::string server = cluster.required_string("server");
  if (!server.empty()) {
    if (absl::Status s = read_server(server, out); !s.ok()) cluster.error("server", s.message());
  }
  out.authorities = read_pair(cluster, "certificate-authority", path);
  out.insecure_skip_tls_verify = cluster.boolean_or("insecure-skip-tls-verify", false);
  out.tls_server_name = cluster.string_or("tls-server-name", "");
  out.compression = !cluster.boolean_or("disable-compression", false);
  if (!cluster.string_or("proxy-url", "").empty()) cluster.error("proxy-url", "proxies on the way to the API server are not supported");
  if (out.insecure_skip_tls_verify && !out.authorities.empty()) {
    cluster.error("insecure-skip-tls-verify", "contradicts certificate-authority: give one of both");
  }
  cluster.allow_unknown();
}

void read_user(doc::Object user, const std::string& path, Credentials& out) {
  const doc::Reader exec = user.get("exec");
  if (exec.present()) {
    const doc::Value* command = exec.value().find("command");
    user.error("exec", absl::StrCat("plug-ins are not run (", command != nullptr && command->is_string() ? command->as_string() : "exec",
                                    "): give a token, a tokenFile or a client certificate, for example of a ServiceAccount (kubectl create token)"));
  }
  if (user.has("auth-provider")) user.error("auth-provider", "plug-ins are not run: give a token, a tokenFile or a client certificate");
  for (const char* field : {"as", "as-uid", "as-groups", "as-user-extra"}) {
    if (user.has(field)) user.error(field, "impersonation is not supported");
  }
  for (const char* field : {"username", "password"}) {
    if (!user.string_or(field, "").empty()) user.error(field, "API servers no longer take passwords: give a token, a tokenFile or a client certificate");
  }
  out.client_certificate = read_pair(user, "client-certificate", path);
  out.client_key = read_pair(user, "client-key", path);
  if (out.client_certificate.empty() != out.client_key.empty()) {
    user.error(out.client_key.empty() ? "client-certificate" : "client-key", out.client_key.empty() ? "needs client-key" : "needs client-certificate");
  }
  out.token.file = beside(path, user.string_or("tokenFile", ""));
  const std::string token = user.string_or("token", "");
  if (out.token.file.empty()) out.token.text = token;  // client-go: of both, the file
  user.allow_unknown();
}

// The entry of that name in one of kubeconfig's lists of {name, cluster|user|context}; nothing and an error when there is none.
std::optional<doc::Reader> find_named(const doc::Reader& root, const std::string& list, const std::string& name, const std::string& part, ErrorList& errors) {
  const doc::Reader entries = root.get(list);
  for (size_t i = 0; i < entries.value().size(); ++i) {
    const doc::Reader entry = entries.at(i);
    const doc::Value* called = entry.value().find("name");
    if (called == nullptr || !called->is_string() || called->as_string() != name) continue;
    doc::Reader found = entry.get(part);
    if (found.present()) return found;
    errors.add(found.error("is required"));
    return std::nullopt;
  }
  errors.add(entries.error(absl::StrCat("has no entry \"", name, "\"")));
  return std::nullopt;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

absl::StatusOr<std::string> Material::read() const {
  if (!text.empty() || file.empty()) return text;
  return read_file(file, kMostBytes);
}

absl::StatusOr<Credentials> in_cluster(const std::string& directory) {
  const std::string host = environment("KUBERNETES_SERVICE_HOST"), port = environment("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return absl::NotFoundError("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
  }
  Credentials out;
  const bool v6 = absl::StrContains(host, ":");
  FL_RETURN_IF_ERROR(prefix("KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT", read_server(absl::StrCat("https://", v6 ? "[" : "", host, v6 ? "]" : "", ":", port), out)));
  out.token.file = directory + "/token";
  out.authorities.file = directory + "/ca.crt";
  for (const Material* needed : {&out.token, &out.authorities}) {
    // a pod without them is misconfigured, not outside of a cluster
    if (const absl::Status s = needed->read().status(); !s.ok()) return absl::FailedPreconditionError(absl::StrCat("in-cluster credentials: ", s.message()));
  }
  const absl::StatusOr<std::string> ns = read_file(directory + "/namespace", kMostBytes);
  out.ns = ns.ok() && !ns->empty() ? std::string(absl::StripAsciiWhitespace(*ns)) : "default";
  return out;
}

absl::StatusOr<Credentials> from_kubeconfig(const std::string& path, const std::string& context) {
  FL_ASSIGN_OR_RETURN(const std::string text, read_file(path, kMostBytes));
  FL_ASSIGN_OR_RETURN(const doc::Value document, doc::parse_one(text, path));
  ErrorList errors;
  const doc::Reader root(document);
  if (!document.is_map()) return root.expected("a kubeconfig");
  std::string name = context;
  if (name.empty()) {
    const doc::Reader current = root.get("current-context");
    if (!current.present() || current.value().as_string().empty()) return current.error("is not set: name a context, as in kubernetes:PATH#CONTEXT");
    name = current.value().as_string();
  }
  Credentials out;
  std::string cluster, user;
  if (const auto found = find_named(root, "contexts", name, "context", errors)) {
    doc::Object chosen(*found, errors);
    cluster = chosen.required_string("cluster");
    user = chosen.string_or("user", "");
    out.ns = chosen.string_or("namespace", "");
    chosen.allow_unknown();
  }
  if (out.ns.empty()) out.ns = "default";
  if (!cluster.empty()) {
    if (const auto found = find_named(root, "clusters", cluster, "cluster", errors)) read_cluster(doc::Object(*found, errors), path, out);
  }
  if (!user.empty()) {
    if (const auto found = find_named(root, "users", user, "user", errors)) read_user(doc::Object(*found, errors), path, out);
  }
  FL_RETURN_IF_ERROR(errors.status());
  return out;
}

bool is_kubernetes_source(std::string_view source) { return source == kScheme || absl::StartsWith(source, absl::StrCat(kScheme, ":")); }

absl::StatusOr<Credentials> credentials_of(std::string_view source) {
  if (!is_kubernetes_source(source)) return absl::InvalidArgumentError(absl::StrCat("source \"", source, "\": expected kubernetes[:KUBECONFIG[#CONTEXT]]"));
  std::string_view rest = source.substr(kScheme.size());
  if (consume(rest, ":")) {
    const size_t hash = rest.rfind('#');
    std::string path(rest.substr(0, hash));
    if (path.empty()) return absl::InvalidArgumentError(absl::StrCat("source \"", source, "\": expected the path of a kubeconfig after ':'"));
    return from_kubeconfig(path, hash == std::string_view::npos ? "" : std::string(rest.substr(hash + 1)));
  }
  absl::StatusOr<Credentials> pod = in_cluster();
  if (pod.ok() || !absl::IsNotFound(pod.status())) return pod;
  if (const std::string listed = environment("KUBECONFIG"); !listed.empty()) {
    if (absl::StrContains(listed, ":")) return absl::InvalidArgumentError(absl::StrCat("KUBECONFIG lists several files (", listed, "): name one, as in kubernetes:PATH"));
    return from_kubeconfig(listed);
  }
  const std::string home = environment("HOME");
  absl::StatusOr<Credentials> own = home.empty() ? absl::NotFoundError("HOME is not set") : from_kubeconfig(home + "/.kube/config");
  if (absl::IsNotFound(own.status())) return absl::NotFoundError(absl::StrCat(pod.status().message(), "; KUBECONFIG is not set; ", own.status().message()));
  return own;
}

}  // namespace fairlead::adapters::kubernetes
