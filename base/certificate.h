// Certificates for clients, signed by an authority at hand: for proxies that the control plane runs itself. Pure but for the randomness of keys and
// serial numbers; any thread. Invariant: what is issued is a leaf (no authority) for one URI and for clients alone, and ends no later than its authority.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace fairlead {

struct IssuedCertificate {
  std::string certificate, key;  // PEM
};

// With a new P-256 key. The authority: PEM, the first certificate of a chain counts. It begins up to a day before `now`, so that it holds where clocks are hours behind this one.
absl::StatusOr<IssuedCertificate> issue_client_certificate(std::string_view authority, std::string_view authority_key, const std::string& uri, SystemTime now, std::chrono::seconds lifetime);

struct Validity {
  SystemTime from{}, until{};
};
// Of a certificate that this authority has signed for that URI, and that goes with the key; an error says which of it is not so.
absl::StatusOr<Validity> validity_of(std::string_view certificate, std::string_view key, std::string_view authority, std::string_view uri);

}  // namespace fairlead
