// Fuzzes the HTTP/2 client session with a server's frames (its SETTINGS go ahead): three requests are open, of kinds that the first byte
// chooses; the second byte says how many cut points follow. No receiver hears anything after its end, and each ends when the session does.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/dataplane/http/h2/harness.h"

using namespace fairlead::h2;
using namespace fairlead::h2::test;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 4000) return 0;
  Settings settings;
  settings.stream_error_on_invalid_http_message = (data[0] & 0x80) != 0;
  settings.max_head_bytes = 600;
  settings.max_headers = 20;
  settings.initial_stream_window_size = 65535;
  size_t cuts = std::min<size_t>(data[1] % 8, size - 2);
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2 + cuts, size - 2 - cuts);
  ClientRig rig(settings);
  rig.hello();
  for (int i = 0; i < 3; ++i) {
    switch (data[0] >> (2 * i) & 3) {
      case 0:
        rig.start(kGet);
        break;
      case 1:
        rig.start({{":method", "HEAD"}, {":path", "/"}, {":authority", "a"}});
        break;
      case 2: {
        Headers upgrade = kGet;
        upgrade.push_back({"connection", "upgrade"});
        upgrade.push_back({"upgrade", "x"});
        rig.start(upgrade, "", false);
        break;
      }
      default:
        rig.start(kPost, std::string(100'000, 'x'), false);
        break;
    }
  }
  rig.settle(2);
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
  if (rig.session->active_streams() != static_cast<uint32_t>(rig.counts[Stat::streams_active])) std::abort();
  rig.far->close(fairlead::net::CloseType::NoFlush);
  if (!rig.run([&] { return rig.closed; })) std::abort();
  for (auto& m : rig.responses) {
    if (m->after_end || !(m->ended || m->reset)) std::abort();
  }
  rig.session.reset();
  rig.settle(2);
  for (size_t i = static_cast<size_t>(kFirstGauge); i < kStatCount; ++i) {
    if (rig.counts.values[i] != 0) std::abort();
  }
  return 0;
}
