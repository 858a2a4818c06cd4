// Logging: levels, components (named loggers) and line format as Envoy's, so that its flags and tooling work unchanged.
// Any thread may log; a line is written whole. enabled() is one relaxed load. Lines go to stderr or a file, never stdout.
// Owner: the process (one sink). Components are created on first use and live until exit.
// Invariant: the text of a line is only built when its level is enabled (FL_LOG evaluates lazily).
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace fairlead::log {

enum class Level : int { trace = 0, debug = 1, info = 2, warning = 3, error = 4, critical = 5, off = 6 };

// "trace", "debug", "info", "warning" (or "warn"), "error", "critical", "off".
absl::StatusOr<Level> parse_level(std::string_view text);
std::string_view level_name(Level level);

class Component {
 public:
  bool enabled(Level level) const { return static_cast<int>(level) >= threshold_.load(std::memory_order_relaxed); }
  const std::string& name() const { return name_; }
  Level level() const { return static_cast<Level>(threshold_.load(std::memory_order_relaxed)); }
  void set_level(Level level) { threshold_.store(static_cast<int>(level), std::memory_order_relaxed); }

 private:
  friend class Components;
  Component(std::string name, Level level) : name_(std::move(name)), threshold_(static_cast<int>(level)) {}
  std::string name_;
  std::atomic<int> threshold_;
};

// The component of that name, made at the default level on first use. The reference stays valid until exit.
// Keep it in a static at the place of use: FL_LOG does.
Component& component(std::string_view name);

// Writes one line, whatever the level of the component; callers test enabled() first.
void write(const Component& component, Level level, const char* file, int line, std::string_view text);

void set_level(Level level);                                              // all components and those to come
absl::Status set_component_level(std::string_view name, Level level);     // NotFound for a name no code uses
absl::Status set_component_levels(std::string_view list);                 // "upstream:debug,router:trace"; all or nothing
std::vector<std::pair<std::string, Level>> levels();                      // sorted by name

// Names that may be set before the code that uses them has logged once.
void declare_components(const std::vector<std::string_view>& names);

absl::Status log_to_file(const std::string& path);  // append; "" goes back to stderr
absl::Status reopen();                              // after a rotation
void flush();

// spdlog's pattern, with Envoy's %_ (the text, line breaks escaped) and %j (escaped for JSON). "": Envoy's default,
// "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v".
void set_format(std::string_view pattern);

// protobuf's own lines ("invalid UTF-8 data when parsing…") go to the component "protobuf" at level debug instead of stderr: whoever parses
// reports what is wrong with its place, and a peer must not be able to fill a log with them.
void take_protobuf_lines();

// For tests: lines go to the callback instead (null: back to the sink). The callback runs under the sink's lock.
using Capture = void (*)(void* context, std::string_view component, Level level, std::string_view text);
void set_capture(Capture capture, void* context);

}  // namespace fairlead::log

// FL_LOG(info, "upstream", "cluster ", name, " has ", n, " hosts"): arguments as absl::StrCat's, evaluated only when enabled.
// The component's name must be the same at every pass through the place (it is looked up once).
#define FL_LOG(level_, component_, ...)                                                                         \
  do {                                                                                                          \
    static ::fairlead::log::Component& fl_log_component = ::fairlead::log::component(component_);               \
    if (fl_log_component.enabled(::fairlead::log::Level::level_)) {                                             \
      ::fairlead::log::write(fl_log_component, ::fairlead::log::Level::level_, __FILE__, __LINE__,              \
                             ::absl::StrCat(__VA_ARGS__));                                                      \
    }                                                                                                           \
  } while (false)
