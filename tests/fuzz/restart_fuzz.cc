// Bytes in place of what another generation of the proxy says: a packet is refused or means what it says, statistics are applied or refused, and
// neither does harm. Input: a byte that picks the kind, then the bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dataplane/server/restart/message.h"
#include "dataplane/server/restart/statistics.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace restart = fairlead::server::restart;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    const auto message = restart::decode(bytes);
    if (!message.ok()) return 0;
    const auto again = restart::decode(restart::encode(*message));
    if (!again.ok() || *again != *message) abort();
    return 0;
  }
  fairlead::stats::Registry registry(1);
  const auto scope = registry.scope(fairlead::stats::plain_scope("a."));
  const fairlead::stats::Gauge open = scope->gauge("open");
  registry.cells(0).set(open, 1);
  {
    restart::StatisticsSink sink(registry);
    (void)sink.apply(bytes);
    (void)sink.apply(bytes);
  }
  if (registry.find("a.open") != 1) abort();  // what was open elsewhere is no more
  return 0;
}
