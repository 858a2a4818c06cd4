// Parses the filter's configuration; encodes and decodes the hosts of sessions; see config.h.
#include "dataplane/filters/http/stateful_session/config.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>

#include "base/descriptors.h"
#include "base/validate.h"
#include "dataplane/config/fields.h"
#include "dataplane/matching/matchers.h"
#include "dataplane/router/hash_policy.h"
#include "envoy/extensions/filters/http/stateful_session/v3/stateful_session.pb.h"
#include "envoy/type/http/v3/cookie.pb.h"

namespace fairlead::filters::stateful_session {
namespace {

namespace v3 = envoy::extensions::filters::http::stateful_session::v3;
using google::protobuf::internal::WireFormatLite;

// The extensions' messages are read through the embedded descriptors.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> open_state(const envoy::config::core::v3::TypedExtensionConfig& extension, std::string_view type) {
  if (type_name(extension.typed_config().type_url()) != type) {
    return absl::InvalidArgumentError(absl::StrCat("session_state.typed_config: '", extension.name(), "' takes ", type, ", not '", extension.typed_config().type_url(), "'"));
  }
  FL_ASSIGN_OR_RETURN(auto message, unpack(extension.typed_config(), "session_state.typed_config"));
  FL_RETURN_IF_ERROR(validate(*message, {.path = "session_state.typed_config"}));
  return message;
}

void read_cookie(const google::protobuf::Message& state, Settings& out) {
  envoy::type::http::v3::Cookie cookie;
  const auto* field = state.GetDescriptor()->FindFieldByName("cookie");
  cookie.ParseFromString(state.GetReflection()->GetMessage(state, field).SerializeAsString());
  out.carrier = Settings::Carrier::Cookie;
  out.name = cookie.name();
  out.path = cookie.path();
  out.ttl = std::chrono::seconds(cookie.ttl().seconds());
  if (!cookie.path().empty()) absl::StrAppend(&out.attributes, "; Path=", cookie.path());
  for (const auto& attribute : cookie.attributes()) absl::StrAppend(&out.attributes, "; ", attribute.name(), attribute.value().empty() ? "" : "=", attribute.value());
}

absl::StatusOr<Settings> parse_settings(const v3::StatefulSession& proto) {
  Settings out;
  out.strict = proto.strict();
  if (const uint32_t status = proto.status_on_strict_destination_not_found(); status != 0) {
    if (status < 200 || status > 599) return absl::InvalidArgumentError(absl::StrCat("status_on_strict_destination_not_found: ", status, " is no status of a response, 200 to 599"));
    if (out.strict) out.missing_status = status;
  }
  if (!proto.has_session_state()) return out;
  // Envoy 1.40 finds this extension by its name.
  const auto& state = proto.session_state();
  if (state.name() == "envoy.http.stateful_session.cookie") {
    FL_ASSIGN_OR_RETURN(const auto message, open_state(state, "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState"));
    read_cookie(*message, out);
  } else if (state.name() == "envoy.http.stateful_session.header") {
    FL_ASSIGN_OR_RETURN(const auto message, open_state(state, "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState"));
    out.carrier = Settings::Carrier::Header;
    out.name = absl::AsciiStrToLower(message->GetReflection()->GetString(*message, message->GetDescriptor()->FindFieldByName("name")));
  } else {
    return config::unknown_extension("session_state", state.name(), state.typed_config().type_url());
  }
  return out;
}

// Padded and without stray bits, as Envoy 1.40 wants it; anything else is empty.
std::string base64_decoded(std::string_view text) {
  std::string out;
  if (!absl::Base64Unescape(text, &out) || absl::Base64Escape(out) != text) return "";
  return out;
}

// What a cookie holds in Envoy 1.40: a message with the address as field 1 and, with a ttl, the second of its end as field 2.
struct Ticket {
  std::string address;
  uint64_t expires = 0;
};

constexpr uint32_t kAddressTag = (1 << 3) | WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
constexpr uint32_t kExpiresTag = (2 << 3) | WireFormatLite::WIRETYPE_VARINT;

std::optional<Ticket> read_ticket(std::string_view bytes) {
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  Ticket ticket;
  while (in.CurrentPosition() < static_cast<int>(bytes.size())) {
    const uint32_t tag = in.ReadTag();
    uint64_t number = 0;
    if (tag == kAddressTag) {
      uint32_t length = 0;
      if (!in.ReadVarint32(&length) || length > bytes.size() || !in.ReadString(&ticket.address, static_cast<int>(length))) return std::nullopt;
    } else if (tag == kExpiresTag) {
      if (!in.ReadVarint64(&number)) return std::nullopt;
      ticket.expires = number;
    } else if (tag == 0 || !WireFormatLite::SkipField(&in, tag)) {
      return std::nullopt;
    }
  }
  return ticket;
}

std::string write_ticket(std::string_view address, uint64_t expires) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.WriteTag(kAddressTag);
  coded.WriteVarint32(static_cast<uint32_t>(address.size()));
  coded.WriteRaw(address.data(), static_cast<int>(address.size()));
  if (expires != 0) {
    coded.WriteTag(kExpiresTag);
    coded.WriteVarint64(expires);
  }
  coded.Trim();
  return out;
}

}  // namespace

// "/a" covers "/a", "/a/b" and "/a?c", but not "/ab"; "/a/" covers what begins with it.
bool has_session(const Settings& settings, std::string_view path) {
  if (settings.carrier != Settings::Carrier::Cookie) return settings.carrier == Settings::Carrier::Header;
  const std::string_view own = settings.path;
  if (own.empty() || own == "/") return true;
  if (!absl::StartsWith(path, own)) return false;
  if (own.back() == '/' || path.size() == own.size()) return true;
  const char next = path[own.size()];
  return next == '/' || next == '?' || next == '#';
}

std::string session_host(const Settings& settings, const http::HeaderMap& request, uint64_t now) {
  if (settings.carrier == Settings::Carrier::Header) {
    const http::Header* header = request.find(settings.name);
    return header == nullptr ? std::string() : base64_decoded(header->value());
  }
  const std::string bytes = base64_decoded(matching::cookie_value(request, settings.name).value_or(std::string_view()));
  if (bytes.empty()) return bytes;
  std::optional<Ticket> ticket = read_ticket(bytes);
  if (!ticket) return bytes;  // Envoy 1.40: what is no message is the address itself, as older versions wrote it
  if (ticket->expires != 0 && now > ticket->expires) return "";
  return std::move(ticket->address);
}

void tell_client(const Settings& settings, std::string_view host, uint64_t now, http::HeaderMap& response) {
  if (settings.carrier == Settings::Carrier::Header) {
    response.set(settings.name, absl::Base64Escape(host));
    return;
  }
  const auto lifetime = static_cast<uint64_t>(settings.ttl.count());
  const std::string value = absl::Base64Escape(write_ticket(host, lifetime == 0 ? 0 : now + lifetime));
  response.add("set-cookie", fairlead::router::set_cookie(settings.name, value, settings.ttl, settings.attributes));
}

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
                .canonical = "envoy.filters.http.stateful_session",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::StatefulSession>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  FL_ASSIGN_OR_RETURN(config->settings, parse_settings(proto));
                  config->stat_prefix = proto.stat_prefix();
                  return config;
                },
                .per_route_type_url = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
                .parse_per_route = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const fairlead::router::PerFilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::StatefulSessionPerRoute>(any, "typed_per_filter_config"));
                  auto config = std::make_shared<RouteConfig>();
                  config->disabled = proto.has_disabled();
                  if (!proto.has_stateful_session()) return config;
                  auto settings = parse_settings(proto.stateful_session());
                  if (!settings.ok()) return prefix("stateful_session", settings.status());
                  config->settings = std::move(*settings);
                  return config;
                }});
}

}  // namespace fairlead::filters::stateful_session
