// Lists the files of a source path and the directories whose change would change that list. Pure file-system
// reading, no state; used by the source's thread and by the offline commands. Hidden names are skipped, so a
// ConfigMap volume (files -> ..data -> ..2026_…) is read through its visible links only.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/object/object.h"

namespace fairlead::adapters {

struct FileLimits {
  size_t max_file_bytes = 16u << 20;    // one file; a bigger one is an error, its last good objects stay
  size_t max_total_bytes = 256u << 20;  // all files of a source together
  size_t max_files = 20000;
  int max_directory_depth = 32;
  int max_document_depth = 64;          // nesting of mappings and lists; Kubernetes objects stay below 20
  size_t max_document_nodes = 1000000;  // counts what aliases expand to: an alias bomb ends here
  size_t max_watches = 8192;            // inotify watches of this source; beyond it the source polls
};

// What tells one version of a file from the next without reading it.
struct FileStamp {
  dev_t dev = 0;
  ino_t ino = 0;
  off_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

struct FileTree {
  std::map<std::string, FileStamp> files;  // by path below the source path, in path order
  // Directories to watch, by path as reached. The value lists the only names of interest inside it; empty: all.
  std::map<std::string, std::vector<std::string>> watch;
  std::vector<Diagnostic> diagnostics;  // unreadable directories, symlink loops, limits
};

// NotFound when the path does not exist (`watch_out` then holds the nearest ancestors to wait at).
absl::StatusOr<FileTree> list_files(const std::string& path, const FileLimits& limits,
                                    std::map<std::string, std::vector<std::string>>& watch_out);

}  // namespace fairlead::adapters
