// fairlead diff -f: what a change of files would alter, against other files or a running server.
#include <iostream>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/cli/commands.h"
#include "apps/pipeline/offline.h"
#include "apps/why/change.h"
#include "apps/why/route_test.h"
#include "apps/why/scope.h"
#include "base/file.h"
#include "base/status.h"

namespace fairlead::cli {

namespace {

constexpr size_t kMostFields = 12;  // of one resource, in a table; all are in -o json

std::vector<snapshot::SnapshotPtr> snapshots(const snapshot::Catalog& catalog) {
  std::vector<snapshot::SnapshotPtr> out;
  for (const std::string& scope : catalog.scopes()) out.push_back(catalog.find(scope));
  return out;
}

// Scopes that exist only because some proxy is selected by several sets: the same proxies are looked up in the files.
void join_proxies(const doc::Value& status, snapshot::Catalog& catalog) {
  const doc::Value* proxies = status.find("proxies");
  if (proxies == nullptr) return;
  for (const doc::Value& p : proxies->items()) {
    snapshot::Node node;
    node.id = text_at(p, "node");
    node.cluster = text_at(p, "cluster");
    catalog.join(node);
  }
}

absl::StatusOr<std::vector<why::Recorded>> read_requests(const DiffOptions& options) {
  std::vector<why::Recorded> out;
  if (!options.requests.empty()) {
    FL_ASSIGN_OR_RETURN(const std::string text, read_file(options.requests));
    FL_ASSIGN_OR_RETURN(const why::RouteTests tests, why::read_route_tests(text, options.requests, why::Expect::kOptional));
    for (const why::RouteTest& t : tests.tests) out.push_back({t.request, 1});
  }
  if (!options.access_log.empty()) {
    FL_ASSIGN_OR_RETURN(const std::string text, read_file(options.access_log));
    why::AccessLog log = why::read_access_log(text, options.access_log);
    if (log.requests.empty()) return absl::InvalidArgumentError(log.first_error.empty() ? absl::StrCat(options.access_log, ": there is no line in it") : log.first_error);
    if (log.skipped > 0) std::cerr << "fairlead: " << log.skipped << " of " << log.lines << " lines are left out; the first: " << log.first_error << "\n";
    out.insert(out.end(), std::make_move_iterator(log.requests.begin()), std::make_move_iterator(log.requests.end()));
  }
  return out;
}

void print_resource(const why::ResourceChange& change) {
  const bool coloured = colours();
  const resources::ResourcePtr& r = change.after ? change.after : change.before;
  const char* sign = !change.before ? "+" : !change.after ? "-" : "~";
  std::cout << (coloured ? *sign == '+' ? "\033[32m" : *sign == '-' ? "\033[31m" : "\033[33m" : "") << sign << (coloured ? "\033[0m" : "") << " " << resources::short_name(r->type) << " " << plain(r->name)
            << (r->origins.empty() ? "" : absl::StrCat("   ", r->origins.front().place())) << "\n";
  for (size_t i = 0; i < change.fields.size() && i < kMostFields; ++i) {
    const why::FieldChange& f = change.fields[i];
    std::cout << "    " << plain(f.path) << ": " << (f.before.empty() ? "added" : plain(f.before)) << (f.after.empty() ? " removed" : f.before.empty() ? " " : " -> ") << plain(f.after) << "\n";
  }
  if (change.fields.size() > kMostFields) std::cout << "    and " << change.fields.size() - kMostFields << " more fields: see -o json\n";
}

void print(const why::ScopeChange& change) {
  static constexpr const char* kWords[] = {"new", "changed", "gone"};
  std::cout << change.scope << ": " << kWords[static_cast<size_t>(change.kind)] << "\n";
  for (const why::ResourceChange& r : change.resources) print_resource(r);
  for (const why::AnswerChange& a : change.answers) {
    std::cout << "  " << plain(a.recorded->request.str()) << (a.recorded->count > 1 ? absl::StrCat(" (", a.recorded->count, " times)") : "") << "\n    was: " << plain(a.before.summary)
              << "\n    now: " << plain(a.after.summary) << (a.before.summary == a.after.summary ? ", with other headers" : "") << "\n";
  }
  if (change.asked > 0) std::cout << "  " << change.moved << " of " << change.asked << " requests get another answer\n";
}

}  // namespace

int show_file_diff(Servers& servers, Format format, const DiffOptions& options) {
  std::vector<std::string> fresh = options.paths, old = options.old_paths;
  if (old.empty() && fresh.size() == 2) {  // -f NEW -f OLD
    old.push_back(fresh.back());
    fresh.pop_back();
  } else if (old.empty() && fresh.size() > 2) {
    return fail(absl::InvalidArgumentError("more than two -f: say with --old which files are to be compared with"));
  }
  const auto requests = read_requests(options);
  if (!requests.ok()) return fail(requests.status());
  auto now = pipeline::run_offline(fresh);
  if (!now.ok()) return fail(now.status());
  std::vector<snapshot::SnapshotPtr> before;
  if (old.empty()) {
    const auto live = servers.get("/debug/snapshots");
    if (!live.ok()) return fail(live.status());
    auto read = why::snapshots_from_doc(*live);
    if (!read.ok()) return fail(read.status());
    before = *std::move(read);
    if (const auto statuses = servers.get_each("/debug/status"); statuses.ok()) {
      for (const Answer& a : *statuses) join_proxies(a.value, (*now)->catalog);
    }
  } else {
    const auto was = pipeline::run_offline(old);
    if (!was.ok()) return fail(was.status());
    before = snapshots((*was)->catalog);
  }
  for (const intent::Finding& f : (*now)->findings) {
    if (f.severity == intent::Severity::kError) std::cerr << "error: " << f.str() << "\n";
  }
  const std::vector<why::ScopeChange> changes = why::scope_changes(before, snapshots((*now)->catalog), *requests);
  if (format != Format::kTable) {
    std::cout << render(why::changes_doc(changes), format);
  } else if (changes.empty()) {
    std::cout << "nothing changes\n";
  } else {
    for (const why::ScopeChange& change : changes) print(change);
  }
  if ((*now)->count(intent::Severity::kError) > 0) return servers.code(1);
  return servers.code(options.exit_code && !changes.empty() ? 1 : 0);
}

}  // namespace fairlead::cli
