// See unready.h.
#include "dataplane/tls/unready.h"

#include <sys/socket.h>
#include <unistd.h>

namespace fairlead::tls {

Unready::~Unready() { close(false); }

void Unready::close(bool reset) {
  if (fd_ < 0) return;
  if (reset) {
    struct linger hard {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  }
  ::close(fd_);
  fd_ = -1;
}

}  // namespace fairlead::tls
