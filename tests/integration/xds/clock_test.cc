// Clocks that jump under a running proxy: the wall clock, set by an operator or by NTP, and a process that was frozen for a while.
#include <catch2/catch.hpp>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "tests/integration/support/tls_client.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace fairlead::testing::clock_test {
namespace {

const char* const kRequest = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const std::string kDirect = "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}]}]}";
const std::string kIdles = "common_http_protocol_options: {idle_timeout: 0.3s}\n      " + kDirect;
std::string to_up(const std::string& timeout) { return absl::StrCat("route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: up, timeout: ", timeout, "}}]}]}"); }

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose libraries want to be loaded first

namespace {

// How far the wall clock of processes that start while this lives is ahead of the machine's (clock/wall_clock.cc).
class WallClock {
 public:
  WallClock() {
    const int fd = open(directory_.path("ahead").c_str(), O_RDWR | O_CREAT, 0600);
    REQUIRE(ftruncate(fd, sizeof(int64_t)) == 0);
    ahead_ = static_cast<int64_t*>(mmap(nullptr, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    close(fd);
    REQUIRE(ahead_ != MAP_FAILED);
    setenv("FAIRLEAD_WALL_CLOCK", directory_.path("ahead").c_str(), 1);
    setenv("LD_PRELOAD", FAIRLEAD_WALL_CLOCK_LIBRARY, 1);
  }
  ~WallClock() {
    unsetenv("LD_PRELOAD");
    unsetenv("FAIRLEAD_WALL_CLOCK");
    munmap(ahead_, sizeof(int64_t));
  }
  void set(std::chrono::seconds ahead) { *static_cast<volatile int64_t*>(ahead_) = ahead.count(); }

 private:
  TemporaryDirectory directory_;
  int64_t* ahead_;
};

std::string in_line(const std::string& text) { return absl::StrCat("{inline_string: \"", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\"}"); }

// How far the date of a response is ahead of the machine's.
std::chrono::seconds date_ahead(RawSocket& client) {
  client.send(kRequest);
  const std::string date = client.read_response().header("date");
  tm parts{};
  REQUIRE(strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) != nullptr);
  return std::chrono::seconds(timegm(&parts) - time(nullptr));
}

}  // namespace

TEST_CASE("when the wall clock jumps, connections, requests and timeouts go on; dates and certificates follow it") {
  using std::chrono::hours;
  WallClock clock;
  const test::Authority ca;
  const test::MadeCertificate host = ca.issue("server", "DNS:example.test"), own = ca.issue("client");  // both for a day
  RawServer up;
  ProxyProcess proxy(static_bootstrap(
      {static_cluster("up", up.port())},
      {listener("plain", kDirect), listener("slow", to_up("60s")), listener("idle", kIdles),
       absl::StrCat(listener("tls", kDirect), "  transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_client_certificate: true, ",
                    "common_tls_context: {tls_certificates: [{certificate_chain: ", in_line(host.chain), ", private_key: ", in_line(host.key), "}], validation_context: {trusted_ca: ", in_line(ca.pem()), "}}}}\n")}));
  proxy.wait_for_state("LIVE");
  const TlsClient::Options with_own{.chain = own.chain, .key = own.key};
  TlsClient kept_tls(proxy.port("tls"), with_own);
  CHECK(kept_tls.get("/") == 200);
  RawSocket kept = RawSocket::connect(proxy.port("plain")), waiting = RawSocket::connect(proxy.port("slow"));
  CHECK(std::chrono::abs(date_ahead(kept)) < hours(1));
  waiting.send(kRequest);
  RawSocket upstream = up.accept();
  upstream.read_until("\r\n\r\n");
  int idle = 0;
  for (const hours ahead : {hours(240), hours(-20'000), hours(240), hours(0)}) {
    CAPTURE(ahead.count());
    clock.set(ahead);
    CHECK(std::chrono::abs(date_ahead(kept) - ahead) < hours(1));
    CHECK(kept_tls.get("/") == 200);
    CHECK((TlsClient(proxy.port("tls"), with_own).get("/") == 200) == (ahead == hours(0)));  // at other times the certificate is not valid
    RawSocket fresh = RawSocket::connect(proxy.port("plain"));
    CHECK(std::chrono::abs(date_ahead(fresh) - ahead) < hours(1));
    const RawSocket left = RawSocket::connect(proxy.port("idle"));
    proxy.wait_for_stat("http.idle.downstream_cx_idle_timeout", absl::StrCat(++idle));
  }
  upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  CHECK(waiting.read_response().status == 200);
  CHECK(proxy.stat("cluster.up.upstream_rq_timeout") == "0");
  CHECK(proxy.stat("http.plain.downstream_cx_idle_timeout") == "0");
}

#endif

TEST_CASE("a process that was frozen ends what its time was up for, serves who has come meanwhile, and goes on") {
  RawServer up;
  ProxyProcess proxy(static_bootstrap({static_cluster("up", up.port())}, {listener("plain", kDirect), listener("slow", to_up("0.3s")), listener("idle", kIdles)}));
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("plain");
  RawSocket kept = RawSocket::connect(port), waiting = RawSocket::connect(proxy.port("slow")), idle = RawSocket::connect(proxy.port("idle"));
  kept.send(kRequest);
  CHECK(kept.read_response().status == 200);
  waiting.send(kRequest);
  RawSocket upstream = up.accept();
  upstream.read_until("\r\n\r\n");
  proxy.signal(SIGSTOP);
  RawSocket late = RawSocket::connect(port);
  late.send(kRequest);
  kept.send(kRequest);
  std::this_thread::sleep_for(std::chrono::milliseconds(600));  // the freeze is the test
  proxy.signal(SIGCONT);
  CHECK(waiting.read_response().status == 504);
  CHECK(idle.closed_by_peer());
  CHECK(late.read_response().status == 200);
  CHECK(kept.read_response().status == 200);
  RawSocket next = RawSocket::connect(proxy.port("idle"));  // timers are right again
  next.send(kRequest);
  CHECK(next.read_response().status == 200);
  CHECK(next.closed_by_peer());
  proxy.wait_for_stat("http.idle.downstream_cx_idle_timeout", "2");
}

}  // namespace fairlead::testing::clock_test
