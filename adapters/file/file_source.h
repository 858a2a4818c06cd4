// The source `file:PATH`: a FileLoader driven by inotify on a thread of its own. Every change of the tree ends as
// one SourceUpdate handed to the callback on that thread, some 10 ms after the last event of a burst. Falls back
// to polling when inotify's limits are reached, and says so. Invariant: updates arrive in order, never two at once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "adapters/file/file_tree.h"
#include "adapters/object/store.h"

namespace fairlead::adapters {

struct FileSourceOptions {
  FileLimits limits;
  // A burst of events is over when none came for `quiet`, or `quiet_at_most` after its first.
  std::chrono::milliseconds quiet{6};
  std::chrono::milliseconds quiet_at_most{100};
  // A path that came back after it was gone is often filled file by file: wait longer before believing it.
  std::chrono::milliseconds quiet_after_loss{60};
  // A file open for writing is read when its writer closes it, or this long after its last write.
  std::chrono::milliseconds writer_patience{500};
  std::chrono::milliseconds poll_interval{1000};  // only without inotify
};

class FileSource {
 public:
  using Callback = std::function<void(SourceUpdate)>;

  FileSource(std::string path, FileSourceOptions options, Callback callback);
  ~FileSource();  // stops
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  // Starts the thread. The first update comes at once, also when there is nothing to read (it then carries `lost`).
  absl::Status start();
  void stop();  // no callback runs after it returns; not to be called from the callback
  const std::string& name() const { return name_; }

 private:
  class Watcher;
  class Loop;

  const std::string path_;
  const std::string name_;
  const FileSourceOptions options_;
  const Callback callback_;
  int wake_fd_ = -1;
  std::thread thread_;
};

// "file:PATH" -> PATH; InvalidArgument for anything else.
absl::StatusOr<std::string> file_source_path(std::string_view source);

}  // namespace fairlead::adapters
