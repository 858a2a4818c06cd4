// Classes, Ingresses and what they refer to. See translate.h.
#include "adapters/ingress/translate.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/core/core.h"
#include "adapters/core/secret.h"
#include "adapters/ingress/hosts.h"
#include "adapters/ingress/schema.h"
#include "adapters/object/rejections.h"
#include "base/doc_at.h"
#include "base/strings.h"

namespace fairlead::adapters::ingress {

namespace {

// "did you mean" looks at every name there is: only so many are made.
constexpr int kMaxSuggestions = 100;

intent::Origin origin_of(const Object& object, const Spot& spot) {
  return {object.source, object.file, spot.line, object.key.group, object.key.kind, object.key.ns, object.key.name, object.generation, spot.field};
}

// One Ingress, and what is to be told about it.
struct Member {
  ObjectPtr object;
  std::shared_ptr<const Ingress> spec;
  size_t wanted = 0, lost = 0;                  // paths, certificates and default backends
  std::string conflict, conflict_message;       // the first one's reason, and all there are
  std::string refs_reason, refs_message;
  std::string doubt, doubt_message;  // what is served, but hardly as it was meant
};

// Who shows which certificate for a name.
struct Certificate {
  std::string secret;  // "ns/name"
  intent::Origin origin;
};

struct Class {
  ObjectPtr object;
  IngressClass spec;
  std::vector<Member> members;  // the oldest first
  HostTable hosts;
  std::map<std::string, Certificate> certificates;  // by host
  std::map<std::string, intent::Secret> secrets;    // by name
};

class Translator {
 public:
  Translator(const ObjectSnapshot& snapshot, const Translation* previous) : snapshot_(snapshot), previous_(previous) {}

  Translation run() {
    take_classes();
    take_ingresses();
    for (auto& [name, c] : classes_) {
      std::stable_sort(c.members.begin(), c.members.end(), [](const Member& a, const Member& b) { return std::tie(a.object->created, a.object->key) < std::tie(b.object->created, b.object->key); });
      for (Member& m : c.members) take_rules(c, m);
      for (Member& m : c.members) take_fallback(c, m);
      for (Member& m : c.members) take_certificates(c, m);
      for (const Member& m : c.members) report(c, m);
      keep(make_gateway(c));
    }
    report_rejected();
    return std::move(result_);
  }

 private:
  void take_classes() {
    std::vector<Diagnostic> unread;  // the store lets only checked objects through
    for (const auto& [key, object] : snapshot_.of(kGroup, "IngressClass")) {
      IngressClass spec = read_ingress_class(*object, unread);
      if (spec.controller != kControllerName) continue;
      Condition accepted{"Accepted", Truth::kTrue, "Accepted", "", object->generation};
      if (spec.has_parameters) {
        accepted = {"Accepted", Truth::kFalse, "InvalidParameters", "parameters are not supported in this version", object->generation};
        problem(Severity::kError, *object, spec.parameters, accepted.message);
      } else {
        classes_[key.name] = Class{object, std::move(spec), {}, {}, {}, {}};
      }
      const bool served = accepted.status == Truth::kTrue;
      result_.status.set(key, {}, std::move(accepted));
      if (served) result_.status.set(key, {}, {"Programmed", Truth::kUnknown, "Pending", "no proxy has answered yet", object->generation});
    }
    std::vector<Class*> defaults;
    for (auto& [name, c] : classes_) {
      if (c.spec.is_default) defaults.push_back(&c);
    }
    if (defaults.empty()) return;
    std::stable_sort(defaults.begin(), defaults.end(), [](const Class* a, const Class* b) { return a->object->created < b->object->created; });
    default_ = defaults.front();
    for (size_t i = 1; i < defaults.size(); ++i) {
      problem(Severity::kWarning, *defaults[i]->object, {"metadata.annotations", defaults[i]->object->line},
              absl::StrCat("the default class is ", default_->object->key.str(), ", which comes first"));
    }
  }

  void take_ingresses() {
    for (const auto& [key, object] : snapshot_.of(kGroup, "Ingress")) {
      std::shared_ptr<const Ingress>& spec = result_.read_ingresses[object];
      if (previous_) {
        if (const auto old = previous_->read_ingresses.find(object); old != previous_->read_ingresses.end()) spec = old->second;
      }
      std::vector<Diagnostic> unread;
      if (!spec) spec = std::make_shared<const Ingress>(read_ingress(*object, unread));
      if (Class* c = class_of(*object, *spec)) c->members.push_back({object, spec, 0, 0, "", "", "", "", "", ""});
    }
  }

  static const std::string& class_name(const Ingress& spec) { return spec.class_name.empty() ? spec.legacy_class : spec.class_name; }

  Class* known_class(const std::string& name) {
    if (name.empty()) return default_;
    const auto ours = classes_.find(name);
    return ours == classes_.end() ? nullptr : &ours->second;
  }

  Class* class_of(const Object& object, const Ingress& spec) {
    const std::string& name = class_name(spec);
    if (Class* ours = known_class(name)) return ours;
    if (name.empty()) return nullptr;
    // An annotation may name a class that has no object, and another's class is no business of ours.
    if (spec.class_name.empty() || snapshot_.find(ObjectKey{std::string(kGroup), "IngressClass", "", name})) return nullptr;
    std::vector<std::string_view> names;
    for (const auto& [known, c] : classes_) names.push_back(known);
    const std::optional<std::string> meant = closest(name, names);
    problem(Severity::kError, object, {"spec.ingressClassName", object.line},
            absl::StrCat("IngressClass ", name, " does not exist", meant ? absl::StrCat("; did you mean '", *meant, "'?") : ""));
    return nullptr;
  }

  void take_rules(Class& c, Member& m) {
    for (size_t r = 0; r < m.spec->rules.size(); ++r) {
      const Rule& rule = m.spec->rules[r];
      c.hosts.add_host(rule.host);
      for (size_t p = 0; p < rule.paths.size(); ++p) {
        const Path& path = rule.paths[p];
        intent::Route route = to(m, path.backend, absl::StrCat("rule/", r, "/path/", p), path.spot);
        route.match.path = path.match;
        ++m.wanted;
        if (const intent::Route* first = c.hosts.add(rule.host, std::move(route))) {
          lose(m, "PathConflict", path.spot, absl::StrCat(path.match.value, " of ", rule.host.empty() ? "every host" : rule.host, " belongs to ", place_of(first->origin, m)));
        }
      }
    }
  }

  // Of the hosts of its rules, and of all that nobody else says anything about.
  void take_fallback(Class& c, Member& m) {
    if (!m.spec->default_backend) return;
    const intent::Route route = to(m, *m.spec->default_backend, "default", m.spec->default_backend->spot);
    ++m.wanted;
    bool used = false;
    const intent::Route* first = nullptr;
    std::set<std::string> hosts;
    for (const Rule& rule : m.spec->rules) hosts.insert(rule.host);
    for (const std::string& host : hosts) {
      const intent::Route* other = c.hosts.set_fallback(host, route);
      if (!other) used = true;
      if (other && !first) first = other;
    }
    const intent::Route* other = c.hosts.set_fallback(route);
    if (!other || used) return;
    if (!first) first = other;
    lose(m, "DefaultBackendConflict", m.spec->default_backend->spot, absl::StrCat("the default backend is that of ", place_of(first->origin, m)));
  }

  void take_certificates(Class& c, Member& m) {
    for (const Tls& tls : m.spec->tls) {
      std::set<std::string> hosts(tls.hosts.begin(), tls.hosts.end());
      if (hosts.empty()) {
        for (const Rule& rule : m.spec->rules) hosts.insert(rule.host);
        if (hosts.empty()) hosts.insert("");
      }
      if (tls.secret.empty()) {
        doubt(m, "NoCertificate", tls.spot, "no secretName is given: its hosts are not served by TLS");
        continue;
      }
      const std::string id = absl::StrCat(m.object->key.ns, "/", tls.secret);
      const std::shared_ptr<const core::TlsSecret> secret = find_secret(m, tls, id);
      if (!secret) continue;
      for (const std::string& host : hosts) {
        ++m.wanted;
        const auto [at, fresh] = c.certificates.try_emplace(host, Certificate{id, origin_of(*m.object, tls.spot)});
        if (!fresh && at->second.secret != id) {
          lose(m, "CertificateConflict", tls.spot, absl::StrCat("the certificate for ", host.empty() ? "every host" : host, " is that of ", place_of(at->second.origin, m)));
          continue;
        }
        if (fresh && !host.empty() && !absl::StartsWith(host, "*.") && !core::covers(secret->dns_names, host)) {
          doubt(m, "CertificateMismatch", tls.spot,
                absl::StrCat("the certificate of Secret ", id, " is not for ", host, " but for ",
                             secret->dns_names.empty() ? "no host" : absl::StrJoin(secret->dns_names, ", ")));
        }
        keep_secret(c, id, *secret, tls.secret, m);
      }
    }
  }

  std::shared_ptr<const core::TlsSecret> find_secret(Member& m, const Tls& tls, const std::string& id) {
    const ObjectKey key{"", "Secret", m.object->key.ns, tls.secret};
    const std::string wrong = broken(key);
    const ObjectPtr object = snapshot_.find(key);
    if (!object) {
      fail(m, "InvalidCertificateRef", tls.spot,
           wrong.empty() ? absl::StrCat("Secret ", id, " does not exist or is not of type kubernetes.io/tls", meant(key)) : absl::StrCat("Secret ", id, " is not valid: ", wrong));
      return nullptr;
    }
    if (!wrong.empty()) fail(m, "InvalidCertificateRef", tls.spot, absl::StrCat("Secret ", id, " is not valid: ", wrong, "; the last good one is served"));
    std::shared_ptr<const core::TlsSecret>& kept = result_.read_secrets[object];
    if (!kept && previous_) {
      if (const auto old = previous_->read_secrets.find(object); old != previous_->read_secrets.end()) kept = old->second;
    }
    std::vector<Diagnostic> unread;
    if (!kept) kept = std::make_shared<const core::TlsSecret>(core::read_tls_secret(*object, unread));
    return kept;
  }

  void keep_secret(Class& c, const std::string& id, const core::TlsSecret& secret, const std::string& name, const Member& m) {
    const ObjectPtr object = snapshot_.find(ObjectKey{"", "Secret", m.object->key.ns, name});
    intent::Secret& served = c.secrets[id];
    served.name = id;
    served.origins = {origin_of(*object, {"", object->line})};
    served.certificate_chain = secret.certificate_chain;
    served.private_key = secret.private_key;
  }

  intent::Route to(Member& m, const Backend& backend, std::string_view part, const Spot& spot) {
    intent::Route route;
    route.name = absl::StrCat(m.object->key.ns, "/", m.object->key.name, "/", part);
    route.origin = origin_of(*m.object, spot);
    route.backends.push_back(resolve(m, backend));
    return route;
  }

  // A share without backend answers 500.
  intent::WeightedBackend resolve(Member& m, const Backend& backend) {
    intent::WeightedBackend share;
    const std::string id = absl::StrCat(m.object->key.ns, "/", backend.service);
    if (!backend.resource.empty()) {
      fail(m, "InvalidKind", backend.spot, absl::StrCat(backend.resource, " cannot be a backend; a Service can"));
      return share;
    }
    const ObjectKey key{"", "Service", m.object->key.ns, backend.service};
    const core::Service* service = find_service(key);
    if (!service) {
      fail(m, "BackendNotFound", backend.spot, absl::StrCat("Service ", id, " does not exist or is not valid", meant(key)));
      return share;
    }
    if (service->external_name) {
      fail(m, "InvalidKind", backend.spot, absl::StrCat("Service ", id, " is of type ExternalName"));
      return share;
    }
    const core::ServicePort* port = nullptr;
    for (const core::ServicePort& p : service->ports) {
      if (p.tcp && (backend.port != 0 ? p.port == backend.port : p.name == backend.port_name)) port = &p;
    }
    if (!port) {
      fail(m, "BackendNotFound", backend.spot, backend.port != 0 ? absl::StrCat("Service ", id, " has no TCP port ", backend.port) : absl::StrCat("Service ", id, " has no TCP port named ", backend.port_name));
      return share;
    }
    const std::string& app = port->app_protocol;
    if (app == "https" || app == "kubernetes.io/wss" || app == "tls") {
      fail(m, "UnsupportedProtocol", backend.spot,
           absl::StrCat("port ", port->port, " of Service ", id, " speaks ", app, ", and an Ingress cannot say whom to trust: an HTTPRoute with a BackendTLSPolicy can"));
      return share;
    }
    if (app == "kubernetes.io/h2c" || app == "h2c" || app == "http2" || app == "grpc") share.protocol = intent::BackendProtocol::kHttp2;
    share.backend = intent::BackendKey{key.ns, key.name, port->port};
    return share;
  }

  const core::Service* find_service(const ObjectKey& key) {
    auto known = services_.find(key);
    if (known == services_.end()) {
      const ObjectPtr object = snapshot_.find(key);
      if (!object) return nullptr;
      known = services_.emplace(key, reading_of(*object, core::read_service)).first;
    }
    return known->second.get();
  }

  std::string meant(const ObjectKey& key) {
    if (++suggestions_ > kMaxSuggestions) return "";
    std::vector<std::string_view> names;
    for (const auto& [other, object] : snapshot_.of(key.group, key.kind)) {
      if (other.ns == key.ns) names.push_back(other.name);
    }
    const std::optional<std::string> close = closest(key.name, names);
    return close ? absl::StrCat("; did you mean '", *close, "'?") : "";
  }

  // What is wrong with the newest text of an object; "" when nothing is.
  std::string broken(const ObjectKey& key) const {
    for (const Diagnostic& d : snapshot_.diagnostics()) {
      if (d.severity != Severity::kError || d.object != key) continue;
      return absl::StrCat(d.file.empty() ? "" : absl::StrCat(d.file, ":", d.line, ": "), d.field.empty() ? "" : absl::StrCat(d.field, ": "), d.message);
    }
    return "";
  }

  // "Ingress default/shop (shop.yaml:12), which comes first".
  static std::string place_of(const intent::Origin& origin, const Member& m) {
    const bool same = origin.ns == m.object->key.ns && origin.name == m.object->key.name;
    if (same) return absl::StrCat(origin.field, ", which comes first");
    return absl::StrCat(origin.object(), ", which comes first");
  }

  // All that is wrong, under the first one's reason: Events are all that an author hears of it.
  static void note(std::string& reason, std::string& messages, std::string_view why, const Spot& spot, const std::string& message) {
    if (reason.empty()) reason = why;
    const std::string text = absl::StrCat(spot.field, ": ", message);
    if (!absl::StrContains(messages, text)) absl::StrAppend(&messages, messages.empty() ? "" : "; ", text);
  }

  void lose(Member& m, std::string_view reason, const Spot& spot, const std::string& message) {
    ++m.lost;
    note(m.conflict, m.conflict_message, reason, spot, message);
    problem(Severity::kError, *m.object, spot, absl::StrCat(reason, ": ", message));
  }

  void fail(Member& m, std::string_view reason, const Spot& spot, std::string message) {
    note(m.refs_reason, m.refs_message, reason, spot, message);
    problem(Severity::kError, *m.object, spot, absl::StrCat(reason, ": ", message));
  }

  void doubt(Member& m, std::string_view reason, const Spot& spot, const std::string& message) {
    note(m.doubt, m.doubt_message, reason, spot, message);
    problem(Severity::kWarning, *m.object, spot, message);
  }

  void problem(Severity severity, const Object& object, const Spot& spot, std::string message) {
    result_.diagnostics.push_back(Diagnostic{severity, object.key, object.file, spot.line, spot.field, std::move(message)});
  }

  void report(const Class& c, const Member& m) {
    const ObjectKey& key = m.object->key;
    const StatusScope scope{c.object->key, "", 0};
    const int64_t generation = m.object->generation;
    const bool conflicted = !m.conflict.empty(), nothing = m.wanted > 0 && m.lost == m.wanted;
    result_.status.set(key, scope, {"Accepted", nothing ? Truth::kFalse : Truth::kTrue, nothing ? "Conflicted" : "Accepted", nothing ? "all that it asks for belongs to others" : "", generation});
    result_.status.set(key, scope, {"Conflicted", conflicted ? Truth::kTrue : Truth::kFalse, conflicted ? m.conflict : "NoConflicts", m.conflict_message, generation});
    if (!m.doubt.empty()) result_.status.set(key, scope, {"PartiallyInvalid", Truth::kTrue, m.doubt, m.doubt_message, generation});
    const bool resolved = m.refs_reason.empty();
    result_.status.set(key, scope, {"ResolvedRefs", resolved ? Truth::kTrue : Truth::kFalse, resolved ? "ResolvedRefs" : m.refs_reason, m.refs_message, generation});
  }

  // Those whose newest version failed its check, as far as it says that they are ours.
  void report_rejected() {
    const Rejections rejections(snapshot_, kGroup);
    for (const auto& [key, object] : snapshot_.rejected()) {
      if (key.group != kGroup) continue;
      const Condition accepted{"Accepted", Truth::kFalse, "Invalid", rejections.message(key), object->generation};
      if (key.kind == "IngressClass" && text_at(object->body, "spec.controller") == kControllerName) result_.status.set(key, {}, accepted);
      if (key.kind != "Ingress") continue;
      std::vector<Diagnostic> told;  // by its check
      if (const Class* ours = known_class(class_name(read_ingress(*object, told)))) result_.status.set(key, {ours->object->key, "", 0}, accepted);
    }
  }

  intent::Gateway make_gateway(const Class& c) {
    intent::Gateway gateway;
    gateway.key = {std::string(kScopeNamespace), c.object->key.name};
    gateway.gateway_class = c.object->key.name;
    gateway.origin = origin_of(*c.object, {"", c.object->line});
    intent::Listener http;
    http.name = "http";
    http.origin = gateway.origin;
    http.port = c.spec.http_port;
    for (intent::VirtualHost& host : c.hosts.virtual_hosts("")) http.virtual_hosts.emplace_back(std::move(host));
    gateway.listeners.push_back(std::move(http));
    for (const auto& [host, certificate] : c.certificates) {
      intent::Listener https;
      https.name = host.empty() ? "https" : absl::StrCat("https-", host);
      https.origin = certificate.origin;
      https.port = c.spec.https_port;
      https.protocol = intent::Protocol::kHttps;
      https.hostname = host;
      https.tls = intent::ServerTls{};
      https.tls->certificates = {certificate.secret};
      for (intent::VirtualHost& own : c.hosts.virtual_hosts(host)) https.virtual_hosts.emplace_back(std::move(own));
      gateway.listeners.push_back(std::move(https));
    }
    for (const auto& [name, secret] : c.secrets) gateway.secrets.push_back(secret);
    return gateway;
  }

  void keep(intent::Gateway gateway) {
    const intent::ScopeKey scope = gateway.key;
    intent::GatewayPtr& now = result_.model.gateways[scope];
    if (previous_) {
      const auto old = previous_->model.gateways.find(scope);
      if (old != previous_->model.gateways.end() && *old->second == gateway) now = old->second;
    }
    if (!now) now = std::make_shared<const intent::Gateway>(std::move(gateway));
  }

  const ObjectSnapshot& snapshot_;
  const Translation* previous_;
  Translation result_;
  std::map<std::string, Class> classes_;  // ours, by name
  Class* default_ = nullptr;
  std::map<ObjectKey, std::shared_ptr<const core::Service>> services_;  // asked for so far
  int suggestions_ = 0;
};

}  // namespace

Translation translate(const ObjectSnapshot& snapshot, const Translation* previous) { return Translator(snapshot, previous).run(); }

std::vector<WatchedKind> watched_kinds() {
  WatchedKind classes{std::string(kGroup), "ingressclasses", "IngressClass", {"v1"}};
  classes.cluster_scoped = true;
  return {std::move(classes), {std::string(kGroup), "ingresses", "Ingress", {"v1"}}};
}

void register_groups(Store& store) { store.register_group(std::string(kGroup), check_networking); }

}  // namespace fairlead::adapters::ingress
