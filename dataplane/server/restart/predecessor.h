// The new process's side of a take-over (message.h): finds the process before it, asks it for sockets while the configuration is read, and takes
// over once it serves itself. Asking waits for the answer: nothing else is to be done without the socket.
// Main thread. The process before may die at any time: then this one goes on with what it has.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/server/restart/channel.h"

namespace fairlead::server::restart {

// A descriptor or several of one address, as some other process has bound them.
struct HandedSockets {
  SocketType type = SocketType::stream;
  std::string address;
  std::vector<Descriptor> descriptors;
};

// Sessions of one UDP socket that go on in this process: of each what its filter says, and its socket to the upstream.
struct HandedSessions {
  uint64_t socket = 0;
  std::vector<std::string> states;
  std::vector<Descriptor> descriptors;
};

// A process that drains, and the socket on which it tells its statistics.
struct DrainingProcess {
  uint32_t pid = 0, epoch = 0;
  Channel channel;
};

class Predecessor final : private net::FdHandler {
 public:
  struct Takeover {
    std::string statistics;
    std::vector<DrainingProcess> older;
    std::vector<HandedSessions> sessions;
  };

  // Says hello and waits to be welcomed. Errors: it refuses, and why; it does not answer; it speaks another version.
  static absl::StatusOr<std::unique_ptr<Predecessor>> greet(Channel channel, const Hello& hello);
  ~Predecessor() override = default;

  const Welcome& welcome() const { return welcome_; }
  std::vector<HandedSockets> take_passed() { return std::move(passed_); }
  // None: it has none there. Errors: it has gone or does not answer.
  absl::StatusOr<std::optional<HandedSockets>> sockets(const SocketsWanted& wanted);

  // From now on `lost` is called, from the loop and once, when the process before has gone, takes its word back or says nonsense.
  void watch(net::EventLoop& loop, std::function<void(const absl::Status&)> lost);
  // This process accepts now. `taken` is called once the process before has stopped accepting.
  void offer(std::function<void(Takeover)> taken);
  // Those that have come from a process that died on the way.
  std::vector<HandedSessions> take_sessions() { return std::move(takeover_.sessions); }
  // Everything has been taken over. What is left is a process that drains.
  absl::StatusOr<DrainingProcess> confirm();

 private:
  explicit Predecessor(Channel channel) : channel_(std::move(channel)) {}
  void on_fd_ready(uint32_t epoll_events) override;
  absl::Status take(Packet packet);
  void end(const absl::Status& status);

  Channel channel_;
  Welcome welcome_;
  std::vector<HandedSockets> passed_;
  Takeover takeover_;
  absl::Status broken_;
  net::EventLoop* loop_ = nullptr;
  std::unique_ptr<net::FdWatch> watch_;
  std::function<void(Takeover)> taken_;
  std::function<void(const absl::Status&)> lost_;
};

}  // namespace fairlead::server::restart
