// An intent as a document, for golden files and `fairlead translate`. Pure; any thread.
#include "controlplane/intent/intent.h"

#include <absl/strings/str_cat.h>

#include "base/strings.h"

namespace fairlead::intent {
namespace {

// Collects the fields of one map; what is empty or at its default is never added.
class Fields {
 public:
  Fields& add(std::string_view key, doc::Value value) {
    entries_.push_back({std::string(key), std::move(value), {}});
    return *this;
  }
  Fields& text(std::string_view key, const std::string& value) { return value.empty() ? *this : add(key, doc::string(value)); }
  Fields& number(std::string_view key, int64_t value) { return add(key, doc::integer(value)); }
  template <typename List, typename F>
  Fields& list(std::string_view key, const List& from, F&& one) {
    if (from.empty()) return *this;
    std::vector<doc::Value> items;
    for (const auto& item : from) items.push_back(one(item));
    return add(key, doc::list(std::move(items)));
  }
  doc::Value done() { return doc::map(std::move(entries_)); }
  bool empty() const { return entries_.empty(); }

 private:
  std::vector<doc::Entry> entries_;
};

std::string origin_text(const Origin& o) { return o.field.empty() ? o.object() : absl::StrCat(o.object(), ": ", o.field); }

doc::Value value_match(const ValueMatch& m) {
  return Fields().text("name", m.name).add(m.type == ValueMatchType::kExact ? "exact" : "regex", doc::string(m.value)).done();
}

doc::Value match(const Match& m) {
  Fields f;
  switch (m.path.type) {
    case PathMatchType::kExact: f.text("path", m.path.value); break;
    case PathMatchType::kPrefix: f.text("prefix", m.path.value); break;
    case PathMatchType::kRegex: f.text("regex", m.path.value); break;
  }
  f.text("method", m.method).list("headers", m.headers, value_match).list("query", m.query, value_match);
  return f.done();
}

doc::Value header(const HeaderValue& h) { return doc::string(absl::StrCat(h.name, ": ", h.value)); }

void modifier(Fields& f, std::string_view key, const HeaderModifier& m) {
  if (m.empty()) return;
  f.add(key, Fields()
                 .list("set", m.set, header)
                 .list("add", m.add, header)
                 .list("remove", m.remove, [](const std::string& name) { return doc::string(name); })
                 .done());
}

void path_rewrite(Fields& f, const std::optional<PathRewrite>& p) {
  if (p) f.add(p->type == PathRewriteType::kFull ? "full_path" : "prefix", doc::string(p->value));
}

doc::Value redirect(const Redirect& r) {
  Fields f;
  f.text("scheme", r.scheme).text("hostname", r.hostname);
  if (r.port) f.number("port", *r.port);
  path_rewrite(f, r.path);
  return f.number("status", r.status).done();
}

doc::Value mirror(const Mirror& m) {
  Fields f;
  f.text("backend", m.backend.str()).text("fraction", absl::StrCat(m.numerator, "/", m.denominator));
  if (m.protocol == BackendProtocol::kHttp2) f.text("protocol", "http2");
  return f.done();
}

doc::Value backend(const WeightedBackend& b, int without) {
  Fields f;
  if (b.backend) {
    f.text("backend", b.backend->str());
  } else if (without != 0) {
    f.number("answers", without);
  } else {
    f.add("closes", doc::boolean(true));
  }
  f.number("weight", b.weight);
  if (b.protocol == BackendProtocol::kHttp2) f.text("protocol", "http2");
  modifier(f, "request_headers", b.request_headers);
  modifier(f, "response_headers", b.response_headers);
  return f.done();
}

doc::Value text_value(const std::string& s) { return doc::string(s); }

doc::Value cors(const Cors& c) {
  Fields f;
  f.list("origins", c.origins, text_value)
      .list("methods", c.methods, text_value)
      .list("request_headers", c.request_headers, text_value)
      .list("response_headers", c.response_headers, text_value);
  if (c.credentials) f.add("credentials", doc::boolean(true));
  return f.number("max_age", c.max_age).done();
}

doc::Value retry(const Retry& r) {
  Fields f;
  f.list("statuses", r.statuses, [](int status) { return doc::integer(status); }).number("attempts", r.attempts);
  if (r.backoff) f.text("backoff", format_duration(*r.backoff));
  return f.done();
}

doc::Value session(const Session& s) {
  Fields f;
  f.text(s.cookie ? "cookie" : "header", s.name).text("path", s.path);
  if (s.lifetime) f.text("lifetime", format_duration(*s.lifetime));
  return f.done();
}

doc::Value route(const Route& r) {
  Fields f;
  f.text("name", r.name).text("origin", origin_text(r.origin)).add("match", match(r.match));
  modifier(f, "request_headers", r.request_headers);
  modifier(f, "response_headers", r.response_headers);
  if (r.redirect) f.add("redirect", redirect(*r.redirect));
  if (r.direct_response) {
    f.add("direct_response", Fields().number("status", r.direct_response->status).text("body", r.direct_response->body).done());
  }
  if (r.rewrite) {
    Fields rewrite;
    rewrite.text("hostname", r.rewrite->hostname);
    path_rewrite(rewrite, r.rewrite->path);
    f.add("rewrite", rewrite.done());
  }
  f.list("mirrors", r.mirrors, mirror);
  if (r.request_timeout) f.text("request_timeout", format_duration(*r.request_timeout));
  if (r.backend_timeout) f.text("backend_timeout", format_duration(*r.backend_timeout));
  if (r.retry) f.add("retry", retry(*r.retry));
  if (r.cors) f.add("cors", cors(*r.cors));
  if (r.session) f.add("session", session(*r.session));
  if (r.without_backend != 500) f.number("without_backend", r.without_backend);
  return f.list("backends", r.backends, [&](const WeightedBackend& b) { return backend(b, r.without_backend); }).done();
}

doc::Value virtual_host(const VirtualHost& v) {
  return Fields().text("hostname", v.hostname).list("routes", v.routes, route).done();
}

doc::Value server_tls(const ServerTls& t) {
  Fields f;
  f.list("certificates", t.certificates, text_value)
      .text("min_version", t.min_version)
      .text("max_version", t.max_version)
      .list("cipher_suites", t.cipher_suites, text_value)
      .text("trusted_clients", t.trusted_clients);
  if (!t.require_client) f.add("require_client", doc::boolean(false));
  return f.done();
}

doc::Value bytes_backend(const WeightedBackend& b) { return backend(b, 0); }

doc::Value tls_route(const TlsRoute& r) {
  return Fields().text("hostname", r.hostname).text("origin", origin_text(r.origin)).list("backends", r.backends, bytes_backend).done();
}

doc::Value l4_route(const L4Route& r) {
  return Fields().text("origin", origin_text(r.origin)).list("backends", r.backends, bytes_backend).done();
}

doc::Value backend_tls(const BackendTls& t) {
  return Fields()
      .text("backend", t.backend.str())
      .text("origin", origin_text(t.origin))
      .text("server_name", t.server_name)
      .text("trusted_ca", t.trusted_ca)
      .list("names", t.names, [](const SubjectAltName& n) { return doc::string(absl::StrCat(n.type == SubjectAltNameType::kDns ? "DNS:" : "URI:", n.value)); })
      .text("client_certificate", t.client_certificate)
      .done();
}

// Never what it holds.
doc::Value secret(const Secret& s) {
  return Fields()
      .text("name", s.name)
      .list("origins", s.origins, [](const Origin& o) { return doc::string(origin_text(o)); })
      .text("holds", s.trusted_ca.empty() ? "certificate and key" : "trusted certificates")
      .done();
}

doc::Value listener(const Listener& l) {
  Fields f;
  f.text("name", l.name)
      .text("origin", origin_text(l.origin))
      .text("address", l.address)
      .list("more_addresses", l.more_addresses, text_value)
      .number("port", l.port)
      .text("protocol", std::string(protocol_name(l.protocol)))
      .text("hostname", l.hostname);
  if (l.tls) f.add("tls", server_tls(*l.tls));
  f.list("virtual_hosts", l.virtual_hosts, virtual_host).list("tls_routes", l.tls_routes, tls_route);
  if (l.l4_route) f.add("l4_route", l4_route(*l.l4_route));
  return f.done();
}

}  // namespace

std::string ScopeKey::str() const {
  if (!mesh()) return ns + "/" + name;
  return (audience == Audience::kMeshGrpc ? "mesh-grpc:" : "mesh:") + (ns.empty() ? "*" : ns);
}

std::string ScopeKey::scope() const { return scope_of(str()); }

std::string ScopeKey::scope_of(std::string_view key) {
  return (key.find(':') == std::string_view::npos ? "gateway:" : "") + std::string(key);
}

std::string_view protocol_name(Protocol p) {
  switch (p) {
    case Protocol::kHttp: return "HTTP";
    case Protocol::kHttps: return "HTTPS";
    case Protocol::kTls: return "TLS";
    case Protocol::kTcp: return "TCP";
    case Protocol::kUdp: return "UDP";
  }
  return "HTTP";
}

doc::Value to_doc(const Gateway& gateway) {
  return Fields()
      .text("gateway", gateway.key.str())
      .text("class", gateway.gateway_class)
      .text("origin", origin_text(gateway.origin))
      .list("listeners", gateway.listeners, listener)
      .list("backend_tls", gateway.backend_tls, backend_tls)
      .list("secrets", gateway.secrets, secret)
      .done();
}

doc::Value to_doc(const Model& model) {
  std::vector<doc::Value> items;
  for (const auto& [key, gateway] : model.gateways) items.push_back(to_doc(*gateway));
  return doc::map({{"gateways", doc::list(std::move(items)), {}}});
}

std::string to_yaml(const Model& model) { return doc::to_yaml(to_doc(model)); }

}  // namespace fairlead::intent
