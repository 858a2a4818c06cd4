// The translation as a whole. See translate.h.
#include "adapters/gatewayapi/translate.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/world.h"

namespace fairlead::adapters::gatewayapi {

namespace {

intent::Protocol protocol_of(const Listener& listener) {
  using enum intent::Protocol;
  for (const intent::Protocol p : {kHttps, kTls, kTcp, kUdp}) {
    if (listener.protocol == intent::protocol_name(p)) return p;
  }
  return kHttp;
}

// One Gateway's intent: its listeners, and of secrets and secured backends what they name.
class GatewayMaker {
 public:
  GatewayMaker(World& world, GatewayState& state) : world_(world), state_(state), secured_(world) {}

  intent::Gateway make() {
    gateway_.key = {state_.object->key.ns, state_.object->key.name};
    gateway_.gateway_class = state_.gateway.class_name;
    gateway_.origin = origin_of(*state_.object, {"", state_.object->line});
    if (!state_.served()) return std::move(gateway_);
    for (ListenerState& l : state_.listeners) {
      if (l.usable()) add(l);
    }
    secured_.fill(gateway_, std::move(secrets_), state_.client_certificate);
    return std::move(gateway_);
  }

 private:
  void add(ListenerState& l) {
    intent::Listener listener;
    listener.name = l.name;
    listener.origin = origin_of(*l.owner, l.listener.spot);
    listener.address = state_.addresses.front();
    listener.more_addresses.assign(state_.addresses.begin() + 1, state_.addresses.end());
    listener.port = l.listener.port;
    listener.protocol = protocol_of(l.listener);
    listener.hostname = l.listener.hostname;
    if (l.ends_tls()) {
      const ListenerTls& tls = *l.listener.tls;
      listener.tls = intent::ServerTls{l.certificates, tls.min_version, tls.max_version, tls.cipher_suites, l.trusted_clients, !l.insecure_clients};
      secrets_.insert(l.certificates.begin(), l.certificates.end());
      if (!l.trusted_clients.empty()) secrets_.insert(l.trusted_clients);
    }
    for (auto& [hostname, ranked] : l.routes) {
      listener.virtual_hosts.emplace_back(virtual_host(hostname, ranked));
      secured_.use(ranked);
    }
    for (auto& [hostname, ranked] : l.tls_routes) listener.tls_routes.push_back(first_of(l, ranked));
    if (l.l4_route) add_l4(listener, l);
    l.place = static_cast<int>(gateway_.listeners.size());
    gateway_.listeners.push_back(std::move(listener));
  }

  void add_l4(intent::Listener& listener, ListenerState& l) {
    const std::string hostname = l.listener.hostname.empty() ? "*" : l.listener.hostname;
    if (const auto taken = l.tls_routes.find(hostname); taken != l.tls_routes.end()) {
      const std::string why = absl::StrCat("hostname ", hostname, " of listener ", l.listener.name, " belongs to ", taken->second.front().object->key.str(), ", which names it");
      const intent::Origin& origin = l.l4_route->route.origin;
      world_.problem(Severity::kWarning, *l.l4_route->object, {origin.field, origin.line}, why);
      world_.add_message(l.l4_route->object->key, *l.owner, l.listener, why);
      return;
    }
    listener.l4_route = std::move(l.l4_route->route);
    for (intent::WeightedBackend& b : listener.l4_route->backends) secure(b);
  }

  // A backend whose policy cannot be carried out gets nothing: never in plain instead.
  void secure(intent::WeightedBackend& b) {
    if (!b.backend) return;
    const auto secured = world_.secured.find(*b.backend);
    if (secured != world_.secured.end() && !secured->second.tls) b.backend.reset();
    secured_.use(b.backend);
  }

  // Of several for one hostname the first; the others have been told.
  intent::TlsRoute first_of(const ListenerState& l, std::vector<RankedTlsRoute>& ranked) {
    intent::TlsRoute route = std::move(ranked[0].route);
    for (intent::WeightedBackend& b : route.backends) {
      if (l.ends_tls()) secure(b);
    }
    return route;
  }

  World& world_;
  GatewayState& state_;
  intent::Gateway gateway_;
  SecuredBackends secured_;
  std::set<std::string> secrets_;
};

void take_grants(World& world) {
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  for (const auto& [key, object] : world.snapshot.of(kGroup, "ReferenceGrant")) {
    world.grants[key.ns].push_back(read_reference_grant(*object, unread));
  }
}

template <typename T, typename Read>
std::shared_ptr<const T> read_once(const ObjectPtr& object, std::map<ObjectPtr, std::shared_ptr<const T>>& now,
                                   const std::map<ObjectPtr, std::shared_ptr<const T>>* before, Read&& read) {
  std::shared_ptr<const T>& kept = now[object];
  if (!kept && before) {
    if (const auto old = before->find(object); old != before->end()) kept = old->second;
  }
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  if (!kept) kept = std::make_shared<const T>(read(*object, unread));
  return kept;
}

}  // namespace

void SecuredBackends::use(const std::optional<intent::BackendKey>& backend) {
  if (!backend) return;
  const auto secured = world_.secured.find(*backend);
  if (secured != world_.secured.end() && secured->second.tls) backends_[*backend] = &*secured->second.tls;
}

void SecuredBackends::use(const std::vector<RankedPtr>& routes) {
  for (const RankedPtr& r : routes) {
    for (const intent::WeightedBackend& b : r->route.backends) use(b.backend);
    for (const intent::Mirror& m : r->route.mirrors) use(m.backend);
  }
}

void SecuredBackends::fill(intent::Gateway& gateway, std::set<std::string> secrets, const std::string& client_certificate) const {
  for (const auto& [key, tls] : backends_) {
    gateway.backend_tls.push_back(*tls);
    gateway.backend_tls.back().client_certificate = client_certificate;
    if (!client_certificate.empty()) secrets.insert(client_certificate);
    if (!tls->trusted_ca.empty()) secrets.insert(tls->trusted_ca);
  }
  for (const std::string& name : secrets) gateway.secrets.push_back(world_.secrets.at(name));
}

std::vector<Diagnostic> Known::problems() const {
  std::vector<Diagnostic> all = problems_before;
  for (const auto& [route, problems] : problems_of) all.insert(all.end(), problems.begin(), problems.end());
  all.insert(all.end(), problems_after.begin(), problems_after.end());
  return all;
}

intent::VirtualHost virtual_host(const std::string& hostname, std::vector<RankedPtr>& routes) {
  std::sort(routes.begin(), routes.end(), [](const RankedPtr& a, const RankedPtr& b) { return tried_before(*a, *b); });
  intent::VirtualHost host;
  host.hostname = hostname;
  host.routes.reserve(routes.size());
  for (const RankedPtr& r : routes) host.routes.emplace_back(std::shared_ptr<const intent::Route>(r, &r->route));
  return host;
}

bool is_request_route(const ObjectKey& key) { return key.group == kGroup && (key.kind == "HTTPRoute" || key.kind == "GRPCRoute"); }

bool World::permitted(const GroupKind& from_kind, const std::string& from_ns, const GroupKind& to_kind, const std::string& to_ns,
                      const std::string& to_name) const {
  if (from_ns == to_ns) return true;
  auto there = grants.find(to_ns);
  if (there == grants.end()) return false;
  return std::any_of(there->second.begin(), there->second.end(), [&](const ReferenceGrant& grant) {
    const bool from = std::any_of(grant.from.begin(), grant.from.end(), [&](const ReferenceGrant::From& f) {
      return f.kind == from_kind && f.ns == from_ns;
    });
    return from && std::any_of(grant.to.begin(), grant.to.end(), [&](const ReferenceGrant::To& t) {
      return t.kind == to_kind && (t.name.empty() || t.name == to_name);
    });
  });
}

void World::problem(Severity severity, const Object& object, const Spot& spot, std::string message) {
  result.diagnostics.push_back(Diagnostic{severity, object.key, object.file, spot.line, spot.field, std::move(message)});
}

void World::add_message(const ObjectKey& route, const Object& parent, const Listener& listener, const std::string& message) {
  const auto said = result.status.objects().find(route);
  if (said == result.status.objects().end()) return;
  for (const auto& [scope, status] : said->second) {
    if (scope.parent != parent.key || (!scope.section.empty() && scope.section != listener.name) || (scope.port != 0 && scope.port != listener.port)) continue;
    for (Condition& c : result.status.at(route, scope).conditions) {
      if (c.type == "Accepted") absl::StrAppend(&c.message, c.message.empty() ? "" : "; ", message);
    }
  }
}

std::shared_ptr<const HttpRoute> World::route(const ObjectPtr& object) { return reading_of(*object, object->key.kind == "GRPCRoute" ? read_grpc_route : read_http_route); }

const core::Service* World::service(const ObjectKey& key) {
  auto known = services.find(key);
  if (known == services.end()) {
    const ObjectPtr object = snapshot.find(key);
    if (!object) return nullptr;
    known = services.emplace(key, reading_of(*object, core::read_service)).first;
  }
  return known->second.get();
}

std::shared_ptr<const core::TlsSecret> World::tls_secret(const ObjectPtr& object) {
  return read_once(object, result.read_secrets, previous ? &previous->read_secrets : nullptr, core::read_tls_secret);
}

std::shared_ptr<const core::CaBundle> World::ca_bundle(const ObjectPtr& object) {
  return read_once(object, result.read_bundles, previous ? &previous->read_bundles : nullptr, core::read_ca_bundle);
}

std::string World::broken(const ObjectKey& key) const {
  for (const Diagnostic& d : snapshot.diagnostics()) {
    if (d.severity != Severity::kError || d.object != key) continue;
    return absl::StrCat(d.file.empty() ? "" : absl::StrCat(d.file, ":", d.line, ": "), d.field.empty() ? "" : absl::StrCat(d.field, ": "), d.message);
  }
  return "";
}

intent::Origin origin_of(const Object& object, const Spot& spot) {
  intent::Origin origin;
  origin.source = object.source;
  origin.file = object.file;
  origin.line = spot.line;
  origin.group = object.key.group;
  origin.kind = object.key.kind;
  origin.ns = object.key.ns;
  origin.name = object.key.name;
  origin.generation = object.generation;
  origin.field = spot.field;
  return origin;
}

namespace {

// All of it; what is known of the objects then.
Known translate_all(const ObjectSnapshot& snapshot, const Translation* previous, Translation& result) {
  World world{Known{}, snapshot, result, previous};
  Policies policies(world);
  take_grants(world);
  take_gateways(world);
  take_listener_sets(world);
  policies.take();
  world.problems_before = result.diagnostics;
  attach_routes(world);
  const size_t told = result.diagnostics.size();
  report_gateways(world);
  report_listener_sets(world);
  policies.report();
  report_rejected(world);
  for (auto& [key, state] : world.gateways) {
    intent::Gateway gateway = GatewayMaker(world, state).make();
    const intent::ScopeKey scope = gateway.key;
    if (previous) {
      auto old = previous->model.gateways.find(scope);
      if (old != previous->model.gateways.end() && *old->second == gateway) {
        result.model.gateways[scope] = old->second;
        continue;
      }
    }
    result.model.gateways[scope] = std::make_shared<const intent::Gateway>(std::move(gateway));
  }
  make_mesh(world, previous);
  world.problems_after.assign(result.diagnostics.begin() + static_cast<std::ptrdiff_t>(told), result.diagnostics.end());
  return static_cast<Known&&>(world);
}

enum class Reach { kNobody, kRoute, kAll };

// Whose translation a change of the object concerns.
Reach reach_of(const ObjectKey& key) {
  if (is_request_route(key)) return Reach::kRoute;
  return key.group.empty() || key.group == kGroup || key.group == kExperimentalGroup || key.group == kOurGroup ? Reach::kAll : Reach::kNobody;
}

}  // namespace

Translation translate(const ObjectSnapshot& snapshot, const Translation* previous) {
  Translation result;
  translate_all(snapshot, previous, result);
  return result;
}

struct KeptTranslation::State {
  Translation now;
  std::optional<Known> known;  // none: nothing has been translated yet
  Counts counts;
};

KeptTranslation::KeptTranslation() : state_(std::make_unique<State>()) {}
KeptTranslation::~KeptTranslation() = default;
KeptTranslation::KeptTranslation(KeptTranslation&&) noexcept = default;
KeptTranslation& KeptTranslation::operator=(KeptTranslation&&) noexcept = default;

const Translation& KeptTranslation::now() const { return state_->now; }
const KeptTranslation::Counts& KeptTranslation::counts() const { return state_->counts; }

const Translation& KeptTranslation::update(const ObjectSnapshot& snapshot, const std::set<ObjectKey>* changed) {
  if (changed && state_->known) {
    std::set<ObjectKey> routes;
    bool others = false;
    for (const ObjectKey& key : *changed) {
      const Reach reach = reach_of(key);
      others = others || reach == Reach::kAll;
      if (reach == Reach::kRoute) routes.insert(key);
    }
    if (!others) {
      World world{std::move(*state_->known), snapshot, state_->now, nullptr};
      const bool followed = follow_routes(world, routes);
      state_->known = static_cast<Known&&>(world);
      if (followed) {
        ++state_->counts.followed;
        return state_->now;
      }
    }
  }
  ++state_->counts.whole;
  Translation next;
  state_->known = translate_all(snapshot, &state_->now, next);
  state_->now = std::move(next);
  return state_->now;
}

void register_groups(Store& store) {
  store.register_group(std::string(kGroup), check_gateway_api);
  store.register_group(std::string(kExperimentalGroup), check_experimental);
  store.register_group("", core::check_core);
  store.register_group(std::string(core::kDiscoveryGroup), core::check_discovery);
}

}  // namespace fairlead::adapters::gatewayapi
