// The connection manager's header rules; see request_headers.h.
#include "dataplane/stream/request_headers.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <absl/container/inlined_vector.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <arpa/inet.h>

#include "dataplane/http/status.h"
#include "dataplane/stream/client_certificate.h"

namespace fairlead::stream {
namespace {

using http::HeaderMap;
using http::Token;

// Whether a comma separated list has `word`, ignoring case.
bool has_word(std::string_view list, std::string_view word) {
  for (std::string_view part : absl::StrSplit(list, ',')) {
    if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(part), word)) return true;
  }
  return false;
}

bool must_stay(std::string_view nominated) {
  return nominated.empty() || nominated[0] == ':' || nominated == "host" || absl::StartsWith(nominated, "x-forwarded-") || nominated == "x-request-id";
}

bool known_option(std::string_view option) {
  return option == "close" || option == "keep-alive" || option == "upgrade" || option == "te" || option == "http2-settings" || option == "transfer-encoding";
}

// Envoy 1.40: ConnectionManagerUtility::cleanInternalHeaders
constexpr Token kControlHeaders[] = {Token::XEnvoyRetriableStatusCodes, Token::XEnvoyRetriableHeaderNames, Token::XEnvoyRetryOn, Token::XEnvoyRetryGrpcOn,
                                     Token::XEnvoyMaxRetries, Token::XEnvoyUpstreamAltStatName, Token::XEnvoyUpstreamRqTimeoutMs,
                                     Token::XEnvoyUpstreamRqPerTryTimeoutMs, Token::XEnvoyExpectedRqTimeoutMs};
constexpr std::string_view kRareControlHeaders[] = {"x-envoy-upstream-rq-timeout-alt-response", "x-envoy-force-trace", "x-envoy-ip-tags", "x-envoy-original-url", "x-envoy-hedge-on-per-try-timeout"};

void remove_control_headers(HeaderMap& headers, bool edge, const std::vector<std::string>* internal_only_headers) {
  bool rare = false;
  for (const http::Header& h : headers) rare = rare || (h.token() == Token::Other && h.name().size() > 8 && h.name().starts_with("x-envoy-"));
  if (edge) {
    for (Token token : {Token::XEnvoyDecoratorOperation, Token::XEnvoyOriginalPath, Token::XEnvoyOriginalHost}) {
      if (headers.has(token)) headers.remove(token);
    }
  }
  for (Token token : kControlHeaders) {
    if (headers.has(token)) headers.remove(token);
  }
  if (rare) {
    for (std::string_view name : kRareControlHeaders) headers.remove(name);
    if (edge) {
      headers.remove("x-envoy-downstream-service-cluster");
      headers.remove("x-envoy-downstream-service-node");
    }
  }
  if (internal_only_headers != nullptr) {
    for (const std::string& name : *internal_only_headers) headers.remove(name);
  }
}

bool is_ip(std::string_view entry) {
  char text[INET6_ADDRSTRLEN];
  unsigned char bytes[16];
  if (entry.empty() || entry.size() >= sizeof text) return false;
  std::memcpy(text, entry.data(), entry.size());
  text[entry.size()] = 0;
  return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

bool any_contains(const std::vector<matching::Cidr>& ranges, std::string_view ip) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const matching::Cidr& range) { return range.contains_text(ip); });
}

// Adds the peer to x-forwarded-for; a loopback peer stands there as this machine.
void append_hop(HeaderMap& headers, const config::HcmConfig& config, const Peer& peer) {
  if (!peer.remote->is_ip()) return;
  const std::string_view hop = peer.remote->is_loopback() ? peer.local_ip : peer.remote_ip;
  const bool map = config.represent_ipv4_remote_address_as_ipv4_mapped_ipv6 && hop.find(':') == std::string_view::npos;
  const bool fresh = headers.get(Token::XForwardedFor).empty();  // a header without a value gets no comma
  std::string mapped;
  if (map) mapped = absl::StrCat("::ffff:", hop);
  const std::string_view entry = map ? mapped : hop;
  if (fresh) {
    headers.set(Token::XForwardedFor, entry);
  } else {
    headers.append(Token::XForwardedFor, entry);
  }
}

// The last entry of x-forwarded-for that is no trusted proxy, or the first entry when all are. `single`: it is the only one.
std::string_view last_untrusted(const HeaderMap& headers, const std::vector<matching::Cidr>& trusted, bool& single) {
  constexpr size_t kMostEntries = 20;  // Envoy 1.40
  const http::Header* header = headers.find(Token::XForwardedFor);
  if (header == nullptr) return {};
  absl::InlinedVector<std::string_view, kMostEntries> entries;
  for (std::string_view entry : absl::StrSplit(header->value(), ',')) {
    if (entries.size() == kMostEntries) return {};
    entries.push_back(absl::StripAsciiWhitespace(entry));
  }
  single = entries.size() == 1;
  for (size_t i = entries.size(); i-- != 0;) {
    if (!is_ip(entries[i])) return {};
    if (i == 0 || !any_contains(trusted, entries[i])) return entries[i];
  }
  return {};
}

// original_ip_detection_extensions. Returns whether the address found may make the request internal.
bool detect_client(HeaderMap& headers, const config::HcmConfig& config, const Peer& peer, Origin& origin) {
  for (const config::IpDetection& way : config.ip_detections) {
    bool may_be_internal = way.may_be_internal;
    bool append = way.header.empty() && !way.skip_append;
    if (!way.header.empty()) {
      const http::Header* header = headers.find(way.header);
      if (header != nullptr && is_ip(header->value())) origin.client_ip = header->value();
    } else if (way.trusted_proxies.empty()) {
      origin.client_ip = forwarded_address(headers, way.trusted_hops, may_be_internal);
    } else if (any_contains(way.trusted_proxies, peer.remote_ip)) {
      origin.client_ip = last_untrusted(headers, way.trusted_proxies, may_be_internal);
    } else {
      append = true;  // Envoy 1.40: whatever skip_xff_append says
    }
    if (append) append_hop(headers, config, peer);
    if (!origin.client_ip.empty()) return may_be_internal;
    if (way.reject_status) {
      origin.reject_status = *way.reject_status;
      return false;
    }
  }
  return false;
}

bool is_internal(const config::HcmConfig& config, std::string_view ip, const Peer& peer) {
  if (ip.empty()) return peer.remote->kind() == net::Address::Kind::Unix && config.internal_unix_sockets;
  return any_contains(config.internal_cidrs, ip);
}

}  // namespace

bool check_underscores(HeaderMap& headers, bool drop) {
  const auto has = [](const http::Header& h) { return h.name().find('_') != std::string_view::npos; };
  if (drop) {
    headers.remove_if(has);
    return true;
  }
  for (const http::Header& h : headers) {
    if (has(h)) return false;
  }
  return true;
}

bool asks_for_upgrade(const HeaderMap& headers) {
  const http::Header* upgrade = headers.find(Token::Upgrade);
  const http::Header* connection = headers.find(Token::Connection);
  return upgrade != nullptr && connection != nullptr && has_word(connection->value(), "upgrade");
}

bool has_grpc_content_type(const HeaderMap& headers) {
  const std::string_view type = headers.get(Token::ContentType);
  return absl::StartsWith(type, "application/grpc") && (type.size() == 16 || type[16] == '+' || type[16] == ';');
}

bool clean_hop_by_hop(HeaderMap& headers, bool upgrade) {
  if (const http::Header* connection = headers.find(Token::Connection)) {
    const std::string_view value = connection->value();
    const bool simple = value == "close" || value == "keep-alive" || value == "Keep-Alive" || value == "Upgrade" || value == "upgrade";
    if (!simple) {
      for (std::string_view part : absl::StrSplit(value, ',')) {
        const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(part));
        if (name.empty() || known_option(name)) continue;
        if (must_stay(name)) return false;
        headers.remove(name);
      }
    }
    if (!upgrade) headers.remove(Token::Connection);
  }
  if (!upgrade && headers.has(Token::Upgrade)) headers.remove(Token::Upgrade);
  if (headers.has(Token::Http2Settings)) headers.remove(Token::Http2Settings);
  if (const http::Header* te = headers.find(Token::Te); te != nullptr && te->value() != "trailers") {  // gRPC's stays as it is
    if (has_word(te->value(), "trailers")) {
      headers.set_ref(Token::Te, "trailers");
    } else {
      headers.remove(Token::Te);
    }
  }
  if (headers.has(Token::KeepAlive)) headers.remove(Token::KeepAlive);
  if (headers.has(Token::ProxyConnection)) headers.remove(Token::ProxyConnection);
  if (headers.has(Token::TransferEncoding)) headers.remove(Token::TransferEncoding);
  return true;
}

std::string_view forwarded_address(const HeaderMap& headers, uint32_t skip, bool& single) {
  single = false;
  const http::Header* header = headers.find(Token::XForwardedFor);
  if (header == nullptr) return {};
  const std::string_view list = header->value();
  size_t end = list.size();
  for (; skip != 0; --skip) {
    const size_t comma = list.rfind(',', end == 0 ? 0 : end - 1);
    if (end == 0 || comma == std::string_view::npos) return {};
    end = comma;
  }
  const size_t comma = end == 0 ? std::string_view::npos : list.rfind(',', end - 1);
  const size_t begin = comma == std::string_view::npos ? 0 : comma + 1;
  const std::string_view entry = absl::StripAsciiWhitespace(list.substr(begin, end - begin));
  if (!is_ip(entry)) return {};
  single = begin == 0 && end == list.size();
  return entry;
}

Origin set_origin_headers(HeaderMap& headers, const config::HcmConfig& config, const Peer& peer, const std::vector<std::string>* internal_only_headers,
                          uint64_t random_high, uint64_t random_low) {
  Origin origin;
  if (headers.has(Token::XEnvoyInternal)) headers.remove(Token::XEnvoyInternal);
  const std::string_view scheme = peer.tls ? "https" : "http";
  bool single = false;
  std::string_view trusted;
  if (config.use_remote_address) {
    single = !headers.has(Token::XForwardedFor);
    if (config.xff_num_trusted_hops > 0) {
      bool ignored;
      origin.client_ip = trusted = forwarded_address(headers, config.xff_num_trusted_hops - 1, ignored);
    }
    if (trusted.empty()) trusted = peer.remote_ip;
    if (!config.skip_xff_append) append_hop(headers, config, peer);
    if (config.xff_num_trusted_hops == 0 || !headers.has(Token::XForwardedProto)) headers.set_ref(Token::XForwardedProto, scheme);
    if (config.append_x_forwarded_port && (config.xff_num_trusted_hops == 0 || !headers.has(Token::XForwardedPort))) headers.set(Token::XForwardedPort, absl::StrCat(peer.local_port));
  } else {
    if (config.ip_detections.empty()) {
      origin.client_ip = forwarded_address(headers, config.xff_num_trusted_hops, single);
    } else {
      single = detect_client(headers, config, peer, origin);
      if (origin.reject_status != 0) return origin;
    }
    trusted = origin.client_ip;
    if (!headers.has(Token::XForwardedProto)) headers.add_ref(Token::XForwardedProto, scheme);
  }
  if (!config.scheme_to_overwrite.empty()) {
    headers.set(Token::PseudoScheme, config.scheme_to_overwrite);
  } else if (!headers.has(Token::PseudoScheme)) {
    const std::string_view forwarded = headers.get(Token::XForwardedProto);
    headers.add_ref(Token::PseudoScheme, forwarded == "http" || forwarded == "https" ? forwarded : scheme);
  }
  origin.internal = single && (!trusted.empty() || config.internal_unix_sockets) && is_internal(config, trusted, peer);
  origin.edge = !origin.internal && config.use_remote_address;
  if (origin.internal) {
    headers.set_ref(Token::XEnvoyInternal, "true");
  } else {
    remove_control_headers(headers, origin.edge, internal_only_headers);
  }
  if (config.add_user_agent && !peer.service_cluster.empty()) {
    headers.set("x-envoy-downstream-service-cluster", peer.service_cluster);
    if (!headers.has(Token::UserAgent)) headers.add(Token::UserAgent, peer.service_cluster);
    if (!peer.service_node.empty()) headers.set("x-envoy-downstream-service-node", peer.service_node);
  }
  if (!config.via.empty()) headers.append(Token::Via, config.via, ", ");
  if (origin.edge && !trusted.empty()) headers.set(Token::XEnvoyExternalAddress, trusted);
  if (config.generate_request_id && (!headers.has(Token::XRequestId) || (origin.edge && !config.preserve_external_request_id))) {
    char* uuid = headers.arena().bytes(36);
    write_uuid(random_high, random_low, uuid);
    headers.set_ref(Token::XRequestId, {uuid, 36});
  }
  if (config.client_cert_header == config::ClientCertHeader::Sanitize) {
    if (headers.has(Token::XForwardedClientCert)) headers.remove(Token::XForwardedClientCert);
  } else {
    set_client_certificate(headers, config.client_cert_header, config.client_cert_details, peer.certificates);
  }
  return origin;
}

void strip_host(HeaderMap& headers, const config::HcmConfig& config, uint16_t local_port) {
  if (!config.strip_any_host_port && !config.strip_matching_host_port && !config.strip_trailing_host_dot) return;
  std::string_view host = headers.get(Token::PseudoAuthority);
  const size_t colon = host.rfind(':');
  std::string_view port;
  std::string_view name = host;
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
    name = host.substr(0, colon);
    port = host.substr(colon);
    uint32_t number;
    const bool is_number = absl::SimpleAtoi(port.substr(1), &number);  // Envoy 1.40 keeps anything else
    if (is_number && (config.strip_any_host_port || (config.strip_matching_host_port && number == local_port))) port = {};
  }
  if (config.strip_trailing_host_dot && absl::EndsWith(name, ".")) name.remove_suffix(1);
  if (name.size() + port.size() != host.size()) headers.set(Token::PseudoAuthority, absl::StrCat(name, port));
}

void finish_response(HeaderMap& headers, const config::HcmConfig& config, std::string_view request_id, bool upgrade, std::chrono::system_clock::time_point now) {
  if (!upgrade) {
    if (headers.has(Token::Connection)) headers.remove(Token::Connection);
    if (headers.has(Token::Upgrade)) headers.remove(Token::Upgrade);
  }
  if (headers.has(Token::TransferEncoding)) headers.remove(Token::TransferEncoding);
  if (headers.has(Token::KeepAlive)) headers.remove(Token::KeepAlive);
  if (headers.has(Token::ProxyConnection)) headers.remove(Token::ProxyConnection);
  if (!headers.has(Token::Date)) headers.add(Token::Date, http::http_date(now));
  switch (config.server_header) {
    case config::HcmConfig::ServerHeader::Overwrite: headers.set_ref(Token::Server, config.server_name); break;
    case config::HcmConfig::ServerHeader::AppendIfAbsent:
      if (!headers.has(Token::Server)) headers.add_ref(Token::Server, config.server_name);
      break;
    case config::HcmConfig::ServerHeader::PassThrough: break;
  }
  if (!config.via.empty()) headers.append(Token::Via, config.via, ", ");
  if (config.always_set_request_id_in_response && !request_id.empty()) headers.set_ref(Token::XRequestId, request_id);
}

void write_uuid(uint64_t high, uint64_t low, char* out) {
  static constexpr auto kHex = [] {  // two digits of each byte
    std::array<char, 512> table{};
    for (size_t i = 0; i < table.size(); ++i) table[i] = "0123456789abcdef"[i % 2 == 0 ? i / 32 : i / 2 % 16];
    return table;
  }();
  high = (high & ~uint64_t{0xf000}) | 0x4000;
  low = (low & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);
  const auto put = [&](uint64_t bits, int digits) {
    for (int shift = digits * 4 - 8; shift >= 0; shift -= 8) {
      std::memcpy(out, &kHex[(bits >> shift & 255) * 2], 2);
      out += 2;
    }
  };
  put(high >> 32, 8);
  *out++ = '-';
  put(high >> 16, 4);
  *out++ = '-';
  put(high, 4);
  *out++ = '-';
  put(low >> 48, 4);
  *out++ = '-';
  put(low, 12);
}

}  // namespace fairlead::stream
