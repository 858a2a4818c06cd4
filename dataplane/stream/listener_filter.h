// A listener filter: looks at an accepted socket, and if it wants at its first bytes, before a filter chain is chosen. Derive from
// ListenerFilter, and from ListenerFilterFactory to make one per socket. Bytes are peeked (MSG_PEEK), so that whoever comes after sees them
// again; only consume() takes some away. One worker, no locks. Filters run in configured order, one at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>


#include "dataplane/config/registry.h"
#include "dataplane/stats/registry.h"

namespace fairlead::stream {

struct ConnectionInfo;
class WorkerContext;

class AcceptedSocket {
 public:
  virtual ~AcceptedSocket() = default;
  virtual int fd() const = 0;
  virtual ConnectionInfo& info() = 0;
  virtual WorkerContext& worker() = 0;
  // Reads `bytes` of what was peeked out of the socket: nobody sees them again. From inside on_data().
  virtual void consume(size_t bytes) = 0;
};

class ListenerFilter {
 public:
  enum class Status : uint8_t {
    kContinue,  // the next filter
    kWait,      // on_data() is to be called with what has come, now and with more
    kClose,     // the socket is closed; the filter has counted why
  };
  virtual ~ListenerFilter() = default;
  // The socket has been accepted; no bytes yet.
  virtual Status on_accept(AcceptedSocket& socket) = 0;
  // Everything unread, at most max_bytes(); called again when more has come. `end`: there will be no more.
  virtual Status on_data(std::string_view peeked, bool end, AcceptedSocket& socket);
  virtual size_t max_bytes() const { return 0; }
};

class ListenerFilterFactory {
 public:
  virtual ~ListenerFilterFactory() = default;
  virtual std::unique_ptr<ListenerFilter> create() const = 0;
};

struct ListenerFactoryContext {
  stats::Registry& stats;
  stats::ScopePtr listener_scope;  // listener.<address>.
  std::string listener_name;
};

// Which factory a parsed configuration gets, by type URL. Filled at start-up, read-only afterwards. Factories are made on the main thread.
class ListenerFilterRegistry {
 public:
  using Make = std::function<std::shared_ptr<const ListenerFilterFactory>(std::shared_ptr<const config::FilterConfig>, const ListenerFactoryContext&)>;
  void add(std::string type_url, Make make) { makers_[std::move(type_url)] = std::move(make); }
  const Make* find(std::string_view type_url) const {
    const auto it = makers_.find(type_url);
    return it == makers_.end() ? nullptr : &it->second;
  }
  static ListenerFilterRegistry& global();

 private:
  std::map<std::string, Make, std::less<>> makers_;
};

}  // namespace fairlead::stream
