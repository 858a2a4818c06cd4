// Nothing that fairlead-proxy would refuse is called plain: assignments as they are built here, with one thing after another wrong, and with bytes changed
// at random.
#include "apps/pipeline/plain_assignment.h"

#include <catch2/catch.hpp>

#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/any.pb.h>

#include "apps/pipeline/bundled.h"
#include "controlplane/resources/build.h"
#include "dataplane/config/endpoints.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"

namespace plain_assignment_test {

using namespace fairlead;
using pipeline::is_plain_assignment;
using Assignment = envoy::config::endpoint::v3::ClusterLoadAssignment;

namespace {

bool is_taken(std::string_view bytes) {
  Assignment message;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) && config::parse_endpoints(message).ok();
}

std::string bytes_of(const Assignment& message) { return message.SerializeAsString(); }

Assignment valid() {
  Assignment out;
  out.set_cluster_name("default/web/80");
  for (const char* zone : {"", "a"}) {
    auto* locality = out.add_endpoints();
    if (*zone != '\0') locality->mutable_locality()->set_zone(zone);
    locality->mutable_load_balancing_weight()->set_value(3);
    for (const char* address : {"10.0.0.1", "2001:db8::1", "::ffff:1.2.3.4"}) {
      auto* member = locality->add_lb_endpoints();
      auto* socket = member->mutable_endpoint()->mutable_address()->mutable_socket_address();
      socket->set_address(address);
      socket->set_port_value(8080);
      if (*zone != '\0') member->mutable_load_balancing_weight()->set_value(7);
    }
  }
  return out;
}

envoy::config::core::v3::SocketAddress& socket_of(Assignment& m) { return *m.mutable_endpoints(0)->mutable_lb_endpoints(0)->mutable_endpoint()->mutable_address()->mutable_socket_address(); }

}  // namespace

TEST_CASE("assignments as they are built of endpoints are plain, and fairlead-proxy takes them") {
  topology::Topology topology;
  std::vector<topology::Endpoint> many, six(1);
  for (int i = 1; i <= 200; ++i) {
    topology::Endpoint& e = many.emplace_back();
    e.address = "10.0." + std::to_string(i) + ".1";
    e.port = static_cast<uint16_t>(i * 300);
    e.zone = i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "";
    e.weight = static_cast<uint32_t>(i % 5);
  }
  six[0].address = "2001:db8::2";
  six[0].port = 1;
  six[0].region = "r";
  topology.set({"default", "many"}, "local", topology::PortEndpoints{{80, many}});
  topology.set({"default", "none"}, "local", topology::PortEndpoints{{80, std::vector<topology::Endpoint>()}});
  topology.set({"default", "six"}, "local", topology::PortEndpoints{{80, six}});
  for (const char* service : {"many", "none", "six", "unknown"}) {
    INFO(service);
    const auto r = resources::build_assignment({"default", service, 80}, topology.view());
    CHECK(is_plain_assignment(r->body()));
    CHECK(is_taken(r->body()));
    CHECK(pipeline::bundled_verdict(*r).ok());
  }
  plan::Cluster together;
  together.name = "default/edge/udp";
  together.members = {{{"default", "many", 80}, 1}, {{"default", "six", 80}, 1'000'000}};
  const auto r = resources::build_assignment(together, topology.view());
  CHECK(is_plain_assignment(r->body()));
  CHECK(is_taken(r->body()));
}

TEST_CASE("what is wrong with an assignment, or is not looked at there, is for the parser to say") {
  REQUIRE(is_plain_assignment(bytes_of(valid())));
  REQUIRE(is_taken(bytes_of(valid())));
  using Change = std::function<void(Assignment&)>;
  const auto text = [](const char* address) { return Change([address](Assignment& m) { socket_of(m).set_address(address); }); };
  const std::vector<std::pair<const char*, Change>> refused = {
      {"no name", [](Assignment& m) { m.clear_cluster_name(); }},
      {"host name", text("web.example.com")},
      {"no address", text("")},
      {"cut address", text("10.0.0")},
      {"port within", text("10.0.0.1:80")},
      {"brackets", text("[::1]")},
      {"blank before", text(" 10.0.0.1")},
      {"zone of a link", text("fe80::1%eth0")},
      {"long", text("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa")},
      {"port beyond", [](Assignment& m) { socket_of(m).set_port_value(65536); }},
      {"named port", [](Assignment& m) { socket_of(m).set_named_port("http"); }},
      {"no port", [](Assignment& m) { socket_of(m).clear_port_value(); }},
      {"no socket", [](Assignment& m) { m.mutable_endpoints(0)->mutable_lb_endpoints(0)->mutable_endpoint()->mutable_address()->Clear(); }},
      {"no endpoint", [](Assignment& m) { m.mutable_endpoints(0)->mutable_lb_endpoints(0)->Clear(); }},
      {"name of an endpoint", [](Assignment& m) { m.mutable_endpoints(0)->mutable_lb_endpoints(0)->set_endpoint_name("x"); }},
      {"internal", [](Assignment& m) { m.mutable_endpoints(0)->mutable_lb_endpoints(0)->mutable_endpoint()->mutable_address()->mutable_envoy_internal_address()->set_server_listener_name("x"); }},
      {"weight 0", [](Assignment& m) { m.mutable_endpoints(0)->mutable_lb_endpoints(0)->mutable_load_balancing_weight()->set_value(0); }},
      {"locality's weight 0", [](Assignment& m) { m.mutable_endpoints(0)->mutable_load_balancing_weight()->set_value(0); }},
      {"weights of endpoints beyond", [](Assignment& m) { for (auto& member : *m.mutable_endpoints(0)->mutable_lb_endpoints()) member.mutable_load_balancing_weight()->set_value(2'000'000'000); }},
      {"weights of localities beyond", [](Assignment& m) { for (auto& locality : *m.mutable_endpoints()) locality.mutable_load_balancing_weight()->set_value(3'000'000'000); }},
      {"priority", [](Assignment& m) { m.mutable_endpoints(0)->set_priority(129); }},
      {"drop of nothing", [](Assignment& m) { m.mutable_policy()->add_drop_overloads(); }},
  };
  for (const auto& [what, change] : refused) {
    INFO(what);
    Assignment m = valid();
    change(m);
    CHECK_FALSE(is_plain_assignment(bytes_of(m)));
    CHECK_FALSE(is_taken(bytes_of(m)));
  }
  const std::vector<std::pair<const char*, Change>> others = {
      {"priority 1", [](Assignment& m) { m.mutable_endpoints(0)->set_priority(1); }},
      {"health", [](Assignment& m) { m.mutable_endpoints(0)->mutable_lb_endpoints(0)->set_health_status(envoy::config::core::v3::DRAINING); }},
      {"metadata", [](Assignment& m) { (*m.mutable_endpoints(0)->mutable_lb_endpoints(0)->mutable_metadata()->mutable_typed_filter_metadata())["x"].set_type_url("nobody's"); }},
      {"UDP", [](Assignment& m) { socket_of(m).set_protocol(envoy::config::core::v3::SocketAddress::UDP); }},
      {"resolver", [](Assignment& m) { socket_of(m).set_resolver_name("x"); }},
      {"policy", [](Assignment& m) { m.mutable_policy()->mutable_overprovisioning_factor()->set_value(0); }},
      {"named endpoints", [](Assignment& m) { (*m.mutable_named_endpoints())["x"].mutable_address(); }},
      {"unknown field", [](Assignment& m) { m.GetReflection()->MutableUnknownFields(&m)->AddVarint(99, 1); }},
      {"UTF-8", [](Assignment& m) { m.set_cluster_name("caf\xc3\xa9"); }},
  };
  for (const auto& [what, change] : others) {
    INFO(what);
    Assignment m = valid();
    change(m);
    CHECK_FALSE(is_plain_assignment(bytes_of(m)));
  }
  std::string bad = bytes_of(valid());
  bad[2] = '\xff';  // within the name
  CHECK_FALSE(is_plain_assignment(bad));
  CHECK_FALSE(is_taken(bad));
  CHECK_FALSE(is_plain_assignment(""));
}

TEST_CASE("whatever bytes are called plain, fairlead-proxy takes them") {
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return random() % n; };
  const std::string seed = bytes_of(valid());
  int plain = 0, wrong = 0;
  for (int i = 0; i < 500'000; ++i) {
    std::string bytes = seed;
    for (size_t changes = 1 + below(3); changes > 0 && !bytes.empty(); --changes) {
      const size_t at = below(bytes.size());
      switch (below(5)) {
        case 0: bytes[at] = static_cast<char>(random()); break;
        case 1: bytes[at] = static_cast<char>(bytes[at] + (below(2) == 0 ? 1 : -1)); break;
        case 2: bytes.erase(at, 1 + below(3)); break;
        case 3: bytes.insert(at, 1, static_cast<char>(random())); break;
        default: bytes.insert(below(bytes.size()), bytes.substr(at, 1 + below(12))); break;
      }
    }
    if (!is_plain_assignment(bytes)) continue;
    ++plain;
    wrong += is_taken(bytes) ? 0 : 1;
  }
  CHECK(plain > 2'000);
  CHECK(wrong == 0);
}

}  // namespace plain_assignment_test
