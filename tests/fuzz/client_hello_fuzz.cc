// A TLS client's first bytes through tls_inspector's parser: whatever they are, every prefix waits or gets the verdict of the whole, and what is
// found is within bounds.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dataplane/filters/listener/tls_inspector/client_hello.h"

using namespace fairlead::filters::listener::tls_inspector;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Wanted wanted{.limit = data[0] % 2 == 0 ? kMaxClientHello : 16 + static_cast<size_t>(data[0]), .ja3 = true, .ja4 = true};
  const std::string_view stream(reinterpret_cast<const char*>(data + 1), size - 1);
  const Inspection whole = inspect(stream, wanted);
  require(whole.bytes <= stream.size());
  require(whole.hello.server_name.size() <= 255);
  for (size_t part = 0; part < stream.size(); part += std::max<size_t>(1, stream.size() / 64)) {
    const Verdict verdict = inspect(stream.substr(0, part), wanted).verdict;
    require(verdict == Verdict::kMore || verdict == whole.verdict);
  }
  if (whole.verdict == Verdict::kTls) require(whole.hello.ja3.size() == 32 && whole.hello.ja4.size() == 36);
  return 0;
}
