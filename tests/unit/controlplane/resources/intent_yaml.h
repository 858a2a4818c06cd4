// Reads the document that intent::to_doc writes, so that golden folders hold intents as people read them.
#pragma once

#include <catch2/catch.hpp>

#include <cstdlib>
#include <string>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

#include "base/doc.h"
#include "base/strings.h"
#include "controlplane/intent/intent.h"
#include "controlplane/topology/topology.h"

namespace fairlead::test {

class IntentReader {
 public:
  static intent::Model model(const doc::Value& v) {
    intent::Model out;
    for (const doc::Value& g : items(v, "gateways")) {
      auto gateway = std::make_shared<intent::Gateway>();
      gateway->key = scope_key(text(g, "gateway"));
      gateway->gateway_class = text(g, "class");
      gateway->origin = origin(g);
      for (const doc::Value& l : items(g, "listeners")) gateway->listeners.push_back(listener(l));
      for (const doc::Value& t : items(g, "backend_tls")) gateway->backend_tls.push_back(backend_tls(t));
      for (const doc::Value& s : items(g, "secrets")) gateway->secrets.push_back(secret(s));
      out.gateways[gateway->key] = gateway;
    }
    return out;
  }

  // services: {"ns/name": {"80": ["10.0.0.1:8080", "10.0.0.2:8080 serving zone-a"], "53/udp": […]}}
  static void services(const doc::Value& v, topology::Topology& to) {
    const doc::Value* services = v.find("services");
    if (!services) return;
    for (const doc::Entry& service : services->entries()) {
      const auto [ns, name] = pair_at(service.key, '/');
      topology::PortEndpoints ports;
      for (const doc::Entry& port : service.value.entries()) {
        auto& list = ports[{static_cast<uint16_t>(std::atoi(port.key.c_str())), port.key.ends_with("/udp")}];
        for (const doc::Value& e : port.value.items()) list.push_back(endpoint(e.as_string()));
      }
      to.set({ns, name}, "test", std::move(ports));
    }
  }

 private:
  // "ns/name", "mesh:ns", "mesh-grpc:*".
  static intent::ScopeKey scope_key(const std::string& s) {
    const auto [kind, ns] = pair_at(s, ':');
    if (kind == s) return {pair_at(s, '/').first, pair_at(s, '/').second};
    return {ns == "*" ? "" : ns, "", kind == "mesh" ? intent::Audience::kMeshProxy : intent::Audience::kMeshGrpc};
  }
  static std::string text(const doc::Value& v, std::string_view key) {
    const doc::Value* found = v.find(key);
    return found && found->is_string() ? found->as_string() : "";
  }
  static int64_t number(const doc::Value& v, std::string_view key) {
    const doc::Value* found = v.find(key);
    return found ? found->as_integer() : 0;
  }
  static std::span<const doc::Value> items(const doc::Value& v, std::string_view key) {
    const doc::Value* found = v.find(key);
    return found ? found->items() : std::span<const doc::Value>();
  }
  static std::pair<std::string, std::string> pair_at(const std::string& s, char c) {
    const size_t at = s.find(c);
    if (at == std::string::npos) return {s, ""};
    return {s.substr(0, at), s.substr(at + 1)};
  }
  static intent::BackendKey backend_key(const std::string& s) {
    const std::vector<std::string> parts = absl::StrSplit(s, '/');
    REQUIRE(parts.size() >= 3);
    return {parts[0], parts[1], static_cast<uint16_t>(std::atoi(parts[2].c_str())), parts.size() > 3 && parts[3] == "udp"};
  }
  static topology::Endpoint endpoint(const std::string& s) {
    const std::vector<std::string> words = absl::StrSplit(s, ' ');
    topology::Endpoint e;
    const auto [address, port] = pair_at(words[0], ':');
    e.address = address;
    e.port = static_cast<uint16_t>(std::atoi(port.c_str()));
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "serving") {
        e.health = topology::Health::kServing;
      } else if (words[i] == "not-ready") {
        e.health = topology::Health::kNotReady;
      } else {
        e.zone = words[i];
      }
    }
    return e;
  }

  // "HTTPRoute default/app: spec.rules[0]"
  static intent::Origin origin(const doc::Value& v) { return origin(text(v, "origin")); }
  static intent::Origin origin(std::string whole) {
    intent::Origin o;
    if (const size_t colon = whole.find(": "); colon != std::string::npos) {
      o.field = whole.substr(colon + 2);
      whole.resize(colon);
    }
    const auto [kind, rest] = pair_at(whole, ' ');
    o.kind = kind;
    const auto [ns, name] = pair_at(rest, '/');
    o.ns = name.empty() ? "" : ns;
    o.name = name.empty() ? ns : name;
    return o;
  }
  static std::vector<std::string> texts(const doc::Value& v, std::string_view key) {
    std::vector<std::string> out;
    for (const doc::Value& item : items(v, key)) out.push_back(item.as_string());
    return out;
  }
  static intent::BackendTls backend_tls(const doc::Value& v) {
    intent::BackendTls t;
    t.backend = backend_key(text(v, "backend"));
    t.origin = origin(v);
    t.server_name = text(v, "server_name");
    t.trusted_ca = text(v, "trusted_ca");
    t.client_certificate = text(v, "client_certificate");
    for (const std::string& name : texts(v, "names")) {
      t.names.push_back({name.starts_with("URI:") ? intent::SubjectAltNameType::kUri : intent::SubjectAltNameType::kDns, name.substr(4)});
    }
    return t;
  }
  // A document does not say what a secret is: its name stands for it.
  static intent::Secret secret(const doc::Value& v) {
    intent::Secret s;
    s.name = text(v, "name");
    for (const std::string& o : texts(v, "origins")) s.origins.push_back(origin(o));
    if (text(v, "holds") == "trusted certificates") {
      s.trusted_ca = "who issued " + s.name;
    } else {
      s.certificate_chain = "certificate of " + s.name;
      s.private_key = "key of " + s.name;
    }
    return s;
  }
  static intent::Listener listener(const doc::Value& v) {
    intent::Listener l;
    l.name = text(v, "name");
    l.origin = origin(v);
    l.address = text(v, "address");
    l.more_addresses = texts(v, "more_addresses");
    l.port = static_cast<uint16_t>(number(v, "port"));
    for (auto p : {intent::Protocol::kHttp, intent::Protocol::kHttps, intent::Protocol::kTls, intent::Protocol::kTcp, intent::Protocol::kUdp}) {
      if (intent::protocol_name(p) == text(v, "protocol")) l.protocol = p;
    }
    l.hostname = text(v, "hostname");
    for (const doc::Value& host : items(v, "virtual_hosts")) {
      intent::VirtualHost h;
      h.hostname = text(host, "hostname");
      for (const doc::Value& r : items(host, "routes")) h.routes.push_back(route(r));
      l.virtual_hosts.push_back(std::move(h));
    }
    if (const doc::Value* tls = v.find("tls")) {
      l.tls = intent::ServerTls{texts(*tls, "certificates"), text(*tls, "min_version"), text(*tls, "max_version"), texts(*tls, "cipher_suites"), text(*tls, "trusted_clients"), tls->find("require_client") == nullptr};
    }
    for (const doc::Value& r : items(v, "tls_routes")) {
      intent::TlsRoute route;
      route.hostname = text(r, "hostname");
      route.origin = origin(r);
      for (const doc::Value& b : items(r, "backends")) route.backends.push_back(backend(b));
      l.tls_routes.push_back(std::move(route));
    }
    if (const doc::Value* r = v.find("l4_route")) {
      l.l4_route.emplace();
      l.l4_route->origin = origin(*r);
      for (const doc::Value& b : items(*r, "backends")) l.l4_route->backends.push_back(backend(b));
    }
    return l;
  }
  static intent::ValueMatch value_match(const doc::Value& v) {
    const bool exact = v.find("exact");
    return {text(v, "name"), exact ? intent::ValueMatchType::kExact : intent::ValueMatchType::kRegex, text(v, exact ? "exact" : "regex")};
  }
  static intent::Match match(const doc::Value& v) {
    intent::Match m;
    if (v.find("path")) m.path = {intent::PathMatchType::kExact, text(v, "path")};
    if (v.find("prefix")) m.path = {intent::PathMatchType::kPrefix, text(v, "prefix")};
    if (v.find("regex")) m.path = {intent::PathMatchType::kRegex, text(v, "regex")};
    m.method = text(v, "method");
    for (const doc::Value& h : items(v, "headers")) m.headers.push_back(value_match(h));
    for (const doc::Value& q : items(v, "query")) m.query.push_back(value_match(q));
    return m;
  }
  static intent::HeaderModifier modifier(const doc::Value& v, std::string_view key) {
    intent::HeaderModifier m;
    const doc::Value* found = v.find(key);
    if (!found) return m;
    auto header = [](const doc::Value& h) {
      const std::string& s = h.as_string();
      const size_t at = s.find(": ");
      return intent::HeaderValue{s.substr(0, at), s.substr(at + 2)};
    };
    for (const doc::Value& h : items(*found, "set")) m.set.push_back(header(h));
    for (const doc::Value& h : items(*found, "add")) m.add.push_back(header(h));
    for (const doc::Value& h : items(*found, "remove")) m.remove.push_back(h.as_string());
    return m;
  }
  static std::optional<intent::PathRewrite> path_rewrite(const doc::Value& v) {
    if (v.find("full_path")) return intent::PathRewrite{intent::PathRewriteType::kFull, text(v, "full_path")};
    if (v.find("prefix")) return intent::PathRewrite{intent::PathRewriteType::kPrefix, text(v, "prefix")};
    return std::nullopt;
  }
  static intent::WeightedBackend backend(const doc::Value& v) {
    intent::WeightedBackend b;
    if (v.find("backend")) b.backend = backend_key(text(v, "backend"));
    b.weight = static_cast<uint32_t>(number(v, "weight"));
    if (text(v, "protocol") == "http2") b.protocol = intent::BackendProtocol::kHttp2;
    b.request_headers = modifier(v, "request_headers");
    b.response_headers = modifier(v, "response_headers");
    return b;
  }
  static std::optional<std::chrono::milliseconds> duration(const doc::Value& v, std::string_view key) {
    if (!v.find(key)) return std::nullopt;
    auto d = parse_duration(text(v, key));
    REQUIRE(d.ok());
    return std::chrono::duration_cast<std::chrono::milliseconds>(*d);
  }
  static intent::Route route(const doc::Value& v) {
    intent::Route r;
    r.name = text(v, "name");
    r.origin = origin(v);
    if (const doc::Value* m = v.find("match")) r.match = match(*m);
    r.request_headers = modifier(v, "request_headers");
    r.response_headers = modifier(v, "response_headers");
    if (const doc::Value* to = v.find("redirect")) {
      r.redirect.emplace();
      r.redirect->scheme = text(*to, "scheme");
      r.redirect->hostname = text(*to, "hostname");
      if (to->find("port")) r.redirect->port = static_cast<uint16_t>(number(*to, "port"));
      r.redirect->path = path_rewrite(*to);
      r.redirect->status = static_cast<int>(number(*to, "status"));
    }
    if (const doc::Value* d = v.find("direct_response")) {
      r.direct_response = intent::DirectResponse{static_cast<int>(number(*d, "status")), text(*d, "body")};
    }
    if (const doc::Value* w = v.find("rewrite")) r.rewrite = intent::UrlRewrite{text(*w, "hostname"), path_rewrite(*w)};
    for (const doc::Value& m : items(v, "mirrors")) {
      const auto [numerator, denominator] = pair_at(text(m, "fraction"), '/');
      r.mirrors.push_back({backend_key(text(m, "backend")), static_cast<uint32_t>(std::atoi(numerator.c_str())),
                           static_cast<uint32_t>(std::atoi(denominator.c_str())), text(m, "protocol") == "http2" ? intent::BackendProtocol::kHttp2 : intent::BackendProtocol::kHttp1});
    }
    r.request_timeout = duration(v, "request_timeout");
    r.backend_timeout = duration(v, "backend_timeout");
    if (const doc::Value* to = v.find("retry")) {
      r.retry.emplace();
      for (const doc::Value& status : items(*to, "statuses")) r.retry->statuses.push_back(static_cast<int>(status.as_integer()));
      r.retry->attempts = static_cast<uint32_t>(number(*to, "attempts"));
      r.retry->backoff = duration(*to, "backoff");
    }
    if (const doc::Value* c = v.find("cors")) {
      r.cors = intent::Cors{texts(*c, "origins"), texts(*c, "methods"), texts(*c, "request_headers"), texts(*c, "response_headers"), c->find("credentials") != nullptr, static_cast<int>(number(*c, "max_age"))};
    }
    if (const doc::Value* s = v.find("session")) {
      const bool cookie = s->find("cookie") != nullptr;
      r.session = intent::Session{cookie, text(*s, cookie ? "cookie" : "header"), text(*s, "path"), duration(*s, "lifetime")};
    }
    if (v.find("without_backend")) r.without_backend = static_cast<int>(number(v, "without_backend"));
    for (const doc::Value& b : items(v, "backends")) r.backends.push_back(backend(b));
    return r;
  }
};

}  // namespace fairlead::test
