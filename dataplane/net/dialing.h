// The connects of one Connection to several addresses of its peer, raced as in RFC 8305: the next begins 300 ms after the one before, or at
// once when an attempt fails, while earlier ones go on; who connects first wins, and the others are closed.
// Owned by the Connection until it is connected or closed; its loop's thread. Private to the room.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "dataplane/net/connection.h"

namespace fairlead::net {

class Dialing final : public Deferred {
 public:
  // A socket on its way to an address, or -1 and errno.
  using Open = std::function<int(const Address& to, int& error)>;
  // The winner, which belongs to the receiver from here on; -1 when all have failed, the last with `error`. Once, never inside begin().
  using Done = std::function<void(int fd, const Address& to, int error)>;
  Dialing(EventLoop& loop, Dial dial, Open open, Done done);
  ~Dialing() override;

  bool races() const { return !dial_.others.empty(); }
  void begin(const Address& first);
  void stop();  // closes every attempt; nothing is reported any more
  uint8_t attempts() const { return attempts_; }
  const std::function<std::string(const Address&, const Address&)>& preamble() const { return dial_.preamble; }
  const std::function<std::unique_ptr<Transport>()>& transport() const { return dial_.transport; }

 private:
  struct Attempt;
  void attempt(const Address& to);
  void next();
  void failed(int error);
  void settled(Attempt& attempt, int error);
  void report_failure();

  EventLoop& loop_;
  Dial dial_;
  Open open_;
  Done done_;
  std::vector<std::unique_ptr<Attempt>> running_;
  std::vector<std::unique_ptr<Attempt>> over_;  // each may be the one whose notice is being handled
  size_t next_ = 0;                             // of dial_.others
  uint8_t attempts_ = 1;
  int last_error_ = 0;
  Timer timer_;
  LoopTask failed_task_ = LoopTask::of<&Dialing::report_failure>(this);
};

}  // namespace fairlead::net
