// What every gRPC server is expected to answer besides its own methods: grpc.health.v1.Health (Check and Watch) and server reflection, v1 and
// v1alpha, so that grpcurl and health checks work without any file. Their few messages are read and written by hand: no generated code.
// Owned by whoever owns the server; outlives it. The loop's thread.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rpc/server.h"

namespace fairlead::rpc {

class Health {
 public:
  Health();
  ~Health();
  // Adds the methods. "" is the server as a whole; `services`: further names that share its state. Others: NOT_FOUND (Watch: SERVICE_UNKNOWN).
  void add_to(Server& server, std::vector<std::string> services);
  void set_serving(bool serving);  // watchers hear of it

 private:
  class Check;
  class Watch;
  int status_of(std::string_view service) const;
  std::set<std::string, std::less<>> services_;
  std::set<Watch*> watchers_;
  bool serving_ = false;
};

class Reflection {
 public:
  // A serialised FileDescriptorProto, or nullopt. What this room serves itself needs none.
  using Find = std::function<std::optional<std::string>(std::string_view)>;
  Reflection(Find file_by_name, Find file_by_symbol, std::vector<std::string> services);
  void add_to(Server& server);
  // The answer to one ServerReflectionRequest; both serialised. InvalidArgument: not such a message. Extensions are not looked up.
  absl::StatusOr<std::string> answer(std::string_view request) const;

 private:
  Find file_by_name_, file_by_symbol_;
  std::vector<std::string> services_;
};

}  // namespace fairlead::rpc
