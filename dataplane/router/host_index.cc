// See host_index.h.
#include "dataplane/router/host_index.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

namespace fairlead::router {

HostIndex::Bucket& HostIndex::bucket(std::vector<Bucket>& buckets, size_t length) {
  for (Bucket& b : buckets) {
    if (b.length == length) return b;
  }
  buckets.push_back({length, {}});
  return buckets.back();
}

absl::Status HostIndex::add(std::string_view domain, uint32_t virtual_host, std::string_view table) {
  const std::string lower = absl::AsciiStrToLower(domain);
  bool fresh = true;
  if (lower == "*") {
    if (default_ != none) return absl::InvalidArgumentError(absl::StrCat("Only a single wildcard domain is permitted in route ", table));
    default_ = virtual_host;
  } else if (!lower.empty() && lower.front() == '*') {
    fresh = bucket(suffixes_, lower.size() - 1).hosts.emplace(lower.substr(1), virtual_host).second;
  } else if (!lower.empty() && lower.back() == '*') {
    fresh = bucket(prefixes_, lower.size() - 1).hosts.emplace(lower.substr(0, lower.size() - 1), virtual_host).second;
  } else {
    fresh = exact_.emplace(lower, virtual_host).second;
  }
  if (fresh) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("Only unique values for domains are permitted. Duplicate entry of domain ", domain, " in route ", table));
}

void HostIndex::finish() {
  const auto longest_first = [](const Bucket& a, const Bucket& b) { return a.length > b.length; };
  std::sort(suffixes_.begin(), suffixes_.end(), longest_first);
  std::sort(prefixes_.begin(), prefixes_.end(), longest_first);
}

uint32_t HostIndex::find(std::string_view host, std::string_view* domain) const {
  if (const auto it = exact_.find(host); it != exact_.end()) {
    *domain = it->first;
    return it->second;
  }
  // A wildcard stands for at least one character.
  for (const Bucket& b : suffixes_) {
    if (b.length >= host.size()) continue;
    if (const auto it = b.hosts.find(host.substr(host.size() - b.length)); it != b.hosts.end()) {
      *domain = it->first;
      return it->second;
    }
  }
  for (const Bucket& b : prefixes_) {
    if (b.length >= host.size()) continue;
    if (const auto it = b.hosts.find(host.substr(0, b.length)); it != b.hosts.end()) {
      *domain = it->first;
      return it->second;
    }
  }
  *domain = default_ == none ? std::string_view() : std::string_view("*");
  return default_;
}

std::string_view without_port(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos) return authority;
  const size_t bracket = authority.rfind(']');
  if (bracket != std::string_view::npos && bracket > colon) return authority;            // [::1]
  if (bracket == std::string_view::npos && authority.find(':') != colon) return authority;  // ::1
  const std::string_view port = authority.substr(colon + 1);
  for (char c : port) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return authority;
  }
  return authority.substr(0, colon);
}

}  // namespace fairlead::router
