// Parses and applies header mutations; see config.h.
#include "dataplane/filters/http/header_mutation/config.h"

#include <absl/container/inlined_vector.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/config/fields.h"
#include "dataplane/http/header_map.h"
#include "envoy/extensions/filters/http/header_mutation/v3/header_mutation.pb.h"

namespace fairlead::filters::header_mutation {
namespace {

namespace v3 = envoy::extensions::filters::http::header_mutation::v3;
using fairlead::router::AppendAction;
using fairlead::router::parse_header_changes;

absl::StatusOr<QueryChange> parse_query(const envoy::config::core::v3::KeyValueMutation& proto) {
  using envoy::config::core::v3::KeyValueAppend;
  QueryChange change;
  change.remove = proto.remove();
  if (!proto.has_append()) {
    if (change.remove.empty()) return absl::InvalidArgumentError("one of append, remove must be set");
    return change;
  }
  const auto& append = proto.append();
  if (append.has_entry()) return absl::InvalidArgumentError("append.entry: use record");
  change.key = append.record().key();
  if (change.key.empty()) return absl::InvalidArgumentError("append.record.key: must not be empty");
  if (!append.record().value().has_string_value()) return absl::InvalidArgumentError("Only string value is allowed for record value.");
  auto value = format::Formatter::parse(append.record().value().string_value(), true);
  if (!value.ok()) return prefix("append.record.value", value.status());
  change.value = std::move(*value);
  switch (append.action()) {
    case KeyValueAppend::ADD_IF_ABSENT: change.action = AppendAction::AddIfAbsent; break;
    case KeyValueAppend::OVERWRITE_IF_EXISTS_OR_ADD: change.action = AppendAction::OverwriteIfExistsOrAdd; break;
    case KeyValueAppend::OVERWRITE_IF_EXISTS: change.action = AppendAction::OverwriteIfExists; break;
    default: change.action = AppendAction::AppendIfExistsOrAdd;
  }
  return change;
}

absl::StatusOr<Mutations> parse_mutations(const v3::Mutations& proto) {
  Mutations out;
  ErrorList errors(20);
  out.request = parse_header_changes(proto.request_mutations(), "mutations.request_mutations", errors);
  out.response = parse_header_changes(proto.response_mutations(), "mutations.response_mutations", errors);
  out.request_trailers = parse_header_changes(proto.request_trailers_mutations(), "mutations.request_trailers_mutations", errors);
  out.response_trailers = parse_header_changes(proto.response_trailers_mutations(), "mutations.response_trailers_mutations", errors);
  for (int i = 0; i < proto.query_parameter_mutations_size(); ++i) {
    auto change = parse_query(proto.query_parameter_mutations(i));
    if (change.ok()) {
      out.query.push_back(std::move(*change));
    } else {
      errors.add(prefix(absl::StrCat("mutations.query_parameter_mutations[", i, "]"), change.status()));
    }
  }
  if (!errors.empty()) return errors.status();
  return out;
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Envoy 1.40: all but letters, digits and -._* is encoded.
void append_encoded(std::string_view text, std::string& out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const unsigned char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '*') {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
}

}  // namespace

std::string change_query(std::string_view path, const std::vector<const std::vector<QueryChange>*>& changes, const format::FormatContext& context) {
  struct Parameter {
    std::string name;  // decoded
    std::string text;  // "name=value" as it came or will go
  };
  absl::InlinedVector<Parameter, 8> parameters;
  const size_t mark = path.find('?');
  std::string_view query = mark == std::string_view::npos ? std::string_view() : path.substr(mark + 1);
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view piece = query.substr(0, end);
    const size_t equals = piece.find('=');
    parameters.push_back({decoded(piece.substr(0, equals)), equals == std::string_view::npos ? absl::StrCat(piece, "=") : std::string(piece)});
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
  }
  const auto remove = [&](std::string_view name) {
    const auto from = std::remove_if(parameters.begin(), parameters.end(), [&](const Parameter& p) { return p.name == name; });
    const bool found = from != parameters.end();
    parameters.erase(from, parameters.end());
    return found;
  };
  for (const auto* level : changes) {
    for (const QueryChange& change : *level) {
      if (!change.remove.empty()) remove(change.remove);
      if (change.key.empty()) continue;
      const bool exists = std::any_of(parameters.begin(), parameters.end(), [&](const Parameter& p) { return p.name == change.key; });
      if (change.action == AppendAction::AddIfAbsent && exists) continue;
      if (change.action == AppendAction::OverwriteIfExists && !exists) continue;
      if (change.action == AppendAction::OverwriteIfExists || change.action == AppendAction::OverwriteIfExistsOrAdd) remove(change.key);
      Parameter added{change.key, {}};
      append_encoded(change.key, added.text);
      added.text += '=';
      append_encoded(change.value.is_literal() ? change.value.text() : change.value.render(context), added.text);
      parameters.push_back(std::move(added));
    }
  }
  std::stable_sort(parameters.begin(), parameters.end(), [](const Parameter& a, const Parameter& b) { return a.name < b.name; });
  std::string out(path.substr(0, mark));
  char delimiter = '?';
  for (const Parameter& p : parameters) {
    out += delimiter;
    out += p.text;
    delimiter = '&';
  }
  return out;
}

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                .canonical = "envoy.filters.http.header_mutation",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::HeaderMutation>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  FL_ASSIGN_OR_RETURN(config->mutations, parse_mutations(proto.mutations()));
                  config->most_specific_wins = proto.most_specific_header_mutations_wins();
                  return config;
                },
                .per_route_type_url = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
                .parse_per_route = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const fairlead::router::PerFilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::HeaderMutationPerRoute>(any, "typed_per_filter_config"));
                  auto config = std::make_shared<RouteConfig>();
                  FL_ASSIGN_OR_RETURN(config->mutations, parse_mutations(proto.mutations()));
                  return config;
                }});
}

}  // namespace fairlead::filters::header_mutation
