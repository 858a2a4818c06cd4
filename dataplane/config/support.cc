// The walk over incoming messages; see support.h.
#include "dataplane/config/support.h"

#include <absl/strings/str_cat.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wrappers.pb.h>

#include "base/descriptors.h"
#include "base/status.h"
#include "base/validate.h"
#include "dataplane/config/support_table.h"

namespace fairlead::config {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t refusals_kept = 8;
constexpr int depth_limit = 100;

// One step from the root to the field at hand; lives on the stack and is printed only when there is something to say.
struct Step {
  const Step* parent = nullptr;
  const FieldDescriptor* field = nullptr;
  int index = -1;
  std::string key;

  void append_to(std::string& out) const {
    if (parent != nullptr) parent->append_to(out);
    if (field == nullptr) return;
    if (!out.empty()) out.push_back('.');
    out.append(field->name());
    if (field->is_map()) {
      absl::StrAppend(&out, "[\"", key, "\"]");
    } else if (index >= 0) {
      absl::StrAppend(&out, "[", index, "]");
    }
  }
  std::string text() const {
    std::string out;
    append_to(out);
    return out;
  }
};

class Walk {
 public:
  explicit Walk(SupportFindings* findings) : findings_(findings), errors_(refusals_kept) {}

  void message(const Message& message, const Step* parent, int depth) {
    if (depth > depth_limit) {
      errors_.add(parent == nullptr ? "" : parent->text(), "nested too deeply");
      return;
    }
    const auto* descriptor = message.GetDescriptor();
    if (descriptor->full_name() == "google.protobuf.Any") {
      any(message, parent, depth);
      return;
    }
    const auto* rows = table_.rows(descriptor);
    if (rows == nullptr) return;  // google.protobuf.*: what the field's own row says covers it
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) this->field(message, field, (*rows)[static_cast<size_t>(field->index())], parent, depth);
  }

  absl::Status status() const { return errors_.status(); }

 private:
  void field(const Message& message, const FieldDescriptor* field, const SupportRow* row, const Step* parent, int depth) {
    Step step{parent, field, -1, {}};
    if (row == nullptr) {
      errors_.add(step.text(), "not supported: unknown to this version");
      return;
    }
    if (row->state == Support::Refused) {
      if (!row->unless.empty() && value_text(message, field) == row->unless) return;
      errors_.add(step.text(), absl::StrCat("not supported: ", row->reason));
      return;
    }
    if (row->state == Support::Ignored) {
      if (findings_ != nullptr) {
        findings_->ignored.push_back({step.text(), absl::StrCat(field->containing_type()->full_name(), ".", field->name()), row->reason});
      }
      return;
    }
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      enums(message, field, step);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      messages(message, field, step, depth);
    }
  }

  void messages(const Message& message, const FieldDescriptor* field, Step& step, int depth) {
    const auto* reflection = message.GetReflection();
    if (!field->is_repeated()) {
      this->message(reflection->GetMessage(message, field), &step, depth + 1);
      return;
    }
    const FieldDescriptor* map_value = field->is_map() ? field->message_type()->map_value() : nullptr;
    if (map_value != nullptr && map_value->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return;
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      const Message& item = reflection->GetRepeatedMessage(message, field, i);
      step.index = i;
      if (map_value == nullptr) {
        this->message(item, &step, depth + 1);
      } else {
        const FieldDescriptor* key = field->message_type()->map_key();
        if (key->cpp_type() == FieldDescriptor::CPPTYPE_STRING) step.key = item.GetReflection()->GetString(item, key);
        this->message(item.GetReflection()->GetMessage(item, map_value), &step, depth + 1);
      }
    }
  }

  void enums(const Message& message, const FieldDescriptor* field, Step& step) {
    const auto* reflection = message.GetReflection();
    const auto check = [&](int number) {
      const EnumValueDescriptor* value = field->enum_type()->FindValueByNumber(number);
      if (value == nullptr) {
        errors_.add(step.text(), absl::StrCat("unknown value ", number));
        return;
      }
      const SupportRow* row = table_.value(field->enum_type(), value->name());
      if (row == nullptr || row->state == Support::Refused) {
        errors_.add(step.text(), absl::StrCat(value->name(), " is not supported: ", row == nullptr ? "unknown to this version" : row->reason));
      } else if (row->state == Support::Ignored && findings_ != nullptr) {
        findings_->ignored.push_back({step.text(), absl::StrCat(field->enum_type()->full_name(), ".", value->name()), row->reason});
      }
    };
    if (!field->is_repeated()) {
      check(reflection->GetEnumValue(message, field));
      return;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      step.index = i;
      check(reflection->GetRepeatedEnumValue(message, field, i));
    }
  }

  // An Any of a type in the table is opened; other types are their owners' business.
  void any(const Message& message, const Step* parent, int depth) {
    const auto* holder = dynamic_cast<const google::protobuf::Any*>(&message);
    if (holder == nullptr || !table_.has(type_name(holder->type_url()))) return;
    auto opened = unpack(*holder);
    if (!opened.ok()) {
      errors_.add(prefix(parent == nullptr ? "" : parent->text(), opened.status()));
      return;
    }
    this->message(**opened, parent, depth + 1);
  }

  static std::string value_text(const Message& message, const FieldDescriptor* field) {
    const auto* reflection = message.GetReflection();
    if (field->is_repeated()) return "";
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) return reflection->GetBool(message, field) ? "true" : "false";
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) return reflection->GetString(message, field);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) return reflection->GetEnum(message, field)->name();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (const auto* wrapped = dynamic_cast<const google::protobuf::BoolValue*>(&reflection->GetMessage(message, field))) {
        return wrapped->value() ? "true" : "false";
      }
    }
    return "";
  }

  const SupportTable& table_ = SupportTable::get();
  SupportFindings* findings_;
  ErrorList errors_;
};

}  // namespace

absl::Status check_support(const Message& message, SupportFindings* findings) {
  Walk walk(findings);
  walk.message(message, nullptr, 0);
  return walk.status();
}

Screen::Verdict screen(const google::protobuf::Descriptor* type, std::string_view bytes) {
  static const SupportTable& table = SupportTable::get();
  static thread_local Screen screen({
      .covers = [](const google::protobuf::Descriptor* message) { return table.rows(message) != nullptr; },
      .allows = [](const FieldDescriptor* field) {
        const auto* rows = table.rows(field->containing_type());
        const SupportRow* row = rows == nullptr ? nullptr : (*rows)[static_cast<size_t>(field->index())];
        return row != nullptr && row->state == Support::Implemented;
      },
      .allows_value = [](const EnumValueDescriptor* value) {
        const SupportRow* row = table.value(value->type(), value->name());
        return row != nullptr && row->state == Support::Implemented;
      },
  });
  return screen.look(type, bytes);
}

absl::Status admit(const Message& message, SupportFindings* findings) {
  ValidateOptions options;
  options.open_any = true;
  FL_RETURN_IF_ERROR(validate(message, options));
  return check_support(message, findings);
}

}  // namespace fairlead::config
