// Text, JSON and Prometheus forms of a scrape.
#include "dataplane/stats/render.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace fairlead::stats {
namespace {

constexpr double kQuantiles[] = {0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1};
constexpr std::string_view kQuantileNames[] = {"P0", "P25", "P50", "P75", "P90", "P95", "P99", "P99.5", "P99.9", "P100"};

struct Row {
  std::string name;
  Kind kind;
  std::string value;  // counters and gauges; texts, quoted
  HistogramSnapshot histogram;
  PrometheusName prometheus;
};

bool kind_wanted(TypeFilter type, Kind kind) {
  switch (type) {
    case TypeFilter::all: return true;
    case TypeFilter::counters: return kind == Kind::counter;
    case TypeFilter::gauges: return kind == Kind::gauge;
    case TypeFilter::histograms: return kind == Kind::histogram;
    case TypeFilter::text_readouts: return kind == Kind::text;
  }
  return false;
}

std::string json_string(std::string_view s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out.push_back('\\');
    if (static_cast<unsigned char>(c) < 0x20)
      absl::StrAppendFormat(&out, "\\u%04x", c);
    else
      out.push_back(c);
  }
  return out + "\"";
}

absl::StatusOr<std::vector<Row>> collect(const Registry& registry, const Selection& selection, bool prometheus) {
  std::unique_ptr<re2::RE2> filter;
  if (!selection.filter.empty()) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    filter = std::make_unique<re2::RE2>(selection.filter, options);
    if (!filter->ok()) return absl::InvalidArgumentError(absl::StrCat("Invalid re2 regex: ", filter->error()));
  }
  std::vector<Row> rows;
  registry.for_each([&](const Sample& s) {
    if (!kind_wanted(selection.type, s.kind) || (selection.used_only && !s.used)) return;
    if (prometheus && s.kind == Kind::text) return;  // Envoy 1.40: not without &text_readouts
    std::string name = absl::StrCat(s.scope->text, s.leaf);
    if (filter != nullptr && re2::RE2::PartialMatch(name, *filter) == selection.invert_filter) return;
    Row row{std::move(name), s.kind, {}, {}, {}};
    if (s.histogram != nullptr) {
      row.histogram = *s.histogram;
    } else if (s.kind == Kind::text) {
      row.value = json_string(s.text);
    } else {
      // a gauge that workers raise and lower at different moments may be read as slightly below zero for an instant; a version hash may be any number
      const bool negative = s.kind == Kind::gauge && s.value > UINT64_MAX - UINT32_MAX;
      row.value = absl::StrCat(negative ? 0 : s.value);
    }
    if (prometheus) row.prometheus = prometheus_name(*s.scope, s.leaf);
    rows.push_back(std::move(row));
  });
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    const auto place = [](Kind kind) { return kind == Kind::text ? 0 : kind == Kind::histogram ? 2 : 1; };
    return std::pair(place(a.kind), std::string_view(a.name)) < std::pair(place(b.kind), std::string_view(b.name));
  });
  return rows;
}

// Envoy prints at most 5 or 6 significant digits and no trailing zeros.
std::string number(double v) { return std::isnan(v) ? "nan" : absl::StrFormat("%.6g", v); }

// Tag and family names: every byte that Prometheus does not allow becomes '_'.
std::string sanitize(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_') c = '_';
  return out;
}

std::string label(std::string_view name, std::string_view value) {
  return absl::StrCat(sanitize(name), "=\"", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}), "\"");
}

std::string bound_text(double bound) { return absl::StrFormat("%.15g", bound); }

}  // namespace

PrometheusName prometheus_name(const ScopeName& scope, std::string_view leaf) {
  PrometheusName out;
  std::vector<std::string> labels;
  std::string stem(leaf);
  // …_rq_5xx and …_rq_503: the class or code becomes a tag, as Envoy's default extractors do
  const size_t rq = leaf.rfind("_rq_");
  if (rq != std::string_view::npos && leaf.size() == rq + 7) {
    const std::string_view tail = leaf.substr(rq + 4);
    if (absl::ascii_isdigit(tail[0]) && tail.substr(1) == "xx") {
      stem = absl::StrCat(leaf.substr(0, rq + 4), "xx");
      labels.push_back(label("envoy.response_code_class", tail.substr(0, 1)));
    } else if (absl::ascii_isdigit(tail[0]) && absl::ascii_isdigit(tail[1]) && absl::ascii_isdigit(tail[2])) {
      stem = std::string(leaf.substr(0, rq + 3));
      labels.push_back(label("envoy.response_code", tail));
    }
  }
  std::string scope_stem = scope.stem;
  if (absl::StartsWith(leaf, "worker_")) {
    const size_t dot = leaf.find('.');
    if (dot != std::string_view::npos) {
      labels.push_back(label("envoy.worker_id", leaf.substr(7, dot - 7)));
      stem = absl::StrCat("worker.", leaf.substr(dot + 1));
    }
  }
  for (const Tag& tag : scope.tags) labels.push_back(label(tag.name, tag.value));
  out.family = absl::StrCat("envoy_", sanitize(scope_stem), sanitize(stem));
  for (size_t i = 0; i < labels.size(); ++i) absl::StrAppend(&out.labels, i == 0 ? "" : ",", labels[i]);
  return out;
}

absl::StatusOr<std::string> render_text(const Registry& registry, const Selection& selection) {
  absl::StatusOr<std::vector<Row>> rows = collect(registry, selection, false);
  if (!rows.ok()) return rows.status();
  std::string out;
  for (const Row& row : *rows) {
    if (row.kind != Kind::histogram) {
      absl::StrAppend(&out, row.name, ": ", row.value, "\n");
    } else if (row.histogram.count == 0) {
      absl::StrAppend(&out, row.name, ": No recorded values\n");
    } else {
      absl::StrAppend(&out, row.name, ":");
      for (size_t i = 0; i < std::size(kQuantiles); ++i)
        absl::StrAppend(&out, " ", kQuantileNames[i], "(nan,", number(row.histogram.quantile(kQuantiles[i])), ")");
      out.push_back('\n');
    }
  }
  return out;
}

absl::StatusOr<std::string> render_json(const Registry& registry, const Selection& selection) {
  absl::StatusOr<std::vector<Row>> rows = collect(registry, selection, false);
  if (!rows.ok()) return rows.status();
  std::string out = "{\"stats\":[";
  std::string histograms;
  bool first = true;
  for (const Row& row : *rows) {
    if (row.kind != Kind::histogram) {
      absl::StrAppend(&out, first ? "" : ",", "{\"name\":", json_string(row.name), ",\"value\":", row.value, "}");
      first = false;
      continue;
    }
    absl::StrAppend(&histograms, histograms.empty() ? "" : ",", "{\"name\":", json_string(row.name), ",\"values\":[");
    for (size_t i = 0; i < std::size(kQuantiles); ++i) {
      const double q = row.histogram.quantile(kQuantiles[i]);
      absl::StrAppend(&histograms, i == 0 ? "" : ",", "{\"cumulative\":", std::isnan(q) ? "null" : number(q), ",\"interval\":null}");
    }
    histograms += "]}";
  }
  if (!histograms.empty())
    absl::StrAppend(&out, first ? "" : ",", "{\"histograms\":{\"supported_quantiles\":[0,25,50,75,90,95,99,99.5,99.9,100],\"computed_quantiles\":[",
                    histograms, "]}}");
  return out + "]}";
}

absl::StatusOr<std::string> render_prometheus(const Registry& registry, const Selection& selection) {
  absl::StatusOr<std::vector<Row>> rows = collect(registry, selection, true);
  if (!rows.ok()) return rows.status();
  std::string out;
  for (const Kind kind : {Kind::counter, Kind::gauge, Kind::histogram}) {
    std::map<std::string_view, std::vector<const Row*>> families;
    for (const Row& row : *rows)
      if (row.kind == kind) families[row.prometheus.family].push_back(&row);
    for (const auto& [family, members] : families) {
      absl::StrAppend(&out, "# TYPE ", family, " ", kind == Kind::counter ? "counter" : kind == Kind::gauge ? "gauge" : "histogram", "\n");
      for (const Row* row : members) {
        const std::string& labels = row->prometheus.labels;
        if (kind != Kind::histogram) {
          absl::StrAppend(&out, family, "{", labels, "} ", row->value, "\n");
          continue;
        }
        const std::string lead = labels.empty() ? "" : labels + ",";
        for (int i = 0; i < HistogramCells::kBounds; ++i)
          absl::StrAppend(&out, family, "_bucket{", lead, "le=\"", bound_text(HistogramCells::kUpperBounds[i]), "\"} ", row->histogram.cumulative[i], "\n");
        absl::StrAppend(&out, family, "_bucket{", lead, "le=\"+Inf\"} ", row->histogram.count, "\n");
        absl::StrAppend(&out, family, "_sum{", labels, "} ", row->histogram.sum, "\n");
        absl::StrAppend(&out, family, "_count{", labels, "} ", row->histogram.count, "\n");
      }
    }
  }
  return out;
}

}  // namespace fairlead::stats
