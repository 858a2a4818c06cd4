// From the listener to the route; what the route then does is in action.cc.
#include "apps/why/answer.h"

#include <algorithm>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/pipeline/mesh_scopes.h"
#include "apps/why/walk.h"
#include "dataplane/http/inline_headers.h"
#include "dataplane/router/explain.h"
#include "dataplane/stream/path.h"
#include "dataplane/stream/request_headers.h"

namespace fairlead::why {

using http::Token;

namespace {

constexpr std::string_view kTlsInspector = "envoy.filters.listener.tls_inspector";

// How well a listener's address fits where a client connects; 0: not at all.
int fit(const config::Address& address, const Request& request) {
  if (address.kind != config::Address::Kind::Socket || address.udp) return 0;
  if (request.port != 0 && address.port != request.port) return 0;
  if (address.host == request.host) return 3;
  const auto listening = net::Address::from_ip(address.host, address.port);
  if (listening.ok() && listening->is_any()) return 2;
  return net::Address::from_ip(request.host, 0).ok() ? 0 : 1;  // a name may lead anywhere, another IP does not
}

// The same for clients of the mesh: whose Service they connect to or ask for. Whatever is no Service with routes, a proxy's only socket takes.
int mesh_fit(const config::ListenerConfig& listener, const Request& request) {
  if (listener.bind_to_port) return 1;
  const uint32_t port = request.port != 0 ? request.port : request.tls() ? 443 : 80;
  const std::string asked = absl::StrCat(request.host, ":", port);
  const auto service = pipeline::service_named(asked);
  if (listener.name == asked || (service && listener.name == service->str())) return 3;
  const bool there = std::any_of(listener.addresses.begin(), listener.addresses.end(), [&](const config::Address& a) { return a.host == request.host && a.port == port; });
  return there ? 2 : 0;
}

stream::EscapedSlashes escaped_slashes(config::HcmConfig::EscapedSlashes action) {
  using Action = config::HcmConfig::EscapedSlashes;
  switch (action) {
    case Action::KeepUnchanged: return stream::EscapedSlashes::kKeep;
    case Action::RejectRequest: return stream::EscapedSlashes::kReject;
    case Action::UnescapeAndRedirect: return stream::EscapedSlashes::kUnescapeAndRedirect;
    case Action::UnescapeAndForward: return stream::EscapedSlashes::kUnescapeAndForward;
  }
  return stream::EscapedSlashes::kKeep;
}

}  // namespace

// --- steps -------------------------------------------------------------------------------------------------------------

void Walk::step(std::string name, std::string what, const intent::Origin* origin, std::string_view field) {
  Step s{std::move(name), std::move(what), "", ""};
  if (origin != nullptr) {
    s.place = origin->place();
    s.object = origin->object();
    if (const std::string own = field_of(*origin, field); !own.empty()) absl::StrAppend(&s.object, ": ", own);
  }
  answer.steps.push_back(std::move(s));
}

void Walk::end(Answer::Kind kind, uint32_t status, std::string summary) {
  answer.kind = kind;
  answer.status = status;
  answer.summary = summary;
  step("answer", std::move(summary));
}

// A raw resource's fields are its author's own; those of planned ones stand in no file.
std::string Walk::field_of(const intent::Origin& origin, std::string_view field) {
  const bool raw = origin.kind == "EnvoyResources" && !field.empty();
  return raw ? absl::StrCat(origin.field, origin.field.empty() ? "" : ".", field) : origin.field;
}

const intent::Origin* Walk::origin_of(const ResourcePtr& resource) { return resource->origins.empty() ? nullptr : &resource->origins.front(); }

// --- listener and chain --------------------------------------------------------------------------------------------------

bool Walk::find_listener() {
  const bool mesh = world.snapshot()->scope.starts_with("mesh");
  int best = 0;
  size_t equals = 0;
  std::vector<std::string> others;
  for (const World::Listener& l : world.listeners()) {
    if (l.model == nullptr) {
      answer.notes.push_back(absl::StrCat("listener ", l.resource->name, " is left out, the proxy would refuse it: ", l.error));
      continue;
    }
    if ((!mesh && !l.model->bind_to_port) || l.model->udp) continue;
    for (const config::Address& address : l.model->addresses) {
      others.push_back(mesh && !l.model->bind_to_port ? l.model->name : address.text());
      const int score = mesh ? mesh_fit(*l.model, request) : fit(address, request);
      if (score == best && score > 0 && listener->model != l.model) ++equals;
      if (score <= best) continue;
      best = score;
      equals = 0;
      listener = &l;
      listened = &address;
    }
  }
  const std::string where = request.port == 0 ? "any port" : absl::StrCat("port ", request.port);
  if (listener == nullptr) {
    end(Answer::Kind::NoConnection, 0,
        others.empty() ? "no listener: this proxy has none" : absl::StrCat("no listener on ", where, request.host.empty() ? "" : absl::StrCat(" of ", request.host), "; there are: ", absl::StrJoin(others, ", ")));
    return false;
  }
  if (equals > 0) answer.notes.push_back(absl::StrCat(equals, equals == 1 ? " other listener fits" : " other listeners fit", " as well: say the address and the port in the URL"));
  answer.listener = listener->model->name;
  const intent::Origins& origins = listener->resource->origins;
  step("listener", absl::StrCat(listener->model->name, " on ", listened->text(), origins.size() > 1 ? absl::StrCat(" (and ", origins.size() - 1, " more share it)") : ""), origin_of(listener->resource));
  return true;
}

net::Address Walk::local_address() const {
  for (const std::string& host : {request.host, listened->host}) {
    const auto address = net::Address::from_ip(host, listened->port);
    if (address.ok() && !address->is_any()) return *address;
  }
  return net::Address::v4_loopback(listened->port);
}

bool Walk::find_chain() {
  const config::ListenerConfig& config = *listener->model;
  const bool inspects = std::any_of(config.listener_filters.begin(), config.listener_filters.end(), [](const auto& f) { return f.type->canonical == kTlsInspector; });
  const bool ip_host = net::Address::from_ip(request.host, 0).ok();
  const std::string_view sni = request.tls() && inspects && !ip_host ? std::string_view(request.host) : std::string_view();
  const std::vector<std::string> alpn = {"h2", "http/1.1"};  // what a browser offers
  std::optional<size_t> number = 0;
  if (config.chooses()) {
    number = config.choose({.local = local, .remote = remote, .direct_remote = remote, .server_name = sni, .transport_protocol = request.tls() && inspects ? "tls" : "raw_buffer",
                            .application_protocols = request.tls() && inspects ? absl::MakeConstSpan(alpn) : absl::Span<const std::string>()});
    if (request.tls() && !inspects) answer.notes.push_back("the listener has no tls_inspector: server names are not looked at");
  } else if (config.chain_count() == 0) {
    number.reset();
  }
  if (!number) {
    std::vector<std::string> all;
    for (size_t i = 0; i < config.chains.size(); ++i) all.push_back(world.chain_criteria(*listener, i));
    end(Answer::Kind::NoConnection, 0, absl::StrCat("no filter chain takes the connection, it is closed; there are chains for: ", absl::StrJoin(all, ", ")));
    return false;
  }
  chain = config.chain(*number).get();
  chain_field = *number < config.chains.size() ? absl::StrCat("filter_chains[", *number, "]") : "default_filter_chain";
  const std::string criteria = *number < config.chains.size() ? world.chain_criteria(*listener, *number) : "";
  step("filter chain",
       absl::StrCat(chain->name.empty() ? absl::StrCat("number ", *number) : chain->name, *number >= config.chains.size() ? ", the default" : criteria.empty() ? ", takes every connection" : absl::StrCat(", for ", criteria),
                    chain->tls ? ", TLS" : ""),
       origin_of(listener->resource), chain_field);
  if ((chain->tls != nullptr) != request.tls()) {
    end(Answer::Kind::NoConnection, 0, chain->tls ? "the chain speaks TLS, the request is plain http: the handshake fails" : "the chain is plain, the request is https: there is no handshake");
    return false;
  }
  if (chain->hcm == nullptr) {
    std::vector<std::string> filters;
    for (const auto& f : chain->filters) filters.push_back(f.name);
    end(Answer::Kind::Tcp, 0, absl::StrCat("no HTTP here: bytes go through ", absl::StrJoin(filters, ", ")));
    return false;
  }
  return true;
}

// --- connection manager ----------------------------------------------------------------------------------------------------

bool Walk::prepare() {
  const config::HcmConfig& hcm = *chain->hcm;
  headers.add(Token::PseudoMethod, request.method);
  headers.add(Token::PseudoScheme, request.scheme);
  if (!request.authority.empty()) headers.add(Token::PseudoAuthority, request.authority);
  if (request.method != "CONNECT") headers.add(Token::PseudoPath, request.path);
  for (const auto& [name, value] : request.headers) headers.add(name, value);
  http::join_repeated(headers, http::MessageKind::kRequest);
  using Underscores = config::HcmConfig::HeadersWithUnderscores;
  if (hcm.headers_with_underscores != Underscores::Allow && !stream::check_underscores(headers, hcm.headers_with_underscores == Underscores::DropHeader)) {
    return refuse(400, "a header has an underscore, which the connection manager rejects");
  }
  if (!hcm.early_header_changes.empty()) router::apply(hcm.early_header_changes, headers, context);
  if (!headers.has(Token::PseudoAuthority)) return refuse(400, "the request has no host");
  const std::string before(headers.get(Token::PseudoPath));
  if (request.method != "CONNECT") {
    const stream::PathResult normal = stream::normalize_path(before, {.normalize = hcm.normalize_path, .merge_slashes = hcm.merge_slashes, .escaped_slashes = escaped_slashes(hcm.escaped_slashes)});
    if (normal.verdict == stream::PathVerdict::kReject) return refuse(400, "the path cannot be normalised");
    if (normal.path) headers.set(Token::PseudoPath, *normal.path);
    if (normal.verdict == stream::PathVerdict::kRedirect) {
      answer.location = std::string(headers.get(Token::PseudoPath));
      end(Answer::Kind::Redirect, 307, absl::StrCat("redirect 307 to ", answer.location, ", the path without escaped slashes"));
      return false;
    }
    if (headers.get(Token::PseudoPath) != before) answer.notes.push_back(absl::StrCat("the path is normalised to ", headers.get(Token::PseudoPath)));
  }
  stream::strip_host(headers, hcm, listened->port);
  if (!stream::clean_hop_by_hop(headers, stream::asks_for_upgrade(headers))) return refuse(400, "the Connection header nominates a header that must stay");
  return true;
}

bool Walk::refuse(uint32_t status, std::string why) {
  end(Answer::Kind::Refused, status, absl::StrCat(status, ": ", why));
  return false;
}

// --- route -----------------------------------------------------------------------------------------------------------------

bool Walk::find_table() {
  const config::RouteSource& source = chain->hcm->routes;
  if (source.inline_table) {
    table = source.inline_table;
    table_resource = listener->resource;
    table_field = absl::StrCat(chain_field, ".filters[", chain->filters.size(), "].typed_config.route_config.");
    return true;
  }
  const World::Table* found = world.table(source.rds_name);
  if (found == nullptr || found->model == nullptr) {
    end(Answer::Kind::NotFound, 404,
        found == nullptr ? absl::StrCat("404: there is no route table \"", source.rds_name, "\"; the listener waits for it") : absl::StrCat("404: the proxy would refuse route table ", source.rds_name, ": ", found->error));
    return false;
  }
  table = found->model;
  table_resource = found->resource;
  return true;
}

void Walk::name_virtual_host() {
  const router::VirtualHost& host = *match.virtual_host;
  answer.virtual_host = std::string(host.name);
  std::vector<std::string> domains(host.domains.begin(), host.domains.end());
  constexpr size_t kMost = 5;
  const size_t all = domains.size();
  if (all > kMost) domains.resize(kMost);
  const auto index = static_cast<size_t>(&host - table->virtual_hosts().data());
  step("virtual host", absl::StrCat(host.name, ", for ", absl::StrJoin(domains, ", "), all > kMost ? absl::StrCat(" and ", all - kMost, " more") : "", ", in route table ", table->name()), origin_of(table_resource),
       absl::StrCat(table_field, "virtual_hosts[", index, "]"));
}

// A planned route is its object's; any other is told by its place in its table.
std::pair<const intent::Origin*, std::string> Walk::route_place(const router::Route& route) {
  if (const intent::Origin* own = world.route_origin(table_resource, route.name)) return {own, ""};
  const auto host = static_cast<size_t>(match.virtual_host - table->virtual_hosts().data());
  return {origin_of(table_resource), absl::StrCat(table_field, "virtual_hosts[", host, "].routes[", route.index, "]")};
}

std::string Walk::route_text(const router::Route& route) { return route.name.empty() ? route.describe() : absl::StrCat(route.name, ": ", route.describe()); }

bool Walk::find_route(size_t most_near) {
  if (!find_table()) return false;
  const stream::Peer peer{.remote = &remote, .remote_ip = remote_ip, .local_ip = "127.0.0.1", .local_port = listened->port, .tls = chain->tls != nullptr};
  const stream::Origin origin = stream::set_origin_headers(headers, *chain->hcm, peer, &table->internal_only_headers(), 0, 0);
  if (origin.reject_status != 0) return refuse(origin.reject_status, "the client's address cannot be found");
  client_ip = origin.client_ip.empty() ? remote_ip : std::string(origin.client_ip);
  const router::RequestFacts facts{.scheme = headers.get(Token::PseudoScheme), .internal = origin.internal, .random = 0, .source_ip = client_ip};
  match = table->match(headers, facts);
  if (match.virtual_host == nullptr) {
    std::vector<std::string_view> near = router::near_domains(*table, headers.get(Token::PseudoAuthority), 6);
    end(Answer::Kind::NotFound, 404,
        absl::StrCat("404: no virtual host of route table ", table->name(), " is for \"", headers.get(Token::PseudoAuthority), "\"; there are: ", near.empty() ? "none" : absl::StrJoin(near, ", "),
                     table->virtual_hosts().size() > near.size() ? ", …" : ""));
    return false;
  }
  name_virtual_host();
  if (match.outcome == router::Match::Outcome::RedirectToTls) {
    answer.location = router::redirect_location(match, headers, facts.scheme);
    end(Answer::Kind::Redirect, 301, absl::StrCat("redirect 301 to ", answer.location, ": the virtual host requires TLS"));
    return false;
  }
  for (const router::NearMiss& miss : router::near_misses(match, headers, facts, most_near)) {
    const auto [place, field] = route_place(*miss.route);
    Near near{std::string(miss.route->name), miss.route->describe(), miss.unmet, "", ""};
    if (place != nullptr) {
      const std::string own = field_of(*place, field);
      near.place = place->place();
      near.object = absl::StrCat(place->object(), own.empty() ? "" : ": ", own);
    }
    answer.near.push_back(std::move(near));
  }
  if (match.route == nullptr) {
    end(Answer::Kind::NotFound, 404, absl::StrCat("404: no route of virtual host ", match.virtual_host->name, " matches"));
    return false;
  }
  answer.route = std::string(match.route->name);
  const auto [place, field] = route_place(*match.route);
  route_origin = place;
  step("route", route_text(*match.route), place, field);
  note_fraction(facts);
  return true;
}

// Of a route that is for a share of the requests: where the others go.
void Walk::note_fraction(router::RequestFacts facts) {
  if (match.route->conditions == nullptr || !match.route->conditions->fraction) return;
  const matching::Fraction& fraction = *match.route->conditions->fraction;
  if (fraction.numerator() >= fraction.denominator()) return;
  facts.random = fraction.denominator() - 1;
  const router::Match other = table->match(headers, facts);
  answer.notes.push_back(absl::StrCat("the route is for ", fraction.numerator(), " in ", fraction.denominator(), " requests; the others ",
                                      other.route == nullptr ? "match nothing" : absl::StrCat("go to route ", route_text(*other.route))));
}

Walk::Walk(World& w, const Request& r) : world(w), request(r), headers(arena) {
  remote = net::Address::from_ip(r.from, 40000).value_or(net::Address::v4_loopback(40000));
  remote_ip = remote.ip_string();
  context.request_headers = &headers;
  context.protocol = "HTTP/1.1";
}

Answer explain(World& world, const Request& request, size_t most_near) {
  Walk walk(world, request);
  if (walk.find_listener()) {
    walk.local = walk.local_address();
    if (walk.find_chain() && walk.prepare() && walk.find_route(most_near)) walk.act();
  }
  if (request.any_scheme && walk.answer.kind == Answer::Kind::NoConnection) {
    Request other = request;
    other.any_scheme = false;
    other.scheme = request.tls() ? "http" : "https";
    if (Answer answer = explain(world, other, most_near); answer.kind != Answer::Kind::NoConnection) return answer;
  }
  return std::move(walk.answer);
}

}  // namespace fairlead::why
