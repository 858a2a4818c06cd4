// Asynchronous name resolution (c-ares, so /etc/hosts and /etc/resolv.conf are honoured). Runs on the main loop;
// callbacks run there, never inside resolve(). Destroying a Query cancels it: its callback will not run.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "dataplane/net/address.h"
#include "dataplane/net/event_loop.h"

namespace fairlead::net {

enum class DnsFamily {
  V4,
  V6,
  Auto,         // Envoy's AUTO: IPv6, then IPv4 if there is none
  V4Preferred,  // IPv4, then IPv6 if there is none
  All,          // both
};

struct DnsRecord {
  Address address;  // port 0
  std::chrono::seconds ttl;
};
// An empty vector is a successful empty answer; an error is a failed lookup (NotFound: the name does not exist).
using DnsAnswer = absl::StatusOr<std::vector<DnsRecord>>;

class DnsResolver {
 public:
  struct Options {
    std::vector<Address> servers;                  // empty: those of /etc/resolv.conf
    std::chrono::milliseconds timeout{5000};       // Envoy 1.40: c-ares query_timeout_seconds 5
    int tries = 4;                                 // Envoy 1.40: c-ares query_tries 4
    bool use_tcp = false;
    bool no_search = false;                        // do not apply the search list
  };
  class Query {
   public:
    virtual ~Query() = default;
  };

  static absl::StatusOr<std::unique_ptr<DnsResolver>> create(EventLoop& loop, const Options& options);
  ~DnsResolver();  // outstanding queries end without a callback

  [[nodiscard]] std::unique_ptr<Query> resolve(std::string_view name, DnsFamily family, std::function<void(DnsAnswer)> callback);

 private:
  struct Channel;
  explicit DnsResolver(std::unique_ptr<Channel> channel);
  std::unique_ptr<Channel> channel_;
};

}  // namespace fairlead::net
