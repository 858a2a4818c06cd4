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
    "GET /catalogue/items/4711/images/front-large.webp?size=1200&quality=85 HTTP/1.1\r\nHost: shop.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5\r\nAccept-Language: de,en-GB;q=0.7,en;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://shop.example.com/catalogue/items/4711\r\nConnection: keep-alive\r\n"
    "Cookie: session=0f8c2b7e5d914a6f8e3b1c2d4a5f6e7d; basket=3; consent=functional%2Canalytics; locale=de_DE; "
    "experiment=checkout-b; last_seen=1722850000\r\nSec-Fetch-Dest: image\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\n\r\n";

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
