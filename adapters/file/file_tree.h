// Lists the files of a source path and the directories whose change would change that list. Pure file-system
// reading, no state; used by the source's thread and by the offline commands. Hidden names are skipped, so a
// ConfigMap volume (files -> ..data -> ..2026_…) is read through its visible links only.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/object/object.h"

struct stat;

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
  static FileStamp of(const struct stat& st);
  bool operator==(const FileStamp&) const = default;
};

// What matters of the events of one directory.
struct WatchedNames {
  bool all_visible = false;         // every name that does not begin with a dot
  bool content = false;             // writes into the files too, not only names that come and go
  std::set<std::string> names;      // these, hidden or not
  bool covers(std::string_view name) const;
};
// By the directory's path as reached. Two paths may be one directory.
using WatchList = std::map<std::string, WatchedNames>;

struct FileTree {
  std::map<std::string, FileStamp> files;  // .yaml, .yml and .json, in path order; paths begin with the source's
  std::vector<std::string> unread;         // path prefixes about which nothing could be learnt this time
  std::vector<Diagnostic> diagnostics;     // unreadable directories, links in a circle, limits
};

// By its name: .yaml, .yml or .json.
bool is_configuration_file(std::string_view name);

// NotFound when nothing is at `path`. `watch` is filled in any case: while the path is gone, with the directories
// in which it would come back.
absl::StatusOr<FileTree> list_files(const std::string& path, const FileLimits& limits, WatchList& watch);

}  // namespace fairlead::adapters
