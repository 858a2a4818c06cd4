// The certificates that a listener shows: references to Secrets, permissions, what is wrong with them. See world.h.
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

class Certificates {
 public:
  Certificates(World& world, const Object& gateway, ListenerState& listener) : world_(world), gateway_(gateway), listener_(listener) {}

  void take(const ClientValidation* clients) {
    const ListenerTls& tls = *listener_.listener.tls;
    if (clients != nullptr && listener_.listener.protocol == "HTTPS") take_clients(*clients);
    for (const ObjectRef& ref : tls.certificates) take(ref);
    if (tls.certificates.empty()) fail("InvalidCertificateRef", tls.spot, "no certificateRefs are given");
    for (const std::string& key : tls.foreign_options) {
      world_.problem(Severity::kWarning, gateway_, tls.spot, absl::StrCat("option ", key, " means nothing here"));
    }
  }

 private:
  void take_clients(const ClientValidation& clients) {
    intent::Secret bundle;
    for (const ObjectRef& ref : clients.authorities) {
      const GroupKind from{std::string(kGroup), "Gateway"};
      if (!world_.permitted(from, gateway_.key.ns, ref.target, ref.ns, ref.name)) {
        fail("RefNotPermitted", ref.spot,
             absl::StrCat("no ReferenceGrant in namespace ", ref.ns, " lets Gateways of ", gateway_.key.ns, " refer to ", ref.target.kind, " ", ref.name));
        continue;
      }
      add_authority(world_, ref, bundle, [&](std::string_view reason, std::string message) {
        fail(reason == "InvalidKind" ? "InvalidCACertificateKind" : reason, ref.spot, std::move(message));
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
    if (ref.target != kSecretKind) return fail("InvalidCertificateRef", ref.spot, absl::StrCat(ref.target.str(), " cannot hold a certificate; Secret can"));
    const GroupKind from{std::string(kGroup), "Gateway"};
    if (!world_.permitted(from, gateway_.key.ns, ref.target, ref.ns, ref.name)) {
      return fail("RefNotPermitted", ref.spot,
                  absl::StrCat("no ReferenceGrant in namespace ", ref.ns, " lets Gateways of ", gateway_.key.ns, " refer to Secret ", ref.name));
    }
    const ObjectKey key{"", "Secret", ref.ns, ref.name};
    const std::string id = absl::StrCat(ref.ns, "/", ref.name), wrong = world_.broken(key);
    const ObjectPtr object = world_.snapshot.find(key);
    if (object == nullptr) {
      return fail("InvalidCertificateRef", ref.spot,
                  wrong.empty() ? absl::StrCat("Secret ", id, " does not exist or is not of type kubernetes.io/tls", meant(ref)) : absl::StrCat("Secret ", id, " is not valid: ", wrong));
    }
    if (!wrong.empty()) fail("InvalidCertificateRef", ref.spot, absl::StrCat("Secret ", id, " is not valid: ", wrong, "; the last good one is served"));
    serve(id, object, ref);
  }

  void serve(const std::string& id, const ObjectPtr& object, const ObjectRef& ref) {
    if (std::find(listener_.certificates.begin(), listener_.certificates.end(), id) != listener_.certificates.end()) return;
    const std::shared_ptr<const core::TlsSecret> secret = world_.tls_secret(object);
    const std::string& hostname = listener_.listener.hostname;
    if (!hostname.empty() && !absl::StartsWith(hostname, "*.") && !core::covers(secret->dns_names, hostname)) {
      world_.problem(Severity::kWarning, gateway_, ref.spot,
                     absl::StrCat("the certificate of Secret ", id, " is not for ", hostname, " but for ", secret->dns_names.empty() ? "no host" : absl::StrJoin(secret->dns_names, ", ")));
    }
    listener_.certificates.push_back(id);
    intent::Secret& served = world_.secrets[id];
    served.name = id;
    served.origins = {origin_of(*object, {"", object->line})};
    served.certificate_chain = secret->certificate_chain;
    served.private_key = secret->private_key;
  }

  std::string meant(const ObjectRef& ref) const {
    constexpr int kMaxSuggestions = 100;
    if (++world_.suggestions > kMaxSuggestions) return "";
    std::vector<std::string_view> names;
    for (const auto& [key, secret] : world_.snapshot.of("", "Secret")) {
      if (key.ns == ref.ns) names.push_back(key.name);
    }
    const std::optional<std::string> close = closest(ref.name, names);
    return close ? absl::StrCat("; did you mean '", *close, "'?") : "";
  }

  void fail(std::string_view reason, const Spot& spot, std::string message) {
    if (listener_.refs_reason.empty()) {
      listener_.refs_reason = reason;
      listener_.refs_message = absl::StrCat(spot.field, ": ", message);
    }
    world_.problem(Severity::kError, gateway_, spot, absl::StrCat(reason, ": ", message));
  }

  World& world_;
  const Object& gateway_;
  ListenerState& listener_;
};

}  // namespace

void take_certificates(World& world, const Object& gateway, const ClientValidation* clients, ListenerState& listener) {
  Certificates(world, gateway, listener).take(clients);
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
