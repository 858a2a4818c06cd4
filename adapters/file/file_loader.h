// Turns a path into objects, again and again: each load() looks at what changed since the last one, reads those
// files and reports the difference as a SourceUpdate; load_only() looks at nothing but the files it is told.
// Remembers the good objects of every file, so that a broken document costs only itself. One thread at a time; no
// watching here, see file_source.h.
#pragma once

#include <map>
#include <memory>
#include <optional>
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
  // The same where only `touched` (paths as listed) may have changed: costs what these files cost, however many there
  // are beside them. Nothing, and nothing done, where they cannot be looked at by themselves (links, directories, a
  // limit in reach, a tree that the last load() did not see whole): load() is due then.
  std::optional<SourceUpdate> load_only(const std::set<std::string>& touched, const std::set<std::string>& busy = {});

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

  struct Touched;

  SourceUpdate begin_update() const;
  void load_files(const FileTree& tree, const std::set<std::string>& busy);
  std::optional<Touched> look_at(const std::string& path) const;
  FileState& state_of(const std::string& file, size_t listed_bytes);
  void read_one(const std::string& file, const FileStamp& stamp, FileState& state);
  void take_documents(const std::string& file, std::string_view text, FileState& state);
  void merge(SourceUpdate& update);
  bool merge_only(const std::vector<Touched>& touched, SourceUpdate& update);
  void tell_state(SourceUpdate& update) const;

  const std::string path_;
  const std::string name_;
  const FileLimits limits_;
  std::map<std::string, std::unique_ptr<FileState>> files_;
  size_t listed_bytes_ = 0;  // of all files together
  Delivered delivered_;      // by the objects' own keys
  std::set<ObjectKey> contested_;  // given by more than one document, or by one that is broken by now
  std::vector<ObjectKey> kept_;
  std::map<std::string, std::vector<Diagnostic>> diagnostics_;  // by file; only of files that have some
  WatchList watch_;
  std::vector<Diagnostic> tree_diagnostics_;
  std::string lost_;
  bool synced_ = false;
  bool unstable_ = false;
  bool whole_ = false;    // all files there are were seen, and those not busy were read
  bool emptied_ = false;  // the last load found nothing where there was something
};

}  // namespace fairlead::adapters
