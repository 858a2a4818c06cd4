// The access loggers of one connection manager: filter, format and destination of each AccessLogConfig.
// Built on the main thread, immutable and shared by all workers; log() runs on a worker once per finished request.
#pragma once

#include <memory>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/accesslog/log_file.h"
#include "dataplane/config/access_log.h"

namespace fairlead::accesslog {

class AccessLoggers {
 public:
  AccessLoggers() = default;
  // Errors name the logger and the path that cannot be opened.
  static absl::StatusOr<AccessLoggers> open(const std::vector<config::AccessLogConfig>& configs, LogFiles& files);

  bool empty() const { return loggers_.empty(); }
  // Renders and writes one line per logger whose filter matches. `input.context` must be set.
  void log(uint32_t worker, const config::AccessLogFilter::Input& input) const;

 private:
  struct Logger {
    config::AccessLogConfig config;
    std::shared_ptr<LogFile> file;
  };
  std::vector<Logger> loggers_;
};

}  // namespace fairlead::accesslog
