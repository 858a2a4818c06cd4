// The admin interface: Envoy's endpoints in Envoy's shapes. An HTTP server on a thread of its own (cpp-httplib); every request is
// answered by a job on the main thread, so handlers see the configuration without locks. Mutations need POST (405 otherwise).
// Owned by the server; stop() (or destruction) joins the thread and must not run while the main loop waits for a handler.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/net/address.h"

namespace fairlead::admin {

struct Request {
  std::string method, path;
  std::multimap<std::string, std::string> query;
  std::string param(const std::string& name) const;
  bool has(const std::string& name) const { return query.contains(name); }
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=UTF-8";
  std::string body;
  static Response text(std::string body, int status = 200) { return {status, "text/plain; charset=UTF-8", std::move(body)}; }
  static Response json(std::string body, int status = 200) { return {status, "application/json", std::move(body)}; }
};

struct Endpoint {
  std::string path;   // "/stats"
  bool mutates = false;
  std::string help;
  std::vector<std::pair<std::string, std::string>> params;  // for /help
  std::function<Response(const Request&)> handle;           // on the main thread
};

class AdminServer {
 public:
  // `post` runs a job on the main thread, from any thread.
  AdminServer(std::vector<Endpoint> endpoints, std::function<void(std::function<void()>)> post);
  ~AdminServer();

  // Binds (an address in use is an error) and starts the thread. Port 0: the kernel chooses. `shared`: beside a process that has called share_port().
  absl::Status start(const net::Address& address, bool shared = false);
  // Another process of this user may bind the same address from now on.
  void share_port();
  // Takes no more connections; what is asked already is answered, so the main loop must go on. stop() ends it for good.
  void leave();
  void stop();
  const net::Address& address() const { return address_; }

  // Routing and the method rule, without HTTP; on the calling thread. For tests and for the HTTP side.
  Response dispatch(const Request& request) const;

 private:
  struct Http;
  Response help() const;
  std::vector<Endpoint> endpoints_;
  std::function<void(std::function<void()>)> post_;
  net::Address address_;
  std::shared_ptr<Http> http_;
};

}  // namespace fairlead::admin
