// The resolver against a small DNS server on loopback.
#include "dataplane/net/dns.h"

#include <catch2/catch.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

using namespace fairlead::net;
using namespace std::chrono_literals;

namespace {

// Answers A and AAAA questions from a table; a name without a table entry does not exist; "silent.test" gets no answer.
struct DnsServer : FdHandler {
  explicit DnsServer(EventLoop& loop) : watch(loop, *this) {
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    sockaddr_storage storage;
    socklen_t size = Address::v4_loopback(0).to_sockaddr(storage);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&storage), size) == 0);
    address = *Address::local_of(fd);
    watch.add(fd, EPOLLIN);
  }
  ~DnsServer() override {
    watch.remove();
    close(fd);
  }

  static std::string question_name(const std::string& packet, size_t& end) {
    std::string name;
    size_t at = 12;
    while (packet[at] != 0) {
      auto n = static_cast<size_t>(packet[at]);
      if (!name.empty()) name += '.';
      name += packet.substr(at + 1, n);
      at += n + 1;
    }
    end = at + 1;
    return name;
  }

  void on_fd_ready(uint32_t) override {
    char bytes[1500];
    sockaddr_storage from;
    socklen_t from_size = sizeof from;
    ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &from_size);
    if (n < 12) return;
    std::string packet(bytes, static_cast<size_t>(n));
    size_t end = 0;
    std::string name = question_name(packet, end);
    int type = packet[end + 1];
    ++questions;
    if (name == "silent.test") return;
    auto entry = table.find(name);
    std::string answers;
    int count = 0;
    if (entry != table.end()) {
      for (const std::string& ip : entry->second) {
        Address a = *Address::from_ip(ip, 0);
        bool v4 = a.kind() == Address::Kind::V4;
        if (type != (v4 ? 1 : 28)) continue;
        size_t size = v4 ? 4 : 16;
        answers += std::string("\xc0\x0c\0", 3) + static_cast<char>(type) + std::string("\0\1\0\0\0\x1e\0", 7) + static_cast<char>(size) +
                   std::string(reinterpret_cast<const char*>(a.bytes().data()), size);
        ++count;
      }
    }
    std::string reply = packet.substr(0, 2) + (entry == table.end() ? std::string("\x81\x83", 2) : std::string("\x81\x80", 2)) +
                        std::string("\0\1\0", 3) + static_cast<char>(count) + std::string(4, '\0') + packet.substr(12, end + 4 - 12) + answers;
    sendto(fd, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), from_size);
  }

  std::map<std::string, std::vector<std::string>> table;
  FdWatch watch;
  int fd;
  int questions = 0;
  Address address;
};

struct Fixture {
  EventLoop loop;
  DnsServer server{loop};
  std::unique_ptr<DnsResolver> resolver;
  Fixture() {
    DnsResolver::Options options;
    options.servers = {server.address};
    options.timeout = 100ms;
    options.tries = 2;
    options.no_search = true;
    resolver = *DnsResolver::create(loop, options);
  }
  DnsAnswer ask(const char* name, DnsFamily family) {
    DnsAnswer answer = absl::UnknownError("no callback");
    bool done = false;
    auto query = resolver->resolve(name, family, [&](DnsAnswer a) {
      answer = std::move(a);
      done = true;
    });
    CHECK_FALSE(done);
    REQUIRE(loop.run_until([&] { return done; }, 10s));
    return answer;
  }
};

std::set<std::string> ips(const DnsAnswer& answer) {
  std::set<std::string> set;
  for (const auto& record : *answer) set.insert(record.address.ip_string());
  return set;
}

}  // namespace

TEST_CASE("A, AAAA and both, with their TTL", "[dns]") {
  Fixture f;
  f.server.table["both.test"] = {"192.0.2.1", "192.0.2.2", "2001:db8::1"};
  f.server.table["four.test"] = {"192.0.2.4"};
  auto v4 = f.ask("both.test", DnsFamily::V4);
  REQUIRE(v4.ok());
  CHECK(ips(v4) == std::set<std::string>{"192.0.2.1", "192.0.2.2"});
  CHECK(v4->front().ttl == 30s);
  CHECK(ips(f.ask("both.test", DnsFamily::V6)) == std::set<std::string>{"2001:db8::1"});
  CHECK(ips(f.ask("both.test", DnsFamily::All)) == std::set<std::string>{"192.0.2.1", "192.0.2.2", "2001:db8::1"});
  CHECK(ips(f.ask("four.test", DnsFamily::All)) == std::set<std::string>{"192.0.2.4"});
  CHECK(f.ask("absent.test", DnsFamily::All).status().code() == absl::StatusCode::kNotFound);
  CHECK(ips(f.ask("both.test", DnsFamily::Auto)) == std::set<std::string>{"2001:db8::1"});
  CHECK(ips(f.ask("both.test", DnsFamily::V4Preferred)) == std::set<std::string>{"192.0.2.1", "192.0.2.2"});
}

TEST_CASE("families fall back", "[dns]") {
  Fixture f;
  f.server.table["four.test"] = {"192.0.2.4"};
  f.server.table["six.test"] = {"2001:db8::6"};
  CHECK(ips(f.ask("four.test", DnsFamily::Auto)) == std::set<std::string>{"192.0.2.4"});
  CHECK(ips(f.ask("six.test", DnsFamily::V4Preferred)) == std::set<std::string>{"2001:db8::6"});
}

TEST_CASE("an empty answer is not an error, a missing name is", "[dns]") {
  Fixture f;
  f.server.table["empty.test"] = {};
  auto empty = f.ask("empty.test", DnsFamily::V4);
  REQUIRE(empty.ok());
  CHECK(empty->empty());
  auto missing = f.ask("missing.test", DnsFamily::V4);
  CHECK(absl::IsNotFound(missing.status()));
  CHECK(missing.status().message().find("missing.test") != std::string::npos);
}

TEST_CASE("a silent server runs into the timeout after its tries", "[dns]") {
  Fixture f;
  auto answer = f.ask("silent.test", DnsFamily::V4);
  CHECK(absl::IsDeadlineExceeded(answer.status()));
  CHECK(f.server.questions == 2);
}

TEST_CASE("localhost and names below it are loopback whatever a server says, in Envoy's order", "[dns]") {
  Fixture f;
  f.server.table["api.localhost"] = {"192.0.2.1"};
  const auto list = [&](const char* name, DnsFamily family) {
    auto answer = f.ask(name, family);
    REQUIRE(answer.ok());
    std::vector<std::string> texts;
    for (const auto& record : *answer) {
      texts.push_back(record.address.ip_string());
      CHECK(record.ttl == 0s);
    }
    return texts;
  };
  using List = std::vector<std::string>;
  for (const char* name : {"localhost", "LocalHost", "api.localhost", "a.b.LOCALHOST"}) {
    CAPTURE(name);
    CHECK(list(name, DnsFamily::V4) == List{"127.0.0.1"});
    CHECK(list(name, DnsFamily::V4Preferred) == List{"127.0.0.1"});
    CHECK(list(name, DnsFamily::V6) == List{"::1"});
    CHECK(list(name, DnsFamily::Auto) == List{"::1"});
  }
  CHECK(list("localhost", DnsFamily::All) == List{"127.0.0.1", "::1"});
  CHECK(list("api.localhost", DnsFamily::All) == List{"::1", "127.0.0.1"});
  CHECK(f.server.questions == 0);
  CHECK(absl::IsNotFound(f.ask("notlocalhost", DnsFamily::V4).status()));
  CHECK(f.server.questions == 1);
}

TEST_CASE("a dropped question about localhost runs no callback", "[dns]") {
  Fixture f;
  bool called = false;
  auto dropped = f.resolver->resolve("localhost", DnsFamily::All, [&](DnsAnswer) { called = true; });
  dropped.reset();
  CHECK(f.ask("localhost", DnsFamily::V4).ok());
  CHECK_FALSE(called);
}

// The name of this machine is in the hosts file of most machines, not of all.
TEST_CASE("/etc/hosts is honoured", "[dns]") {
  std::ifstream hosts("/etc/hosts");
  std::string ip, name;
  for (std::string line; std::getline(hosts, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string candidate;
    if (words >> ip >> candidate && ip.find(':') == std::string::npos && candidate.find("localhost") == std::string::npos) name = candidate;
    if (!name.empty()) break;
  }
  if (name.empty()) {
    WARN("the hosts file has no name but localhost");
    return;
  }
  Fixture f;
  auto answer = f.ask(name.c_str(), DnsFamily::V4);
  REQUIRE(answer.ok());
  CHECK(ips(answer).count(ip) == 1);
  CHECK(f.server.questions == 0);
}

TEST_CASE("an address as a name resolves to itself", "[dns]") {
  Fixture f;
  CHECK(ips(f.ask("192.0.2.9", DnsFamily::V4)) == std::set<std::string>{"192.0.2.9"});
}

TEST_CASE("a dropped query and a destroyed resolver run no callback", "[dns]") {
  Fixture f;
  f.server.table["both.test"] = {"192.0.2.1"};
  bool called = false;
  auto dropped = f.resolver->resolve("both.test", DnsFamily::V4, [&](DnsAnswer) { called = true; });
  auto open = f.resolver->resolve("silent.test", DnsFamily::V4, [&](DnsAnswer) { called = true; });
  dropped.reset();
  CHECK(f.ask("both.test", DnsFamily::V4).ok());
  f.resolver.reset();
  bool posted = false;
  f.loop.post([&] { posted = true; });
  f.loop.run_until([&] { return posted; }, 5s);
  CHECK_FALSE(called);
}
