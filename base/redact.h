// Takes secrets out of what is printed: private keys, passwords, ticket keys. Pure.
#pragma once

namespace google::protobuf {
class Message;
}

namespace fairlead {

// Texts and bytes of every field that the API marks as sensitive become "[redacted]", whatever Any they stand in; numbers in there go.
void redact(google::protobuf::Message& message);

}  // namespace fairlead
