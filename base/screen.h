// Screen: one pass over the bytes of a message that answers at once what several walks over the message would be asked: does it obey its
// `validate.rules`, does this binary know all its fields, and does the caller's book allow all that is set. It meets only what is there, where
// a walk by reflection asks every field of every message whether it is: 10,000 routes take some 2 ms.
// A "yes" is certain. A "no" only says that somebody has to look closer (base/validate.h and the caller's own walk, which also have the words
// for it): bytes that an encoder does not write, such as a field given twice, and rules that need more than the value at hand, are a "no" as well.
// Invariant: what is said holds for the message that these bytes are parsed as, and of the messages in its Anys too.
// Owned and used by one thread. Plans of types are made when they are first met and kept; descriptors must live as long.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace google::protobuf {
class Descriptor;
class EnumValueDescriptor;
class FieldDescriptor;
}  // namespace google::protobuf

namespace fairlead {

namespace rules {
struct RuleSet;
}

class Screen {
 public:
  // What the caller allows beside the rules; asked once for each type, field and value. Unset: all is allowed.
  struct Book {
    std::function<bool(const google::protobuf::Descriptor*)> covers;  // false: the book has nothing to say on its fields, nor on what is below
    std::function<bool(const google::protobuf::FieldDescriptor*)> allows;
    std::function<bool(const google::protobuf::EnumValueDescriptor*)> allows_value;  // of fields that are allowed
  };

  struct Verdict {
    bool rules = true;    // validate() with open_any has nothing to say
    bool known = true;    // no unknown fields
    bool allowed = true;  // by the book

    bool any() const { return rules || known || allowed; }
  };

  explicit Screen(Book book = {});
  ~Screen();
  Screen(const Screen&) = delete;

  // `bytes` must be ones that have been parsed as that type.
  Verdict look(const google::protobuf::Descriptor* type, std::string_view bytes);

 private:
  struct Field;
  struct Plan;
  class Pass;
  using Key = std::tuple<const google::protobuf::Descriptor*, bool, bool>;  // type, under the rules, under the book

  Plan& plan(const google::protobuf::Descriptor* type, bool rules, bool book);
  void fill(Plan& plan, const google::protobuf::Descriptor* type, bool rules, bool book);
  Field field(const google::protobuf::FieldDescriptor* field, bool rules, bool book);
  void length(Plan& plan, Field& out, const google::protobuf::FieldDescriptor* field) const;
  void value(Field& out, const google::protobuf::FieldDescriptor* value, const rules::RuleSet& own, bool rules, bool book);
  Plan* entry(const google::protobuf::FieldDescriptor* map, const rules::RuleSet& keys, const rules::RuleSet& values, bool rules, bool book);
  Plan* wrapper(const google::protobuf::Descriptor* type, const rules::RuleSet& own);
  static void add(Plan& plan, Field field);
  const google::protobuf::Descriptor* opened(std::string_view type_url);

  Book book_;
  std::map<Key, std::unique_ptr<Plan>> plans_;
  std::vector<std::unique_ptr<Plan>> made_;  // of map entries and wrappers, each for one field
  absl::flat_hash_map<std::string, const google::protobuf::Descriptor*> types_;  // by type URL
};

}  // namespace fairlead
