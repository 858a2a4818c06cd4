// Readers of the small values Gateway API kinds share: names, hostnames, durations, references. Private to the room.
// Each appends what is wrong to the ErrorList behind its doc::Object and returns something harmless.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "adapters/gatewayapi/schema.h"
#include "base/doc_reader.h"
#include "base/status.h"

namespace fairlead::adapters::gatewayapi {

Spot spot_of(const doc::Reader& reader);

// apiVersion, kind, metadata and status are read elsewhere.
void ignore_envelope(doc::Object& top);

// "a.example.com" or "*.example.com", as the CRD's pattern has it: lower case, no address, no port.
bool is_hostname(std::string_view text, bool allow_wildcard);
std::string hostname_field(doc::Object& o, std::string_view key, bool allow_wildcard);

// SectionName and rule names: a DNS subdomain.
bool is_section_name(std::string_view text);

bool is_header_name(std::string_view text);  // RFC 9110 token
bool is_regex(const std::string& pattern, std::string& why_not);  // RE2

// GEP-2257: "1h30m", "500ms"; up to four numbers of five digits.
std::optional<std::chrono::milliseconds> duration_field(doc::Object& o, std::string_view key);

// Too many items: an error on the list. The limits are the CRDs'.
void at_most(doc::Object& o, std::string_view key, size_t count, size_t limit);

// parentRefs of a route of any kind, with the CRDs' rules.
std::vector<ParentRef> parent_refs(doc::Object& spec, ErrorList& errors, const Object& owner);
// spec.hostnames of a route of any kind.
std::vector<std::string> hostnames_field(doc::Object& spec);
// rules[].name and the like; "" when it is not given.
std::string name_field(doc::Object& o);

// group, kind, name and namespace (the owner's unless it says otherwise).
ObjectRef object_ref(doc::Object& o, const Object& owner, std::string_view default_kind);

// group, kind, name, namespace and port of a reference to a backend (Service unless it says otherwise). `o` goes on to
// be read by the caller (weight, filters).
BackendRef backend_ref(doc::Object& o, const Object& owner);
// Of a rule, and of its weight; from Gateway API's CRDs.
constexpr size_t kMaxBackends = 16;
constexpr size_t kMaxMatchesPerRule = 64;
constexpr int64_t kMaxWeight = 1'000'000;

// Reads a route: its parents, and by `rest(spec, errors)` what its kind has besides. What is wrong is appended to `out`.
template <typename Route, typename Rest>
void read_route(Route& route, const Object& object, std::vector<Diagnostic>& out, Rest rest) {
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    route.parents = parent_refs(spec, errors, object);
    rest(spec, errors);
    if (spec.has("useDefaultGateways")) spec.error("useDefaultGateways", "is not supported in this version");
    spec.ignore("useDefaultGateways");
  }
  add_errors(errors, object, out);
}

}  // namespace fairlead::adapters::gatewayapi
