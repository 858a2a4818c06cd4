// The resource ledger.
#include "dataplane/xds/ledger.h"

#include <google/protobuf/message.h>

namespace fairlead::xds {
namespace {

LedgerEntry::Bytes pack(const Ledger::Message& message) { return message == nullptr ? nullptr : std::make_shared<const std::string>(message->SerializeAsString()); }

}  // namespace

void Ledger::add_static(Type type, const std::string& name, const Message& message, Time now) {
  LedgerEntry& entry = entries_[static_cast<size_t>(type)][name];
  entry.accepted = pack(message);
  entry.accepted_at = now;
  entry.is_static = true;
}

void Ledger::accept(Type type, const std::string& name, const Message& message, const std::string& version, Time now, bool warming) {
  accept(type, name, pack(message), version, now, warming);
}

void Ledger::accept(Type type, const std::string& name, LedgerEntry::Bytes message, const std::string& version, Time now, bool warming) {
  LedgerEntry& entry = entries_[static_cast<size_t>(type)][name];
  if (type == Type::secret && entry.accepted != nullptr && *entry.accepted == *message) {  // Envoy 1.40: version and time are those of the last change
    entry.error.reset();
    return;
  }
  if (!warming && entry.accepted != nullptr) entry.before = std::make_unique<const LedgerEntry::Form>(LedgerEntry::Form{std::move(entry.accepted), entry.version, entry.accepted_at});
  entry.accepted = std::move(message);
  entry.version = version;
  entry.accepted_at = now;
  entry.error.reset();
}

void Ledger::refuse(Type type, const std::string& name, const Message& message, const std::string& version, std::string details, Time now) {
  LedgerEntry& entry = entries_[static_cast<size_t>(type)][name];
  entry.error = std::make_unique<const LedgerEntry::Error>(LedgerEntry::Error{pack(message), version, std::move(details), now});
}

void Ledger::remove(Type type, std::string_view name) {
  Entries& entries = entries_[static_cast<size_t>(type)];
  if (auto it = entries.find(name); it != entries.end()) entries.erase(it);
}

const LedgerEntry* Ledger::find(Type type, std::string_view name) const {
  const Entries& entries = entries_[static_cast<size_t>(type)];
  auto it = entries.find(name);
  return it == entries.end() ? nullptr : &it->second;
}

}  // namespace fairlead::xds
