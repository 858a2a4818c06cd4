// The writer thread and the buffers of an access-log destination; see log_file.h.
#include "dataplane/accesslog/log_file.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace fairlead::accesslog {
namespace {

int open_for_append(const std::string& path) { return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644); }

}  // namespace

LogFile::LogFile(std::string path, int fd, uint32_t workers, Options options) : path_(std::move(path)), fd_(fd), options_(options) {
  for (uint32_t i = 0; i < workers; ++i) shards_.push_back(std::make_unique<Shard>());
  thread_ = std::thread([this] { run(); });
}

LogFile::~LogFile() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

void LogFile::write(uint32_t worker, std::string_view line) {
  Shard& shard = *shards_[worker];
  bool full;
  {
    std::lock_guard lock(shard.mutex);
    if (shard.lines.size() + line.size() > options_.max_buffered_bytes) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    const size_t before = shard.lines.size();
    shard.lines.append(line);
    full = before < options_.flush_bytes && shard.lines.size() >= options_.flush_bytes;
  }
  if (full) {
    {
      std::lock_guard lock(mutex_);
      wanted_ = true;
    }
    wake_.notify_one();
  }
}

void LogFile::flush() {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = ++asked_;
  wake_.notify_one();
  done_.wait(lock, [&] { return answered_ >= ticket; });
}

void LogFile::reopen() {
  std::unique_lock lock(mutex_);
  reopen_ = true;
  const uint64_t ticket = ++asked_;
  wake_.notify_one();
  done_.wait(lock, [&] { return answered_ >= ticket; });
}

void LogFile::run() {
  std::string scratch;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, options_.interval, [this] { return wanted_ || stop_ || asked_ != answered_; });
    const bool stop = stop_, reopen = std::exchange(reopen_, false);
    const uint64_t ticket = asked_;
    wanted_ = false;
    lock.unlock();
    drain(scratch);
    if (reopen && fd_ > STDERR_FILENO) {
      const int fresh = open_for_append(path_);
      if (fresh >= 0) {
        ::close(fd_);
        fd_ = fresh;
      } else {
        errors_.fetch_add(1, std::memory_order_relaxed);
      }
    }
    lock.lock();
    answered_ = ticket;
    done_.notify_all();
    if (stop) return;
  }
}

void LogFile::drain(std::string& scratch) {
  for (const auto& shard : shards_) {
    scratch.clear();
    {
      std::lock_guard lock(shard->mutex);
      scratch.swap(shard->lines);
    }
    write_all(scratch);
  }
}

void LogFile::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(n);
    } else if (n < 0 && errno != EINTR) {
      errors_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
  }
}

absl::StatusOr<std::shared_ptr<LogFile>> LogFiles::open(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (auto known = files_[path].lock()) return known;
  LogFile::Options options = options_;
  int fd;
  if (path == "/dev/stdout" || path == "/dev/stderr") {
    fd = path == "/dev/stdout" ? STDOUT_FILENO : STDERR_FILENO;
    options.interval = std::min(options.interval, std::chrono::milliseconds(1000));
  } else {
    fd = open_for_append(path);
    if (fd < 0) return absl::InvalidArgumentError(absl::StrCat("cannot open log '", path, "': ", std::strerror(errno)));
  }
  std::shared_ptr<LogFile> file(new LogFile(path, fd, workers_, options));
  files_[path] = file;
  return file;
}

std::vector<std::shared_ptr<LogFile>> LogFiles::live() {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<LogFile>> out;
  for (const auto& [path, file] : files_) {
    if (auto f = file.lock()) out.push_back(std::move(f));
  }
  return out;
}

void LogFiles::flush_all() {
  for (const auto& file : live()) file->flush();
}

void LogFiles::reopen_all() {
  for (const auto& file : live()) file->reopen();
}

}  // namespace fairlead::accesslog
