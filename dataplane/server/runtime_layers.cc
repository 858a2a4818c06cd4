// See runtime_layers.h.
#include "dataplane/server/runtime_layers.h"

#include <algorithm>
#include <set>

#include "base/doc.h"

namespace fairlead::server {
namespace {

using LayerKind = config::RuntimeLayer::Kind;

enum class Stat : uint32_t {
  load_error, load_success, override_dir_exists, override_dir_not_exists, deprecated_feature_use,
  admin_overrides_active, num_keys, num_layers, deprecated_feature_seen_since_process_start, first_histogram
};
constexpr stats::StatDef kDefs[] = {{"load_error", stats::Kind::counter},
                                    {"load_success", stats::Kind::counter},
                                    {"override_dir_exists", stats::Kind::counter},
                                    {"override_dir_not_exists", stats::Kind::counter},
                                    {"deprecated_feature_use", stats::Kind::counter},
                                    {"admin_overrides_active", stats::Kind::gauge},
                                    {"num_keys", stats::Kind::gauge},
                                    {"num_layers", stats::Kind::gauge},
                                    {"deprecated_feature_seen_since_process_start", stats::Kind::gauge}};
constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};

bool is_admin(const config::RuntimeLayer& layer) { return layer.kind == LayerKind::Admin; }
using doc::text;

}  // namespace

RuntimeLayers::RuntimeLayers(std::vector<config::RuntimeLayer> layers, stats::Registry& stats)
    : layers_(std::move(layers)), stats_(stats), scope_(stats.scope(stats::plain_scope("runtime."))) {
  load();
}

void RuntimeLayers::load() {
  current_ = config::merge_runtime(layers_);
  const auto admin = std::find_if(layers_.begin(), layers_.end(), is_admin);
  const auto block = scope_->block<Stat>(kStats);
  stats::Cells& cells = stats_.cells(0);
  cells.add(block, Stat::load_success);
  cells.add(block, Stat::override_dir_not_exists);  // no layer is read from a folder
  cells.set(block, Stat::admin_overrides_active, admin != layers_.end() && !admin->values->values().empty() ? 1 : 0);
  cells.set(block, Stat::num_keys, current_->values().size());
  cells.set(block, Stat::num_layers, layers_.size());
}

bool RuntimeLayers::discovers(std::string_view resource) const {
  return std::any_of(layers_.begin(), layers_.end(), [&](const auto& layer) { return layer.kind == LayerKind::Discovered && layer.resource == resource; });
}

void RuntimeLayers::set_values(std::string_view resource, std::shared_ptr<const matching::Runtime> values) {
  for (config::RuntimeLayer& layer : layers_)
    if (layer.kind == LayerKind::Discovered && layer.resource == resource) layer.values = values;
  load();
}

absl::Status RuntimeLayers::set(const std::string& resource, const google::protobuf::Struct& values) {
  ErrorList errors;
  auto read = std::make_shared<const matching::Runtime>(config::read_runtime_layer(values, "layer", errors));
  if (!errors.empty()) {
    stats_.cells(0).add(scope_->block<Stat>(kStats), Stat::load_error);
    return errors.status();
  }
  set_values(resource, std::move(read));
  return absl::OkStatus();
}

void RuntimeLayers::clear(std::string_view resource) { set_values(resource, std::make_shared<const matching::Runtime>()); }

bool RuntimeLayers::modify(const std::multimap<std::string, std::string>& changes) {
  const auto admin = std::find_if(layers_.begin(), layers_.end(), is_admin);
  if (admin == layers_.end()) return false;
  std::map<std::string, matching::Runtime::Value> values(admin->values->values().begin(), admin->values->values().end());
  for (const auto& [key, value] : changes) {
    if (value.empty()) {
      values.erase(key);
    } else {
      values[key] = config::runtime_value(value);
    }
  }
  auto fresh = std::make_shared<matching::Runtime>();
  for (auto& [key, value] : values) fresh->set(key, std::move(value));
  admin->values = std::move(fresh);
  load();
  return true;
}

std::string RuntimeLayers::to_json() const {
  std::vector<doc::Value> names;
  for (const config::RuntimeLayer& layer : layers_) names.push_back(text(layer.name));
  std::set<std::string> keys;
  for (const auto& [key, value] : current_->values()) keys.insert(key);
  doc::Value entries = doc::map({});
  for (const std::string& key : keys) {
    std::vector<doc::Value> of_layers;
    for (const config::RuntimeLayer& layer : layers_) {
      const matching::Runtime::Value* value = layer.values->find(key);
      of_layers.push_back(text(value == nullptr ? "" : value->text));
    }
    entries = doc::with(entries, key, doc::map({{"layer_values", doc::list(std::move(of_layers)), {}}, {"final_value", text(current_->find(key)->text), {}}}));
  }
  return doc::to_json(doc::map({{"layers", doc::list(std::move(names)), {}}, {"entries", entries, {}}}), true) + "\n";
}

}  // namespace fairlead::server
