// See redact.h.
#include "base/redact.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>

#include <vector>

#include "base/descriptors.h"
#include "udpa/annotations/sensitive.pb.h"

namespace fairlead {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

void walk(Message& message, bool sensitive);

void walk_any(google::protobuf::Any& any, bool sensitive) {
  if (any.type_url().empty()) return;
  auto inside = unpack(any);
  if (!inside.ok()) {  // nobody can tell what it holds
    if (sensitive) any.clear_value();
    return;
  }
  walk(**inside, sensitive);
  any.set_value((*inside)->SerializeAsString());
}

void hide(Message& message, const FieldDescriptor* field) {
  const google::protobuf::Reflection* reflection = message.GetReflection();
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return reflection->ClearField(&message, field);
  if (!field->is_repeated()) return reflection->SetString(&message, field, "[redacted]");
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) reflection->SetRepeatedString(&message, field, i, "[redacted]");
}

void walk(Message& message, bool sensitive) {
  if (message.GetDescriptor()->full_name() == "google.protobuf.Any") {
    if (auto* any = dynamic_cast<google::protobuf::Any*>(&message)) return walk_any(*any, sensitive);
  }
  const google::protobuf::Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> set;
  reflection->ListFields(message, &set);
  for (const FieldDescriptor* field : set) {
    const bool hidden = sensitive || field->options().GetExtension(udpa::annotations::sensitive);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      if (hidden) hide(message, field);
    } else if (field->is_repeated()) {
      for (int i = 0; i < reflection->FieldSize(message, field); ++i) walk(*reflection->MutableRepeatedMessage(&message, field, i), hidden);
    } else {
      walk(*reflection->MutableMessage(&message, field), hidden);
    }
  }
}

}  // namespace

void redact(Message& message) { walk(message, false); }

}  // namespace fairlead
