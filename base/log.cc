// Logging over one spdlog sink (spdlog stays inside this file); levels are kept per component and tested without a lock.
// Any thread may log; the sink's mutex makes a line whole.
// Owner: the process; the registry and the sink are never destroyed, so that logging works until the very end.
// Invariant: nothing is ever written to stdout.
#include "base/log.h"

#include <google/protobuf/stubs/logging.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/strings.h"

namespace fairlead::log {

// Friend of Component: makes and holds them.
class Components {
 public:
  static Components& instance() {
    static auto* components = new Components;
    return *components;
  }

  Component& get(std::string_view name) {
    const std::lock_guard lock(mutex_);
    auto found = by_name_.find(name);
    if (found == by_name_.end()) {
      auto made = std::unique_ptr<Component>(new Component(std::string(name), default_));
      found = by_name_.emplace(std::string(name), std::move(made)).first;
    }
    return *found->second;
  }

  Component* find(std::string_view name) {
    const std::lock_guard lock(mutex_);
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second.get();
  }

  void set_all(Level level) {
    const std::lock_guard lock(mutex_);
    default_ = level;
    for (auto& [name, component] : by_name_) component->set_level(level);
  }

  std::vector<std::pair<std::string, Level>> levels() {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<std::string, Level>> out;
    for (const auto& [name, component] : by_name_) out.emplace_back(name, component->level());
    return out;
  }

 private:
  std::mutex mutex_;
  Level default_ = Level::info;  // Envoy 1.40: --log-level info
  std::map<std::string, std::unique_ptr<Component>, std::less<>> by_name_;
};

namespace {

// Envoy 1.40: --log-format default.
constexpr std::string_view envoy_format = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v";

// Envoy's %_: the message with line breaks escaped; %j: escaped as the inside of a JSON string.
class EscapedMessage final : public spdlog::custom_flag_formatter {
 public:
  explicit EscapedMessage(bool json) : json_(json) {}
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    static constexpr char digits[] = "0123456789abcdef";
    const auto put = [&out](std::string_view text) { out.append(text.data(), text.data() + text.size()); };
    for (const char c : std::string_view(message.payload.data(), message.payload.size())) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '\n') {
        put("\\n");
      } else if (json_ && (c == '"' || c == '\\')) {
        put(std::string{'\\', c});
      } else if (json_ && byte < 0x20) {
        put(std::string{'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]});
      } else {
        out.push_back(c);
      }
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<EscapedMessage>(json_); }

 private:
  bool json_;
};

std::unique_ptr<spdlog::formatter> make_formatter(std::string_view pattern) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<EscapedMessage>('_', false).add_flag<EscapedMessage>('j', true).set_pattern(std::string(pattern));
  return formatter;
}

struct Output {
  std::mutex mutex;
  std::string format{envoy_format};
  std::string path;  // "" for stderr
  std::shared_ptr<spdlog::sinks::sink> sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  Capture capture = nullptr;
  void* capture_context = nullptr;

  Output() { sink->set_formatter(make_formatter(format)); }
};

Output& output() {
  static auto* made = new Output;
  return *made;
}

absl::Status open_sink(Output& out, const std::string& path) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  try {
    if (path.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      // spdlog would make missing directories; a wrong path is an error instead.
      const std::filesystem::path directory = std::filesystem::path(path).parent_path();
      if (!directory.empty() && !std::filesystem::is_directory(directory)) {
        return absl::NotFoundError(absl::StrCat(path, ": cannot open the log file: no such directory"));
      }
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path, /*truncate=*/false);
    }
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat(path, ": cannot open the log file: ", error.what()));
  }
  sink->set_formatter(make_formatter(out.format));
  out.sink = std::move(sink);
  out.path = path;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Level> parse_level(std::string_view text) {
  static constexpr std::pair<std::string_view, Level> names[] = {
      {"trace", Level::trace}, {"debug", Level::debug}, {"info", Level::info},         {"warning", Level::warning},
      {"warn", Level::warning}, {"error", Level::error}, {"critical", Level::critical}, {"off", Level::off}};
  for (const auto& [name, level] : names) {
    if (text == name) return level;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown log level '", text, "'; one of trace, debug, info, warning, error, critical, off"));
}

std::string_view level_name(Level level) {
  static constexpr std::string_view names[] = {"trace", "debug", "info", "warning", "error", "critical", "off"};
  return names[static_cast<int>(level)];
}

Component& component(std::string_view name) { return Components::instance().get(name); }

void write(const Component& component, Level level, const char* file, int line, std::string_view text) {
  Output& out = output();
  const std::lock_guard lock(out.mutex);
  if (out.capture != nullptr) {
    out.capture(out.capture_context, component.name(), level, text);
    return;
  }
  try {
    // spdlog's levels have the same numbers. The build makes __FILE__ relative to the source tree.
    const spdlog::details::log_msg message(spdlog::source_loc(file, line, ""), component.name(),
                                           static_cast<spdlog::level::level_enum>(level), {text.data(), text.size()});
    out.sink->log(message);
    out.sink->flush();
  } catch (const std::exception&) {
    // A full disk must not take the process down; there is no better place to report it.
  }
}

void set_level(Level level) { Components::instance().set_all(level); }

absl::Status set_component_level(std::string_view name, Level level) {
  Component* found = Components::instance().find(name);
  if (found == nullptr) {
    const auto known = levels();
    std::vector<std::string_view> names;
    for (const auto& [known_name, unused] : known) names.push_back(known_name);
    const auto meant = closest(name, names);
    return absl::NotFoundError(absl::StrCat("unknown log component '", name, "'",
                                            meant ? absl::StrCat("; did you mean '", *meant, "'?")
                                                  : absl::StrCat("; one of ", absl::StrJoin(names, ", "))));
  }
  found->set_level(level);
  return absl::OkStatus();
}

absl::Status set_component_levels(std::string_view list) {
  std::vector<std::pair<std::string_view, Level>> parsed;
  for (const std::string_view part : absl::StrSplit(list, ',', absl::SkipEmpty())) {
    const std::size_t colon = part.rfind(':');
    if (colon == std::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("component log level '", part, "': expected NAME:LEVEL"));
    }
    const auto level = parse_level(part.substr(colon + 1));
    if (!level.ok()) return level.status();
    parsed.emplace_back(part.substr(0, colon), *level);
    if (Components::instance().find(parsed.back().first) == nullptr) return set_component_level(parsed.back().first, *level);
  }
  for (const auto& [name, level] : parsed) component(name).set_level(level);
  return absl::OkStatus();
}

std::vector<std::pair<std::string, Level>> levels() { return Components::instance().levels(); }

void declare_components(const std::vector<std::string_view>& names) {
  for (const std::string_view name : names) component(name);
}

absl::Status log_to_file(const std::string& path) {
  Output& out = output();
  const std::lock_guard lock(out.mutex);
  return open_sink(out, path);
}

absl::Status reopen() {
  Output& out = output();
  const std::lock_guard lock(out.mutex);
  return out.path.empty() ? absl::OkStatus() : open_sink(out, out.path);
}

void flush() {
  Output& out = output();
  const std::lock_guard lock(out.mutex);
  out.sink->flush();
}

void set_format(std::string_view pattern) {
  Output& out = output();
  const std::lock_guard lock(out.mutex);
  out.format = std::string(pattern.empty() ? envoy_format : pattern);
  out.sink->set_formatter(make_formatter(out.format));
}

void take_protobuf_lines() {
  google::protobuf::SetLogHandler([](google::protobuf::LogLevel, const char*, int, const std::string& text) { FL_LOG(debug, "protobuf", text); });
}

void set_capture(Capture capture, void* context) {
  Output& out = output();
  const std::lock_guard lock(out.mutex);
  out.capture = capture;
  out.capture_context = context;
}

}  // namespace fairlead::log
