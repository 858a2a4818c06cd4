// A request to be explained: what a client would send and where, without a client. A value; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

namespace fairlead::why {

struct Request {
  std::string method = "GET";
  std::string scheme = "http";
  std::string authority;        // the Host header, with its port where the URL has one
  std::string host;             // of the URL: where the connection goes and, with https, the server name
  uint16_t port = 0;            // of the listener; 0: not said, the only listener that answers HTTP
  std::string path = "/";       // with the query
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string from = "127.0.0.1";  // the client's address
  bool any_scheme = false;         // not known whether http or https: whichever the listener speaks

  bool tls() const { return scheme == "https"; }
  std::string str() const;  // "GET http://shop.example.com:8080/cart"
};

// `url`: "http://host[:port]/path", "https://…", or a path alone ("/cart": the host is then a header's, else localhost, and the port not said).
// `headers`: "name: value". InvalidArgument says what is wrong with which word.
absl::StatusOr<Request> make_request(std::string_view method, std::string_view url, const std::vector<std::string>& headers);

}  // namespace fairlead::why
