// See dialing.h.
#include "dataplane/net/dialing.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace fairlead::net {

namespace {
constexpr std::chrono::milliseconds kStagger{300};  // Envoy 1.40: 300 ms; RFC 8305 recommends 250
}

struct Dialing::Attempt final : FdHandler {
  Attempt(Dialing& owner_in, int fd, const Address& to_in) : owner(owner_in), to(to_in), watch(owner.loop_, *this) { watch.add(fd); }
  ~Attempt() override {
    const int fd = watch.fd();
    if (fd < 0) return;
    watch.remove();
    ::close(fd);
  }
  int release() {
    const int fd = watch.fd();
    watch.remove();
    return fd;
  }
  void on_fd_ready(uint32_t ready) override {
    if ((ready & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(watch.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    owner.settled(*this, error);
  }
  Dialing& owner;
  const Address to;
  FdWatch watch;
};

Dialing::Dialing(EventLoop& loop, Dial dial, Open open, Done done)
    : loop_(loop), dial_(std::move(dial)), open_(std::move(open)), done_(std::move(done)), timer_(loop.timers(), [this] { next(); }) {}

Dialing::~Dialing() = default;

void Dialing::begin(const Address& first) {
  attempts_ = 0;
  attempt(first);
}

void Dialing::attempt(const Address& to) {
  if (attempts_ != 255) ++attempts_;
  if (next_ < dial_.others.size()) timer_.arm(kStagger);
  int error = 0;
  const int fd = open_(to, error);
  if (fd < 0) return failed(error);
  running_.push_back(std::make_unique<Attempt>(*this, fd, to));
}

void Dialing::next() { attempt(dial_.others[next_++]); }

void Dialing::failed(int error) {
  last_error_ = error;
  if (next_ < dial_.others.size()) {
    timer_.disarm();
    next();
  } else if (running_.empty()) {
    loop_.run_soon(failed_task_);
  }
}

void Dialing::settled(Attempt& attempt, int error) {
  const auto at = std::find_if(running_.begin(), running_.end(), [&](const auto& known) { return known.get() == &attempt; });
  std::unique_ptr<Attempt> mine = std::move(*at);
  running_.erase(at);
  Attempt& ended = *over_.emplace_back(std::move(mine));
  const int fd = ended.release();
  if (error != 0) {
    ::close(fd);
    return failed(error);
  }
  stop();
  done_(fd, ended.to, 0);
}

void Dialing::stop() {
  timer_.disarm();
  failed_task_.cancel();
  running_.clear();
}

void Dialing::report_failure() { done_(-1, {}, last_error_); }

}  // namespace fairlead::net
