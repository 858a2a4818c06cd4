// See happy_eyeballs.h.
#include "dataplane/upstream/pool/happy_eyeballs.h"

#include <algorithm>

namespace fairlead::upstream {

std::vector<net::Address> interleave(std::vector<net::Address> addresses, const config::HappyEyeballs& options) {
  if (addresses.size() < 2 || !std::all_of(addresses.begin(), addresses.end(), [](const net::Address& a) { return a.is_ip(); })) return addresses;
  using Family = config::HappyEyeballs::Family;
  const net::Address::Kind first = options.first == Family::OfFirst ? addresses.front().kind() : options.first == Family::V4 ? net::Address::Kind::V4 : net::Address::Kind::V6;
  std::vector<net::Address> ours, theirs, out;
  for (net::Address& address : addresses) (address.kind() == first ? ours : theirs).push_back(std::move(address));
  for (size_t i = 0, k = 0; i < ours.size() || k < theirs.size();) {
    for (uint32_t n = 0; n < options.count && i < ours.size(); ++n) out.push_back(std::move(ours[i++]));
    if (k < theirs.size()) out.push_back(std::move(theirs[k++]));
  }
  return out;
}

}  // namespace fairlead::upstream
