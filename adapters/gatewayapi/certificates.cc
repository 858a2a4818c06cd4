// The certificates that a listener shows, those its clients must show, and the one shown to backends: references to Secrets, permissions,
// what is wrong with them. See world.h.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/gatewayapi/world.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

const GroupKind kSecretKind{"", "Secret"};

std::string meant(World& world, const ObjectRef& ref) {
  constexpr int kMaxSuggestions = 100;
  if (++world.suggestions > kMaxSuggestions) return "";
  std::vector<std::string_view> names;
  for (const auto& [key, secret] : world.snapshot.of("", "Secret")) {
    if (key.ns == ref.ns) names.push_back(key.name);
  }
  const std::optional<std::string> close = closest(ref.name, names);
  return close ? absl::StrCat("; did you mean '", *close, "'?") : "";
}

// The name of the certificate with its key that `owner` refers to, which is kept in the world; nothing: it cannot be had, and `refuse` knows why.
std::optional<std::string> secret_of(World& world, const Object& owner, const ObjectRef& ref, const Refuse& refuse) {
  if (ref.target != kSecretKind) {
    refuse("InvalidCertificateRef", absl::StrCat(ref.target.str(), " cannot hold a certificate; Secret can"));
    return std::nullopt;
  }
  if (!world.permitted({owner.key.group, owner.key.kind}, owner.key.ns, ref.target, ref.ns, ref.name)) {
    refuse("RefNotPermitted", absl::StrCat("no ReferenceGrant in namespace ", ref.ns, " lets ", owner.key.kind, "s of ", owner.key.ns, " refer to Secret ", ref.name));
    return std::nullopt;
  }
  const ObjectKey key{"", "Secret", ref.ns, ref.name};
  std::string id = absl::StrCat(ref.ns, "/", ref.name);
  const std::string wrong = world.broken(key);
  const ObjectPtr object = world.snapshot.find(key);
  if (object == nullptr) {
    refuse("InvalidCertificateRef", wrong.empty() ? absl::StrCat("Secret ", id, " does not exist or is not of type kubernetes.io/tls", meant(world, ref))
                                                  : absl::StrCat("Secret ", id, " is not valid: ", wrong));
    return std::nullopt;
  }
  if (!wrong.empty()) refuse("InvalidCertificateRef", absl::StrCat("Secret ", id, " is not valid: ", wrong, "; the last good one is served"));
  const std::shared_ptr<const core::TlsSecret> secret = world.tls_secret(object);
  intent::Secret& served = world.secrets[id];
  served.name = id;
  served.origins = {origin_of(*object, {"", object->line})};
  served.certificate_chain = secret->certificate_chain;
  served.private_key = secret->private_key;
  return id;
}

class Certificates {
 public:
  Certificates(World& world, const Object& gateway, ListenerState& listener) : world_(world), gateway_(gateway), owner_(*listener.owner), listener_(listener) {}

  void take(const ClientValidation* clients) {
    const ListenerTls& tls = *listener_.listener.tls;
    if (clients != nullptr && listener_.listener.protocol == "HTTPS") take_clients(*clients);
    for (const ObjectRef& ref : tls.certificates) take(ref);
    if (tls.certificates.empty()) fail(owner_, "InvalidCertificateRef", tls.spot, "no certificateRefs are given");
    for (const std::string& key : tls.foreign_options) {
      world_.problem(Severity::kWarning, owner_, tls.spot, absl::StrCat("option ", key, " means nothing here"));
    }
  }

 private:
  void take_clients(const ClientValidation& clients) {
    intent::Secret bundle;
    for (const ObjectRef& ref : clients.authorities) {
      const GroupKind from{std::string(kGroup), "Gateway"};
      if (!world_.permitted(from, gateway_.key.ns, ref.target, ref.ns, ref.name)) {
        fail(gateway_, "RefNotPermitted", ref.spot,
             absl::StrCat("no ReferenceGrant in namespace ", ref.ns, " lets Gateways of ", gateway_.key.ns, " refer to ", ref.target.kind, " ", ref.name));
        continue;
      }
      add_authority(world_, ref, bundle, [&](std::string_view reason, std::string message) {
        fail(gateway_, reason == "InvalidKind" ? "InvalidCACertificateKind" : reason, ref.spot, std::move(message));
      });
    }
    if (bundle.origins.empty()) {  // nobody could be let in, and nobody shall be unasked
      listener_.accepted = false;
      listener_.reason = "NoValidCACertificate";
      listener_.message = absl::StrCat(clients.spot.field, ": none of caCertificateRefs can be used");
      return;
    }
    listener_.trusted_clients = keep_authorities(world_, std::move(bundle));
    listener_.insecure_clients = clients.insecure_fallback;
  }

  void take(const ObjectRef& ref) {
    const std::optional<std::string> id = secret_of(world_, owner_, ref, [&](std::string_view reason, std::string message) {
      fail(owner_, reason, ref.spot, std::move(message));
    });
    if (!id || std::find(listener_.certificates.begin(), listener_.certificates.end(), *id) != listener_.certificates.end()) return;
    const std::string& hostname = listener_.listener.hostname;
    const std::shared_ptr<const core::TlsSecret> secret = world_.tls_secret(world_.snapshot.find(ObjectKey{"", "Secret", ref.ns, ref.name}));
    if (!hostname.empty() && !absl::StartsWith(hostname, "*.") && !core::covers(secret->dns_names, hostname)) {
      world_.problem(Severity::kWarning, owner_, ref.spot,
                     absl::StrCat("the certificate of Secret ", *id, " is not for ", hostname, " but for ", secret->dns_names.empty() ? "no host" : absl::StrJoin(secret->dns_names, ", ")));
    }
    listener_.certificates.push_back(*id);
  }

  // Told on the object that refers to what is wrong.
  void fail(const Object& object, std::string_view reason, const Spot& spot, std::string message) {
    if (listener_.refs_reason.empty()) {
      listener_.refs_reason = reason;
      listener_.refs_message = absl::StrCat(spot.field, ": ", message);
    }
    world_.problem(Severity::kError, object, spot, absl::StrCat(reason, ": ", message));
  }

  World& world_;
  const Object& gateway_;
  const Object& owner_;  // the Gateway, or a ListenerSet of it
  ListenerState& listener_;
};

}  // namespace

void take_certificates(World& world, const GatewayState& gateway, ListenerState& listener) {
  Certificates(world, *gateway.object, listener).take(gateway.gateway.clients_at(listener.listener.port));
}

void take_client_certificate(World& world, GatewayState& gateway) {
  const std::optional<ObjectRef>& ref = gateway.gateway.client_certificate;
  if (!ref) return;
  const std::optional<std::string> id = secret_of(world, *gateway.object, *ref, [&](std::string_view reason, std::string message) {
    gateway.refs_reason = reason == "InvalidCertificateRef" ? "InvalidClientCertificateRef" : std::string(reason);
    gateway.refs_message = absl::StrCat(ref->spot.field, ": ", message);
    world.problem(Severity::kError, *gateway.object, ref->spot, absl::StrCat(gateway.refs_reason, ": ", message));
  });
  if (id) gateway.client_certificate = *id;
}

bool add_authority(World& world, const ObjectRef& ref, intent::Secret& into, const Refuse& refuse) {
  if (ref.target != GroupKind{"", "ConfigMap"}) {
    refuse("InvalidKind", absl::StrCat(ref.target.str(), " cannot hold certificates to trust; ConfigMap can"));
    return false;
  }
  const ObjectKey key{"", "ConfigMap", ref.ns, ref.name};
  const std::string wrong = world.broken(key), id = absl::StrCat("ConfigMap ", ref.ns, "/", ref.name);
  const ObjectPtr object = world.snapshot.find(key);
  if (object == nullptr) {
    refuse("InvalidCACertificateRef", wrong.empty() ? absl::StrCat(id, " does not exist or has no ca.crt") : absl::StrCat(id, " is not valid: ", wrong));
    return false;
  }
  if (!wrong.empty()) refuse("InvalidCACertificateRef", absl::StrCat(id, " is not valid: ", wrong, "; the last good one is used"));
  into.trusted_ca += world.ca_bundle(object)->certificates;
  if (!into.trusted_ca.ends_with('\n')) into.trusted_ca += '\n';
  intent::add_origin(into.origins, origin_of(*object, {"", object->line}));
  return true;
}

std::string keep_authorities(World& world, intent::Secret bundle) {
  bundle.name = absl::StrJoin(bundle.origins, "+", [](std::string* out, const intent::Origin& o) { absl::StrAppend(out, o.ns, "/", o.name, "/ca.crt"); });
  std::string name = bundle.name;
  world.secrets[name] = std::move(bundle);
  return name;
}

}  // namespace fairlead::adapters::gatewayapi
