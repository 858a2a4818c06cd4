// See stall_watch.h.
//
// How a stack is taken: the thread is sent SIGURG, whose handler unwinds it into a record that the sender has made. backtrace() allocates and locks
// only when it is first called, which is done beforehand, and finds unwind tables without a lock (glibc 2.35 and later). SIGURG is ignored by default,
// so that one that comes late does no harm, and system calls it interrupts go on.
#include "dataplane/server/stall_watch.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <random>

#include "absl/debugging/symbolize.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/doc.h"
#include "base/log.h"

namespace fairlead::server {

using std::chrono::milliseconds;

namespace {

constexpr int kMaxFrames = 64;
constexpr size_t kKept = 32;
constexpr milliseconds kPatience{200};         // of the watch, for a stack
constexpr milliseconds kOversleep{200};
constexpr std::chrono::seconds kBetweenLogs{10};
constexpr auto kSignal = SIGURG;

struct Capture {
  void* frames[kMaxFrames];
  int count = 0;
  std::atomic<bool> taken{false};
};

// Of threads that had not answered in time: they write there when they do, so each is kept until then. Never destroyed, for the same reason.
class Late {
 public:
  void keep(std::unique_ptr<Capture> capture) {
    std::lock_guard lock(mutex_);
    std::erase_if(captures_, [](const auto& each) { return each->taken.load(std::memory_order_acquire); });
    captures_.push_back(std::move(capture));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Capture>> captures_;
};
Late& late = *new Late;

// A signal hands nothing over as far as the memory model knows: who asks counts here once the record is made, who answers looks here first.
std::atomic<uint64_t> asked{0};

void on_signal(int, siginfo_t* info, void*) {
  const int kept_errno = errno;
  if (info->si_code == SI_QUEUE && info->si_value.sival_ptr != nullptr && asked.load(std::memory_order_acquire) > 0) {
    auto* capture = static_cast<Capture*>(info->si_value.sival_ptr);
    capture->count = backtrace(capture->frames, kMaxFrames);
    capture->taken.store(true, std::memory_order_release);
  }
  errno = kept_errno;
}

void prepare_to_capture() {
  static const bool done = [] {
    void* frame;
    backtrace(&frame, 1);  // loads the unwinder
    absl::InitializeSymbolizer("/proc/self/exe");
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(kSignal, &action, nullptr);
    return true;
  }();
  static_cast<void>(done);
}

std::string describe(void* address) {
  char name[512];
  // the frame's address is the one to return to: the call is before it
  const auto* call = static_cast<const char*>(address) - 1;
  const std::string where = absl::StrCat(absl::Hex(reinterpret_cast<uintptr_t>(address), absl::kZeroPad12), " ");
  if (absl::Symbolize(call, name, sizeof name)) return where + name;
  Dl_info object;
  if (dladdr(call, &object) == 0 || object.dli_fname == nullptr) return where + "?";
  return absl::StrCat(where, object.dli_fname, "+", absl::Hex(reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(object.dli_fbase)));
}

milliseconds rounded(std::chrono::steady_clock::duration d) { return std::chrono::duration_cast<milliseconds>(d); }

}  // namespace

std::vector<std::string> StallWatch::stack_of(pthread_t thread, milliseconds patience) {
  prepare_to_capture();
  auto capture = std::make_unique<Capture>();
  sigval value;
  value.sival_ptr = capture.get();
  asked.fetch_add(1, std::memory_order_release);
  if (pthread_sigqueue(thread, kSignal, value) != 0) return {};
  const auto end = Clock::now() + patience;
  while (!capture->taken.load(std::memory_order_acquire)) {
    if (Clock::now() > end) {
      late.keep(std::move(capture));
      return {};
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  constexpr int kOwnFrames = 2;  // the handler, and the frame of the signal
  std::vector<std::string> out;
  for (int i = std::min(kOwnFrames, capture->count); i < capture->count; ++i) out.push_back(describe(capture->frames[i]));
  return out;
}

StallWatch::~StallWatch() { stop(); }

void StallWatch::watch(std::string name, net::EventLoop& loop, const config::WatchdogConfig& limits) {
  Watched watched{.name = std::move(name), .loop = &loop, .limits = limits, .kill = limits.kill, .thread = std::make_shared<std::atomic<pthread_t>>(pthread_t{0}), .seen = Clock::now()};
  if (limits.kill.count() > 0 && limits.max_kill_jitter.count() > 0)
    watched.kill += milliseconds(static_cast<int64_t>(std::random_device{}()) % (limits.max_kill_jitter.count() + 1));
  for (const milliseconds limit : {limits.miss, limits.megamiss, limits.kill, limits.multikill})
    if (limit.count() > 0) interval_ = std::clamp(limit / 2, milliseconds(1), interval_);
  watched_.push_back(std::move(watched));
}

void StallWatch::start() {
  prepare_to_capture();
  for (Watched& watched : watched_) {
    watched.seen = Clock::now();
    watched.loop->post([thread = watched.thread] { thread->store(pthread_self(), std::memory_order_release); });
  }
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "watchdog");
    run();
  });
}

void StallWatch::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void StallWatch::run() {
  std::unique_lock lock(mutex_);
  for (Clock::time_point before = Clock::now(); !wake_.wait_for(lock, interval_, [this] { return stop_; }); before = Clock::now()) {
    lock.unlock();
    const Clock::time_point now = Clock::now();
    // A machine that was suspended, or that did not let this thread run either, says nothing about the others.
    if (now - before > interval_ + kOversleep)
      for (Watched& watched : watched_) watched.seen = std::max(watched.seen, now - interval_);
    look(now);
    lock.lock();
  }
}

void StallWatch::look(Clock::time_point now) {
  for (Watched& watched : watched_) look_at(watched, now);
  end_process_if_due(now);
}

void StallWatch::look_at(Watched& watched, Clock::time_point now) {
  const uint64_t turns = watched.loop->stats().turns.load(std::memory_order_relaxed);
  if (turns != watched.turns) {
    watched.turns = turns;
    if (watched.missed) note_over(watched, now);
    watched.seen = now;
    watched.asked = watched.missed = watched.mega_missed = false;
    return;
  }
  if (!watched.asked) ask(watched);
  const milliseconds away = rounded(now - watched.seen);
  if (!watched.missed && away > watched.limits.miss) {
    watched.missed = true;
    note(watched, away);
  }
  if (!watched.mega_missed && away > watched.limits.megamiss) {
    watched.mega_missed = true;
    std::lock_guard lock(mutex_);
    ++watched.counts.mega_misses;
    FL_LOG(warning, "main", "thread ", watched.name, " has not come back to its event loop for ", away.count(), " ms");
  }
}

void StallWatch::ask(Watched& watched) {
  watched.asked = true;
  watched.loop->post([] {});
}

void StallWatch::note(Watched& watched, milliseconds away) {
  Stall stall{.thread = watched.name, .began = std::chrono::system_clock::now() - away, .lasted = away};
  if (const pthread_t thread = watched.thread->load(std::memory_order_acquire); thread != pthread_t{0}) stall.frames = stack_of(thread, kPatience);
  if (Clock::now() >= next_log_) {  // a busy machine has many: /stalls has them
    next_log_ = Clock::now() + kBetweenLogs;
    FL_LOG(warning, "main", "thread ", watched.name, " has not come back to its event loop for ", away.count(), " ms; it is at\n  ", absl::StrJoin(stall.frames, "\n  "));
  }
  std::lock_guard lock(mutex_);
  ++watched.counts.misses;
  if (stalls_.size() == kKept) stalls_.erase(stalls_.begin());
  stalls_.push_back(std::move(stall));
}

void StallWatch::note_over(Watched& watched, Clock::time_point now) {
  std::lock_guard lock(mutex_);
  for (auto it = stalls_.rbegin(); it != stalls_.rend(); ++it) {
    if (it->thread != watched.name || it->over) continue;
    it->over = true;
    it->lasted = rounded(now - watched.seen);
    return;
  }
}

void StallWatch::end_process_if_due(Clock::time_point now) const {
  size_t away_long = 0, among = 0, most = SIZE_MAX;
  for (const Watched& watched : watched_) {
    const milliseconds away = rounded(now - watched.seen);
    if (watched.kill.count() > 0 && away > watched.kill) {
      FL_LOG(critical, "main", "watchdog: thread ", watched.name, " has been away for more than its kill_timeout");
      log::flush();
      std::abort();
    }
    if (watched.limits.multikill.count() == 0) continue;
    ++among;
    if (away > watched.limits.multikill) ++away_long;
    most = std::min<size_t>(most, static_cast<size_t>(std::ceil(watched.limits.multikill_percent / 100 * static_cast<double>(watched_.size()))));
  }
  if (among == 0 || away_long < std::max<size_t>(2, most)) return;  // Envoy 1.40: two at least
  FL_LOG(critical, "main", "watchdog: ", away_long, " threads have been away for more than multikill_timeout");
  log::flush();
  std::abort();
}

std::vector<StallWatch::Stall> StallWatch::recent() const {
  std::lock_guard lock(mutex_);
  return {stalls_.rbegin(), stalls_.rend()};
}

StallWatch::Counts StallWatch::counts(size_t watched) const {
  std::lock_guard lock(mutex_);
  return watched_[watched].counts;
}

std::string StallWatch::to_json() const {
  std::vector<doc::Value> threads, stalls;
  for (size_t i = 0; i < watched_.size(); ++i) {
    const Counts now = counts(i);
    threads.push_back(doc::map({{"name", doc::string(watched_[i].name), {}},
                                {"misses", doc::integer(static_cast<int64_t>(now.misses)), {}},
                                {"mega_misses", doc::integer(static_cast<int64_t>(now.mega_misses)), {}},
                                {"longest_turn_ms", doc::integer(static_cast<int64_t>(watched_[i].loop->stats().longest_turn_ns.load(std::memory_order_relaxed) / 1'000'000)), {}}}));
  }
  for (const Stall& stall : recent()) {
    std::vector<doc::Value> frames;
    for (const std::string& frame : stall.frames) frames.push_back(doc::string(frame));
    stalls.push_back(doc::map({{"thread", doc::string(stall.thread), {}},
                               {"began", doc::string(absl::FormatTime(absl::RFC3339_full, absl::FromChrono(stall.began), absl::UTCTimeZone())), {}},
                               {"lasted_ms", doc::integer(stall.lasted.count()), {}},
                               {"over", doc::boolean(stall.over), {}},
                               {"stack", doc::list(std::move(frames)), {}}}));
  }
  return doc::to_json(doc::map({{"threads", doc::list(std::move(threads)), {}}, {"stalls", doc::list(std::move(stalls)), {}}}), true) + "\n";
}

}  // namespace fairlead::server
