// Packets and descriptors over Unix sockets; where processes meet.
#include "dataplane/server/restart/channel.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/file.h"

namespace fairlead::server::restart {
namespace {

using Catch::Matchers::Contains;
using namespace std::chrono_literals;

std::string unique_name() {
  static int n = 0;
  return "@fairlead-test-" + std::to_string(getpid()) + "-" + std::to_string(++n);
}

TEST_CASE("a packet arrives with its descriptors, which are copies") {
  auto ends = *Channel::pair();
  int fds[2];
  REQUIRE(pipe(fds) == 0);
  REQUIRE(ends.first.send(Sockets{SocketType::stream, "127.0.0.1:80"}, fds).ok());
  auto packet = ends.second.await(5s);
  REQUIRE(packet.ok());
  CHECK(packet->message == Message(Sockets{SocketType::stream, "127.0.0.1:80"}));
  REQUIRE(packet->descriptors.size() == 2);
  close(fds[0]);
  close(fds[1]);
  CHECK(write(packet->descriptors[1].get(), "x", 1) == 1);
  char c = 0;
  CHECK(read(packet->descriptors[0].get(), &c, 1) == 1);
}

TEST_CASE("as many descriptors as fit in a packet arrive; more are refused") {
  auto ends = *Channel::pair();
  std::vector<int> many(kMostDescriptors, 0);
  REQUIRE(ends.first.send(Ready{}, many).ok());
  CHECK(ends.second.await(5s)->descriptors.size() == kMostDescriptors);
  many.push_back(0);
  CHECK_FALSE(ends.first.send(Ready{}, many).ok());
}

TEST_CASE("where descriptors run out, UDP sessions come as far as there is room; of anything else all have to") {
  auto ends = *Channel::pair();
  const std::vector<int> many(20, 0);
  const UdpSessions sessions{7, std::vector<std::string>(many.size(), "state")};
  REQUIRE(ends.first.send(sessions, many).ok());
  REQUIRE(ends.first.send(Sockets{SocketType::stream, "127.0.0.1:80"}, many).ok());
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest = dup(0);
  close(lowest);
  const rlimit few{static_cast<rlim_t>(lowest) + 5, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  const auto some = ends.second.await(5s);
  const auto none = ends.second.await(5s);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(some.ok());
  CHECK(some->message == Message(sessions));
  CHECK(some->descriptors.size() <= 5);
  CHECK(absl::IsInvalidArgument(none.status()));
}

TEST_CASE("nothing, a peer that has gone, nonsense, and one that does not read") {
  auto ends = *Channel::pair();
  CHECK_FALSE(ends.second.receive()->has_value());
  CHECK(absl::IsDeadlineExceeded(ends.second.await(1ms).status()));
  REQUIRE(send(ends.first.fd(), "nonsense", 8, 0) == 8);
  CHECK(absl::IsInvalidArgument(ends.second.await(5s).status()));
  const std::string long_one(kLargestPacket + 1, 'x');
  REQUIRE(send(ends.first.fd(), long_one.data(), long_one.size(), 0) > 0);
  CHECK_THAT(std::string(ends.second.await(5s).status().message()), Contains("too long"));
  absl::Status status;
  while (status.ok()) status = ends.first.send(Ready{}, {}, 0ms);
  CHECK(absl::IsDeadlineExceeded(status));
  ends.second.close();
  CHECK(absl::IsUnavailable(ends.first.send(Ready{})));
  CHECK(absl::IsUnavailable(ends.first.receive().status()));
}

TEST_CASE("what was sent before the sender's end still arrives") {
  auto ends = *Channel::pair();
  REQUIRE(ends.first.send(Statistics{1, 2}).ok());
  ends.first.close();
  CHECK(ends.second.await(5s)->message == Message(Statistics{1, 2}));
  CHECK(absl::IsUnavailable(ends.second.await(5s).status()));
}

TEST_CASE("processes meet under a name, which one has alone") {
  const std::string name = unique_name();
  CHECK(absl::IsNotFound(Channel::connect(name).status()));
  {
    auto place = Rendezvous::open(name, 0);
    REQUIRE(place.ok());
    CHECK(absl::IsAlreadyExists(Rendezvous::open(name, 0).status()));
    auto there = Channel::connect(name);
    REQUIRE(there.ok());
    auto here = place->accept();
    REQUIRE(here.has_value());
    REQUIRE(there->send(Ready{}).ok());
    CHECK(here->await(5s)->message == Message(Ready{}));
    CHECK_FALSE(place->accept().has_value());
  }
  CHECK(Rendezvous::open(name, 0).ok());
}

TEST_CASE("a path gets its mode, is taken over from a dead process but not from a live one, and goes with its owner") {
  TemporaryDirectory dir;
  const std::string path = dir.path("meet");
  {
    auto place = Rendezvous::open(path, 0640);
    REQUIRE(place.ok());
    struct stat found{};
    REQUIRE(stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0640);
    CHECK(absl::IsAlreadyExists(Rendezvous::open(path, 0).status()));
  }
  CHECK(access(path.c_str(), F_OK) != 0);
  {
    auto place = Rendezvous::open(path, 0);
    REQUIRE(place.ok());
    REQUIRE(link(path.c_str(), dir.path("left").c_str()) == 0);
  }
  CHECK(Rendezvous::open(dir.path("left"), 0).ok());
}

TEST_CASE("names: Envoy's flags, and what does not fit in an address") {
  CHECK(rendezvous_name("@envoy_domain_socket", 3, 1) == "@envoy_domain_socket_fairlead_3_1");
  CHECK_FALSE(Rendezvous::open(std::string(200, 'x'), 0).ok());
  CHECK_FALSE(Channel::connect("").ok());
}

TEST_CASE("a file in memory holds what was put in; other descriptors are no statistics") {
  const std::string content(300'000, 'x');
  auto file = memory_file(content);
  REQUIRE(file.ok());
  CHECK(*read_memory_file(file->get()) == content);
  auto ends = *Channel::pair();
  CHECK_FALSE(read_memory_file(ends.first.fd()).ok());
}

}  // namespace
}  // namespace fairlead::server::restart
