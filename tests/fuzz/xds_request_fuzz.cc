// Hostile requests of an xDS client: any bytes as a DiscoveryRequest or a delta request are decoded or refused; what decodes drives a session, which
// must answer with nothing but what its snapshot or the one before has, and must still serve a sound client afterwards.
// Input: a byte that picks the kind, then requests, each after two bytes of length.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "controlplane/stream/decode.h"
#include "controlplane/stream/session.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "tests/unit/controlplane/make.h"

namespace fairlead {
namespace {

using cpstream::Output;
using cpstream::Request;
using resources::Type;

const snapshot::SnapshotPtr& world(int variant) {
  static const snapshot::SnapshotPtr first = snapshot::replace(nullptr, "fuzz", {test::cluster("a"), test::assignment("a"), test::listener("l", "r"), test::routes("r", {"a"})});
  static const snapshot::SnapshotPtr second = snapshot::replace(first, "fuzz", {test::cluster("b"), test::assignment("b"), test::listener("l", "r", 2), test::routes("r", {"b"})});
  return variant == 0 ? first : second;
}

void check(const Output& out) {
  for (const cpstream::Response& response : out.responses) {
    if (response.nonce.empty()) abort();
    for (const auto& resource : response.resources) {
      if (resource == nullptr || resource->type != response.type) abort();
    }
  }
}

// What is read of a delta request, however it was read, beside what its generated class reads.
void check_read(std::string_view bytes, const absl::StatusOr<cpstream::Request>& request) {
  envoy::service::discovery::v3::DeltaDiscoveryRequest whole;
  if (whole.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) != request.ok()) abort();
  if (!request.ok()) return;
  const auto same = [](const std::vector<std::string>& ours, const auto& theirs) { return std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end()); };
  if (request->type_url != whole.type_url() || request->nonce != whole.response_nonce() || request->error.has_value() != whole.has_error_detail()) abort();
  if (request->node.has_value() != whole.has_node() || (request->node && request->node->id != whole.node().id())) abort();
  if (!same(request->names, whole.resource_names_subscribe()) || !same(request->unsubscribe, whole.resource_names_unsubscribe())) abort();
  std::map<std::string, std::string> versions;
  for (const auto& [name, version] : request->initial_versions) versions[std::string(name)] = version;
  if (versions != std::map<std::string, std::string>(whole.initial_resource_versions().begin(), whole.initial_resource_versions().end())) abort();
}

void run(const uint8_t* data, size_t size) {
  const bool delta = data[0] & 1;
  cpstream::SessionOptions options;
  if (data[0] & 2) options.only = Type::kEndpoint;
  options.legacy_wildcard = !(data[0] & 4);
  options.incomplete = data[0] & 8;
  cpstream::NameTable table;
  std::unique_ptr<cpstream::Session> session;
  if (delta) {
    session = std::make_unique<cpstream::DeltaSession>(options, table, world(0));
  } else {
    session = std::make_unique<cpstream::SotwSession>(options, table, world(0));
  }
  MonotonicTime now{};
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (int i = 0; rest.size() >= 2; ++i) {
    const size_t wanted = static_cast<uint8_t>(rest[0]) * 256u + static_cast<uint8_t>(rest[1]);
    rest.remove_prefix(2);
    const std::string_view bytes = rest.substr(0, wanted);
    rest.remove_prefix(bytes.size());
    const auto request = delta ? cpstream::decode_delta(bytes) : cpstream::decode_sotw(bytes);
    if (delta) check_read(bytes, request);
    if (!request.ok()) continue;
    if (i == 0 && !cpstream::check_first_request(*request).ok()) return;
    const Output out = session->on_request(*request, now);
    check(out);
    if (!out.close.ok()) return;
    now += std::chrono::seconds(7);
    check(session->on_time(now));
    check(session->on_snapshot(world((i + 1) % 2), now));
  }
}

}  // namespace
}  // namespace fairlead

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = (fairlead::log::take_protobuf_lines(), fairlead::log::set_level(fairlead::log::Level::off), true);
  if (quiet && size > 0) fairlead::run(data, size);
  return 0;
}
