// Fuzzes the HTTP/2 server session with a client's frames (the preface and SETTINGS go ahead). The first byte chooses what receivers do
// and whether the session lives with malformed messages; the second how many cut points follow. Whatever comes: no receiver hears
// anything after its end, what a stream holds stays bounded, and when the session has gone every count that goes up has come down.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/dataplane/http/h2/harness.h"

using namespace fairlead::h2;
using namespace fairlead::h2::test;
namespace http = fairlead::http;

namespace {

void act(Message& m, int behaviour) {
  switch (behaviour) {
    case 0:
      send(*m.sender, {{":status", "200"}}, "hello");
      break;
    case 1:
      send(*m.sender, {{":status", "200"}}, std::string(70'000, 'x'), false);
      send_trailers(*m.sender, {{"grpc-status", "0"}});
      break;
    case 2:
      m.sender->reset(http::ResetReason::LocalReset);
      break;
    case 3:
      m.sender->pause_reading();
      break;
    case 4:
      send(*m.sender, {{":status", "101"}}, "tunnel", false);
      break;
    default:
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 4000) return 0;
  const int at_head = data[0] & 7, at_end = data[0] >> 3 & 7;
  Settings settings;
  settings.allow_connect = true;
  settings.stream_error_on_invalid_http_message = (data[0] & 0x40) != 0;
  settings.max_head_bytes = 600;
  settings.max_headers = 20;
  settings.max_concurrent_streams = 5;
  settings.initial_stream_window_size = 65535;
  settings.drain_timeout = std::chrono::milliseconds(1);
  size_t cuts = std::min<size_t>(data[1] % 8, size - 2);
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2 + cuts, size - 2 - cuts);
  Counts counts;
  {
    ServerRig rig(settings);
    rig.when_head = [&](Message& m) { act(m, m.ended ? 7 : at_head); };
    rig.when_ended = [&](Message& m) { act(m, at_end); };
    rig.hello();
    size_t at = 0;
    for (size_t i = 0, position = 0; i < cuts; ++i) {
      position += data[2 + i];
      if (position <= at || position >= bytes.size()) continue;
      rig.write(std::string(bytes.substr(at, position - at)));
      rig.settle(3);
      at = position;
    }
    rig.write(std::string(bytes.substr(at)));
    rig.settle(4);
    if ((data[0] & 0x80) != 0) {
      rig.session->drain();
      rig.session->drain();
      rig.settle(3);
    }
    for (auto& m : rig.requests) {
      if (m->after_end || m->body.size() > bytes.size()) std::abort();
      if (!m->has_head && !m->reset && m->error.empty()) std::abort();
    }
    if (rig.counts[Stat::pending_send_bytes] < 0 || rig.counts[Stat::streams_active] < 0 || rig.counts[Stat::deferred_stream_close] < 0) std::abort();
    if (rig.session->active_streams() != static_cast<uint32_t>(rig.counts[Stat::streams_active])) std::abort();
    rig.session.reset();
    rig.settle(2);
    for (size_t i = static_cast<size_t>(kFirstGauge); i < kStatCount; ++i) {
      if (rig.counts.values[i] != 0) std::abort();
    }
  }
  return 0;
}
