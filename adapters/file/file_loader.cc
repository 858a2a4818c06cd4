// FileLoader: per-file state, last good objects, duplicates. See file_loader.h.
#include "adapters/file/file_loader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/file/documents.h"
#include "base/clock.h"

namespace fairlead::adapters {

namespace {

// Kernel timestamps move in ticks of up to 10 ms (CONFIG_HZ=100): a file that was written so shortly before it was
// read may change again without a change of stamp, so such a stamp is not believed the next time.
constexpr int64_t kRacyNs = 20'000'000;
constexpr int kMaxUnstableReads = 5;

struct ReadResult {
  std::string text;
  std::string error;
  FileStamp stamp;
  bool changed_meanwhile = false;
};

ReadResult read_whole(const std::string& path, size_t limit) {
  ReadResult r;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat before, after;
  if (fd < 0 || fstat(fd, &before) != 0) {
    r.error = absl::StrCat("cannot be read: ", strerror(errno));
    if (fd >= 0) close(fd);
    return r;
  }
  r.stamp = FileStamp::of(before);
  if (static_cast<size_t>(before.st_size) > limit) {
    r.error = absl::StrCat("is ", before.st_size, " bytes; at most ", limit, " are read");
    close(fd);
    return r;
  }
  char buffer[65536];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) != 0) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      r.error = absl::StrCat("cannot be read: ", strerror(errno));
      break;
    }
    r.text.append(buffer, static_cast<size_t>(n));
    if (r.text.size() > limit) {
      r.error = absl::StrCat("grew beyond ", limit, " bytes while it was read");
      break;
    }
  }
  if (fstat(fd, &after) == 0) r.changed_meanwhile = !(FileStamp::of(after) == r.stamp);
  close(fd);
  return r;
}

void sort_changes(SourceUpdate& update) {
  std::sort(update.upserted.begin(), update.upserted.end(), [](const ObjectPtr& a, const ObjectPtr& b) { return a->key < b->key; });
  std::sort(update.removed.begin(), update.removed.end());
}

}  // namespace

struct FileLoader::FileState {
  size_t listed_bytes = 0;
  FileStamp stamp;  // as read
  bool believe_stamp = false;
  int unstable_reads = 0;
  std::vector<ObjectPtr> objects;       // of the documents that are good now
  std::vector<ObjectPtr> kept;          // of documents that were good once and are broken now
  std::vector<Diagnostic> diagnostics;
};

// A file that is looked at by itself.
struct FileLoader::Touched {
  std::string file;
  std::optional<FileStamp> stamp;    // none: there is no such file, or none of ours
  std::vector<ObjectPtr> before;     // its objects until now
  bool kept_some = false;
  const FileState* state = nullptr;  // from now on; null: gone
};

FileLoader::FileLoader(std::string path, FileLimits limits)
    : path_(path.size() > 1 && path.back() == '/' ? path.substr(0, path.find_last_not_of('/') + 1) : path),
      name_(absl::StrCat("file:", path)), limits_(limits) {}
FileLoader::~FileLoader() = default;

SourceUpdate FileLoader::begin_update() const {
  SourceUpdate update;
  update.source = name_;
  update.at = RealClock::instance().system();
  return update;
}

SourceUpdate FileLoader::load(const std::set<std::string>& busy) {
  SourceUpdate update = begin_update();
  unstable_ = false;
  watch_.clear();
  absl::StatusOr<FileTree> tree = list_files(path_, limits_, watch_);
  if (tree.ok() && tree->files.empty() && !lost_.empty() && !delivered_.empty()) {
    // Made anew or mounted again, and not filled yet: nobody has said that everything shall go.
    tree = absl::UnavailableError(absl::StrCat(path_, ": came back empty"));
  }
  // All gone at once is what the middle of a removal of the directory looks like: believed when it is so the next time too.
  emptied_ = tree.ok() && tree->files.empty() && !delivered_.empty() && !emptied_;
  whole_ = tree.ok() && tree->unread.empty() && !emptied_;
  if (!tree.ok()) {
    lost_ = tree.status().message();
    tree_diagnostics_ = {Diagnostic{Severity::kError, {}, "", 0, "",
                                    absl::StrCat(lost_, synced_ ? "; what was read last stays in use" : "")}};
  } else {
    lost_.clear();
    tree_diagnostics_ = tree->diagnostics;
    if (emptied_) {
      unstable_ = true;
    } else {
      load_files(*tree, busy);
    }
    synced_ = true;
  }
  merge(update);
  return update;
}

std::optional<SourceUpdate> FileLoader::load_only(const std::set<std::string>& touched, const std::set<std::string>& busy) {
  if (!whole_ || unstable_ || listed_bytes_ > limits_.max_total_bytes) return std::nullopt;
  std::vector<Touched> files;
  size_t bytes = listed_bytes_, count = files_.size();
  for (const std::string& path : touched) {
    if (busy.contains(path)) continue;
    std::optional<Touched> file = look_at(path);
    if (!file) return std::nullopt;
    if (const auto known = files_.find(path); known != files_.end()) {
      file->before = known->second->objects;
      file->kept_some = !known->second->kept.empty();
      bytes -= known->second->listed_bytes;
      --count;
    } else if (!file->stamp) {
      continue;  // came and went, or is not ours
    }
    if (file->stamp) {
      bytes += static_cast<size_t>(file->stamp->size);
      ++count;
    }
    files.push_back(*std::move(file));
  }
  if (bytes > limits_.max_total_bytes || count > limits_.max_files || (count == 0 && !files_.empty())) return std::nullopt;

  listed_bytes_ = bytes;
  for (Touched& file : files) {
    if (!file.stamp) {
      files_.erase(file.file);
      continue;
    }
    FileState& state = state_of(file.file, static_cast<size_t>(file.stamp->size));
    file.state = &state;
    if (!state.believe_stamp || state.stamp != *file.stamp) read_one(file.file, *file.stamp, state);
  }
  SourceUpdate update = begin_update();
  if (!merge_only(files, update)) merge(update);
  return update;
}

// Nothing where more than this file may have changed with it: a directory, a link or what a link leads through, a file
// of several names.
std::optional<FileLoader::Touched> FileLoader::look_at(const std::string& path) const {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || watch_.contains(path)) return std::nullopt;
  const auto directory = watch_.find(path.substr(0, slash));
  if (directory == watch_.end() || !directory->second.all_visible) return std::nullopt;
  const std::string name = path.substr(slash + 1);
  if (directory->second.names.contains(name)) return std::nullopt;
  Touched file{path, std::nullopt, {}};
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) {
    if (errno != ENOENT) return std::nullopt;
    return file;
  }
  if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode) || st.st_nlink > 1) return std::nullopt;
  if (S_ISREG(st.st_mode) && is_configuration_file(name)) file.stamp = FileStamp::of(st);
  return file;
}

FileLoader::FileState& FileLoader::state_of(const std::string& file, size_t listed_bytes) {
  std::unique_ptr<FileState>& state = files_[file];
  if (!state) state = std::make_unique<FileState>();
  state->listed_bytes = listed_bytes;
  return *state;
}

void FileLoader::load_files(const FileTree& tree, const std::set<std::string>& busy) {
  std::erase_if(files_, [&](const auto& known) {
    if (tree.files.contains(known.first)) return false;
    return std::none_of(tree.unread.begin(), tree.unread.end(),
                        [&](const std::string& prefix) { return absl::StartsWith(known.first, prefix); });
  });
  size_t total = 0;
  for (const auto& [file, stamp] : tree.files) {
    FileState& state = state_of(file, static_cast<size_t>(stamp.size));
    total += state.listed_bytes;
    if (busy.contains(file)) {
      state.believe_stamp = false;
      continue;
    }
    if (state.believe_stamp && state.stamp == stamp) continue;
    if (total > limits_.max_total_bytes) {
      state.diagnostics = {Diagnostic{Severity::kError, {}, file, 0, "",
                                      absl::StrCat("not read: the source is bigger than ", limits_.max_total_bytes, " bytes")}};
      state.believe_stamp = false;
      continue;
    }
    read_one(file, stamp, state);
  }
  listed_bytes_ = total;
}

void FileLoader::read_one(const std::string& file, const FileStamp& listed, FileState& state) {
  const int64_t now_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(RealClock::instance().system().time_since_epoch()).count();
  ReadResult r = read_whole(file, limits_.max_file_bytes);
  if (r.changed_meanwhile && ++state.unstable_reads < kMaxUnstableReads) {
    state.believe_stamp = false;
    unstable_ = true;
    return;
  }
  state.unstable_reads = 0;
  if (!r.error.empty()) {
    state.diagnostics = {Diagnostic{Severity::kError, {}, file, 0, "", r.error}};
    for (ObjectPtr& o : state.objects) state.kept.push_back(std::move(o));
    state.objects.clear();
    state.believe_stamp = false;
    whole_ = false;
    return;
  }
  state.stamp = r.stamp;
  state.believe_stamp = r.stamp == listed && r.stamp.ctime_ns < now_ns - kRacyNs;
  take_documents(file, r.text, state);
}

// Broken documents keep the objects they held: the ones whose identity can still be read by it; when a document says
// nothing at all any more, every object of the file that is missing from the rest.
void FileLoader::take_documents(const std::string& file, std::string_view text, FileState& state) {
  std::map<ObjectKey, ObjectPtr> before;
  for (const ObjectPtr& o : state.kept) before.emplace(o->key, o);
  for (const ObjectPtr& o : state.objects) before[o->key] = o;
  state.objects.clear();
  state.kept.clear();

  Documents documents = read_documents(text, file, limits_);
  bool anything_may_be_missing = documents.broken();
  std::set<ObjectKey> broken, present;
  for (const doc::Value& value : documents.values) {
    ObjectKey key;
    ObjectPtr object = read_object(value, name_, file, documents.diagnostics, &key);
    if (!object) {
      if (key.name.empty() || key.kind.empty()) anything_may_be_missing = true;
      broken.insert(std::move(key));
      continue;
    }
    auto old = before.find(object->key);
    if (old != before.end() && old->second->content_hash == object->content_hash && old->second->line == object->line) {
      object = old->second;  // the same, so that nothing downstream sees a change
    }
    present.insert(object->key);
    state.objects.push_back(std::move(object));
  }
  for (const auto& [key, object] : before) {
    if (!present.contains(key) && (anything_may_be_missing || broken.contains(key))) {
      state.kept.push_back(object);
      documents.diagnostics.push_back(Diagnostic{Severity::kWarning, key, file, 0, "",
                                                 "its last good version stays in use until the file can be read"});
    }
  }
  state.diagnostics = std::move(documents.diagnostics);
}

void FileLoader::tell_state(SourceUpdate& update) const {
  update.synced = synced_;
  update.lost = lost_;
  update.kept = kept_;
  update.diagnostics = tree_diagnostics_;
  for (const auto& [file, told] : diagnostics_) update.diagnostics.insert(update.diagnostics.end(), told.begin(), told.end());
}

// Keys are looked at where they are: an object's own lives as long as the object.
void FileLoader::merge(SourceUpdate& update) {
  Delivered now;
  now.reserve(delivered_.size());
  contested_.clear();
  kept_.clear();
  diagnostics_.clear();
  for (const auto& [file, state] : files_) {
    std::vector<Diagnostic> told = state->diagnostics;
    for (const ObjectPtr& object : state->objects) {
      auto [it, first] = now.emplace(&object->key, object);
      if (first) continue;
      contested_.insert(object->key);
      told.push_back(Diagnostic{Severity::kError, object->key, object->file, object->line, "metadata.name",
                                absl::StrCat("is given twice; the one at ", it->second->place(), " is used")});
    }
    if (!told.empty()) diagnostics_.emplace(file, std::move(told));
  }
  for (const auto& [file, state] : files_) {
    for (const ObjectPtr& object : state->kept) {
      contested_.insert(object->key);
      if (now.emplace(&object->key, object).second) kept_.push_back(object->key);
    }
  }
  size_t stayed = 0;
  for (const auto& [key, object] : now) {
    auto old = delivered_.find(key);
    if (old != delivered_.end()) ++stayed;
    if (old == delivered_.end() || old->second != object) update.upserted.push_back(object);
  }
  if (stayed < delivered_.size()) {
    for (const auto& [key, object] : delivered_) {
      if (!now.contains(key)) update.removed.push_back(*key);
    }
  }
  sort_changes(update);
  delivered_ = std::move(now);
  tell_state(update);
}

// What the touched files gave before becomes what they give now. False, and nothing done, where another file has a say
// in that.
bool FileLoader::merge_only(const std::vector<Touched>& touched, SourceUpdate& update) {
  Delivered before, now;
  for (const Touched& file : touched) {
    if (file.kept_some) return false;
    for (const ObjectPtr& object : file.before) {
      if (contested_.contains(object->key)) return false;
      before.emplace(&object->key, object);
    }
  }
  for (const Touched& file : touched) {
    if (!file.state) continue;
    if (!file.state->kept.empty()) return false;
    for (const ObjectPtr& object : file.state->objects) {
      const bool given_elsewhere = delivered_.contains(&object->key) && !before.contains(&object->key);
      if (given_elsewhere || contested_.contains(object->key) || !now.emplace(&object->key, object).second) return false;
    }
  }
  for (const auto& [key, object] : before) {
    const auto then = now.find(key);
    if (then != now.end() && then->second == object) continue;
    delivered_.erase(key);
    if (then == now.end()) update.removed.push_back(*key);
  }
  for (const auto& [key, object] : now) {
    if (delivered_.emplace(key, object).second) update.upserted.push_back(object);
  }
  for (const Touched& file : touched) {
    diagnostics_.erase(file.file);
    if (file.state && !file.state->diagnostics.empty()) diagnostics_.emplace(file.file, file.state->diagnostics);
  }
  sort_changes(update);
  tell_state(update);
  return true;
}

}  // namespace fairlead::adapters
