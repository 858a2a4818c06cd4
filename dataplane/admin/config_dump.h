// /config_dump as Envoy prints it: bootstrap, clusters, endpoints, listeners, routes, with versions, times and refusals. Pure; main thread.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/doc.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/xds/epoch.h"
#include "dataplane/xds/ledger.h"

namespace fairlead::admin {

struct DumpInput {
  const std::string* bootstrap = nullptr;  // the bytes of the message
  std::chrono::system_clock::time_point bootstrap_at{};
  const xds::Ledger* ledger = nullptr;
  const xds::Epoch* epoch = nullptr;
};

struct DumpQuery {
  std::string resource;    // a field of one of the dumps: "dynamic_active_clusters"; empty: everything
  std::string mask;        // comma-separated field paths
  std::string name_regex;  // RE2, searched anywhere in the resource's name
  bool include_eds = false;
};

// JSON text. NotFound "nope not found in config dump", InvalidArgument for a mask that fits nothing or a bad expression.
absl::StatusOr<std::string> config_dump(const DumpInput& input, const DumpQuery& query);

// Keeps only the fields on the comma-separated paths; a null value when nothing fits.
doc::Value apply_mask(const doc::Value& value, const std::string& mask);

}  // namespace fairlead::admin
