// LISTEN_FDS and sd_notify as systemd speaks them.
#include "dataplane/server/restart/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "dataplane/net/listener.h"

namespace fairlead::server::restart {
namespace {

using Catch::Matchers::Contains;

// A service manager's socket.
struct Told {
  TemporaryDirectory dir;
  std::string path = dir.path("notify");
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  Told() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Told() { close(fd); }
  std::string next() {
    char buffer[4096];
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    return std::string(buffer, n > 0 ? static_cast<size_t>(n) : 0);
  }
};

TEST_CASE("messages reach the service manager, and nobody when there is none") {
  Told told;
  ServiceManager manager(told.path);
  manager.ready("serving");
  CHECK(told.next() == "READY=1\nSTATUS=serving\n");
  manager.reloading();
  CHECK_THAT(told.next(), Contains("RELOADING=1\nMONOTONIC_USEC="));
  manager.stopping();
  CHECK_THAT(told.next(), Contains("STOPPING=1\n"));
  ServiceManager().ready("nobody hears");
  ServiceManager("/nobody/there").ready("nobody hears");
}

TEST_CASE("the watchdog's interval is half of what is allowed, for this process or for whichever is main") {
  setenv("NOTIFY_SOCKET", "@fairlead-test", 1);
  setenv("WATCHDOG_USEC", "3000000", 1);
  CHECK(ServiceManager::from_environment().watchdog() == std::chrono::microseconds(1'500'000));
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  CHECK(ServiceManager::from_environment().watchdog().has_value());
  setenv("WATCHDOG_PID", "1", 1);
  CHECK_FALSE(ServiceManager::from_environment().watchdog().has_value());
  unsetenv("WATCHDOG_PID");
  unsetenv("WATCHDOG_USEC");
  CHECK(ServiceManager::from_environment().present());
  CHECK_FALSE(ServiceManager::from_environment().watchdog().has_value());
  unsetenv("NOTIFY_SOCKET");
  CHECK_FALSE(ServiceManager::from_environment().present());
}

TEST_CASE("sockets of LISTEN_FDS are found by address and type; what is none is named; the variables go") {
  auto tcp = *net::ListenSocket::bind(net::Address::v4_loopback(0), {});
  net::ListenSocket::Options datagrams;
  datagrams.datagrams = true;
  auto udp = *net::ListenSocket::bind(tcp.local_address(), datagrams);
  constexpr int first = 200;
  REQUIRE(dup2(tcp.fd(0), first) == first);
  REQUIRE(dup2(udp.fd(0), first + 1) == first + 1);
  REQUIRE(dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), first + 2) == first + 2);
  REQUIRE(dup2(tcp.fd(0), first + 3) == first + 3);
  setenv("LISTEN_FDS", "4", 1);
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  std::vector<std::string> warnings;
  const auto found = passed_sockets(warnings, first);
  REQUIRE(found.size() == 2);
  CHECK(found[0].address == tcp.local_address().to_string());
  CHECK(found[0].descriptors.size() == 2);
  CHECK(found[1].type == SocketType::datagram);
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Contains("descriptor 202"));
  CHECK((fcntl(first, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(getenv("LISTEN_FDS") == nullptr);
  close(first + 2);
}

TEST_CASE("sockets that are meant for another process are left alone") {
  setenv("LISTEN_FDS", "1", 1);
  setenv("LISTEN_PID", "1", 1);
  std::vector<std::string> warnings;
  CHECK(passed_sockets(warnings).empty());
  CHECK(getenv("LISTEN_PID") == nullptr);
  CHECK(passed_sockets(warnings).empty());
}

}  // namespace
}  // namespace fairlead::server::restart
