// Load that endpoints tell of in their answers: its forms, and what of it a cluster's metrics name.
#include <catch2/catch.hpp>

#include <absl/strings/escaping.h>

#include "base/descriptors.h"
#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/upstream/orca.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace orca_test {

using namespace fairlead;
using namespace fairlead::upstream;
using Catch::Matchers::Contains;

namespace {

absl::StatusOr<OrcaReport> told(std::string_view value, std::string_view name = "endpoint-load-metrics") {
  test::Headers headers{{":status", "200"}, {name, value}};
  return read_orca(*headers);
}
std::string wrong(std::string_view value) {
  const auto report = told(value);
  return report.ok() ? "" : std::string(report.status().message());
}
std::map<std::string, double> picked(const OrcaReport& report, const std::vector<std::string>& names) {
  std::map<std::string, double> out;
  visit_metrics(report, names, [&](std::string_view name, double value) { CHECK(out.emplace(name, value).second); });
  return out;
}
std::string encoded(std::string_view json) {
  auto message = make_message("xds.data.orca.v3.OrcaLoadReport");
  REQUIRE(message.ok());
  REQUIRE(doc::to_message(*doc::parse_json(json, "report"), message->get()).ok());
  return absl::Base64Escape((*message)->SerializeAsString());
}

constexpr std::string_view kJson = R"({"cpu_utilization": 0.5, "application_utilization": 0.25, "named_metrics": {"foo": 3}, "utilization": {"disk": 0.75}, "request_cost": {"q": 2}})";

}  // namespace

TEST_CASE("a load report as text: single numbers and named metrics, separated by commas") {
  const auto report = told("TEXT cpu_utilization=0.3, mem_utilization:0.8,,named_metrics.foo=1e3,eps=1 , utilization.disk=2, rps_fractional=7,application_utilization=2");
  INFO(report.status().ToString());
  REQUIRE(report.ok());
  CHECK(report->cpu_utilization == 0.3);
  CHECK(report->mem_utilization == 0.8);
  CHECK(report->eps == 1);
  CHECK(report->rps_fractional == 7);
  CHECK(report->application_utilization == 2);
  CHECK(report->named_metrics.at("foo") == 1000);
  CHECK(report->utilization.at("disk") == 2);
}

TEST_CASE("a load report as JSON and as bytes holds maps too") {
  for (const auto& report : {told("JSON " + std::string(kJson)), told("BIN " + encoded(kJson)), told(encoded(kJson), "endpoint-load-metrics-bin")}) {
    INFO(report.status().ToString());
    REQUIRE(report.ok());
    CHECK(report->cpu_utilization == 0.5);
    CHECK(report->application_utilization == 0.25);
    CHECK(report->named_metrics.at("foo") == 3);
    CHECK(report->utilization.at("disk") == 0.75);
    CHECK(report->request_cost.at("q") == 2);
  }
}

TEST_CASE("a load report that cannot be read says why, and none is no error of its own") {
  CHECK(absl::IsNotFound(read_orca(*test::Headers{{":status", "200"}}).status()));
  CHECK_THAT(wrong("cpu_utilization=0.3"), Contains("unknown form"));
  CHECK_THAT(wrong(""), Contains("unknown form"));
  CHECK_THAT(wrong("TEXT cpu_utilization=much"), Contains("NAME=NUMBER"));
  CHECK_THAT(wrong("TEXT cpu_utilization"), Contains("NAME=NUMBER"));
  CHECK_THAT(wrong("TEXT =1"), Contains("NAME=NUMBER"));
  CHECK_THAT(wrong("TEXT cpu_utilization=nan"), Contains("NAME=NUMBER"));
  CHECK_THAT(wrong("TEXT cpu_utilization=inf"), Contains("NAME=NUMBER"));
  CHECK_THAT(wrong("TEXT cpu_utilization=1,cpu_utilization=1"), Contains("twice"));
  CHECK_THAT(wrong("TEXT cpu_utilization=-1"), Contains("NAME=NUMBER"));
  CHECK_THAT(wrong("TEXT"), Contains("nothing"));
  CHECK_THAT(wrong("TEXT request_cost.q=1"), Contains("unknown"));
  CHECK_THAT(wrong("TEXT utilization.=1"), Contains("unknown"));
  CHECK_THAT(wrong("TEXT named_metrics.=1"), Contains("unknown"));
  CHECK_THAT(wrong("JSON {\"cpu\": 1}"), Contains("cpu"));
  CHECK_FALSE(wrong("JSON {").empty());
  CHECK_FALSE(wrong("BIN !").empty());
  CHECK_FALSE(wrong("BIN").empty());
  CHECK_FALSE(wrong("BIN /////w==").empty());
}

TEST_CASE("metrics are picked by name, those of maps with their prefix, all of a map with a star") {
  const OrcaReport report = *told("JSON " + std::string(kJson));
  CHECK(picked(report, {"cpu_utilization", "mem_utilization", "named_metrics.foo", "named_metrics.bar", "nonsense"}) ==
        std::map<std::string, double>{{"cpu_utilization", 0.5}, {"mem_utilization", 0}, {"named_metrics.foo", 3}});
  CHECK(picked(report, {"utilization.*", "request_cost.q", "named_metrics.*"}) == std::map<std::string, double>{{"utilization.disk", 0.75}, {"request_cost.q", 2}, {"named_metrics.foo", 3}});
  CHECK(picked(report, {}).empty());
}

}  // namespace orca_test
