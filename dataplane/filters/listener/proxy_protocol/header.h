// The PROXY protocol's header, version 1 (a line) or 2 (binary): for whom a load balancer has connected. Pure: from bytes to a verdict.
// Any prefix of a stream gets kMore or the verdict that the whole would get.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/net/address.h"

namespace fairlead::filters::listener::proxy_protocol {

inline constexpr size_t kMaxLine = 108;                // Envoy 1.40: of version 1
inline constexpr size_t kMaxHeader = 16 + 0xffff;      // of version 2, which says its own length

enum class Verdict : uint8_t {
  kMore,
  kHeader,
  kNone,       // the stream does not begin with a header
  kMalformed,  // it begins like one
};

struct Header {
  Verdict verdict = Verdict::kMore;
  int version = 0;        // 0: not known
  size_t bytes = 0;       // of the whole header
  bool addressed = false;  // `remote` and `local` hold; else the socket's own addresses do (LOCAL, UNKNOWN)
  net::Address remote, local;
  std::vector<std::pair<uint8_t, std::string_view>> tlvs;  // views into the stream
};

// `stream`: from its first byte, at most kMaxHeader of it.
Header read_header(std::string_view stream);

// The version whose first bytes these may be: none, 1, 2, or both while that is open.
struct Candidates {
  bool v1 = false, v2 = false;
};
Candidates candidates(std::string_view stream);

}  // namespace fairlead::filters::listener::proxy_protocol
