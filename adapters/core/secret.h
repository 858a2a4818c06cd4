// What TLS needs of a cluster's objects: Secrets of type kubernetes.io/tls (tls.crt, tls.key) and ConfigMaps with certificates to trust
// (ca.crt). Read strictly, with the very code that proxies load them by, so that what passes here loads there. Pure but for the date, which
// only warnings depend on; any thread. Invariant: no error or warning holds a part of a value: nothing of a private key, nothing a key may be.
#pragma once

#include <string>
#include <vector>

#include "adapters/object/object.h"

namespace fairlead::adapters::core {

struct TlsSecret {
  ObjectKey key;
  std::string certificate_chain;        // PEM, the certificate first
  std::string private_key;              // PEM
  std::vector<std::string> dns_names;   // of the certificate; its common name where it has no names
};

struct CaBundle {
  ObjectKey key;
  std::string certificates;  // PEM
};

// Only these are kept, others pass unread.
bool is_tls_secret(const Object& object);   // a Secret of that type
bool has_ca_bundle(const Object& object);   // a ConfigMap with ca.crt

// Readers; what is wrong is appended to `out`. Certificates that have expired, or are not valid yet, are warned about.
TlsSecret read_tls_secret(const Object& object, std::vector<Diagnostic>& out);
CaBundle read_ca_bundle(const Object& object, std::vector<Diagnostic>& out);

// Whether a certificate for these names will do for a host: itself, or "*.example.com" for one label below.
bool covers(const std::vector<std::string>& names, std::string_view hostname);

}  // namespace fairlead::adapters::core
