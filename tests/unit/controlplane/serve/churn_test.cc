// A day of a server, in simulated time: endpoints and configuration change, proxies come, go, stop reading and refuse, sources break, Gateways vanish and
// return, the server itself is replaced. Once an hour everybody is given a minute of peace, and then has what it shall have, byte for byte, by what it was
// sent; what is allocated does not grow from hour to hour; and in the end nothing is left.
#include "tests/unit/controlplane/serve/harness.h"

#include <malloc.h>

#include <memory>
#include <random>

#include "tests/slowness.h"

namespace churn_test {

using namespace fairlead;
using namespace fairlead::test;
namespace discovery = envoy::service::discovery::v3;

namespace {

constexpr Type kTypes[] = {Type::kCluster, Type::kEndpoint, Type::kListener, Type::kRoute};
constexpr int kMistake = 13;  // a variant of a cluster that Envoys refuse
const Texts kScopes{"edge", "web"};
const Texts kServices{"a", "b", "c", "d", "e", "f"};

std::string name_of(Type type, const std::string& body) {
  if (type == Type::kEndpoint) {
    envoy::config::endpoint::v3::ClusterLoadAssignment m;
    REQUIRE(m.ParseFromString(body));
    return m.cluster_name();
  }
  envoy::config::cluster::v3::Cluster m;  // the name of the others, too, is in field 1
  m.ParsePartialFromString(body);
  return m.name();
}

bool is_mistake(Type type, const std::string& body) {
  envoy::config::cluster::v3::Cluster m;
  return type == Type::kCluster && m.ParseFromString(body) && m.connect_timeout().seconds() == kMistake;
}

// A proxy that keeps what it takes through all its streams, asks for the assignments of its clusters, and refuses mistakes if it is an Envoy.
class Proxy {
 public:
  Proxy(int number, std::mt19937& random) : id_("n" + std::to_string(number)), cluster_(kScopes[random() % kScopes.size()]), envoy_(random() % 3 != 0), delta_(random() % 2 == 0) {}

  const std::string& id() const { return id_; }
  bool connected() const { return stream_.has_value(); }
  bool reads() const { return reads_; }
  void set_reads(Server& s, bool reads) {
    reads_ = reads;
    if (!stream_) return;
    if (!reads) {
      s.slow.insert(*stream_);
    } else if (s.slow.erase(*stream_) != 0) {
      s.core.written(*stream_, s.clock.monotonic());
    }
  }
  void connect(Server& s) {
    const absl::StatusOr<StreamId> opened = s.core.open(delta_ ? StreamKind::kDelta : StreamKind::kSotw, std::nullopt, peer());
    REQUIRE(opened.ok());
    stream_ = *opened;
    introduced_ = false;
    asked_.clear();
    last_.clear();
    for (Type type : {Type::kCluster, Type::kListener}) ask(s, type, {});
    follow(s);
  }
  void disconnect(Server* s) {
    if (!stream_) return;
    if (s != nullptr) {
      s->core.closed(*stream_);
      s->sent.erase(*stream_);
      s->slow.erase(*stream_);
    }
    stream_.reset();
    reads_ = true;
  }
  // All that has come; whether there was anything.
  bool read(Server& s) {
    if (!stream_ || !reads_) return false;
    CHECK_FALSE(s.ended.contains(*stream_));
    const auto at = s.sent.find(*stream_);
    if (at == s.sent.end() || at->second.empty()) return false;
    for (const std::string& bytes : std::exchange(at->second, {})) delta_ ? take_delta(s, bytes) : take_sotw(s, bytes);
    follow(s);
    return true;
  }
  void check(Server& s) const {
    CAPTURE(id_, cluster_, envoy_, delta_);
    const absl::StatusOr<snapshot::SnapshotPtr> wanted = s.core.snapshot_of(id_);
    REQUIRE(wanted.ok());
    for (Type type : kTypes) {
      const auto& mine = has_.at(type);
      size_t expected = 0;
      for (const auto& [name, body] : mine) {
        CHECK_FALSE((envoy_ && is_mistake(type, body)));
        expected += (*wanted)->leaves_out(type, name);  // from a server before, and all refuse what there is instead
      }
      (*wanted)->of(type).for_each([&](const ResourcePtr& r) {
        CAPTURE(resources::short_name(type), r->name);
        if (type == Type::kEndpoint && !has_.at(Type::kCluster).contains(r->name)) return;
        if (envoy_ && is_mistake(type, std::string(r->body()))) {  // refused by this one alone so far, or by too few
          expected += mine.contains(r->name);
          return;
        }
        ++expected;
        REQUIRE(mine.contains(r->name));
        CHECK(mine.at(r->name) == r->body());
      });
      if (delta_ || resources::is_root(type)) {  // elsewhere nothing is ever deleted
        std::string names = std::string(resources::short_name(type)) + " mine:";
        for (const auto& [name, body] : mine) names += " " + name;
        names += " wanted:";
        (*wanted)->of(type).for_each([&](const ResourcePtr& r) { names += " " + r->name; });
        CAPTURE(names);
        CHECK(mine.size() == expected);
      }
    }
  }

 private:
  template <typename Request>
  void send(Server& s, Request& r, Type type) {
    if (!std::exchange(introduced_, true)) {
      r.mutable_node()->set_id(id_);
      r.mutable_node()->set_cluster(cluster_);
      r.mutable_node()->set_user_agent_name(envoy_ ? "envoy" : "other");
    }
    r.set_type_url(std::string(resources::type_url(type)));
    s.core.request(*stream_, r.SerializeAsString());
  }
  // The first of a type says what it has; later ones what is new and what is no longer wanted.
  void ask(Server& s, Type type, const Texts& names) {
    const bool first = !asked_.contains(type);
    Texts& before = asked_[type];
    if (!first && before == names) return;
    if (!resources::is_root(type)) std::erase_if(has_[type], [&](const auto& one) { return !std::binary_search(names.begin(), names.end(), one.first); });
    if (delta_) {
      discovery::DeltaDiscoveryRequest r;
      std::set_difference(names.begin(), names.end(), before.begin(), before.end(), google::protobuf::RepeatedFieldBackInserter(r.mutable_resource_names_subscribe()));
      std::set_difference(before.begin(), before.end(), names.begin(), names.end(), google::protobuf::RepeatedFieldBackInserter(r.mutable_resource_names_unsubscribe()));
      for (const auto& [name, body] : has_[type])
        if (first && versions_[type].contains(name)) (*r.mutable_initial_resource_versions())[name] = versions_[type][name];
      before = names;
      send(s, r, type);
    } else {
      discovery::DiscoveryRequest r;
      for (const std::string& name : names) r.add_resource_names(name);
      if (!first) r.set_response_nonce(last_[type]);
      r.set_version_info(sotw_version_[type]);
      before = names;
      send(s, r, type);
    }
  }
  // What it needs besides: the assignments of its clusters, and the table of its listeners.
  void follow(Server& s) {
    Texts names;
    for (const auto& [name, body] : has_[Type::kCluster]) names.push_back(name);
    if (!names.empty() || asked_.contains(Type::kEndpoint)) ask(s, Type::kEndpoint, names);
    ask(s, Type::kRoute, {"r"});
  }
  // As Envoy does: of clusters and listeners the good ones are taken, of the rest all or nothing.
  template <typename Request>
  void answer(Server& s, Type type, const Texts& refused, Request& r, const std::string& nonce) {
    last_[type] = nonce;
    r.set_response_nonce(nonce);
    if (!refused.empty()) {
      std::string message = "Error adding/updating cluster(s) ";
      for (const std::string& name : refused) message += name + ": no such timeout\n";
      r.mutable_error_detail()->set_message(message);
    }
    send(s, r, type);
  }
  void take_delta(Server& s, const std::string& bytes) {
    discovery::DeltaDiscoveryResponse response;
    REQUIRE(response.ParseFromString(bytes));
    const Type type = *resources::type_from_url(response.type_url());
    Texts refused;
    for (const auto& r : response.resources()) {
      if (envoy_ && is_mistake(type, r.resource().value())) {
        refused.push_back(r.name());
        continue;
      }
      has_[type][r.name()] = r.resource().value();
      versions_[type][r.name()] = r.version();
    }
    for (const std::string& name : response.removed_resources()) has_[type].erase(name);
    discovery::DeltaDiscoveryRequest r;
    answer(s, type, refused, r, response.nonce());
  }
  void take_sotw(Server& s, const std::string& bytes) {
    discovery::DiscoveryResponse response;
    REQUIRE(response.ParseFromString(bytes));
    const Type type = *resources::type_from_url(response.type_url());
    Texts refused;
    std::set<std::string> carried;
    for (const auto& any : response.resources()) {
      const std::string name = name_of(type, any.value());
      carried.insert(name);
      if (envoy_ && is_mistake(type, any.value())) {
        refused.push_back(name);
        continue;
      }
      has_[type][name] = any.value();
    }
    if (resources::is_root(type)) std::erase_if(has_[type], [&](const auto& one) { return !carried.contains(one.first); });
    if (refused.empty()) sotw_version_[type] = response.version_info();
    discovery::DiscoveryRequest r;
    for (const std::string& name : asked_[type]) r.add_resource_names(name);
    r.set_version_info(sotw_version_[type]);
    answer(s, type, refused, r, response.nonce());
  }

  const std::string id_, cluster_;
  const bool envoy_, delta_;
  bool reads_ = true, introduced_ = false;
  std::optional<StreamId> stream_;
  std::map<Type, Texts> asked_;         // on this stream, sorted
  std::map<Type, std::string> last_;    // nonces
  std::map<Type, std::string> sotw_version_;
  std::map<Type, std::map<std::string, std::string>> has_{{Type::kCluster, {}}, {Type::kEndpoint, {}}, {Type::kListener, {}}, {Type::kRoute, {}}}, versions_;
};

// What the author has written.
struct Written {
  bool there = true;
  std::map<std::string, int> clusters;  // variants
  int table = 1;
};

class Day {
 public:
  explicit Day(unsigned seed) : random_(seed) {
    for (const std::string& scope : kScopes)
      for (const std::string& service : kServices)
        if (pick(3) != 0) written_[scope].clusters[service] = 1;
    for (int i = 0; i < 40; ++i) proxies_.emplace_back(i, random_);
    start();
  }

  // Something happens every second or so; what it is, by how often such things do.
  void hour() {
    for (int second = 0; second < 3600;) {
      const int step = 1 + pick(10);
      second += step;
      advance(std::chrono::seconds(step));
      const int what = pick(1000);
      if (what < 600) {
        endpoints();
      } else if (what < 650) {
        configure();
      } else if (what < 850) {
        Proxy& proxy = proxies_[static_cast<size_t>(pick(static_cast<int>(proxies_.size())))];
        proxy.connected() ? proxy.disconnect(server_.get()) : proxy.connect(*server_);
      } else if (what < 950) {
        Proxy& proxy = proxies_[static_cast<size_t>(pick(static_cast<int>(proxies_.size())))];
        if (proxy.connected()) proxy.set_reads(*server_, !proxy.reads());
      } else if (what < 990) {
        snapshot::Update update;
        update.incomplete = incomplete_ = !incomplete_;
        server_->core.apply(std::move(update));
      } else if (what < 992) {
        written_[kScopes[random_() % kScopes.size()]].there ^= true;
        write();
      } else if (what < 993) {
        replace();
      }
      turn();
    }
  }

  // A minute of peace, mistakes mended or not.
  void peace() {
    if (incomplete_) {
      snapshot::Update update;
      update.incomplete = incomplete_ = false;
      server_->core.apply(std::move(update));
    }
    for (Proxy& proxy : proxies_) {
      if (!proxy.connected()) proxy.connect(*server_);
      proxy.set_reads(*server_, true);
    }
    for (int i = 0; i < 60; ++i) {
      advance(std::chrono::seconds(1));
      for (int round = 0; turn(); ++round) REQUIRE(round < 100);  // or they would talk for ever
    }
    CHECK(server_->core.waiting() == 0);
    CHECK(server_->core.streams() == proxies_.size());
    for (const Proxy& proxy : proxies_) proxy.check(*server_);
  }

  void leave() {
    for (Proxy& proxy : proxies_) proxy.disconnect(server_.get());
    CHECK(server_->core.streams() == 0);
    CHECK(server_->core.waiting() == 0);
    CHECK_FALSE(server_->core.deadline().has_value());
  }
  uint64_t pushes() const { return pushes_ + server_->core.metrics().pushes; }
  uint64_t nacks() const { return nacks_ + server_->core.metrics().types[resources::index(Type::kCluster)].nacks; }
  int replaced() const { return replaced_; }

 private:
  int pick(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

  void start() {
    server_ = std::make_unique<Server>();
    if (state_) CHECK(server_->core.restore(*state_).ok());
    write();
  }
  // By another, which has the state of the first or has lost it.
  void replace() {
    ++replaced_;
    pushes_ += server_->core.metrics().pushes;
    nacks_ += server_->core.metrics().types[resources::index(Type::kCluster)].nacks;
    if (pick(2) == 0) {
      state_ = server_->core.state();
    } else {
      state_.reset();
    }
    std::vector<Proxy*> were;
    for (Proxy& proxy : proxies_) {
      if (proxy.connected()) were.push_back(&proxy);
      proxy.disconnect(nullptr);
    }
    incomplete_ = false;
    start();
    for (Proxy* proxy : were) proxy->connect(*server_);
  }
  void write() {
    for (const std::string& scope : kScopes) write(scope);
  }
  void write(const std::string& scope) {
    const Written& w = written_[scope];
    snapshot::Update update;
    update.ready = true;
    if (w.there) {
      std::vector<ResourcePtr> all{listener("l", "r", w.table % 3 + 1)};
      Texts used;
      for (const auto& [name, variant] : w.clusters) {
        all.push_back(cluster(name, variant));
        all.push_back(assignment(name, ports_[name]));
        if (used.size() < 3) used.push_back(name);
      }
      all.push_back(routes("r", used, w.table));
      update.gateways.push_back({{"default", scope}, std::move(all)});
    } else {
      update.gone.push_back({"default", scope});
    }
    server_->core.apply(std::move(update));
  }
  void endpoints() {
    snapshot::Update update;
    for (int n = pick(3); n >= 0; --n) {
      const std::string& service = kServices[random_() % kServices.size()];
      ports_[service] = 1 + pick(60'000);
      update.assignments.push_back(assignment(service, ports_[service]));
    }
    server_->core.apply(std::move(update));
  }
  void configure() {
    const std::string& scope = kScopes[random_() % kScopes.size()];
    Written& w = written_[scope];
    const std::string& service = kServices[random_() % kServices.size()];
    switch (pick(4)) {
      case 0: w.clusters.erase(service); break;
      case 1: w.clusters[service] = kMistake; break;
      case 2:
        for (auto& [name, variant] : w.clusters) variant = 1 + pick(5);
        break;
      default: w.clusters[service] = 1 + pick(5);
    }
    w.table = 1 + pick(50);
    write(scope);
  }
  void advance(std::chrono::seconds by) {
    server_->clock.advance(by);
    server_->core.on_time();
  }
  bool turn() {
    server_->settle();
    bool any = false;
    for (Proxy& proxy : proxies_) any |= proxy.read(*server_);
    return any;
  }

  std::mt19937 random_;
  std::map<std::string, Written> written_;
  std::map<std::string, int> ports_;
  std::vector<Proxy> proxies_;
  std::unique_ptr<Server> server_;
  std::optional<doc::Value> state_;
  bool incomplete_ = false;
  uint64_t pushes_ = 0, nacks_ = 0;
  int replaced_ = 0;
};

}  // namespace

TEST_CASE("a day of churn: each hour everybody has what it shall have, and no more is allocated than the hour before") {
  for (unsigned seed = 1; seed <= (testing::kSanitized ? 1u : 3u); ++seed) {
    CAPTURE(seed);
    Day day(seed);
    size_t early = 0;
    for (int hour = 1; hour <= 24; ++hour) {
      CAPTURE(hour);
      day.hour();
      day.peace();
      const size_t now = mallinfo2().uordblks;
      if (hour == 4) early = now;
      if (hour > 4 && !testing::kSanitized) CHECK(now < early + early / 4 + (256 << 10));
    }
    CHECK(day.pushes() > 10'000);
    CHECK(day.nacks() > 100);
    CHECK(day.replaced() > 0);
    day.leave();
  }
}

}  // namespace churn_test
