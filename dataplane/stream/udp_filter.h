// The filter of a UDP listener: takes the datagrams that come to one socket of one worker. Lives on that worker, owned by its listeners, outlived by
// the socket and by the worker's context.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/registry.h"
#include "dataplane/net/datagrams.h"
#include "dataplane/stats/registry.h"

namespace fairlead::accesslog {
class LogFiles;
}

namespace fairlead::stream {

class UdpFilterFactory;
class WorkerContext;

// A session on its way from one process to the next: what its filter says of it to one of its kind, and its socket.
struct HandedSession {
  std::string state;
  int fd = -1;
};

class UdpFilter {
 public:
  virtual ~UdpFilter() = default;
  // The listener's new form, whose sockets are the same: true if this filter goes on under it, with what of its sessions the new form allows.
  virtual bool adopt(const std::shared_ptr<const UdpFilterFactory>& next, const net::UdpPort::Options& port) = 0;
  // The worker's clusters follow another snapshot now.
  virtual void clusters_changed() {}

  // Hot restarts. What comes from clients and upstreams while the filter pauses waits in the sockets.
  virtual void pause() = 0;
  virtual void resume() = 0;
  // Of a filter that pauses: its sessions, for the filter of another process that has the same socket. If this one never resumes, they are that
  // one's: they end here without a word. Descriptors stay this filter's.
  virtual std::vector<HandedSession> hand_over() = 0;
  // A session of the process before. True: it goes on here, and the descriptor is this filter's; false: it has ended.
  virtual bool take(std::string_view state, int fd) = 0;
};

// Made once per listener on the main thread, immutable, shared by all workers.
class UdpFilterFactory {
 public:
  virtual ~UdpFilterFactory() = default;
  virtual std::unique_ptr<UdpFilter> create(WorkerContext& worker, const net::UdpPort::Options& port) const = 0;
};

struct UdpFactoryContext {
  stats::Registry& stats;
  accesslog::LogFiles& logs;
  stats::ScopePtr listener_scope;  // listener.<address>.
  std::string listener_name;
};

// Which factory a parsed configuration gets, by type URL. Filled at start-up, read-only afterwards. Factories are made on the main thread.
class UdpFilterRegistry {
 public:
  using Made = absl::StatusOr<std::shared_ptr<const UdpFilterFactory>>;
  using Make = std::function<Made(std::shared_ptr<const config::FilterConfig>, const UdpFactoryContext&)>;
  void add(std::string type_url, Make make) { makers_[std::move(type_url)] = std::move(make); }
  const Make* find(std::string_view type_url) const {
    const auto it = makers_.find(type_url);
    return it == makers_.end() ? nullptr : &it->second;
  }
  static UdpFilterRegistry& global();

 private:
  std::map<std::string, Make, std::less<>> makers_;
};

}  // namespace fairlead::stream
