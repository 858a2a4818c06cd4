// See splice.h. Edges set readable_ and writable_, EAGAIN clears them; that of a full pipe says nothing about the socket, so reading is tried
// again once the pipe is empty.
#include "dataplane/net/splice.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace fairlead::net {

namespace {
constexpr int kPipeBytes = 256 * 1024;  // wanted; the system may give less
constexpr int kRounds = 8;              // of filling and emptying the pipe in one turn: then others have theirs
}  // namespace

void Splice::Side::close() {
  const int fd = watch.fd();
  if (fd < 0) return;
  watch.remove();
  ::close(fd);
}

Splice::Splice(Connection& to, SpliceEvents& events)
    : loop_(to.loop()), to_(to), events_(events), in_(*this, loop_), out_(*this, loop_), pump_task_(LoopTask::of<&Splice::pump>(this)), again_task_(LoopTask::of<&Splice::look_again>(this)) {}

Splice::~Splice() { stop(); }

DeferredPtr<Splice> Splice::start(Connection& from, Connection& to, SpliceEvents& events) {
  if (from.transport() != nullptr || to.transport() != nullptr || from.fd() < 0 || to.fd() < 0) return nullptr;
  DeferredPtr<Splice> out(new Splice(to, events));
  if (!out->open(from.fd(), to.fd())) return nullptr;
  return out;
}

bool Splice::open(int from, int to) {
  if (pipe2(pipe_, O_NONBLOCK | O_CLOEXEC) != 0) return false;
  if (const int size = fcntl(pipe_[1], F_SETPIPE_SZ, kPipeBytes); size > 0) capacity_ = static_cast<size_t>(size);
  const int in = fcntl(from, F_DUPFD_CLOEXEC, 0), out = fcntl(to, F_DUPFD_CLOEXEC, 0);
  if (in >= 0) in_.watch.add(in, EPOLLIN | EPOLLRDHUP | EPOLLET);
  if (out >= 0) out_.watch.add(out, EPOLLOUT | EPOLLET);
  if (in < 0 || out < 0) return false;
  loop_.run_soon(pump_task_);
  return true;
}

void Splice::stop() {
  stopped_ = true;
  pump_task_.cancel();
  again_task_.cancel();
  in_.close();
  out_.close();
  for (int& end : pipe_) {
    if (end >= 0) ::close(std::exchange(end, -1));
  }
}

void Splice::ready(Side& side, uint32_t events) {
  if (&side == &in_) readable_ = true;
  if (&side == &out_ && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) writable_ = true;
  looked_again_ = false;
  loop_.run_soon(pump_task_);
}

// False: nothing could be read.
bool Splice::fill() {
  if (!readable_ || ended_ || in_pipe_ >= capacity_) return false;
  const ssize_t n = ::splice(in_.watch.fd(), nullptr, pipe_[1], nullptr, capacity_ - in_pipe_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n > 0) {
    in_pipe_ += static_cast<size_t>(n);
    return true;
  }
  if (n < 0 && errno == EINTR) return true;
  if (n == 0) ended_ = true;
  if (n < 0 && errno != EAGAIN) read_broken_ = true;
  if (in_pipe_ == 0) readable_ = false;
  return false;
}

// How much has been written.
size_t Splice::empty() {
  if (in_pipe_ == 0 || !writable_) return 0;
  if (!to_.output().empty()) {  // it leaves at the end of this turn, or waits for room: then an edge follows
    if (!looked_again_) loop_.run_at_flush(again_task_);
    looked_again_ = true;
    return 0;
  }
  const ssize_t n = ::splice(pipe_[0], nullptr, out_.watch.fd(), nullptr, in_pipe_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n > 0) {
    in_pipe_ -= static_cast<size_t>(n);
    return static_cast<size_t>(n);
  }
  if (n < 0 && errno == EINTR) return 0;
  writable_ = false;
  if (n < 0 && errno != EAGAIN) write_broken_ = true;
  return 0;
}

void Splice::pump() {
  if (stopped_) return;
  size_t written = 0;
  bool moved = true;
  for (int round = 0; round < kRounds && moved && !read_broken_ && !write_broken_; ++round) {
    moved = fill();
    const size_t n = empty();
    written += n;
    moved |= n != 0;
  }
  if (moved) loop_.run_soon(pump_task_);
  if (written != 0) events_.on_spliced(written);
  if (stopped_) return;
  if (read_broken_ || write_broken_) {
    stop();
    return events_.on_splice_broken(read_broken_);
  }
  if (!ended_ || in_pipe_ != 0) return;
  stop();
  events_.on_splice_ended();
}

}  // namespace fairlead::net
