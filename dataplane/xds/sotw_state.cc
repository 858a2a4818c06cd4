// Rules of the state-of-the-world protocol: sotw_state.h.
#include "dataplane/xds/sotw_state.h"

namespace fairlead::xds {

void SotwState::set_interest(Interest interest) {
  if (interest == interest_) return;
  interest_ = std::move(interest);
  dirty_ = true;
}

void SotwState::stream_opened() {
  open_ = true;
  spoken_ = false;
  nonce_.clear();
  error_.reset();
  dirty_ = !interest_.empty();
}

void SotwState::stream_closed() {
  open_ = false;
  error_.reset();
}

void SotwState::response(std::string version, std::string nonce) {
  offered_ = std::move(version);
  nonce_ = std::move(nonce);
  error_.reset();
}

void SotwState::accept() {
  version_ = offered_;
  dirty_ = true;
}

void SotwState::refuse(std::string error) {
  error_ = std::move(error);
  dirty_ = true;
}

std::optional<SotwRequest> SotwState::next_request() {
  if (!open_ || !dirty_) return std::nullopt;
  dirty_ = false;
  // never asked for anything: an empty list in a first request would mean everything
  if (!spoken_ && interest_.empty()) return std::nullopt;
  SotwRequest out;
  out.version = version_;
  out.nonce = nonce_;
  if (!interest_.wildcard) {
    out.names.assign(interest_.names.begin(), interest_.names.end());
    // an emptied list would be read as a wildcard by servers that know no better; nobody looks at the type any more
    if (out.names.empty() && !error_.has_value() && nonce_.empty()) return std::nullopt;
  }
  out.error = std::move(error_);
  error_.reset();
  spoken_ = true;
  return out;
}

}  // namespace fairlead::xds
