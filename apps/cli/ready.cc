// `fairlead ready`: for probes, where nothing else in the container could ask an address of loopback.
#include <iostream>

#include "apps/cli/commands.h"

namespace fairlead::cli {

int show_ready(const Client& client, const std::string& proxy) {
  const absl::Status ready = proxy.empty() ? client.ask("/readyz", "fairlead-control") : Client(proxy).ask("/ready", "the proxy");
  if (ready.ok()) {
    std::cout << "ready\n";
    return 0;
  }
  std::cerr << "fairlead: " << ready.message() << "\n";
  return absl::IsFailedPrecondition(ready) ? 1 : 2;
}

}  // namespace fairlead::cli
