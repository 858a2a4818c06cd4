// Events of Kubernetes (events.k8s.io/v1) about what we write: which to create, which to count up, which to leave out. A state machine without
// socket or clock, owned by StatusWriter's thread.
// What happens again is one Event with a count, told twice a minute at most; an object that has much to tell has only its first words heard.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "adapters/object/object.h"
#include "base/clock.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes {

class EventBook {
 public:
  static constexpr std::chrono::seconds kAgain{30};       // between two counts of the same
  static constexpr std::chrono::minutes kForget{10};      // after that it is a new Event
  static constexpr double kMostOfOne = 10, kPerSecond = 1.0 / 60;  // of one object: so many at once, then one a minute
  static constexpr size_t kMost = 2'000;                  // remembered

  struct Event {
    bool warning = false;
    std::string action;  // what we did: "Program", "Accept", "Elect"
    std::string reason;
    std::string note;
    ObjectKey object;
    std::string api_version, uid;
  };
  struct Request {
    std::string method, path, body, content_type;
    std::tuple<ObjectKey, std::string, std::string> of;  // for gone()
  };

  explicit EventBook(std::string instance) : instance_(std::move(instance)) {}

  // What to send; nothing: it was told lately, or too much was.
  std::optional<Request> note(const Event& event, MonotonicTime now, SystemTime wall);
  // The Event to count up is no longer there: the next is a new one.
  void gone(const Request& request) { series_.erase(request.of); }

 private:
  using Key = std::tuple<ObjectKey, std::string, std::string>;  // object, reason, note
  struct Series {
    std::string name;
    uint64_t count = 0;
    MonotonicTime last{}, told{};
  };
  struct Allowance {
    double tokens = kMostOfOne;
    MonotonicTime at{};
  };
  void tidy(MonotonicTime now);

  const std::string instance_;
  uint64_t number_ = 0;
  std::map<Key, Series> series_;
  std::map<ObjectKey, Allowance> allowed_;
};

}  // namespace fairlead::adapters::kubernetes
