// A blocking TLS client for tests: one connection, its peer's certificate, requests over HTTP/1.1. Every wait is bounded (10 s).
// Used from one thread; a failure is told by error() and is no exception, so that threads may use it.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>

namespace fairlead::testing {

class TlsClient {
 public:
  struct Options {
    std::string server_name = "example.test";
    std::string chain, key;  // own, PEM; empty: none
  };
  explicit TlsClient(uint16_t port);
  TlsClient(uint16_t port, const Options& options);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;

  bool connected() const { return error_.empty(); }
  const std::string& error() const { return error_; }
  std::string peer_name() const;  // common name of the server's certificate
  // The status of a request on this connection; 0: it broke.
  int get(const std::string& path);

 private:
  void fail(const std::string& what);
  int fd_ = -1;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
  std::string error_;
};

}  // namespace fairlead::testing
