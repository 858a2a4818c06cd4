// Datagrams in and out of UDP sockets, many with one system call: recvmmsg(), sendmmsg(), and messages that the kernel or the device cuts into
// equal datagrams (UDP_SEGMENT) or has joined (UDP_GRO). Everything on one loop's thread; what is received lies in a DatagramBatch and is valid
// until that receives again.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/net/address.h"
#include "dataplane/net/event_loop.h"

namespace fairlead::net {

// Who sent a datagram, and to which of this host's addresses. Plain bytes, for it is looked up with every datagram. IPv4 peers of a dual-stack
// socket stay as that socket names them: v4-mapped.
struct DatagramPath {
  std::array<uint8_t, 16> peer{}, local{};  // network order; of IPv4 the first 4 bytes
  uint32_t scope = 0;                       // of a link-local IPv6 peer
  uint16_t peer_port = 0;
  bool v6 = false;

  Address peer_address() const;
  Address local_address(uint16_t port) const;
  friend bool operator==(const DatagramPath&, const DatagramPath&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const DatagramPath& p) {
    return H::combine(std::move(h), p.peer, p.local, p.scope, p.peer_port, p.v6);
  }
};

struct DatagramMessage {
  std::string_view bytes;
  size_t segment = 0;  // 0: one datagram; else several of this size, the last may be shorter
  DatagramPath path;   // of a bound socket; of a connected one nothing
};

// Calls `piece` with each datagram of a message.
template <class Piece>
void for_each_datagram(const DatagramMessage& message, const Piece& piece) {
  if (message.segment == 0 || message.segment >= message.bytes.size()) return piece(message.bytes);
  for (size_t at = 0; at < message.bytes.size(); at += message.segment) piece(message.bytes.substr(at, message.segment));
}

// Room for what one call receives. Sockets of one thread may share one, as long as nobody keeps what it has received.
class DatagramBatch {
 public:
  static constexpr size_t kMessages = 32;
  static constexpr size_t kMaxDatagram = 65'535;
  DatagramBatch();
  ~DatagramBatch();
  DatagramBatch(const DatagramBatch&) = delete;

  struct Received {
    size_t messages = 0;   // of messages()
    size_t truncated = 0;  // datagrams longer than asked for: they are not among the messages
    uint32_t overflow = 0; // the socket's count of datagrams lost to a full buffer, if `path`; 0: none ever
    bool more = false;     // there may be more to read
    int error = 0;         // errno, but for EAGAIN
  };
  // `largest`: bytes of a datagram at most. `joined`: the socket has UDP_GRO; Envoy 1.40: then none is too long. `local`: what messages() say they were sent to unless the socket
  // tells (IP_PKTINFO); null: the socket is connected, and paths are not asked for.
  Received receive(int fd, size_t largest, bool joined, const Address* local);
  std::span<const DatagramMessage> messages() const { return {messages_.data(), count_}; }

 private:
  struct Space;
  std::unique_ptr<Space> space_;
  std::vector<DatagramMessage> messages_;
  size_t count_ = 0;
};

// One that is to leave: to the path's peer, or from a connected socket (`to` null).
struct OutDatagram {
  std::string_view bytes;
  const DatagramPath* to = nullptr;
  bool lost = false;  // the kernel did not take it
};

// How many of the first datagrams may leave as one message: all of one size, but for a shorter last, and to one peer: `to` is the same pointer.
size_t segment_run(std::span<const OutDatagram> datagrams);

struct SentDatagrams {
  size_t datagrams = 0, bytes = 0;
  size_t errors = 0;  // those that are marked as lost
};
// Sends in order, with as few calls as may be; as from the path's local address if `from_local`.
// `segment`: whether equal neighbours may go as one message; cleared when the kernel refuses such.
SentDatagrams send_datagrams(int fd, std::span<OutDatagram> datagrams, bool from_local, bool& segment);

// The kernel's name of a socket, the same in every process that has a descriptor of it. 0: none.
uint64_t socket_cookie(int fd);

class UdpPortEvents {
 public:
  virtual ~UdpPortEvents() = default;
  virtual void on_datagrams(std::span<const DatagramMessage> messages) = 0;
  virtual void on_receive_error(int error) = 0;
  virtual void on_dropped(uint64_t datagrams) = 0;  // too long, or lost to a full socket buffer
};

// A bound UDP socket of one worker: reads whatever comes, answers to any peer. Does not own the descriptor.
class UdpPort final : private FdHandler {
 public:
  struct Options {
    int fd = -1;
    Address local;
    size_t largest = 1500;  // Envoy 1.40: max_rx_datagram_size
    bool join = false;      // Envoy 1.40: prefer_gro, false for listeners
  };
  UdpPort(EventLoop& loop, const Options& options, UdpPortEvents& events);
  ~UdpPort() override;

  SentDatagrams send(std::span<OutDatagram> datagrams);
  // What comes meanwhile waits in the socket.
  void pause();
  void resume();
  DatagramBatch& batch() { return batch_; }  // for whoever reads on behalf of this port, in its own events
  const Address& local_address() const { return options_.local; }
  bool reads_as(const Options& other) const { return options_.fd == other.fd && options_.largest == other.largest && wants_join_ == other.join; }
  EventLoop& loop() const { return loop_; }

 private:
  void on_fd_ready(uint32_t) override { read_some(); }
  void read_some();

  EventLoop& loop_;
  Options options_;
  UdpPortEvents& events_;
  DatagramBatch batch_;
  FdWatch watch_;
  LoopTask again_;
  uint32_t overflow_ = 0;
  const bool wants_join_;
  bool paused_ = false;
  bool many_locals_ = false;  // bound to the wildcard: replies say which address they come from
  bool segment_ = true;
};

// A new non-blocking UDP socket connected to `to`; -1 and errno when there is none. `join`: UDP_GRO.
int open_connected_udp(const Address& to, bool join);
// Whether that socket's datagrams are joined from here on.
void join_datagrams(int fd, bool join);

}  // namespace fairlead::net
