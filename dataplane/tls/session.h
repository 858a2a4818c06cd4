// Session: the TLS of one connection, a net::Transport over its descriptor. Edges come by ready(); in between nothing is tried that has
// already said "would block", so that no call to the kernel ends in EAGAIN twice. One worker; owned by the net::Connection.
// A server's protects records by itself once a TLS 1.3 handshake is done (own_records.h), and lets go of OpenSSL's SSL.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "dataplane/net/transport.h"
#include "dataplane/tls/context.h"

typedef struct ssl_st SSL;
typedef struct ssl_session_st SSL_SESSION;
typedef struct bio_st BIO;

namespace fairlead::net {
class Connection;
}

namespace fairlead::tls {

struct HandshakeSecrets;
struct OwnRecords;

// What a connection adds to its cluster's context.
struct ClientPeer {
  std::string server_name;   // SNI instead of the context's
  std::string verify_name;   // what the certificate must also be for; empty: nothing more
  std::string alpn;          // protocols on the wire instead of the context's, as "\x02h2"
  bool for_request = false;  // verify_name is a request's, not the configuration's; only the text of a failure differs
};

class Session final : public net::Transport {
 public:
  // `observer` may be null; it outlives the session unless it is handed over.
  static std::unique_ptr<Session> accept(std::shared_ptr<const ServerContext> context, std::unique_ptr<Observer> observer);
  static std::unique_ptr<Session> connect(std::shared_ptr<const ClientContext> context, ClientPeer peer, std::unique_ptr<Observer> observer);
  ~Session() override;

  // net::Transport
  void attach(int fd) override;
  net::HandshakeState handshake() override;
  void handshake_timed_out() override { count(Count::kHandshakeTimeout); }
  uint32_t ready(uint32_t epoll_events) override;
  net::IoResult read(net::Buffer& into, size_t limit) override;
  net::IoResult write(net::Buffer& from) override;
  void shutdown_write() override;
  void close(bool reset) override;
  std::string_view failure_reason() const override { return failure_; }

  bool established() const { return established_; }
  bool own_records() const { return own_ != nullptr; }
  bool resumed() const;
  std::string_view version() const;     // "TLSv1.3"
  std::string_view cipher() const;      // "TLS_AES_128_GCM_SHA256"
  std::string_view curve() const;       // "X25519"; empty: none
  std::string_view signature() const;   // of the peer: "ecdsa_secp256r1_sha256"; empty: it has signed nothing
  std::string_view alpn() const;        // empty: none
  const std::string& server_name() const { return server_name_; }  // that the client asked for, lower case
  std::string session_id() const;       // lower case hex
  bool peer_presented() const;
  bool peer_validated() const { return validated_; }  // in this handshake: Envoy 1.40 takes a resumed session's for not validated
  // All of that and the certificates; null before the handshake is done. Made on first use; whoever prints it later may keep it.
  const std::shared_ptr<const ConnectionFacts>& facts() const;

  // For the callbacks of this room.
  static Session& of(const SSL* ssl);
  const std::string& names_to_verify() const { return verify_name_; }
  bool verifies_for_request() const { return for_request_; }
  void verification_failed(Count why, std::string detail);
  void peer_verified() { validated_ = true; }
  void hello_seen(std::string server_name, size_t certificate) {
    server_name_ = std::move(server_name);
    certificate_ = static_cast<uint32_t>(certificate);
  }
  void set_staple(const std::string* staple) { staple_ = staple; }
  int staple(SSL* ssl);
  void count(Count what) {
    if (observer_) observer_->count(what);
  }
  void log_key(const char* line);
  void session_offered(SSL_SESSION* session);
  int receive(char* into, int size);
  int receive_sparingly(char* into, int size);
  int send(const char* from, int size);

 private:
  Session();
  void start(SSL* ssl);
  net::IoResult failed_io(int result, size_t bytes, bool reading);
  void note_failure();
  void established_now();
  // session_records.cc
  void take_over();
  void hold(const void* bytes, size_t size);
  net::IoResult read_own(net::Buffer& into, size_t limit);
  net::IoResult write_own(net::Buffer& from);
  net::IoResult own_failed(size_t bytes);
  void shutdown_own();

  SSL* ssl_ = nullptr;  // null: own_
  std::unique_ptr<OwnRecords> own_;
  std::unique_ptr<HandshakeSecrets> secrets_;
  std::string held_;    // has come, and waits for more or for OpenSSL to ask for it
  int fd_ = -1;
  bool client_ = false, wants_own_records_ = false;
  bool can_read_ = false, can_write_ = true;
  bool ended_ = false;          // the peer's end is announced: read until 0
  bool read_wants_room_ = false, write_wants_bytes_ = false;
  bool established_ = false, failed_ = false, validated_ = false, counted_ = false;
  bool for_request_ = false;    // verify_name_ is
  bool shutdown_due_ = false, shutdown_done_ = false;
  int errno_ = 0;
  uint32_t certificate_ = 0;    // of the context's
  const std::string* staple_ = nullptr;
  std::unique_ptr<Observer> observer_;
  std::shared_ptr<const ServerContext> server_context_;
  std::shared_ptr<const ClientContext> client_context_;
  std::string server_name_, verify_name_;
  std::string failure_, detail_;
  mutable std::shared_ptr<const ConnectionFacts> facts_;
};

// Whether servers' handshakes that begin from now on may end without SSL; true at first. A switch for operators. Any thread.
void allow_own_records(bool allowed);
bool own_records_allowed();

// Null: the connection is plain.
const Session* session_of(const net::Connection& connection);

}  // namespace fairlead::tls
