// Listening sockets. ListenSocket binds on the main thread, so that an address in use is an error there and then;
// a Listener per worker accepts from one of its descriptors.
// With SO_REUSEPORT a second process of the same user would share the port silently. The first descriptor is therefore bound
// and put to listen without it (which fails if anyone else listens) and only then opened to this process's own further ones.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "dataplane/net/address.h"
#include "dataplane/net/event_loop.h"

namespace fairlead::net {

class ListenSocket {
 public:
  struct Options {
    bool reuse_port = true;           // Envoy 1.40: enable_reuse_port true; one descriptor per worker. Unix sockets share one
    int backlog = -1;                 // Envoy 1.40: tcp_backlog_size unset passes -1: the kernel's somaxconn
    std::optional<bool> transparent;  // unset: the socket is not touched
    std::optional<bool> freebind;
    bool v6_only = true;              // Envoy: ipv4_compat false
    bool datagrams = false;           // UDP: then what comes is read from the descriptors, from bind() on
    unsigned unix_mode = 0;           // permission bits of a Unix path; 0: as umask leaves them
    // setsockopt() calls, each at its moment: before bind(), after it, or once the socket listens. One that fails is an error.
    struct SocketOption {
      enum class When : uint8_t { BeforeBind, Bound, Listening } when = When::BeforeBind;
      int level = 0, name = 0;
      std::string bytes;
    };
    std::vector<SocketOption> socket_options;
  };
  // Errors name the address: AlreadyExists when in use, otherwise the kernel's reason.
  static absl::StatusOr<ListenSocket> bind(const Address& address, const Options& options);
  // Takes over descriptors that are bound to `address` already and may listen: those of a process that this one follows, or of the service manager.
  // They keep the socket options that they have; a Unix path stays when this object goes, until own_path().
  static ListenSocket adopt(const Address& address, const Options& options, std::vector<int> descriptors);
  ListenSocket(ListenSocket&&) noexcept;
  ListenSocket& operator=(ListenSocket&&) noexcept;
  ~ListenSocket();  // closes; a Unix path is unlinked

  // Starts to listen with `count` descriptors (one when reuse_port is off). Once.
  absl::Status listen(unsigned count);
  // The descriptor of worker i; valid as long as this object.
  int fd(unsigned i) const { return fds_[i % fds_.size()]; }
  // All that worker i of those told to listen() accepts or reads from: taken-over ones may be more than workers, and each of them gets its share.
  // Datagrams of one socket have one reader, so that those of one peer stay together: with fewer sockets than workers, some workers have none.
  std::vector<int> fds_of(unsigned i) const;
  const std::vector<int>& fds() const { return fds_; }
  void own_path() { leave_path_ = false; }
  // Another process goes on listening with copies of these descriptors: closes them and leaves a Unix path alone.
  void give_up();
  unsigned count() const { return static_cast<unsigned>(fds_.size()); }
  bool listening() const { return listening_; }
  const Address& local_address() const { return local_; }  // with the port the kernel chose for 0

 private:
  ListenSocket() = default;
  void close_all();
  absl::Status listen_adopted(unsigned count);
  Address local_;
  Options options_;
  std::vector<int> fds_;
  unsigned workers_ = 1;
  bool listening_ = false;
  bool adopted_ = false;
  bool leave_path_ = false;
};

class AcceptEvents {
 public:
  virtual ~AcceptEvents() = default;
  // A connected non-blocking close-on-exec descriptor, now the callee's.
  virtual void on_accept(int fd, const Address& remote) = 0;
  // Nothing is accepted for a while: descriptors are running out, or memory has. Said again each time it is put off.
  virtual void on_exhausted() {}
};

// Out of descriptors: what connects waits in the kernel's queue, and is looked at ten times a second. The last of them are not given to those who
// connect: requests that are served already need some for their upstreams, and so do log files and the admin address.
class Listener final : private FdHandler {
 public:
  // A quarter of RLIMIT_NOFILE, and at most this many descriptors are kept back.
  static constexpr int kMostKeptBack = 512;
  static constexpr int kAcceptsPerTurn = 64;
  // Does not own the descriptor: the ListenSocket must outlive it. Accepts from construction on.
  Listener(EventLoop& loop, int listen_fd, AcceptEvents& events);
  ~Listener() override;
  void pause();
  void resume();
  bool paused() const { return paused_; }
  uint64_t accepted() const { return accepted_; }
  uint64_t accept_failures() const { return failures_; }  // out of descriptors or memory, or nearly so

 private:
  void on_fd_ready(uint32_t epoll_events) override;
  void accept_some();
  void put_off();
  bool descriptors_to_spare();

  EventLoop& loop_;
  AcceptEvents& events_;
  int fd_;
  FdWatch watch_;
  LoopTask again_;
  Timer retry_;  // after EMFILE: no edge comes when a descriptor gets free
  bool paused_ = false;
  bool scarce_ = false;  // descriptors are: looked at before the next accept
  int first_kept_back_;
  uint64_t accepted_ = 0;
  uint64_t failures_ = 0;
};

}  // namespace fairlead::net
