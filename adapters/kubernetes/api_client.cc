// Connections and their pool; what cpp-httplib leaves open: verification against just the given authorities, cancelling, causes. See api_client.h.
#include "adapters/kubernetes/api_client.h"

#include <netdb.h>
#include <poll.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <httplib.h>

#include "base/clock.h"
#include "base/doc.h"
#include "base/status.h"

namespace fairlead::adapters::kubernetes {

namespace {

constexpr size_t kMostIdle = 4;
constexpr std::chrono::seconds kIdleFor{30};  // Go's servers close idle connections after 90 s and more
constexpr size_t kMostErrorBody = size_t{64} << 10;

// Why OpenSSL did not like the server's certificate: its callback has no other way out than the thread.
thread_local std::string verify_error;

int on_verify(int ok, X509_STORE_CTX* context) {
  if (ok == 0) verify_error = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
  return ok;
}

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return text == nullptr ? "" : text;
}

std::vector<X509*> read_certificates(const std::string& pem) {
  std::vector<X509*> out;
  BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  while (X509* certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr)) out.push_back(certificate);
  BIO_free(in);
  ERR_clear_error();  // the end of the text is an error, too
  return out;
}

absl::Status trust(SSL_CTX* ctx, const Material& authorities) {
  if (authorities.empty()) {
    SSL_CTX_set_default_verify_paths(ctx);
    return absl::OkStatus();
  }
  FL_ASSIGN_OR_RETURN(const std::string pem, authorities.read());
  const std::vector<X509*> certificates = read_certificates(pem);
  for (X509* c : certificates) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), c);
    X509_free(c);
  }
  if (certificates.empty()) return absl::InvalidArgumentError(absl::StrCat("certificate-authority: no certificate in ", authorities.text.empty() ? authorities.file : "its data"));
  return absl::OkStatus();
}

absl::Status identify(SSL_CTX* ctx, const Material& certificate, const Material& key) {
  if (certificate.empty()) return absl::OkStatus();
  FL_ASSIGN_OR_RETURN(const std::string chain_pem, certificate.read());
  FL_ASSIGN_OR_RETURN(const std::string key_pem, key.read());
  const std::vector<X509*> chain = read_certificates(chain_pem);
  bool good = !chain.empty();
  for (size_t i = 0; i < chain.size(); ++i) {
    good = good && (i == 0 ? SSL_CTX_use_certificate(ctx, chain[i]) : SSL_CTX_add1_chain_cert(ctx, chain[i])) == 1;
    X509_free(chain[i]);
  }
  if (!good) return absl::InvalidArgumentError("client-certificate: no certificate to show");
  BIO* in = BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size()));
  EVP_PKEY* pkey = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  BIO_free(in);
  good = pkey != nullptr && SSL_CTX_use_PrivateKey(ctx, pkey) == 1 && SSL_CTX_check_private_key(ctx) == 1;
  EVP_PKEY_free(pkey);
  ERR_clear_error();
  return good ? absl::OkStatus() : absl::InvalidArgumentError("client-key: not a private key, or not that of the client-certificate");
}

// Why there is no address for the name; empty when there is one, which `address` then gets.
std::string resolve(const std::string& host, std::string* address) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) return absl::StrCat(host, ": ", gai_strerror(error));
  char text[NI_MAXHOST] = {};
  getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  if (address != nullptr) *address = text;
  return "";
}

// Why a connection is refused, as errno; 0 when that does not show at once. Asked by another attempt: the library reads the cause and drops it.
int refusal_of(const std::string& host, int port) {
  constexpr int kAtMostMs = 100;
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return 0;
  int error = 0;
  const int attempt = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (attempt >= 0) {
    if (connect(attempt, found->ai_addr, found->ai_addrlen) != 0) error = errno;
    pollfd wait{attempt, POLLOUT, 0};
    socklen_t size = sizeof error;
    if (error == EINPROGRESS && (poll(&wait, 1, kAtMostMs) != 1 || getsockopt(attempt, SOL_SOCKET, SO_ERROR, &error, &size) != 0)) error = 0;
    close(attempt);
  }
  freeaddrinfo(found);
  return error;
}

}  // namespace

// One connection, in use by one thread. `descriptor_` is a second descriptor of its socket: shutting that down ends whatever the library
// waits for in it, and it cannot become another file's while the library closes its own.
class ApiClient::Connection {
 public:
  Connection(const Options& options, Shared& shared) : options_(options), shared_(shared) {}
  ~Connection();
  absl::Status open();

  httplib::Result send(const httplib::Request& request, std::chrono::milliseconds silence) {
    client_->set_read_timeout(silence);
    ERR_clear_error();
    verify_error.clear();
    errno = 0;
    return client_->send(request);
  }
  // Of a send() that gave no result, right after it.
  absl::Status cause(httplib::Error error) const;
  void shut() const {
    if (descriptor_ >= 0) shutdown(descriptor_, SHUT_RDWR);
  }
  MonotonicTime idle_since{};

 private:
  void on_socket(int socket);

  const Options& options_;
  Shared& shared_;
  std::unique_ptr<httplib::ClientImpl> client_;
  int descriptor_ = -1;  // guarded by Shared::mutex
};

struct ApiClient::Shared {
  std::mutex mutex;
  bool cancelled = false;                          // guarded, as all here
  std::set<const Connection*> in_use;
  std::vector<std::unique_ptr<Connection>> idle;   // the one used last at the end
};

ApiClient::Connection::~Connection() {
  client_.reset();
  if (descriptor_ >= 0) close(descriptor_);
}

void ApiClient::Connection::on_socket(int socket) {
  const int on = 1, idle = 15, interval = 5, probes = 3;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  std::lock_guard lock(shared_.mutex);
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = dup(socket);
  if (shared_.cancelled) shut();
}

absl::Status ApiClient::Connection::open() {
  const Credentials& c = options_.credentials;
  if (!c.tls) {
    client_ = std::make_unique<httplib::ClientImpl>(c.host, c.port);
  } else {
    // The library shows the name it was made with to the server; where to connect is then another matter.
    const std::string& name = c.tls_server_name.empty() ? c.host : c.tls_server_name;
    auto client = std::make_unique<httplib::SSLClient>(name, c.port);
    if (name != c.host) {
      std::string address;
      if (const std::string error = resolve(c.host, &address); !error.empty()) return absl::UnavailableError(absl::StrCat(c.server, ": ", error));
      client->set_hostname_addr_map({{name, address}});
    }
    SSL_CTX* ctx = client->ssl_context();
    if (ctx == nullptr) return absl::InternalError(absl::StrCat(c.server, ": no TLS context: ", openssl_reason()));
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    // Verified by OpenSSL itself: the library would add the system's authorities to those given, and matches names less strictly.
    client->enable_server_certificate_verification(false);
    if (!c.insecure_skip_tls_verify) {
      absl::Status trusted = trust(ctx, c.authorities);
      if (!trusted.ok()) return absl::FailedPreconditionError(absl::StrCat(c.server, ": ", trusted.message()));
      SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
      X509_VERIFY_PARAM* wanted = SSL_CTX_get0_param(ctx);
      if (X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str()) != 1) {
        X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), name.size());
      }
      ERR_clear_error();
    }
    absl::Status known = identify(ctx, c.client_certificate, c.client_key);
    if (!known.ok()) return absl::FailedPreconditionError(absl::StrCat(c.server, ": ", known.message()));
    client_ = std::move(client);
  }
  client_->set_keep_alive(true);
  client_->set_url_encode(false);
  client_->set_follow_location(false);
  client_->set_connection_timeout(options_.timeout);
  client_->set_write_timeout(options_.timeout);
  client_->set_socket_options([this](int socket) { on_socket(socket); });
  return absl::OkStatus();
}

absl::Status ApiClient::Connection::cause(httplib::Error error) const {
  const int number = errno;  // as the last call that failed left it
  const Credentials& c = options_.credentials;
  std::string why;
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      why = resolve(c.host, nullptr);
      if (!why.empty()) break;
      if (error == httplib::Error::ConnectionTimeout) {
        why = absl::StrCat("no connection within ", options_.timeout.count(), " ms");
      } else {
        const int refusal = number > 0 && number != EINPROGRESS ? number : refusal_of(c.host, c.port);
        why = absl::StrCat("cannot connect", refusal > 0 ? absl::StrCat(": ", strerror(refusal)) : "");
      }
      break;
    case httplib::Error::SSLConnection: {
      const std::string reason = openssl_reason();
      why = absl::StrCat("TLS: ", !verify_error.empty() ? absl::StrCat("the server's certificate: ", verify_error) : reason.empty() ? "the handshake broke off" : reason);
      break;
    }
    case httplib::Error::Read:
      why = "the connection ended, or was silent for too long, before the answer was whole";
      break;
    case httplib::Error::Write:
      why = "the connection ended in sending";
      break;
    default:
      why = httplib::to_string(error);
  }
  return absl::UnavailableError(absl::StrCat(c.server, ": ", why));
}

ApiClient::ApiClient(Options options) : options_(std::move(options)), shared_(std::make_unique<Shared>()) {}
ApiClient::~ApiClient() = default;

void ApiClient::cancel() {
  std::lock_guard lock(shared_->mutex);
  shared_->cancelled = true;
  for (const Connection* c : shared_->in_use) c->shut();
}

bool ApiClient::cancelled() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->cancelled;
}

// `kept`: in, whether one that was used before will do; out, whether it is one.
absl::StatusOr<std::unique_ptr<ApiClient::Connection>> ApiClient::take(bool& kept) {
  std::unique_ptr<Connection> connection;
  std::vector<std::unique_ptr<Connection>> stale;  // closed outside of the lock
  std::unique_lock lock(shared_->mutex);
  if (shared_->cancelled) return absl::CancelledError(absl::StrCat(server(), ": cancelled"));
  const MonotonicTime now = RealClock::instance().monotonic();
  auto fresh = std::find_if(shared_->idle.begin(), shared_->idle.end(), [&](const auto& c) { return now - c->idle_since < kIdleFor; });
  stale.assign(std::make_move_iterator(shared_->idle.begin()), std::make_move_iterator(fresh));
  shared_->idle.erase(shared_->idle.begin(), fresh);
  if (kept && !shared_->idle.empty()) {
    connection = std::move(shared_->idle.back());
    shared_->idle.pop_back();
  } else {
    kept = false;
    lock.unlock();
    connection = std::make_unique<Connection>(options_, *shared_);
    FL_RETURN_IF_ERROR(connection->open());
    lock.lock();
  }
  shared_->in_use.insert(connection.get());
  return connection;
}

void ApiClient::give_back(std::unique_ptr<Connection> connection) {
  connection->idle_since = RealClock::instance().monotonic();
  std::lock_guard lock(shared_->mutex);
  shared_->in_use.erase(connection.get());
  if (!shared_->cancelled && shared_->idle.size() < kMostIdle) shared_->idle.push_back(std::move(connection));
}

// What is asked, and what has come of it so far.
struct ApiClient::Exchange {
  httplib::Request request;
  std::chrono::milliseconds silence{};
  bool compress = true;   // unless the credentials say otherwise
  bool answered = false;  // the head of an answer has come
};

namespace {

std::map<std::string, std::string> lower(const httplib::Headers& headers) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : headers) out[absl::AsciiStrToLower(name)] = value;
  return out;
}

}  // namespace

absl::StatusOr<Response> ApiClient::run(Exchange& exchange) {
  const Credentials& c = options_.credentials;
  httplib::Request& r = exchange.request;
  r.path = absl::StrCat(c.base_path, r.path);
  r.headers.emplace("Host", absl::StrCat(absl::StrContains(c.host, ":") ? absl::StrCat("[", c.host, "]") : c.host, ":", c.port));
  r.headers.emplace("Accept", "application/json");
  r.headers.emplace("Accept-Encoding", c.compression && exchange.compress ? "gzip" : "identity");
  r.headers.emplace("User-Agent", options_.user_agent);
  if (!c.token.empty()) {
    const absl::StatusOr<std::string> token = c.token.read();
    if (!token.ok()) return absl::FailedPreconditionError(absl::StrCat(c.server, ": token: ", token.status().message()));
    r.headers.emplace("Authorization", absl::StrCat("Bearer ", absl::StripAsciiWhitespace(*token)));
  }
  for (bool kept = true;;) {
    FL_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, take(kept));
    httplib::Result result = connection->send(r, exchange.silence);
    if (result) {
      give_back(std::move(connection));
      return Response{result->status, std::move(result->body), lower(result->headers)};
    }
    const absl::Status cause = connection->cause(result.error());
    {
      std::lock_guard lock(shared_->mutex);
      shared_->in_use.erase(connection.get());
      if (shared_->cancelled) return absl::CancelledError(absl::StrCat(server(), ": cancelled"));
    }
    if (result.error() == httplib::Error::Canceled) return absl::CancelledError(absl::StrCat(server(), ": ended by its reader"));
    // The server may close a connection that was kept just when it is used again.
    if (!kept || exchange.answered || r.method != "GET") return cause;
    kept = false;
  }
}

absl::StatusOr<Response> ApiClient::request(std::string_view method, std::string_view path_and_query, std::string_view body, std::string_view content_type) {
  Exchange exchange;
  exchange.silence = options_.timeout;
  exchange.request.method = std::string(method);
  exchange.request.path = std::string(path_and_query);
  exchange.request.body = std::string(body);
  if (!content_type.empty()) exchange.request.headers.emplace("Content-Type", std::string(content_type));
  return run(exchange);
}

absl::StatusOr<Response> ApiClient::stream(std::string_view path_and_query, const std::function<bool(std::string_view)>& on_bytes) {
  Exchange exchange;
  exchange.request.path = std::string(path_and_query);
  return run_in_pieces(exchange, on_bytes, {});
}

absl::StatusOr<Response> ApiClient::watch(std::string_view path_and_query, const std::function<bool(std::string_view)>& on_bytes, const std::function<void()>& on_open) {
  Exchange exchange;
  exchange.compress = false;
  exchange.request.path = std::string(path_and_query);
  return run_in_pieces(exchange, on_bytes, on_open);
}

absl::StatusOr<Response> ApiClient::run_in_pieces(Exchange& exchange, const std::function<bool(std::string_view)>& on_bytes, const std::function<void()>& on_open) {
  exchange.silence = options_.stream_silence;
  exchange.request.method = "GET";
  bool good = false;
  std::string body;
  exchange.request.response_handler = [&](const httplib::Response& head) {
    exchange.answered = true;
    good = head.status >= 200 && head.status < 300;
    if (good && on_open) on_open();
    return true;
  };
  exchange.request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    if (good) return on_bytes(std::string_view(data, size));
    body.append(data, std::min(size, kMostErrorBody - std::min(kMostErrorBody, body.size())));
    return true;
  };
  FL_ASSIGN_OR_RETURN(Response response, run(exchange));
  response.body = std::move(body);
  return response;
}

std::string status_message(const Response& response) {
  std::string text;
  const absl::StatusOr<doc::Value> parsed = doc::parse_json(response.body, "");
  const doc::Value* message = parsed.ok() ? parsed->find("message") : nullptr;
  if (message != nullptr && message->is_string()) {
    text = message->as_string();
  } else {
    text = response.body.substr(0, 200);
    std::replace_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  }
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  return absl::StrCat(response.status, trimmed.empty() ? "" : ": ", trimmed);
}

std::string query_escape(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~') {
      out.push_back(c);
    } else {
      out.append({'%', kDigits[static_cast<unsigned char>(c) >> 4], kDigits[static_cast<unsigned char>(c) & 15]});
    }
  }
  return out;
}

}  // namespace fairlead::adapters::kubernetes
