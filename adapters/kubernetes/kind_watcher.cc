// See kind_watcher.h.
#include "adapters/kubernetes/kind_watcher.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "adapters/kubernetes/json_splitter.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"

namespace fairlead::adapters::kubernetes {

namespace {

using std::chrono::milliseconds;

constexpr std::string_view kEndOfInitialEvents = "k8s.io/initial-events-end";
constexpr std::string_view kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";
constexpr milliseconds kShortStream{1000};
constexpr milliseconds kGoingAsked{50};  // so that a thousand deletions are not a thousand questions

MonotonicTime now() { return RealClock::instance().monotonic(); }

std::string text_at(const doc::Value& value, std::string_view key) {
  const doc::Value* found = value.find(key);
  return found != nullptr && found->is_string() ? found->as_string() : "";
}

int64_t code_of(const doc::Value& status) {
  const doc::Value* code = status.find("code");
  return code == nullptr ? 0 : code->as_integer();
}

// "NAMESPACE/NAME", "/NAME".
std::string id_of(const doc::Value& metadata) { return absl::StrCat(text_at(metadata, "namespace"), "/", text_at(metadata, "name")); }

milliseconds retry_after(const Response& response) {
  const auto it = response.headers.find("retry-after");
  int seconds = 0;
  if (it == response.headers.end() || !absl::SimpleAtoi(it->second, &seconds)) return {};
  return std::chrono::seconds(std::clamp(seconds, 0, 60));
}

// Without what is of no use to any reader and often more than half of the object.
doc::Value without_ballast(const doc::Value& body, const doc::Value& metadata) {
  doc::Value lean = metadata;
  if (lean.find("managedFields") != nullptr) lean = doc::without(lean, "managedFields");
  const doc::Value* annotations = lean.find("annotations");
  if (annotations != nullptr && annotations->find(kLastApplied) != nullptr) lean = doc::with(lean, "annotations", doc::without(*annotations, kLastApplied));
  return doc::with(body, "metadata", lean);
}

}  // namespace

KindWatcher::KindWatcher(const WatchOptions& options, std::string source, const WatchedKind& kind, std::string ns, size_t number, ApiClient& api, Discovery& discovery, Hub& hub)
    : options_(options), source_(std::move(source)), kind_(kind), ns_(std::move(ns)), number_(number), api_(api), discovery_(discovery), hub_(hub) {}

std::string KindWatcher::name() const { return ns_.empty() ? kind_.kind : absl::StrCat(kind_.kind, " in ", ns_); }

std::string KindWatcher::path(std::string_view query) const {
  std::string selector = kind_.field_selector.empty() ? "" : absl::StrCat("&fieldSelector=", query_escape(kind_.field_selector));
  if (!kind_.label_selector.empty()) absl::StrAppend(&selector, "&labelSelector=", query_escape(kind_.label_selector));
  return absl::StrCat(group_path(kind_.group, version_), ns_.empty() ? "" : absl::StrCat("/namespaces/", ns_), "/", kind_.plural, "?", query, selector);
}

ObjectKey KindWatcher::key_of(std::string_view known) const {
  const size_t slash = known.find('/');
  return {kind_.group, kind_.kind, std::string(known.substr(0, slash)), std::string(known.substr(slash + 1))};
}

void KindWatcher::run() {
  while (!hub_.stopping()) {
    if (!find_version()) continue;
    if (!revision_.empty()) {
      stream(false);
    } else if (options_.streaming_lists && !pages_only_) {
      stream(true);
    } else {
      list();
    }
  }
}

// --- what goes wrong ----------------------------------------------------------------------------------------------------

void KindWatcher::pause(milliseconds at_least) {
  backoff_ = backoff_.count() == 0 ? options_.retry_first : std::min(2 * backoff_, options_.retry_at_most);
  const auto jittered = backoff_ * std::uniform_real_distribution<double>(0.5, 1.5)(random_);
  hub_.sleep(std::max(at_least, std::chrono::duration_cast<milliseconds>(jittered)));
}

void KindWatcher::worked() {
  backoff_ = {};
  hub_.watching(number_);
}

bool KindWatcher::fail(std::string_view verb, const absl::Status& status) {
  if (hub_.stopping()) return false;
  hub_.trouble(number_, Trouble::Kind::kLost, std::string(status.message()));
  FL_LOG(debug, "source", source_, ": ", name(), ": ", verb, ": ", status.message());
  pause();
  return false;
}

bool KindWatcher::fail(std::string_view verb, const Response& response) {
  const std::string text = absl::StrCat(name(), ": ", verb, ": ", status_message(response));
  if (response.status == 403) {
    hub_.trouble(number_, Trouble::Kind::kForbidden, absl::StrCat(text, known_.empty() ? "" : absl::StrCat("; what was read last stays in use, ", known_.size(), " objects")));
    hub_.sleep(std::chrono::duration_cast<milliseconds>(options_.retry_forbidden * std::uniform_real_distribution<double>(0.8, 1.2)(random_)));
  } else if (response.status == 404 && kind_.optional) {
    // its definition may have gone, or been replaced by one with another version
    version_.clear();
    revision_.clear();
    was_gone_ = was_gone_ || !known_.empty();
    pause();
  } else {
    hub_.trouble(number_, Trouble::Kind::kLost, absl::StrCat(api_.server(), ": ", text));
    pause(retry_after(response));
  }
  return false;
}

bool KindWatcher::find_version() {
  if (!version_.empty()) return true;
  if (!kind_.optional && kind_.versions.size() == 1) {
    version_ = kind_.versions.front();
    return true;
  }
  const auto found = discovery_.find(kind_, options_.look_for_kind / 2);
  if (!found.ok()) return fail("discovery", found.status());
  if (*found && !(*found)->terminating) {
    version_ = (*found)->version;
    if (told_absent_) FL_LOG(info, "source", source_, ": ", kind_.plural, ".", kind_.group, " is there now");
    told_absent_ = false;
    return true;
  }
  if (!kind_.optional) return fail("discovery", absl::UnavailableError(absl::StrCat(api_.server(), ": has no ", kind_.plural, " in a version that is read here")));
  if (known_.empty()) {
    hub_.absent(number_);
    if (!told_absent_) FL_LOG(info, "source", source_, ": ", kind_.plural, ".", kind_.group, " is not there: looked for every ", options_.look_for_kind.count(), " ms");
    told_absent_ = true;
  } else {
    was_gone_ = true;
    hub_.trouble(number_, Trouble::Kind::kGone,
                 absl::StrCat(name(), ": ", api_.server(), " no longer has ", kind_.plural, ".", kind_.group, "; its last ", known_.size(), " objects stay in use until it is back"));
  }
  hub_.sleep(std::chrono::duration_cast<milliseconds>(options_.look_for_kind * std::uniform_real_distribution<double>(0.8, 1.2)(random_)));
  return false;
}

// --- lists --------------------------------------------------------------------------------------------------------------

bool KindWatcher::list() {
  seen_.clear();
  seen_all_ = true;
  std::string token, next;
  do {
    if (!list_page(token, next)) return false;
    token = next;
  } while (!token.empty());
  end_of_list();
  return true;
}

// False: it failed, after a pause.
bool KindWatcher::list_page(const std::string& token, std::string& next) {
  JsonSplitter splitter(JsonSplitter::Mode::kItems, [this](std::string_view text) {
    const absl::StatusOr<doc::Value> body = doc::parse_json(text, "");
    if (body.ok()) {
      take(*body);
    } else {
      seen_all_ = false;
      const ObjectKey nameless{kind_.group, kind_.kind, ns_, ""};
      hub_.unreadable(nameless, {Diagnostic{Severity::kError, nameless, "", 0, "", absl::StrCat(name(), ": one of its objects cannot be read: ", body.status().message())}});
    }
    return !hub_.stopping();
  });
  absl::Status broken;
  const auto answer = api_.stream(path(absl::StrCat("limit=", options_.page, token.empty() ? "" : absl::StrCat("&continue=", query_escape(token)))), [&](std::string_view bytes) {
    broken = splitter.feed(bytes);
    return broken.ok();
  });
  if (hub_.stopping()) return false;
  if (!broken.ok()) return fail("list", absl::UnavailableError(absl::StrCat(api_.server(), ": ", name(), ": list: ", broken.message())));
  if (!answer.ok()) return fail("list", answer.status());
  if (answer->status == 410 && !token.empty()) {  // the pages that are left have been compacted away
    FL_LOG(info, "source", source_, ": ", name(), ": the list expired between two pages: it is started over");
    pause();
    return false;
  }
  if (!answer->ok()) return fail("list", *answer);
  const absl::StatusOr<doc::Value> around = splitter.whole() ? doc::parse_json(splitter.around(), "") : absl::InvalidArgumentError("it broke off");
  const doc::Value* metadata = around.ok() ? around->find("metadata") : nullptr;
  if (metadata == nullptr || text_at(*metadata, "resourceVersion").empty()) {
    return fail("list", absl::UnavailableError(absl::StrCat(api_.server(), ": ", name(), ": list: not a list of Kubernetes: ", around.ok() ? "no metadata.resourceVersion" : around.status().message())));
  }
  next = text_at(*metadata, "continue");
  if (next.empty()) revision_ = text_at(*metadata, "resourceVersion");
  return true;
}

void KindWatcher::end_of_list() {
  std::vector<std::string> missing;
  for (const auto& [id, version] : known_) {
    if (!seen_.contains(id)) missing.push_back(id);
  }
  if (seen_all_) {
    hub_.unreadable(ObjectKey{kind_.group, kind_.kind, ns_, ""}, {});
    const MonotonicTime when = now() + options_.come_back;
    for (const std::string& id : missing) {
      was_gone_ ? hub_.remove_at(key_of(id), when) : hub_.remove(key_of(id));
      known_.erase(id);
    }
    if (was_gone_ && !missing.empty()) {
      FL_LOG(warning, "source", source_, ": ", name(), ": is there again without ", missing.size(), " of its objects: they stay in use for ", options_.come_back.count(), " ms");
    }
    was_gone_ = false;
  }
  seen_ = {};
  if (!listed_) FL_LOG(debug, "source", source_, ": ", name(), ": ", known_.size(), " objects");
  listed_ = true;
  backoff_ = {};
  hub_.listed(number_);
}

// --- watches ------------------------------------------------------------------------------------------------------------

void KindWatcher::stream(bool initial) {
  const bool lists = initial;
  if (lists) {
    seen_.clear();
    seen_all_ = true;
  }
  stream_failed_.reset();
  going_ = false;
  const auto seconds = std::uniform_int_distribution<int64_t>(options_.watch_at_least.count(), options_.watch_at_most.count())(random_);
  bool opened = false, any = false;
  absl::Status broken;
  JsonSplitter splitter(JsonSplitter::Mode::kValues, [&](std::string_view text) {
    any = true;
    return on_event(text, initial) && !hub_.stopping();
  });
  const MonotonicTime begun = now();
  const auto answer = api_.watch(
      path(absl::StrCat("watch=true&allowWatchBookmarks=true&timeoutSeconds=", seconds,
                        lists ? "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan" : absl::StrCat("&resourceVersion=", query_escape(revision_)))),
      [&](std::string_view bytes) {
        broken = splitter.feed(bytes);
        return broken.ok();
      },
      [&] {
        opened = true;
        hub_.watching(number_);
      });
  if (hub_.stopping()) return;
  if (going_) {  // find_version() has the rest to say
    was_gone_ = true;
    version_.clear();
    revision_.clear();
    return;
  }
  const bool refused_list = lists && initial && (stream_failed_ || (answer.ok() && (answer->ok() || answer->status == 400 || answer->status == 422)));
  if (refused_list) {
    // Kubernetes without the feature, or on an etcd that cannot tell how far it is (below 3.4.25, 3.5.8)
    FL_LOG(debug, "source", source_, ": ", name(), ": no streamed list", stream_failed_ ? absl::StrCat(": ", stream_failed_->message()) : "", "; asked for pages from now on");
    pages_only_ = true;
    revision_.clear();
    return;
  }
  if (stream_failed_) {
    const bool expired = absl::IsOutOfRange(*stream_failed_);
    if (expired) revision_.clear();
    expired ? pause() : (void)fail("watch", *stream_failed_);
    return;
  }
  if (!broken.ok()) return (void)fail("watch", absl::UnavailableError(absl::StrCat(api_.server(), ": ", name(), ": watch: ", broken.message())));
  if (answer.ok() && answer->status == 410) {
    revision_.clear();
    return pause();
  }
  if (answer.ok() && !answer->ok()) return (void)fail(lists ? "list and watch" : "watch", *answer);
  if (!answer.ok() && (!opened || initial)) return (void)fail(lists ? "list and watch" : "watch", answer.status());
  // It ended in time, or was cut: what comes next shows whether the server is still there.
  if (!any && now() - begun < kShortStream) pause();
}

// False: the stream is over.
bool KindWatcher::on_event(std::string_view text, bool& initial) {
  const absl::StatusOr<doc::Value> event = doc::parse_json(text, "");
  if (!event.ok()) {
    const ObjectKey nameless{kind_.group, kind_.kind, ns_, ""};
    hub_.unreadable(nameless, {Diagnostic{Severity::kError, nameless, "", 0, "", absl::StrCat(name(), ": an event cannot be read: ", event.status().message())}});
    if (initial) seen_all_ = false;
    return true;
  }
  const std::string type = text_at(*event, "type");
  const doc::Value* object = event->find("object");
  if (object == nullptr) return true;
  if (type == "ERROR") {
    on_error(*object);
    return false;
  }
  worked();
  const doc::Value* metadata = object->find("metadata");
  if (metadata == nullptr) return true;
  if (type == "ADDED" || type == "MODIFIED") {
    take(*object);
  } else if (type == "DELETED" && !drop(*object)) {
    going_ = true;
    return false;
  }
  // The objects that make up a list come in no order: only its end says up to where all is known.
  const std::string revision = text_at(*metadata, "resourceVersion");
  if (initial && type == "BOOKMARK") {
    const doc::Value* annotations = metadata->find("annotations");
    if (annotations != nullptr && text_at(*annotations, kEndOfInitialEvents) == "true") {
      initial = false;
      revision_ = revision;
      end_of_list();
    }
  } else if (!initial && !revision.empty()) {
    revision_ = revision;
  }
  return true;
}

void KindWatcher::on_error(const doc::Value& status) {
  const std::string text = absl::StrCat(api_.server(), ": ", name(), ": watch: ", code_of(status), ": ", text_at(status, "message"));
  stream_failed_ = code_of(status) == 410 || text_at(status, "reason") == "Expired" ? absl::OutOfRangeError(text) : absl::UnavailableError(text);
}

bool KindWatcher::is_going() {
  if (!kind_.optional || (stays_at_ && now() - *stays_at_ < kGoingAsked)) return false;
  const auto found = discovery_.find(kind_, milliseconds(0));
  const bool going = found.ok() && (!*found || (*found)->terminating);
  if (!going) stays_at_ = now();
  return going;
}

// --- objects ------------------------------------------------------------------------------------------------------------

void KindWatcher::take(const doc::Value& body) {
  const doc::Value* metadata = body.find("metadata");
  if (metadata == nullptr) return;
  const std::string id = id_of(*metadata);
  const uint64_t version = xx_hash64(text_at(*metadata, "resourceVersion"));
  seen_.insert(id);
  if (const auto it = known_.find(id); it != known_.end() && it->second == version) return;
  doc::Value lean = without_ballast(body, *metadata);
  if (lean.find("apiVersion") == nullptr) lean = doc::with(lean, "apiVersion", doc::string(kind_.group.empty() ? version_ : absl::StrCat(kind_.group, "/", version_)));
  if (lean.find("kind") == nullptr) lean = doc::with(lean, "kind", doc::string(kind_.kind));
  std::vector<Diagnostic> errors;
  ObjectPtr object = read_object(lean, source_, "", errors);
  if (!object) {
    for (Diagnostic& d : errors) d.object = key_of(id);
    hub_.unreadable(key_of(id), std::move(errors));
    known_[id] = version;
    return;
  }
  if (kind_.keep != nullptr && !kind_.keep(*object)) {
    if (known_.erase(id) != 0) hub_.remove(key_of(id));
    return;
  }
  known_[id] = version;
  hub_.put(std::move(object));
}

bool KindWatcher::drop(const doc::Value& body) {
  const doc::Value* metadata = body.find("metadata");
  if (metadata == nullptr) return true;
  const std::string id = id_of(*metadata);
  const auto it = known_.find(id);
  if (it == known_.end()) return true;
  // Whoever deletes a definition deletes all objects of its kind with it, and rarely means that: see what comes after it.
  if (is_going()) return false;
  known_.erase(it);
  hub_.remove(key_of(id));
  return true;
}

}  // namespace fairlead::adapters::kubernetes
