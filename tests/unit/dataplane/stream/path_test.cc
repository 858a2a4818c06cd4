// Path normalisation, as Envoy does it.
#include <catch2/catch.hpp>

#include "dataplane/stream/path.h"

using namespace fairlead::stream;

TEST_CASE("nothing is changed unless asked") {
  for (const char* path : {"/", "//a/../b%2f", "/a?x=../y", "/%41", "*"}) {
    INFO(path);
    const PathResult r = normalize_path(path, {});
    CHECK(r.verdict == PathVerdict::kContinue);
    CHECK_FALSE(r.path.has_value());
  }
}

TEST_CASE("dot segments, backslashes and unreserved escapes are resolved") {
  struct Row {
    const char *in, *out;
  };
  for (const Row row : {Row{"/a/./b", "/a/b"}, {"/a/../b", "/b"}, {"/../../a", "/a"}, {"/a/..", "/"}, {"/a/b/.", "/a/b/"}, {"/a\\b", "/a/b"},
                        {"/%61/%2e%2E/b", "/b"}, {"/a%2fb", "/a%2fb"}, {"/a b", "/a%20b"}, {"/a?q=/../x", "/a?q=/../x"}, {"/x/../a?q", "/a?q"},
                        {"/...", "/..."}, {"/a//b", "/a//b"}, {"/%", "/%"}, {"/%zz", "/%zz"}}) {
    INFO(row.in);
    const PathResult r = normalize_path(row.in, {.normalize = true});
    CHECK(r.verdict == PathVerdict::kContinue);
    CHECK(r.path.value_or(row.in) == row.out);
  }
}

TEST_CASE("slashes are merged after dot segments") {
  CHECK(normalize_path("//a///b", {.merge_slashes = true}).path == "/a/b");
  CHECK(normalize_path("/a//../b", {.normalize = true, .merge_slashes = true}).path == "/a/b");
}

TEST_CASE("escaped slashes are kept, refused, redirected or unescaped") {
  CHECK(normalize_path("/a%2Fb", {.escaped_slashes = EscapedSlashes::kReject}).verdict == PathVerdict::kReject);
  const PathResult redirect = normalize_path("/a%5cb?x", {.normalize = true, .escaped_slashes = EscapedSlashes::kUnescapeAndRedirect});
  CHECK(redirect.verdict == PathVerdict::kRedirect);
  CHECK(redirect.path == "/a/b?x");
  CHECK(normalize_path("/a%2fb", {.escaped_slashes = EscapedSlashes::kUnescapeAndForward}).path == "/a/b");
}

TEST_CASE("a fragment is refused unless it may be stripped") {
  CHECK(normalize_path("/a#b", {}).verdict == PathVerdict::kReject);
  CHECK(normalize_path("/a?q#b", {}).verdict == PathVerdict::kReject);
  CHECK(normalize_path("/a?q#b", {.strip_fragment = true}).path == "/a?q");
}
