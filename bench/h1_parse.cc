// Time to take one request head off a buffer into an arena and a header map, and to write one head: the codec without any I/O.
// Usage: bench_h1_parse [ROUNDS]; prints nanoseconds per head.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "dataplane/http/h1/encode.h"
#include "dataplane/http/h1/head.h"

using namespace fairlead;

namespace {

const std::string kSmall = "GET /hello HTTP/1.1\r\nHost: example.com\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n";
const std::string kBrowser =
    "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg?a=b&c=d HTTP/1.1\r\nHost: www.kittyhell.com\r\n"
    "User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: ja,en-us;q=0.7,en;q=0.3\r\n"
    "Accept-Encoding: gzip,deflate\r\nAccept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\nKeep-Alive: 115\r\nConnection: keep-alive\r\n"
    "Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; __utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; "
    "__utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/|utmcmd=referral\r\n\r\n";

double parse(const std::string& raw, int rounds) {
  h1::Settings settings;
  http::Arena arena;
  net::Buffer in;
  size_t seen = 0;
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) {
    in.append(raw);
    size_t scanned = 0;
    size_t size = 0;
    if (h1::find_head(in, settings.max_head_bytes, true, scanned, size) != h1::HeadSearch::Complete) std::abort();
    char* text = arena.bytes(size);
    in.copy_out(0, text, size);
    in.drain(size);
    http::HeaderMap headers(arena);
    h1::RequestHead head;
    if (!h1::parse_request_head(text, size, settings, headers, head).ok()) std::abort();
    seen += headers.size();
    arena.reset();
  }
  auto ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
  if (seen == 0) std::abort();
  return ns / rounds;
}

double write(const std::string& raw, int rounds) {
  h1::Settings settings;
  http::Arena arena;
  std::string text = raw;
  http::HeaderMap headers(arena);
  h1::RequestHead head;
  if (!h1::parse_request_head(text.data(), text.size(), settings, headers, head).ok()) std::abort();
  net::Buffer out;
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) {
    h1::write_request_head(out, headers, {});
    out.clear();
  }
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / rounds;
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = argc > 1 ? std::atoi(argv[1]) : 1'000'000;
  for (const auto& [name, raw] : {std::pair("small", kSmall), std::pair("browser", kBrowser)}) {
    double p = parse(raw, rounds);
    double w = write(raw, rounds);
    std::printf("%-8s %4zu bytes  parse %7.1f ns  write %6.1f ns\n", name, raw.size(), p, w);
  }
  return 0;
}
