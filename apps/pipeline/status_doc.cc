#include "apps/pipeline/status_doc.h"

#include <utility>
#include <vector>

namespace fairlead::pipeline {

doc::Value status_doc(const std::vector<const adapters::StatusSink*>& sinks) {
  std::vector<doc::Value> objects;
  for (const adapters::StatusSink* status : sinks) {
    for (const auto& [key, scopes] : status->objects()) {
      std::vector<doc::Value> parts;
      for (const auto& [scope, state] : scopes) {
        std::vector<doc::Entry> part;
        if (!scope.parent.name.empty()) part.push_back({"parent", doc::string(scope.parent.str()), {}});
        if (!scope.section.empty()) part.push_back({"section", doc::string(scope.section), {}});
        if (state.attached_routes >= 0) part.push_back({"attachedRoutes", doc::integer(state.attached_routes), {}});
        std::vector<doc::Value> conditions;
        for (const adapters::Condition& c : state.conditions) {
          conditions.push_back(doc::map({{"type", doc::string(c.type), {}},
                                         {"status", doc::string(std::string(adapters::truth_name(c.status))), {}},
                                         {"reason", doc::string(c.reason), {}},
                                         {"message", doc::string(c.message), {}}}));
        }
        part.push_back({"conditions", doc::list(std::move(conditions)), {}});
        parts.push_back(doc::map(std::move(part)));
      }
      objects.push_back(doc::map({{"object", doc::string(key.str()), {}}, {"scopes", doc::list(std::move(parts)), {}}}));
    }
  }
  return doc::map({{"objects", doc::list(std::move(objects)), {}}});
}

}  // namespace fairlead::pipeline
