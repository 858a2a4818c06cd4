// Rules of the incremental protocol: delta_state.h.
#include "dataplane/xds/delta_state.h"

#include <algorithm>

namespace fairlead::xds {

void DeltaState::set_interest(Interest interest) {
  if (interest == interest_) return;
  // what nobody wants any more need not be resumed after a reconnect
  if (!interest.wildcard)
    std::erase_if(versions_, [&](const auto& v) { return !interest.names.contains(v.first); });
  interest_ = std::move(interest);
}

void DeltaState::stream_opened() {
  open_ = true;
  spoken_ = false;
  sent_ = {};
  answers_.clear();
}

void DeltaState::stream_closed() {
  open_ = false;
  answers_.clear();
}

void DeltaState::response(std::string nonce) { nonce_ = std::move(nonce); }

void DeltaState::apply(const std::map<std::string, std::string>& updated, const std::vector<std::string>& removed) {
  for (const auto& [name, version] : updated)
    if (interest_.wildcard || interest_.names.contains(name)) versions_[name] = version;
  for (const std::string& name : removed) versions_.erase(name);
}

void DeltaState::accept(const std::map<std::string, std::string>& updated, const std::vector<std::string>& removed) {
  apply(updated, removed);
  answers_.push_back({nonce_, std::nullopt});
}

void DeltaState::refuse(std::string error, const std::map<std::string, std::string>& applied, const std::vector<std::string>& removed) {
  apply(applied, removed);
  answers_.push_back({nonce_, std::move(error)});
}

std::optional<DeltaRequest> DeltaState::next_request() {
  if (!open_) return std::nullopt;
  DeltaRequest out;
  if (!spoken_) {
    if (interest_.empty()) return std::nullopt;
    out.subscribe.assign(interest_.names.begin(), interest_.names.end());
    if (interest_.wildcard) out.subscribe.clear();
    out.initial_versions = versions_;
    spoken_ = true;
    sent_ = interest_;
    return out;
  }
  if (sent_ != interest_) {
    if (interest_.wildcard && !sent_.wildcard) out.subscribe.push_back("*");
    if (!interest_.wildcard && sent_.wildcard) out.unsubscribe.push_back("*");
    static const std::set<std::string, std::less<>> kNone;
    const auto& before = sent_.wildcard ? kNone : sent_.names;
    const auto& now = interest_.wildcard ? kNone : interest_.names;
    std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(out.subscribe));
    std::set_difference(before.begin(), before.end(), now.begin(), now.end(), std::back_inserter(out.unsubscribe));
    sent_ = interest_;
  }
  if (!answers_.empty()) {
    out.nonce = std::move(answers_.front().nonce);
    out.error = std::move(answers_.front().error);
    answers_.erase(answers_.begin());
  } else if (out.subscribe.empty() && out.unsubscribe.empty()) {
    return std::nullopt;
  }
  return out;
}

}  // namespace fairlead::xds
