// See table_verdicts.h.
#include "apps/pipeline/table_verdicts.h"

#include <string>
#include <vector>

#include <google/protobuf/arena.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "apps/pipeline/bundled.h"
#include "base/wire.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead::pipeline {

namespace v3 = envoy::config::route::v3;

namespace {

constexpr uint32_t kTableName = v3::RouteConfiguration::kNameFieldNumber, kHosts = v3::RouteConfiguration::kVirtualHostsFieldNumber;
constexpr uint32_t kHostName = v3::VirtualHost::kNameFieldNumber, kDomains = v3::VirtualHost::kDomainsFieldNumber, kRoutes = v3::VirtualHost::kRoutesFieldNumber;

// f(number, the field as it stands, its value) for each field with a length, and f(0, the field, nothing) for others, among which is none that is asked
// for here. False: no message's bytes.
template <typename F>
bool each_field(std::string_view bytes, F&& f) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  while (true) {
    const auto begin = static_cast<size_t>(in.CurrentPosition());
    const uint32_t tag = in.ReadTag();
    if (tag == 0) return in.ConsumedEntireMessage();
    uint32_t size = 0;
    const bool sized = WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    if (sized) {
      if (!in.ReadVarint32(&size) || size > bytes.size() || !in.Skip(static_cast<int>(size))) return false;
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return false;
    }
    const auto end = static_cast<size_t>(in.CurrentPosition());
    f(sized ? tag >> 3 : 0, bytes.substr(begin, end - begin), bytes.substr(end - size, size));
  }
}

ContentHash both(const ContentHash& a, const ContentHash& b) {
  const uint64_t words[] = {a.high, a.low, b.high, b.low};
  return content_hash({reinterpret_cast<const char*>(words), sizeof words});
}

}  // namespace

// A virtual host as it stands in the table's bytes.
struct TableVerdicts::Host {
  std::string_view bytes;
  ContentHash hash;  // of them
  Key key;
  bool known = false;  // all of it; then the rest is only `facts`
  HostFacts facts;

  std::string identity, shell;  // fields: name and domains; all others but the routes
  Key shell_key;
  bool shell_known = false;
  ContentHash context;  // of its routes
  struct Route {
    std::string_view bytes;
    Key key;
    bool known = false;
    uint32_t uses = 0;
  };
  std::vector<Route> routes;
};

struct TableVerdicts::Table {
  std::string name, rest;  // fields: its name, and all but that and the virtual hosts
  ContentHash context;
  std::vector<Host> hosts;
  Key domains;
  bool domains_known = false;
  size_t parts = 0, unknown = 0;  // virtual hosts and routes

  // Only what is not known.
  std::string reduced() const {
    std::string out = name + rest;
    for (const Host& host : hosts) {
      if (host.known && domains_known) continue;
      std::string one;
      if (host.known) {  // its domains alone
        each_field(host.bytes, [&](uint32_t number, std::string_view field, std::string_view) {
          if (number == kHostName || number == kDomains) one.append(field);
        });
      } else {
        one = host.identity + host.shell;
        for (const Host::Route& route : host.routes) {
          if (!route.known) wire::put_bytes(one, kRoutes, route.bytes);
        }
      }
      wire::put_bytes(out, kHosts, one);
    }
    return out;
  }
};

// Takes apart a virtual host that is not known as a whole.
bool TableVerdicts::open(Host& host, const ContentHash& table) const {
  const bool read = each_field(host.bytes, [&](uint32_t number, std::string_view field, std::string_view value) {
    if (number == kRoutes) {
      host.routes.push_back({value, {}, false, 0});
    } else if (number == kHostName || number == kDomains) {
      host.identity.append(field);
    } else {
      host.shell.append(field);
    }
  });
  if (!read) return false;
  const ContentHash shell = content_hash(host.shell);
  host.facts.identity = content_hash(host.identity);
  host.facts.routes = static_cast<uint32_t>(host.routes.size());
  host.shell_key = {table, both(host.facts.identity, shell)};
  host.shell_known = shells_.contains(host.shell_key);
  host.context = both(table, shell);
  for (Host::Route& route : host.routes) {
    route.key = {host.context, content_hash(route.bytes)};
    const auto at = routes_.find(route.key);
    if (at == routes_.end()) continue;
    route.known = true;
    route.uses = at->second;
  }
  return true;
}

// What of it is known, and what is not.
bool TableVerdicts::look(Table& table) const {
  table.context = content_hash(table.rest);
  std::vector<ContentHash> identities;
  identities.reserve(table.hosts.size());
  for (Host& host : table.hosts) {
    host.key = {table.context, host.hash};
    if (const auto at = hosts_.find(host.key); at != hosts_.end()) {
      host.known = true;
      host.facts = at->second;
    } else {
      if (!open(host, table.context)) return false;
      table.unknown += !host.shell_known;
      for (const Host::Route& route : host.routes) table.unknown += !route.known;
    }
    table.parts += 1 + host.facts.routes;
    identities.push_back(host.facts.identity);
  }
  table.domains = {table.context, content_hash({reinterpret_cast<const char*>(identities.data()), identities.size() * sizeof(ContentHash)})};
  table.domains_known = domains_.contains(table.domains);
  return true;
}

// Whether nothing is wrong with what is new.
bool TableVerdicts::passes(Table& table) {
  if (table.domains_known && table.unknown == 0) return true;
  const std::string bytes = table.reduced();
  google::protobuf::Arena arena;
  auto* message = google::protobuf::Arena::CreateMessage<v3::RouteConfiguration>(&arena);
  if (!message->ParseFromString(bytes)) return false;
  ++counts_.tables;
  for (const auto& host : message->virtual_hosts()) {
    ++counts_.virtual_hosts;
    counts_.routes += static_cast<uint64_t>(host.routes_size());
  }
  if (!route_table_verdict(*message, bytes).ok()) return false;
  int at = 0;
  for (Host& host : table.hosts) {
    if (host.known && table.domains_known) continue;
    const v3::VirtualHost& judged = message->virtual_hosts(at++);
    int next = 0;
    for (Host::Route& route : host.routes) {
      if (!route.known) route.uses = capabilities_used(judged.routes(next++));
    }
  }
  return true;
}

void TableVerdicts::remember(Table& table) {
  for (Host& host : table.hosts) {
    if (host.known) continue;
    host.facts.first.fill(-1);
    for (size_t r = 0; r < host.routes.size(); ++r) {
      const Host::Route& route = host.routes[r];
      for (size_t c = 0; c < kCapabilities; ++c) {
        if (host.facts.first[c] < 0 && (route.uses >> c & 1) != 0) host.facts.first[c] = static_cast<int32_t>(r);
      }
      if (!route.known) routes_.emplace(route.key, route.uses);
    }
    shells_.insert(host.shell_key);
    hosts_.emplace(host.key, host.facts);
  }
  domains_.insert(table.domains);
}

// By the parser, from one end to the other. `remembered`: its parts, should nothing be wrong; null: not to be remembered.
TableVerdicts::Verdict TableVerdicts::whole(std::string_view bytes, Table* remembered) {
  Verdict out;
  google::protobuf::Arena arena;
  auto* message = google::protobuf::Arena::CreateMessage<v3::RouteConfiguration>(&arena);
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    out.status = absl::InternalError("the bytes are not a message of the type");
    return out;
  }
  ++counts_.tables;
  counts_.virtual_hosts += static_cast<uint64_t>(message->virtual_hosts_size());
  for (int h = 0; h < message->virtual_hosts_size(); ++h) {
    const v3::VirtualHost& host = message->virtual_hosts(h);
    counts_.routes += static_cast<uint64_t>(host.routes_size());
    for (int r = 0; r < host.routes_size(); ++r) {
      const uint32_t uses = capabilities_used(host.routes(r));
      out.uses.note(uses, h, r);
      if (remembered != nullptr && !remembered->hosts[static_cast<size_t>(h)].known) remembered->hosts[static_cast<size_t>(h)].routes[static_cast<size_t>(r)].uses = uses;
    }
  }
  out.status = route_table_verdict(*message, bytes);
  if (out.status.ok() && remembered != nullptr) remember(*remembered);
  return out;
}

TableVerdicts::Verdict TableVerdicts::judge(std::string_view bytes, const resources::Parts* hosts) {
  if (hosts_.size() + routes_.size() + shells_.size() + domains_.size() > kMost) {
    hosts_.clear();
    routes_.clear();
    shells_.clear();
    domains_.clear();
  }
  Table table;
  const auto take = [&](uint32_t number, std::string_view field, std::string_view value) {
    if (number == kHosts) {
      Host& host = table.hosts.emplace_back();
      host.bytes = value;
      host.hash = content_hash(value);
    } else {
      (number == kTableName ? table.name : table.rest).append(field);
    }
  };
  bool read = true;
  if (hosts != nullptr) {
    table.hosts.reserve(hosts->all.size());
    for (const resources::PartPtr& part : hosts->all) {
      Host& host = table.hosts.emplace_back();
      host.bytes = part->bytes;
      host.hash = part->hash;
    }
    read = each_field(bytes.substr(0, hosts->begin), take) && each_field(bytes.substr(hosts->end), take);
  } else {
    read = each_field(bytes, take);
  }
  if (!read || !look(table)) return whole(bytes, nullptr);
  // Where most is new there is nothing to be spared.
  if (table.unknown * 2 > table.parts || !passes(table)) return whole(bytes, &table);
  remember(table);
  Verdict out;
  for (size_t h = 0; h < table.hosts.size(); ++h) {
    for (size_t c = 0; c < kCapabilities; ++c) {
      if (const int32_t r = table.hosts[h].facts.first[c]; r >= 0) out.uses.note(1u << c, static_cast<int>(h), r);
    }
  }
  return out;
}

}  // namespace fairlead::pipeline
