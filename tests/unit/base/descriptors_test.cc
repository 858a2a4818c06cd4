// The descriptor pool: linked and unlinked types, suggestions, Any, threads.
#include "base/descriptors.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/text_format.h"

namespace fairlead {
namespace {

namespace pb = google::protobuf;

// A type that no test or library links as a class.
constexpr std::string_view kUnlinked = "envoy.extensions.filters.http.lua.v3.Lua";

TEST_CASE("A linked type comes as its generated class") {
  const pb::Descriptor* descriptor = find_message("envoy.config.cluster.v3.Cluster");
  REQUIRE(descriptor == envoy::config::cluster::v3::Cluster::descriptor());
  const auto message = make_message(descriptor);
  CHECK(dynamic_cast<envoy::config::cluster::v3::Cluster*>(message.get()) != nullptr);
}

TEST_CASE("A type that is not linked comes from the embedded set") {
  REQUIRE(pb::DescriptorPool::generated_pool()->FindMessageTypeByName(std::string(kUnlinked)) == nullptr);
  const pb::Descriptor* descriptor = find_message(kUnlinked);
  REQUIRE(descriptor != nullptr);
  CHECK(descriptor->full_name() == kUnlinked);
  CHECK(find_message(type_url(kUnlinked)) == descriptor);

  const auto message = make_message(descriptor);
  REQUIRE(
      pb::TextFormat::ParseFromString(R"(default_source_code { inline_string: "function f() end" })", message.get()));
  const auto* field = descriptor->FindFieldByName("default_source_code");
  SECTION("and holds linked types as their generated class") {
    const pb::Message& source = message->GetReflection()->GetMessage(*message, field);
    CHECK(dynamic_cast<const envoy::config::core::v3::DataSource*>(&source) != nullptr);
  }
  SECTION("and survives the wire") {
    const auto parsed = parse_message(kUnlinked, message->SerializeAsString());
    REQUIRE(parsed.ok());
    CHECK((*parsed)->ShortDebugString() == message->ShortDebugString());
  }
}

TEST_CASE("Enums are found, linked or not") {
  CHECK(find_enum("envoy.config.cluster.v3.Cluster.DiscoveryType") ==
        envoy::config::cluster::v3::Cluster::DiscoveryType_descriptor());
  const pb::EnumDescriptor* unlinked =
      find_enum("envoy.extensions.filters.http.ext_proc.v3.ProcessingMode.BodySendMode");
  REQUIRE(unlinked != nullptr);
  CHECK(unlinked->FindValueByName("STREAMED") != nullptr);
  CHECK(find_enum("envoy.Nothing") == nullptr);
}

TEST_CASE("An unknown type is named, with what was probably meant") {
  CHECK(find_message("envoy.config.cluster.v3.Clutser") == nullptr);
  const auto wrong = make_message("type.googleapis.com/envoy.config.cluster.v3.Clutser", "resources[2]");
  REQUIRE(wrong.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(
      wrong.status().message() ==
      "resources[2]: unknown type 'envoy.config.cluster.v3.Clutser' (did you mean 'envoy.config.cluster.v3.Cluster'?)");
  CHECK(make_message("acme.Thing").status().message() == "unknown type 'acme.Thing'");
  CHECK(make_message("", "filters[0].typed_config").status().message() ==
        "filters[0].typed_config: no type given ('@type' is empty)");
}

TEST_CASE("An Any opens to its content") {
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name("a");
  pb::Any any;
  any.PackFrom(cluster);
  const auto content = unpack(any);
  REQUIRE(content.ok());
  CHECK((*content)->ShortDebugString() == cluster.ShortDebugString());

  any.set_value("\x0a\xff");
  const auto broken = unpack(any, "resources[0]");
  REQUIRE_FALSE(broken.ok());
  CHECK(broken.status().message() ==
        "resources[0]: not a valid envoy.config.cluster.v3.Cluster: its 2 bytes cannot be parsed");
  CHECK_FALSE(unpack(pb::Any()).ok());
}

TEST_CASE("Type URLs and names") {
  CHECK(type_name("type.googleapis.com/a.B") == "a.B");
  CHECK(type_name("a.B") == "a.B");
  CHECK(type_name("example.org/types/a.B") == "a.B");
  CHECK(type_url("a.B") == "type.googleapis.com/a.B");
}

TEST_CASE("The whole Envoy API is embedded, and every message of it can be made") {
  const std::vector<std::string> names = message_names();
  CHECK(names.size() > 2700);
  CHECK(std::is_sorted(names.begin(), names.end()));
  std::set<std::string> missing;
  for (const std::string& name : names) {
    const pb::Descriptor* descriptor = find_message(name);
    if (descriptor == nullptr || (!descriptor->options().map_entry() && make_message(descriptor) == nullptr)) {
      missing.insert(name);
    }
  }
  CHECK(missing.empty());

  const std::vector<std::string> clusters = message_names("envoy.config.cluster.v3.");
  CHECK(std::find(clusters.begin(), clusters.end(), "envoy.config.cluster.v3.Cluster") != clusters.end());
  CHECK(clusters.front().starts_with("envoy.config.cluster.v3."));
  CHECK(clusters.back().starts_with("envoy.config.cluster.v3."));
  CHECK(message_names("envoy.nothing.").empty());
}

TEST_CASE("Fields that only the newest API has are there") {
  const pb::Descriptor* match = find_message("envoy.config.route.v3.RouteMatch");
  REQUIRE(match != nullptr);
  CHECK(match->FindFieldByName("cookies") != nullptr);  // of Envoy 1.40; older packages of the API lack it
}

TEST_CASE("Threads may look up types at once") {
  const std::vector<std::string> names = message_names("envoy.extensions.");
  std::vector<std::thread> threads;
  std::atomic<int> missing = 0;
  for (std::size_t first = 0; first < 4; ++first) {
    threads.emplace_back([&, first] {
      for (std::size_t at = first; at < names.size(); at += 3) {
        missing += find_message(names[at]) == nullptr ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(missing == 0);
}

}  // namespace
}  // namespace fairlead
