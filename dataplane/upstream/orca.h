// What an endpoint says of its load in the head or the trailers of an answer (ORCA, xds.data.orca.v3.OrcaLoadReport). Pure.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/http/header_map.h"

namespace fairlead::upstream {

struct OrcaReport {
  double cpu_utilization = 0, mem_utilization = 0, application_utilization = 0, eps = 0, rps_fractional = 0;
  std::map<std::string, double, std::less<>> named_metrics, utilization, request_cost;
};

// Of `endpoint-load-metrics-bin` (the message in base64) or `endpoint-load-metrics` ("BIN …", "JSON …", "TEXT name=value, …").
// NotFound when there is neither; InvalidArgument says what is wrong with it.
absl::StatusOr<OrcaReport> read_orca(const http::HeaderMap& headers);

// Calls `add` with what of the report has one of the names, which are those of Cluster.lrs_report_endpoint_metrics: "cpu_utilization",
// "named_metrics.foo", "named_metrics.*".
void visit_metrics(const OrcaReport& report, const std::vector<std::string>& names, const std::function<void(std::string_view name, double value)>& add);

}  // namespace fairlead::upstream
