// See reports.h.
#include "adapters/kubernetes/reports.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/doc.h"
#include "base/doc_reader.h"
#include "base/status.h"

namespace fairlead::adapters::kubernetes {

namespace {

doc::Value to_doc(const ObjectKey& k) {
  return doc::list({doc::string(k.group), doc::string(k.kind), doc::string(k.ns), doc::string(k.name)});
}

ObjectKey key_of(const doc::Reader& reader, ErrorList& errors) {
  const absl::StatusOr<std::vector<std::string>> parts = reader.strings();
  if (!errors.check(parts)) return {};
  if (parts->size() != 4) {
    errors.add(reader.error("expected group, kind, namespace and name"));
    return {};
  }
  return {(*parts)[0], (*parts)[1], (*parts)[2], (*parts)[3]};
}

}  // namespace

std::string to_report(const Verdicts& verdicts) {
  std::vector<doc::Value> gateways, refusals;
  for (const auto& [key, p] : verdicts.gateways) {
    if (p.proxies == 0) continue;
    gateways.push_back(doc::map({{"gateway", to_doc(key), {}},
                                 {"proxies", doc::integer(static_cast<int64_t>(p.proxies)), {}},
                                 {"synced", doc::boolean(p.synced), {}},
                                 {"version", doc::string(p.version), {}}}));
  }
  size_t size = 0;
  for (const auto& [key, r] : verdicts.refusals) {
    size += 200 + r.message.size() + r.field.size() + r.reason.size();
    if (size > kMostReport) break;
    std::vector<doc::Entry> e{{"object", to_doc(key), {}},
                              {"gateway", to_doc(r.gateway), {}},
                              {"field", doc::string(r.field), {}},
                              {"message", doc::string(r.message), {}},
                              {"foreseen", doc::boolean(r.foreseen), {}}};
    if (!r.reason.empty()) e.push_back({"reason", doc::string(r.reason), {}});
    if (r.remark) e.push_back({"remark", doc::boolean(true), {}});
    refusals.push_back(doc::map(std::move(e)));
  }
  if (gateways.empty() && refusals.empty()) return "";
  return doc::to_json(doc::map({{"gateways", doc::list(std::move(gateways)), {}}, {"refusals", doc::list(std::move(refusals)), {}}}));
}

absl::StatusOr<Verdicts> from_report(std::string_view report) {
  Verdicts out;
  if (report.empty()) return out;
  FL_ASSIGN_OR_RETURN(const doc::Value value, doc::parse_json(report, "report"));
  ErrorList errors;
  doc::Object top(doc::Reader(value), errors);
  for (const doc::Reader& item : top.list("gateways")) {
    doc::Object o(item, errors);
    const ObjectKey key = key_of(o.get("gateway"), errors);
    Progress& p = out.gateways[key];
    p.proxies = static_cast<size_t>(o.integer_or("proxies", 0, 0));
    p.synced = o.boolean_or("synced", false);
    p.version = o.string_or("version", "");
    o.allow_unknown();  // another version of ours may say more
  }
  for (const doc::Reader& item : top.list("refusals")) {
    doc::Object o(item, errors);
    const ObjectKey key = key_of(o.get("object"), errors);
    Refusal r;
    r.gateway = key_of(o.get("gateway"), errors);
    r.field = o.string_or("field", "");
    r.message = o.string_or("message", "");
    r.foreseen = o.boolean_or("foreseen", false);
    r.reason = o.string_or("reason", "");
    r.remark = o.boolean_or("remark", false);
    o.allow_unknown();
    out.refusals.emplace(key, std::move(r));
  }
  top.allow_unknown();
  top.finish();
  FL_RETURN_IF_ERROR(errors.status());
  return out;
}

void add_report(Verdicts& own, const Verdicts& other) {
  for (const auto& [key, theirs] : other.gateways) {
    const auto ours = own.gateways.find(key);
    if (ours == own.gateways.end()) continue;  // a Gateway that is gone here, or not yet known
    Progress& p = ours->second;
    p.synced = p.synced && theirs.synced && theirs.version == p.version;
    p.proxies += theirs.proxies;
  }
  for (const auto& theirs : other.refusals) {  // conflicts are found by each of them
    const auto [first, last] = own.refusals.equal_range(theirs.first);
    if (std::none_of(first, last, [&](const auto& ours) { return ours.second == theirs.second; })) own.refusals.insert(theirs);
  }
}

}  // namespace fairlead::adapters::kubernetes
