// gRPC's frames in any pieces, methods in paths, and counters of methods.
#include "dataplane/grpc/frames.h"

#include <catch2/catch.hpp>

#include "dataplane/grpc/method_counters.h"

using namespace fairlead;
using namespace fairlead::grpc;

TEST_CASE("messages are counted as they begin and seen to end") {
  const std::string bytes = std::string("\0\0\0\0\3abc", 8) + std::string("\1\0\0\0\0", 5) + std::string("\0\0\0\1\0", 5) + std::string(256, 'x');
  for (const size_t piece : {1u, 3u, 4u, 300u}) {
    FrameCounter frames;
    int ended = 0;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      std::string_view rest = std::string_view(bytes).substr(at, piece);
      while (!rest.empty()) {
        rest.remove_prefix(frames.take(rest));
        ended += frames.ended();
      }
    }
    CHECK(frames.count() == 3);
    CHECK(ended == 3);
  }
}

TEST_CASE("a method is two segments of a path") {
  CHECK(method_of("/pkg.Service/Call?x=1").service == "pkg.Service");
  CHECK(method_of("/pkg.Service/Call").name == "Call");
  CHECK_FALSE(method_of("/pkg.Service").valid());
  CHECK_FALSE(method_of("/pkg.Service/").valid());
  CHECK_FALSE(method_of("/a/b/c").valid());
  CHECK_FALSE(method_of("//b").valid());
  CHECK_FALSE(method_of("").valid());
}

TEST_CASE("calls are counted under cluster and method, by status") {
  stats::Registry registry(2);
  MethodCounters counters(registry, "grpc", false, true);
  MethodStats* call = counters.find("up", method_of("/pkg.Service/Call"));
  REQUIRE(call != nullptr);
  CHECK(counters.find("up", method_of("/pkg.Service/Call")) == call);
  call->charge(registry.cells(1), "0");
  call->charge(registry.cells(1), "13");
  call->charge(registry.cells(1), "what?");
  counters.find("up", {})->charge(registry.cells(1), "0");
  CHECK(registry.find("cluster.up.grpc.pkg_Service.Call.total") == 3);
  CHECK(registry.find("cluster.up.grpc.pkg_Service.Call.success") == 1);
  CHECK(registry.find("cluster.up.grpc.pkg_Service.Call.failure") == 2);
  CHECK(registry.find("cluster.up.grpc.pkg_Service.Call.13") == 1);
  CHECK(registry.find("cluster.up.grpc.total") == 1);
}

TEST_CASE("clients cannot make counters without end") {
  stats::Registry registry(2);
  MethodCounters counters(registry, "grpc", false, false);
  for (size_t i = 0; i < MethodCounters::kMaxMethods + 100; ++i) {
    const std::string path = "/s/m" + std::to_string(i);
    counters.find("up", method_of(path));
  }
  CHECK(registry.cells_in_use() <= MethodCounters::kMaxMethods * 5);
}
