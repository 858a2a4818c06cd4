// Turns a path into objects, again and again: each load() looks at what changed since the last one, reads those
// files and reports the difference as a SourceUpdate. Remembers the good objects of every file, so that a broken
// document costs only itself. One thread at a time; no watching here, see file_source.h.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "adapters/file/file_tree.h"
#include "adapters/object/store.h"

namespace fairlead::adapters {

class FileLoader {
 public:
  // `path` is a directory tree or a single file.
  explicit FileLoader(std::string path, FileLimits limits = {});
  ~FileLoader();

  // Reads what changed. Files in `busy` (being written at this moment) keep the state of the last load.
  SourceUpdate load(const std::set<std::string>& busy = {});

  // Directories whose events matter, as of the last load.
  const WatchList& watch() const { return watch_; }
  const std::string& name() const { return name_; }  // "file:PATH"
  bool lost() const { return !lost_.empty(); }
  // True when a file changed under the last load's hands and should be read again soon.
  bool unstable() const { return unstable_; }

 private:
  struct FileState;
  // Few objects of different kinds share a name, and every load goes over all of them.
  struct KeyHash {
    size_t operator()(const ObjectKey* key) const { return absl::HashOf(key->ns, key->name); }
  };
  struct KeyEqual {
    bool operator()(const ObjectKey* a, const ObjectKey* b) const { return *a == *b; }
  };
  using Delivered = absl::flat_hash_map<const ObjectKey*, ObjectPtr, KeyHash, KeyEqual>;

  void load_files(const FileTree& tree, const std::set<std::string>& busy);
  void read_one(const std::string& file, const FileStamp& stamp, FileState& state);
  void take_documents(const std::string& file, std::string_view text, FileState& state);
  void merge(SourceUpdate& update);

  const std::string path_;
  const std::string name_;
  const FileLimits limits_;
  std::map<std::string, std::unique_ptr<FileState>> files_;
  Delivered delivered_;  // by the objects' own keys
  WatchList watch_;
  std::vector<Diagnostic> tree_diagnostics_;
  std::string lost_;
  bool synced_ = false;
  bool unstable_ = false;
  bool emptied_ = false;  // the last load found nothing where there was something
};

}  // namespace fairlead::adapters
