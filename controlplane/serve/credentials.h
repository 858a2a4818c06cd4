// The files behind the xDS port: its certificate and key, the authority of clients, the keys of their tokens, the rules who may be which node. Read at the start, when
// anything wrong ends it, and looked at every second from then on: what has changed goes into service once all of it fits together, and until then
// the old serves on. A thread of its own reads; nobody waits for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/statusor.h>

#include "controlplane/serve/authorization.h"
#include "controlplane/serve/tokens.h"
#include "dataplane/tls/context.h"

namespace fairlead::serve {

class Credentials {
 public:
  struct Files {
    std::string certificate, key;         // PEM; both empty: no TLS
    std::string client_ca;                // PEM bundle; empty: clients are not asked for a certificate
    std::vector<Authorization::Line> rules;
    std::string rules_file;               // a rule a line; empty: none
    std::string token_keys;               // JWKS; empty: clients show no tokens. Else a certificate is not needed, but verified where there is one
    TokenVerifier::Policy token_policy;
  };
  struct Texts {
    std::string certificate, key, client_ca, rules, token_keys;
    bool operator==(const Texts&) const = default;
  };
  struct Loaded {
    Texts from;
    std::shared_ptr<const tls::ServerContext> tls;       // null: plaintext
    std::shared_ptr<const Authorization> authorization;  // null: no rules
    std::shared_ptr<const TokenVerifier> tokens;         // null: none
  };
  using Changed = std::function<void(Loaded)>;
  using Rejected = std::function<void(const absl::Status& why)>;

  // Reads it all. Errors name the file.
  static absl::StatusOr<Loaded> load(const Files& files);

  // Watches; `in_use` is what load() has read. Both are called on the thread.
  Credentials(Files files, const Loaded& in_use, Changed changed, Rejected rejected, std::chrono::milliseconds every = std::chrono::seconds(1));
  ~Credentials();

 private:
  static absl::StatusOr<Texts> read(const Files& files);
  static absl::StatusOr<Loaded> make(const Files& files, Texts texts);
  void look();
  void run();

  const Files files_;
  const Changed changed_;
  const Rejected rejected_;
  const std::chrono::milliseconds every_;
  Texts in_use_;
  std::string complaint_;  // made already
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace fairlead::serve
