// The old process's side of a take-over (message.h): waits for its successor or starts it, gives it what it asks for, and steps back once it serves.
// Anything that goes wrong before that leaves this process as it was.
// Main thread; owned by the server. One successor at a time; others are refused.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/net/timer.h"
#include "dataplane/server/restart/channel.h"
#include "dataplane/server/restart/statistics.h"

namespace fairlead::server::restart {

class Succession final : private net::FdHandler {
 public:
  struct Answer {
    std::string address;           // as bound
    std::vector<int> descriptors;  // stay this process's
  };
  struct Passed {
    SocketType type;
    std::string address;
    std::vector<int> descriptors;
  };
  struct Sessions {                // of one UDP socket
    uint64_t socket = 0;
    std::vector<std::string> states;
    std::vector<int> descriptors;  // one each; stay this process's
  };
  struct Host {
    std::function<std::optional<std::string>()> objection;  // why nobody can take over now; none: somebody can
    std::function<Welcome()> welcome;
    std::function<std::vector<Passed>()> passed;            // the sockets of the service manager
    std::function<std::optional<Answer>(const SocketsWanted&)> sockets;
    std::function<void()> stop_accepting;                   // the successor does
    std::function<absl::Status(const Channel&)> hand_over_draining;
    std::function<std::vector<Sessions>()> stop_reading;    // datagrams for the successor's sockets, whose sessions these are
    std::function<void(const absl::Status&)> failed;        // of a successor: this process goes on (and accepts again)
    std::function<void(const Hello&)> handed_over;          // for good: drain and leave
    std::function<Statistics()> figures;                    // with fresh gauges
  };
  Succession(net::EventLoop& loop, const stats::Registry& registry, Host host);
  ~Succession() override;

  // Successors come to this name from now on.
  void wait_at(Rendezvous rendezvous);
  const std::string& name() const;
  // A successor that this process has started.
  void begin(Channel channel, pid_t child);
  pid_t child() const { return child_; }
  bool pending() const { return state_ == State::greeted || state_ == State::offered || (state_ == State::idle && channel_.open()); }
  bool handed_over() const { return state_ == State::handed_over; }
  // Whoever is about to take over is refused, and why.
  void cancel(std::string_view why);
  // Statistics of the last moments. Blocks for a second at most.
  void say_goodbye();

 private:
  enum class State : uint8_t { idle, greeted, offered, handed_over };
  struct Door;
  void come_in(Channel channel);
  void on_fd_ready(uint32_t epoll_events) override;
  absl::Status take(Packet packet);
  absl::Status greet(const Hello& hello);
  absl::Status answer(const SocketsWanted& wanted) const;
  absl::Status step_back();
  absl::Status hand_over(const Sessions& sessions) const;
  void fail(const absl::Status& status);
  absl::Status tell(std::chrono::milliseconds patience);

  net::EventLoop& loop_;
  Host host_;
  StatisticsSource statistics_;
  std::optional<Rendezvous> rendezvous_;
  std::unique_ptr<Door> door_;
  Channel channel_;
  std::unique_ptr<net::FdWatch> watch_;
  net::Timer tell_timer_;
  Hello hello_;
  pid_t child_ = -1;  // the successor, if this process has started it
  State state_ = State::idle;
};

}  // namespace fairlead::server::restart
