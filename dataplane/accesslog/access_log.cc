// Opens destinations and writes lines; see access_log.h.
#include "dataplane/accesslog/access_log.h"

#include <absl/strings/str_cat.h>

#include "base/status.h"

namespace fairlead::accesslog {

absl::StatusOr<AccessLoggers> AccessLoggers::open(const std::vector<config::AccessLogConfig>& configs, LogFiles& files) {
  AccessLoggers out;
  for (const config::AccessLogConfig& config : configs) {
    const std::string path = config.sink == config::AccessLogConfig::Sink::Stdout   ? "/dev/stdout"
                             : config.sink == config::AccessLogConfig::Sink::Stderr ? "/dev/stderr"
                                                                                    : config.path;
    auto file = files.open(path);
    if (!file.ok()) return prefix(absl::StrCat("access_log '", config.name, "'"), file.status());
    out.loggers_.push_back({config, *std::move(file)});
  }
  return out;
}

void AccessLoggers::log(uint32_t worker, const config::AccessLogFilter::Input& input) const {
  thread_local std::string line;
  for (const Logger& logger : loggers_) {
    if (logger.config.filter && !logger.config.filter->match(input)) continue;
    line.clear();
    logger.config.render(*input.context, line);
    logger.file->write(worker, line);
  }
}

}  // namespace fairlead::accesslog
