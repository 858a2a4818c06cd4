// Small values of the Gateway API. See fields.h.
#include "adapters/gatewayapi/fields.h"

#include <arpa/inet.h>
#include <re2/re2.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// Gateway API v1.4, CRDs of routes.
constexpr size_t kMaxParents = 32;
constexpr size_t kMaxHostnames = 16;

bool lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Labels of [a-z0-9-], neither beginning nor ending with '-', joined by dots.
bool is_subdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  char before = '.';
  for (char c : text) {
    if (c == '.') {
      if (before == '.' || before == '-') return false;
    } else if (c == '-') {
      if (before == '.') return false;
    } else if (!lower_alnum(c)) {
      return false;
    }
    before = c;
  }
  return before != '.' && before != '-';
}

ParentRef read_parent(const doc::Reader& reader, ErrorList& errors, const Object& owner) {
  doc::Object o(reader, errors);
  ParentRef p;
  p.spot = spot_of(reader);
  p.target.group = o.string_or("group", kGroup);
  p.target.kind = o.string_or("kind", "Gateway");
  p.ns = o.string_or("namespace", owner.key.ns);
  p.name = o.required_string("name");
  p.section = o.string_or("sectionName", "");
  p.port = static_cast<int>(o.integer_or("port", 0, 1, 65535));
  return p;
}

// CRD rules: no two entries for one parent without, or with the same, sectionName and port.
void check_parents(const std::vector<ParentRef>& parents, doc::Object& spec) {
  std::set<std::tuple<GroupKind, std::string, std::string, std::string, int>> seen;
  for (const ParentRef& p : parents) {
    if (!seen.insert({p.target, p.ns, p.name, p.section, p.port}).second) {
      spec.error("parentRefs", absl::StrCat(p.ns, "/", p.name, " is given twice with the same sectionName and port"));
    }
  }
}

}  // namespace

Spot spot_of(const doc::Reader& reader) { return Spot{reader.path(), static_cast<int>(reader.mark().line)}; }

void ignore_envelope(doc::Object& top) {
  for (std::string_view field : {"apiVersion", "kind", "metadata", "status"}) top.ignore(field);
}

bool is_hostname(std::string_view text, bool allow_wildcard) {
  if (allow_wildcard && absl::StartsWith(text, "*.")) text.remove_prefix(2);
  in_addr v4;
  return is_subdomain(text) && inet_pton(AF_INET, std::string(text).c_str(), &v4) != 1;
}

std::string hostname_field(doc::Object& o, std::string_view key, bool allow_wildcard) {
  std::string name = o.string_or(key, "");
  if (name.empty() || is_hostname(name, allow_wildcard)) return name;
  o.error(key, absl::StrCat("\"", name, "\" is not a hostname: lower-case labels joined by dots",
                            allow_wildcard ? ", with \"*\" only as the whole first label" : ", no wildcard", ", no address"));
  return "";
}

bool is_section_name(std::string_view text) { return is_subdomain(text); }

bool is_header_name(std::string_view text) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  return !text.empty() && text.size() <= 256 && std::all_of(text.begin(), text.end(), [&](char c) {
    return lower_alnum(c) || (c >= 'A' && c <= 'Z') || kOther.find(c) != std::string_view::npos;
  });
}

bool is_regex(const std::string& pattern, std::string& why_not) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  const re2::RE2 compiled(pattern, options);
  why_not = compiled.ok() ? "" : compiled.error();
  return compiled.ok();
}

std::optional<std::chrono::milliseconds> duration_field(doc::Object& o, std::string_view key) {
  const std::optional<std::string> text = o.string(key);
  if (!text) return std::nullopt;
  int parts = 0, digits = 0;
  bool good = !text->empty();
  for (size_t i = 0; i < text->size() && good; ++i) {
    const char c = (*text)[i];
    if (c >= '0' && c <= '9') {
      good = ++digits <= 5;
    } else {
      good = digits > 0 && ++parts <= 4 && (c == 'h' || c == 'm' || c == 's');
      if (c == 'm' && i + 1 < text->size() && (*text)[i + 1] == 's') ++i;
      digits = 0;
    }
  }
  good = good && digits == 0;
  if (good) {
    if (auto parsed = parse_duration(*text); parsed.ok()) {
      return std::chrono::duration_cast<std::chrono::milliseconds>(*parsed);
    }
  }
  o.error(key, absl::StrCat("expected a duration like \"500ms\" or \"1h30m\", got \"", *text, "\""));
  return std::nullopt;
}

void at_most(doc::Object& o, std::string_view key, size_t count, size_t limit) {
  if (count > limit) o.error(key, absl::StrCat("has ", count, " entries; at most ", limit, " are allowed"));
}

std::vector<ParentRef> parent_refs(doc::Object& spec, ErrorList& errors, const Object& owner) {
  std::vector<ParentRef> parents;
  const std::vector<doc::Reader> list = spec.list("parentRefs");
  at_most(spec, "parentRefs", list.size(), kMaxParents);
  for (const doc::Reader& reader : list) parents.push_back(read_parent(reader, errors, owner));
  check_parents(parents, spec);
  return parents;
}

std::vector<std::string> hostnames_field(doc::Object& spec) {
  std::vector<std::string> names = spec.strings("hostnames");
  at_most(spec, "hostnames", names.size(), kMaxHostnames);
  for (const std::string& name : names) {
    if (!is_hostname(name, true)) {
      spec.error("hostnames", absl::StrCat("\"", name, "\" is not a hostname: lower-case labels joined by dots, with \"*\" "
                                           "only as the whole first label, no address"));
    }
  }
  return names;
}

std::string name_field(doc::Object& o) {
  std::string name = o.string_or("name", "");
  if (!name.empty() && !is_section_name(name)) {
    o.error("name", absl::StrCat("\"", name, "\" is not a name: lower-case letters, digits, '-' and '.'"));
  }
  return name;
}

ObjectRef object_ref(doc::Object& o, const Object& owner, std::string_view default_kind) {
  ObjectRef ref;
  ref.spot = spot_of(o.reader());
  ref.target.group = o.string_or("group", "");
  ref.target.kind = o.string_or("kind", default_kind);
  ref.name = o.required_string("name");
  ref.ns = o.string_or("namespace", owner.key.ns);
  return ref;
}

BackendRef backend_ref(doc::Object& o, const Object& owner) {
  BackendRef ref;
  ref.spot = spot_of(o.reader());
  ref.target.group = o.string_or("group", "");
  ref.target.kind = o.string_or("kind", "Service");
  ref.name = o.required_string("name");
  ref.ns = o.string_or("namespace", owner.key.ns);
  ref.port = o.integer_or("port", 0, 1, 65535);
  if (ref.port == 0 && !o.has("port") && ref.target.group.empty() && ref.target.kind == "Service") {
    o.error("port", "is required for a Service");
  }
  return ref;
}

}  // namespace fairlead::adapters::gatewayapi
