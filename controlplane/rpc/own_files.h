// The services of this room as descriptors, for whoever asks by reflection: health checking and reflection itself. Made when first asked for; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fairlead::rpc {

// A serialised FileDescriptorProto: of "grpc/health/v1/health.proto", or of the file with "grpc.health.v1.Health". Nullopt: not one of ours.
std::optional<std::string> own_file(std::string_view name);
std::optional<std::string> own_file_of(std::string_view symbol);

}  // namespace fairlead::rpc
