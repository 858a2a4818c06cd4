// What the route that was found does: redirects, answers, or forwards to clusters and their endpoints. And an answer as a document.
#include <algorithm>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/why/walk.h"
#include "base/strings.h"

namespace fairlead::why {

using http::Token;
using router::Route;

namespace {

// Made anew for each request, or by each hop: nothing to compare or to read.
bool is_volatile(std::string_view name) { return name == "x-request-id" || name == "x-forwarded-for" || name == "x-envoy-expected-rq-timeout-ms"; }

std::vector<std::pair<std::string, std::string>> plain_headers(const http::HeaderMap& headers) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const http::Header& h : headers) {
    if (!h.is_pseudo() && !is_volatile(h.name())) out.emplace_back(h.name(), h.value());
  }
  return out;
}

std::string percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "0 %";
  const uint64_t tenths = (part * 1000 + whole / 2) / whole;
  return absl::StrCat(tenths / 10, tenths % 10 == 0 ? "" : absl::StrCat(".", tenths % 10), " %");
}

std::string_view health_name(config::HealthStatus health) {
  static constexpr std::string_view names[] = {"healthy (not said otherwise)", "healthy", "unhealthy", "draining", "timeout", "degraded"};
  return names[static_cast<size_t>(health)];
}

std::string_view discovery_name(config::ClusterConfig::Discovery discovery) {
  static constexpr std::string_view names[] = {"static", "strict DNS", "logical DNS", "EDS"};
  return names[static_cast<size_t>(discovery)];
}

std::string_view policy_name(config::LoadBalancing::Policy policy) {
  static constexpr std::string_view names[] = {"round robin", "least request", "random", "ring hash", "Maglev"};
  return names[static_cast<size_t>(policy)];
}

std::string share_text(const std::vector<Share>& shares) {
  if (shares.size() == 1) return shares[0].cluster;
  std::vector<std::string> parts;
  for (const Share& s : shares) parts.push_back(absl::StrCat(percent(s.weight, s.of), " ", s.cluster));
  return absl::StrJoin(parts, ", ");
}

using doc::text;
doc::Value number(uint64_t value) { return doc::integer(static_cast<int64_t>(value)); }

doc::Value headers_doc(const std::vector<std::pair<std::string, std::string>>& headers) {
  std::vector<doc::Value> items;
  for (const auto& [name, value] : headers) items.push_back(doc::map({{"name", text(name), {}}, {"value", text(value), {}}}));
  return doc::list(std::move(items));
}

}  // namespace

void Walk::act() {
  std::vector<std::string> filters;
  for (const config::HttpFilterEntry& f : chain->hcm->http_filters) {
    const router::PerFilter* entry = table->per_filter(f.name, match);
    const bool off = entry != nullptr ? entry->disabled : f.disabled;
    if (!off && !(f.type != nullptr && f.type->terminal)) filters.push_back(f.name);
  }
  if (!filters.empty()) answer.notes.push_back(absl::StrCat("HTTP filters that see the request first and may answer it: ", absl::StrJoin(filters, ", ")));
  context.route_name = match.route->name;
  context.upstream_cluster = context.upstream_cluster_raw = match.cluster;
  context.downstream_remote_address = context.downstream_direct_remote_address = remote_ip;
  switch (match.route->action) {
    case Route::Action::Redirect: return redirect();
    case Route::Action::Direct: return direct();
    case Route::Action::NonForwarding: return end(Answer::Kind::NotFound, 404, "404: the route is not for forwarding");
    case Route::Action::Forward: return forward();
  }
}

void Walk::redirect() {
  answer.location = router::redirect_location(match, headers, headers.get(Token::PseudoScheme));
  http::HeaderMap reply(arena);
  table->apply_response_headers(match, reply, context);
  answer.response_headers = plain_headers(reply);
  const uint32_t code = match.route->extras.redirect.code;
  end(Answer::Kind::Redirect, code, absl::StrCat("redirect ", code, " to ", answer.location));
}

void Walk::direct() {
  const router::DirectResponse& response = match.route->extras.direct;
  answer.body = response.body;
  http::HeaderMap reply(arena);
  table->apply_response_headers(match, reply, context);
  answer.response_headers = plain_headers(reply);
  end(Answer::Kind::Direct, response.status, absl::StrCat("the proxy answers ", response.status, response.body.empty() ? ", no body" : absl::StrCat(", body of ", response.body.size(), " bytes")));
}

// As the router filter does, in its order.
void Walk::rewrite() {
  table->apply_request_headers(match, headers, context);
  if (match.weighted != nullptr && !match.weighted->host_rewrite_literal.empty()) headers.set(Token::PseudoAuthority, match.weighted->host_rewrite_literal);
  std::string changed;
  if (match.route->forward.host_rewrite.kind == router::HostRewrite::Kind::Auto) {
    answer.notes.push_back("the host becomes that of the endpoint");
  } else if (router::rewrite_host(match, headers, {}, changed)) {
    headers.set(Token::PseudoAuthority, changed);
  }
  const std::string path(headers.get(Token::PseudoPath));
  if (router::rewrite_path(*match.route, path, changed)) headers.set(Token::PseudoPath, changed);
  answer.method = std::string(headers.get(Token::PseudoMethod));
  answer.path = std::string(headers.get(Token::PseudoPath));
  answer.host = std::string(headers.get(Token::PseudoAuthority));
  answer.request_headers = plain_headers(headers);
  http::HeaderMap reply(arena);
  table->apply_response_headers(match, reply, context);
  answer.response_headers = plain_headers(reply);
}

void Walk::forward() {
  const router::RouteAction& action = match.route->forward;
  if (action.weighted.empty()) {
    if (match.cluster.empty()) {
      return end(Answer::Kind::Refused, action.cluster_not_found_code, absl::StrCat(action.cluster_not_found_code, ": header ", action.cluster_header, " is to name the cluster, and the request has none"));
    }
    answer.shares.push_back({std::string(match.cluster), 1, 1});
  }
  for (const router::WeightedCluster& w : action.weighted) {
    const std::string name = w.name.empty() ? std::string(headers.get(w.cluster_header)) : w.name;
    if (w.weight > 0) answer.shares.push_back({name, w.weight, action.total_weight});
  }
  if (action.weighted.size() > 1) answer.notes.push_back("headers and rewrites are those of the first cluster with a share");
  bool any = false;
  for (Share& share : answer.shares) {
    share.known = show_cluster(share);
    any |= share.known;
  }
  rewrite();
  for (const router::MirrorPolicy& m : action.mirrors) {
    const std::string to(router::mirror_cluster(m, headers));
    step("mirror", absl::StrCat(to, m.fraction ? absl::StrCat(", ", percent(m.fraction->numerator(), m.fraction->denominator())) : "", world.cluster(to) == nullptr ? "; there is no such cluster" : ""));
  }
  if (!any) {
    return end(Answer::Kind::Refused, action.cluster_not_found_code, absl::StrCat(action.cluster_not_found_code, ": the control plane knows no cluster ", share_text(answer.shares)));
  }
  end(Answer::Kind::Forwarded, 0,
      absl::StrCat("forwarded to ", share_text(answer.shares), " as ", answer.method, " ", answer.path, answer.host == request.authority ? "" : absl::StrCat(", host ", answer.host), ", timeout ",
                   action.timeout.count() == 0 ? "none" : format_duration(action.timeout)));
}

bool Walk::show_cluster(const Share& share) {
  const std::string part = answer.shares.size() > 1 ? absl::StrCat(percent(share.weight, share.of), " (weight ", share.weight, " of ", share.of, ") ") : "";
  const World::Cluster* cluster = world.cluster(share.cluster);
  if (cluster == nullptr) {
    step("cluster", absl::StrCat(part, share.cluster, ": the control plane knows none of this name"));
    return false;
  }
  if (cluster->model == nullptr) {
    step("cluster", absl::StrCat(part, share.cluster, ": the proxy would refuse it: ", cluster->error), origin_of(cluster->resource));
    return false;
  }
  const config::ClusterConfig& config = *cluster->model;
  const intent::Origins& origins = cluster->resource->origins;  // of a planned one every route that uses it
  const bool ours = route_origin != nullptr && std::find(origins.begin(), origins.end(), *route_origin) != origins.end();
  const intent::Origin* const origin = ours ? route_origin : origin_of(cluster->resource);
  step("cluster", absl::StrCat(part, config.name, ", ", config.original_dst ? "original destination" : discovery_name(config.discovery), ", ", policy_name(config.lb.policy), config.tls ? ", TLS" : ""), origin);
  if (config.endpoints) {
    show_endpoints(*config.endpoints, origin);
  } else if (config.discovery == config::ClusterConfig::Discovery::Eds) {
    const World::Endpoints* set = world.endpoints(config.eds_service_name);
    if (set == nullptr) {
      step("endpoint", absl::StrCat("there is no assignment \"", config.eds_service_name, "\": the cluster waits for it"));
    } else if (set->model == nullptr) {
      step("endpoint", absl::StrCat("the proxy would refuse the assignment: ", set->error), origin_of(set->resource));
    } else {
      show_endpoints(*set->model, origin_of(set->resource));
    }
  }
  return true;
}

void Walk::show_endpoints(const config::EndpointSet& set, const intent::Origin* origin) {
  constexpr size_t kMost = 8;
  size_t shown = 0;
  for (size_t priority = 0; priority < set.priorities.size(); ++priority) {
    for (const config::Locality& locality : set.priorities[priority]) {
      std::vector<std::string_view> parts;
      for (const std::string* part : {&locality.region, &locality.zone, &locality.sub_zone}) {
        if (!part->empty()) parts.push_back(*part);
      }
      for (const config::Endpoint& e : locality.endpoints) {
        if (++shown > kMost) continue;
        step("endpoint",
             absl::StrCat(e.address.text(), ", weight ", e.weight, ", ", health_name(e.health), priority > 0 ? absl::StrCat(", priority ", priority) : "", parts.empty() ? "" : absl::StrCat(", in ", absl::StrJoin(parts, "/"))),
             origin);
      }
    }
  }
  if (shown > kMost) step("endpoint", absl::StrCat("and ", shown - kMost, " more"));
  if (shown == 0) step("endpoint", "there is none: requests get 503", origin);
}

bool Answer::same(const Answer& o) const {
  const auto equal_shares = [](const Share& a, const Share& b) { return a.cluster == b.cluster && a.weight * b.of == b.weight * a.of && a.known == b.known; };
  return kind == o.kind && status == o.status && summary == o.summary && location == o.location && body == o.body && method == o.method && path == o.path && host == o.host &&
         request_headers == o.request_headers && response_headers == o.response_headers && std::equal(shares.begin(), shares.end(), o.shares.begin(), o.shares.end(), equal_shares);
}

std::string_view kind_name(Answer::Kind kind) {
  static constexpr std::string_view names[] = {"forwarded", "redirect", "direct", "not found", "refused", "tcp", "no connection"};
  return names[static_cast<size_t>(kind)];
}

doc::Value to_doc(const Request& request, const Answer& answer) {
  std::vector<doc::Value> steps, near, clusters, notes;
  for (const Step& s : answer.steps) steps.push_back(doc::map({{"step", text(s.step), {}}, {"what", text(s.what), {}}, {"from", text(s.place), {}}, {"object", text(s.object), {}}}));
  for (const Near& n : answer.near) {
    std::vector<doc::Value> unmet;
    for (const std::string& u : n.unmet) unmet.push_back(text(u));
    near.push_back(doc::map({{"route", text(n.route), {}}, {"match", text(n.match), {}}, {"unmet", doc::list(std::move(unmet)), {}}, {"from", text(n.place), {}}, {"object", text(n.object), {}}}));
  }
  for (const Share& s : answer.shares) clusters.push_back(doc::map({{"name", text(s.cluster), {}}, {"weight", number(s.weight), {}}, {"of", number(s.of), {}}, {"known", doc::boolean(s.known), {}}}));
  for (const std::string& n : answer.notes) notes.push_back(text(n));
  std::vector<doc::Entry> out{{"request", text(request.str()), {}}, {"answer", text(answer.summary), {}}, {"kind", text(kind_name(answer.kind)), {}}};
  if (answer.status != 0) out.push_back({"status", number(answer.status), {}});
  const std::pair<const char*, const std::string*> texts[] = {{"listener", &answer.listener}, {"virtual_host", &answer.virtual_host}, {"route", &answer.route}, {"location", &answer.location}, {"body", &answer.body}};
  for (const auto& [key, value] : texts) {
    if (!value->empty()) out.push_back({key, text(*value), {}});
  }
  if (!clusters.empty()) out.push_back({"clusters", doc::list(std::move(clusters)), {}});
  if (answer.kind == Answer::Kind::Forwarded) {
    out.push_back({"upstream", doc::map({{"method", text(answer.method), {}}, {"path", text(answer.path), {}}, {"host", text(answer.host), {}}, {"headers", headers_doc(answer.request_headers), {}}}), {}});
  }
  if (!answer.response_headers.empty()) out.push_back({"response_headers", headers_doc(answer.response_headers), {}});
  out.push_back({"steps", doc::list(std::move(steps)), {}});
  out.push_back({"near", doc::list(std::move(near)), {}});
  out.push_back({"notes", doc::list(std::move(notes)), {}});
  return doc::map(std::move(out));
}

}  // namespace fairlead::why
