// Reads the extensions' messages through the embedded descriptors; see ip_detection.h.
#include "dataplane/config/ip_detection.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/status.h"
#include "base/validate.h"
#include "dataplane/config/fields.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/type/v3/http_status.pb.h"

namespace fairlead::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// What a field of a message holds, as a message that is linked in.
template <typename T>
T copy_of(const Message& message) {
  T copy;
  copy.ParseFromString(message.SerializeAsString());
  return copy;
}

class Reader {
 public:
  explicit Reader(const Message& message) : message_(message) {}
  bool has(const char* name) const { return message_.GetReflection()->HasField(message_, field(name)); }
  const Message& child(const char* name) const { return message_.GetReflection()->GetMessage(message_, field(name)); }
  const FieldDescriptor* field(const char* name) const { return message_.GetDescriptor()->FindFieldByName(name); }
  std::string text(const char* name) const { return message_.GetReflection()->GetString(message_, field(name)); }
  bool flag(const char* name) const { return message_.GetReflection()->GetBool(message_, field(name)); }
  uint32_t number(const char* name) const { return message_.GetReflection()->GetUInt32(message_, field(name)); }

 private:
  const Message& message_;
};

IpDetection read_custom_header(const Message& message) {
  const Reader reader(message);
  IpDetection out;
  out.header = absl::AsciiStrToLower(reader.text("header_name"));
  out.may_be_internal = reader.flag("allow_extension_to_set_address_as_trusted");
  if (reader.has("reject_with_status")) {
    const auto code = static_cast<uint32_t>(copy_of<envoy::type::v3::HttpStatus>(reader.child("reject_with_status")).code());
    out.reject_status = code < 400 ? 403 : code;  // Envoy 1.40
  }
  return out;
}

absl::StatusOr<IpDetection> read_xff(const Message& message, const std::string& place) {
  const Reader reader(message);
  IpDetection out;
  out.trusted_hops = reader.number("xff_num_trusted_hops");
  if (reader.has("skip_xff_append")) out.skip_append = copy_of<google::protobuf::BoolValue>(reader.child("skip_xff_append")).value();
  if (!reader.has("xff_trusted_cidrs")) return out;
  if (out.trusted_hops != 0) return absl::InvalidArgumentError(place + ": Cannot set both xff_num_trusted_hops and xff_trusted_cidrs");
  const Message& ranges = reader.child("xff_trusted_cidrs");
  const FieldDescriptor* field = Reader(ranges).field("cidrs");
  for (int i = 0; i < ranges.GetReflection()->FieldSize(ranges, field); ++i) {
    auto cidr = matching::Cidr::compile(copy_of<envoy::config::core::v3::CidrRange>(ranges.GetReflection()->GetRepeatedMessage(ranges, field, i)));
    if (!cidr.ok()) return prefix(absl::StrCat(place, ".xff_trusted_cidrs.cidrs[", i, "]"), cidr.status());
    out.trusted_proxies.push_back(*cidr);
  }
  return out;
}

absl::StatusOr<IpDetection> read_one(const envoy::config::core::v3::TypedExtensionConfig& extension, const std::string& place) {
  const std::string_view type = type_name(extension.typed_config().type_url());
  const bool custom = type == "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig";
  if (!custom && type != "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig") {
    return unknown_extension(place, extension.name(), extension.typed_config().type_url());
  }
  FL_ASSIGN_OR_RETURN(const auto message, unpack(extension.typed_config(), place));
  FL_RETURN_IF_ERROR(validate(*message, {.path = place}));
  if (custom) return read_custom_header(*message);
  return read_xff(*message, place);
}

}  // namespace

void read_ip_detections(const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& proto, const std::string& field,
                        std::vector<IpDetection>& out, ErrorList& errors) {
  const std::string place = field + ".original_ip_detection_extensions";
  if (proto.original_ip_detection_extensions().empty()) return;
  if (proto.use_remote_address().value()) errors.add(place, "Original IP detection extensions and use_remote_address may not be mixed");
  if (proto.xff_num_trusted_hops() > 0) errors.add(place, "Original IP detection extensions and xff_num_trusted_hops may not be mixed");
  for (int i = 0; i < proto.original_ip_detection_extensions_size(); ++i) {
    auto detection = read_one(proto.original_ip_detection_extensions(i), absl::StrCat(place, "[", i, "].typed_config"));
    if (errors.check(detection)) out.push_back(std::move(*detection));
  }
}

}  // namespace fairlead::config
