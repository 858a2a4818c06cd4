// Which kinds of the Gateway API groups are read, in which versions. See schema.h.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/gatewayapi/schema.h"
#include "adapters/gatewayapi/translate.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// Of routes, which there are thousands of, what was read is kept for the translation.
struct KindReader {
  std::string_view kind;
  std::vector<std::string_view> versions;
  void (*read)(const Object&, std::vector<Diagnostic>&);
};

const std::vector<KindReader>& readers() {
  static const std::vector<KindReader> kReaders = {
      {"GatewayClass", {"v1", "v1beta1"}, [](const Object& o, std::vector<Diagnostic>& out) { read_gateway_class(o, out); }},
      {"Gateway", {"v1", "v1beta1"}, [](const Object& o, std::vector<Diagnostic>& out) { read_gateway(o, out); }},
      {"HTTPRoute", {"v1", "v1beta1"}, [](const Object& o, std::vector<Diagnostic>& out) { read_and_keep(o, read_http_route, out); }},
      {"ListenerSet", {"v1"}, [](const Object& o, std::vector<Diagnostic>& out) { read_listener_set(o, out); }},
      {"GRPCRoute", {"v1", "v1alpha2"}, [](const Object& o, std::vector<Diagnostic>& out) { read_and_keep(o, read_grpc_route, out); }},
      {"TCPRoute", {"v1", "v1alpha2"}, [](const Object& o, std::vector<Diagnostic>& out) { read_and_keep(o, read_l4_route, out); }},
      {"UDPRoute", {"v1", "v1alpha2"}, [](const Object& o, std::vector<Diagnostic>& out) { read_and_keep(o, read_l4_route, out); }},
      {"TLSRoute", {"v1", "v1alpha3", "v1alpha2"}, [](const Object& o, std::vector<Diagnostic>& out) { read_and_keep(o, read_tls_route, out); }},
      {"BackendTLSPolicy", {"v1", "v1alpha3"}, [](const Object& o, std::vector<Diagnostic>& out) { read_backend_tls_policy(o, out); }},
      {"ReferenceGrant", {"v1", "v1beta1"}, [](const Object& o, std::vector<Diagnostic>& out) { read_reference_grant(o, out); }},
  };
  return kReaders;
}

// Kinds the API has and this version does not serve.
constexpr std::string_view kUnsupportedKinds[] = {"BackendLBPolicy"};

void refuse(const Object& object, std::string field, std::string message, std::vector<Diagnostic>& out) {
  out.push_back(Diagnostic{Severity::kError, object.key, object.file, object.line, std::move(field), std::move(message)});
}

}  // namespace

bool check_gateway_api(const Object& object, std::vector<Diagnostic>& out) {
  for (const KindReader& reader : readers()) {
    if (object.key.kind != reader.kind) continue;
    const std::string_view version = version_of(object.api_version);
    if (std::find(reader.versions.begin(), reader.versions.end(), version) == reader.versions.end()) {
      refuse(object, "apiVersion", absl::StrCat(reader.kind, " is read in the versions ", absl::StrJoin(reader.versions, reader.versions.size() == 2 ? " and " : ", "), ", not ", version), out);
    } else {
      reader.read(object, out);
    }
    return true;
  }
  for (std::string_view kind : kUnsupportedKinds) {
    if (object.key.kind == kind) {
      refuse(object, "kind", absl::StrCat(kind, " is not supported in this version"), out);
      return true;
    }
  }
  std::vector<std::string_view> known;
  for (const KindReader& reader : readers()) known.push_back(reader.kind);
  const std::optional<std::string> meant = closest(object.key.kind, known);
  refuse(object, "kind",
         absl::StrCat("unknown kind '", object.key.kind, "'", meant ? absl::StrCat("; did you mean '", *meant, "'?") : ""), out);
  return true;
}

std::vector<WatchedKind> watched_kinds() {
  std::vector<WatchedKind> out;
  for (const KindReader& reader : readers()) {
    WatchedKind kind{std::string(kGroup), plural_of(reader.kind), std::string(reader.kind), {reader.versions.begin(), reader.versions.end()}};
    kind.optional = true;
    kind.cluster_scoped = is_cluster_scoped(kGroup, reader.kind);
    out.push_back(std::move(kind));
  }
  return out;
}

bool check_experimental(const Object& object, std::vector<Diagnostic>& out) {
  refuse(object, "apiVersion",
         absl::StrCat("experimental kinds are not supported in this version (", object.key.kind, ")"), out);
  return true;
}

}  // namespace fairlead::adapters::gatewayapi
