// See filter.h.
#include "dataplane/filters/listener/original_dst/filter.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "dataplane/stream/connection_info.h"

namespace fairlead::filters::listener::original_dst {
namespace {

constexpr int kOriginalDst = 80;  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST: the kernel's headers for them do not go with libc's

struct Factory final : stream::ListenerFilterFactory {
  std::unique_ptr<stream::ListenerFilter> create() const override { return std::make_unique<OriginalDst>(); }
};

bool is_transparent(int fd, bool v4) {
  int on = 0;
  socklen_t size = sizeof on;
  return getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &on, &size) == 0 && on != 0;
}

}  // namespace

void register_filter(stream::ListenerFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig>, const stream::ListenerFactoryContext&) { return std::make_shared<Factory>(); });
}

std::optional<net::Address> original_destination(int fd, const net::Address& local) {
  if (!local.is_ip()) return std::nullopt;
  const bool v4 = local.kind() == net::Address::Kind::V4;
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, kOriginalDst, &storage, &size) == 0) {
    net::Address found = net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), size);
    if (found.is_ip() && found != local) return found;
  }
  if (is_transparent(fd, v4)) return local;  // TPROXY leaves the address as it was
  return std::nullopt;
}

stream::ListenerFilter::Status OriginalDst::on_accept(stream::AcceptedSocket& socket) {
  stream::ConnectionInfo& info = socket.info();
  if (auto original = original_destination(socket.fd(), info.direct_local)) {
    info.local = *std::move(original);
    info.local_restored = true;
  }
  return Status::kContinue;
}

}  // namespace fairlead::filters::listener::original_dst
