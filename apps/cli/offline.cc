#include "apps/pipeline/offline.h"

#include <iostream>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/cli/commands.h"
#include "controlplane/inspect/inspect.h"

namespace fairlead::cli {

int check_files(const std::vector<std::string>& paths, Format format, bool strict) {
  auto run = pipeline::run_offline(paths);
  if (!run.ok()) {
    std::cerr << "fairlead: " << run.status().message() << "\n";
    return 2;
  }
  const pipeline::Offline& offline = **run;
  if (offline.objects->size() == 0 && offline.findings.empty()) {
    std::cerr << "fairlead: no objects in " << absl::StrJoin(paths, ", ") << "\n";
    return 2;
  }
  const size_t errors = offline.count(intent::Severity::kError), warnings = offline.count(intent::Severity::kWarning);
  if (format == Format::kTable) {
    const bool coloured = colours();
    for (const intent::Finding& f : offline.findings) {
      if (f.severity == intent::Severity::kNote) continue;
      const bool error = f.severity == intent::Severity::kError;
      std::cout << (coloured ? (error ? "\033[31m" : "\033[33m") : "") << intent::severity_name(f.severity) << (coloured ? "\033[0m" : "") << ": " << f.str() << "\n";
    }
    size_t resources = 0;
    for (const std::string& scope : offline.catalog.scopes()) resources += offline.catalog.find(scope)->size();
    std::cout << offline.objects->size() << " objects, " << resources << " resources for " << offline.catalog.scopes().size() << " scopes: " << errors << " errors, "
              << warnings << " warnings\n";
  } else {
    const doc::Value findings = inspect::findings(offline.findings);
    std::cout << render(doc::with(findings, "objects", *offline.status.find("objects")), format);
  }
  return errors > 0 || (strict && warnings > 0) ? 1 : 0;
}

int translate_files(const std::vector<std::string>& paths, Format format, const std::string& scope) {
  auto run = pipeline::run_offline(paths);
  if (!run.ok()) {
    std::cerr << "fairlead: " << run.status().message() << "\n";
    return 2;
  }
  const pipeline::Offline& offline = **run;
  std::vector<doc::Value> scopes;
  std::vector<std::string> known;
  Table table({"SCOPE", "TYPE", "NAME", "VERSION"});
  for (const std::string& name : offline.catalog.scopes()) {
    known.push_back(name);
    if (!scope.empty() && name != scope && name != absl::StrCat("gateway:", scope) && name != absl::StrCat("raw:", scope)) continue;
    const doc::Value config = inspect::config(*offline.catalog.find(name), std::nullopt);
    scopes.push_back(doc::map({{"scope", doc::string(name), {}}, {"resources", *config.find("resources"), {}}}));
    for (const doc::Value& r : config.find("resources")->items()) table.add({name, text_at(r, "type"), text_at(r, "name"), text_at(r, "version")});
  }
  if (!scope.empty() && scopes.empty()) {
    std::cerr << "fairlead: no scope \"" << scope << "\" here; there are:";
    for (const std::string& k : known) std::cerr << " " << k;
    std::cerr << "\n";
    return 2;
  }
  if (format == Format::kTable) {
    std::cout << table.text(colours());
  } else {
    std::cout << render(doc::map({{"scopes", doc::list(std::move(scopes)), {}}}), format);
  }
  for (const intent::Finding& f : offline.findings) {
    if (f.severity == intent::Severity::kError) std::cerr << "error: " << f.str() << "\n";
  }
  return offline.count(intent::Severity::kError) > 0 ? 1 : 0;
}

}  // namespace fairlead::cli
