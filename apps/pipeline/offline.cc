#include "apps/pipeline/offline.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <absl/strings/str_cat.h>

#include "adapters/file/file_loader.h"
#include "apps/pipeline/bundled.h"
#include "apps/pipeline/status_doc.h"

namespace fairlead::pipeline {

namespace {

void check_resources(const snapshot::Snapshot& snapshot, std::vector<intent::Finding>& out) {
  if (snapshot.scope.starts_with("mesh-grpc:")) return;  // it goes to no proxy
  for (resources::Type type : resources::all_types()) {
    snapshot.of(type).for_each([&](const resources::ResourcePtr& r) {
      const absl::Status verdict = bundled_verdict(*r);
      if (verdict.ok()) return;
      intent::Finding f;
      f.severity = intent::Severity::kWarning;  // a stock Envoy may take it
      if (!r->origins.empty()) f.origin = r->origins.front();
      f.scope = snapshot.scope;
      f.reason = "NotSupportedByProxy";
      f.message = absl::StrCat("fairlead-proxy would refuse it: ", std::string(verdict.message()));
      out.push_back(std::move(f));
    });
  }
}

auto rank(const intent::Finding& f) { return std::tie(f.severity, f.origin.file, f.origin.line, f.origin.kind, f.origin.ns, f.origin.name, f.message); }

}  // namespace

size_t Offline::count(intent::Severity severity) const {
  return static_cast<size_t>(std::count_if(findings.begin(), findings.end(), [&](const auto& f) { return f.severity == severity; }));
}

absl::StatusOr<std::unique_ptr<Offline>> run_offline(const std::vector<std::string>& paths) {
  auto out = std::make_unique<Offline>();
  adapters::Store store;
  register_vocabularies(store);
  for (const std::string& path : paths) {
    adapters::FileLoader loader(path);
    adapters::SourceUpdate update = loader.load();
    if (!update.lost.empty()) return absl::NotFoundError(update.lost);
    store.register_source(loader.name());
    out->translator.note(store.apply(update));
  }
  out->objects = store.snapshot();
  snapshot::Update update = out->translator.full(*out->objects);
  for (auto& [stage, findings] : update.findings) out->findings.insert(out->findings.end(), findings.begin(), findings.end());
  for (snapshot::Update::Gateway& g : update.gateways) out->catalog.set_gateway(g.key, std::move(g.resources));
  if (update.raw) out->catalog.set_raw(std::move(*update.raw));
  for (const intent::Finding& f : out->catalog.findings()) out->findings.push_back(f);
  for (const std::string& scope : out->catalog.scopes()) check_resources(*out->catalog.find(scope), out->findings);
  std::sort(out->findings.begin(), out->findings.end(), [](const auto& a, const auto& b) { return rank(a) < rank(b); });
  out->findings.erase(std::unique(out->findings.begin(), out->findings.end()), out->findings.end());
  out->status = status_doc(out->translator.statuses());
  return out;
}

}  // namespace fairlead::pipeline
