// Event loop (event_loop.h).
//
// The reactor. Asio 1.81 registers a descriptor once, edge-triggered, but its async_wait never speculates, so every wait costs an
// epoll_ctl(MOD). Each loop therefore has an epoll set of its own in which a socket is registered once for its whole life
// (EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET). The io_context watches that set and is what a loop sleeps in when it has something of
// Asio's own to wait for (the main loop's signals); a loop without any sleeps in its set directly, which saves an epoll_ctl and an
// epoll_wait per sleep. System calls per relayed request and response over 64 connections (bench/net_relay.cc under strace -c):
// 4.07 here, 6.07 with async_wait per event, of which 4 are the reads and writes themselves. bench/net_relay.sh measures CPU.
#include "dataplane/net/event_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <list>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>

namespace fairlead::net {

namespace {
constexpr int kReactorPollPeriod = 32;  // turns without sleep between two looks at the io_context
constexpr int kTaskPasses = 4;          // rounds of run_soon tasks in one turn
constexpr int64_t kLongestSleepMs = 60'000;
thread_local EventLoop* current_loop = nullptr;

// A counter with one writer: no locked instruction.
void bump(std::atomic<uint64_t>& counter, uint64_t by) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}
}  // namespace

void LoopTask::cancel() {
  if (prev_ == nullptr) return;
  prev_->next_ = next_;
  next_->prev_ = prev_;
  prev_ = next_ = nullptr;
}

void DeferredDelete::operator()(Deferred* object) const {
  EventLoop* loop = EventLoop::current();
  if (loop != nullptr) {
    loop->delete_later(object);
  } else {
    delete object;
  }
}

void FdWatch::add(int fd, uint32_t events) {
  assert(fd_ == -1);
  epoll_event event{};
  event.events = events;
  event.data.ptr = this;
  if (epoll_ctl(loop_.epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) std::abort();  // a caller's error: bad or doubly added fd
  fd_ = fd;
}

void FdWatch::modify(uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = this;
  if (epoll_ctl(loop_.epoll_fd_, EPOLL_CTL_MOD, fd_, &event) != 0) std::abort();
}

void FdWatch::remove() {
  if (fd_ == -1) return;
  epoll_ctl(loop_.epoll_fd_, EPOLL_CTL_DEL, fd_, nullptr);
  fd_ = -1;
  for (int i = loop_.event_at_; i < loop_.event_count_; ++i) {
    if (loop_.events_[i].data.ptr == this) loop_.events_[i].data.ptr = nullptr;
  }
}

struct EventLoop::Reactor {
  boost::asio::io_context context{1};
  boost::asio::posix::stream_descriptor epoll{context};
  std::list<boost::asio::signal_set> signals;
  bool waiting = false;  // an async_wait on `epoll` is outstanding
  int turns_since_poll = 0;

  void watch() {
    if (waiting) return;
    waiting = true;
    epoll.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code&) { waiting = false; });
  }
};

EventLoop::List::List() : head() { head.prev_ = head.next_ = &head; }

EventLoop::EventLoop(std::string name)
    : name_(std::move(name)),
      now_(std::chrono::steady_clock::now()),
      timers_(now_),
      events_(new epoll_event[kMaxEvents]),
      reactor_(std::make_unique<Reactor>()) {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (epoll_fd_ < 0 || wake_fd_ < 0) std::abort();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;  // the wake-up alone does what is wanted: posts are looked at in every turn
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) != 0) std::abort();
  reactor_->epoll.assign(epoll_fd_);
}

EventLoop::~EventLoop() {
  EventLoop* before = current_loop;
  current_loop = this;
  while (!inbox_.empty() || deferred_ != nullptr) {  // jobs that came after the last turn are dropped, not run
    std::vector<std::function<void()>> left;
    {
      std::lock_guard lock(inbox_mutex_);
      left.swap(inbox_);
    }
    left.clear();
    delete_deferred();
  }
  current_loop = before == this ? nullptr : before;
  soon_.head.prev_ = soon_.head.next_ = nullptr;
  flush_.head.prev_ = flush_.head.next_ = nullptr;
  reactor_->epoll.release();
  reactor_.reset();
  close(wake_fd_);
  close(epoll_fd_);
}

EventLoop* EventLoop::current() { return current_loop; }
bool EventLoop::on_loop_thread() const { return current_loop == this; }

void EventLoop::link(List& list, LoopTask& task) {
  if (task.queued()) return;
  task.prev_ = list.head.prev_;
  task.next_ = &list.head;
  task.prev_->next_ = &task;
  list.head.prev_ = &task;
}

void EventLoop::run_soon(LoopTask& task) { link(soon_, task); }
void EventLoop::run_at_flush(LoopTask& task) { link(flush_, task); }

void EventLoop::delete_later(Deferred* object) {
  if (object == nullptr) return;
  object->next_deferred_ = deferred_;
  deferred_ = object;
}

void EventLoop::delete_deferred() {
  while (deferred_ != nullptr) {  // destructors may add more
    Deferred* object = deferred_;
    deferred_ = object->next_deferred_;
    delete object;
  }
}

void EventLoop::post(std::function<void()> job) {
  bool wake;
  {
    std::lock_guard lock(inbox_mutex_);
    wake = inbox_.empty();
    inbox_.push_back(std::move(job));
    inbox_filled_.store(true, std::memory_order_release);
  }
  if (wake) {
    uint64_t one = 1;
    [[maybe_unused]] ssize_t n = write(wake_fd_, &one, sizeof one);  // edge-triggered and never read: each write is an edge
  }
}

void EventLoop::run_posts() {
  if (!inbox_filled_.load(std::memory_order_acquire)) return;
  std::vector<std::function<void()>> jobs;
  {
    std::lock_guard lock(inbox_mutex_);
    jobs.swap(inbox_);
    inbox_filled_.store(false, std::memory_order_relaxed);
  }
  for (auto& job : jobs) job();
  bump(stats_.posts, jobs.size());
}

void EventLoop::run_list(List& list) {
  if (list.empty()) return;
  List taken;  // tasks queued meanwhile wait for the next round
  taken.head.next_ = list.head.next_;
  taken.head.prev_ = list.head.prev_;
  taken.head.next_->prev_ = &taken.head;
  taken.head.prev_->next_ = &taken.head;
  list.head.prev_ = list.head.next_ = &list.head;
  while (!taken.empty()) {
    LoopTask* task = taken.head.next_;
    task->cancel();
    task->fn_(task->arg_);
  }
  taken.head.prev_ = taken.head.next_ = nullptr;
}

void EventLoop::account(TimePoint now) {
  auto turn = static_cast<uint64_t>((now - now_).count());
  bump(stats_.busy_ns, turn);
  if (turn > stats_.longest_turn_ns.load(std::memory_order_relaxed)) stats_.longest_turn_ns.store(turn, std::memory_order_relaxed);
  now_ = now;
}

// A loop without signals asks once a turn, and sleeps in that call when there is nothing to do: what has become ready since returns at once.
int EventLoop::wait(TimePoint until) {
  bool pending = !soon_.empty() || !flush_.empty() || inbox_filled_.load(std::memory_order_acquire) ||
                 stop_.load(std::memory_order_relaxed);
  if (reactor_->signals.empty()) {
    auto now = std::chrono::steady_clock::now();
    account(now);
    return sleep(now, pending ? now : std::min(until, timers_.next_wake()));
  }
  int n = epoll_wait(epoll_fd_, events_.get(), kMaxEvents, 0);
  if (n > 0 || pending) {
    if (++reactor_->turns_since_poll >= kReactorPollPeriod) {
      reactor_->turns_since_poll = 0;
      reactor_->context.restart();
      reactor_->context.poll();
    }
    account(std::chrono::steady_clock::now());
    return std::max(n, 0);
  }
  TimePoint wake = std::min(until, timers_.next_wake());
  auto now = std::chrono::steady_clock::now();
  account(now);
  if (wake <= now) return 0;
  return sleep(now, wake);
}

int EventLoop::sleep(TimePoint now, TimePoint wake) {
  int timeout = -1;
  if (!reactor_->signals.empty()) {
    reactor_->turns_since_poll = 0;
    reactor_->watch();
    reactor_->context.restart();
    if (wake == TimePoint::max()) {
      reactor_->context.run_one();
    } else {
      reactor_->context.run_one_until(wake);
    }
    timeout = 0;
  } else if (wake != TimePoint::max()) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(wake - now);
    timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, kLongestSleepMs));
  }
  int n = epoll_wait(epoll_fd_, events_.get(), kMaxEvents, timeout);
  now_ = std::chrono::steady_clock::now();
  return std::max(n, 0);
}

void EventLoop::dispatch(int count) {
  event_count_ = count;
  for (event_at_ = 0; event_at_ < event_count_;) {
    epoll_event& event = events_[event_at_++];
    auto* watch = static_cast<FdWatch*>(event.data.ptr);
    if (watch != nullptr) watch->handler_.on_fd_ready(event.events);
  }
  event_at_ = event_count_ = 0;
  if (count != 0) bump(stats_.events, static_cast<uint64_t>(count));
}

void EventLoop::turn(TimePoint until) {
  int count = wait(until);
  timers_.advance(now_);
  dispatch(count);
  run_posts();
  for (int pass = 0; pass < kTaskPasses && !soon_.empty(); ++pass) run_list(soon_);
  run_list(flush_);
  if (deferred_ != nullptr) delete_deferred();
  bump(stats_.turns, 1);
}

void EventLoop::run() {
  assert(current_loop == nullptr);
  current_loop = this;
  now_ = std::chrono::steady_clock::now();
  while (!stop_.load(std::memory_order_acquire)) turn(TimePoint::max());
  stop_.store(false, std::memory_order_relaxed);
  run_posts();
  delete_deferred();
  current_loop = nullptr;
}

bool EventLoop::run_until(const std::function<bool()>& done, Duration limit) {
  EventLoop* outer = current_loop;
  current_loop = this;
  auto end = std::chrono::steady_clock::now() + limit;
  bool met = done();
  while (!met && std::chrono::steady_clock::now() < end && !stop_.load(std::memory_order_acquire)) {
    turn(end);
    met = done();
  }
  current_loop = outer;
  return met;
}

void EventLoop::stop() {
  stop_.store(true, std::memory_order_release);
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(wake_fd_, &one, sizeof one);
}

void EventLoop::on_signal(int signal_number, std::function<void(int)> callback) {
  reactor_->signals.emplace_back(reactor_->context, signal_number);
  auto& set = reactor_->signals.back();
  struct Again {
    boost::asio::signal_set& set;
    std::function<void(int)> callback;
    void operator()(const boost::system::error_code& error, int number) {
      if (error) return;
      auto keep = callback;
      set.async_wait(std::move(*this));
      keep(number);
    }
  };
  set.async_wait(Again{set, std::move(callback)});
}

}  // namespace fairlead::net
