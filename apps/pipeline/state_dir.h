// What survives a restart, as files in one directory: objects.json (the last good version of every object), raw.json (the raw
// resources as they are served: a bad entry's last good one, the bytes that belong to a version) and quarantine.json (what clients
// refused, and what they get instead). Files are replaced atomically, and readable by their owner alone: they hold private keys. One thread at a time.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "adapters/object/object.h"
#include "adapters/object/store.h"
#include "base/doc.h"
#include "controlplane/resources/raw.h"

namespace fairlead::pipeline {

class StateDir {
 public:
  // Makes the directory when it is missing (its parent must exist).
  static absl::StatusOr<StateDir> open(const std::string& path);

  // Empty when there is no file; a broken file is an error that names it.
  absl::StatusOr<std::vector<adapters::ObjectPtr>> load_objects() const;
  absl::Status save_objects(const adapters::ObjectSnapshot& objects) const;
  absl::StatusOr<std::vector<resources::RawSetPtr>> load_raw() const;
  absl::Status save_raw(const std::vector<resources::RawSetPtr>& sets) const;
  absl::StatusOr<doc::Value> load_quarantine() const;  // null when there is no file
  absl::Status save_quarantine(const doc::Value& value) const;

 private:
  explicit StateDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Called with each update of a source: settles which objects remembered from before their author has removed meanwhile, returned to
// be handed to the store, and which the source has again; neither is remembered any longer. Objects stay remembered as long as the
// source, or the file or folder they came from, cannot be read.
std::vector<adapters::ObjectKey> forgotten(std::vector<adapters::ObjectPtr>& remembered, const adapters::SourceUpdate& update);

}  // namespace fairlead::pipeline
