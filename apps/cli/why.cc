// fairlead why and fairlead route-test: explanations and expectations, over files or a running server.
#include <iostream>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/cli/commands.h"
#include "apps/pipeline/offline.h"
#include "apps/why/answer.h"
#include "apps/why/route_test.h"
#include "apps/why/scope.h"
#include "base/file.h"
#include "base/status.h"

namespace fairlead::cli {

namespace {

std::string from_of(const doc::Value& v) {
  const std::string place = text_at(v, "from"), object = text_at(v, "object");
  return place.empty() || object.starts_with(place) ? object : absl::StrCat(place, " ", object);
}

void print_answer(const doc::Value& answer) {
  Table steps({"STEP", "WHAT", "FROM"});
  for (const doc::Value& s : items(answer, "steps")) steps.add({text_at(s, "step"), text_at(s, "what"), from_of(s)});
  std::cout << plain(text_at(answer, "request")) << "\n" << steps.text(colours());
  Table near({"NEARLY", "LACKS", "FROM"});
  for (const doc::Value& n : items(answer, "near")) {
    std::vector<std::string> unmet;
    for (const doc::Value& u : items(n, "unmet")) unmet.push_back(u.as_string());
    const std::string name = text_at(n, "route");
    near.add({absl::StrCat(name, name.empty() ? "" : ": ", text_at(n, "match")), unmet.empty() ? "nothing; it comes after the route that was taken" : absl::StrJoin(unmet, "; "), from_of(n)});
  }
  if (!near.empty()) std::cout << "\n" << near.text(colours());
  for (const doc::Value& note : items(answer, "notes")) std::cout << "note: " << plain(note.as_string()) << "\n";
}

// Whose snapshot is meant, of files or of a running server.
absl::StatusOr<snapshot::SnapshotPtr> snapshot_of(Servers& servers, const std::vector<std::string>& paths, const why::Wanted& wanted) {
  if (!paths.empty()) {
    FL_ASSIGN_OR_RETURN(const auto offline, pipeline::run_offline(paths));
    for (const intent::Finding& f : offline->findings) {
      if (f.severity == intent::Severity::kError) std::cerr << "error: " << f.str() << "\n";
    }
    return why::choose(offline->catalog, wanted);
  }
  if (!wanted.proxy.empty()) {
    FL_ASSIGN_OR_RETURN(const doc::Value config, servers.get_of(wanted.proxy, "/debug/config", {{"proxy", wanted.proxy}}));
    return why::snapshot_from_doc(wanted.proxy, config);
  }
  FL_ASSIGN_OR_RETURN(const doc::Value scopes, servers.get("/debug/snapshots"));
  FL_ASSIGN_OR_RETURN(const std::vector<snapshot::SnapshotPtr> all, why::snapshots_from_doc(scopes));
  return why::choose(all, wanted);
}

}  // namespace

int show_why(Servers& servers, Format format, const WhyOptions& options) {
  const size_t n = options.words.size();
  if (n < 2) return fail(absl::InvalidArgumentError(absl::StrCat("which request? ", program(), " why [PROXY] METHOD URL")));
  const why::Wanted wanted{options.gateway, n == 3 ? options.words[0] : ""};
  const std::string &method = options.words[n - 2], &url = options.words[n - 1];
  absl::StatusOr<why::Request> request = why::make_request(method, url, options.headers);
  if (!request.ok()) return fail(request.status());
  absl::StatusOr<doc::Value> answer;
  if (options.paths.empty()) {
    const Parameters parameters{
        {"proxy", wanted.proxy}, {"gateway", wanted.gateway}, {"method", method}, {"url", url}, {"header", absl::StrJoin(options.headers, "\n")}};
    answer = wanted.proxy.empty() ? servers.get("/why", parameters) : servers.get_of(wanted.proxy, "/why", parameters);
  } else {
    const auto snapshot = snapshot_of(servers, options.paths, wanted);
    if (!snapshot.ok()) return fail(snapshot.status());
    why::World world(*snapshot);
    answer = doc::with(why::to_doc(*request, why::explain(world, *request)), "scope", doc::string((*snapshot)->scope));
  }
  if (!answer.ok()) return fail(answer.status());
  if (format == Format::kTable) {
    print_answer(*answer);
  } else {
    std::cout << render(*answer, format);
  }
  const std::string kind = text_at(*answer, "kind");
  return servers.code(kind == "not found" || kind == "refused" || kind == "no connection" ? 1 : 0);
}

int run_route_tests(Servers& servers, Format format, const RouteTestOptions& options) {
  const auto text = read_file(options.file);
  if (!text.ok()) return fail(text.status());
  const auto tests = why::read_route_tests(*text, options.file);
  if (!tests.ok()) return fail(tests.status());
  why::Wanted wanted{options.gateway, options.proxy};
  if (wanted.empty()) wanted = tests->wanted;
  const auto snapshot = snapshot_of(servers, options.paths, wanted);
  if (!snapshot.ok()) return fail(snapshot.status());
  why::World world(*snapshot);
  const std::vector<why::Outcome> outcomes = why::run_route_tests(world, *tests);
  size_t failed = 0;
  for (const why::Outcome& o : outcomes) failed += !o.failures.empty();
  if (!options.junit.empty()) {
    if (absl::Status s = replace_file(options.junit, why::junit(outcomes, options.file)); !s.ok()) return fail(s);
  }
  if (format != Format::kTable) {
    std::cout << render(why::outcomes_doc(outcomes), format);
    return servers.code(failed > 0 ? 1 : 0);
  }
  const bool coloured = colours();
  for (const why::Outcome& o : outcomes) {
    if (o.failures.empty()) continue;
    std::cout << (coloured ? "\033[31m" : "") << "FAILED" << (coloured ? "\033[0m" : "") << " " << plain(o.test->name) << "\n";
    for (const why::Failure& f : o.failures) std::cout << f.place << ": " << plain(f.message) << "\n";
    print_answer(why::to_doc(o.test->request, o.answer));
    std::cout << "\n";
  }
  std::cout << outcomes.size() << " requests, " << failed << " failed\n";
  return servers.code(failed > 0 ? 1 : 0);
}

}  // namespace fairlead::cli
