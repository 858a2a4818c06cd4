// Whole files through POSIX calls, so that errors are errno's and name the path.
// Blocking: main thread, start-up or helper threads only.
// Invariant: replace_file never leaves a half written file under the path.
#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace fairlead {
namespace {

absl::Status errno_error(int error, std::string_view path, std::string_view what) {
  return absl::ErrnoToStatus(error, absl::StrCat(path, ": ", what));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int close() {
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd);
  }

 private:
  int fd_;
};

absl::Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, path, "cannot write");
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status sync_directory(const std::string& directory) {
  Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return errno_error(errno, directory, "cannot open the directory");
  // Some file systems have no fsync for directories and say EINVAL: nothing more can be done there.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return errno_error(errno, directory, "cannot sync the directory");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> read_file(const std::string& path, std::size_t limit) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return errno_error(errno, path, "cannot open");
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return errno_error(errno, path, "cannot stat");
  if (S_ISDIR(info.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, ": is a directory, expected a file"));
  const auto too_large = [&] {
    return absl::ResourceExhaustedError(absl::StrCat(path, ": larger than the limit of ", limit, " bytes"));
  };
  const std::size_t hint = info.st_size > 0 ? static_cast<std::size_t>(info.st_size) : 0;
  if (hint > limit) return too_large();

  // One byte more than expected, so that the end is seen without growing.
  std::string content(hint > 0 ? hint + 1 : 65536, '\0');
  std::size_t used = 0;
  for (;;) {
    if (used == content.size()) content.resize(content.size() * 2);
    const ssize_t n = ::read(fd.get(), content.data() + used, content.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, path, "cannot read");
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
    if (used > limit) return too_large();
  }
  content.resize(used);
  return content;
}

absl::Status replace_file(const std::string& path, std::string_view content, int mode) {
  std::string temporary = path + ".XXXXXX";
  Descriptor fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (fd.get() < 0) return errno_error(errno, path, "cannot make a temporary file beside it");
  absl::Status status = write_all(fd.get(), content, path);
  if (status.ok() && ::fchmod(fd.get(), static_cast<mode_t>(mode)) != 0) status = errno_error(errno, path, "cannot set the mode");
  if (status.ok() && ::fsync(fd.get()) != 0) status = errno_error(errno, path, "cannot sync");
  if (fd.close() != 0 && status.ok()) status = errno_error(errno, path, "cannot close");
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) status = errno_error(errno, path, "cannot replace");
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return sync_directory(parent.empty() ? "." : parent);
}

absl::Status make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return errno_error(error.value(), path, "cannot make the directory");
  return absl::OkStatus();
}

TemporaryDirectory::TemporaryDirectory() {
  std::error_code error;
  std::filesystem::path root = std::filesystem::temp_directory_path(error);
  if (error) root = "/tmp";
  path_ = (root / "fairlead-XXXXXX").string();
  if (::mkdtemp(path_.data()) == nullptr) {
    std::perror(path_.c_str());
    std::abort();
  }
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string TemporaryDirectory::path(std::string_view name) const { return absl::StrCat(path_, "/", name); }

std::string TemporaryDirectory::write(std::string_view name, std::string_view content) const {
  const std::string full = path(name);
  absl::Status status = make_directories(std::filesystem::path(full).parent_path().string());
  if (status.ok()) status = replace_file(full, content);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    std::abort();
  }
  return full;
}

}  // namespace fairlead
