// One file that holds a DiscoveryResponse (YAML, JSON or binary): read at once and after every move into place. As in Envoy, only moves count (an editor's
// rename, `mv`, the symlink swap of a mounted ConfigMap), so a half-written file is never read; `watched_directory` names the
// directory whose moves count when it is not the file's own.
// Private to dataplane/xds. Main thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/xds/sources.h"

namespace fairlead::xds {

// Text or bytes of a DiscoveryResponse → an Update of `type`. Errors carry file:line.
absl::StatusOr<Update> read_response(Type type, const std::string& text, const std::string& file);

class FileSubscription final : private net::FdHandler {
 public:
  FileSubscription(const Sources::Options& options, Type type, const config::ConfigSource& source);
  ~FileSubscription() override;

  absl::Status start();
  // Names that are not of interest are left out of an endpoint or route file.
  void set_interest(Interest interest);

 private:
  void on_fd_ready(uint32_t events) override;
  void read_soon() { options_.loop->run_soon(read_task_); }
  void read();

  const Sources::Options& options_;
  const Type type_;
  const std::string source_key_, path_, directory_;
  Interest interest_;
  std::optional<absl::StatusOr<std::string>> last_;  // the last reading; the same again under unchanged interest is no update
  int fd_ = -1;
  net::FdWatch watch_;
  net::LoopTask read_task_ = net::LoopTask::of<&FileSubscription::read>(this);
};

}  // namespace fairlead::xds
