// Freezing, releasing and remembering refused resources.
#include "controlplane/verdict/quarantine.h"

#include <algorithm>

#include <absl/strings/escaping.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "base/doc_reader.h"
#include "base/strings.h"

namespace fairlead::verdict {
namespace {

// The author acted: another object, another generation, another place.
bool same_origins(const intent::Origins& a, const intent::Origins& b) { return a == b; }

using doc::text;

std::string string_at(const doc::Value& v, std::string_view key) {
  const doc::Value* found = v.find(key);
  return found && found->is_string() ? found->as_string() : "";
}

int64_t integer_at(const doc::Value& v, std::string_view key) {
  const doc::Value* found = v.find(key);
  return found && found->kind() == doc::Kind::integer ? found->as_integer() : 0;
}

std::span<const doc::Value> list_at(const doc::Value& v, std::string_view key) {
  const doc::Value* found = v.find(key);
  return found ? found->items() : std::span<const doc::Value>();
}

std::optional<ContentHash> hash_from(std::string_view hex) {
  ContentHash h;
  if (hex.size() != 32 || !absl::SimpleHexAtoi(hex.substr(0, 16), &h.high) || !absl::SimpleHexAtoi(hex.substr(16), &h.low)) return std::nullopt;
  return h;
}

int64_t micros(SystemTime t) { return std::chrono::duration_cast<std::chrono::microseconds>(t.time_since_epoch()).count(); }
SystemTime from_micros(int64_t us) { return SystemTime(std::chrono::microseconds(us)); }

}  // namespace

void Quarantine::node_joined(const ClientClass& c, const std::string& node_id) { ++nodes_[c][node_id]; }

bool Quarantine::node_left(const ClientClass& c, const std::string& node_id) {
  auto of_class = nodes_.find(c);
  if (of_class == nodes_.end()) return false;
  auto node = of_class->second.find(node_id);
  if (node == of_class->second.end() || --node->second > 0) return false;
  of_class->second.erase(node);
  if (of_class->second.empty()) {
    nodes_.erase(of_class);
    return false;  // nobody left to serve; a refusal by one who went is no verdict of the class
  }
  bool changed = false;
  for (auto& [key, refused] : refused_) {
    if (key.client_class == c) changed |= freeze_if_due(refused);
  }
  return changed;
}

bool Quarantine::freeze_if_due(Refused& r) {
  if (r.frozen) return false;
  auto of_class = nodes_.find(r.client_class);
  const size_t connected = of_class == nodes_.end() ? 1 : of_class->second.size();
  if (r.nodes.size() < std::min(threshold_, std::max<size_t>(1, connected))) return false;
  r.frozen = true;
  ++epoch_;
  return true;
}

ResourcePtr Quarantine::last_good(const ByParts::GoodParts& key, const std::string& name, const ContentHash& refused) const {
  auto set = good_.find(key);
  if (set == good_.end()) return nullptr;
  const ResourcePtr* found = set->second->find(name);
  return found && (*found)->hash != refused ? *found : nullptr;
}

bool Quarantine::refused(const ClientClass& c, const std::string& node_id, std::string_view scope, const cpstream::Refusal& refusal,
                         SystemTime now) {
  bool changed = false;
  for (const ResourcePtr& r : refusal.at_fault) {
    auto [at, fresh] = refused_.try_emplace(Key{c, std::string(scope), r->type, r->name});
    Refused& entry = at->second;
    if (fresh || entry.hash != r->hash) {
      ResourcePtr good = last_good({c.name, scope, r->type}, r->name, r->hash);
      if (!good) good = entry.last_good;  // of the refusal before
      if (entry.frozen) {
        ++epoch_;
        changed = true;
      }
      entry = Refused{c, std::string(scope), r->type, r->name, r->hash, r->origins, "", now, now, {}, 0, false, false, std::move(good)};
    }
    entry.message = refusal.message;
    entry.latest = now;
    entry.nodes.insert(node_id);
    ++entry.count;
    changed |= freeze_if_due(entry);
  }
  return changed;
}

bool Quarantine::foresee(const ClientClass& c, std::string_view scope, const ResourcePtr& resource, const std::string& message, SystemTime now) {
  auto [at, fresh] = refused_.try_emplace(Key{c, std::string(scope), resource->type, resource->name});
  Refused& entry = at->second;
  if (!fresh && entry.hash == resource->hash && entry.frozen) return false;
  ResourcePtr good = last_good({c.name, scope, resource->type}, resource->name, resource->hash);
  if (!good) good = entry.last_good;
  entry = Refused{c, std::string(scope), resource->type, resource->name, resource->hash, resource->origins, message, now, now, {}, 0, true, true, std::move(good)};
  ++epoch_;
  return true;
}

void Quarantine::accepted(const ClientClass& c, std::string_view scope, const cpstream::Acceptance& acceptance) {
  const ByParts::GoodParts key{c.name, scope, acceptance.type};
  if (latest_ == nullptr || ByParts::parts(latest_->first) != key) {
    auto known = good_.find(key);
    if (known == good_.end()) known = good_.emplace(GoodKey{c, std::string(scope), acceptance.type}, nullptr).first;
    latest_ = &*known;
  }
  snapshot::TypeSetPtr& good = latest_->second;
  if (good == acceptance.set) return;
  std::vector<ResourcePtr> set;
  std::vector<std::string> erase;
  // Refused bytes may be in the set that was pushed; the stream has something else of that name.
  for (auto at = refused_.lower_bound(ByParts::KeyParts{c.name, scope, acceptance.type, ""}); at != refused_.end(); ++at) {
    if (at->first.client_class != c || at->first.scope != scope || at->first.type != acceptance.type) break;
    const ResourcePtr* found = acceptance.set->find(at->first.name);
    if (!found || (*found)->hash != at->second.hash) continue;
    if (at->second.last_good) {
      set.push_back(at->second.last_good);
    } else {
      erase.push_back(at->first.name);
    }
  }
  good = set.empty() && erase.empty() ? acceptance.set : snapshot::TypeSet::update(acceptance.set, set, erase);
}

bool Quarantine::settle(const snapshot::SnapshotPtr& wanted) {
  bool changed = false;
  std::erase_if(refused_, [&](const auto& entry) {
    const Refused& r = entry.second;
    if (r.scope != wanted->scope) return false;
    const ResourcePtr now = wanted->find(r.type, r.name);
    if (now && now->hash == r.hash && same_origins(now->origins, r.origins)) return false;
    changed |= r.frozen;
    return true;
  });
  if (changed) ++epoch_;
  return changed;
}

snapshot::SnapshotPtr Quarantine::view(const ClientClass& c, const snapshot::SnapshotPtr& wanted) {
  std::vector<snapshot::Substitution> substitutions;
  for (auto at = refused_.lower_bound(ByParts::KeyParts{c.name, wanted->scope, Type::kCluster, ""}); at != refused_.end(); ++at) {
    const Refused& r = at->second;
    if (r.client_class != c || r.scope != wanted->scope) break;
    if (!r.frozen) continue;
    const ResourcePtr now = wanted->find(r.type, r.name);
    if (now && now->hash == r.hash) substitutions.push_back({r.type, r.name, r.last_good});
  }
  auto known = views_.find(ByParts::ViewParts{c.name, wanted->scope});
  if (substitutions.empty()) {
    if (known != views_.end()) views_.erase(known);
    return wanted;
  }
  if (known == views_.end()) known = views_.emplace(ViewKey{c, wanted->scope}, Cached()).first;
  Cached& cached = known->second;
  if (cached.wanted != wanted || cached.epoch != epoch_) cached = {wanted, snapshot::substitute(wanted, substitutions), epoch_};
  return cached.seen;
}

std::vector<const Refused*> Quarantine::list() const {
  std::vector<const Refused*> out;
  for (const auto& [key, refused] : refused_) out.push_back(&refused);
  return out;
}

std::vector<const Refused*> Quarantine::list(const ClientClass& c, std::string_view scope) const {
  std::vector<const Refused*> out;
  for (auto at = refused_.lower_bound(ByParts::KeyParts{c.name, scope, Type::kCluster, ""}); at != refused_.end(); ++at) {
    if (at->first.client_class != c || at->first.scope != scope) break;
    out.push_back(&at->second);
  }
  return out;
}

doc::Value Quarantine::to_doc() const {
  std::vector<doc::Value> items;
  for (const auto& [key, r] : refused_) {
    std::vector<doc::Value> nodes;
    for (const std::string& node : r.nodes) nodes.push_back(text(node));
    std::vector<doc::Entry> fields{{"class", text(r.client_class.name), {}},
                                   {"scope", text(r.scope), {}},
                                   {"type", text(resources::short_name(r.type)), {}},
                                   {"name", text(r.name), {}},
                                   {"hash", text(r.hash.hex()), {}},
                                   {"origins", intent::to_doc(r.origins), {}},
                                   {"message", text(r.message), {}},
                                   {"first_us", doc::integer(micros(r.first)), {}},
                                   {"latest_us", doc::integer(micros(r.latest)), {}},
                                   {"nodes", doc::list(std::move(nodes)), {}},
                                   {"count", doc::integer(static_cast<int64_t>(r.count)), {}},
                                   {"frozen", doc::boolean(r.frozen), {}}};
    if (r.foreseen) fields.push_back({"foreseen", doc::boolean(true), {}});
    if (r.last_good) {
      const std::string body = absl::Base64Escape(r.last_good->body());
      fields.push_back({"last_good", doc::map({{"version", text(r.last_good->version), {}}, {"origins", intent::to_doc(r.last_good->origins), {}}, {"body", text(body), {}}}), {}});
    }
    items.push_back(doc::map(std::move(fields)));
  }
  return doc::map({{"format", doc::integer(1), {}}, {"refused", doc::list(std::move(items)), {}}});
}

absl::Status Quarantine::restore(const doc::Value& value) {
  if (integer_at(value, "format") != 1) return doc::error_at(value.mark(), "format", "expected 1, the only format of refused resources so far");
  std::map<Key, Refused, ByParts> restored;
  for (const doc::Value& v : list_at(value, "refused")) {
    const auto type = resources::type_from_short_name(string_at(v, "type"));
    const auto hash = hash_from(string_at(v, "hash"));
    if (!type) return doc::error_at(v.mark(), "refused.type", "unknown resource type");
    if (!hash) return doc::error_at(v.mark(), "refused.hash", "expected 32 hexadecimal digits");
    Refused r;
    r.client_class = {string_at(v, "class")};
    r.scope = string_at(v, "scope");
    r.type = *type;
    r.name = string_at(v, "name");
    r.hash = *hash;
    r.origins = intent::origins_from_doc(v.find("origins"));
    r.message = string_at(v, "message");
    r.first = from_micros(integer_at(v, "first_us"));
    r.latest = from_micros(integer_at(v, "latest_us"));
    for (const doc::Value& node : list_at(v, "nodes")) r.nodes.insert(node.as_string());
    r.count = static_cast<uint64_t>(integer_at(v, "count"));
    const doc::Value* frozen = v.find("frozen");
    r.frozen = frozen && frozen->kind() == doc::Kind::boolean && frozen->as_boolean();
    const doc::Value* foreseen = v.find("foreseen");
    r.foreseen = foreseen && foreseen->kind() == doc::Kind::boolean && foreseen->as_boolean();
    if (const doc::Value* good = v.find("last_good")) {
      const auto body = decode_base64(string_at(*good, "body"));
      if (!body) return doc::error_at(good->mark(), "refused.last_good.body", "expected base64");
      auto resource = resources::make_resource_from_bytes(r.type, r.name, *body, intent::origins_from_doc(good->find("origins")), string_at(*good, "version"));
      if (!resource.ok()) return doc::error_at(good->mark(), "refused.last_good.body", resource.status().message());
      r.last_good = *std::move(resource);
    }
    Key key{r.client_class, r.scope, r.type, r.name};
    restored.insert_or_assign(std::move(key), std::move(r));
  }
  refused_ = std::move(restored);
  ++epoch_;
  return absl::OkStatus();
}

}  // namespace fairlead::verdict
