// See metadata.h.
#include "dataplane/format/metadata.h"

#include <charconv>
#include <cmath>
#include <map>

#include <google/protobuf/struct.pb.h>

#include "dataplane/format/formatter.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::format {
namespace {

const envoy::config::core::v3::Metadata* metadata_of(const Op& op, const FormatContext& context) {
  switch (op.metadata) {
    case MetadataOf::Dynamic: return context.dynamic_metadata;
    case MetadataOf::Route: return context.route_metadata;
    case MetadataOf::Cluster: return context.cluster_metadata;
    case MetadataOf::UpstreamHost: return context.upstream_host_metadata;
    case MetadataOf::VirtualHost: return context.virtual_host_metadata;
    case MetadataOf::Listener: return context.listener_metadata;
  }
  return nullptr;
}

}  // namespace

void append_json_number(double value, std::string& out) {
  if (!std::isfinite(value)) {
    out.append("null");
    return;
  }
  char buffer[32];
  if (value == std::floor(value) && std::fabs(value) < 9007199254740992.0) {
    out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, static_cast<int64_t>(value)).ptr);
  } else {
    out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  }
}

void append_json(const google::protobuf::Struct& value, std::string& out) {
  std::map<std::string_view, const google::protobuf::Value*> sorted;
  for (const auto& [key, field] : value.fields()) sorted.emplace(key, &field);
  out.push_back('{');
  bool first = true;
  for (const auto& [key, field] : sorted) {
    if (!first) out.push_back(',');
    first = false;
    append_json_string(key, out);
    out.push_back(':');
    append_json(*field, out);
  }
  out.push_back('}');
}

void append_json(const google::protobuf::Value& value, std::string& out) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kNumberValue: append_json_number(value.number_value(), out); break;
    case google::protobuf::Value::kStringValue: append_json_string(value.string_value(), out); break;
    case google::protobuf::Value::kBoolValue: out.append(value.bool_value() ? "true" : "false"); break;
    case google::protobuf::Value::kStructValue: append_json(value.struct_value(), out); break;
    case google::protobuf::Value::kListValue: {
      out.push_back('[');
      bool first = true;
      for (const auto& item : value.list_value().values()) {
        if (!first) out.push_back(',');
        first = false;
        append_json(item, out);
      }
      out.push_back(']');
      break;
    }
    default: out.append("null");
  }
}

bool emit_metadata(const Op& op, const FormatContext& context, bool as_json, std::string& out) {
  const auto* metadata = metadata_of(op, context);
  if (metadata == nullptr) return false;
  const auto space = metadata->filter_metadata().find(op.text);
  if (space == metadata->filter_metadata().end()) return false;
  const google::protobuf::Struct* object = &space->second;
  const google::protobuf::Value* value = nullptr;
  for (const std::string& key : op.keys) {
    if (object == nullptr) return false;
    const auto field = object->fields().find(key);
    if (field == object->fields().end()) return false;
    value = &field->second;
    object = value->has_struct_value() ? &value->struct_value() : nullptr;
  }
  if (value == nullptr) {
    append_json(*object, out);
  } else if (value->has_string_value() && !as_json) {
    out.append(value->string_value());
  } else {
    append_json(*value, out);
  }
  return true;
}

}  // namespace fairlead::format
