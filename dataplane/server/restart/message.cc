// Encoding (message.h): mark, version, type, fields in order.
#include "dataplane/server/restart/message.h"

#include "absl/strings/str_cat.h"
#include "base/packed.h"

namespace fairlead::server::restart {
namespace {

constexpr uint32_t kMark = 0x4e524c46;  // "FLRN"

struct Put {
  packed::Writer& w;
  void operator()(const Hello& m) const {
    w.number(m.pid);
    w.text(m.release);
    w.number(m.parent_shutdown_ms);
  }
  void operator()(const Welcome& m) const {
    for (const uint32_t n : {m.pid, m.base_id, m.epoch, m.generation, m.passed}) w.number(n);
    w.number(m.first_start_ms);
    w.text(m.admin_configured);
    w.text(m.admin_bound);
  }
  void operator()(const Refused& m) const { w.text(m.reason); }
  void operator()(const SocketsWanted& m) const {
    w.number(static_cast<uint8_t>(m.type));
    w.text(m.listener);
    w.text(m.address);
  }
  void operator()(const Sockets& m) const {
    w.number(static_cast<uint8_t>(m.type));
    w.text(m.address);
  }
  void operator()(const Draining& m) const {
    w.number(m.pid);
    w.number(m.epoch);
  }
  void operator()(const Statistics& m) const {
    w.number(m.connections);
    w.number(m.memory);
  }
  void operator()(const UdpSessions& m) const {
    w.number(m.socket);
    w.number(static_cast<uint32_t>(m.states.size()));
    for (const std::string& state : m.states) w.text(state);
  }
  void operator()(const Ready&) const {}
  void operator()(const Taken&) const {}
  void operator()(const Confirmed&) const {}
};

SocketType socket_type(packed::Reader& r) { return r.number<uint8_t>() == 1 ? SocketType::datagram : SocketType::stream; }

// Members of a braced list are read in their order.
Message get(packed::Reader& r, uint16_t type) {
  switch (type) {
    case 0: return Hello{r.number<uint32_t>(), std::string(r.text()), r.number<uint64_t>()};
    case 1: {
      Welcome m;
      for (uint32_t* n : {&m.pid, &m.base_id, &m.epoch, &m.generation, &m.passed}) *n = r.number<uint32_t>();
      m.first_start_ms = r.number<uint64_t>();
      m.admin_configured = r.text();
      m.admin_bound = r.text();
      return m;
    }
    case 2: return Refused{std::string(r.text())};
    case 3: return SocketsWanted{socket_type(r), std::string(r.text()), std::string(r.text())};
    case 4: return Sockets{socket_type(r), std::string(r.text())};
    case 5: return Ready{};
    case 6: return Draining{r.number<uint32_t>(), r.number<uint32_t>()};
    case 7: return Taken{};
    case 8: return Confirmed{};
    case 9: return Statistics{r.number<uint64_t>(), r.number<uint64_t>()};
    default: {
      UdpSessions m{r.number<uint64_t>(), {}};
      for (auto n = r.number<uint32_t>(); n > 0 && !r.bad(); --n) m.states.emplace_back(r.text());
      return m;
    }
  }
}

}  // namespace

std::string version_text() { return absl::StrCat("fairlead.", kProtocolVersion); }

std::string encode(const Message& message) {
  packed::Writer w;
  w.number(kMark);
  w.number(kProtocolVersion);
  w.number(static_cast<uint16_t>(message.index()));
  std::visit(Put{w}, message);
  return w.take();
}

absl::StatusOr<Message> decode(std::string_view packet) {
  packed::Reader r(packet);
  const auto mark = r.number<uint32_t>();
  const auto version = r.number<uint16_t>();
  const auto type = r.number<uint16_t>();
  if (r.bad() || mark != kMark) return absl::InvalidArgumentError("this is no packet of a hot restart");
  if (version != kProtocolVersion && type != 0 && type != 2)
    return absl::FailedPreconditionError(absl::StrCat("hot restart version ", version, " in place of ", kProtocolVersion));
  if (type >= std::variant_size_v<Message>) return absl::InvalidArgumentError(absl::StrCat("hot restart packet of unknown type ", type));
  Message out = get(r, type);
  if (r.bad()) return absl::InvalidArgumentError(absl::StrCat("hot restart packet of type ", type, " is cut short"));
  if (version != kProtocolVersion) {
    if (type == 2) return out;
    return absl::FailedPreconditionError(absl::StrCat("hot restart version ", version, " in place of ", kProtocolVersion));
  }
  if (!r.at_end()) return absl::InvalidArgumentError(absl::StrCat("hot restart packet of type ", type, " is too long"));
  return out;
}

}  // namespace fairlead::server::restart
