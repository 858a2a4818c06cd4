// Splice: moves bytes from one plain connection to another within the kernel, through a pipe, so that nobody copies them. Both connections stay
// who they are: the one that is read from has its reading paused by its owner meanwhile, the other is written to by nobody else; resets and
// closes are theirs to report. Works on duplicates of their descriptors, with readiness of its own. One loop's thread; whoever owns it drops it
// before either connection goes.
#pragma once

#include <cstddef>
#include <memory>

#include "dataplane/net/connection.h"
#include "dataplane/net/event_loop.h"

namespace fairlead::net {

class SpliceEvents {
 public:
  virtual ~SpliceEvents() = default;
  virtual void on_spliced(size_t bytes) = 0;  // have been written
  // Nothing more comes, and everything read has been written: the peer's end, which the reading connection will meet when it reads again.
  virtual void on_splice_ended() = 0;
  // One of the two was reset. It may not learn that by itself: whoever has asked the kernel first has had the only answer.
  virtual void on_splice_broken(bool reader) = 0;
};

class Splice final : public Deferred {
 public:
  // Null: not both are plain, or there are no descriptors left. What `to` has yet to send goes first. Begins with the next turn.
  static DeferredPtr<Splice> start(Connection& from, Connection& to, SpliceEvents& events);
  ~Splice() override;

  void stop();  // no event follows. Bytes that have been read and not written are lost
  size_t pending() const { return in_pipe_; }

 private:
  struct Side final : FdHandler {
    Side(Splice& owner_in, EventLoop& loop) : owner(owner_in), watch(loop, *this) {}
    ~Side() override { close(); }
    void close();
    void on_fd_ready(uint32_t ready) override { owner.ready(*this, ready); }
    Splice& owner;
    FdWatch watch;
  };
  Splice(Connection& to, SpliceEvents& events);
  bool open(int from, int to);
  void ready(Side& side, uint32_t events);
  void pump();
  bool fill();
  size_t empty();
  void look_again() { loop_.run_soon(pump_task_); }

  EventLoop& loop_;
  Connection& to_;
  SpliceEvents& events_;
  Side in_, out_;
  int pipe_[2] = {-1, -1};
  size_t capacity_ = 65536;
  size_t in_pipe_ = 0;
  bool readable_ = true, writable_ = true;
  bool ended_ = false;        // nothing more to read
  bool read_broken_ = false, write_broken_ = false;
  bool stopped_ = false;
  bool looked_again_ = false;  // since the last edge, for what `to` had yet to send
  LoopTask pump_task_;
  LoopTask again_task_;
};

}  // namespace fairlead::net
