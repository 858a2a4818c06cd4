// Plays a client against a session: keeps its nonces, acknowledges, refuses.
#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/stream/session.h"
#include "tests/unit/controlplane/make.h"

namespace fairlead::test {

using cpstream::Output;
using cpstream::Request;
using cpstream::Response;
using Names = std::vector<std::string>;

inline Names names_of(const Response& r) {
  Names out;
  for (const ResourcePtr& resource : r.resources) out.push_back(resource->name);
  return out;
}

// "cds[a b]", "eds[a -b]": what was answered, in order; removed names with a minus.
inline Names shape(const Output& o) {
  Names out;
  for (const Response& r : o.responses) {
    std::string text = std::string(resources::short_name(r.type)) + "[";
    std::string gap;
    for (const ResourcePtr& resource : r.resources) text += std::exchange(gap, " ") + resource->name;
    for (const std::string& name : r.removed) text += std::exchange(gap, " ") + "-" + name;
    out.push_back(text + "]");
  }
  return out;
}

template <typename Session>
class Client {
 public:
  explicit Client(snapshot::SnapshotPtr snapshot, cpstream::SessionOptions options = {}) : session(options, table, std::move(snapshot)) {}

  Request request(Type type) {
    Request r;
    r.type_url = resources::type_url(type);
    if (!known_node_) {
      r.node.emplace();
      r.node->id = "n1";
      known_node_ = true;
    }
    if (auto at = last.find(type); at != last.end()) r.nonce = at->second.nonce;
    return r;
  }
  Output send(const Request& r) { return note(session.on_request(r, now)); }

  // State of the world: the whole subscription. Delta: names to add and to drop.
  Output ask(Type type, Names names = {}, Names unsubscribe = {}) {
    Request r = request(type);
    if constexpr (std::is_same_v<Session, cpstream::DeltaSession>) {
      r.nonce.clear();
      r.unsubscribe = std::move(unsubscribe);
    } else {
      wanted_[type] = names;
      if (auto at = last.find(type); at != last.end()) r.version_info = at->second.version;
    }
    r.names = std::move(names);
    return send(r);
  }
  Output ack(Type type) { return ack(last.at(type)); }
  Output ack(const Response& response) {
    Request r = request(response.type);
    r.nonce = response.nonce;
    r.version_info = response.version;
    if (!std::is_same_v<Session, cpstream::DeltaSession>) r.names = wanted_[response.type];
    return send(r);
  }
  Output nack(Type type, std::string message) { return nack(last.at(type), std::move(message)); }
  Output nack(const Response& response, std::string message) {
    Request r = request(response.type);
    r.nonce = response.nonce;
    r.error = std::move(message);
    if (!std::is_same_v<Session, cpstream::DeltaSession>) r.names = wanted_[response.type];
    return send(r);
  }
  void ack_all(const Output& o) {
    for (const auto responses = o.responses; const Response& r : responses) ack_all(ack(r));
  }
  Output see(const World& world) { return note(session.on_snapshot(world.now(), now)); }
  Output wait(std::chrono::seconds by) {
    now += by;
    return note(session.on_time(now));
  }
  Names has(Type type) const {
    Names out;
    for (const ResourcePtr& r : session.sent(type)) out.push_back(r->name);
    return out;
  }

  cpstream::NameTable table;
  Session session;
  MonotonicTime now{std::chrono::hours(1)};
  std::map<Type, Response> last;

 private:
  Output note(Output o) {
    for (const Response& r : o.responses) last[r.type] = r;
    return o;
  }
  std::map<Type, Names> wanted_;
  bool known_node_ = false;
};

using Sotw = Client<cpstream::SotwSession>;
using Delta = Client<cpstream::DeltaSession>;

// Two clusters with endpoints, one listener, one route table that names both.
inline World edge() {
  World w;
  w.put({cluster("a"), cluster("b"), assignment("a"), assignment("b"), listener("l", "r"), routes("r", {"a", "b"})});
  return w;
}

// A client that has subscribed to everything as Envoy does, and acknowledged it.
template <typename C>
void warm_up(C& c) {
  c.ack_all(c.ask(Type::kCluster));
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  c.ack_all(c.ask(Type::kListener));
  c.ack_all(c.ask(Type::kRoute, {"r"}));
}

}  // namespace fairlead::test
