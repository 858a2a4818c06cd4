// What each admin endpoint says and does, in terms of the Server. Main thread; owned by the Server.
#pragma once

#include <vector>

#include "dataplane/admin/admin.h"

namespace fairlead::server {

class Server;

class AdminEndpoints {
 public:
  explicit AdminEndpoints(Server& server) : server_(server) {}
  std::vector<admin::Endpoint> all();

 private:
  admin::Response ready() const;
  admin::Response server_info() const;
  admin::Response stats(const admin::Request& request, bool prometheus);
  admin::Response config_dump(const admin::Request& request) const;
  admin::Response clusters(const admin::Request& request);
  admin::Response listeners(const admin::Request& request) const;
  admin::Response memory() const;
  admin::Response logging(const admin::Request& request) const;
  admin::Response init_dump() const;
  admin::Response runtime_modify(const admin::Request& request);
  Server& server_;
};

}  // namespace fairlead::server
