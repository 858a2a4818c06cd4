// An API server of whole objects in memory: server-side apply as far as one manager needs it (what it no longer applies goes), preconditions, deletion,
// and what controllers and users add to objects meanwhile. Not thread safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "adapters/kubernetes/api_client.h"
#include "adapters/object/store.h"
#include "adapters/provision/bootstrap.h"
#include "adapters/provision/data_plane.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes {

class FakeObjects {
 public:
  // A user's or a controller's: the fields of it, over what is there.
  void put(const std::string& path, const std::string& yaml) {
    State& s = states_[path];
    if (s.uid.empty()) s.uid = absl::StrCat("uid-", ++uids_);
    s.others = s.others.is_null() ? *doc::parse_one(yaml, "test") : provision::merged(s.others, *doc::parse_one(yaml, "test"));
    s.version = ++version_;
    changed_.insert(path);
  }
  void remove(const std::string& path) {
    gone_[path] = at(path);
    states_.erase(path);
    changed_.insert(path);
  }
  bool has(const std::string& path) const { return states_.contains(path); }
  std::vector<std::string> paths() const {
    std::vector<std::string> out;
    for (const auto& [path, s] : states_) out.push_back(path);
    return out;
  }
  doc::Value at(const std::string& path) const {
    const State& s = states_.at(path);
    doc::Value object = s.applied.is_null() ? s.others : s.others.is_null() ? s.applied : provision::merged(s.others, s.applied);
    doc::Value metadata = doc::with(*object.find("metadata"), "uid", doc::string(s.uid));
    return doc::with(object, "metadata", doc::with(metadata, "resourceVersion", doc::string(std::to_string(s.version))));
  }

  Response answer(const std::string& method, const std::string& target, const std::string& body) {
    requests.push_back(absl::StrCat(method, " ", target.substr(0, target.find('?')), absl::StrContains(target, "-replicas") ? " replicas" : ""));
    const std::string path = target.substr(0, target.find('?'));
    if (const auto refused = refuse.find(path); refused != refuse.end() && method != "GET") return error(refused->second, "as the test asked");
    const auto found = states_.find(path);
    if (method == "GET") return found == states_.end() ? error(404, "not found") : Response{200, doc::to_json(at(path)), {}};
    const doc::Value wanted = *doc::parse_json(body, "body");
    if (method == "DELETE") {
      if (found == states_.end()) return error(404, "not found");
      const doc::Value* uid = wanted.find_path("preconditions.uid");
      if (uid && uid->as_string() != found->second.uid) return error(409, "the precondition does not hold");
      remove(path);
      return {200, "{}", {}};
    }
    if (method != "PATCH") return error(405, "not in this test");
    const doc::Value* uid = wanted.find_path("metadata.uid");
    if (uid && (found == states_.end() || uid->as_string() != found->second.uid)) return error(409, "another object has that name");
    State& s = states_[path];
    if (absl::StrContains(target, "-replicas")) {  // another manager's, of a few fields
      s.others = provision::merged(s.others.is_null() ? doc::map({}) : s.others, doc::without(wanted, "metadata"));
      s.version = ++version_;
      changed_.insert(path);
      return {200, doc::to_json(at(path)), {}};
    }
    if (s.uid.empty()) s.uid = absl::StrCat("uid-", ++uids_);
    const doc::Value next = doc::with(wanted, "metadata", doc::without(*wanted.find("metadata"), "uid"));
    if (!(s.applied == next)) {
      s.applied = next;
      s.version = ++version_;
      changed_.insert(path);
      ++writes;
    }
    if (!defaults.empty()) s.others = *doc::parse_one(defaults, "test");
    return {uid ? 200 : 201, doc::to_json(at(path)), {}};
  }

  // What a watch of objects with our label would bring since it was asked last.
  SourceUpdate update() {
    SourceUpdate out;
    out.source = "data planes";
    out.synced = true;
    for (const std::string& path : std::exchange(changed_, {})) {
      const bool there = states_.contains(path);
      const doc::Value body = there ? at(path) : gone_.at(path);
      const doc::Value* labels = body.find_path("metadata.labels");
      const doc::Value* manager = labels ? labels->find(provision::kManagedByLabel) : nullptr;
      if (manager == nullptr || manager->as_string() != provision::kManager) continue;
      ObjectPtr object = read_object(body, "data planes", "", out.diagnostics);
      if (there) {
        out.upserted.push_back(object);
      } else {
        out.removed.push_back(object->key);
      }
    }
    return out;
  }

  std::vector<std::string> requests;
  std::map<std::string, int> refuse;  // by path, with which status
  std::string defaults;               // what the server adds to whatever is applied, YAML
  int writes = 0;                     // that changed something

 private:
  struct State {
    doc::Value applied, others;
    std::string uid;
    uint64_t version = 0;
  };
  static Response error(int code, const std::string& message) { return {code, absl::StrCat("{\"kind\":\"Status\",\"message\":\"", message, "\"}"), {}}; }

  std::map<std::string, State> states_;
  std::map<std::string, doc::Value> gone_;
  std::set<std::string> changed_;
  uint64_t version_ = 100;
  int uids_ = 0;
};

}  // namespace fairlead::adapters::kubernetes
