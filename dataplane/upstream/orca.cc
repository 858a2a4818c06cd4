// Reading of load reports; see orca.h.
#include "dataplane/upstream/orca.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/status.h"

namespace fairlead::upstream {
namespace {

constexpr std::string_view kOrcaType = "xds.data.orca.v3.OrcaLoadReport";
constexpr std::string_view kBinaryHeader = "endpoint-load-metrics-bin";
constexpr std::string_view kPrefixedHeader = "endpoint-load-metrics";

struct OrcaField {
  std::string_view name;
  double OrcaReport::* field;
};
constexpr std::array<OrcaField, 5> kOrcaFields = {{{"cpu_utilization", &OrcaReport::cpu_utilization},
                                                   {"mem_utilization", &OrcaReport::mem_utilization},
                                                   {"application_utilization", &OrcaReport::application_utilization},
                                                   {"eps", &OrcaReport::eps},
                                                   {"rps_fractional", &OrcaReport::rps_fractional}}};
struct OrcaMap {
  std::string_view name, prefix;
  std::map<std::string, double, std::less<>> OrcaReport::* field;
};
constexpr std::array<OrcaMap, 3> kOrcaMaps = {{{"named_metrics", "named_metrics.", &OrcaReport::named_metrics},
                                               {"utilization", "utilization.", &OrcaReport::utilization},
                                               {"request_cost", "request_cost.", &OrcaReport::request_cost}}};

double OrcaReport::* orca_field(std::string_view name) {
  const auto it = std::find_if(kOrcaFields.begin(), kOrcaFields.end(), [&](const OrcaField& f) { return f.name == name; });
  return it == kOrcaFields.end() ? nullptr : it->field;
}

OrcaReport from_orca_message(const google::protobuf::Message& message) {
  OrcaReport out;
  const auto& reflection = *message.GetReflection();
  for (const OrcaField& f : kOrcaFields) {
    if (const auto* field = message.GetDescriptor()->FindFieldByName(std::string(f.name))) out.*f.field = reflection.GetDouble(message, field);
  }
  for (const OrcaMap& m : kOrcaMaps) {
    const auto* field = message.GetDescriptor()->FindFieldByName(std::string(m.name));
    if (field == nullptr) continue;
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      const auto& entry = reflection.GetRepeatedMessage(message, field, i);
      const auto& of_entry = *entry.GetReflection();
      (out.*m.field)[of_entry.GetString(entry, entry.GetDescriptor()->map_key())] = of_entry.GetDouble(entry, entry.GetDescriptor()->map_value());
    }
  }
  return out;
}

absl::StatusOr<OrcaReport> read_orca_binary(std::string_view text) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes) || bytes.empty()) return absl::InvalidArgumentError("not base64, or nothing");
  FL_ASSIGN_OR_RETURN(const auto message, parse_message(kOrcaType, bytes));
  return from_orca_message(*message);
}

absl::StatusOr<OrcaReport> read_orca_json(std::string_view text) {
  FL_ASSIGN_OR_RETURN(const doc::Value value, doc::parse_json(text, "load report"));
  FL_ASSIGN_OR_RETURN(const auto message, make_message(kOrcaType));
  FL_RETURN_IF_ERROR(doc::to_message(value, message.get()));
  return from_orca_message(*message);
}

// Envoy 1.40: numbers that are not negative, nothing twice, and no costs
absl::StatusOr<OrcaReport> read_orca_text(std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("says nothing");
  OrcaReport out;
  std::set<std::string_view> seen;
  for (std::string_view entry : absl::StrSplit(text, ',')) {
    entry = absl::StripAsciiWhitespace(entry);
    if (entry.empty()) continue;
    const size_t at = entry.find_first_of("=:");
    const std::string_view name = entry.substr(0, at);
    double value = 0;
    if (name.empty() || at == std::string_view::npos || !absl::SimpleAtod(entry.substr(at + 1), &value) || !std::isfinite(value) || value < 0) {
      return absl::InvalidArgumentError(absl::StrCat("not NAME=NUMBER: \"", entry, "\""));
    }
    if (!seen.insert(name).second) return absl::InvalidArgumentError(absl::StrCat("said twice: \"", name, "\""));
    if (double OrcaReport::* field = orca_field(name); field != nullptr) {
      out.*field = value;
      continue;
    }
    const auto map = std::find_if(kOrcaMaps.begin(), kOrcaMaps.end(), [&](const OrcaMap& m) { return absl::StartsWith(name, m.prefix) && name.size() > m.prefix.size(); });
    if (map == kOrcaMaps.end() || map->field == &OrcaReport::request_cost) return absl::InvalidArgumentError(absl::StrCat("unknown: \"", name, "\""));
    (out.*map->field).emplace(name.substr(map->prefix.size()), value);
  }
  return out;
}

}  // namespace

absl::StatusOr<OrcaReport> read_orca(const http::HeaderMap& headers) {
  if (const http::Header* binary = headers.find(kBinaryHeader)) return read_orca_binary(binary->value());
  const http::Header* prefixed = headers.find(kPrefixedHeader);
  if (prefixed == nullptr) return absl::NotFoundError("no load report");
  const std::string_view value = prefixed->value();
  const size_t space = value.find(' ');
  const std::string_view form = value.substr(0, space), rest = space == std::string_view::npos ? std::string_view() : value.substr(space + 1);
  if (form == "TEXT") return read_orca_text(rest);
  if (form == "JSON") return read_orca_json(rest);
  if (form == "BIN") return read_orca_binary(rest);
  return absl::InvalidArgumentError(absl::StrCat("unknown form \"", form, "\""));
}

void visit_metrics(const OrcaReport& report, const std::vector<std::string>& names, const std::function<void(std::string_view name, double value)>& add) {
  for (const std::string& name : names) {
    if (double OrcaReport::* field = orca_field(name); field != nullptr) {
      add(name, report.*field);
      continue;
    }
    for (const OrcaMap& m : kOrcaMaps) {
      if (!absl::StartsWith(name, m.prefix)) continue;
      const auto& values = report.*m.field;
      const std::string_view key = std::string_view(name).substr(m.prefix.size());
      if (key == "*") {
        for (const auto& [each, value] : values) add(absl::StrCat(m.prefix, each), value);
      } else if (const auto it = values.find(key); it != values.end()) {
        add(name, it->second);
      }
    }
  }
}

}  // namespace fairlead::upstream
