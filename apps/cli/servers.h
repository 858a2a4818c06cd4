// Whom a command asks: the control plane at --server, or every ready replica of one in a cluster. In a cluster each proxy is connected to one of the
// replicas, so only all of them together know all proxies. Connects at the first question; one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "apps/cli/client.h"
#include "apps/cli/kubectl.h"

namespace fairlead::cli {

// `name`: of the pod; empty at --server.
struct Server {
  std::string name;
  Client client;
};

struct Answer {
  std::string from;  // the pod; empty at --server
  doc::Value value;
};

class Servers {
 public:
  explicit Servers(Client at) { servers_.push_back({"", std::move(at)}); }
  explicit Servers(ClusterOptions options) : kubectl_(std::in_place, std::move(options)) {}

  const Kubectl* kubectl() const { return kubectl_ ? &*kubectl_ : nullptr; }  // null at --server
  // All that can be asked; never none.
  absl::StatusOr<const std::vector<Server>*> all();
  const Replicas& replicas() const { return replicas_; }  // after all(), in a cluster

  // What each of them says. An error of one is told, and leaves the answer incomplete; of all, returned.
  absl::StatusOr<std::vector<Answer>> get_each(const std::string& path, const Parameters& parameters = {});
  // What they all must know. Where one says otherwise that is told; the first one's answer counts.
  absl::StatusOr<doc::Value> get(const std::string& path, const Parameters& parameters = {});
  // Of the one that a proxy is connected to, or else was connected to last.
  absl::StatusOr<doc::Value> get_of(const std::string& proxy, const std::string& path, const Parameters& parameters);

  // On standard error: that a replica could not be asked. The command's exit code says so as well.
  void tell(const Server& server, const absl::Status& status);
  int code(int code) const { return incomplete_ ? 2 : code; }

 private:
  absl::Status connect();

  std::optional<Kubectl> kubectl_;
  Replicas replicas_;
  std::vector<std::unique_ptr<Forward>> forwards_;
  std::vector<Server> servers_;
  bool incomplete_ = false;
};

// The items of a list of each answer, one after the other: maps with "replica", where there are replicas.
std::vector<doc::Value> items_of(const std::vector<Answer>& answers, std::string_view key);

// Texts that several replicas say, once each, in the order in which they were first said.
class Said {
 public:
  struct One {
    std::string text;
    std::vector<std::string> by;
  };
  bool add(const std::string& text, const std::string& by);  // whether it is new
  const std::vector<One>& all() const { return all_; }

 private:
  std::vector<One> all_;
  std::map<std::string, size_t, std::less<>> index_;
};
// Each item of a list once, with "replicas", the names of those that have it; at --server without.
std::vector<doc::Value> said_items(const std::vector<Answer>& answers, std::string_view key);

}  // namespace fairlead::cli
