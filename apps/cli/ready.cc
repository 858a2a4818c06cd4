// `fairlead ready`: for probes, where nothing else in the container could ask an address of loopback.
#include <algorithm>
#include <iostream>

#include <absl/strings/str_cat.h>

#include "apps/cli/commands.h"

namespace fairlead::cli {

namespace {

int tell_ready(const absl::Status& ready, const std::string& of) {
  if (!ready.ok()) return fail(ready);
  std::cout << of << (of.empty() ? "" : ": ") << "ready\n";
  return 0;
}

}  // namespace

int show_ready(Servers& servers, const std::string& proxy) {
  if (!proxy.empty()) return tell_ready(Client(proxy).ask("/ready", "the proxy"), "");
  const auto all = servers.all();
  if (!all.ok()) return tell_ready(all.status(), "");
  int code = 0;
  for (const Server& server : **all) code = std::max(code, tell_ready(server.client.ask("/readyz", "fairlead-control"), server.name));
  for (const Pod& pod : servers.replicas().unready) {
    if (!pod.ending) code = std::max(code, tell_ready(absl::FailedPreconditionError(absl::StrCat("pod ", pod.id(), " is not ready: ", pod.unready)), pod.name));
  }
  return servers.code(code);
}

}  // namespace fairlead::cli
