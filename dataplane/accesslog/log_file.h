// One access-log destination (a path, standard output or standard error) and the thread that writes to it.
// Workers append to a buffer of their own under a lock that only the writer ever contends for; the writer swaps the buffers out
// when one holds 64 KiB, when the interval is over, on flush() and at the end. Memory is bounded: what does not fit is dropped and counted.
// LogFiles owns one LogFile per destination, shared by every logger that names it; it outlives all loggers.
#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace fairlead::accesslog {

class LogFile {
 public:
  struct Options {
    size_t flush_bytes = 64 * 1024;             // Envoy 1.40: AccessLogFileImpl MIN_FLUSH_SIZE, 64 KiB
    std::chrono::milliseconds interval{10000};  // Envoy 1.40: --file-flush-interval-msec 10000
    size_t max_buffered_bytes = 16 << 20;       // per worker; Envoy: unbounded
  };

  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Worker `worker` (0 is the main thread) appends one line, which carries its own newline.
  void write(uint32_t worker, std::string_view line);
  // Blocks until everything written before the call is with the kernel.
  void flush();
  // Closes and opens the path again, for log rotation. What was written before goes to the old file.
  void reopen();

  uint64_t dropped_lines() const { return dropped_.load(std::memory_order_relaxed); }
  uint64_t write_errors() const { return errors_.load(std::memory_order_relaxed); }

 private:
  friend class LogFiles;
  struct Shard {
    std::mutex mutex;
    std::string lines;
  };
  LogFile(std::string path, int fd, uint32_t workers, Options options);
  void run();
  void drain(std::string& scratch);
  void write_all(std::string_view bytes);

  const std::string path_;
  int fd_;
  const Options options_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<uint64_t> dropped_{0}, errors_{0};
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  bool wanted_ = false, reopen_ = false, stop_ = false;
  uint64_t asked_ = 0, answered_ = 0;
  std::thread thread_;
};

class LogFiles {
 public:
  // `workers` counts the main thread too.
  explicit LogFiles(uint32_t workers, LogFile::Options options = {}) : workers_(workers), options_(options) {}

  // "/dev/stdout" and "/dev/stderr" use the process's own descriptors and are flushed every second. Any thread.
  // Errors: the path cannot be opened for appending.
  absl::StatusOr<std::shared_ptr<LogFile>> open(const std::string& path);
  void flush_all();
  void reopen_all();

 private:
  std::vector<std::shared_ptr<LogFile>> live();
  const uint32_t workers_;
  const LogFile::Options options_;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<LogFile>> files_;
};

}  // namespace fairlead::accesslog
