// The bare relays of net_relay.cc and udp_load.cc over io_uring instead of epoll: what a proxy would pay for the same traffic if the kernel read and wrote
// by itself. Multishot accepts and receives into buffers that the kernel picks, registered descriptors, task work run only in io_uring_enter; all sends of
// a turn go with the call that waits for the next. Not a server: a peer that does not read stops its connection alone, as WAITALL has the kernel wait.
//   bench_uring_relay tcp|udp PORT UPSTREAM; bench_uring_relay check: whether this machine lets a process have a ring
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/loopback.h"

namespace {

using fairlead::bench::fail;
using fairlead::bench::dial;
using fairlead::bench::loopback;

constexpr unsigned kMostDescriptors = 8192;

unsigned load(unsigned* at) { return std::atomic_ref(*at).load(std::memory_order_acquire); }
void store(unsigned* at, unsigned value) { std::atomic_ref(*at).store(value, std::memory_order_release); }
template <class T>
uint64_t address_of(const T* at) {
  return reinterpret_cast<uint64_t>(at);
}

// The two queues that are shared with the kernel. Without a ring usable() is false and errno says why.
class Ring {
 public:
  static constexpr unsigned kEntries = 1024;

  Ring() {
    io_uring_params p{};
    p.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    p.cq_entries = 8 * kEntries;
    fd_ = static_cast<int>(syscall(SYS_io_uring_setup, kEntries, &p));
    if (fd_ < 0) return;
    char* queues = map(std::max<size_t>(p.cq_off.cqes + p.cq_entries * sizeof(io_uring_cqe), p.sq_off.array + p.sq_entries * sizeof(unsigned)), IORING_OFF_SQ_RING);
    entries_ = reinterpret_cast<io_uring_sqe*>(map(p.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    const auto number = [&](unsigned offset) { return reinterpret_cast<unsigned*>(queues + offset); };
    taken_ = number(p.sq_off.head);
    given_ = number(p.sq_off.tail);
    for (unsigned i = 0; i < p.sq_entries; ++i) number(p.sq_off.array)[i] = i;
    done_head_ = number(p.cq_off.head);
    done_tail_ = number(p.cq_off.tail);
    done_mask_ = *number(p.cq_off.ring_mask);
    done_ = reinterpret_cast<io_uring_cqe*>(queues + p.cq_off.cqes);
    const std::vector<int> none(kMostDescriptors, -1);
    if (set(IORING_REGISTER_FILES, none.data(), kMostDescriptors) < 0) fail("IORING_REGISTER_FILES");
  }

  bool usable() const { return fd_ >= 0; }
  long set(unsigned what, const void* argument, unsigned count) const { return syscall(SYS_io_uring_register, fd_, what, argument, count); }
  // From here on `fd` is known by its own number; -1 in its place: it is not any more.
  void know(int fd, int value) const {
    io_uring_files_update update{};
    update.offset = static_cast<unsigned>(fd);
    update.fds = address_of(&value);
    if (set(IORING_REGISTER_FILES_UPDATE, &update, 1) < 0) fail("IORING_REGISTER_FILES_UPDATE");
  }

  io_uring_sqe& next(uint8_t operation, int fd, uint64_t data) {
    if (tail_ - load(taken_) == kEntries) enter(0);
    io_uring_sqe& entry = entries_[tail_++ % kEntries];
    entry = {};
    entry.opcode = operation;
    entry.fd = fd;
    entry.flags = IOSQE_FIXED_FILE;
    entry.user_data = data;
    return entry;
  }

  template <class Handle>
  void turn(const Handle& handle) {
    enter(1);
    unsigned head = *done_head_;
    for (const unsigned end = load(done_tail_); head != end; ++head) handle(done_[head & done_mask_]);
    store(done_head_, head);
  }

 private:
  char* map(size_t size, off_t offset) const {
    void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, offset);
    if (at == MAP_FAILED) fail("mmap");
    return static_cast<char*>(at);
  }
  void enter(unsigned wait) {
    const unsigned count = tail_ - *given_;
    store(given_, tail_);
    if (syscall(SYS_io_uring_enter, fd_, count, wait, IORING_ENTER_GETEVENTS, nullptr, 0) < 0 && errno != EINTR) fail("io_uring_enter");
  }

  int fd_ = -1;
  unsigned tail_ = 0, done_mask_ = 0;
  unsigned *taken_ = nullptr, *given_ = nullptr, *done_head_ = nullptr, *done_tail_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
  io_uring_cqe* done_ = nullptr;
};

// What the kernel receives into, and where sends are sent from.
class Buffers {
 public:
  explicit Buffers(const Ring& ring) : bytes_(kCount * kSize) {
    void* at = mmap(nullptr, kCount * sizeof(io_uring_buf), PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (at == MAP_FAILED) fail("mmap");
    offered_ = static_cast<io_uring_buf*>(at);
    io_uring_buf_reg registration{};
    registration.ring_addr = address_of(offered_);
    registration.ring_entries = kCount;
    if (ring.set(IORING_REGISTER_PBUF_RING, &registration, 1) < 0) fail("IORING_REGISTER_PBUF_RING");
    for (unsigned i = 0; i < kCount; ++i) give(i);
  }
  char* at(unsigned number) { return bytes_.data() + number * kSize; }
  void give(unsigned number) {
    io_uring_buf& entry = offered_[tail_ % kCount];
    entry.addr = address_of(at(number));
    entry.len = kSize;
    entry.bid = static_cast<uint16_t>(number);
    std::atomic_ref(offered_[0].resv).store(++tail_, std::memory_order_release);  // where io_uring_buf_ring has its tail
  }

 private:
  static constexpr unsigned kCount = 4096, kSize = 2048;
  std::vector<char> bytes_;
  io_uring_buf* offered_;
  uint16_t tail_ = 0;
};

enum class What : uint8_t { kAccepted, kReceived, kFromClient, kSent };
uint64_t mark(What what, int fd, unsigned buffer = 0) { return static_cast<uint64_t>(what) << 56 | static_cast<uint64_t>(fd) << 16 | buffer; }
struct Done {
  explicit Done(const io_uring_cqe& entry)
      : what(static_cast<What>(entry.user_data >> 56)), fd(static_cast<int>(entry.user_data >> 16 & 0xffffff)), sent(entry.user_data & 0xffff), result(entry.res),
        buffer(entry.flags >> IORING_CQE_BUFFER_SHIFT), more((entry.flags & IORING_CQE_F_MORE) != 0) {}
  What what;
  int fd;
  unsigned sent;  // the buffer that is free again
  int result;
  unsigned buffer;
  bool more;  // else the multishot has ended
};

int bound(int type, uint16_t port) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1, room = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  const sockaddr_in at = loopback(port);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) fail("bind");
  return fd;
}

void receive(Ring& ring, int fd) {
  io_uring_sqe& entry = ring.next(IORING_OP_RECV, fd, mark(What::kReceived, fd));
  entry.ioprio = IORING_RECV_MULTISHOT;
  entry.flags |= IOSQE_BUFFER_SELECT;
}
io_uring_sqe& send(Ring& ring, int fd, const char* bytes, size_t size, unsigned buffer) {
  io_uring_sqe& entry = ring.next(IORING_OP_SEND, fd, mark(What::kSent, fd, buffer));
  entry.addr = address_of(bytes);
  entry.len = static_cast<unsigned>(size);
  entry.msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
  return entry;
}

void relay_tcp(uint16_t port, uint16_t upstream) {
  Ring ring;
  if (!ring.usable()) fail("io_uring_setup");
  Buffers buffers(ring);
  const int listener = bound(SOCK_STREAM, port), on = 1;
  if (listen(listener, 511) != 0) fail("listen");
  ring.know(listener, listener);
  ring.next(IORING_OP_ACCEPT, listener, mark(What::kAccepted, listener)).ioprio = IORING_ACCEPT_MULTISHOT;
  std::vector<int> other(kMostDescriptors, -1);
  for (;;) {
    ring.turn([&](const io_uring_cqe& entry) {
      const Done done(entry);
      if (done.what == What::kSent) {
        buffers.give(done.sent);
        if (done.result < 0) shutdown(done.fd, SHUT_RDWR);
      } else if (done.what == What::kAccepted) {
        if (done.result < 0) fail("accept");
        const int down = done.result, up = dial(SOCK_STREAM, upstream);
        for (const int fd : {down, up}) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          ring.know(fd, fd);
          receive(ring, fd);
          other[static_cast<size_t>(fd)] = fd == down ? up : down;
        }
      } else if (done.result > 0) {
        send(ring, other[static_cast<size_t>(done.fd)], buffers.at(done.buffer), static_cast<size_t>(done.result), done.buffer);
        if (!done.more) receive(ring, done.fd);
      } else if (done.result == -ENOBUFS) {
        receive(ring, done.fd);
      } else {
        shutdown(other[static_cast<size_t>(done.fd)], SHUT_WR);
        ring.know(done.fd, -1);
        close(done.fd);
      }
    });
  }
}

void relay_udp(uint16_t port, uint16_t upstream) {
  Ring ring;
  if (!ring.usable()) fail("io_uring_setup");
  Buffers buffers(ring);
  const int listener = bound(SOCK_DGRAM, port);
  ring.know(listener, listener);
  msghdr shape{};
  shape.msg_namelen = sizeof(sockaddr_in);
  const auto receive_from_clients = [&] {
    io_uring_sqe& entry = ring.next(IORING_OP_RECVMSG, listener, mark(What::kFromClient, listener));
    entry.ioprio = IORING_RECV_MULTISHOT;
    entry.flags |= IOSQE_BUFFER_SELECT;
    entry.addr = address_of(&shape);
    entry.len = 1;
  };
  receive_from_clients();
  std::vector<int> session(65536, -1);                // by the client's port
  std::vector<sockaddr_in> client(kMostDescriptors);  // by the session's descriptor
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    ring.turn([&](const io_uring_cqe& entry) {
      const Done done(entry);
      if (done.what == What::kSent) return buffers.give(done.sent);
      if (done.what == What::kFromClient) {
        if (!done.more) receive_from_clients();
        if (done.result <= 0) return;
        io_uring_recvmsg_out head;  // then the name, then the datagram
        sockaddr_in from;
        const char* at = buffers.at(done.buffer);
        std::memcpy(&head, at, sizeof head);
        std::memcpy(&from, at + sizeof head, sizeof from);
        int& own = session[ntohs(from.sin_port)];
        if (own < 0) {
          own = dial(SOCK_DGRAM, upstream);
          client[static_cast<size_t>(own)] = from;
          ring.know(own, own);
          receive(ring, own);
        }
        send(ring, own, at + sizeof head + sizeof from, head.payloadlen, done.buffer);
        return;
      }
      if (!done.more) receive(ring, done.fd);
      if (done.result < 0) return;
      io_uring_sqe& answer = send(ring, listener, buffers.at(done.buffer), static_cast<size_t>(done.result), done.buffer);
      answer.addr2 = address_of(&client[static_cast<size_t>(done.fd)]);
      answer.addr_len = sizeof(sockaddr_in);
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "check") return Ring().usable() ? 0 : (std::perror("io_uring_setup"), 1);
  if (argc != 4 || (mode != "tcp" && mode != "udp")) return std::fputs("usage: bench_uring_relay tcp|udp PORT UPSTREAM, or: bench_uring_relay check\n", stderr), 2;
  const auto port = static_cast<uint16_t>(std::atoi(argv[2])), upstream = static_cast<uint16_t>(std::atoi(argv[3]));
  mode == "tcp" ? relay_tcp(port, upstream) : relay_udp(port, upstream);
}
