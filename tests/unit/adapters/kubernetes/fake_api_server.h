// An API server for tests, on a port of the kernel's choice: collections of objects with versions, pages, watches with bookmarks, streamed lists,
// discovery; and everything that goes wrong with them, when a test says so. Any thread.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <httplib.h>

#include "adapters/kubernetes/credentials.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes {

class FakeApiServer {
 public:
  enum class StreamedLists { kRefused, kErrorEvent, kServed };

  FakeApiServer() { up(); }
  ~FakeApiServer() { down(); }

  Credentials credentials() const {
    Credentials c;
    c.tls = false;
    c.host = "127.0.0.1";
    c.port = port_;
    c.server = absl::StrCat("http://127.0.0.1:", port_);
    return c;
  }

  // --- objects. `collection`: "/api/v1/services", as in a request for all namespaces.
  // `more`: further fields of the object, as JSON: "\"spec\":{}".
  void put(const std::string& collection, const std::string& name, const std::string& more = "", const std::string& metadata = "") {
    std::lock_guard lock(mutex_);
    const bool there = collections_[collection].contains(name);
    const std::string body = object(collection, name, ++revision_, more, metadata);
    collections_[collection][name] = body;
    record(collection, there ? "MODIFIED" : "ADDED", body);
  }
  void remove(const std::string& collection, const std::string& name) {
    std::lock_guard lock(mutex_);
    collections_[collection].erase(name);
    record(collection, "DELETED", object(collection, name, ++revision_, "", ""));
  }
  // Any text in the place of an object.
  void put_text(const std::string& collection, const std::string& name, const std::string& text) {
    std::lock_guard lock(mutex_);
    ++revision_;
    collections_[collection][name] = text;
    record(collection, "ADDED", text);
  }
  void bookmark(const std::string& collection) {
    std::lock_guard lock(mutex_);
    record(collection, "BOOKMARK", absl::StrCat("{\"metadata\":{\"resourceVersion\":\"", ++revision_, "\"}}"));
  }

  // --- what goes wrong
  void serve(const std::string& collection, bool is) { set([&] { is ? (void)served_.insert(collection) : (void)served_.erase(collection); }); }
  void terminating(const std::string& collection, bool is) { set([&] { is ? (void)terminating_.insert(collection) : (void)terminating_.erase(collection); }); }
  void forbid(const std::string& collection, bool is) { set([&] { is ? (void)forbidden_.insert(collection) : (void)forbidden_.erase(collection); }); }
  void compact() { set([&] { compacted_ = revision_; }); }                    // watches from before now are 410
  void expired_as_event(bool is) { set([&] { expired_as_event_ = is; }); }    // the same as an ERROR event
  void expire_pages_once() { set([&] { expire_pages_ = true; }); }
  void streamed_lists(StreamedLists how) { set([&] { streamed_lists_ = how; }); }
  void cut_streams() { set([&] { ++cuts_; }); }
  void fail_with(int status) { set([&] { fail_ = status; }); }  // 0: no longer
  void break_kind(const std::string& collection, bool is) { set([&] { is ? (void)broken_.insert(collection) : (void)broken_.erase(collection); }); }
  // Gone, with all connections; and there again, at the same port.
  void down() {
    set([&] { stopping_ = true; });
    server_->stop();
    if (thread_.joinable()) thread_.join();
  }
  void up() {
    stopping_ = false;
    server_ = std::make_unique<httplib::Server>();
    server_->new_task_queue = [] { return new httplib::ThreadPool(32); };
    server_->set_keep_alive_timeout(1);
    server_->Get(".*", [this](const httplib::Request& r, httplib::Response& out) { answer(r, out); });
    if (port_ == 0) {
      port_ = server_->bind_to_any_port("127.0.0.1");
    } else {
      while (!server_->bind_to_port("127.0.0.1", port_)) std::this_thread::yield();
    }
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    while (!server_->is_running()) std::this_thread::yield();
  }

  // --- what was asked, in order: "/api/v1/services?limit=2"
  std::vector<std::string> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  size_t count(const std::string& part) const {
    std::lock_guard lock(mutex_);
    return static_cast<size_t>(std::count_if(requests_.begin(), requests_.end(), [&](const std::string& r) { return r.find(part) != std::string::npos; }));
  }
  // Waits until so many requests held the text.
  bool until_asked(const std::string& part, size_t times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] {
      return static_cast<size_t>(std::count_if(requests_.begin(), requests_.end(), [&](const std::string& r) { return r.find(part) != std::string::npos; })) >= times;
    });
  }
  std::string revision() const {
    std::lock_guard lock(mutex_);
    return absl::StrCat(revision_);
  }

 private:
  struct Event {
    uint64_t revision;
    std::string line;
  };

  template <typename F>
  void set(F f) {
    std::lock_guard lock(mutex_);
    f();
    changed_.notify_all();
  }

  static std::string object(const std::string&, const std::string& name, uint64_t revision, const std::string& more, const std::string& metadata) {
    const std::vector<std::string> parts = absl::StrSplit(name, '/');
    const std::string ns = parts.size() == 2 ? absl::StrCat("\"namespace\":\"", parts[0], "\",") : "";
    return absl::StrCat("{\"metadata\":{", ns, "\"name\":\"", parts.back(), "\",\"resourceVersion\":\"", revision, "\"", metadata.empty() ? "" : ",", metadata, "}",
                        more.empty() ? "" : ",", more, "}");
  }

  void record(const std::string& collection, const std::string& type, const std::string& body) {  // with the lock held
    events_[collection].push_back({revision_, absl::StrCat("{\"type\":\"", type, "\",\"object\":", body, "}\n")});
    changed_.notify_all();
  }

  static void status(httplib::Response& out, int code, const std::string& message) {
    out.status = code;
    out.set_content(absl::StrCat("{\"kind\":\"Status\",\"code\":", code, ",\"message\":\"", message, "\"}"), "application/json");
  }

  void answer(const httplib::Request& r, httplib::Response& out) {
    std::lock_guard lock(mutex_);
    requests_.push_back(r.target);
    changed_.notify_all();
    if (fail_ != 0) return status(out, fail_, "out of order");
    const auto slashes = std::count(r.path.begin(), r.path.end(), '/');
    if ((r.path.starts_with("/apis/") && slashes == 3) || r.path == "/api/v1") return discovery(r.path, out);
    if (!served_.contains(r.path)) return status(out, 404, "the server could not find the requested resource");
    const std::string verb = r.has_param("watch") ? "watch" : "list";
    if (broken_.contains(r.path)) return status(out, 500, "out of order");
    if (forbidden_.contains(r.path)) return status(out, 403, absl::StrCat("is forbidden: User \\\"me\\\" cannot ", verb, " resource"));
    verb == "watch" ? watch(r, out) : list(r, out);
  }

  void discovery(const std::string& group, httplib::Response& out) {
    std::string list;
    for (const std::string& c : served_) {
      if (!c.starts_with(group + "/")) continue;
      absl::StrAppend(&list, list.empty() ? "" : ",", "{\"name\":\"", c.substr(group.size() + 1), "\",\"verbs\":[\"get\"", terminating_.contains(c) ? "" : ",\"create\"", "]}");
    }
    if (list.empty()) return status(out, 404, "no such group");
    out.set_content(absl::StrCat("{\"resources\":[", list, "]}"), "application/json");
  }

  void list(const httplib::Request& r, httplib::Response& out) {
    size_t limit = 0, at = 0;
    (void)absl::SimpleAtoi(r.get_param_value("limit"), &limit);
    if (r.has_param("continue")) {
      if (expire_pages_) {
        expire_pages_ = false;
        return status(out, 410, "the continue token has expired");
      }
      (void)absl::SimpleAtoi(r.get_param_value("continue"), &at);
    }
    const auto& all = collections_[r.path];
    std::string items, token;
    size_t n = 0;
    for (const auto& [name, body] : all) {
      if (n++ < at) continue;
      if (limit != 0 && n > at + limit) {
        token = absl::StrCat(at + limit);
        break;
      }
      absl::StrAppend(&items, items.empty() ? "" : ",", body);
    }
    out.set_content(absl::StrCat("{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"", revision_, "\",\"continue\":\"", token, "\"},\"items\":[", items, "]}"), "application/json");
  }

  void watch(const httplib::Request& r, httplib::Response& out) {
    const std::string path = r.path;
    uint64_t from = revision_;
    std::string first;
    if (r.has_param("sendInitialEvents")) {
      if (streamed_lists_ == StreamedLists::kRefused) return status(out, 422, "sendInitialEvents is forbidden for watch");
      if (streamed_lists_ == StreamedLists::kErrorEvent) {
        first = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500,\"message\":\"RequestWatchProgress is disabled\"}}\n";
      } else {
        for (const auto& [name, body] : collections_[path]) absl::StrAppend(&first, "{\"type\":\"ADDED\",\"object\":", body, "}\n");
        absl::StrAppend(&first, "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"", revision_, "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n");
      }
    } else {
      (void)absl::SimpleAtoi(r.get_param_value("resourceVersion"), &from);
      if (from < compacted_) {
        if (!expired_as_event_) return status(out, 410, "too old resource version");
        first = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"too old resource version\"}}\n";
      }
    }
    const int cuts = cuts_;
    out.set_chunked_content_provider("application/json", [this, path, from, first, cuts](size_t, httplib::DataSink& sink) mutable {
      std::string lines;
      {
        std::unique_lock lock(mutex_);
        const auto news = [&] { return std::any_of(events_[path].begin(), events_[path].end(), [&](const Event& e) { return e.revision > from; }); };
        if (first.empty()) {
          changed_.wait_for(lock, std::chrono::milliseconds(100), [&] { return stopping_ || cuts_ != cuts || news(); });
        }
        if (stopping_ || cuts_ != cuts) return false;
        lines.swap(first);
        for (const Event& e : events_[path]) {
          if (e.revision <= from) continue;
          lines += e.line;
        }
        if (!events_[path].empty()) from = std::max(from, events_[path].back().revision);
      }
      if (lines.empty()) return sink.is_writable();
      return sink.write(lines.data(), lines.size());
    });
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<httplib::Server> server_;
  std::thread thread_;
  int port_ = 0;
  bool stopping_ = false;
  uint64_t revision_ = 100, compacted_ = 0;
  std::map<std::string, std::map<std::string, std::string>> collections_;
  std::map<std::string, std::vector<Event>> events_;
  std::set<std::string> served_{"/api/v1/services", "/api/v1/configmaps"}, terminating_, forbidden_, broken_;
  std::vector<std::string> requests_;
  StreamedLists streamed_lists_ = StreamedLists::kRefused;
  bool expired_as_event_ = false, expire_pages_ = false;
  int cuts_ = 0, fail_ = 0;
};

}  // namespace fairlead::adapters::kubernetes
