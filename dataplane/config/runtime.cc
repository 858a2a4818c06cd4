// See runtime.h.
#include "dataplane/config/runtime.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/struct.pb.h>

#include <algorithm>

namespace fairlead::config {
namespace {

using matching::Runtime;
using google::protobuf::Value;

// A FractionalPercent: its percentage of what the denominator says, hundredths by default.
Runtime::Value fraction(const google::protobuf::Struct& fields) {
  uint32_t denominator = 100;
  std::string_view name = "HUNDRED";
  if (const auto at = fields.fields().find("denominator"); at != fields.fields().end()) {
    if (at->second.string_value() == "TEN_THOUSAND") denominator = 10'000;
    if (at->second.string_value() == "MILLION") denominator = 1'000'000;
    name = at->second.string_value();
  }
  const auto numerator = fields.fields().find("numerator");
  const double top = numerator == fields.fields().end() ? 0 : numerator->second.number_value();
  return {absl::StrCat(top, " of ", name), {}, std::pair(static_cast<uint32_t>(std::max(top, 0.0)), denominator)};
}

void add(const std::string& key, const Value& value, const std::string& field, Runtime& out, ErrorList& errors) {
  switch (value.kind_case()) {
    case Value::kNumberValue: out.set(key, {absl::StrCat(value.number_value()), value.number_value(), {}}); break;
    case Value::kBoolValue: out.set(key, {value.bool_value() ? "true" : "false", value.bool_value() ? 1.0 : 0.0, {}}); break;
    case Value::kStringValue: out.set(key, runtime_value(value.string_value())); break;
    case Value::kStructValue: {
      const auto& fields = value.struct_value().fields();
      if (fields.contains("numerator") || fields.contains("denominator")) {
        out.set(key, fraction(value.struct_value()));
        break;
      }
      for (const auto& [name, inner] : fields) add(key.empty() ? name : absl::StrCat(key, ".", name), inner, field, out, errors);
      break;
    }
    default: errors.add(field, absl::StrCat("Invalid runtime entry value for ", key));
  }
}

}  // namespace

Runtime read_runtime_layer(const google::protobuf::Struct& layer, const std::string& field, ErrorList& errors) {
  Runtime out;
  for (const auto& [key, value] : layer.fields()) add(key, value, field, out, errors);
  return out;
}

Runtime::Value runtime_value(std::string_view text) {
  if (text == "true" || text == "false") return {std::string(text), text == "true" ? 1.0 : 0.0, {}};
  double number = 0;
  const bool is_number = absl::SimpleAtod(text, &number);
  return {std::string(text), is_number ? std::optional(number) : std::nullopt, {}};
}

std::shared_ptr<const Runtime> merge_runtime(const std::vector<RuntimeLayer>& layers) {
  auto out = std::make_shared<Runtime>();
  for (const RuntimeLayer& layer : layers)
    for (const auto& [key, value] : layer.values->values()) out->set(key, value);
  return out;
}

}  // namespace fairlead::config
