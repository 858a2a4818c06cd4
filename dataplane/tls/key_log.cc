// See key_log.h.
#include "dataplane/tls/key_log.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace fairlead::tls {

absl::StatusOr<std::shared_ptr<KeyLogFile>> KeyLogFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return absl::InvalidArgumentError(absl::StrCat("unable to open file '", path, "': ", std::strerror(errno)));
  return std::shared_ptr<KeyLogFile>(new KeyLogFile(fd));
}

KeyLogFile::~KeyLogFile() { ::close(fd_); }

void KeyLogFile::append(const char* line) {
  const std::string text = absl::StrCat(line, "\n");
  std::lock_guard lock(mutex_);
  [[maybe_unused]] const ssize_t n = ::write(fd_, text.data(), text.size());  // a full disk is no reason to fail a connection
}

}  // namespace fairlead::tls
