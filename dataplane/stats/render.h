// What /stats prints: Envoy's text, JSON and Prometheus forms, byte for byte where its numbers are the same.
// Pure functions over a Registry's scrape; main thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "dataplane/stats/registry.h"

namespace fairlead::stats {

enum class TypeFilter { all, counters, gauges, histograms, text_readouts };

struct Selection {
  bool used_only = false;
  std::string filter;  // RE2, searched anywhere in the text name; empty: all
  bool invert_filter = false;
  TypeFilter type = TypeFilter::all;
};

// InvalidArgument "Invalid re2 regex: …" for a filter that RE2 refuses.
absl::StatusOr<std::string> render_text(const Registry& registry, const Selection& selection);
absl::StatusOr<std::string> render_json(const Registry& registry, const Selection& selection);
absl::StatusOr<std::string> render_prometheus(const Registry& registry, const Selection& selection);

// "cluster." + "upstream_rq_5xx" and its tags → "envoy_cluster_upstream_rq_xx" and {envoy_response_code_class="5",envoy_cluster_name="up"}.
struct PrometheusName {
  std::string family;
  std::string labels;  // without the braces
};
PrometheusName prometheus_name(const ScopeName& scope, std::string_view leaf);

}  // namespace fairlead::stats
