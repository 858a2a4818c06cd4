// A connection's first bytes through the parsers of proxy_protocol and http_inspector: every prefix waits or gets the verdict of the whole, and a
// header lies within what has come.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dataplane/filters/listener/http_inspector/request_line.h"
#include "dataplane/filters/listener/proxy_protocol/header.h"

using namespace fairlead::filters::listener;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  const proxy_protocol::Header header = proxy_protocol::read_header(stream);
  const http_inspector::Verdict http = http_inspector::inspect(stream);
  if (header.verdict == proxy_protocol::Verdict::kHeader) {
    require(header.bytes <= stream.size() && (header.version == 1 || header.version == 2));
    require(header.addressed == (header.remote.is_ip() && header.local.is_ip()));
    size_t tlvs = 0;
    for (const auto& [type, value] : header.tlvs) tlvs += 3 + value.size();
    require(tlvs <= header.bytes);
  }
  for (size_t part = 0; part < stream.size(); part += std::max<size_t>(1, stream.size() / 64)) {
    const auto early = proxy_protocol::read_header(stream.substr(0, part)).verdict;
    require(early == proxy_protocol::Verdict::kMore || early == header.verdict);
    const auto early_http = http_inspector::inspect(stream.substr(0, part));
    require(early_http == http_inspector::Verdict::kMore || early_http == http);
  }
  return 0;
}
