// An API server of objects in memory: versions, preconditions and server-side apply as far as status needs them. Not thread safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "adapters/kubernetes/api_client.h"
#include "adapters/object/store.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes {

class FakeApi {
 public:
  // One or more YAML documents, as a user applies them: a new version each, a new generation where something but the status differs.
  void apply(const std::string& yaml) {
    const auto documents = doc::parse_yaml(yaml, "");
    for (const doc::Value& d : *documents) {
      doc::Value& object = objects_[path_of(d)];
      const bool fresh = object.is_null();
      const int64_t generation = fresh ? 1 : object.find_path("metadata.generation")->as_integer() + 1;
      doc::Value next = fresh || d.find("status") ? d : doc::with(d, "status", object.find("status") ? *object.find("status") : doc::map({}));
      doc::Value metadata = doc::with(*d.find("metadata"), "generation", doc::integer(generation));
      object = doc::with(next, "metadata", doc::with(metadata, "uid", doc::string(fresh ? absl::StrCat("uid-", ++uids_) : object.find_path("metadata.uid")->as_string())));
      stamp(object);
    }
  }
  void remove(const std::string& path) { objects_.erase(path); }
  // Another controller's write of a whole status.
  void set_status(const std::string& path, const std::string& yaml) {
    objects_.at(path) = doc::with(objects_.at(path), "status", *doc::parse_one(yaml, "test"));
    stamp(objects_.at(path));
  }
  bool has(const std::string& path) const { return objects_.contains(path); }
  const doc::Value& at(const std::string& path) const { return objects_.at(path); }
  std::string status(const std::string& path) const { return doc::to_yaml(*objects_.at(path).find("status")); }

  Response answer(const std::string& method, const std::string& target, const std::string& body) {
    requests.push_back(absl::StrCat(method, " ", target));
    const std::pair<std::string, std::string> parts = absl::StrSplit(target, absl::MaxSplits('?', 1));
    std::string path = parts.first;
    if (fail_with != 0) return error(fail_with, "as the test asked");
    if (method == "POST" && absl::StrContains(path, "/events")) {
      events.push_back(*doc::parse_json(body, "event"));
      return {201, body, {}};
    }
    const bool status = absl::EndsWith(path, "/status");
    if (status) path.resize(path.size() - std::string("/status").size());
    const auto found = objects_.find(path);
    if (found == objects_.end()) return error(404, "not found");
    if (method == "GET") return {200, doc::to_json(found->second), {}};
    if (method != "PATCH" || !status) return error(405, "not in this test");
    const doc::Value wanted = *doc::parse_json(body, "body");
    const doc::Value *version = wanted.find_path("metadata.resourceVersion"), *uid = wanted.find_path("metadata.uid");
    if (version && !(*version == *found->second.find_path("metadata.resourceVersion"))) return error(409, "the object has been modified");
    if (uid && !(*uid == *found->second.find_path("metadata.uid"))) return error(409, "another object has that name");
    ++writes;
    const doc::Value next = merged(found->second.find("status"), *wanted.find("status"));
    if (found->second.find("status") == nullptr || !(*found->second.find("status") == next)) {
      found->second = doc::with(found->second, "status", next);
      stamp(found->second);
    }
    return {200, doc::to_json(found->second), {}};
  }

  // Everything there is, as the source would bring it.
  ObjectSnapshotPtr snapshot() {
    SourceUpdate update;
    update.source = "kubernetes";
    update.synced = true;
    std::set<ObjectKey> now;
    for (const auto& [path, body] : objects_) {
      ObjectPtr object = read_object(body, "kubernetes", "", update.diagnostics);
      now.insert(object->key);
      ObjectPtr& kept = read_[object->key];
      if (!kept || !(kept->body == object->body)) update.upserted.push_back(kept = object);
    }
    for (auto it = read_.begin(); it != read_.end();) {
      if (now.contains(it->first)) {
        ++it;
      } else {
        update.removed.push_back(it->first);
        it = read_.erase(it);
      }
    }
    store.apply(update);
    return store.snapshot();
  }

  Store store;
  std::vector<std::string> requests;
  std::vector<doc::Value> events;
  int writes = 0;
  int fail_with = 0;  // a status for every answer; 0: none

 private:
  static std::string path_of(const doc::Value& d) {
    static const std::map<std::string, std::string> kPlurals{{"GatewayClass", "gatewayclasses"},     {"BackendTLSPolicy", "backendtlspolicies"},   {"Ingress", "ingresses"},
                                                            {"IngressClass", "ingressclasses"},     {"EnvoyResources", "envoyresources"},         {"GatewayParameters", "gatewayparameters"}};
    const std::string kind = d.find("kind")->as_string();
    const auto special = kPlurals.find(kind);
    const std::string plural = special != kPlurals.end() ? special->second : absl::StrCat(absl::AsciiStrToLower(kind), "s");
    const doc::Value* ns = d.find_path("metadata.namespace");
    const bool cluster = kind == "GatewayClass" || kind == "IngressClass";
    return absl::StrCat("/apis/", d.find("apiVersion")->as_string(), cluster ? "" : absl::StrCat("/namespaces/", ns ? ns->as_string() : "default"), "/", plural, "/", d.find_path("metadata.name")->as_string());
  }
  void stamp(doc::Value& object) { object = doc::with(object, "metadata", doc::with(*object.find("metadata"), "resourceVersion", doc::string(std::to_string(++version_)))); }

  // Conditions are a map by type of which the writer owns its own; all else is replaced as a whole.
  static doc::Value merged(const doc::Value* before, const doc::Value& wanted) {
    if (before == nullptr || before->find("conditions") == nullptr || wanted.find("conditions") == nullptr) return wanted;
    std::vector<doc::Value> list;
    for (const doc::Value& c : before->find("conditions")->items()) {
      if (absl::StrContains(c.find("type")->as_string(), "/")) list.push_back(c);
    }
    for (const doc::Value& c : wanted.find("conditions")->items()) list.push_back(c);
    return doc::with(wanted, "conditions", doc::list(std::move(list)));
  }
  static Response error(int code, const std::string& message) { return {code, absl::StrCat("{\"kind\":\"Status\",\"message\":\"", message, "\"}"), {}}; }

  std::map<std::string, doc::Value> objects_;
  std::map<ObjectKey, ObjectPtr> read_;
  uint64_t version_ = 100;
  int uids_ = 0;
};

}  // namespace fairlead::adapters::kubernetes
