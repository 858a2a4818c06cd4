// See route_test.h.
#include "apps/why/route_test.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

#include "base/doc_reader.h"
#include "base/status.h"

namespace fairlead::why {
namespace {

using Text = Expectation::Text;

std::optional<Text> text_of(doc::Object& object, std::string_view key) {
  const auto value = object.string(key);
  return value ? std::optional<Text>({*value, object.get(key).mark()}) : std::nullopt;
}

std::vector<std::pair<std::string, Text>> header_texts(doc::Object& object, std::string_view key, ErrorList& errors) {
  std::vector<std::pair<std::string, Text>> out;
  for (auto& [name, value] : object.map(key)) {
    if (!value.present()) {  // null: it must not be there
      out.emplace_back(absl::AsciiStrToLower(name), Text{"", value.mark()});
      continue;
    }
    const auto read = value.string();
    if (errors.check(read)) out.emplace_back(absl::AsciiStrToLower(name), Text{*read, value.mark()});
  }
  return out;
}

Expectation read_expectation(doc::Object object, ErrorList& errors) {
  Expectation e;
  if (object.has("kind")) {
    if (const auto kind = object.choice("kind", {"forwarded", "redirect", "direct", "not found", "refused", "tcp", "no connection"})) e.kind = Text{*kind, object.get("kind").mark()};
  }
  if (const auto status = object.integer("status", 200, 599)) e.status = Text{absl::StrCat(*status), object.get("status").mark()};
  e.cluster = text_of(object, "cluster");
  e.clusters_mark = object.get("clusters").mark();
  for (auto& [name, share] : object.map("clusters")) {
    const auto weight = share.integer(0, 4'294'967'295);
    if (errors.check(weight)) e.clusters[name] = static_cast<uint64_t>(*weight);
  }
  e.redirect = text_of(object, "redirect");
  e.virtual_host = text_of(object, "virtual_host");
  e.route = text_of(object, "route");
  e.path = text_of(object, "path");
  e.host = text_of(object, "host");
  e.method = text_of(object, "method");
  e.body = text_of(object, "body");
  e.headers = header_texts(object, "headers", errors);
  e.response_headers = header_texts(object, "response_headers", errors);
  if (object.present() && object.reader().value().size() == 0) object.error("expects nothing: say what the answer shall be");
  object.finish();
  return e;
}

void read_test(const doc::Reader& reader, Expect expect, RouteTests& out, ErrorList& errors) {
  doc::Object object(reader, errors);
  RouteTest test;
  test.mark = reader.mark();
  test.name = object.string_or("name", "");
  const std::string request = object.required_string("request");
  std::vector<std::string> headers;
  for (const auto& [name, value] : object.string_map("headers")) headers.push_back(absl::StrCat(name, ": ", value));
  const std::string from = object.string_or("from", "");
  if (!object.has("expect") && expect == Expect::kRequired) object.error("expect", "is required");
  test.expect = read_expectation(object.object("expect"), errors);
  object.finish();
  if (request.empty()) return;
  const std::vector<std::string> words = absl::StrSplit(request, ' ', absl::SkipEmpty());
  if (words.size() > 2) return object.error("request", "expected \"METHOD URL\" or a URL");
  auto made = make_request(words.size() == 2 ? words[0] : "GET", words.back(), headers);
  if (!made.ok()) return object.error("request", made.status().message());
  test.request = *std::move(made);
  if (!from.empty()) test.request.from = from;
  if (test.name.empty()) test.name = test.request.str();
  out.tests.push_back(std::move(test));
}

class Checker {
 public:
  explicit Checker(Outcome& outcome) : outcome_(outcome) {}

  void text(const std::optional<Text>& wanted, std::string_view key, std::string_view got) {
    if (wanted && wanted->value != got) fail(wanted->mark, absl::StrCat(key, ": expected ", wanted->value, ", got ", got.empty() ? "none" : got));
  }
  void headers(const std::vector<std::pair<std::string, Text>>& wanted, std::string_view key, const std::vector<std::pair<std::string, std::string>>& there) {
    for (const auto& [name, text] : wanted) {
      std::vector<std::string_view> values;
      for (const auto& [n, v] : there) {
        if (n == name) values.push_back(v);
      }
      const std::string got = absl::StrJoin(values, ",");
      if (got == text.value && values.empty() == text.value.empty()) continue;
      fail(text.mark, absl::StrCat(key, ".", name, ": expected ", text.value.empty() ? "none" : text.value, ", got ", values.empty() ? "none" : got));
    }
  }
  void fail(const doc::Mark& mark, std::string message) { outcome_.failures.push_back({mark.to_string(), std::move(message)}); }

 private:
  Outcome& outcome_;
};

void check_clusters(const Expectation& e, const Answer& a, Checker& check) {
  std::vector<std::string> shares;
  for (const Share& s : a.shares) shares.push_back(a.shares.size() == 1 ? s.cluster : absl::StrCat(s.weight, " ", s.cluster));
  const std::string got = shares.empty() ? std::string(a.summary) : absl::StrJoin(shares, ", ");
  if (e.cluster && (a.shares.size() != 1 || a.shares[0].cluster != e.cluster->value)) check.fail(e.cluster->mark, absl::StrCat("cluster: expected ", e.cluster->value, ", got ", got));
  if (e.clusters.empty()) return;
  uint64_t all = 0;
  for (const auto& [name, weight] : e.clusters) all += weight;
  std::map<std::string, uint64_t> there;
  uint64_t of = 1;
  for (const Share& s : a.shares) there[s.cluster] += s.weight, of = s.of;
  bool same = true;
  size_t used = 0;
  for (const auto& [name, weight] : e.clusters) {
    used += weight > 0;
    same &= weight * of == (there.contains(name) ? there.at(name) : 0) * all;
  }
  if (!same || used != there.size()) check.fail(e.clusters_mark, absl::StrCat("clusters: expected ", absl::StrJoin(e.clusters, ", ", [](std::string* out, const auto& c) { absl::StrAppend(out, c.second, " ", c.first); }), ", got ", got));
}

void check(Outcome& outcome) {
  const Expectation& e = outcome.test->expect;
  const Answer& a = outcome.answer;
  Checker check(outcome);
  check.text(e.kind, "kind", kind_name(a.kind));
  if (e.status) check.text(e.status, "status", a.status != 0 ? absl::StrCat(a.status) : absl::StrCat("the backend's (", a.summary, ")"));
  check_clusters(e, a, check);
  check.text(e.redirect, "redirect", a.kind == Answer::Kind::Redirect ? a.location : a.summary);
  check.text(e.virtual_host, "virtual_host", a.virtual_host);
  check.text(e.route, "route", a.route);
  check.text(e.path, "path", a.path);
  check.text(e.host, "host", a.host);
  check.text(e.method, "method", a.method);
  check.text(e.body, "body", a.body);
  check.headers(e.headers, "headers", a.request_headers);
  check.headers(e.response_headers, "response_headers", a.response_headers);
}

std::string xml(std::string_view text) {
  std::string out = absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n') c = ' ';
  }
  return out;
}

}  // namespace

absl::StatusOr<RouteTests> read_route_tests(std::string_view text, const std::string& file_name, Expect expect) {
  FL_ASSIGN_OR_RETURN(const doc::Value document, doc::parse_one(text, file_name));
  RouteTests out;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(document), errors);
    out.wanted.gateway = top.string_or("gateway", "");
    out.wanted.proxy = top.string_or("proxy", "");
    for (const doc::Reader& test : top.list("tests")) read_test(test, expect, out, errors);
    if (errors.empty() && out.tests.empty()) top.error("tests", "there is none");
    top.finish();
  }
  if (!errors.empty()) return errors.status();
  return out;
}

std::vector<Outcome> run_route_tests(World& world, const RouteTests& tests) {
  std::vector<Outcome> out;
  for (const RouteTest& test : tests.tests) {
    out.push_back({&test, explain(world, test.request), {}});
    check(out.back());
  }
  return out;
}

doc::Value outcomes_doc(const std::vector<Outcome>& outcomes) {
  std::vector<doc::Value> results;
  int64_t failed = 0;
  for (const Outcome& o : outcomes) {
    std::vector<doc::Value> failures;
    for (const Failure& f : o.failures) failures.push_back(doc::map({{"place", doc::string(f.place), {}}, {"message", doc::string(f.message), {}}}));
    std::vector<doc::Entry> entry{{"name", doc::string(o.test->name), {}},
                                  {"place", doc::string(o.test->mark.to_string()), {}},
                                  {"request", doc::string(o.test->request.str()), {}},
                                  {"answer", doc::string(o.answer.summary), {}},
                                  {"passed", doc::boolean(o.failures.empty()), {}}};
    if (!o.failures.empty()) {
      ++failed;
      entry.push_back({"failures", doc::list(std::move(failures)), {}});
      entry.push_back({"why", to_doc(o.test->request, o.answer), {}});
    }
    results.push_back(doc::map(std::move(entry)));
  }
  return doc::map({{"tests", doc::integer(static_cast<int64_t>(outcomes.size())), {}}, {"failed", doc::integer(failed), {}}, {"results", doc::list(std::move(results)), {}}});
}

std::string junit(const std::vector<Outcome>& outcomes, const std::string& file_name) {
  const auto failed = std::count_if(outcomes.begin(), outcomes.end(), [](const Outcome& o) { return !o.failures.empty(); });
  std::string out = absl::StrCat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"", xml(file_name), "\" tests=\"", outcomes.size(), "\" failures=\"", failed, "\">\n");
  for (const Outcome& o : outcomes) {
    absl::StrAppend(&out, "  <testcase classname=\"", xml(file_name), "\" name=\"", xml(o.test->name), "\" file=\"", xml(o.test->mark.file_name()), "\" line=\"", o.test->mark.line, "\"");
    if (o.failures.empty()) {
      out += "/>\n";
      continue;
    }
    std::vector<std::string> lines;
    for (const Failure& f : o.failures) lines.push_back(absl::StrCat(f.place, ": ", f.message));
    for (const Step& s : o.answer.steps) lines.push_back(absl::StrCat(s.step, ": ", s.what, s.place.empty() ? "" : absl::StrCat(" (", s.place, ")")));
    absl::StrAppend(&out, ">\n    <failure message=\"", xml(o.failures.front().message), "\">", xml(absl::StrJoin(lines, "\n")), "</failure>\n  </testcase>\n");
  }
  return out + "</testsuite>\n";
}

}  // namespace fairlead::why
