// One event loop on one thread: readiness of descriptors, timers, posts from other threads, and an end-of-turn flush.
// A turn: wait, dispatch ready descriptors (at most 256), posts, timers, run_soon tasks, then every task of the flush list
// once (one writev per connection), then deferred deletes. The main thread runs an EventLoop; a Worker is a thread around one.
// Everything except post() and stop() is called on the loop's thread.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dataplane/net/timer.h"

namespace fairlead::net {

class EventLoop;

// An intrusive job. Queued at most once; destroying it takes it off its list.
class LoopTask {
 public:
  using Fn = void (*)(void*);
  LoopTask(Fn fn, void* arg) : fn_(fn), arg_(arg) {}
  // LoopTask::of<&Connection::flush>(this)
  template <auto Method, class T>
  static LoopTask of(T* object) {
    return LoopTask([](void* p) { (static_cast<T*>(p)->*Method)(); }, object);
  }
  ~LoopTask() { cancel(); }
  LoopTask(const LoopTask&) = delete;
  LoopTask& operator=(const LoopTask&) = delete;
  bool queued() const { return prev_ != nullptr; }
  void cancel();

 private:
  friend class EventLoop;
  LoopTask() = default;  // list heads
  Fn fn_ = nullptr;
  void* arg_ = nullptr;
  LoopTask* prev_ = nullptr;
  LoopTask* next_ = nullptr;
};

// What may be deleted at the end of the turn instead of under its callers' feet.
class Deferred {
 public:
  virtual ~Deferred() = default;

 private:
  friend class EventLoop;
  Deferred* next_deferred_ = nullptr;
};

// Deleter: at the end of the current turn on a loop's thread, at once elsewhere.
struct DeferredDelete {
  void operator()(Deferred* object) const;
};
template <class T>
using DeferredPtr = std::unique_ptr<T, DeferredDelete>;

class FdHandler {
 public:
  virtual ~FdHandler() = default;
  virtual void on_fd_ready(uint32_t epoll_events) = 0;
};

// Registration of one non-blocking descriptor; the descriptor stays the caller's. Edge-triggered by default:
// after a notice the handler reads until a short read or EAGAIN, writes until EAGAIN.
class FdWatch {
 public:
  static constexpr uint32_t kEdge = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  FdWatch(EventLoop& loop, FdHandler& handler) : loop_(loop), handler_(handler) {}
  ~FdWatch() { remove(); }
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;
  void add(int fd, uint32_t events = kEdge);
  void modify(uint32_t events);
  void remove();  // pending notices of this turn are dropped too. Call before closing the descriptor
  int fd() const { return fd_; }

 private:
  friend class EventLoop;
  EventLoop& loop_;
  FdHandler& handler_;
  int fd_ = -1;
};

// Written by the loop's thread once a turn, readable from any.
struct LoopStats {
  std::atomic<uint64_t> turns{0};
  std::atomic<uint64_t> events{0};
  std::atomic<uint64_t> posts{0};
  std::atomic<uint64_t> busy_ns{0};         // time not spent waiting
  std::atomic<uint64_t> longest_turn_ns{0};
};

class EventLoop {
 public:
  explicit EventLoop(std::string name = "main");
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void run();   // until stop(); deferred deletes are done before it returns
  void stop();  // any thread; the current turn ends first
  // Runs turns until `done()` holds or `limit` has passed; returns done(). For tests and start-up waits.
  bool run_until(const std::function<bool()>& done, Duration limit);

  void post(std::function<void()> job);  // any thread; one wake-up per burst
  bool on_loop_thread() const;
  static EventLoop* current();  // the loop running on this thread, or null

  TimePoint now() const { return now_; }  // as of the start of this turn
  // As of the first look in this turn: one reading serves all who ask in it.
  std::chrono::system_clock::time_point wall_now() const {
    if (wall_turn_ != now_) {
      wall_turn_ = now_;
      wall_ = std::chrono::system_clock::now();
    }
    return wall_;
  }
  TimerWheel& timers() { return timers_; }
  const std::string& name() const { return name_; }
  const LoopStats& stats() const { return stats_; }

  void run_soon(LoopTask& task);     // this turn or the next, before the flush
  void run_at_flush(LoopTask& task); // at the end of this turn
  void delete_later(Deferred* object);

  // Calls `callback` on the loop for each arrival. Main loop only (one handler per process and signal).
  void on_signal(int signal_number, std::function<void(int)> callback);

 private:
  friend class FdWatch;
  struct Reactor;  // io_context and what it watches (event_loop.cc)
  struct List {
    List();
    bool empty() const { return head.next_ == &head; }
    LoopTask head;
  };

  void turn(TimePoint until);
  int wait(TimePoint until);
  int sleep(TimePoint now, TimePoint wake);
  void account(TimePoint now);
  void dispatch(int count);
  void run_posts();
  void run_list(List& list);
  void delete_deferred();
  static void link(List& list, LoopTask& task);

  static constexpr int kMaxEvents = 256;
  std::string name_;
  TimePoint now_;
  mutable TimePoint wall_turn_{};
  mutable std::chrono::system_clock::time_point wall_{};
  TimerWheel timers_;
  List soon_;
  List flush_;
  Deferred* deferred_ = nullptr;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  int event_at_ = 0;  // position in the batch being dispatched
  int event_count_ = 0;
  std::unique_ptr<epoll_event[]> events_;
  std::unique_ptr<Reactor> reactor_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> inbox_filled_{false};
  std::mutex inbox_mutex_;
  std::vector<std::function<void()>> inbox_;
  LoopStats stats_;
};

}  // namespace fairlead::net
