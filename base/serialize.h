// Messages to bytes that depend on nothing but the message: maps are sorted, so equal messages have equal bytes, and hashes, in every process.
#pragma once

#include <string>

namespace google::protobuf {
class Message;
}

namespace fairlead {

std::string serialize(const google::protobuf::Message& message);

}  // namespace fairlead
