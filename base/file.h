// Whole files: read with a limit, replace atomically, and a temporary directory for tests.
// Blocking calls: main thread, start-up or helper threads only, never a worker. Every error names the path.
// Invariant: a reader of a file written by replace_file sees the old or the new content, never a part, also after a crash.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fairlead {

// 256 MiB: far above any real configuration, far below what would hurt.
inline constexpr std::size_t default_file_limit = std::size_t{256} << 20;

// The whole content. NotFound, PermissionDenied, ResourceExhausted (over the limit), FailedPrecondition (a directory).
// Pipes and /dev/stdin work.
absl::StatusOr<std::string> read_file(const std::string& path, std::size_t limit = default_file_limit);

// Writes a temporary file beside `path`, fsyncs it, renames it over `path` and fsyncs the directory.
absl::Status replace_file(const std::string& path, std::string_view content, int mode = 0644);

// mkdir -p; fine when it already is there.
absl::Status make_directories(const std::string& path);

// A fresh directory under $TMPDIR (or /tmp), removed with all it holds at destruction. For tests; aborts when it cannot be made.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string path(std::string_view name) const;                              // path()/name
  std::string write(std::string_view name, std::string_view content) const;   // makes parent directories; returns the path

 private:
  std::string path_;
};

}  // namespace fairlead
