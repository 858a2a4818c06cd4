// TLS13-KDF for OpenSSL's handshakes, as a provider inside of this program: what secrets are derived with. It gives what OpenSSL's own gives, but does not
// look up its hash anew for each of the some 25 secrets of a handshake; and it tells the two that protect records afterwards to the session, for
// its own records. (OpenSSL itself tells them in its key log alone, as text: digit by digit, for five secrets, with sprintf.)
// Contexts of new_server_ctx() use it and nothing else does. Any thread. Private to the room.
#pragma once

#include <memory>

#include "dataplane/tls/openssl.h"
#include "dataplane/tls/own_records.h"

namespace fairlead::tls {

// A server's context whose handshakes use it; without it, where OpenSSL will not have it: connections then stay with OpenSSL's records.
CtxPtr new_server_ctx(bool own_records);

// While it lives, traffic secrets that this thread derives go to `to`, made with the first of them. Null: nobody listens.
class SecretListener {
 public:
  explicit SecretListener(std::unique_ptr<HandshakeSecrets>* to);
  ~SecretListener();
  SecretListener(const SecretListener&) = delete;
};

}  // namespace fairlead::tls
