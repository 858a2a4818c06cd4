// Compares labels; see omit_host_metadata.h.
#include "dataplane/upstream/omit_host_metadata.h"

#include <algorithm>

#include <google/protobuf/util/message_differencer.h>

#include "dataplane/upstream/pool/host.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::upstream {
namespace {

using google::protobuf::Value;

const google::protobuf::Struct* labels(const envoy::config::core::v3::Metadata* metadata) {
  if (metadata == nullptr) return nullptr;
  const auto it = metadata->filter_metadata().find("envoy.lb");
  return it == metadata->filter_metadata().end() ? nullptr : &it->second;
}

// A host's list stands for any of its values, as in Envoy.
bool has(const Value& value, const Value& wanted) {
  using google::protobuf::util::MessageDifferencer;
  if (MessageDifferencer::Equals(value, wanted)) return true;
  const auto& list = value.list_value().values();
  return std::any_of(list.begin(), list.end(), [&](const Value& v) { return MessageDifferencer::Equals(v, wanted); });
}

}  // namespace

bool OmitHostMetadata::rejects(const LbHost& lb_host) const {
  const google::protobuf::Struct* wanted = labels(match_.get());
  const google::protobuf::Struct* own = labels(static_cast<const Host&>(lb_host).metadata().get());
  if (wanted == nullptr || wanted->fields().empty() || own == nullptr) return false;
  return std::all_of(wanted->fields().begin(), wanted->fields().end(), [&](const auto& label) {
    const auto it = own->fields().find(label.first);
    return it != own->fields().end() && has(it->second, label.second);
  });
}

}  // namespace fairlead::upstream
