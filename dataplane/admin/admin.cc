// The HTTP side of admin: cpp-httplib on its own threads, handlers on the main thread.
#include "dataplane/admin/admin.h"

#include <httplib.h>

#include <atomic>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"

namespace fairlead::admin {

std::string Request::param(const std::string& name) const {
  const auto it = query.find(name);
  return it == query.end() ? "" : it->second;
}

struct AdminServer::Http {
  httplib::Server server;
  // cpp-httplib's stop() does nothing before its loop has begun
  void end() {
    while (thread.joinable() && !finished) {
      server.stop();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  std::thread thread, leaver;
  std::atomic<bool> closing{false}, finished{false};
  int listening = -1;
};

AdminServer::AdminServer(std::vector<Endpoint> endpoints, std::function<void(std::function<void()>)> post) : endpoints_(std::move(endpoints)), post_(std::move(post)) {}

AdminServer::~AdminServer() { stop(); }

Response AdminServer::help() const {
  std::string out = "admin commands are:\n  /: Admin home page\n";
  for (const Endpoint& e : endpoints_) {
    absl::StrAppend(&out, "  ", e.path, e.mutates ? " (POST)" : "", ": ", e.help, "\n");
    for (const auto& [name, text] : e.params) absl::StrAppend(&out, "      ", name, ": ", text, "\n");
  }
  return Response::text(std::move(out));
}

Response AdminServer::dispatch(const Request& request) const {
  if (request.path == "/" || request.path == "/help") return help();
  for (const Endpoint& e : endpoints_) {
    if (e.path != request.path) continue;
    // Envoy 1.40: 405, although its documentation says 400
    if (e.mutates && request.method != "POST") return Response::text(absl::StrCat("Method ", request.method, " not allowed, POST required."), 405);
    return e.handle(request);
  }
  Response out = help();
  out.status = 404;
  out.body = "invalid path. " + out.body;  // Envoy 1.40
  return out;
}

absl::Status AdminServer::start(const net::Address& address, bool shared) {
  http_ = std::make_shared<Http>();
  httplib::Server& server = http_->server;
  // a connection holds a thread, idle or not: scrapers that keep theirs open must not keep a health check waiting
  server.new_task_queue = [] { return new httplib::ThreadPool(32); };
  server.set_keep_alive_timeout(1);
  // cpp-httplib would set SO_REUSEPORT, and a second instance would share the port without a word
  server.set_socket_options([shared, http = http_.get()](socket_t fd) {
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    http->listening = fd;
  });
  auto answer = [this, http = http_.get()](const httplib::Request& in, httplib::Response& out) {
    Request request{in.method, in.path, {in.params.begin(), in.params.end()}};
    auto done = std::make_shared<std::promise<Response>>();
    std::future<Response> result = done->get_future();
    post_([this, http = std::weak_ptr<Http>(http_), request = std::move(request), done] {
      if (const auto alive = http.lock(); alive != nullptr && !alive->closing) done->set_value(dispatch(request));
    });
    while (result.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready)
      if (http->closing) {
        out.status = 503;
        return;
      }
    Response response = result.get();
    out.status = response.status;
    out.set_header("cache-control", "no-cache, max-age=0");
    out.set_header("x-content-type-options", "nosniff");
    out.set_header("server", "envoy");
    out.set_content(std::move(response.body), response.content_type.c_str());
  };
  // `curl -X POST` sends neither length nor encoding: such a request has no body (RFC 9112 6.3), but cpp-httplib would wait for one
  server.set_pre_routing_handler([answer](const httplib::Request& in, httplib::Response& out) {
    if (in.has_header("Content-Length") || in.has_header("Transfer-Encoding")) return httplib::Server::HandlerResponse::Unhandled;
    answer(in, out);
    return httplib::Server::HandlerResponse::Handled;
  });
  server.Get(".*", answer);
  server.Post(".*", answer);
  server.Put(".*", answer);
  server.Delete(".*", answer);
  if (address.kind() == net::Address::Kind::Unix) return absl::UnimplementedError(absl::StrCat(address.to_string(), ": the admin address must be an IP address and port"));
  const std::string host = address.ip_string();
  int port = address.port();
  errno = 0;
  if (port == 0) {
    port = server.bind_to_any_port(host.c_str());
    if (port <= 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot bind ", address.to_string()));
  } else if (!server.bind_to_port(host.c_str(), port)) {
    return absl::ErrnoToStatus(errno == 0 ? EADDRINUSE : errno, absl::StrCat("cannot bind ", address.to_string()));
  }
  address_ = address.with_port(static_cast<uint16_t>(port));
  http_->thread = std::thread([http = http_.get()] {
    http->server.listen_after_bind();
    http->finished = true;
  });
  return absl::OkStatus();
}

void AdminServer::share_port() {
  int on = 1;
  if (http_ != nullptr) setsockopt(http_->listening, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

void AdminServer::leave() {
  if (http_ != nullptr && !http_->leaver.joinable()) http_->leaver = std::thread([http = http_.get()] { http->end(); });
}

void AdminServer::stop() {
  if (http_ == nullptr) return;
  http_->closing = true;
  if (http_->leaver.joinable()) http_->leaver.join();
  http_->end();
  if (http_->thread.joinable()) http_->thread.join();
  http_.reset();
}

}  // namespace fairlead::admin
