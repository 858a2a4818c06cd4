// See tls_client.h.
#include "tests/integration/support/tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace fairlead::testing {
namespace {

int connect_to(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  timeval limit{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) return fd;
  close(fd);
  return -1;
}

void use_own(SSL_CTX* context, const TlsClient::Options& options) {
  if (options.chain.empty()) return;
  BIO* chain = BIO_new_mem_buf(options.chain.data(), static_cast<int>(options.chain.size()));
  BIO* key = BIO_new_mem_buf(options.key.data(), static_cast<int>(options.key.size()));
  X509* certificate = PEM_read_bio_X509(chain, nullptr, nullptr, nullptr);
  EVP_PKEY* own = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(context, certificate);
  SSL_CTX_use_PrivateKey(context, own);
  X509_free(certificate);
  EVP_PKEY_free(own);
  BIO_free(chain);
  BIO_free(key);
}

}  // namespace

TlsClient::TlsClient(uint16_t port) : TlsClient(port, Options{}) {}

TlsClient::TlsClient(uint16_t port, const Options& options) : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  use_own(context_.get(), options);
  fd_ = connect_to(port);
  if (fd_ < 0) {
    fail("connect");
    return;
  }
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_tlsext_host_name(ssl_.get(), options.server_name.c_str());
  SSL_set_fd(ssl_.get(), fd_);
  if (SSL_connect(ssl_.get()) != 1) fail("handshake");
}

TlsClient::~TlsClient() {
  ssl_.reset();
  if (fd_ >= 0) close(fd_);
}

void TlsClient::fail(const std::string& what) {
  char reason[256] = "";
  if (const unsigned long code = ERR_peek_error(); code != 0) ERR_error_string_n(code, reason, sizeof reason);
  error_ = what + ": " + (reason[0] != '\0' ? reason : errno != 0 ? std::strerror(errno) : "the peer closed");
  ERR_clear_error();
}

std::string TlsClient::peer_name() const {
  if (ssl_ == nullptr || SSL_get0_peer_certificate(ssl_.get()) == nullptr) return "";
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(ssl_.get())), NID_commonName, name, sizeof name);
  return name;
}

int TlsClient::get(const std::string& path) {
  if (!connected()) return 0;
  const std::string request = "GET " + path + " HTTP/1.1\r\nhost: example.test\r\n\r\n";
  if (SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size())) <= 0) {
    fail("write");
    return 0;
  }
  std::string answer;
  while (true) {
    char buffer[4096];
    const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
    if (n <= 0) {
      fail("read");
      return 0;
    }
    answer.append(buffer, static_cast<size_t>(n));
    const size_t end = answer.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    const size_t length = answer.find("content-length: ");
    if (length == std::string::npos || length > end || answer.size() >= end + 4 + std::strtoul(answer.c_str() + length + 16, nullptr, 10)) break;
  }
  return std::atoi(answer.c_str() + 9);
}

}  // namespace fairlead::testing
