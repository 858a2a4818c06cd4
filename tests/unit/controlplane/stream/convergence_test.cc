// Random worlds, clients that refuse some resources, requests at any moment: what must hold whatever happens.
//  - what the session believes the client has is what the client has
//  - refused bytes are never sent to the stream again
//  - a cluster that the client's routes name, and that it had, is never taken from it
//  - when all is acknowledged the client has the last snapshot, but for what it refused
// Each also with a session that is told only of the assignments that concern it (on_snapshot's `endpoints`).
#include "tests/unit/controlplane/stream/driver.h"

#include <deque>
#include <random>
#include <tuple>

using namespace fairlead;
using namespace fairlead::test;

namespace {

constexpr Type kTypes[] = {Type::kCluster, Type::kEndpoint, Type::kListener, Type::kRoute};

// Consistent by construction: every route table names clusters of the same snapshot.
class RandomWorld {
 public:
  explicit RandomWorld(std::mt19937& random) : random_(random) { change(); }
  const snapshot::SnapshotPtr& now() const { return snapshot_; }
  void change() {
    std::vector<ResourcePtr> all;
    Names clusters;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      if (pick(4) == 0) continue;
      clusters.emplace_back(name);
      all.push_back(cluster(name, pick(2) + 1));
      all.push_back(assignment(name, pick(3) + 1));
    }
    for (const char* name : {"r1", "r2"}) {
      Names used;
      for (const std::string& c : clusters) {
        if (pick(2)) used.push_back(c);
      }
      all.push_back(routes(name, used, pick(4) + 1));
      if (pick(3)) all.push_back(listener(std::string("l-") + name, name, pick(3) + 1));
    }
    snapshot_ = snapshot::replace(snapshot_, "gateway:default/edge", all);
  }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  std::mt19937& random_;
  snapshot::SnapshotPtr snapshot_;
};

template <typename Session>
class RandomClient {
 public:
  static constexpr bool kDelta = std::is_same_v<Session, cpstream::DeltaSession>;
  RandomClient(std::mt19937& random, const RandomWorld& world, bool told) : random_(random), world_(world), told_(told), session_({}, table_, world.now()) {
    for (Type t : kTypes) subscribe(t);
  }

  void subscribe(Type t) {
    Request r = request(t);
    if (t == Type::kEndpoint) r.names = {"a", "b", "c", "d", "e"};
    if (t == Type::kRoute) r.names = {"r1", "r2"};
    wanted_[t] = r.names;
    if (kDelta) {
      r.nonce.clear();
    }
    send(r);
  }
  // Some of the assignments, from now on. Not amid responses: what such a client has in state of the world nobody can know, the protocol's own race.
  void choose(const Names& names) {
    if (!inbox_.empty()) return;
    Request r = request(Type::kEndpoint);
    std::erase_if(has_[Type::kEndpoint], [&](const auto& entry) { return std::find(names.begin(), names.end(), entry.first) == names.end(); });
    if (kDelta) {
      const Names before = wanted_[Type::kEndpoint];
      std::set_difference(names.begin(), names.end(), before.begin(), before.end(), std::back_inserter(r.names));
      std::set_difference(before.begin(), before.end(), names.begin(), names.end(), std::back_inserter(r.unsubscribe));
      r.nonce.clear();
    } else {
      r.names = names;
    }
    wanted_[Type::kEndpoint] = names;
    send(r);
  }
  void send(const Request& r) { take(session_.on_request(r, now_, told_ && r.type_url == resources::type_url(Type::kEndpoint) ? world_.now() : nullptr)); }
  // The world has changed: what of it is to be told.
  void notice(const snapshot::SnapshotPtr& before) {
    for (Type t : kTypes) news_ |= t != Type::kEndpoint && before->set(t) != world_.now()->set(t);
    for (const snapshot::Step& step : snapshot::TypeSet::diff(before->set(Type::kEndpoint), world_.now()->set(Type::kEndpoint))) {
      if (!session_.endpoints()->contains(step.name())) continue;
      endpoints_.push_back(step.name());
      news_ = true;
    }
  }
  void see() {
    if (!told_) return take(session_.on_snapshot(world_.now(), now_));
    if (!std::exchange(news_, false)) return;
    const Names names = std::exchange(endpoints_, {});
    const std::vector<std::string_view> views(names.begin(), names.end());
    take(session_.on_snapshot(world_.now(), now_, views));
  }

  // Reads the next response and acknowledges it, or refuses it as Envoy does.
  bool step(bool may_refuse) {
    if (inbox_.empty()) return false;
    const Response response = inbox_.front();
    inbox_.pop_front();
    last_[response.type] = response;
    Names refused;
    for (const ResourcePtr& r : response.resources) {
      if (auto at = refused_.find({r->type, r->name, r->hash}); at != refused_.end()) {
        CHECK(std::stoull(response.nonce) <= at->second);  // on its way already when it was refused
        refused.push_back(r->name);                         // a client that refuses bytes refuses them always
        continue;
      }
      const bool had = has_[r->type].contains(r->name);
      if (may_refuse && changed(*r) && (r->type != Type::kCluster || had) && random_() % 6 == 0) refused.push_back(r->name);
    }
    Request answer = request(response.type);
    answer.nonce = response.nonce;
    if (!kDelta) answer.names = wanted_[response.type];
    if (refused.empty()) {
      apply(response, {});
      answer.version_info = response.version;
    } else {
      std::string message = "Error adding/updating listener(s) ";
      for (const std::string& name : refused) message += name + ": no\n";
      answer.error = message;
      apply(response, refused);
      for (const ResourcePtr& r : response.resources) {
        if (std::find(refused.begin(), refused.end(), r->name) == refused.end()) continue;
        const uint64_t underway = inbox_.empty() ? 0 : std::stoull(inbox_.back().nonce);
        refused_.emplace(std::tuple(r->type, r->name, r->hash), underway);
      }
    }
    send(answer);
    check_routes();
    return true;
  }

  void check_converged(const snapshot::Snapshot& wanted) {
    for (Type t : kTypes) {
      CAPTURE(resources::short_name(t));
      std::map<std::string, ContentHash> believed;
      for (const ResourcePtr& r : session_.sent(t)) believed[r->name] = r->hash;
      wanted.of(t).for_each([&](const ResourcePtr& r) {
        CAPTURE(r->name);
        if (refused_.contains({t, r->name, r->hash})) return;
        REQUIRE(has_[t].contains(r->name));
        CHECK(has_[t].at(r->name)->hash == r->hash);
      });
      for (const auto& [name, hash] : believed) {
        CAPTURE(name);
        REQUIRE(has_[t].contains(name));
        CHECK(has_[t].at(name)->hash == hash);
      }
      if (!kDelta && !resources::is_root(t)) continue;  // nothing is ever deleted there
      for (const auto& [name, r] : has_[t]) {
        CAPTURE(name);
        CHECK(believed.contains(name));
      }
    }
  }

 private:
  Request request(Type t) {
    Request r;
    r.node.emplace();
    r.node->id = "n";
    r.type_url = resources::type_url(t);
    if (auto at = last_.find(t); at != last_.end()) r.nonce = at->second.nonce;
    return r;
  }
  bool changed(const resources::Resource& r) {
    const auto& mine = has_[r.type];
    const auto at = mine.find(r.name);
    return at == mine.end() || at->second->hash != r.hash;
  }
  void take(const Output& o) {
    CHECK(o.close.ok());
    inbox_.insert(inbox_.end(), o.responses.begin(), o.responses.end());
  }
  // As Envoy does: of listeners and clusters the good ones and all removals, of other types all or nothing but removals.
  void apply(const Response& response, const Names& refused) {
    auto& mine = has_[response.type];
    const bool root = resources::is_root(response.type);
    auto bad = [&](const std::string& name) { return std::find(refused.begin(), refused.end(), name) != refused.end(); };
    const Names carried = names_of(response);
    if (!kDelta && root) {
      std::erase_if(mine, [&](const auto& entry) { return std::find(carried.begin(), carried.end(), entry.first) == carried.end(); });
    }
    for (const ResourcePtr& r : response.resources) {
      if (refused.empty() || (root && !bad(r->name))) mine[r->name] = r;
    }
    for (const std::string& name : response.removed) mine.erase(name);
  }
  void check_routes() {
    for (const auto& [name, table] : has_[Type::kRoute]) {
      for (const resources::Reference& ref : table->references) {
        // a cluster whose bytes this client refused may be one it cannot be given
        if (std::any_of(refused_.begin(), refused_.end(), [&](const auto& entry) { return std::get<1>(entry.first) == ref.name; })) continue;
        CAPTURE(name, ref.name);
        CHECK(has_[Type::kCluster].contains(ref.name));
      }
    }
  }

  std::mt19937& random_;
  const RandomWorld& world_;
  const bool told_;
  bool news_ = false;
  Names endpoints_;
  cpstream::NameTable table_;
  Session session_;
  MonotonicTime now_{std::chrono::hours(1)};
  std::deque<Response> inbox_;
  std::map<Type, Response> last_;
  std::map<Type, Names> wanted_;
  std::map<Type, std::map<std::string, ResourcePtr>> has_;
  std::map<std::tuple<Type, std::string, ContentHash>, uint64_t> refused_;  // and the last nonce that was under way then
};

template <typename Session>
void play(unsigned seed, bool may_refuse, bool told, bool choosy, bool refuse_to_the_end = false) {
  std::mt19937 random(seed);
  RandomWorld world(random);
  RandomClient<Session> client(random, world, told);
  for (int i = 0; i < 300; ++i) {
    switch (random() % 4) {
      case 0: {
        const snapshot::SnapshotPtr before = world.now();
        world.change();
        client.notice(before);
        break;
      }
      case 1: client.see(); break;
      case 2: client.step(may_refuse); break;
      case 3:
        if (random() % 10 == 0) client.subscribe(kTypes[random() % 4]);
        if (choosy && random() % 10 == 0) {
          Names some;
          for (const char* name : {"a", "b", "c", "d", "e"})
            if (random() % 2) some.emplace_back(name);
          if (!some.empty()) client.choose(some);
        }
        break;
    }
  }
  if (choosy) {
    while (client.step(false)) {
    }
    client.choose({"a", "b", "c", "d", "e"});
  }
  while (refuse_to_the_end && client.step(true)) {
  }
  for (int i = 0; i < 3; ++i) {
    client.see();
    while (client.step(false)) {
    }
  }
  client.check_converged(*world.now());
}

}  // namespace

TEMPLATE_TEST_CASE("any history ends with the client having the snapshot", "", cpstream::SotwSession, cpstream::DeltaSession) {
  for (unsigned seed = 1; seed <= 80; ++seed) {
    for (bool told : {false, true})
      for (bool choosy : {false, true}) {
        CAPTURE(seed, told, choosy);
        play<TestType>(seed, false, told, choosy);
      }
  }
}

TEMPLATE_TEST_CASE("any history with refusals ends with the client having all it did not refuse", "", cpstream::SotwSession, cpstream::DeltaSession) {
  for (unsigned seed = 1; seed <= 80; ++seed) {
    for (bool told : {false, true})
      for (bool choosy : {false, true}) {
        CAPTURE(seed, told, choosy);
        play<TestType>(seed, true, told, choosy);
      }
  }
}

// The last refusals are then answered by nothing further that would put right what was believed wrongly.
TEMPLATE_TEST_CASE("any history with refusals of the last responses too ends with the client having all it did not refuse", "", cpstream::SotwSession, cpstream::DeltaSession) {
  for (unsigned seed = 1; seed <= 80; ++seed) {
    for (bool told : {false, true})
      for (bool choosy : {false, true}) {
        CAPTURE(seed, told, choosy);
        play<TestType>(seed, true, told, choosy, true);
      }
  }
}
