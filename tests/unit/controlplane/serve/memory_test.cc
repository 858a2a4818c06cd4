// What one more stream costs: allocated bytes of the process, as the difference between few and many.
#include <catch2/catch.hpp>

#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/controlplane/serve/harness.h"

namespace memory_test {

using namespace fairlead;
using namespace fairlead::test;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounted = false;  // the sanitizers' own allocators do not say
#else
constexpr bool kCounted = true;
#endif

namespace {

// Takes what it is sent and forgets it.
struct Sink final : serve::Wire {
  void send(StreamId stream, cpstream::WireMessage) override { sent.push_back(stream); }
  void end(StreamId, const absl::Status& status) override { FAIL(std::string(status.message())); }
  std::vector<StreamId> sent;
};

std::string service(int i) { return "outbound|8080||service-" + std::to_string(i) + ".default.svc"; }

using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;

Request about(Type type, const std::string& nonce = "") {
  Request r;
  r.set_type_url(std::string(resources::type_url(type)));
  r.set_response_nonce(nonce);
  return r;
}

}  // namespace

TEST_CASE("an idle stream with 200 names of its own choice costs at most 4.7 KB here") {
  constexpr int kServices = 1000, kNames = 200, kFew = 100, kMany = 1100;
  log::set_level(log::Level::off);
  SimulatedClock clock;
  Sink sink;
  serve::Core core({}, clock, sink);
  std::vector<ResourcePtr> all{listener("l", "r"), routes("r", {service(0)})};
  for (int i = 0; i < kServices; ++i) {
    all.push_back(cluster(service(i)));
    all.push_back(assignment(service(i)));
  }
  core.apply(gateway("edge", std::move(all)));
  size_t few = 0;
  for (int i = 0; i < kMany; ++i) {
    if (i == kFew) few = mallinfo2().uordblks;
    const StreamId id = *core.open(StreamKind::kDelta, std::nullopt, peer("10.0.0.1"));
    const auto ask = [&](const Request& r) { core.request(id, r.SerializeAsString()); };
    Request first = about(Type::kCluster);
    first.mutable_node()->set_id("node-" + std::to_string(i));
    first.mutable_node()->set_cluster("edge");
    ask(first);
    ask(about(Type::kListener));
    Request names = about(Type::kEndpoint);
    for (int n = 0; n < kNames; ++n) names.add_resource_names_subscribe(service((i + n) % kServices));
    ask(names);
    int nonce = 0;
    for (Type type : {Type::kCluster, Type::kListener, Type::kEndpoint}) ask(about(type, std::to_string(++nonce)));
    for (StreamId s : sink.sent) core.written(s, clock.monotonic());
    sink.sent.clear();
  }
  CHECK(core.metrics().types[resources::index(Type::kEndpoint)].acks == kMany);
  const double each = (static_cast<double>(mallinfo2().uordblks) - static_cast<double>(few)) / (kMany - kFew);
  WARN("bytes of a stream: " << each);
  if (kCounted) {
    CHECK(each > 500);
    CHECK(each <= 4700);
  }
}

}  // namespace memory_test
