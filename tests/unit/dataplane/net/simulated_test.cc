// The in-memory connection pair behaves like a socket pair.
#include "dataplane/net/simulated.h"

#include <catch2/catch.hpp>

using namespace fairlead::net;
using namespace std::chrono_literals;

namespace {
struct Log : ConnectionEvents {
  std::string received;
  int calls = 0;
  int lows = 0;
  bool ended = false;
  bool closed = false;
  CloseReason reason{};
  void on_data(Buffer& data, bool end) override {
    ++calls;
    received += data.to_string();
    data.clear();
    ended = ended || end;
  }
  void on_write_low() override { ++lows; }
  void on_closed(CloseReason r) override {
    closed = true;
    reason = r;
  }
};
}  // namespace

TEST_CASE("simulated ends exchange bytes and an end", "[simulated]") {
  EventLoop loop;
  SimulatedPair pair(loop);
  Log a_log, b_log;
  auto a = pair.take_a();
  auto b = pair.take_b();
  a->set_events(&a_log);
  b->set_events(&b_log);
  a->write("hello");
  b->write("world");
  REQUIRE(loop.run_until([&] { return a_log.received == "world" && b_log.received == "hello"; }, 5s));
  CHECK(a->remote_address() == b->local_address());
  a->close(CloseType::Flush);
  REQUIRE(loop.run_until([&] { return b_log.closed && a_log.closed; }, 5s));
  CHECK(b_log.reason == CloseReason::Remote);
  CHECK(a_log.reason == CloseReason::Local);
}

TEST_CASE("simulated partial writes and byte-wise reads", "[simulated]") {
  EventLoop loop;
  Connection::Options options;
  options.buffer_limit = 4;
  SimulatedPair pair(loop, options);
  Log a_log, b_log;
  auto a = pair.take_a();
  auto b = pair.take_b();
  a->set_events(&a_log);
  b->set_events(&b_log);
  pair.allow_writes_of_a(3);
  pair.limit_reads(1);
  a->write("0123456789");
  CHECK(a->above_high_watermark());
  REQUIRE(loop.run_until([&] { return b_log.received == "012"; }, 5s));
  CHECK(b_log.calls == 3);
  CHECK(a_log.lows == 0);
  pair.allow_writes_of_a(Buffer::npos);
  REQUIRE(loop.run_until([&] { return b_log.received == "0123456789"; }, 5s));
  CHECK(b_log.calls == 10);
  CHECK(a_log.lows == 1);
}

TEST_CASE("a cut simulated wire is a reset on both ends", "[simulated]") {
  EventLoop loop;
  SimulatedPair pair(loop);
  Log a_log, b_log;
  auto a = pair.take_a();
  auto b = pair.take_b();
  a->set_events(&a_log);
  b->set_events(&b_log);
  pair.cut();
  REQUIRE(loop.run_until([&] { return a_log.closed && b_log.closed; }, 5s));
  CHECK(a_log.reason == CloseReason::RemoteReset);
  CHECK(b_log.reason == CloseReason::RemoteReset);
}
