// Every message type of the Envoy API by name: the generated classes that are linked in, and for all other types
// dynamic messages made from the descriptor set inside the binary (proto/descriptor_data.h). Any thread; lookups share
// one lock, so keep what you found. What is returned by pointer lives as long as the process. Invariant: a type that is
// linked in always comes as its generated class, also inside dynamic messages.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace google::protobuf {
class Any;
class Descriptor;
class EnumDescriptor;
class Message;
}  // namespace google::protobuf

namespace fairlead {

// "type.googleapis.com/envoy.config.cluster.v3.Cluster" -> "envoy.config.cluster.v3.Cluster"; a bare name stays as it
// is.
std::string_view type_name(std::string_view type_url);
// "type.googleapis.com/" and the full name.
std::string type_url(std::string_view full_name);

// Null when the API has no such type. Both take a full name ("envoy.config.cluster.v3.Cluster") or a type URL.
const google::protobuf::Descriptor* find_message(std::string_view name_or_url);
const google::protobuf::EnumDescriptor* find_enum(std::string_view name_or_url);

// The full names of all messages, nested ones and map entries included, sorted. A name below one prefix only, when
// given: "envoy.config.cluster.v3.".
std::vector<std::string> message_names(std::string_view prefix = "");

// The file of that name, or the one that declares the symbol (a service or method too), as a serialised
// FileDescriptorProto; nullopt when the API has none.
std::optional<std::string> descriptor_file(std::string_view file_name);
std::optional<std::string> descriptor_file_of(std::string_view symbol);

// An empty message. The descriptor must come from this file or from a generated class.
std::unique_ptr<google::protobuf::Message> make_message(const google::protobuf::Descriptor* descriptor);
// InvalidArgument `PATH: unknown type 'x'`, with the nearest name of the API when there is one. `path` may be empty.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> make_message(std::string_view name_or_url,
                                                                        std::string_view path = "");

// Parses bytes as the named type; InvalidArgument `PATH: not a valid x: …` when they are not one.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> parse_message(std::string_view name_or_url,
                                                                         std::string_view bytes,
                                                                         std::string_view path = "");
// What an Any holds. An Any without a type is an error like an unknown one.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> unpack(const google::protobuf::Any& any,
                                                                  std::string_view path = "");

}  // namespace fairlead
