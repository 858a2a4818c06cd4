// Hostile responses of a management server: any bytes as a DiscoveryResponse, a delta response or a response file are applied or refused, and what
// was accepted before is still served; and what the screen lets pass, the walks over the message have nothing to say about. The first byte picks
// the type and the form.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/descriptors.h"
#include "base/log.h"
#include "base/validate.h"
#include "dataplane/config/support.h"
#include "dataplane/xds/file_subscription.h"
#include "dataplane/xds/ingest.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace fairlead {
namespace {

xds::Update from_bytes(xds::Type type, const std::string& bytes, bool delta) {
  xds::Update update{type, delta, "1", {}, {}};
  if (delta) {
    envoy::service::discovery::v3::DeltaDiscoveryResponse in;
    if (!in.ParseFromString(bytes)) return update;
    update.removed.assign(in.removed_resources().begin(), in.removed_resources().end());
    for (const auto& r : in.resources()) update.resources.push_back({r.name(), r.version(), r.resource().type_url(), r.resource().value()});
    return update;
  }
  envoy::service::discovery::v3::DiscoveryResponse in;
  if (!in.ParseFromString(bytes)) return update;
  for (const auto& any : in.resources()) update.resources.push_back({"", "", any.type_url(), any.value()});
  return update;
}

void compare(xds::Type type, const std::string& bytes) {
  const auto message = parse_message(xds::type_url(type), bytes);
  if (!message.ok()) return;
  const Screen::Verdict passed = config::screen((*message)->GetDescriptor(), bytes);
  config::SupportFindings findings;
  if (passed.rules && !validate(**message, {.open_any = true}).ok()) abort();
  if (passed.known && xds::count_unknown_fields(**message) != 0) abort();
  if (passed.allowed && (!config::check_support(**message, &findings).ok() || !findings.ignored.empty())) abort();
}

void run(const uint8_t* data, size_t size) {
  const xds::Type type = xds::kTypes[data[0] % xds::kTypes.size()];
  const int form = data[0] / 4 % 4;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  xds::Epoch epoch(xds::Epoch::Options{});
  xds::Ledger ledger;
  xds::Ingest::Options options;
  options.epoch = &epoch;
  options.ledger = &ledger;
  options.hcm.registry = &config::Registry::global();
  options.now = [] { return std::chrono::steady_clock::time_point{}; };
  options.wall_now = [] { return std::chrono::system_clock::time_point{}; };
  xds::Ingest ingest(std::move(options));
  auto fixed = std::make_shared<config::ClusterConfig>();
  fixed->name = "fixed";
  fixed->endpoints = std::make_shared<config::EndpointSet>();
  ingest.add_static_cluster(fixed, nullptr);
  if (form == 3) {
    auto update = xds::read_response(type, bytes, "f.yaml");
    if (update.ok()) ingest.apply(*update);
  } else if (form == 2) {
    compare(type, bytes);
    ingest.apply({type, false, "1", {{"", "", std::string(xds::type_url(type)), bytes}}, {}});  // one resource of these bytes
  } else {
    ingest.apply(from_bytes(type, bytes, form == 1));
  }
  epoch.commit(std::chrono::steady_clock::time_point{});
  if (epoch.current()->cluster("fixed") == nullptr) abort();
}

}  // namespace
}  // namespace fairlead

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = (fairlead::log::take_protobuf_lines(), fairlead::log::set_level(fairlead::log::Level::off), true);
  if (quiet && size > 0) fairlead::run(data, size);
  return 0;
}
