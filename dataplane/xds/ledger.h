// What became of every resource: the accepted form with its version, and the newest refused form with the reason.
// The source of /config_dump. Main thread. Everything is kept as bytes, a tenth of what the messages would take: it is read when somebody asks.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/xds/types.h"

namespace google::protobuf {
class Message;
}

namespace fairlead::xds {

struct LedgerEntry {
  using Time = std::chrono::system_clock::time_point;
  using Bytes = std::shared_ptr<const std::string>;  // of a message of the entry's type
  Bytes accepted;  // null: never accepted
  std::string version;
  Time accepted_at{};
  // The form before, which serves as long as the accepted one warms.
  struct Form {
    Bytes message;
    std::string version;
    Time at{};
  };
  std::unique_ptr<const Form> before;
  struct Error {
    Bytes refused;  // null when it could not even be parsed
    std::string version, details;
    Time at{};
  };
  std::unique_ptr<const Error> error;
  bool is_static = false;
};

class Ledger {
 public:
  using Entries = std::map<std::string, LedgerEntry, std::less<>>;
  using Time = LedgerEntry::Time;
  using Message = std::shared_ptr<const google::protobuf::Message>;  // packed at once, not kept

  void add_static(Type type, const std::string& name, const Message& message, Time now);
  // `warming`: what was accepted last has not served yet, so the form before it still does.
  void accept(Type type, const std::string& name, LedgerEntry::Bytes message, const std::string& version, Time now, bool warming = false);
  void accept(Type type, const std::string& name, const Message& message, const std::string& version, Time now, bool warming = false);
  void refuse(Type type, const std::string& name, const Message& message, const std::string& version, std::string details, Time now);
  void remove(Type type, std::string_view name);
  const Entries& entries(Type type) const { return entries_[static_cast<size_t>(type)]; }
  const LedgerEntry* find(Type type, std::string_view name) const;

  // version_info of the last response of the type that was accepted whole.
  void set_version(Type type, std::string version) { versions_[static_cast<size_t>(type)] = std::move(version); }
  const std::string& version(Type type) const { return versions_[static_cast<size_t>(type)]; }

 private:
  std::array<Entries, kTypes.size()> entries_;
  std::array<std::string, kTypes.size()> versions_;
};

}  // namespace fairlead::xds
