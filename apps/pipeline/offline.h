// The pipeline without a server: files in, snapshots and everything that is wrong out. The production code of the running control
// plane, run once. One thread; nothing outside the given paths is read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "adapters/object/store.h"
#include "apps/pipeline/translator.h"
#include "base/doc.h"
#include "controlplane/snapshot/catalog.h"

namespace fairlead::pipeline {

struct Offline {
  adapters::ObjectSnapshotPtr objects;
  Translator translator;
  snapshot::Catalog catalog;
  std::vector<intent::Finding> findings;  // sorted: errors first, then by place
  doc::Value status;                      // conditions of objects, see status_doc.h

  size_t count(intent::Severity severity) const;
};

// `paths`: directories or files. NotFound when one is not there. Findings are those of reading, translating, planning and building,
// of references that lead nowhere, of Envoy's own rules (validate.rules), and of what fairlead-proxy does not support.
absl::StatusOr<std::unique_ptr<Offline>> run_offline(const std::vector<std::string>& paths);

}  // namespace fairlead::pipeline
