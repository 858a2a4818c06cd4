// ServerContext and ClientContext: everything that the connections of one listener's chain or one cluster share. Made on the main thread
// from plain values, immutable then, used by all workers; connections hold the one that they began with, so that a newer one changes
// nothing for them. The only exception to immutability: the sessions that clients may resume, under a mutex.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/tls/certificate.h"
#include "dataplane/tls/options.h"

namespace fairlead::tls {

class Session;

// What is counted of connections.
enum class Count : uint8_t {
  kConnectionError,   // a handshake or a connection failed, but for what is counted below
  kHandshake,         // done
  kSessionReused,     // of those
  kNoCertificate,     // of those: the peer has shown none
  kFailVerifyNoCert,  // the peer had to show one
  kFailVerifyError,   // its chain does not lead to a trusted one
  kFailVerifySan,
  kFailVerifyCertHash,
  kOcspStapleRequests,
  kOcspStapleResponses,
  kOcspStapleOmitted,
  kOcspStapleFailed,
  kHandshakeTimeout,
};

// Who counts: one object may serve any number of connections of one worker. Outlives them.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void count(Count what) = 0;
  // The handshake is done (kHandshake has been counted): version, cipher, curve and signature algorithm are known.
  virtual void negotiated(const Session& session) = 0;
};

// A certificate and where it came from, as /certs lists it.
struct ListedCertificate {
  std::string place;
  CertificateFacts facts;
  std::string secret = {};  // its name; empty: none
};

// Parts by themselves, for whoever has to judge one before all are there. Errors as create()'s.
absl::Status check(const CommonOptions& options, bool server);
absl::Status check_certificate(const KeyPair& pair);
absl::Status check_authorities(const Verification& verification);
absl::Status check_ticket_keys(const std::vector<std::string>& keys);

class ServerContext {
 public:
  // Errors say which certificate, in Envoy's words where it has some: "Failed to load certificate chain from a.pem".
  static absl::StatusOr<std::shared_ptr<const ServerContext>> create(const ServerOptions& options);
  ~ServerContext();

  const std::vector<ListedCertificate>& certificates() const { return certificates_; }  // leaves
  const std::vector<ListedCertificate>& trusted() const { return trusted_; }

  struct Material;
  const Material& material() const { return *material_; }

 private:
  ServerContext();
  std::unique_ptr<Material> material_;
  std::vector<ListedCertificate> certificates_, trusted_;
};

class ClientContext {
 public:
  static absl::StatusOr<std::shared_ptr<const ClientContext>> create(const ClientOptions& options);
  ~ClientContext();

  const std::vector<ListedCertificate>& certificates() const { return certificates_; }
  const std::vector<ListedCertificate>& trusted() const { return trusted_; }

  struct Material;
  const Material& material() const { return *material_; }

 private:
  ClientContext();
  std::unique_ptr<Material> material_;
  std::vector<ListedCertificate> certificates_, trusted_;
};

}  // namespace fairlead::tls
