// See host_index.h.
#include "dataplane/router/host_index.h"

#include <algorithm>
#include <string>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "dataplane/router/text_pool.h"

namespace fairlead::router {

struct HostIndex::Building {
  TextPool texts;  // domains in lower case
  absl::flat_hash_set<std::string_view> taken;
};

HostIndex::HostIndex() : building_(std::make_unique<Building>()) {}
HostIndex::~HostIndex() = default;

HostIndex::Bucket& HostIndex::bucket(std::vector<Bucket>& buckets, size_t length) {
  for (Bucket& b : buckets) {
    if (b.length == length) return b;
  }
  buckets.push_back({length, {}});
  return buckets.back();
}

absl::Status HostIndex::add(std::string_view domain, uint32_t virtual_host, std::string_view table) {
  const std::string text = absl::AsciiStrToLower(domain);
  if (text == "*") {
    if (default_ != none) return absl::InvalidArgumentError(absl::StrCat("Only a single wildcard domain is permitted in route ", table));
    default_ = virtual_host;
    return absl::OkStatus();
  }
  if (building_->taken.contains(text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("Only unique values for domains are permitted. Duplicate entry of domain ", domain, " in route ", table));
  }
  const std::string_view lower = building_->texts.add(text);
  building_->taken.insert(lower);
  if (!lower.empty() && lower.front() == '*') {
    bucket(suffixes_, lower.size() - 1).hosts.add(lower.substr(1), virtual_host);
  } else if (!lower.empty() && lower.back() == '*') {
    bucket(prefixes_, lower.size() - 1).hosts.add(lower.substr(0, lower.size() - 1), virtual_host);
  } else {
    exact_.add(lower, virtual_host);
  }
  return absl::OkStatus();
}

void HostIndex::finish() {
  const auto longest_first = [](const Bucket& a, const Bucket& b) { return a.length > b.length; };
  exact_.finish();
  for (std::vector<Bucket>* wildcards : {&suffixes_, &prefixes_}) {
    std::sort(wildcards->begin(), wildcards->end(), longest_first);
    for (Bucket& b : *wildcards) b.hosts.finish();
  }
  building_.reset();
}

uint32_t HostIndex::find(std::string_view host, std::string_view* domain) const {
  if (const auto found = exact_.find(host, domain); !found.empty()) return found.front();
  // A wildcard stands for at least one character.
  for (const Bucket& b : suffixes_) {
    if (b.length >= host.size()) continue;
    if (const auto found = b.hosts.find(host.substr(host.size() - b.length), domain); !found.empty()) return found.front();
  }
  for (const Bucket& b : prefixes_) {
    if (b.length >= host.size()) continue;
    if (const auto found = b.hosts.find(host.substr(0, b.length), domain); !found.empty()) return found.front();
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
