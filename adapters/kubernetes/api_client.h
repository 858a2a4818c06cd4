// A Kubernetes API server over HTTPS (or HTTP), on cpp-httplib: whoever calls waits, any number of threads may call. Each call uses one
// connection; idle ones are kept for the next (TLS handshakes cost more than most requests). Tokens and certificates in files are read anew
// for each request and connection. Owner: whoever asks; the destructor must not run beside a call.
// Invariant: cancel() ends every call that waits, also in connecting or shaking hands, and every later one.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "adapters/kubernetes/credentials.h"

namespace fairlead::adapters::kubernetes {

struct Response {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;  // names in lower case
  bool ok() const { return status >= 200 && status < 300; }
};

class ApiClient {
 public:
  struct Options {
    Credentials credentials;
    std::chrono::milliseconds timeout{10'000};  // to connect, to shake hands, and of silence within a request
    // Silence after which a stream is given up. Dead hosts are noticed before that: the kernel asks after 15 s (TCP keep-alive).
    std::chrono::milliseconds stream_silence{120'000};  // API servers send a bookmark about every minute
    std::string user_agent = "fairlead-control";
  };
  explicit ApiClient(Options options);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  // Every answer of the server is a Response, whatever its status. Unavailable: no connection or no whole answer, with the server's name and
  // the cause; Cancelled; FailedPrecondition: a token or certificate that cannot be read. A GET over a kept connection that turns out to be
  // closed is asked again over a new one; anything else is for the caller to repeat.
  absl::StatusOr<Response> request(std::string_view method, std::string_view path_and_query, std::string_view body = {}, std::string_view content_type = {});

  // GET, its answer in pieces as they arrive (decompressed). Returns when the answer has ended: with its status and headers, and a body only
  // of answers other than 2xx, which on_bytes does not get. False from on_bytes: Cancelled.
  absl::StatusOr<Response> stream(std::string_view path_and_query, const std::function<bool(std::string_view)>& on_bytes);

  // The same for an answer that does not end by itself: never compressed, since a compressor keeps what is small until more comes. `on_open`: a 2xx has begun.
  absl::StatusOr<Response> watch(std::string_view path_and_query, const std::function<bool(std::string_view)>& on_bytes, const std::function<void()>& on_open = {});

  void cancel();
  bool cancelled() const;
  const std::string& server() const { return options_.credentials.server; }
  const Credentials& credentials() const { return options_.credentials; }

 private:
  class Connection;
  struct Shared;
  struct Exchange;
  absl::StatusOr<Response> run(Exchange& exchange);
  absl::StatusOr<Response> run_in_pieces(Exchange& exchange, const std::function<bool(std::string_view)>& on_bytes, const std::function<void()>& on_open);
  absl::StatusOr<std::unique_ptr<Connection>> take(bool& kept);
  void give_back(std::unique_ptr<Connection> connection);

  const Options options_;
  const std::unique_ptr<Shared> shared_;
};

// "403: services is forbidden: User …": the message of a Kubernetes `Status` body, or the start of another body: for errors.
std::string status_message(const Response& response);

// A value for a query: everything but letters, digits and -._~ as %XX.
std::string query_escape(std::string_view text);

}  // namespace fairlead::adapters::kubernetes
