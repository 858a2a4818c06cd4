// Plans say for each field how its bytes are read and what they are asked; a Pass follows them over the bytes.
#include "base/screen.h"

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cstring>
#include <limits>
#include <utility>

#include "base/descriptors.h"
#include "base/validate_rules.h"
#include "envoy/annotations/deprecation.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "validate/validate.pb.h"

namespace fairlead {

namespace pb = google::protobuf;
using pb::Descriptor;
using pb::FieldDescriptor;

namespace {

constexpr std::size_t kMostFields = 128;
constexpr std::size_t kMostCounted = 8;
constexpr int kMostDepth = 60;  // the parser and the walks allow 100
constexpr std::size_t kMostTypes = 4096;

using Bits = std::bitset<kMostFields>;

enum class Wire : std::uint8_t { Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5 };

Wire wire_of(FieldDescriptor::Type type) {
  switch (type) {
    case FieldDescriptor::TYPE_DOUBLE:
    case FieldDescriptor::TYPE_FIXED64:
    case FieldDescriptor::TYPE_SFIXED64: return Wire::Fixed64;
    case FieldDescriptor::TYPE_FLOAT:
    case FieldDescriptor::TYPE_FIXED32:
    case FieldDescriptor::TYPE_SFIXED32: return Wire::Fixed32;
    case FieldDescriptor::TYPE_STRING:
    case FieldDescriptor::TYPE_BYTES:
    case FieldDescriptor::TYPE_MESSAGE:
    case FieldDescriptor::TYPE_GROUP: return Wire::Bytes;
    default: return Wire::Varint;
  }
}

// Reads what the parser reads, and refuses whatever the parser might refuse.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool done() const { return at_ == end_; }

  bool varint(std::uint64_t& out, int most_bytes = 10) {
    if (at_ != end_ && static_cast<std::uint8_t>(*at_) < 0x80) {
      out = static_cast<std::uint8_t>(*at_++);
      return true;
    }
    out = 0;
    for (int i = 0; i < most_bytes && at_ != end_; ++i) {
      const auto byte = static_cast<std::uint8_t>(*at_++);
      out |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * i);
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool tag(std::uint32_t& number, Wire& wire) {
    std::uint64_t tag = 0;
    if (!varint(tag, 5) || tag > std::numeric_limits<std::uint32_t>::max()) return false;
    number = static_cast<std::uint32_t>(tag >> 3);
    wire = static_cast<Wire>(tag & 7);
    return number != 0;
  }
  bool bytes(std::string_view& out) {
    std::uint64_t size = 0;
    if (!varint(size, 5) || size > static_cast<std::uint64_t>(end_ - at_)) return false;
    out = {at_, static_cast<std::size_t>(size)};
    at_ += size;
    return true;
  }
  template <class T>
  bool fixed(T& out) {
    static_assert(std::endian::native == std::endian::little);
    if (static_cast<std::size_t>(end_ - at_) < sizeof(T)) return false;
    std::memcpy(&out, at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  // False of groups, too.
  bool skip(Wire wire) {
    std::uint64_t wide = 0;
    std::uint32_t narrow = 0;
    std::string_view text;
    switch (wire) {
      case Wire::Varint: return varint(wide);
      case Wire::Fixed64: return fixed(wide);
      case Wire::Fixed32: return fixed(narrow);
      case Wire::Bytes: return bytes(text);
    }
    return false;
  }

 private:
  const char* at_;
  const char* end_;
};

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_wrapper(const Descriptor* type) {
  return type->well_known_type() >= Descriptor::WELLKNOWNTYPE_DOUBLEVALUE && type->well_known_type() <= Descriptor::WELLKNOWNTYPE_BOOLVALUE;
}

bool is_scalar_rule(const rules::RuleSet& set) {
  if (set.rules == nullptr) return false;
  const auto kind = set.rules->type_case();
  return kind >= validate::FieldRules::kFloat && kind <= validate::FieldRules::kEnum;
}

bool is_disallowed(const pb::EnumValueDescriptor* value) { return value->options().GetExtension(envoy::annotations::disallowed_by_default_enum); }

// Does a field that is not there, and so has its type's zero, obey?
bool zero_obeys(const FieldDescriptor* field, const rules::RuleSet& set) {
  rules::Scalar zero;
  zero.field = field;
  std::string why;
  return rules::check(set, zero, why);
}

}  // namespace

struct Screen::Field {
  enum class Kind : std::uint8_t { Scalar, Text, Message, Any, Duration };
  std::uint32_t number = 0;
  Kind kind = Kind::Scalar;
  Wire wire = Wire::Varint;
  FieldDescriptor::Type type = FieldDescriptor::TYPE_BOOL;
  bool repeated = false;
  bool packable = false;
  bool string = false;         // and so UTF-8
  bool allowed = true;         // by the book
  bool closer = false;         // its rules need a closer look whenever it is there
  bool unique = false;
  bool of_values = false;      // an enum some of whose values are not in `values`
  bool of_fine_values = false;  // likewise, in `fine_values`
  bool needed = false;         // absence breaks a rule
  bool rules_below = false, book_below = false;
  std::uint8_t counted = kMostCounted;  // which of the pass's counts; kMostCounted: none
  std::uint32_t low = 0, high = 0;      // of that count
  std::uint64_t values = 0;       // of an enum, by number: those the book allows
  std::uint64_t fine_values = 0;  // those that are not refused by default
  const FieldDescriptor* field = nullptr;
  rules::RuleSet rules;
  const Descriptor* below = nullptr;  // the type of a message
  Plan* child = nullptr;              // made when first met
  Bits conflicts;                     // none of these may have been there: itself when singular, and the others of its oneof
};

struct Screen::Plan {
  bool hopeless = false;  // nothing can be said on such messages
  bool counts = false;
  std::vector<std::uint8_t> at;  // by number: which of `fields`; kNone
  std::vector<Field> fields;
  Bits needed;
  std::vector<Bits> oneofs;  // required ones

  static constexpr std::uint8_t kNone = 255;
};

// --- plans --------------------------------------------------------------------------------------------------------------------

Screen::Screen(Book book) : book_(std::move(book)) {}
Screen::~Screen() = default;

Screen::Plan& Screen::plan(const Descriptor* type, bool rules, bool book) {
  const auto [it, fresh] = plans_.try_emplace({type, rules, book});
  if (fresh) {
    it->second = std::make_unique<Plan>();
    fill(*it->second, type, rules, book);
  }
  return *it->second;
}

void Screen::add(Plan& plan, Field field) {
  const std::size_t index = plan.fields.size();
  if (plan.at.size() <= field.number) plan.at.resize(field.number + 1, Plan::kNone);
  plan.at[field.number] = static_cast<std::uint8_t>(index);
  if (!field.repeated) field.conflicts.set(index);
  if (field.needed) plan.needed.set(index);
  plan.fields.push_back(std::move(field));
}

void Screen::fill(Plan& plan, const Descriptor* type, bool rules, bool book) {
  plan.hopeless = type->file()->syntax() != pb::FileDescriptor::SYNTAX_PROTO3 || static_cast<std::size_t>(type->field_count()) > kMostFields ||
                  type->well_known_type() == Descriptor::WELLKNOWNTYPE_ANY;
  for (int i = 0; i < type->field_count(); ++i) plan.hopeless |= type->field(i)->number() > 255;
  if (plan.hopeless) return;
  if (type->options().GetExtension(validate::disabled) || type->options().GetExtension(validate::ignored)) rules = false;
  for (int i = 0; i < type->field_count(); ++i) {
    Field made = field(type->field(i), rules, book);
    if (rules && made.repeated) length(plan, made, type->field(i));
    add(plan, std::move(made));
  }
  for (int i = 0; i < type->oneof_decl_count(); ++i) {
    const pb::OneofDescriptor* oneof = type->oneof_decl(i);
    Bits members;
    for (int k = 0; k < oneof->field_count(); ++k) members.set(static_cast<std::size_t>(oneof->field(k)->index()));
    for (int k = 0; k < oneof->field_count(); ++k) plan.fields[static_cast<std::size_t>(oneof->field(k)->index())].conflicts |= members;
    if (rules && oneof->options().GetExtension(validate::required)) plan.oneofs.push_back(members);
  }
}

Screen::Field Screen::field(const FieldDescriptor* field, bool rules, bool book) {
  Field out;
  const validate::FieldRules* all = rules && field->options().HasExtension(validate::rules) ? &field->options().GetExtension(validate::rules) : nullptr;
  rules::RuleSet own;
  if (all != nullptr) own = rules::compile(field->is_map() ? all->map().values() : field->is_repeated() ? all->repeated().items() : *all);
  out.allowed = !book || !book_.allows || book_.allows(field);
  const bool book_below = book && out.allowed;
  if (field->is_map()) {
    out.wire = Wire::Bytes;
    out.kind = Field::Kind::Message;
    out.field = field;
    out.child = entry(field, all != nullptr ? rules::compile(all->map().keys()) : rules::RuleSet(), own, rules, book_below);
  } else {
    value(out, field, own, rules, book_below);
  }
  out.number = static_cast<std::uint32_t>(field->number());
  out.repeated = field->is_repeated();
  out.packable = field->is_packable();
  if (rules && !field->is_map()) out.closer |= field->options().GetExtension(envoy::annotations::disallowed_by_default);
  if (rules && !field->is_repeated()) {
    out.needed = field->has_presence() ? field->real_containing_oneof() == nullptr && rules::is_required(own)
                                       : !zero_obeys(field, own) || (out.of_fine_values && (out.fine_values & 1) == 0);
  }
  return out;
}

// How often a list or map may be there.
void Screen::length(Plan& plan, Field& out, const FieldDescriptor* field) const {
  if (!field->options().HasExtension(validate::rules)) return;
  const validate::FieldRules& all = field->options().GetExtension(validate::rules);
  const bool map = field->is_map();
  const std::uint64_t low = map ? all.map().min_pairs() : all.repeated().min_items();
  const bool has_high = map ? all.map().has_max_pairs() : all.repeated().has_max_items();
  const std::uint64_t high = map ? all.map().max_pairs() : all.repeated().max_items();
  out.needed = low > 0 && !(map ? all.map().ignore_empty() : all.repeated().ignore_empty());
  out.unique = !map && all.repeated().unique();
  if (low <= 1 && !has_high) return;
  const auto taken = static_cast<std::size_t>(std::count_if(plan.fields.begin(), plan.fields.end(), [](const Field& f) { return f.counted != kMostCounted; }));
  if (taken == kMostCounted || (map && low > 1)) {  // keys of a map may come again
    out.closer = true;
    return;
  }
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  out.counted = static_cast<std::uint8_t>(taken);
  out.low = static_cast<std::uint32_t>(std::min(low, most));
  out.high = static_cast<std::uint32_t>(has_high ? std::min(high, most) : most);
  plan.counts = true;
}

// What is read: of the field, or of a list's items or a map's values.
void Screen::value(Field& out, const FieldDescriptor* value, const rules::RuleSet& own, bool rules, bool book) {
  out.field = value;
  out.type = value->type();
  out.wire = wire_of(value->type());
  if (value->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    out.kind = Field::Kind::Text;
    out.string = value->type() == FieldDescriptor::TYPE_STRING;
    out.rules = own;
    return;
  }
  if (const pb::EnumDescriptor* type = value->enum_type()) {
    out.of_values = book && book_.allows_value;
    for (int i = 0; i < type->value_count(); ++i) {
      const pb::EnumValueDescriptor* one = type->value(i);
      const bool refused = rules && is_disallowed(one);
      out.of_fine_values |= refused;
      if (one->number() < 0 || one->number() > 63) continue;
      const std::uint64_t bit = std::uint64_t{1} << one->number();
      if (out.of_values && book_.allows_value(one)) out.values |= bit;
      if (!refused) out.fine_values |= bit;
    }
    if (type->options().allow_alias()) out.values = out.fine_values = 0;  // which of a number's names counts is not looked up here
  }
  const Descriptor* type = value->message_type();
  if (type == nullptr) {
    out.rules = own;
    return;
  }
  const bool below = rules && !(own.rules != nullptr && own.rules->message().skip());
  out.kind = Field::Kind::Message;
  out.below = type;
  out.book_below = book && (!book_.covers || book_.covers(type));
  if (type->well_known_type() == Descriptor::WELLKNOWNTYPE_ANY) {
    out.kind = Field::Kind::Any;
    out.rules_below = below;
    out.book_below = book;
    out.closer |= below && own.rules != nullptr && (own.rules->any().in_size() > 0 || own.rules->any().not_in_size() > 0);
  } else if (below && type->well_known_type() == Descriptor::WELLKNOWNTYPE_DURATION) {
    out.kind = Field::Kind::Duration;
    out.rules = own;
    out.allowed &= !out.book_below;
  } else if (below && is_wrapper(type) && is_scalar_rule(own)) {
    out.child = wrapper(type, own);
    out.allowed &= !out.book_below;
  } else {
    out.rules_below = below && type->well_known_type() == Descriptor::WELLKNOWNTYPE_UNSPECIFIED;
    out.closer |= below && own.rules != nullptr && own.rules->has_timestamp();
  }
}

// A map's entry is a message of key and value.
Screen::Plan* Screen::entry(const FieldDescriptor* map, const rules::RuleSet& keys, const rules::RuleSet& values, bool rules, bool book) {
  Plan* plan = made_.emplace_back(std::make_unique<Plan>()).get();
  const FieldDescriptor* parts[] = {map->message_type()->map_key(), map->message_type()->map_value()};
  for (const FieldDescriptor* part : parts) {
    Field out;
    const rules::RuleSet& own = part == parts[0] ? keys : values;
    value(out, part, own, rules, book && part->message_type() != nullptr);  // the book is not asked of values that are no messages
    out.number = static_cast<std::uint32_t>(part->number());
    out.needed = rules && (part->message_type() != nullptr || !zero_obeys(part, own) || (out.of_fine_values && (out.fine_values & 1) == 0));
    add(*plan, std::move(out));
  }
  return plan;
}

// UInt32Value and its like, under the rules of what it wraps.
Screen::Plan* Screen::wrapper(const Descriptor* type, const rules::RuleSet& own) {
  Plan* plan = made_.emplace_back(std::make_unique<Plan>()).get();
  const FieldDescriptor* content = type->FindFieldByNumber(1);
  Field out;
  value(out, content, own, true, false);
  out.number = 1;
  out.needed = !zero_obeys(content, own);
  add(*plan, std::move(out));
  return plan;
}

const Descriptor* Screen::opened(std::string_view type_url) {
  if (const auto it = types_.find(type_url); it != types_.end()) return it->second;
  const Descriptor* type = find_message(type_url);
  if (type == nullptr) return nullptr;
  if (types_.size() >= kMostTypes) types_.clear();
  types_.emplace(std::string(type_url), type);
  return type;
}

// --- the pass -----------------------------------------------------------------------------------------------------------------

class Screen::Pass {
 public:
  explicit Pass(Screen& screen) : screen_(screen) {}

  void message(Plan& plan, std::string_view bytes, int depth) {
    if (plan.hopeless || depth > kMostDepth) return give_up();
    Bits seen;
    std::array<std::uint32_t, kMostCounted> counts{};
    Reader in(bytes);
    while (!in.done()) {
      std::uint32_t number = 0;
      Wire wire = Wire::Varint;
      if (!in.tag(number, wire)) return give_up();
      const std::uint8_t index = number < plan.at.size() ? plan.at[number] : Plan::kNone;
      const bool packed = index != Plan::kNone && wire == Wire::Bytes && plan.fields[index].packable;
      if (index == Plan::kNone || (wire != plan.fields[index].wire && !packed)) {  // to the parser it is unknown, then
        verdict_.known = false;
        if (!in.skip(wire)) return give_up();
        continue;
      }
      Field& field = plan.fields[index];
      if ((seen & field.conflicts).any()) return give_up();
      if (field.closer || (field.unique && (packed || seen[index]))) verdict_.rules = false;
      if (!field.allowed) verdict_.allowed = false;
      seen.set(index);
      std::uint32_t times = 1;
      if (!(packed ? list(field, in, times) : one(field, in, depth))) return give_up();
      if (field.counted != kMostCounted) counts[field.counted] += times;
      if (!verdict_.any()) return;
    }
    if ((seen & plan.needed) != plan.needed) verdict_.rules = false;
    for (const Bits& oneof : plan.oneofs)
      if ((seen & oneof).none()) verdict_.rules = false;
    if (!plan.counts) return;
    for (const Field& field : plan.fields)
      if (field.counted != kMostCounted && counts[field.counted] != 0 && (counts[field.counted] < field.low || counts[field.counted] > field.high)) verdict_.rules = false;
  }

  const Verdict& verdict() const { return verdict_; }

 private:
  void give_up() { verdict_ = {false, false, false}; }

  // One value; false: give up.
  bool one(Field& field, Reader& in, int depth) {
    std::string_view bytes;
    switch (field.kind) {
      case Field::Kind::Scalar: return scalar(field, in);
      case Field::Kind::Text: return in.bytes(bytes) && text(field, bytes);
      case Field::Kind::Message:
        if (!in.bytes(bytes)) return false;
        if (field.child == nullptr) field.child = &screen_.plan(field.below, field.rules_below, field.book_below);
        message(*field.child, bytes, depth + 1);
        return true;
      case Field::Kind::Any: return in.bytes(bytes) && any(field, bytes, depth);
      case Field::Kind::Duration: return in.bytes(bytes) && duration(field, bytes);
    }
    return false;
  }

  bool list(Field& field, Reader& in, std::uint32_t& times) {
    std::string_view bytes;
    if (!in.bytes(bytes)) return false;
    Reader items(bytes);
    for (times = 0; !items.done(); ++times)
      if (!scalar(field, items)) return false;
    return true;
  }

  bool text(const Field& field, std::string_view text) {
    // what has been parsed is UTF-8; of what an Any holds that is not known yet
    if (within_any_ && field.string && !is_ascii(text)) return false;
    if (field.rules.rules == nullptr) return true;
    rules::Scalar value;
    value.text = text;
    value.field = field.field;
    check(field, value);
    return true;
  }

  bool scalar(const Field& field, Reader& in) {
    rules::Scalar value;
    std::uint64_t wide = 0;
    std::uint32_t narrow = 0;
    if (!(field.wire == Wire::Varint ? in.varint(wide) : field.wire == Wire::Fixed64 ? in.fixed(wide) : in.fixed(narrow))) return false;
    if (field.of_values || field.of_fine_values) {
      const auto number = static_cast<std::int32_t>(wide);
      const std::uint64_t bit = number >= 0 && number < 64 ? std::uint64_t{1} << number : 0;
      if (field.of_values && (field.values & bit) == 0) verdict_.allowed = false;
      if (field.of_fine_values && (field.fine_values & bit) == 0) verdict_.rules = false;
    }
    if (field.rules.rules == nullptr) return true;
    value.field = field.field;
    switch (field.type) {
      case FieldDescriptor::TYPE_INT32:
      case FieldDescriptor::TYPE_ENUM: value.integer = static_cast<std::int32_t>(wide); break;
      case FieldDescriptor::TYPE_INT64:
      case FieldDescriptor::TYPE_SFIXED64: value.integer = static_cast<std::int64_t>(wide); break;
      case FieldDescriptor::TYPE_SINT64: value.integer = static_cast<std::int64_t>((wide >> 1) ^ (~(wide & 1) + 1)); break;
      case FieldDescriptor::TYPE_SINT32: {
        const auto low = static_cast<std::uint32_t>(wide);
        value.integer = static_cast<std::int32_t>((low >> 1) ^ (~(low & 1) + 1));
        break;
      }
      case FieldDescriptor::TYPE_SFIXED32: value.integer = static_cast<std::int32_t>(narrow); break;
      case FieldDescriptor::TYPE_UINT32: value.unsigned_integer = static_cast<std::uint32_t>(wide); break;
      case FieldDescriptor::TYPE_FIXED32: value.unsigned_integer = narrow; break;
      case FieldDescriptor::TYPE_UINT64:
      case FieldDescriptor::TYPE_FIXED64: value.unsigned_integer = wide; break;
      case FieldDescriptor::TYPE_BOOL: value.boolean = wide != 0; break;
      case FieldDescriptor::TYPE_FLOAT: value.number = std::bit_cast<float>(narrow); break;
      case FieldDescriptor::TYPE_DOUBLE: value.number = std::bit_cast<double>(wide); break;
      default: return false;
    }
    check(field, value);
    return true;
  }

  void check(const Field& field, const rules::Scalar& value) {
    std::string why;
    if (verdict_.rules && !rules::check(field.rules, value, why)) verdict_.rules = false;
  }

  bool duration(const Field& field, std::string_view bytes) {
    std::uint64_t parts[2] = {0, 0};  // seconds and nanos
    std::uint32_t last = 0;
    for (Reader in(bytes); !in.done();) {
      std::uint32_t number = 0;
      Wire wire = Wire::Varint;
      if (!in.tag(number, wire) || number > 2 || number <= last || wire != Wire::Varint || !in.varint(parts[number - 1])) return false;
      last = number;
    }
    pb::Duration value;
    value.set_seconds(static_cast<std::int64_t>(parts[0]));
    value.set_nanos(static_cast<std::int32_t>(parts[1]));
    std::string why;
    if (!rules::check(field.rules, value, why) || !rules::check_duration(value, why)) verdict_.rules = false;
    return true;
  }

  // A type that is not known is nobody's business here: whoever owns the field refuses it.
  bool any(const Field& field, std::string_view bytes, int depth) {
    std::string_view parts[2];  // type URL and content
    std::uint32_t last = 0;
    for (Reader in(bytes); !in.done();) {
      std::uint32_t number = 0;
      Wire wire = Wire::Varint;
      if (!in.tag(number, wire) || number > 2 || number <= last || wire != Wire::Bytes || !in.bytes(parts[number - 1])) return false;
      last = number;
    }
    if (within_any_ && !is_ascii(parts[0])) return false;
    const Descriptor* type = screen_.opened(parts[0]);
    if (type == nullptr) return true;
    const bool before = std::exchange(within_any_, true);
    message(screen_.plan(type, field.rules_below, field.book_below && (!screen_.book_.covers || screen_.book_.covers(type))), parts[1], depth + 1);
    within_any_ = before;
    return true;
  }

  Screen& screen_;
  Verdict verdict_;
  bool within_any_ = false;
};

Screen::Verdict Screen::look(const Descriptor* type, std::string_view bytes) {
  Pass pass(*this);
  const bool book = (book_.allows || book_.allows_value) && (!book_.covers || book_.covers(type));
  pass.message(plan(type, true, book), bytes, 0);
  return pass.verdict();
}

}  // namespace fairlead
