// Time a server session takes for a request and its answer without any socket, beside a bare nghttp2 session that keeps no headers.
// Usage: bench_h2_parse [ROUNDS]; a round is 32 requests in one read. Prints nanoseconds per request.
#include <nghttp2/nghttp2.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/http/h2/session.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/transport.h"

using namespace fairlead;

namespace {

constexpr int kStreams = 32;
using Pairs = std::vector<std::pair<std::string, std::string>>;

const Pairs kSmall = {{":method", "GET"}, {":scheme", "http"}, {":path", "/hello"}, {":authority", "example.com"}, {"user-agent", "h2load"}};
const Pairs kBrowser = {
    {":method", "GET"}, {":scheme", "https"}, {":path", "/catalogue/items/4711/images/front-large.webp?size=1200&quality=85"}, {":authority", "shop.example.com"},
    {"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}, {"accept", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"},
    {"accept-language", "de,en-GB;q=0.7,en;q=0.3"}, {"accept-encoding", "gzip, deflate, br, zstd"}, {"referer", "https://shop.example.com/catalogue/items/4711"},
    {"cookie", "session=0f8c2b7e5d914a6f8e3b1c2d4a5f6e7d"}, {"cookie", "basket=3"}, {"cookie", "locale=de_DE"}, {"sec-fetch-dest", "image"}, {"sec-fetch-mode", "no-cors"}};
const Pairs kResponse = {{":status", "200"}, {"server", "bench"}, {"date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"content-type", "text/plain"}, {"content-length", "12"}};
const std::string kBody = "hello world!";

std::vector<nghttp2_nv> fields_of(const Pairs& pairs) {
  std::vector<nghttp2_nv> list;
  for (auto& [name, value] : pairs) {
    list.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())), reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                    NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE});
  }
  return list;
}

// What a client writes: rounds of requests, encoded ahead of the measurement.
std::vector<std::string> record(const Pairs& request, int rounds) {
  nghttp2_session_callbacks* callbacks;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_option* option;
  nghttp2_option_new(&option);
  nghttp2_option_set_peer_max_concurrent_streams(option, 1 << 30);
  nghttp2_session* session;
  nghttp2_session_client_new2(&session, callbacks, nullptr, option);
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  nghttp2_submit_window_update(session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
  auto list = fields_of(request);
  std::vector<std::string> out;
  for (int i = 0; i < rounds; ++i) {
    for (int s = 0; s < kStreams; ++s) nghttp2_submit_request(session, nullptr, list.data(), list.size(), nullptr, nullptr);
    std::string& bytes = out.emplace_back();
    const uint8_t* at;
    for (ssize_t n; (n = nghttp2_session_mem_send(session, &at)) > 0;) bytes.append(reinterpret_cast<const char*>(at), static_cast<size_t>(n));
  }
  nghttp2_session_del(session);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  return out;
}

double bare(const std::vector<std::string>& rounds) {
  static std::vector<nghttp2_nv> list;
  list = fields_of(kResponse);
  nghttp2_session_callbacks* callbacks;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, [](nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t, uint8_t, void*) { return 0; });
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, [](nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    nghttp2_data_provider provider;
    provider.read_callback = [](nghttp2_session*, int32_t, uint8_t* to, size_t, uint32_t* flags, nghttp2_data_source*, void*) -> ssize_t {
      std::copy(kBody.begin(), kBody.end(), to);
      *flags = NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(kBody.size());
    };
    return nghttp2_submit_response(session, frame->hd.stream_id, list.data(), list.size(), &provider);
  });
  nghttp2_session* session;
  nghttp2_session_server_new(&session, callbacks, nullptr);
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  std::string out;
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& bytes : rounds) {
    nghttp2_session_mem_recv(session, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    out.clear();
    const uint8_t* at;
    for (ssize_t n; (n = nghttp2_session_mem_send(session, &at)) > 0;) out.append(reinterpret_cast<const char*>(at), static_cast<size_t>(n));
    if (out.empty()) std::abort();
  }
  const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
  nghttp2_session_del(session);
  nghttp2_session_callbacks_del(callbacks);
  return ns / static_cast<double>(rounds.size()) / kStreams;
}

// Hands the connection one round a turn and swallows what it writes.
class Tape final : public net::Transport {
 public:
  explicit Tape(const std::vector<std::string>& rounds) : rounds_(rounds) {}
  net::IoResult read(net::Buffer& into, size_t) override {
    if (at == rounds_.size()) return {net::IoResult::Next::Done, 0, 0};
    into.append(rounds_[at]);
    return {net::IoResult::Next::Done, rounds_[at++].size(), 0};
  }
  net::IoResult write(net::Buffer& from) override {
    const size_t n = from.size();
    written += n;
    from.clear();
    return {net::IoResult::Next::Done, n, 0};
  }
  void shutdown_write() override {}
  void close(bool) override {}
  size_t at = 0;
  size_t written = 0;

 private:
  const std::vector<std::string>& rounds_;
};

struct Answer final : http::MessageReceiver {
  http::Arena memory;
  http::MessageSender* sender = nullptr;
  http::Arena& arena() override { return memory; }
  void on_headers(http::HeaderMap&, bool) override {
    http::HeaderMap headers(memory);
    for (auto& [name, value] : kResponse) headers.add_ref(name, value);
    sender->send_headers(headers, false);
    net::Buffer data(kBody);
    sender->send_data(data, true);
  }
  void on_data(net::Buffer&, bool) override {}
  void on_trailers(http::HeaderMap&) override {}
  void on_reset(http::ResetReason, std::string_view) override {}
};

struct Events final : http::ServerSessionEvents {
  Answer answer;
  bool closed = false;
  http::MessageReceiver* on_stream(http::MessageSender& sender) override {
    answer.memory.reset();
    answer.sender = &sender;
    return &answer;
  }
  void on_protocol_error(http::MessageSender&, http::MessageReceiver&, const http::ProtocolError&) override { std::abort(); }
  void on_session_closed(net::CloseReason) override { closed = true; }
};

double ours(const std::vector<std::string>& rounds) {
  net::EventLoop loop;
  auto transport = std::make_unique<Tape>(rounds);
  Tape& tape = *transport;
  Events events;
  h2::Settings settings;
  settings.max_outbound_frames = UINT32_MAX;
  auto connection = net::Connection::over(loop, std::move(transport), *net::Address::parse("192.0.2.1:1"), *net::Address::parse("192.0.2.2:2"), {});
  net::Connection& wire = *connection;
  auto session = h2::make_server_session(std::move(connection), settings, events);
  const auto start = std::chrono::steady_clock::now();
  net::LoopTask again([](void* p) { static_cast<net::Connection*>(p)->on_fd_ready(EPOLLIN); }, &wire);
  loop.run_until(
      [&] {
        loop.run_soon(again);
        return tape.at == rounds.size() || events.closed;
      },
      std::chrono::seconds(600));
  const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
  if (events.closed || tape.written == 0) std::abort();
  session.reset();
  return ns / static_cast<double>(rounds.size()) / kStreams;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 3'000;
  for (const auto& [name, request] : {std::pair("small", kSmall), std::pair("browser", kBrowser)}) {
    const auto tape = record(request, rounds);
    const double without = bare(tape);
    const double with = ours(tape);
    std::printf("%-8s %2zu fields  bare nghttp2 %7.1f ns  session %7.1f ns\n", name, request.size(), without, with);
  }
  return 0;
}
