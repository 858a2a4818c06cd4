// Load for TLS servers: handshakes of TLS 1.3, each on a connection of its own that asks for nothing. bench_tls_load PORT [options]; after the time is
// up, or the count, prints "DONE FAILED RESUMED SECONDS P99_US". A handshake is done when the server has closed the connection in turn: it has read the
// client's Finished then, and sent its tickets.
//   --connections N (16) --seconds N (5) --most N (1000000) --resume: offer the newest ticket there is; the first is a full one and not counted
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  uint16_t port = 0;
  size_t connections = 16, most = 1'000'000;
  int seconds = 5;
  bool resume = false;
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

class Load {
 public:
  explicit Load(const Options& options) : options_(options), loop_(epoll_create1(EPOLL_CLOEXEC)), context_(SSL_CTX_new(TLS_client_method())), slots_(options.connections) {
    SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION);
    // one of each, so that every server does the same
    if (SSL_CTX_set_ciphersuites(context_, "TLS_AES_128_GCM_SHA256") != 1 || SSL_CTX_set1_groups_list(context_, "X25519") != 1) fail("OpenSSL");
    SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(context_, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(context_, this);
    SSL_CTX_sess_set_new_cb(context_, [](SSL* ssl, SSL_SESSION* session) {
      auto& load = *static_cast<Load*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
      if (load.newest_ != nullptr) SSL_SESSION_free(load.newest_);
      load.newest_ = SSL_SESSION_dup(session);  // a connection that ends without a close_notify spoils its own
      return 0;
    });
  }

  void run() {
    if (options_.resume) {
      begin(slots_.front());
      while (slots_.front().ssl != nullptr) turn(false);
      if (newest_ == nullptr) fail("the server has sent no ticket");
      done_ = failed_ = resumed_ = 0;
      times_.clear();
    }
    const auto began = Clock::now();
    const auto end = began + std::chrono::seconds(options_.seconds);
    for (Slot& slot : slots_) begin(slot);
    while (Clock::now() < end && done_ + failed_ < options_.most) turn(true);
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    std::sort(times_.begin(), times_.end());
    const uint32_t p99 = times_.empty() ? 0 : times_[std::min(times_.size() - 1, times_.size() * 99 / 100)];
    std::printf("%zu %zu %zu %.3f %u\n", done_, failed_, resumed_, seconds, p99);
  }

 private:
  struct Slot {
    SSL* ssl = nullptr;
    int fd = -1;
    bool established = false;
    Clock::time_point began;
  };

  // From an address of its own each: the ports of one would be used up.
  void begin(Slot& slot) {
    const auto index = static_cast<uint32_t>(&slot - slots_.data());
    slot.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(slot.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index % 200);
    if (slot.fd < 0 || bind(slot.fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) fail("bind");
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(options_.port);
    if (connect(slot.fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 && errno != EINPROGRESS) fail("connect");
    slot.began = Clock::now();
    slot.established = false;
    slot.ssl = SSL_new(context_);
    SSL_set_fd(slot.ssl, slot.fd);
    SSL_set_connect_state(slot.ssl);
    if (options_.resume && newest_ != nullptr) {
      SSL_SESSION* const own = SSL_SESSION_dup(newest_);
      SSL_set_session(slot.ssl, own);
      SSL_SESSION_free(own);
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &slot;
    epoll_ctl(loop_, EPOLL_CTL_ADD, slot.fd, &event);
  }

  enum class Step { kWait, kDone, kFailed };

  Step advance(Slot& slot) {
    ERR_clear_error();
    if (!slot.established) {
      if (const int result = SSL_do_handshake(slot.ssl); result != 1) {
        const int error = SSL_get_error(slot.ssl, result);
        return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? Step::kWait : Step::kFailed;
      }
      slot.established = true;
      SSL_shutdown(slot.ssl);
      shutdown(slot.fd, SHUT_WR);
    }
    char bytes[4096];
    for (;;) {
      const int n = SSL_read(slot.ssl, bytes, sizeof bytes);
      if (n > 0) continue;
      const int error = SSL_get_error(slot.ssl, n);
      if (error == SSL_ERROR_WANT_READ) return Step::kWait;
      return error == SSL_ERROR_SSL ? Step::kFailed : Step::kDone;  // some reset what the client has closed
    }
  }

  void turn(bool again) {
    std::array<epoll_event, 64> events;
    const int n = epoll_wait(loop_, events.data(), static_cast<int>(events.size()), 100);
    for (int i = 0; i < n; ++i) {
      Slot& slot = *static_cast<Slot*>(events[static_cast<size_t>(i)].data.ptr);
      const Step step = advance(slot);
      if (step == Step::kWait) continue;
      if (step == Step::kDone) {
        ++done_;
        resumed_ += SSL_session_reused(slot.ssl) == 1 ? 1 : 0;
        times_.push_back(static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - slot.began).count()));
      } else {
        ++failed_;
      }
      SSL_free(slot.ssl);
      slot.ssl = nullptr;
      close(slot.fd);
      if (again) begin(slot);
    }
  }

  const Options options_;
  const int loop_;
  SSL_CTX* const context_;
  std::vector<Slot> slots_;
  SSL_SESSION* newest_ = nullptr;
  size_t done_ = 0, failed_ = 0, resumed_ = 0;
  std::vector<uint32_t> times_;  // microseconds
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("bench_tls_load PORT [--connections N] [--seconds N] [--most N] [--resume]\n", stderr), 2;
  Options options;
  options.port = static_cast<uint16_t>(std::atoi(argv[1]));
  for (int i = 2; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--resume") {
      options.resume = true;
      continue;
    }
    if (i + 1 == argc) break;
    const auto value = static_cast<size_t>(std::atol(argv[++i]));
    if (name == "--connections") options.connections = std::max<size_t>(value, 1);
    if (name == "--seconds") options.seconds = static_cast<int>(value);
    if (name == "--most") options.most = value;
  }
  Load(options).run();
}
