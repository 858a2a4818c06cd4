// See change.h.
#include "apps/why/change.h"

#include <map>
#include <set>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/doc_proto.h"
#include "base/doc_reader.h"
#include "base/redact.h"

namespace fairlead::why {
namespace {

using resources::ResourcePtr;

using doc::text;

// The names of a list's entries; empty unless each is a map with one of its own.
std::vector<std::string> names_of(const doc::Value& list) {
  std::vector<std::string> out;
  std::set<std::string_view> seen;
  for (const doc::Value& item : list.items()) {
    const doc::Value* name = item.find("name");
    if (name == nullptr || !name->is_string() || name->as_string().empty() || !seen.insert(name->as_string()).second) return {};
    out.push_back(name->as_string());
  }
  return out;
}

class Differ {
 public:
  Differ(std::vector<FieldChange>& out, size_t most) : out_(out), most_(most) {}

  void compare(const std::string& path, const doc::Value* a, const doc::Value* b) {
    if (out_.size() >= most_ || (a != nullptr && b != nullptr && *a == *b)) return;
    if (a != nullptr && b != nullptr && a->is_map() && b->is_map()) return maps(path, *a, *b);
    if (a != nullptr && b != nullptr && a->is_list() && b->is_list()) return lists(path, *a, *b);
    out_.push_back({path, a != nullptr ? doc::to_json(*a) : "", b != nullptr ? doc::to_json(*b) : ""});
  }

 private:
  void maps(const std::string& path, const doc::Value& a, const doc::Value& b) {
    for (const doc::Entry& e : a.entries()) compare(doc::join_path(path, e.key), &e.value, b.find(e.key));
    for (const doc::Entry& e : b.entries()) {
      if (a.find(e.key) == nullptr) compare(doc::join_path(path, e.key), nullptr, &e.value);
    }
  }

  void lists(const std::string& path, const doc::Value& a, const doc::Value& b) {
    const std::vector<std::string> old_names = names_of(a), new_names = names_of(b);
    if ((old_names.empty() && a.size() > 0) || (new_names.empty() && b.size() > 0)) {
      for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) compare(doc::join_path(path, i), i < a.size() ? &a.items()[i] : nullptr, i < b.size() ? &b.items()[i] : nullptr);
      return;
    }
    std::map<std::string_view, size_t> in_a, in_b;
    for (size_t i = 0; i < old_names.size(); ++i) in_a[old_names[i]] = i;
    for (size_t i = 0; i < new_names.size(); ++i) in_b[new_names[i]] = i;
    std::vector<std::string_view> kept_before, kept_after;
    for (size_t i = 0; i < old_names.size(); ++i) {
      const auto other = in_b.find(old_names[i]);
      compare(named(path, old_names[i]), &a.items()[i], other == in_b.end() ? nullptr : &b.items()[other->second]);
      if (other != in_b.end()) kept_before.push_back(old_names[i]);
    }
    for (size_t i = 0; i < new_names.size(); ++i) {
      if (in_a.contains(new_names[i])) {
        kept_after.push_back(new_names[i]);
      } else {
        compare(named(path, new_names[i]), nullptr, &b.items()[i]);
      }
    }
    if (kept_before != kept_after && out_.size() < most_) out_.push_back({absl::StrCat(path, " (order)"), order(kept_before), order(kept_after)});
  }

  static std::string named(const std::string& path, std::string_view name) { return absl::StrCat(path, "[\"", name, "\"]"); }
  static std::string order(const std::vector<std::string_view>& names) {
    std::vector<doc::Value> items;
    for (const std::string_view n : names) items.push_back(text(n));
    return doc::to_json(doc::list(std::move(items)));
  }

  std::vector<FieldChange>& out_;
  const size_t most_;
};

// Without what nobody is to read.
doc::Value body_of(const ResourcePtr& r) {
  const auto message = parse_message(resources::type_url(r->type), r->body());
  if (!message.ok()) return doc::null();
  redact(**message);
  return doc::from_message(**message);
}

}  // namespace

std::vector<FieldChange> field_changes(const doc::Value& before, const doc::Value& after, size_t most) {
  std::vector<FieldChange> out;
  Differ(out, most).compare("", &before, &after);
  return out;
}

std::vector<ResourceChange> resource_changes(const snapshot::Snapshot& before, const snapshot::Snapshot& after) {
  std::vector<ResourceChange> out;
  for (resources::Type type : resources::all_types()) {
    std::map<std::string_view, std::pair<ResourcePtr, ResourcePtr>> by_name;
    before.of(type).for_each([&](const ResourcePtr& r) { by_name[r->name].first = r; });
    after.of(type).for_each([&](const ResourcePtr& r) { by_name[r->name].second = r; });
    for (const auto& [name, pair] : by_name) {
      const auto& [was, is] = pair;
      if (was && is && was->hash == is->hash) continue;
      ResourceChange change{!was ? ResourceChange::Kind::Added : !is ? ResourceChange::Kind::Removed : ResourceChange::Kind::Changed, was, is, {}};
      if (was && is) change.fields = field_changes(body_of(was), body_of(is));
      if (was && is && change.fields.empty() && was->version == is->version) continue;  // of a server, which keeps its secrets to itself
      out.push_back(std::move(change));
    }
  }
  return out;
}

std::vector<AnswerChange> answer_changes(World& before, World& after, const std::vector<Recorded>& requests) {
  std::vector<AnswerChange> out;
  for (const Recorded& r : requests) {
    AnswerChange change{&r, explain(before, r.request, 0), explain(after, r.request, 0)};
    if (!change.before.same(change.after)) out.push_back(std::move(change));
  }
  return out;
}

// --- access logs ---------------------------------------------------------------------------------------------------------

namespace {

// What formats in use call the parts of a request: ours and Envoy's examples, Envoy's operators, Istio's and Contour's keys.
constexpr std::string_view kMethod[] = {"method", ":method", "request_method", "REQ(:METHOD)", "METHOD"};
constexpr std::string_view kPath[] = {"original_path", "x-envoy-original-path", "path", ":path", "request_path", "uri_path", "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)", "PATH"};
constexpr std::string_view kAuthority[] = {"authority", ":authority", "host", "REQ(:AUTHORITY)"};
constexpr std::string_view kScheme[] = {"scheme", ":scheme", "x_forwarded_proto", "x-forwarded-proto"};
constexpr std::string_view kPort[] = {"port", "downstream_local_port"};
constexpr std::string_view kLocal[] = {"downstream_local_address", "DOWNSTREAM_LOCAL_ADDRESS"};
// Headers that routes often look at and formats often log under a name of their own.
constexpr std::pair<std::string_view, std::string_view> kHeaders[] = {{"user_agent", "user-agent"}, {"user-agent", "user-agent"}, {"content_type", "content-type"}};

template <size_t N>
std::string field(const doc::Value& line, const std::string_view (&names)[N]) {
  for (const std::string_view name : names) {
    const doc::Value* v = line.find(name);
    if (v == nullptr) continue;
    if (v->is_string() && !v->as_string().empty() && v->as_string() != "-") return v->as_string();
    if (v->kind() == doc::Kind::integer) return absl::StrCat(v->as_integer());
  }
  return "";
}

absl::StatusOr<Request> request_from(const doc::Value& line) {
  const std::string method = field(line, kMethod), path = field(line, kPath), authority = field(line, kAuthority);
  if (method.empty() || path.empty()) return absl::InvalidArgumentError("has no method or no path");
  std::vector<std::string> headers;
  if (const doc::Value* more = line.find("headers")) {
    for (const doc::Entry& e : more->entries()) {
      if (e.value.is_string() && !e.key.starts_with(':')) headers.push_back(absl::StrCat(e.key, ": ", e.value.as_string()));
    }
  }
  for (const auto& [key, header] : kHeaders) {
    if (const doc::Value* v = line.find(key); v != nullptr && v->is_string() && v->as_string() != "-") headers.push_back(absl::StrCat(header, ": ", v->as_string()));
  }
  auto request = make_request(method, path, headers);
  if (!request.ok()) return request.status();
  if (!authority.empty()) {
    request->authority = authority;
    request->host = absl::AsciiStrToLower(authority.substr(0, authority.rfind(':')));
  }
  const std::string scheme = field(line, kScheme);
  request->any_scheme = scheme.empty();
  if (scheme == "https") request->scheme = "https";
  std::string port = field(line, kPort);
  if (const std::string local = field(line, kLocal); port.empty() && !local.empty()) port = local.substr(local.rfind(':') + 1);
  uint32_t number = 0;
  if (absl::SimpleAtoi(port, &number) && number <= 65535) request->port = static_cast<uint16_t>(number);
  return request;
}

// Envoy's default line: [time] "GET /a HTTP/1.1" 200 … "x-forwarded-for" "user-agent" "x-request-id" "authority" "upstream".
absl::StatusOr<Request> request_from_text(std::string_view line) {
  const std::vector<std::string_view> parts = absl::StrSplit(line, '"');  // every other one stood in quotes
  if (!line.starts_with('[') || parts.size() != 13) return absl::InvalidArgumentError("is neither JSON nor a line of Envoy's default format");
  const std::vector<std::string_view> words = absl::StrSplit(parts[1], ' ');
  if (words.size() != 3) return absl::InvalidArgumentError("has no method or no path");
  std::vector<doc::Entry> fields{{"method", text(words[0]), {}}, {"path", text(words[1]), {}}, {"authority", text(parts[9]), {}}, {"user_agent", text(parts[5]), {}}};
  return request_from(doc::map(std::move(fields)));
}

std::string key_of(const Request& r) {
  std::string key = absl::StrCat(r.str(), "\n", r.port);
  for (const auto& [name, value] : r.headers) absl::StrAppend(&key, "\n", name, ": ", value);
  return key;
}

}  // namespace

AccessLog read_access_log(std::string_view text, const std::string& file_name) {
  AccessLog out;
  std::map<std::string, size_t> known;
  size_t number = 0;
  for (const std::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    ++out.lines;
    const auto parsed = doc::parse_json(line, file_name);
    const absl::StatusOr<Request> request = parsed.ok() ? request_from(*parsed) : request_from_text(line);
    if (!request.ok()) {
      if (++out.skipped == 1) out.first_error = absl::StrCat(file_name, ":", number, ": ", request.status().message());
      continue;
    }
    const auto [at, fresh] = known.try_emplace(key_of(*request), out.requests.size());
    if (fresh) {
      out.requests.push_back({*request, 1});
    } else {
      ++out.requests[at->second].count;
    }
  }
  return out;
}

// --- scopes --------------------------------------------------------------------------------------------------------------

std::vector<ScopeChange> scope_changes(const std::vector<snapshot::SnapshotPtr>& before, const std::vector<snapshot::SnapshotPtr>& after, const std::vector<Recorded>& requests) {
  std::map<std::string, std::pair<snapshot::SnapshotPtr, snapshot::SnapshotPtr>> by_name;
  for (const auto& s : before) by_name[s->scope].first = s;
  for (const auto& s : after) by_name[s->scope].second = s;
  std::vector<ScopeChange> out;
  for (const auto& [name, pair] : by_name) {
    const snapshot::SnapshotPtr &was = pair.first ? pair.first : snapshot::empty_snapshot(), &is = pair.second ? pair.second : snapshot::empty_snapshot();
    ScopeChange change;
    change.scope = name;
    change.kind = !pair.first ? ScopeChange::Kind::Added : !pair.second ? ScopeChange::Kind::Removed : ScopeChange::Kind::Changed;
    change.resources = resource_changes(*was, *is);
    if (change.resources.empty() && pair.first && pair.second) continue;
    World old_world(was), new_world(is);
    change.answers = answer_changes(old_world, new_world, requests);
    for (const Recorded& r : requests) change.asked += r.count;
    for (const AnswerChange& a : change.answers) change.moved += a.recorded->count;
    out.push_back(std::move(change));
  }
  return out;
}

namespace {

constexpr std::string_view kKinds[] = {"added", "changed", "removed"};

doc::Value resource_doc(const ResourceChange& change) {
  const ResourcePtr& r = change.after ? change.after : change.before;
  std::vector<doc::Value> fields;
  for (const FieldChange& f : change.fields) {
    std::vector<doc::Entry> entry{{"path", text(f.path), {}}};
    if (!f.before.empty()) entry.push_back({"before", text(f.before), {}});
    if (!f.after.empty()) entry.push_back({"after", text(f.after), {}});
    fields.push_back(doc::map(std::move(entry)));
  }
  return doc::map({{"type", text(resources::short_name(r->type)), {}},
                   {"name", text(r->name), {}},
                   {"change", text(kKinds[static_cast<size_t>(change.kind)]), {}},
                   {"from", text(r->origins.empty() ? "" : r->origins.front().place()), {}},
                   {"fields", doc::list(std::move(fields)), {}}});
}

doc::Value answer_doc(const AnswerChange& change) {
  const auto last_place = [](const Answer& a) {
    for (auto s = a.steps.rbegin(); s != a.steps.rend(); ++s) {
      if (s->step == "route") return s->place;
    }
    return std::string();
  };
  return doc::map({{"request", text(change.recorded->request.str()), {}},
                   {"count", doc::integer(static_cast<int64_t>(change.recorded->count)), {}},
                   {"before", text(change.before.summary), {}},
                   {"before_from", text(last_place(change.before)), {}},
                   {"after", text(change.after.summary), {}},
                   {"after_from", text(last_place(change.after)), {}},
                   {"headers", doc::boolean(change.before.summary == change.after.summary), {}}});
}

}  // namespace

doc::Value changes_doc(const std::vector<ScopeChange>& changes) {
  std::vector<doc::Value> scopes;
  for (const ScopeChange& change : changes) {
    std::vector<doc::Value> resources, answers;
    for (const ResourceChange& r : change.resources) resources.push_back(resource_doc(r));
    for (const AnswerChange& a : change.answers) answers.push_back(answer_doc(a));
    scopes.push_back(doc::map({{"scope", text(change.scope), {}},
                               {"change", text(kKinds[static_cast<size_t>(change.kind)]), {}},
                               {"resources", doc::list(std::move(resources)), {}},
                               {"answers", doc::list(std::move(answers)), {}},
                               {"requests", doc::integer(static_cast<int64_t>(change.asked)), {}},
                               {"requests_changed", doc::integer(static_cast<int64_t>(change.moved)), {}}}));
  }
  return doc::map({{"scopes", doc::list(std::move(scopes)), {}}});
}

}  // namespace fairlead::why
