// A TLS client's bytes to a server with certificates by name and kind of key: OpenSSL's handshake, and what is ours in it: the choice by SNI and signature
// algorithms, ALPN, OCSP, reading no more than is asked for. Nothing but a ClientHello can be said without keys, so it always ends, and never well.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "tests/unit/dataplane/tls/endpoints.h"

using namespace fairlead;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

const std::shared_ptr<const tls::ServerContext>& context() {
  static const std::shared_ptr<const tls::ServerContext> made = [] {
    const test::Authority ca;
    tls::ServerOptions options;
    for (const char* kind : {"ec", "ec384", "rsa"}) options.certificates.push_back(test::pair_of(ca.issue(kind, "DNS:a.test,DNS:*.b.test", kind)));
    options.certificates.push_back(test::pair_of(ca.issue("c.test")));
    options.alpn = {"h2", "http/1.1"};
    options.full_scan_on_sni_mismatch = true;
    return test::server_context(options);
  }();
  return made;
}

}  // namespace

// The first byte: after how many of the others the client pauses.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 60'000) return 0;
  static net::EventLoop loop;
  test::Pair pair(loop);
  const int fd = pair.serve(context());
  const size_t first = std::min<size_t>(data[0], size - 1);
  const auto say = [&](const uint8_t* bytes, size_t count) { return count == 0 || ::send(fd, bytes, count, MSG_NOSIGNAL) == static_cast<ssize_t>(count); };
  require(say(data + 1, first));
  loop.post([] {});
  loop.run_until([turns = 0]() mutable { return turns++ > 0; }, std::chrono::seconds(1));
  say(data + 1 + first, size - 1 - first);  // unless the server has had enough
  ::shutdown(fd, SHUT_WR);
  require(pair.until([&] { return pair.server.closed; }));
  require(!pair.server.connected && pair.server.counts[tls::Count::kHandshake] == 0);
  ::close(fd);
  return 0;
}
