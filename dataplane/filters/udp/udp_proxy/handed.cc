// See handed.h.
#include "dataplane/filters/udp/udp_proxy/handed.h"

#include <algorithm>
#include <array>

#include "base/packed.h"

namespace fairlead::filters::udp::udp_proxy {
namespace {

std::string_view address_bytes(const std::array<uint8_t, 16>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

bool read_address(packed::Reader& from, std::array<uint8_t, 16>& out) {
  const std::string_view bytes = from.text();
  if (bytes.size() != out.size()) return false;
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return true;
}

}  // namespace

std::string HandedState::encode() const {
  packed::Writer w;
  w.text(address_bytes(path.peer));
  w.text(address_bytes(path.local));
  w.number(path.scope);
  w.number(path.peer_port);
  w.number(static_cast<uint8_t>(path.v6));
  w.number(static_cast<uint8_t>(per_packet));
  w.text(cluster);
  w.text(host);
  for (const uint64_t n : {counts.rx_bytes, counts.rx_datagrams, counts.tx_bytes, counts.tx_datagrams, counts.tx_errors}) w.number(n);
  for (const int64_t n : {began_us, age_us, idle_us}) w.number(n);
  return w.take();
}

std::optional<HandedState> HandedState::decode(std::string_view bytes) {
  packed::Reader r(bytes);
  HandedState out;
  if (!read_address(r, out.path.peer) || !read_address(r, out.path.local)) return std::nullopt;
  out.path.scope = r.number<uint32_t>();
  out.path.peer_port = r.number<uint16_t>();
  out.path.v6 = r.number<uint8_t>() != 0;
  out.per_packet = r.number<uint8_t>() != 0;
  out.cluster = r.text();
  out.host = r.text();
  for (uint64_t* n : {&out.counts.rx_bytes, &out.counts.rx_datagrams, &out.counts.tx_bytes, &out.counts.tx_datagrams, &out.counts.tx_errors}) *n = r.number<uint64_t>();
  for (int64_t* n : {&out.began_us, &out.age_us, &out.idle_us}) *n = r.number<int64_t>();
  if (r.bad() || !r.at_end()) return std::nullopt;
  return out;
}

}  // namespace fairlead::filters::udp::udp_proxy
