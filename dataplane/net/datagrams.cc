// System calls for many datagrams at once (datagrams.h).
#include "dataplane/net/datagrams.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

namespace fairlead::net {
namespace {

constexpr size_t kPool = 512 * 1024;        // bytes; only what is received into costs memory
constexpr size_t kMaxSegments = 64;         // of the kernel: UDP_MAX_SEGMENTS
constexpr size_t kMaxMessage = 65'000;      // below what fits an IP packet with its headers
constexpr size_t kMessagesPerSend = 64;
constexpr int kBatchesPerTurn = 16;         // then others have their turn
constexpr size_t kControl = CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(int));

union PeerAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

Address address_of(const std::array<uint8_t, 16>& bytes, bool v6, uint32_t scope, uint16_t port) {
  PeerAddress out{};
  if (v6) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(port);
    out.v6.sin6_scope_id = scope;
    std::memcpy(&out.v6.sin6_addr, bytes.data(), 16);
    return Address::from_sockaddr(&out.any, sizeof out.v6);
  }
  out.v4.sin_family = AF_INET;
  out.v4.sin_port = htons(port);
  std::memcpy(&out.v4.sin_addr, bytes.data(), 4);
  return Address::from_sockaddr(&out.any, sizeof out.v4);
}

socklen_t peer_sockaddr(const DatagramPath& path, PeerAddress& out) {
  out = {};
  if (path.v6) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(path.peer_port);
    out.v6.sin6_scope_id = path.scope;
    std::memcpy(&out.v6.sin6_addr, path.peer.data(), 16);
    return sizeof out.v6;
  }
  out.v4.sin_family = AF_INET;
  out.v4.sin_port = htons(path.peer_port);
  std::memcpy(&out.v4.sin_addr, path.peer.data(), 4);
  return sizeof out.v4;
}

void set_peer(const PeerAddress& from, DatagramPath& path) {
  path.v6 = from.any.sa_family == AF_INET6;
  if (path.v6) {
    std::memcpy(path.peer.data(), &from.v6.sin6_addr, 16);
    path.peer_port = ntohs(from.v6.sin6_port);
    path.scope = from.v6.sin6_scope_id;
  } else {
    std::memcpy(path.peer.data(), &from.v4.sin_addr, 4);
    path.peer_port = ntohs(from.v4.sin_port);
  }
}

bool set_flag(int fd, int level, int name) {
  const int on = 1;
  return setsockopt(fd, level, name, &on, sizeof on) == 0;
}

// What the control messages of a received message say.
void read_control(msghdr& header, DatagramMessage& out, uint32_t& overflow) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
      int size = 0;
      std::memcpy(&size, CMSG_DATA(c), sizeof size);
      out.segment = size > 0 ? static_cast<size_t>(size) : 0;
    } else if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      std::memcpy(out.path.local.data(), &info.ipi_addr, 4);
    } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      std::memcpy(out.path.local.data(), &info.ipi6_addr, 16);
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
      std::memcpy(&overflow, CMSG_DATA(c), sizeof overflow);
    }
  }
}

// Nothing is set before it is used: there is one for each message that a call might have.
struct OutMessage {
  size_t datagrams;
  PeerAddress peer;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

// Appends control messages: which address a reply comes from, and how long the pieces are.
void write_control(msghdr& header, OutMessage& out, const DatagramPath* from, size_t segment) {
  if (from == nullptr && segment == 0) return;
  std::memset(out.control, 0, sizeof out.control);
  header.msg_control = out.control;
  size_t used = 0;
  const auto add = [&](int level, int type, const void* data, size_t size) {
    auto* c = reinterpret_cast<cmsghdr*>(out.control + used);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(c), data, size);
    used += CMSG_SPACE(size);
  };
  if (from != nullptr && from->v6) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, from->local.data(), 16);
    add(SOL_IPV6, IPV6_PKTINFO, &info, sizeof info);
  } else if (from != nullptr) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, from->local.data(), 4);
    add(SOL_IP, IP_PKTINFO, &info, sizeof info);
  }
  if (segment != 0) {
    const auto size = static_cast<uint16_t>(segment);
    add(SOL_UDP, UDP_SEGMENT, &size, sizeof size);
  }
  header.msg_controllen = used;
}

// Most calls are of one that needs no header.
SentDatagrams send_one(int fd, OutDatagram& datagram) {
  PeerAddress peer;
  const socklen_t size = datagram.to != nullptr ? peer_sockaddr(*datagram.to, peer) : 0;
  ssize_t n;
  do {
    n = sendto(fd, datagram.bytes.data(), datagram.bytes.size(), MSG_DONTWAIT, size != 0 ? &peer.any : nullptr, size);
  } while (n < 0 && errno == EINTR);
  datagram.lost = n < 0;
  if (datagram.lost) return {.errors = 1};
  return {.datagrams = 1, .bytes = datagram.bytes.size()};
}

// How many datagrams a socket has lost to a full buffer since it was made: one that comes from another process may have lost some there.
uint32_t lost_so_far(int fd) {
  std::array<uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof info;
  return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info.data(), &size) == 0 && size > SK_MEMINFO_DROPS * sizeof info[0] ? info[SK_MEMINFO_DROPS] : 0;
}

// The kernel or the device cannot cut messages here: what is sent one by one may still go.
bool cannot_segment(int error) { return error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP || error == ENOPROTOOPT; }

}  // namespace

// --- What has come --------------------------------------------------------------------------------------------------------

Address DatagramPath::peer_address() const { return address_of(peer, v6, scope, peer_port); }
Address DatagramPath::local_address(uint16_t port) const { return address_of(local, v6, 0, port); }

// Bound and connected sockets share the room, but not the headers: what each kind asks for changes seldom, so they stay set from call to call.
struct DatagramBatch::Space {
  struct Headers {
    void set(Space& space, size_t room, bool names, bool controls);
    void reset_used();
    std::array<mmsghdr, kMessages> of;
    std::array<iovec, kMessages> parts;
    size_t room = 0, most = 0;
    size_t used = 0;  // that the kernel has written to
    bool names = false, controls = false;
  };

  std::unique_ptr<char[]> bytes{new char[kPool]};  // not touched here: pages come with the datagrams
  Headers bound, connected;
  std::array<PeerAddress, kMessages> peers;
  alignas(cmsghdr) std::array<std::array<char, kControl>, kMessages> control;
};

void DatagramBatch::Space::Headers::set(Space& space, size_t room_in, bool names_in, bool controls_in) {
  room = room_in;
  names = names_in;
  controls = controls_in;
  const size_t stride = (room / 64 + 1) * 64 + 64;  // an odd number of cache lines keeps neighbours off the same sets
  most = std::min(kMessages, kPool / stride);
  for (size_t i = 0; i < most; ++i) {
    parts[i] = {space.bytes.get() + i * stride, room};
    msghdr& header = of[i].msg_hdr;
    header = {};
    header.msg_iov = &parts[i];
    header.msg_iovlen = 1;
    if (names) header.msg_name = &space.peers[i];
    if (controls) header.msg_control = space.control[i].data();
  }
  used = most;
}

void DatagramBatch::Space::Headers::reset_used() {
  for (size_t i = 0; i < used; ++i) {
    msghdr& header = of[i].msg_hdr;
    if (names) header.msg_namelen = sizeof(PeerAddress);
    if (controls) header.msg_controllen = kControl;
  }
  used = 0;
}

DatagramBatch::DatagramBatch() : messages_(kMessages) {}
DatagramBatch::~DatagramBatch() = default;

DatagramBatch::Received DatagramBatch::receive(int fd, size_t largest, bool joined, const Address* local) {
  if (space_ == nullptr) space_ = std::make_unique<Space>();
  Space& space = *space_;
  const size_t room = joined ? kMaxDatagram : std::min(largest, kMaxDatagram);  // a message that was joined is as long as any
  const bool names = local != nullptr, controls = joined || names;
  Space::Headers& headers = names ? space.bound : space.connected;
  if (headers.room != room || headers.controls != controls || headers.most == 0) headers.set(space, room, names, controls);
  headers.reset_used();
  Received out;
  count_ = 0;
  const int n = recvmmsg(fd, headers.of.data(), static_cast<unsigned>(headers.most), MSG_DONTWAIT, nullptr);
  if (n < 0) {
    if (errno != EAGAIN) out.error = errno;
    out.more = errno != EAGAIN;
    return out;
  }
  headers.used = static_cast<size_t>(n);
  out.more = headers.used == headers.most;
  for (size_t i = 0; i < headers.used; ++i) {
    msghdr& header = headers.of[i].msg_hdr;
    DatagramMessage& message = messages_[count_];
    message.segment = 0;
    message.bytes = {static_cast<const char*>(headers.parts[i].iov_base), headers.of[i].msg_len};
    if (names) {
      message.path = {};
      set_peer(space.peers[i], message.path);
      message.path.local = local->bytes();
    }
    if (controls && header.msg_controllen != 0) read_control(header, message, out.overflow);
    if ((header.msg_flags & MSG_TRUNC) != 0) {
      ++out.truncated;
      continue;
    }
    ++count_;
  }
  out.messages = count_;
  return out;
}

// --- What leaves ----------------------------------------------------------------------------------------------------------

size_t segment_run(std::span<const OutDatagram> datagrams) {
  if (datagrams.empty()) return 0;
  const size_t size = datagrams[0].bytes.size();
  if (size == 0) return 1;
  const size_t most = std::min({kMaxSegments, kMaxMessage / size, datagrams.size()});
  for (size_t n = 1; n < most; ++n) {
    const OutDatagram& next = datagrams[n];
    if (next.to != datagrams[0].to) return n;
    if (next.bytes.size() == size) continue;
    return next.bytes.size() < size && !next.bytes.empty() ? n + 1 : n;
  }
  return std::max<size_t>(most, 1);
}

SentDatagrams send_datagrams(int fd, std::span<OutDatagram> datagrams, bool from_local, bool& segment) {
  if (datagrams.size() == 1 && (datagrams[0].to == nullptr || !from_local)) return send_one(fd, datagrams[0]);
  SentDatagrams out;
  std::array<mmsghdr, kMessagesPerSend> headers;
  std::array<OutMessage, kMessagesPerSend> messages;
  std::array<iovec, kMessagesPerSend * 2> parts;
  const auto lose = [&](size_t count) {
    for (OutDatagram& one : datagrams.first(count)) one.lost = true;
    out.errors += count;
    datagrams = datagrams.subspan(count);
  };
  while (!datagrams.empty()) {
    size_t count = 0, used = 0, taken = 0;
    while (taken < datagrams.size() && count < kMessagesPerSend) {
      size_t run = segment ? segment_run(datagrams.subspan(taken)) : 1;
      run = std::min(run, parts.size() - used);
      if (run == 0) break;
      const OutDatagram& first = datagrams[taken];
      OutMessage& message = messages[count];
      msghdr& header = headers[count++].msg_hdr;
      header = {};
      if (first.to != nullptr) {
        header.msg_name = &message.peer;
        header.msg_namelen = peer_sockaddr(*first.to, message.peer);
      }
      header.msg_iov = &parts[used];
      header.msg_iovlen = run;
      for (size_t i = 0; i < run; ++i) parts[used++] = {const_cast<char*>(datagrams[taken + i].bytes.data()), datagrams[taken + i].bytes.size()};
      write_control(header, message, from_local ? first.to : nullptr, run > 1 ? first.bytes.size() : 0);
      message.datagrams = run;
      taken += run;
    }
    const int n = count == 1 ? (sendmsg(fd, &headers[0].msg_hdr, MSG_DONTWAIT) < 0 ? -1 : 1) : sendmmsg(fd, headers.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    const int error = n < 0 ? errno : 0;
    size_t gone = 0;
    for (int i = 0; i < n; ++i) gone += messages[static_cast<size_t>(i)].datagrams;
    out.datagrams += gone;
    for (size_t i = 0; i < gone; ++i) out.bytes += datagrams[i].bytes.size();
    datagrams = datagrams.subspan(gone);
    if (n > 0) continue;  // whatever stopped it shows again with the next message
    if (error == EINTR) continue;
    if (messages[0].datagrams > 1 && cannot_segment(error)) {
      segment = false;
      continue;
    }
    lose(error == EAGAIN || error == ENOBUFS ? datagrams.size() : messages[0].datagrams);  // the rest would meet the same
  }
  return out;
}

int open_connected_udp(const Address& to, bool join) {
  const int fd = socket(to.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (join) set_flag(fd, SOL_UDP, UDP_GRO);  // an old kernel does without
  sockaddr_storage storage;
  const socklen_t size = to.to_sockaddr(storage);
  if (connect(fd, reinterpret_cast<sockaddr*>(&storage), size) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

void join_datagrams(int fd, bool join) {
  const int value = join ? 1 : 0;
  setsockopt(fd, SOL_UDP, UDP_GRO, &value, sizeof value);
}

uint64_t socket_cookie(int fd) {
  uint64_t out = 0;
  socklen_t size = sizeof out;
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &out, &size) == 0 ? out : 0;
}

// --- A listener's socket --------------------------------------------------------------------------------------------------

UdpPort::UdpPort(EventLoop& loop, const Options& options, UdpPortEvents& events)
    : loop_(loop), options_(options), events_(events), watch_(loop, *this), again_(LoopTask::of<&UdpPort::read_some>(this)), wants_join_(options.join) {
  many_locals_ = options_.local.is_any();
  overflow_ = lost_so_far(options_.fd);
  set_flag(options_.fd, SOL_SOCKET, SO_RXQ_OVFL);
  const int join = options_.join ? 1 : 0;
  if (setsockopt(options_.fd, SOL_UDP, UDP_GRO, &join, sizeof join) != 0) options_.join = false;
  watch_.add(options_.fd, EPOLLIN | EPOLLET);
}

UdpPort::~UdpPort() = default;

void UdpPort::pause() {
  if (std::exchange(paused_, true)) return;
  watch_.remove();
  again_.cancel();
}

void UdpPort::resume() {
  if (std::exchange(paused_, false)) watch_.add(options_.fd, EPOLLIN | EPOLLET);  // adding reports what is already waiting
}

void UdpPort::read_some() {
  for (int i = 0; i < kBatchesPerTurn; ++i) {
    const DatagramBatch::Received got = batch_.receive(options_.fd, options_.largest, options_.join, &options_.local);
    const uint32_t lost = got.overflow > overflow_ ? got.overflow - overflow_ : 0;
    if (lost != 0) overflow_ = got.overflow;
    if (got.truncated + lost != 0) events_.on_dropped(got.truncated + lost);
    if (got.error != 0) events_.on_receive_error(got.error);
    if (got.messages != 0) events_.on_datagrams(batch_.messages());
    if (!got.more) return;
    if (got.error == EBADF || got.error == ENOTSOCK || got.error == EINVAL) return;
  }
  loop_.run_soon(again_);
}

SentDatagrams UdpPort::send(std::span<OutDatagram> datagrams) { return send_datagrams(options_.fd, datagrams, many_locals_, segment_); }

}  // namespace fairlead::net
