// Filters' turns before there is a connection; see filtered_socket.h.
#include "dataplane/server/filtered_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace fairlead::server {

using stats::ListenerStat;

FilteredSocket::FilteredSocket(stream::WorkerContext& worker, const ServingListener& listener, std::string& peek_buffer, int fd,
                               std::unique_ptr<stream::ConnectionInfo> info, Done done)
    : worker_(worker),
      factories_(listener.listener_filters),
      scope_(listener.scope),
      stats_(listener.stats),
      timeout_(listener.config->listener_filters_timeout),
      continue_on_timeout_(listener.config->continue_on_listener_filters_timeout),
      peeked_(peek_buffer),
      fd_(fd),
      info_(std::move(info)),
      done_(std::move(done)),
      watch_(worker.loop(), *this) {
  for (const auto& factory : *factories_) filters_.push_back(factory->create());
  worker_.cells().add(stats_, ListenerStat::downstream_pre_cx_active);
}

FilteredSocket::~FilteredSocket() {
  watch_.remove();
  if (fd_ >= 0) ::close(fd_);
}

void FilteredSocket::close() { end(false); }

void FilteredSocket::go_on() {
  while (at_ < filters_.size()) {
    stream::ListenerFilter& filter = *filters_[at_];
    Status status = begun_ ? Status::kWait : filter.on_accept(*this);
    begun_ = true;
    if (status == Status::kWait) status = look(filter);
    if (status == Status::kClose) return end(false);
    if (status == Status::kWait) return wait();
    ++at_;
    begun_ = false;
  }
  end(true);
}

// Shows the filter what there is. kWait: that is not enough.
FilteredSocket::Status FilteredSocket::look(stream::ListenerFilter& filter) {
  const size_t most = std::max<size_t>(filter.max_bytes(), 1);
  if (peeked_.size() < most) peeked_.resize(most);
  do {
    consumed_ = false;
    const ssize_t n = recv(fd_, peeked_.data(), most, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Status::kWait;
    if (n < 0) {
      worker_.cells().add(stats_, ListenerStat::downstream_listener_filter_error);
      return Status::kClose;
    }
    const bool end = n == 0 || peer_ended_;
    const Status status = filter.on_data(std::string_view(peeked_.data(), static_cast<size_t>(n)), end, *this);
    if (status != Status::kWait) return status;
    if (end && !consumed_) {
      worker_.cells().add(stats_, ListenerStat::downstream_listener_filter_remote_close);
      return Status::kClose;
    }
  } while (consumed_);
  return Status::kWait;
}

void FilteredSocket::consume(size_t bytes) {
  consumed_ = true;
  char away[512];
  while (bytes > 0) {
    const ssize_t n = recv(fd_, away, std::min(bytes, sizeof away), MSG_DONTWAIT);
    if (n <= 0) return;
    bytes -= static_cast<size_t>(n);
  }
}

void FilteredSocket::wait() {
  if (watch_.fd() < 0) watch_.add(fd_, EPOLLIN | EPOLLRDHUP | EPOLLET);
  if (timer_ != nullptr || timeout_.count() == 0) return;
  timer_ = std::make_unique<net::Timer>(worker_.loop().timers(), [this] { on_timeout(); });
  timer_->arm(timeout_);
}

void FilteredSocket::on_fd_ready(uint32_t epoll_events) {
  if ((epoll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) peer_ended_ = true;
  go_on();
}

// Envoy 1.40: whoever may go on without the filters' word skips all that are left.
void FilteredSocket::on_timeout() {
  worker_.cells().add(stats_, ListenerStat::downstream_pre_cx_timeout);
  end(continue_on_timeout_);
}

void FilteredSocket::end(bool passed) {
  if (done_ == nullptr) return;
  if (timer_ != nullptr) timer_->disarm();
  watch_.remove();
  worker_.cells().sub(stats_, ListenerStat::downstream_pre_cx_active);
  const int fd = std::exchange(fd_, -1);
  if (!passed) ::close(fd);
  const Done done = std::exchange(done_, nullptr);
  done(*this, passed ? fd : -1, std::move(info_));
  worker_.loop().delete_later(this);
}

}  // namespace fairlead::server
