// What wiring a piece of a data plane for a test takes: configuration from YAML, and waiting for what another thread does.
#pragma once

#include <absl/status/statusor.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/accesslog/log_file.h"

namespace fairlead::testing {

// The value, or an exception with the error.
template <class T>
T must(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(std::string(value.status().message()));
  return *std::move(value);
}

template <class Proto>
Proto read(const std::string& yaml) {
  Proto proto;
  const absl::Status status = doc::to_message(must(doc::parse_one(yaml, "test.yaml")), &proto);
  if (!status.ok()) throw std::runtime_error(absl::StrCat(status.message(), "\n", yaml));
  return proto;
}

// False: not within 10 seconds.
template <class Done>
bool wait_until(const Done& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// The lines of `path` so far, waiting until there are `lines`; `logs` writes it.
inline std::vector<std::string> await_lines(accesslog::LogFiles& logs, const std::string& path, size_t lines) {
  std::vector<std::string> out;
  wait_until([&] {
    logs.flush_all();
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    out = absl::StrSplit(text.str(), '\n', absl::SkipEmpty());
    return out.size() >= lines;
  });
  return out;
}

}  // namespace fairlead::testing
