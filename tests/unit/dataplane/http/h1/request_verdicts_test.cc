// Raw requests and their verdicts: refused with {status, details}, or the request that comes out of the parser. Rows were observed on
// Envoy 1.40 except those marked "stricter", which Envoy accepts. Every row runs whole, byte by byte, and cut in two at every byte.
#include <catch2/catch.hpp>

#include "tests/unit/dataplane/http/h1/harness.h"

using namespace fairlead::h1;
using namespace fairlead::h1::test;
namespace net = fairlead::net;

namespace {

struct Row {
  std::string name;
  std::string raw;
  std::string error;  // "400 details", or empty: accepted
  std::string head;   // of an accepted request, lines "name: value\n"; empty: not looked at
  std::string body;
};

const std::string kHost = "Host: a\r\n";
std::string request(const std::string& line, const std::string& headers = kHost, const std::string& body = "") {
  return line + "\r\n" + headers + "\r\n" + body;
}
std::string get(const std::string& headers) { return request("GET / HTTP/1.1", kHost + headers); }
std::string post(const std::string& headers, const std::string& body = "") { return request("POST / HTTP/1.1", kHost + headers, body); }
std::string chunked(const std::string& body) { return post("Transfer-Encoding: chunked\r\n", body); }
std::string head(const std::string& rest = "", const std::string& method = "GET", const std::string& path = "/", const std::string& authority = "a") {
  return ":method: " + method + "\n:path: " + path + "\n:authority: " + authority + "\n" + rest;
}
std::string many_headers(int n) {
  std::string s;
  for (int i = 0; i < n; ++i) s += "x" + std::to_string(i) + ": 1\r\n";
  return s;
}
std::string nul(const char* before, const char* after) { return std::string(before) + '\0' + after; }

const std::string kCodec = "400 http1.codec_error";
const std::string kCharacters = "400 http1.invalid_characters";
const std::string kUrl = "400 http1.invalid_url";
const std::string kAuthority = "400 http.invalid_authority";
const std::string kTe = "501 http1.invalid_transfer_encoding";
const std::string kTooLarge = "431 http1.headers_too_large";
const std::string kLow = "426 low_version";

std::vector<Row> rows() {
  return {
      {"simple", get(""), "", head()},
      {"leading CRLF", "\r\n\r\n" + get(""), "", head()},
      {"leading LF", "\n" + get(""), "", head()},
      {"leading CR (stricter)", "\r" + get(""), kCodec},
      {"leading space", " " + get(""), kCodec},
      {"leading tab", "\t" + get(""), kCodec},
      {"bare LF", "GET / HTTP/1.1\nHost: a\n\n", "", head()},
      {"mixed line ends", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "", head("x: y\n")},
      {"end LF CRLF", "GET / HTTP/1.1\r\nHost: a\n\r\n", "", head()},
      {"end CRLF LF", "GET / HTTP/1.1\r\nHost: a\r\n\n", "", head()},
      // request line
      {"lower-case method", request("get / HTTP/1.1"), kCodec},
      {"unknown method", request("BREW / HTTP/1.1"), kCodec},
      {"M-SEARCH", request("M-SEARCH / HTTP/1.1"), kCodec},
      {"MSEARCH", request("MSEARCH / HTTP/1.1"), "", head("", "MSEARCH")},
      {"PROPFIND", request("PROPFIND / HTTP/1.1"), "", head("", "PROPFIND")},
      {"TRACE", request("TRACE / HTTP/1.1"), "", head("", "TRACE")},
      {"QUERY without type", request("QUERY / HTTP/1.1"), "400 query_missing_content_type"},
      {"PRI", request("PRI / HTTP/1.1"), kCodec},
      {"control in method", request("GE\x01T / HTTP/1.1"), kCharacters},
      {"vertical tab for space", request("GET\v/ HTTP/1.1"), kCharacters},
      {"space in path", request("GET /a b HTTP/1.1"), kCodec},
      {"two spaces", request("GET  / HTTP/1.1"), "", head()},
      {"two spaces before version", request("GET /  HTTP/1.1"), "", head()},
      {"tabs for spaces", request("GET\t/\tHTTP/1.1"), "", head()},
      {"space at line end", request("GET / HTTP/1.1 "), "", head()},
      {"four words", request("GET / HTTP/1.1 x"), kCodec},
      {"no target", request("GET HTTP/1.1"), kCodec},
      {"relative target", request("GET foo HTTP/1.1"), kCodec},
      {"query only", request("GET ?a HTTP/1.1"), kCodec},
      {"fragment", request("GET /a#b HTTP/1.1"), "400 path_normalization_failed"},
      {"path kept as it is", request("GET //a/../b%2f?q=%zz HTTP/1.1"), "", head("", "GET", "//a/../b%2f?q=%zz")},
      {"odd path characters", request("GET /<>[]{}|\\^`\" HTTP/1.1"), "", head("", "GET", "/<>[]{}|\\^`\"")},
      {"non-ASCII path", request("GET /\xe9 HTTP/1.1"), kCodec},
      {"control in path", request("GET /\x01 HTTP/1.1"), kCharacters},
      {"DEL in path", request("GET /\x7f HTTP/1.1"), kCharacters},
      {"NUL in path", nul("GET /", " HTTP/1.1\r\nHost: a\r\n\r\n"), kCharacters},
      {"bare CR in the line (stricter)", request("GET /\r HTTP/1.1"), kCodec},
      {"CR CR LF (stricter)", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", kCodec},
      {"HTTP/0.9", "GET /\r\n", kLow},
      {"HTTP/0.9, unknown method", "FOO /\r\n", kCodec},
      {"HTTP/1.0", request("GET / HTTP/1.0"), kLow},
      {"HTTP/1.2", request("GET / HTTP/1.2"), kLow},
      {"HTTP/2.0", request("GET / HTTP/2.0"), kLow},
      {"HTTP/1.10", request("GET / HTTP/1.10"), kCodec},
      {"http/1.1", request("GET / http/1.1"), kCodec},
      {"HTTP/11", request("GET / HTTP/11"), kCodec},
      {"HTTPS/1.1", request("GET / HTTPS/1.1"), kCodec},
      {"TLS on a plain port", "\x16\x03\x01\x02", kCodec},
      // targets
      {"absolute form", request("GET http://u:p@b.c:80/x?y HTTP/1.1"), "", head(":scheme: http\n", "GET", "/x?y", "b.c:80")},
      {"absolute form without path", request("GET http://b.c HTTP/1.1"), "", head(":scheme: http\n", "GET", "/", "b.c")},
      {"absolute form, https, upper case", request("GET HTTPS://b.c/ HTTP/1.1"), "", head(":scheme: https\n", "GET", "/", "b.c")},
      {"absolute form, IPv6", request("GET http://[::1]:80/ HTTP/1.1"), "", head(":scheme: http\n", "GET", "/", "[::1]:80")},
      {"absolute form without Host", request("GET http://b.c/ HTTP/1.1", ""), "", head(":scheme: http\n", "GET", "/", "b.c")},
      {"absolute form, query without path", request("GET http://b.c?x HTTP/1.1"), "", head(":scheme: http\n", "GET", "?x", "b.c")},
      {"absolute form, fragment", request("GET http://b.c/#x HTTP/1.1"), "400 path_normalization_failed"},
      {"absolute form, other scheme", request("GET ftp://b.c/ HTTP/1.1"), "400 http1.invalid_scheme"},
      {"absolute form, no host", request("GET http:/// HTTP/1.1"), kUrl},
      {"absolute form, bad port", request("GET http://b.c:x/ HTTP/1.1"), kUrl},
      {"absolute form, port too large", request("GET http://b.c:99999/ HTTP/1.1"), kUrl},
      {"absolute form, two at signs", request("GET http://a@b@c/ HTTP/1.1"), kUrl},
      {"absolute form, bad host", request("GET http://a<b/ HTTP/1.1"), kCodec},
      {"OPTIONS *", request("OPTIONS * HTTP/1.1"), "", head("", "OPTIONS", "*")},
      {"GET *", request("GET * HTTP/1.1"), kUrl},
      {"CONNECT", request("CONNECT a:443 HTTP/1.1"), "", ":method: CONNECT\n:authority: a:443\n"},
      {"CONNECT without Host", request("CONNECT a:443 HTTP/1.1", ""), "", ":method: CONNECT\n:authority: a:443\n"},
      {"CONNECT IPv6", request("CONNECT [::1]:443 HTTP/1.1"), "", ":method: CONNECT\n:authority: [::1]:443\n"},
      {"CONNECT with a path", request("CONNECT / HTTP/1.1"), kUrl},
      {"CONNECT without port", request("CONNECT a HTTP/1.1"), kUrl},
      {"CONNECT, port too large", request("CONNECT a:99999 HTTP/1.1"), kUrl},
      {"CONNECT with userinfo", request("CONNECT u@a:1 HTTP/1.1"), kUrl},
      {"CONNECT without host name", request("CONNECT :1 HTTP/1.1"), kUrl},
      {"CONNECT with a body", request("CONNECT a:443 HTTP/1.1", kHost + "Content-Length: 1\r\n", "a"), "400 http1.body_disallowed"},
      {"CONNECT chunked", request("CONNECT a:443 HTTP/1.1", kHost + "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), kTe},
      // hosts
      {"no host", request("GET / HTTP/1.1", ""), "400 missing_host_header"},
      {"empty host", request("GET / HTTP/1.1", "Host:\r\n"), "", head("", "GET", "/", "")},
      {"two hosts (stricter)", get("Host: b\r\n"), kCodec},
      {"two equal hosts (stricter)", get(kHost), kCodec},
      {"host case kept", request("GET / HTTP/1.1", "HOST: A.Com:80\r\n"), "", head("", "GET", "/", "A.Com:80")},
      {"host with userinfo", request("GET / HTTP/1.1", "Host: a@b\r\n"), "", head("", "GET", "/", "a@b")},
      {"host with a space", request("GET / HTTP/1.1", "Host: a b\r\n"), kAuthority},
      {"host with a slash", request("GET / HTTP/1.1", "Host: a/b\r\n"), kAuthority},
      {"host with a question mark", request("GET / HTTP/1.1", "Host: a?b\r\n"), kAuthority},
      {"host with a backslash", request("GET / HTTP/1.1", "Host: a\\b\r\n"), kAuthority},
      {"host with non-ASCII", request("GET / HTTP/1.1", "Host: \xe9\r\n"), kAuthority},
      {"host named in Connection", get("Connection: host\r\n"), "400 missing_host_header"},
      // header lines
      {"space before colon", get("X : a\r\n"), kCodec},
      {"tab before colon", get("X\t: a\r\n"), kCodec},
      {"empty name", get(": a\r\n"), kCodec},
      {"no colon", get("abcd\r\n"), kCodec},
      {"name with parentheses", get("X(): a\r\n"), kCodec},
      {"name with non-ASCII", get("X\xe9: a\r\n"), kCodec},
      {"NUL in name", request("GET / HTTP/1.1", kHost + nul("X", ": a\r\n")), kCharacters},
      {"NUL in value", request("GET / HTTP/1.1", kHost + nul("X: a", "b\r\n")), kCharacters},
      {"control in value", get("X: a\x01" "b\r\n"), kCharacters},
      {"DEL in value", get("X: a\x7f" "b\r\n"), kCharacters},
      {"non-ASCII value", get("X: a\xe9" "b\r\n"), "", head("x: a\xe9" "b\n")},
      {"tab in value", get("X: a\tb\r\n"), "", head("x: a\tb\n")},
      {"blanks around value", get("X: \t a b \t \r\n"), "", head("x: a b\n")},
      {"empty value", get("X:\r\n"), "", head("x: \n")},
      {"repeated header", get("X: a\r\nX: b\r\n"), "", head("x: a\nx: b\n")},
      {"underscore", get("a_b: c\r\n"), "", head("a_b: c\n")},
      {"fold", get("X: a\r\n b\r\n"), "", head("x: a b\n")},
      {"fold with tab", get("X: a\r\n\tb\r\n"), "", head("x: a\tb\n")},
      {"empty fold", get("X: a\r\n \r\nY: z\r\n"), "", head("x: a\ny: z\n")},
      {"fold before any header", "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", kCodec},
      {"bare CR in value (stricter)", get("X: a\rb\r\n"), kCodec},
      {"bare CR before value (stricter)", get("X:\ra\r\n"), kCodec},
      {"bare CR in name", get("X\rY: a\r\n"), kCodec},
      {"value CR CR LF (stricter)", get("X: a\r\r\n"), kCodec},
      {"100 headers", request("GET / HTTP/1.1", kHost + many_headers(99)), ""},
      {"101 headers", request("GET / HTTP/1.1", kHost + many_headers(100)), "431 http1.too_many_headers"},
      // connection
      {"hop-by-hop", get("Connection: close, X\r\nX: a\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers, deflate\r\n"), "", head("te: trailers\n")},
      {"te keeps its place", get("TE: trailers\r\nX: 1\r\nTE: trailers\r\n"), "", head("te: trailers\nx: 1\n")},
      {"upgrade in lower case", get("Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n"), "", head("connection: keep-alive, upgrade\nupgrade: websocket\n")},
      {"te without trailers", get("TE: gzip\r\n"), "", head()},
      {"connection names te", get("Connection: te\r\nTE: trailers\r\n"), "", head("te: trailers\n")},
      {"connection names a header", get("Connection: cache-control\r\nCache-Control: no\r\nX: 1\r\n"), "", head("x: 1\n")},
      {"two connection headers", get("Connection: x\r\nConnection: y\r\nX: 1\r\nY: 1\r\n"), "", head()},
      {"connection names a pseudo-header", get("Connection: :path\r\n"), "400 http1.connection_header_rejected"},
      {"connection names x-forwarded-for", get("Connection: x-forwarded-for\r\n"), "400 http1.connection_header_rejected"},
      {"upgrade without connection", get("Upgrade: websocket\r\n"), "", head()},
      {"upgrade among others", get("A: 1\r\nConnection: Upgrade\r\nB: 2\r\nUpgrade: websocket\r\nC: 3\r\n"), "",
       head("a: 1\nconnection: Upgrade\nb: 2\nupgrade: websocket\nc: 3\n")},
      {"upgrade that names a header", get("Connection: x-a, Upgrade\r\nUpgrade: websocket\r\nX-A: 1\r\n"), "", head("connection: x-a, Upgrade\nupgrade: websocket\n")},
      {"upgrade", get("Connection: Upgrade\r\nUpgrade: websocket\r\n"), "", head("connection: Upgrade\nupgrade: websocket\n")},
      {"h2c is ignored", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"), "", head()},
      {"h2c beside another", get("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"), "", head("connection: Upgrade\nupgrade: websocket\n")},
      {"expect", post("Expect: 100-continue\r\nContent-Length: 1\r\n", "a"), "", head("expect: 100-continue\ncontent-length: 1\n", "POST"), "a"},
      // lengths
      {"body on GET", request("GET / HTTP/1.1", kHost + "Content-Length: 1\r\n", "a"), "", head("content-length: 1\n"), "a"},
      {"length with leading zeros", post("Content-Length: 0001\r\n", "a"), "", head("content-length: 0001\n", "POST"), "a"},
      {"two equal lengths", post("Content-Length: 1\r\nContent-Length: 1\r\n", "a"), kCodec},
      {"list of lengths", post("Content-Length: 0, 0\r\n"), kCodec},
      {"length +0", post("Content-Length: +0\r\n"), kCodec},
      {"length -1", post("Content-Length: -1\r\n"), kCodec},
      {"empty length", post("Content-Length: \r\n"), kCodec},
      {"hexadecimal length", post("Content-Length: 0x1\r\n", "a"), kCodec},
      {"length with a space", post("Content-Length: 1 1\r\n", "a"), kCodec},
      {"huge length", post("Content-Length: 99999999999999999999999\r\n"), kCodec},
      {"length beyond 2^63 (stricter)", post("Content-Length: 18446744073709551615\r\n"), kCodec},
      {"length beside chunked", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400 http1.content_length_and_chunked_not_allowed"},
      {"chunked beside length 0", post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"), "400 http1.content_length_and_chunked_not_allowed"},
      {"identity beside length", post("Transfer-Encoding: identity\r\nContent-Length: 1\r\n", "a"), "400 http1.content_length_and_chunked_not_allowed"},
      {"xchunked", post("Transfer-Encoding: xchunked\r\n"), kTe},
      {"gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n"), kTe},
      {"chunked twice in one", post("Transfer-Encoding: chunked, chunked\r\n"), kTe},
      {"chunked in two headers", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), kTe},
      {"identity", post("Transfer-Encoding: identity\r\n"), kTe},
      {"empty coding", post("Transfer-Encoding: \r\n"), kTe},
      {"chunked;q=1", post("Transfer-Encoding: chunked;q=1\r\n"), kTe},
      {"vertical tab before chunked", post("Transfer-Encoding: \vchunked\r\n"), kCharacters},
      {"folded chunked", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), "", head("", "POST")},
      {"length named in Connection", post("Connection: content-length\r\nContent-Length: 1\r\n", "a"), "", head("", "POST"), "a"},
      // chunks
      {"chunks", chunked("1\r\nx\r\nA\r\n0123456789\r\n000\r\n\r\n"), "", head("", "POST"), "x0123456789"},
      {"chunked on GET", request("GET / HTTP/1.1", kHost + "Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"), "", head()},
      {"chunk extension", chunked("1;a=\"b;c\"\r\nx\r\n0;z\r\n\r\n"), "", head("", "POST"), "x"},
      {"blank after size", chunked("1 \t\r\nx\r\n0\r\n\r\n"), "", head("", "POST"), "x"},
      {"blank before size", chunked(" 1\r\nx\r\n0\r\n\r\n"), kCodec},
      {"bad size", chunked("zz\r\n"), kCodec},
      {"0x size", chunked("0x0\r\n\r\n"), kCodec},
      {"negative size", chunked("-1\r\nx\r\n0\r\n\r\n"), kCodec},
      {"no size", chunked("\r\nx\r\n0\r\n\r\n"), kCodec},
      {"size overflow", chunked("fffffffffffffffff\r\nx\r\n"), kCodec},
      {"rubbish after size", chunked("1x\r\nx\r\n0\r\n\r\n"), kCodec},
      {"rubbish after blank (stricter)", chunked("1 x\r\nx\r\n0\r\n\r\n"), kCodec},
      {"LF after size", chunked("1\nx\n0\n\n"), kCodec},
      {"CR in extension", chunked("1;a\rb\r\nx\r\n0\r\n\r\n"), kCodec},
      {"LF in extension", chunked("1;a\nx\r\n0\r\n\r\n"), kCodec},
      {"NUL in extension (stricter)", chunked(nul("1;", "\r\nx\r\n0\r\n\r\n")), kCodec},
      {"chunk longer than its size (stricter)", chunked("1\r\nxy\r\n0\r\n\r\n"), kCodec},
      {"LF after chunk (stricter)", chunked("1\r\nx\n0\r\n\r\n"), kCodec},
      {"trailers are dropped", chunked("1\r\nx\r\n0\r\nX-T: 1\r\n\r\n"), "", head("", "POST"), "x"},
      {"LF after trailer", chunked("0\r\nA: b\n\n"), "", head("", "POST")},
      {"LF after last chunk", chunked("0\r\n\n"), "", head("", "POST")},
      {"bad trailer", chunked("1\r\nx\r\n0\r\nX T 1\r\n\r\n"), kCodec},
      {"request where trailers should be", chunked("0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), kCodec},
      {"NUL in trailer", chunked(nul("0\r\nA: a", "\r\n\r\n")), kCharacters},
  };
}

struct Outcome {
  std::string error, head, body;
  size_t requests = 0;
  bool bad_call = false;
};

Outcome run(const Row& row, const std::vector<size_t>& cuts, size_t read_limit = net::Buffer::npos) {
  ServerRig rig;
  rig.pair.limit_reads(read_limit);
  size_t at = 0;
  for (size_t cut : cuts) {
    rig.write(std::string_view(row.raw).substr(at, cut - at));
    rig.settle();
    at = cut;
  }
  rig.write(std::string_view(row.raw).substr(at));
  auto done = [&] { return !rig.error.empty() || (!rig.requests.empty() && (rig.requests[0]->ended || rig.requests[0]->head.find("CONNECT") != std::string::npos || rig.requests[0]->head.find("upgrade") != std::string::npos)); };
  rig.run(done);
  Outcome o;
  o.error = rig.error;
  o.requests = rig.requests.size();
  if (!rig.requests.empty()) {
    o.head = rig.requests[0]->head;
    o.body = rig.requests[0]->body;
    o.bad_call = rig.requests[0]->after_end;
  }
  return o;
}

}  // namespace

TEST_CASE("raw requests get the verdicts of the table", "[h1][verdicts]") {
  auto table = rows();
  CHECK(table.size() >= 150);
  for (const Row& row : table) {
    INFO(row.name);
    for (size_t limit : {net::Buffer::npos, size_t{1}}) {
      Outcome o = run(row, {}, limit);
      CHECK(o.error == row.error);
      CHECK(o.requests == 1);
      CHECK_FALSE(o.bad_call);
      if (!row.error.empty()) continue;
      if (!row.head.empty()) CHECK(o.head == row.head);
      CHECK(o.body == row.body);
    }
  }
}

TEST_CASE("the verdict does not depend on where the bytes are cut", "[h1][verdicts]") {
  for (const Row& row : rows()) {
    if (row.raw.size() > 300) continue;
    INFO(row.name);
    for (size_t cut = 1; cut < row.raw.size(); cut += 3) {
      INFO(cut);
      Outcome o = run(row, {cut});
      REQUIRE(o.error == row.error);
      if (row.error.empty() && !row.head.empty()) REQUIRE(o.head == row.head);
      if (row.error.empty()) REQUIRE(o.body == row.body);
    }
  }
}

TEST_CASE("heads at the size limit", "[h1][verdicts]") {
  constexpr size_t kLimit = 60 * 1024;
  for (size_t limit : {net::Buffer::npos, size_t{1000}}) {
    for (int over : {-1, 0, 1}) {
      std::string fixed = get("X: \r\n");
      Row row{"", get("X: " + std::string(kLimit + static_cast<size_t>(over + 0) - fixed.size(), 'a') + "\r\n"), "", "", ""};
      CHECK(row.raw.size() == kLimit + static_cast<size_t>(over));
      CHECK(run(row, {}, limit).error == (over > 0 ? kTooLarge : ""));
    }
    CHECK(run({"", "GET /" + std::string(62000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", "", "", ""}, {}, limit).error == kTooLarge);
    CHECK(run({"", "FOO / HTTP/1.1\r\nX: " + std::string(62000, 'a') + "\r\n\r\n", "", "", ""}, {}, limit).error == kCodec);
    CHECK(run({"", chunked("0\r\nA: " + std::string(70000, 'a') + "\r\n\r\n"), "", "", ""}, {}, limit).error == kTooLarge);
    CHECK(run({"", chunked("1;" + std::string(70000, 'a') + "\r\nx\r\n0\r\n\r\n"), "", "", ""}, {}, limit).error == kCodec);
  }
}

TEST_CASE("settings move the verdicts", "[h1][verdicts]") {
  auto verdict = [](const Settings& settings, const std::string& raw) {
    ServerRig rig(settings);
    rig.write(raw);
    rig.run([&] { return !rig.error.empty() || (!rig.requests.empty() && rig.requests[0]->ended); });
    return rig.error.empty() ? rig.requests[0]->head : rig.error;
  };
  Settings s;
  s.accept_http_10 = true;
  CHECK(verdict(s, request("GET / HTTP/1.0")) == head());
  CHECK(verdict(s, request("GET / HTTP/1.0", "")) == "400 missing_host_header");
  CHECK(verdict(s, request("POST / HTTP/1.0", kHost + "Transfer-Encoding: chunked\r\n", "0\r\n\r\n")) == kCodec);
  s.default_host_for_http_10 = "default";
  CHECK(verdict(s, request("GET / HTTP/1.0", "")) == head("", "GET", "/", "default"));
  s = {};
  s.max_headers = 2;
  CHECK(verdict(s, get("A: 1\r\n")) == head("a: 1\n"));
  CHECK(verdict(s, get("A: 1\r\nB: 1\r\n")) == "431 http1.too_many_headers");
  s = {};
  s.max_head_bytes = 100;
  CHECK(verdict(s, get("A: " + std::string(100, 'a') + "\r\n")) == kTooLarge);
  s = {};
  s.allow_absolute_url = false;
  CHECK(verdict(s, request("GET http://b/ HTTP/1.1")) == head("", "GET", "http://b/"));  // left to who routes
  CHECK(verdict(s, request("GET ftp://b/ HTTP/1.1")) == head("", "GET", "ftp://b/"));
  CHECK(verdict(s, request("GET b HTTP/1.1")) == kCodec);
  s = {};
  s.allow_chunked_length = true;
  CHECK(verdict(s, post("Content-Length: 9\r\nTransfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\n\r\n")).find(":method: POST") == 0);
}
