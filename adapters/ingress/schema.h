// IngressClass and Ingress of networking.k8s.io/v1, as plain structs: read strictly (every unknown field, wrong type or value the API server
// refuses is an error with its place) and without a look at any other object. Pure; any thread.
// Invariant: a struct read without an error satisfies the API server's own validation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"
#include "controlplane/intent/intent.h"

namespace fairlead::adapters::ingress {

inline constexpr std::string_view kGroup = "networking.k8s.io";
inline constexpr std::string_view kControllerName = "fairlead.io/ingress-controller";

// Where a part stands, for origins and errors about what it refers to.
struct Spot {
  std::string field;  // "spec.rules[0].http.paths[1].backend"
  int line = 0;
};

struct IngressClass {
  std::string controller;
  bool is_default = false;  // annotation ingressclass.kubernetes.io/is-default-class
  bool has_parameters = false;
  Spot parameters;
  uint16_t http_port = 80;    // annotation fairlead.io/http-port
  uint16_t https_port = 443;  // annotation fairlead.io/https-port
};

struct Backend {
  Spot spot;
  std::string service;
  int64_t port = 0;       // 0: by name
  std::string port_name;  // "": by number
  std::string resource;   // "Kind name" of a backend that is no Service; then nothing else is set
};

struct Path {
  Spot spot;
  intent::PathMatch match;  // exact, or by path element
  Backend backend;
};

struct Rule {
  Spot spot;
  std::string host;  // lower case; "*.example.com" is one label below example.com; "" any
  std::vector<Path> paths;
};

struct Tls {
  Spot spot;
  std::vector<std::string> hosts;  // as those of rules; none: those of the rules
  std::string secret;              // "": none is given
};

struct Ingress {
  std::string class_name;    // spec.ingressClassName; "" when not given
  std::string legacy_class;  // annotation kubernetes.io/ingress.class; "" when not given
  std::optional<Backend> default_backend;
  std::vector<Rule> rules;
  std::vector<Tls> tls;
};

// For Store::register_group(kGroup, …). Other kinds of the group are passed over with a note.
bool check_networking(const Object& object, std::vector<Diagnostic>& out);

// What is wrong is appended to `out`; the result is then only good for telling about it.
IngressClass read_ingress_class(const Object& object, std::vector<Diagnostic>& out);
Ingress read_ingress(const Object& object, std::vector<Diagnostic>& out);

}  // namespace fairlead::adapters::ingress
