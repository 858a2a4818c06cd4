// The watching thread: inotify events become "dirty", quiet becomes load(). See file_source.h.
#include "adapters/file/file_source.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/file/file_loader.h"
#include "base/clock.h"
#include "base/log.h"

namespace fairlead::adapters {

namespace {

using std::chrono::milliseconds;

constexpr uint32_t kNames = IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB;
constexpr uint32_t kContent = IN_MODIFY | IN_CLOSE_WRITE;
constexpr int kMaxWatchRounds = 8;  // a tree that grows while it is being watched
constexpr milliseconds kRetryUnstable{10};

MonotonicTime now() { return RealClock::instance().monotonic(); }

}  // namespace

// The inotify descriptor and what its watches stand for.
class FileSource::Watcher {
 public:
  struct Events {
    std::set<std::string> touched;        // files at which something happened that load() would see
    bool elsewhere = false;               // or it is not known where
    std::set<std::string> being_written;  // open and not yet closed, as far as events tell
    std::set<std::string> closed;
    bool overflow = false;
    bool changed() const { return elsewhere || !touched.empty(); }
  };

  explicit Watcher(size_t max_watches) : max_watches_(max_watches) {}
  ~Watcher() { shut(); }

  int fd() const { return fd_; }
  // Why there are no (or not all) watches; empty when all is well.
  const std::string& failure() const { return failure_; }

  // Makes the watches those of `wanted`. True when some are new: what happened there before is not known.
  bool sync(const WatchList& wanted) {
    failure_.clear();
    if (fd_ < 0) fd_ = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd_ < 0) return fail(absl::StrCat("inotify_init1: ", strerror(errno)));
    if (wanted.size() > max_watches_) {
      return fail(absl::StrCat(wanted.size(), " directories to watch, at most ", max_watches_, " allowed"));
    }
    std::map<int, std::vector<std::pair<std::string, WatchedNames>>> next;
    bool fresh = false;
    for (const auto& [directory, names] : wanted) {
      const int wd = inotify_add_watch(fd_, directory.c_str(), kNames | (names.content ? kContent : 0) | IN_ONLYDIR | IN_MASK_ADD);
      if (wd < 0) {
        // EACCES: a directory on the way that may be passed but not read. Gone ones show in their parent.
        if (errno == ENOSPC || errno == ENOMEM) return fail(absl::StrCat("inotify_add_watch: ", strerror(errno)));
        continue;
      }
      fresh = fresh || !watches_.contains(wd);
      next[wd].emplace_back(directory, names);
    }
    for (const auto& [wd, old] : watches_) {
      if (!next.contains(wd)) inotify_rm_watch(fd_, wd);
    }
    watches_ = std::move(next);
    return fresh;
  }

  Events drain() {
    Events events;
    alignas(inotify_event) char buffer[16384];
    for (;;) {
      const ssize_t n = read(fd_, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return events;
      for (ssize_t at = 0; at < n;) {
        const auto* e = reinterpret_cast<const inotify_event*>(buffer + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + e->len);
        take(*e, events);
      }
    }
  }

 private:
  bool fail(std::string why) {
    failure_ = std::move(why);
    shut();
    return false;
  }
  void shut() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    watches_.clear();
  }

  void take(const inotify_event& e, Events& events) {
    if (e.mask & IN_Q_OVERFLOW) {
      events.elsewhere = events.overflow = true;
      return;
    }
    auto watch = watches_.find(e.wd);
    if (watch == watches_.end()) return;
    if (e.mask & IN_IGNORED) {  // the kernel dropped it with its directory; the number is never used again
      watches_.erase(watch);
      events.elsewhere = true;
      return;
    }
    const std::string_view name(e.len > 0 ? e.name : "");
    for (const auto& [directory, names] : watch->second) {
      if (!names.covers(name)) continue;
      const std::string path = absl::StrCat(directory == "/" ? "" : directory, "/", name);
      if (e.mask & IN_CLOSE_WRITE) {
        events.being_written.erase(path);
        events.closed.insert(path);
        events.touched.insert(path);
      } else if (e.mask & IN_MODIFY) {
        events.being_written.insert(path);
      } else if ((e.mask & IN_CREATE) && begins_a_write(path)) {
        events.being_written.insert(path);
      } else if (name.empty()) {
        events.elsewhere = true;
      } else {
        events.touched.insert(path);
      }
    }
  }

  // A file made by open() is filled and closed afterwards; a link or a directory is complete at once.
  static bool begins_a_write(const std::string& path) {
    struct stat st;
    return lstat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
  }

  const size_t max_watches_;
  int fd_ = -1;
  std::string failure_;
  std::map<int, std::vector<std::pair<std::string, WatchedNames>>> watches_;
};

// One run of the thread: what is pending, what was last said.
class FileSource::Loop {
 public:
  Loop(FileSource& source) : source_(source), options_(source.options_), loader_(source.path_, source.options_.limits),
                             watcher_(source.options_.limits.max_watches) {}

  void run() {
    reload();
    while (wait()) {
      if (due()) reload();
    }
  }

 private:
  using Time = MonotonicTime;

  // Waits for events, the stop signal or the next deadline. False: stop.
  bool wait() {
    pollfd fds[2] = {{source_.wake_fd_, POLLIN, 0}, {watcher_.fd(), POLLIN, 0}};
    if (poll(fds, 2, timeout_ms()) < 0 && errno != EINTR) {
      FL_LOG(error, "source", source_.name_, ": poll: ", strerror(errno));
      return false;
    }
    if (fds[0].revents != 0) return false;
    if (watcher_.fd() >= 0 && fds[1].revents != 0) take(watcher_.drain());
    return true;
  }

  void take(Watcher::Events events) {
    const Time at = now();
    if (events.overflow) writers_.clear();
    for (const std::string& path : events.closed) writers_.erase(path);
    for (const std::string& path : events.being_written) writers_[path] = at;
    if (events.changed()) {
      if (!first_event_) first_event_ = at;
      last_event_ = at;
    }
    touched_.merge(events.touched);
    elsewhere_ = elsewhere_ || events.elsewhere;
  }

  std::optional<Time> deadline() const {
    std::optional<Time> next;
    auto sooner = [&](Time t) { next = next ? std::min(*next, t) : t; };
    if (first_event_) {
      const bool was_lost = loader_.lost();
      const milliseconds quiet = was_lost ? options_.quiet_after_loss : options_.quiet;
      const milliseconds at_most = was_lost ? std::max(options_.quiet_at_most, 4 * quiet) : options_.quiet_at_most;
      sooner(std::min(last_event_ + quiet, *first_event_ + at_most));
    }
    for (const auto& [path, since] : writers_) sooner(since + options_.writer_patience);
    if (retry_) sooner(*retry_);
    if (watcher_.fd() < 0) sooner(last_load_ + options_.poll_interval);
    return next;
  }

  int timeout_ms() const {
    const std::optional<Time> next = deadline();
    if (!next) return -1;
    const auto left = std::chrono::ceil<milliseconds>(*next - now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
  }

  bool due() {
    const std::optional<Time> next = deadline();
    return next && now() >= *next;
  }

  void reload() {
    const Time at = now();
    std::erase_if(writers_, [&](const auto& w) {
      const bool waited_for = w.second + options_.writer_patience <= at;
      if (waited_for) touched_.insert(w.first);
      return waited_for;
    });
    first_event_.reset();
    retry_.reset();
    std::set<std::string> busy;
    for (const auto& [path, since] : writers_) busy.insert(path);

    SourceUpdate update = look(busy);
    report_watching(update);
    if (loader_.unstable()) retry_ = now() + kRetryUnstable;
    last_load_ = now();
    const bool news = !told_ || !update.upserted.empty() || !update.removed.empty() || update.lost != lost_ ||
                      update.diagnostics != diagnostics_;
    if (!news) return;
    told_ = true;
    lost_ = update.lost;
    diagnostics_ = update.diagnostics;
    source_.callback_(std::move(update));
  }

  // At what was touched since the last time; at all there is where that is not known, or says too little.
  SourceUpdate look(const std::set<std::string>& busy) {
    const std::set<std::string> touched = std::exchange(touched_, {});
    const bool known = !std::exchange(elsewhere_, false) && watcher_.fd() >= 0;
    if (known) {
      if (std::optional<SourceUpdate> update = loader_.load_only(touched, busy)) return *std::move(update);
    }
    SourceUpdate update = loader_.load(busy);
    for (int round = 0; round < kMaxWatchRounds && watcher_.sync(loader_.watch()); ++round) {
      merge(update, loader_.load(busy));
    }
    return update;
  }

  // Two loads in a row as one update.
  static void merge(SourceUpdate& into, SourceUpdate later) {
    std::map<ObjectKey, ObjectPtr> upserted;
    std::set<ObjectKey> removed(into.removed.begin(), into.removed.end());
    for (ObjectPtr& o : into.upserted) upserted[o->key] = std::move(o);
    for (const ObjectKey& key : later.removed) {
      upserted.erase(key);
      removed.insert(key);
    }
    for (ObjectPtr& o : later.upserted) {
      removed.erase(o->key);
      upserted[o->key] = std::move(o);
    }
    later.upserted.clear();
    for (auto& [key, object] : upserted) later.upserted.push_back(std::move(object));
    later.removed.assign(removed.begin(), removed.end());
    into = std::move(later);
  }

  void report_watching(SourceUpdate& update) {
    const bool polling = watcher_.fd() < 0;
    if (polling) {
      const std::string text = absl::StrCat("cannot be watched (", watcher_.failure(), "); looked at every ",
                                            options_.poll_interval.count(), " ms instead");
      if (!polling_) FL_LOG(error, "source", source_.name_, ": ", text);
      update.diagnostics.push_back(Diagnostic{Severity::kWarning, {}, source_.path_, 0, "", text});
    } else if (polling_) {
      FL_LOG(info, "source", source_.name_, ": is watched again");
    }
    polling_ = polling;
  }

  FileSource& source_;
  const FileSourceOptions& options_;
  FileLoader loader_;
  Watcher watcher_;
  std::optional<Time> first_event_;  // of the burst going on
  Time last_event_{};
  std::optional<Time> retry_;
  Time last_load_{};
  std::set<std::string> touched_;        // files that something happened to since the last load
  bool elsewhere_ = true;                // or that is not known
  std::map<std::string, Time> writers_;  // files open for writing, with their last write
  bool told_ = false;
  bool polling_ = false;
  std::string lost_;
  std::vector<Diagnostic> diagnostics_;
};

FileSource::FileSource(std::string path, FileSourceOptions options, Callback callback)
    : path_(std::move(path)), name_(absl::StrCat("file:", path_)), options_(std::move(options)), callback_(std::move(callback)) {}

FileSource::~FileSource() { stop(); }

absl::Status FileSource::start() {
  if (thread_.joinable()) return absl::FailedPreconditionError(absl::StrCat(name_, ": is running already"));
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) return absl::ResourceExhaustedError(absl::StrCat(name_, ": eventfd: ", strerror(errno)));
  thread_ = std::thread([this] { Loop(*this).run(); });
  return absl::OkStatus();
}

void FileSource::stop() {
  if (!thread_.joinable()) return;
  eventfd_write(wake_fd_, 1);
  thread_.join();
  close(wake_fd_);
  wake_fd_ = -1;
}

absl::StatusOr<std::string> file_source_path(std::string_view source) {
  constexpr std::string_view kScheme = "file:";
  if (!absl::StartsWith(source, kScheme) || source.size() == kScheme.size()) {
    return absl::InvalidArgumentError(absl::StrCat("source \"", source, "\": expected file:PATH"));
  }
  return std::string(source.substr(kScheme.size()));
}

}  // namespace fairlead::adapters
