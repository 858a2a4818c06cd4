// Walking a directory tree and following links by hand, so that every directory a link depends on is known.
// See file_tree.h.
#include "adapters/file/file_tree.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace fairlead::adapters {

namespace {

constexpr int kMaxLinkHops = 40;  // Linux: MAXSYMLINKS

std::string join(const std::string& directory, const std::string& name) {
  return directory == "/" ? absl::StrCat("/", name) : absl::StrCat(directory, "/", name);
}

// Puts a watch on every directory a name on the way to `path` is looked up in, links included.
void watch_way_to(const std::string& path, WatchList& watch) {
  std::string at = "/";
  if (!absl::StartsWith(path, "/")) {
    char buffer[PATH_MAX];
    if (getcwd(buffer, sizeof buffer) != nullptr) at = buffer;
  }
  std::deque<std::string> rest = absl::StrSplit(path, '/', absl::SkipEmpty());
  int hops = 0;
  while (!rest.empty()) {
    std::string name = std::move(rest.front());
    rest.pop_front();
    if (name == ".") continue;
    if (name == "..") {
      const size_t slash = at.rfind('/');
      at = slash == 0 || slash == std::string::npos ? "/" : at.substr(0, slash);
      continue;
    }
    WatchedNames& names = watch[at];
    names.names.insert(name);
    std::string next = join(at, name);
    struct stat st;
    if (lstat(next.c_str(), &st) != 0) return;  // it will come back in `at`
    if (S_ISLNK(st.st_mode)) {
      char target[PATH_MAX];
      const ssize_t n = readlink(next.c_str(), target, sizeof target);
      if (n <= 0 || ++hops > kMaxLinkHops) return;
      const std::string_view to(target, static_cast<size_t>(n));
      std::deque<std::string> parts = absl::StrSplit(to, '/', absl::SkipEmpty());
      rest.insert(rest.begin(), parts.begin(), parts.end());
      if (absl::StartsWith(to, "/")) at = "/";
      continue;
    }
    if (S_ISREG(st.st_mode)) names.content = true;
    at = std::move(next);
  }
}

class Walk {
 public:
  Walk(const FileLimits& limits, WatchList& watch, FileTree& tree) : limits_(limits), watch_(watch), tree_(tree) {}

  void directory(const std::string& path, const struct stat& st, int depth) {
    if (depth > limits_.max_directory_depth) {
      return refuse(path, absl::StrCat("directories are nested deeper than ", limits_.max_directory_depth));
    }
    if (!visited_.insert({st.st_dev, st.st_ino}).second) {
      report(Severity::kWarning, path, "is a link to a directory that is read already; skipped");
      return;
    }
    WatchedNames& names = watch_[path];
    names.all_visible = names.content = true;
    for (const std::string& name : read_names(path)) entry(join(path, name), name, depth);
  }

  void file(const std::string& path, const struct stat& st) {
    if (tree_.files.size() >= limits_.max_files) {
      if (tree_.unread.empty() || !tree_.unread.back().empty()) {
        report(Severity::kError, path, absl::StrCat("more than ", limits_.max_files, " files; the rest is not read"));
        tree_.unread.push_back("");  // keeps what was known of the rest
      }
      return;
    }
    tree_.files.emplace(path, FileStamp::of(st));
  }

 private:
  void report(Severity severity, const std::string& path, std::string message) {
    tree_.diagnostics.push_back(Diagnostic{severity, {}, path, 0, "", std::move(message)});
  }
  void refuse(const std::string& path, std::string message) {
    report(Severity::kError, path, std::move(message));
    tree_.unread.push_back(path + "/");
  }

  std::vector<std::string> read_names(const std::string& path) {
    std::vector<std::string> names;
    std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path.c_str()), closedir);
    if (!dir) {
      if (errno != ENOENT) refuse(path, absl::StrCat("cannot be read: ", strerror(errno)));
      return names;
    }
    while (const dirent* e = readdir(dir.get())) {
      if (e->d_name[0] != '.') names.emplace_back(e->d_name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  void entry(const std::string& path, const std::string& name, int depth) {
    struct stat st;
    if (lstat(path.c_str(), &st) != 0) return;  // gone since the listing; its event comes
    const bool link = S_ISLNK(st.st_mode);
    if (link) {
      watch_way_to(path, watch_);
      if (stat(path.c_str(), &st) != 0) {
        if (errno == ELOOP) {
          report(Severity::kWarning, path, "is a link in a circle; skipped");
        } else if (is_configuration_file(name)) {
          report(Severity::kError, path, absl::StrCat("is a link that leads nowhere: ", strerror(errno)));
          tree_.unread.push_back(path);
        }
        return;
      }
    }
    if (S_ISDIR(st.st_mode)) {
      directory(path, st, depth + 1);
    } else if (S_ISREG(st.st_mode) && is_configuration_file(name)) {
      file(path, st);
    }
  }

  const FileLimits& limits_;
  WatchList& watch_;
  FileTree& tree_;
  std::set<std::pair<dev_t, ino_t>> visited_;
};

}  // namespace

FileStamp FileStamp::of(const struct stat& st) {
  return FileStamp{st.st_dev, st.st_ino, st.st_size, st.st_mtim.tv_sec * 1'000'000'000LL + st.st_mtim.tv_nsec,
                   st.st_ctim.tv_sec * 1'000'000'000LL + st.st_ctim.tv_nsec};
}

bool WatchedNames::covers(std::string_view name) const {
  if (name.empty()) return true;  // the directory itself
  return (all_visible && name.front() != '.') || names.contains(std::string(name));
}

bool is_configuration_file(std::string_view name) {
  return absl::EndsWith(name, ".yaml") || absl::EndsWith(name, ".yml") || absl::EndsWith(name, ".json");
}

absl::StatusOr<FileTree> list_files(const std::string& path, const FileLimits& limits, WatchList& watch) {
  watch_way_to(path, watch);
  struct stat st;
  if (stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return absl::NotFoundError(absl::StrCat(path, ": does not exist"));
    return absl::UnavailableError(absl::StrCat(path, ": cannot be read: ", strerror(errno)));
  }
  FileTree tree;
  Walk walk(limits, watch, tree);
  if (S_ISDIR(st.st_mode)) {
    walk.directory(path, st, 0);
    if (!tree.unread.empty() && tree.unread.front() == path + "/") {
      return absl::UnavailableError(tree.diagnostics.front().str());
    }
  } else if (S_ISREG(st.st_mode)) {
    walk.file(path, st);
  } else {
    return absl::FailedPreconditionError(absl::StrCat(path, ": is neither a directory nor a file"));
  }
  return tree;
}

}  // namespace fairlead::adapters
