// The TLS of one connection; see session.h.
#include "dataplane/tls/session.h"

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "dataplane/net/address.h"
#include "dataplane/net/connection.h"
#include "dataplane/tls/handshake_kdf.h"
#include "dataplane/tls/material.h"

namespace fairlead::tls {
namespace {

using net::HandshakeState;
using net::IoResult;

constexpr size_t kRecord = 16384;

// Small pieces of a chain become one record here. One a thread: nothing of it is kept between calls.
char* gather_room() {
  thread_local const std::unique_ptr<char[]> room(new char[kRecord]);
  return room.get();
}

// --- the descriptor as OpenSSL sees it ------------------------------------------------------------------------------------

int bio_read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  const int n = static_cast<Session*>(BIO_get_data(bio))->receive_sparingly(into, size);
  if (n == -1) BIO_set_retry_read(bio);
  return n == INT_MIN ? 0 : n;
}

int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  const int n = static_cast<Session*>(BIO_get_data(bio))->send(from, size);
  if (n == -1) BIO_set_retry_write(bio);
  return n == INT_MIN ? 0 : n;
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

}  // namespace

Session::Session() = default;

Session::~Session() {
  close(false);
  if (ssl_ == nullptr) return;
  // Else OpenSSL forgets the session of a connection that ends without a word, as most do. After fatal alerts it has done so already.
  if (established_) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
}

std::unique_ptr<Session> Session::accept(std::shared_ptr<const ServerContext> context, std::unique_ptr<Observer> observer) {
  std::unique_ptr<Session> session(new Session());
  session->observer_ = std::move(observer);
  session->start(SSL_new(context->material().served.front().ctx.get()));
  session->wants_own_records_ = context->material().own_records && own_records_allowed();
  session->server_context_ = std::move(context);
  if (session->wants_own_records_) SSL_set_read_ahead(session->ssl_, 0);
  SSL_set_accept_state(session->ssl_);
  return session;
}

std::unique_ptr<Session> Session::connect(std::shared_ptr<const ClientContext> context, ClientPeer peer, std::unique_ptr<Observer> observer) {
  std::unique_ptr<Session> session(new Session());
  const ClientContext::Material& material = context->material();
  session->client_ = true;
  session->observer_ = std::move(observer);
  session->start(SSL_new(material.ctx.get()));
  session->server_name_ = peer.server_name.empty() ? material.server_name : std::move(peer.server_name);
  session->verify_name_ = std::move(peer.verify_name);
  session->for_request_ = peer.for_request;
  if (!session->server_name_.empty()) SSL_set_tlsext_host_name(session->ssl_, session->server_name_.c_str());
  if (!peer.alpn.empty()) SSL_set_alpn_protos(session->ssl_, reinterpret_cast<const unsigned char*>(peer.alpn.data()), static_cast<unsigned>(peer.alpn.size()));
  if (material.max_sessions != 0) {
    if (const SslSessionPtr known = material.take_session(session->server_name_, session->verify_name_)) SSL_set_session(session->ssl_, known.get());
  }
  session->client_context_ = std::move(context);
  SSL_set_connect_state(session->ssl_);
  return session;
}

void Session::start(SSL* ssl) {
  ssl_ = ssl;
  SSL_set_app_data(ssl_, this);
  BIO* bio = BIO_new(bio_method());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
}

Session& Session::of(const SSL* ssl) { return *static_cast<Session*>(SSL_get_app_data(ssl)); }

void Session::attach(int fd) { fd_ = fd; }

uint32_t Session::ready(uint32_t events) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) can_read_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) ended_ = true;
  if ((events & EPOLLOUT) != 0) {
    can_write_ = true;
    if (shutdown_due_) shutdown_write();
    if (read_wants_room_) events |= EPOLLIN;
  }
  if (write_wants_bytes_ && (events & EPOLLIN) != 0) events |= EPOLLOUT;
  return events;
}

// -1: would block; INT_MIN: the end or an error, in errno_.
int Session::receive(char* into, int size) {
  if (!can_read_ || fd_ < 0) return -1;
  ssize_t n;
  do {
    n = recv(fd_, into, static_cast<size_t>(size), 0);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    if (n < size && !ended_) can_read_ = false;  // a later arrival makes a new edge
    return static_cast<int>(n);
  }
  if (n < 0 && errno == EAGAIN) {
    can_read_ = false;
    return -1;
  }
  errno_ = n < 0 ? errno : 0;
  return INT_MIN;
}

int Session::send(const char* from, int size) {
  if (!can_write_ || fd_ < 0) return -1;
  ssize_t n;
  do {
    n = ::send(fd_, from, static_cast<size_t>(size), MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) {
    if (secrets_ && secrets_->server) secrets_->sent.add(from, static_cast<size_t>(n));
    if (n < size) can_write_ = false;
    return static_cast<int>(n);
  }
  if (errno == EAGAIN) {
    can_write_ = false;
    return -1;
  }
  errno_ = errno;
  return INT_MIN;
}

HandshakeState Session::handshake() {
  if (failed_) return HandshakeState::Failed;
  ERR_clear_error();
  const SecretListener listener(wants_own_records_ ? &secrets_ : nullptr);
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    established_now();
    return HandshakeState::Done;
  }
  const int error = SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return HandshakeState::Wait;
  note_failure();
  return HandshakeState::Failed;
}

void Session::established_now() {
  established_ = true;
  if (observer_) {
    observer_->count(Count::kHandshake);
    if (resumed()) observer_->count(Count::kSessionReused);
    if (!peer_presented()) observer_->count(Count::kNoCertificate);
    observer_->negotiated(*this);
  }
  if (wants_own_records_) take_over();
}

// A failed connection says why, once; its errors count as what they are.
void Session::note_failure() {
  failed_ = true;
  bool without_certificate = false;
  const unsigned long first = ERR_peek_error();
  if (ERR_GET_LIB(first) == ERR_LIB_SSL && ERR_GET_REASON(first) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) without_certificate = true;
  const std::string errors = take_errors();
  if (errors.empty()) return;  // the descriptor ended or broke
  if (without_certificate) {
    count(Count::kFailVerifyNoCert);
    detail_ = "peer did not provide required client certificate";
  } else if (!counted_) {
    count(Count::kConnectionError);
  }
  failure_ = absl::StrCat("TLS_error:", errors, detail_.empty() ? "" : ":", detail_, ":TLS_error_end");
}

void Session::verification_failed(Count why, std::string detail) {
  counted_ = true;
  count(why);
  detail_ = std::move(detail);
}

IoResult Session::failed_io(int result, size_t bytes, bool reading) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      (reading ? read_wants_room_ : write_wants_bytes_) = !reading;
      return {IoResult::Next::Done, bytes, 0};
    case SSL_ERROR_WANT_WRITE:
      (reading ? read_wants_room_ : write_wants_bytes_) = reading;
      return {IoResult::Next::Done, bytes, 0};
    case SSL_ERROR_ZERO_RETURN: return {IoResult::Next::Closed, bytes, 0};
    default: break;
  }
  const bool quiet = ERR_peek_error() == 0 && errno_ == 0;  // the peer's FIN without a close_notify
  if (!reading && ERR_peek_error() == 0) {  // a broken pipe: what the peer has said before may still be read
    shutdown_done_ = true;
    return {IoResult::Next::Error, bytes, errno_};
  }
  note_failure();
  if (quiet && reading) return {IoResult::Next::Closed, bytes, 0};
  return {IoResult::Next::Error, bytes, errno_};
}

IoResult Session::read(net::Buffer& into, size_t limit) {
  if (failed_) return {IoResult::Next::Error, 0, errno_};
  if (own_) return read_own(into, limit);
  ERR_clear_error();
  errno_ = 0;
  size_t total = 0;
  while (total < limit) {
    // The usual end: OpenSSL would take a buffer of 16 KiB to learn that there is nothing.
    if (!can_read_ && !read_wants_room_ && held_.empty() && SSL_has_pending(ssl_) == 0) return {IoResult::Next::Done, total, 0};
    net::Buffer::Reservation room;
    into.reserve_read(room, 1);
    const int n = SSL_read(ssl_, room.pieces[0].iov_base, static_cast<int>(room.pieces[0].iov_len));
    into.commit_read(room, n > 0 ? static_cast<size_t>(n) : 0);
    if (n <= 0) return failed_io(n, total, true);
    read_wants_room_ = false;
    total += static_cast<size_t>(n);
  }
  return {IoResult::Next::Again, total, 0};
}

IoResult Session::write(net::Buffer& from) {
  if (failed_) return {IoResult::Next::Error, 0, errno_ != 0 ? errno_ : EPIPE};
  if (own_) return write_own(from);
  ERR_clear_error();
  size_t total = 0;
  while (!from.empty()) {
    std::string_view piece = from.front();
    if (piece.size() < kRecord && piece.size() < from.size()) {
      const size_t size = std::min(from.size(), kRecord);
      from.copy_out(0, gather_room(), size);
      piece = {gather_room(), size};
    }
    const int n = SSL_write(ssl_, piece.data(), static_cast<int>(std::min<size_t>(piece.size(), kRecord)));
    if (n <= 0) return failed_io(n, total, false);
    write_wants_bytes_ = false;
    from.drain(static_cast<size_t>(n));
    total += static_cast<size_t>(n);
  }
  return {IoResult::Next::Done, total, 0};
}

void Session::shutdown_write() {
  if (own_) return shutdown_own();
  shutdown_due_ = false;
  if (shutdown_done_ || failed_ || fd_ < 0) return;
  if (!established_) {
    ::shutdown(fd_, SHUT_WR);
    return;
  }
  ERR_clear_error();
  const int result = SSL_shutdown(ssl_);
  if (result < 0 && SSL_get_error(ssl_, result) == SSL_ERROR_WANT_WRITE) {
    shutdown_due_ = true;
    return;
  }
  shutdown_done_ = true;
}

void Session::close(bool reset) {
  if (fd_ < 0) return;
  if (reset) {
    struct linger hard {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  } else if (established_) {
    shutdown_write();
  }
  ::close(fd_);
  fd_ = -1;
}

int Session::staple(SSL* ssl) {
  if (staple_ == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, OPENSSL_memdup(staple_->data(), staple_->size()), static_cast<long>(staple_->size()));
  count(Count::kOcspStapleResponses);
  return SSL_TLSEXT_ERR_OK;
}

void Session::session_offered(SSL_SESSION* session) { client_context_->material().keep_session(server_name_, verify_name_, SslSessionPtr(session)); }

void Session::log_key(const char* line) {
  const Common& common = client_ ? static_cast<const Common&>(client_context_->material()) : server_context_->material();
  if (common.key_log_wanted) {
    const auto local = net::Address::local_of(fd_), remote = net::Address::peer_of(fd_);
    if (!local.ok() || !remote.ok() || !common.key_log_wanted(*local, *remote)) return;
  }
  common.key_log->append(line);
}

bool Session::resumed() const { return own_ ? own_->resumed : SSL_session_reused(ssl_) == 1; }
std::string_view Session::version() const { return own_ ? "TLSv1.3" : SSL_get_version(ssl_); }

std::string_view Session::cipher() const {
  if (own_) return own_->cipher;
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl_);
  return cipher == nullptr ? std::string_view() : SSL_CIPHER_get_name(cipher);
}

std::string_view Session::curve() const {
  if (own_) return own_->curve;
  switch (static_cast<int>(SSL_get_negotiated_group(ssl_))) {
    case NID_X25519: return "X25519";
    case NID_X9_62_prime256v1: return "P-256";
    case NID_secp384r1: return "P-384";
    case NID_secp521r1: return "P-521";
    case NID_X448: return "X448";
    default: return "";
  }
}

std::string_view Session::signature() const {
  if (own_) return own_->signature;
  int type = 0, hash = 0;
  if (SSL_get_peer_signature_type_nid(ssl_, &type) != 1) return "";
  SSL_get_peer_signature_nid(ssl_, &hash);
  const int which = hash == NID_sha256 ? 0 : hash == NID_sha384 ? 1 : hash == NID_sha512 ? 2 : hash == NID_sha1 ? 3 : 4;
  if (type == EVP_PKEY_ED25519) return "ed25519";
  if (which == 4) return "";
  constexpr std::string_view ecdsa[] = {"ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512", "ecdsa_sha1"};
  constexpr std::string_view pss[] = {"rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512", ""};
  constexpr std::string_view rsa[] = {"rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512", "rsa_pkcs1_sha1"};
  switch (type) {
    case EVP_PKEY_EC: return ecdsa[which];
    case EVP_PKEY_RSA_PSS: return pss[which];
    case EVP_PKEY_RSA: return rsa[which];
    default: return "";
  }
}

std::string_view Session::alpn() const {
  if (own_) return own_->alpn;
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string Session::session_id() const {
  if (own_) return "";  // TLS 1.3 has none
  const SSL_SESSION* session = SSL_get_session(ssl_);
  if (session == nullptr) return "";
  unsigned size = 0;
  const unsigned char* id = SSL_SESSION_get_id(session, &size);
  return absl::BytesToHexString(std::string_view(reinterpret_cast<const char*>(id), size));
}

bool Session::peer_presented() const { return own_ ? own_->presented : SSL_get0_peer_certificate(ssl_) != nullptr; }

const std::shared_ptr<const ConnectionFacts>& Session::facts() const {
  if (facts_ || !established_) return facts_;
  auto facts = std::make_shared<ConnectionFacts>();
  facts->version = version();
  facts->cipher = cipher();
  facts->curve = curve();
  if (!own_ && SSL_version(ssl_) != TLS1_3_VERSION) facts->session_id = session_id();  // there is none on the wire; BoringSSL shows none
  facts->server_name = server_name_;
  facts->alpn = alpn();
  facts->presented = peer_presented();
  facts->validated = validated_;
  if (!client_) {
    facts->local = {server_context_, &server_context_->certificates()[certificate_].facts};
  } else if (!client_context_->certificates().empty()) {
    facts->local = {client_context_, &client_context_->certificates().front().facts};
  }
  if (own_) {
    facts->chain = facts_of_ders(own_->peer_chain);
    if (!facts->chain.empty()) facts->peer = facts->chain.front();
    std::vector<std::string>().swap(own_->peer_chain);
  } else if (const X509* certificate = SSL_get0_peer_certificate(ssl_)) {
    facts->peer = facts_of(certificate);
    const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl_);
    if (!client_ || sk_X509_num(chain) <= 0) facts->chain.push_back(*facts->peer);  // OpenSSL gives servers the rest alone
    for (int i = 0; i < sk_X509_num(chain); ++i) facts->chain.push_back(facts_of(sk_X509_value(chain, i)));
  }
  facts_ = std::move(facts);
  return facts_;
}

const Session* session_of(const net::Connection& connection) { return dynamic_cast<const Session*>(connection.transport()); }

}  // namespace fairlead::tls
