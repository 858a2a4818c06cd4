// Where a Kubernetes API server is and who we are to it: from the files of a pod's service account or from a kubeconfig. Plain values, any
// thread. Files that are named rather than written out (tokens, certificates) are read when a request or a connection begins, so that what
// rotates is picked up. Invariant: nothing that a kubeconfig asks for and that is not done here passes silently.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace fairlead::adapters::kubernetes {

// PEM or a token: as it stands in the kubeconfig, or in a file that is read each time it is needed. The text comes first.
struct Material {
  std::string text;
  std::string file;
  bool empty() const { return text.empty() && file.empty(); }
  absl::StatusOr<std::string> read() const;  // errors name the file; "" when empty()
};

struct Credentials {
  // The parts of the server's URL.
  bool tls = true;
  std::string host;  // without brackets
  int port = 443;
  std::string base_path;  // "", or "/k8s/clusters/c-1": before every path
  std::string server;     // the URL, for errors

  Material authorities;  // of the server; empty: the system's
  Material client_certificate, client_key;
  Material token;
  bool insecure_skip_tls_verify = false;
  std::string tls_server_name;  // the name in the server's certificate; empty: host
  bool compression = true;      // of answers

  std::string ns;  // the pod's own namespace, or the context's; "default" when neither says
};

// Of the pod we run in: KUBERNETES_SERVICE_HOST and _PORT, and token, ca.crt and namespace in `directory`. NotFound outside of a cluster.
absl::StatusOr<Credentials> in_cluster(const std::string& directory = "/var/run/secrets/kubernetes.io/serviceaccount");

// `context`: "" is the current one. Errors name file, line and field. Refused by name, since another than the user meant would answer or be
// asked: exec and auth-provider (plug-ins are not run), proxy-url, impersonation (as, as-groups, …), username and password.
absl::StatusOr<Credentials> from_kubeconfig(const std::string& path, const std::string& context = "");

// `kubernetes`: in_cluster(), else $KUBECONFIG, else ~/.kube/config; `kubernetes:PATH`; `kubernetes:PATH#CONTEXT`.
absl::StatusOr<Credentials> credentials_of(std::string_view source);
bool is_kubernetes_source(std::string_view source);

}  // namespace fairlead::adapters::kubernetes
