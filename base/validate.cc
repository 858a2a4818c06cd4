// Plans: for each message type the fields worth looking at, made once from the options in its descriptor. A field
// without rules, whose message type leads to no rules, is not in the plan.
#include "base/validate.h"

#include <memory>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/descriptors.h"
#include "base/doc_reader.h"
#include "base/validate_rules.h"
#include "envoy/annotations/deprecation.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "udpa/annotations/sensitive.pb.h"
#include "validate/validate.pb.h"

namespace fairlead {
namespace {

namespace pb = google::protobuf;

struct Plan;

struct FieldPlan {
  const pb::FieldDescriptor* field = nullptr;
  const validate::FieldRules* rules = nullptr;
  rules::RuleSet own;   // of the field, or of a list's items or a map's values
  rules::RuleSet keys;  // of a map
  Plan* child = nullptr;
  const pb::FieldDescriptor* value_field =
      nullptr;  // of a map's entry; of a wrapper under scalar rules; else the field
  bool any = false;
  bool duration = false;
  bool sensitive = false;
  bool disallowed = false;       // Envoy refuses the field unless a runtime flag brings it back
  bool disallowed_enum = false;  // some value of the enum is refused likewise
  // What the descriptor says, which is slow to ask.
  enum class Shape : uint8_t { Singular, List, Map };
  Shape shape = Shape::Singular;
  bool has_presence = false;
  bool required = false;         // a member of a oneof is only looked at when it is the one that is set
};

struct Plan {
  const pb::Descriptor* type = nullptr;
  std::vector<FieldPlan> fields;
  std::vector<const pb::OneofDescriptor*> required_oneofs;
  bool has_rules = false;  // here or below
  bool has_any = false;
};

bool is_wrapper(const pb::Descriptor* type) {
  return type->well_known_type() >= pb::Descriptor::WELLKNOWNTYPE_DOUBLEVALUE &&
         type->well_known_type() <= pb::Descriptor::WELLKNOWNTYPE_BOOLVALUE;
}

bool is_scalar_rule(const validate::FieldRules& rules) {
  const auto kind = rules.type_case();
  return kind >= validate::FieldRules::kFloat && kind <= validate::FieldRules::kEnum;
}

bool has_disallowed_value(const pb::EnumDescriptor* type) {
  for (int at = 0; type != nullptr && at < type->value_count(); ++at) {
    if (type->value(at)->options().GetExtension(envoy::annotations::disallowed_by_default_enum)) {
      return true;
    }
  }
  return false;
}

class Plans {
 public:
  static Plans& instance() {
    static Plans* plans = new Plans;
    return *plans;
  }

  const Plan* find(const pb::Descriptor* type) {
    {
      absl::ReaderMutexLock lock(&mutex_);
      if (const auto it = plans_.find(type); it != plans_.end()) {
        return it->second.get();
      }
    }
    absl::MutexLock lock(&mutex_);
    std::vector<Plan*> fresh;
    Plan* plan = add(type, fresh);
    settle(fresh);
    return plan;
  }

 private:
  // Plans a type and all types below it. A type in the map may still be unfinished: recursive types need that.
  Plan* add(const pb::Descriptor* type, std::vector<Plan*>& fresh) {
    const auto [it, inserted] = plans_.try_emplace(type);
    if (!inserted) {
      return it->second.get();
    }
    it->second = std::make_unique<Plan>();
    Plan* plan = it->second.get();
    plan->type = type;
    fresh.push_back(plan);
    const pb::MessageOptions& options = type->options();
    if (options.GetExtension(validate::disabled) || options.GetExtension(validate::ignored)) {
      return plan;
    }
    for (int at = 0; at < type->field_count(); ++at) {
      plan->fields.push_back(plan_field(type->field(at), fresh));
    }
    for (int at = 0; at < type->oneof_decl_count(); ++at) {
      if (type->oneof_decl(at)->options().GetExtension(validate::required)) {
        plan->required_oneofs.push_back(type->oneof_decl(at));
      }
    }
    return plan;
  }

  FieldPlan plan_field(const pb::FieldDescriptor* field, std::vector<Plan*>& fresh) {
    FieldPlan plan;
    plan.field = plan.value_field = field;
    const pb::FieldOptions& options = field->options();
    plan.sensitive = options.GetExtension(udpa::annotations::sensitive);
    plan.disallowed = options.GetExtension(envoy::annotations::disallowed_by_default);
    if (options.HasExtension(validate::rules)) {
      plan.rules = &options.GetExtension(validate::rules);
      plan.own = rules::compile(field->is_map()        ? plan.rules->map().values()
                                : field->is_repeated() ? plan.rules->repeated().items()
                                                       : *plan.rules);
      plan.keys = rules::compile(plan.rules->map().keys());
    }
    plan.shape = field->is_map() ? FieldPlan::Shape::Map : field->is_repeated() ? FieldPlan::Shape::List : FieldPlan::Shape::Singular;
    plan.has_presence = field->has_presence();
    plan.required = field->real_containing_oneof() == nullptr && rules::is_required(plan.own);
    if (field->is_map()) {
      plan.value_field = field->message_type()->map_value();
    }
    plan.disallowed_enum = has_disallowed_value(plan.value_field->enum_type());
    const pb::Descriptor* type = plan.value_field->message_type();
    const bool skipped = plan.own.rules != nullptr && plan.own.rules->message().skip();
    if (type == nullptr || skipped) {
      return plan;
    }
    plan.any = type->well_known_type() == pb::Descriptor::WELLKNOWNTYPE_ANY;
    plan.duration = type->well_known_type() == pb::Descriptor::WELLKNOWNTYPE_DURATION;
    if (is_wrapper(type) && plan.own.rules != nullptr && is_scalar_rule(*plan.own.rules)) {
      plan.value_field = type->FindFieldByNumber(1);
    } else if (type->well_known_type() == pb::Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
      plan.child = add(type, fresh);
    }
    return plan;
  }

  // What lies below a type is known once nothing changes any more; then fields that lead nowhere are dropped.
  static void settle(const std::vector<Plan*>& fresh) {
    for (bool changed = true; changed;) {
      changed = false;
      for (Plan* plan : fresh) {
        bool has_rules = !plan->required_oneofs.empty();
        bool has_any = false;
        for (const FieldPlan& field : plan->fields) {
          has_rules |= field.rules != nullptr || field.disallowed || field.disallowed_enum || field.duration ||
                       (field.child && field.child->has_rules);
          has_any |= field.any || (field.child && field.child->has_any);
        }
        changed |= has_rules != plan->has_rules || has_any != plan->has_any;
        plan->has_rules = has_rules;
        plan->has_any = has_any;
      }
    }
    for (Plan* plan : fresh) {
      std::erase_if(plan->fields, [](const FieldPlan& field) {
        const bool below = field.child != nullptr && (field.child->has_rules || field.child->has_any);
        return field.rules == nullptr && !field.disallowed && !field.disallowed_enum && !field.duration && !field.any && !below;
      });
    }
  }

  absl::Mutex mutex_;
  absl::flat_hash_map<const pb::Descriptor*, std::unique_ptr<Plan>> plans_;
};

// The way to a value, on the stack; written out only for an error.
struct Step {
  const Step* parent = nullptr;
  const pb::FieldDescriptor* field = nullptr;
  int index = -1;        // of an item or map entry; -1: the field as a whole
  std::string key = {};  // of a map entry
  bool sensitive = false;

  std::string path(std::string_view start) const {
    std::string text = parent == nullptr ? std::string(start) : parent->path(start);
    if (field == nullptr) {
      return text;
    }
    text = doc::join_path(text, field->name());
    if (index < 0) {
      return text;
    }
    return field->is_map() ? doc::join_path(text, key) : doc::join_path(text, static_cast<std::size_t>(index));
  }
};

class Checker {
 public:
  explicit Checker(const ValidateOptions& options) : options_(options) {}

  void message(const pb::Message& message, const Plan& plan, const Step& here) {
    if (!worth(plan)) {
      return;
    }
    const pb::Reflection* reflection = message.GetReflection();
    for (const FieldPlan& field : plan.fields) {
      if (full()) {
        return;
      }
      switch (field.shape) {
        case FieldPlan::Shape::Map: map(message, field, here); break;
        case FieldPlan::Shape::List: list(message, field, here); break;
        case FieldPlan::Shape::Singular: singular(message, field, here); break;
      }
    }
    for (const pb::OneofDescriptor* oneof : plan.required_oneofs) {
      if (!reflection->HasOneof(message, oneof)) {
        add(here, absl::StrCat("one of ", choices(oneof), " is required"));
      }
    }
  }

  void any(const pb::Message& any, const Step& here) {
    pb::Any copy;
    if (!copy.ParseFromString(any.SerializeAsString()) || find_message(copy.type_url()) == nullptr) {
      return;  // whether a type is known is not a matter of rules
    }
    const auto content = unpack(copy);
    if (content.ok()) {
      message(**content, *Plans::instance().find((*content)->GetDescriptor()), here);
    } else {
      add(here, content.status().message());
    }
  }

  std::vector<Violation> take() { return std::move(found_); }

 private:
  bool full() const { return found_.size() >= options_.max_violations; }
  bool worth(const Plan& plan) const { return plan.has_rules || ((options_.open_any || options_.met_any != nullptr) && plan.has_any); }

  static std::string choices(const pb::OneofDescriptor* oneof) {
    std::vector<std::string> names;
    for (int at = 0; at < oneof->field_count(); ++at) {
      names.push_back(oneof->field(at)->name());
    }
    return absl::StrJoin(names, ", ");
  }

  void add(const Step& here, std::string_view what, std::string value = "") {
    if (full()) {
      return;
    }
    std::string text(what);
    if (!value.empty()) {
      absl::StrAppend(&text, " (value ", here.sensitive ? "[redacted]" : value, ")");
    }
    found_.push_back({here.path(options_.path), std::move(text)});
  }

  static Step step(const Step& parent, const FieldPlan& plan) {
    return {&parent, plan.field, -1, {}, parent.sensitive || plan.sensitive};
  }

  void singular(const pb::Message& message, const FieldPlan& plan, const Step& parent) {
    const pb::Reflection* reflection = message.GetReflection();
    const bool present = !plan.has_presence || reflection->HasField(message, plan.field);
    if (!present && !plan.required) {
      return;
    }
    const Step here = step(parent, plan);
    if (plan.disallowed && reflection->HasField(message, plan.field)) {
      add(here, "is deprecated and refused by default");
    }
    if (!present) {
      add(here, "is required");
    } else if (plan.field->message_type() != nullptr) {
      value(reflection->GetMessage(message, plan.field), plan, here);
    } else {
      scalar(message, plan.field, -1, plan, plan.own, here);
    }
  }

  void list(const pb::Message& message, const FieldPlan& plan, const Step& parent) {
    const pb::Reflection* reflection = message.GetReflection();
    const int size = reflection->FieldSize(message, plan.field);
    if (size == 0 && plan.rules == nullptr) {
      return;
    }
    Step here = step(parent, plan);
    if (plan.disallowed && size > 0) {
      add(here, "is deprecated and refused by default");
    }
    if (plan.rules != nullptr && !length(plan.rules->repeated(), size, here)) {
      return;
    }
    const bool unique = plan.rules != nullptr && plan.rules->repeated().unique();
    std::set<std::string> seen;
    for (int at = 0; at < size && !full(); ++at) {
      here.index = at;
      if (plan.field->message_type() != nullptr) {
        value(reflection->GetRepeatedMessage(message, plan.field, at), plan, here);
        continue;
      }
      scalar(message, plan.field, at, plan, plan.own, here);
      if (std::string scratch; unique && !seen.insert(identity(message, plan.field, at, scratch)).second) {
        add(here, "must not repeat an earlier item", rules::to_string(rules::read(message, plan.field, at, scratch)));
      }
    }
  }

  static std::string identity(const pb::Message& message, const pb::FieldDescriptor* field, int at,
                              std::string& scratch) {
    const rules::Scalar value = rules::read(message, field, at, scratch);
    return field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING ? std::string(value.text) : rules::to_string(value);
  }

  // min_items and max_items, min_pairs and max_pairs.
  template <typename Rules>
  bool length(const Rules& rules, int size, const Step& here) {
    if (size == 0 && rules.ignore_empty()) {
      return true;
    }
    const auto [low, has_high, high] = bounds(rules);
    const auto count = static_cast<std::uint64_t>(size);
    if (count >= low && (!has_high || count <= high)) {
      return true;
    }
    add(here,
        count < low ? absl::StrCat("must have at least ", low, low == 1 ? " item" : " items")
                    : absl::StrCat("must have at most ", high, high == 1 ? " item" : " items"),
        absl::StrCat(size, size == 1 ? " item" : " items"));
    return false;
  }
  struct Bounds {
    std::uint64_t low;
    bool has_high;
    std::uint64_t high;
  };
  static Bounds bounds(const validate::RepeatedRules& rules) {
    return {rules.min_items(), rules.has_max_items(), rules.max_items()};
  }
  static Bounds bounds(const validate::MapRules& rules) {
    return {rules.min_pairs(), rules.has_max_pairs(), rules.max_pairs()};
  }

  void map(const pb::Message& message, const FieldPlan& plan, const Step& parent) {
    const pb::Reflection* reflection = message.GetReflection();
    const int size = reflection->FieldSize(message, plan.field);
    if (size == 0 && plan.rules == nullptr) {
      return;
    }
    Step here = step(parent, plan);
    if (plan.rules != nullptr && !length(plan.rules->map(), size, here)) {
      return;
    }
    const pb::FieldDescriptor* key_field = plan.field->message_type()->map_key();
    const pb::FieldDescriptor* value_field = plan.field->message_type()->map_value();
    for (int at = 0; at < size && !full(); ++at) {
      const pb::Message& entry = reflection->GetRepeatedMessage(message, plan.field, at);
      std::string scratch;
      const rules::Scalar key = rules::read(entry, key_field, -1, scratch);
      here.index = at;
      here.key =
          key_field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING ? std::string(key.text) : rules::to_string(key);
      std::string why;
      if (!rules::check(plan.keys, key, why)) {
        add(here, absl::StrCat("its key ", why), rules::to_string(key));
      }
      if (value_field->message_type() != nullptr) {
        value(entry.GetReflection()->GetMessage(entry, value_field), plan, here);
      } else {
        scalar(entry, value_field, -1, plan, plan.own, here);
      }
    }
  }

  // A message value: the field itself, an item or a map's value.
  void value(const pb::Message& content, const FieldPlan& plan, const Step& here) {
    std::string why;
    if (plan.own.rules != nullptr && plan.value_field->containing_type() == content.GetDescriptor()) {
      scalar(content, plan.value_field, -1, plan, plan.own, here);  // a wrapper under the rules of what it wraps
    } else if (!rules::check(plan.own, content, why) || (plan.duration && !rules::check_duration(content, why))) {
      add(here, why, rules::to_string(content));
    }
    if (plan.child != nullptr) {
      message(content, *plan.child, here);
    } else if (plan.any && options_.open_any) {
      any(content, here);
    } else if (plan.any && options_.met_any != nullptr) {
      *options_.met_any = true;
    }
  }

  void scalar(const pb::Message& message, const pb::FieldDescriptor* field, int index, const FieldPlan& plan,
              const rules::RuleSet& set, const Step& here) {
    std::string scratch;
    std::string why;
    const rules::Scalar content = rules::read(message, field, index, scratch);
    if (!rules::check(set, content, why)) {
      add(here, why, rules::to_string(content));
    }
    if (plan.disallowed_enum && field->enum_type() != nullptr) {
      const pb::EnumValueDescriptor* known = field->enum_type()->FindValueByNumber(static_cast<int>(content.integer));
      if (known != nullptr && known->options().GetExtension(envoy::annotations::disallowed_by_default_enum)) {
        add(here, "is a deprecated value, refused by default", known->name());
      }
    }
  }

  const ValidateOptions& options_;
  std::vector<Violation> found_;
};

}  // namespace

std::vector<Violation> violations(const pb::Message& message, const ValidateOptions& options) {
  Checker checker(options);
  const Step root;
  if (options.open_any && message.GetDescriptor()->well_known_type() == pb::Descriptor::WELLKNOWNTYPE_ANY) {
    checker.any(message, root);
  } else {
    checker.message(message, *Plans::instance().find(message.GetDescriptor()), root);
  }
  return checker.take();
}

absl::Status validate(const pb::Message& message, const ValidateOptions& options) {
  const std::vector<Violation> found = violations(message, options);
  if (found.empty()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrJoin(found, "\n", [](std::string* out, const Violation& violation) {
    absl::StrAppend(out, violation.path, violation.path.empty() ? "" : ": ", violation.message);
  }));
}

std::vector<std::string> unsupported_rules(const pb::Descriptor* descriptor) {
  std::vector<std::string> found;
  for (int at = 0; at < descriptor->field_count(); ++at) {
    const pb::FieldDescriptor* field = descriptor->field(at);
    const validate::FieldRules& all = field->options().GetExtension(validate::rules);
    for (const validate::FieldRules* rules : {&all, &all.repeated().items(), &all.map().keys(), &all.map().values()}) {
      if (const std::string name = rules::unsupported(*rules); !name.empty()) {
        found.push_back(absl::StrCat(field->name(), ": ", name));
      }
    }
  }
  return found;
}

}  // namespace fairlead
