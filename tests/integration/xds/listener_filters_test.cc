// Listener filters through the proxy: bytes in pieces, which filter chain they lead to, what is counted.
#include <catch2/catch.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/support/raw_socket.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"
#include "tests/unit/dataplane/filters/listener/client_hello.h"

namespace fairlead::testing::listener_filters_test {
namespace {

const std::string kType = "type.googleapis.com/envoy.extensions.filters.";

// A chain that says its name to whoever comes to it.
std::string chain(const std::string& name, const std::string& match) {
  return absl::StrCat("{name: ", name, ", filter_chain_match: {", match, "}, filters: [{name: d, typed_config: {'@type': ", kType, "network.direct_response.v3.Config, response: {inline_string: ", name, "}}}]}");
}

std::string filtered(const std::string& name, const std::vector<std::string>& filters, const std::vector<std::string>& chains) {
  std::string out = absl::StrCat("{name: ", name, ", address: {socket_address: {address: 127.0.0.1, port_value: 0}}, listener_filters_timeout: 0.3s, listener_filters: [");
  for (const std::string& filter : filters) absl::StrAppend(&out, "{name: f, typed_config: {'@type': ", kType, "listener.", filter, "}},");
  absl::StrAppend(&out, "], filter_chains: [");
  for (const std::string& c : chains) absl::StrAppend(&out, c, ",");
  return out + "]}";
}

// What comes back for the pieces, each a segment of its own.
std::string answer(uint16_t port, const std::vector<std::string>& pieces) {
  RawSocket client = RawSocket::connect(port);
  const int on = 1;
  setsockopt(client.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  for (const std::string& piece : pieces) client.send(piece);
  return client.read_all();
}

std::vector<std::string> bytes_of(const std::string& text) {
  std::vector<std::string> out;
  for (const char c : text) out.emplace_back(1, c);
  return out;
}

}  // namespace

TEST_CASE("listener filters lead a connection to its chain, however its bytes come") {
  const std::vector<std::string> by_name = {chain("exact", "server_names: [a.test]"), chain("h2", "transport_protocol: tls, application_protocols: [h2]"), chain("tls", "transport_protocol: tls"), chain("raw", "transport_protocol: raw_buffer")};
  const std::vector<std::string> by_source = {chain("one", "source_prefix_ranges: [{address_prefix: 1.0.0.0, prefix_len: 8}]"), chain("else", "")};
  ProxyProcess proxy(static_bootstrap({}, {filtered("names", {"tls_inspector.v3.TlsInspector"}, by_name),
                                           filtered("http", {"http_inspector.v3.HttpInspector"}, {chain("h2c", "application_protocols: [h2c]"), chain("one", "application_protocols: [http/1.1]"), chain("other", "")}),
                                           filtered("proxied", {"proxy_protocol.v3.ProxyProtocol", "tls_inspector.v3.TlsInspector"}, {chain("named", "server_names: [a.test]"), by_source[0], by_source[1]}),
                                           filtered("limited", {"local_ratelimit.v3.LocalRateLimit, stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 600s}"}, {chain("let in", "")})}));
  proxy.wait_for_state("LIVE");
  const auto named = [](const std::string& name) { return hello(HelloOptions().name(name)); };

  CHECK(answer(proxy.port("names"), {named("A.test")}) == "exact");
  CHECK(answer(proxy.port("names"), bytes_of(named("a.test"))) == "exact");
  CHECK(answer(proxy.port("names"), {hello(HelloOptions().alpn({"x", "h2"}), 3)}) == "h2");
  CHECK(answer(proxy.port("names"), {named("b.test")}) == "tls");
  CHECK(answer(proxy.port("names"), {"x"}) == "raw");
  CHECK(answer(proxy.port("names"), {named("a.test").substr(0, 20)}).empty());
  CHECK(proxy.stat("tls_inspector.tls_found") == "4");
  CHECK(proxy.stat("tls_inspector.sni_found") == "3");
  CHECK(proxy.stat("tls_inspector.alpn_found") == "1");
  CHECK(proxy.stat("tls_inspector.tls_not_found") == "1");

  CHECK(answer(proxy.port("http"), bytes_of("GET / HTTP/1.1\r\n")) == "one");
  CHECK(answer(proxy.port("http"), {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) == "h2c");
  CHECK(answer(proxy.port("http"), {"EHLO\r\n"}) == "other");
  CHECK(proxy.stat("http_inspector.http11_found") == "1");

  const std::string header = "PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\n";
  CHECK(answer(proxy.port("proxied"), {header + "text"}) == "one");
  CHECK(answer(proxy.port("proxied"), {"PROXY UNKNOWN\r\ntext"}) == "else");
  CHECK(answer(proxy.port("proxied"), bytes_of(header + named("a.test").substr(0, 30))).empty());
  CHECK(answer(proxy.port("proxied"), {header.substr(0, 20), header.substr(20) + named("a.test").substr(0, 3), named("a.test").substr(3)}) == "named");
  CHECK(answer(proxy.port("proxied"), {"GET / HTTP/1.1\r\n\r\n"}).empty());
  CHECK(proxy.stat("proxy_proto.versions.v1.found") == "4");
  CHECK(proxy.stat("proxy_proto.not_found_disallowed") == "1");
  CHECK(proxy.stat("downstream_cx_proxy_proto_error") == "1");

  CHECK(answer(proxy.port("limited"), {""}) == "let in");
  CHECK(answer(proxy.port("limited"), {""}).empty());
  CHECK(proxy.stat("listener_local_ratelimit.l.rate_limited") == "1");
}

}  // namespace fairlead::testing::listener_filters_test
