// Files that secrets of connections are appended to, for Wireshark and its like. One open file a path; any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include <absl/status/statusor.h>

namespace fairlead::tls {

class KeyLogFile {
 public:
  static absl::StatusOr<std::shared_ptr<KeyLogFile>> open(const std::string& path);
  ~KeyLogFile();
  void append(const char* line);

 private:
  explicit KeyLogFile(int fd) : fd_(fd) {}
  std::mutex mutex_;
  int fd_;
};

}  // namespace fairlead::tls
