// Where a thing came from: carried unchanged from the document a user wrote to the condition they read.
// Plain values, no thread of their own. An Origin is filled once by an adapter and never edited afterwards.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/doc.h"

namespace fairlead::intent {

struct Origin {
  std::string source;      // the source's name: "file:/etc/fairlead"
  std::string file;        // the file it was read from; empty for sources without files
  int line = 0;            // where it begins in the file, from 1; 0 when unknown
  std::string group;       // API group of the object, "" for core
  std::string kind;        // "HTTPRoute"
  std::string ns;          // "" for cluster-scoped kinds
  std::string name;
  int64_t generation = 0;  // metadata.generation, 0 when the source has none
  std::string field;       // path within the object, "spec.rules[0]"; empty for the whole object

  auto operator<=>(const Origin&) const = default;
  bool operator==(const Origin&) const = default;

  // "HTTPRoute default/app"; the identity without the place.
  std::string object() const;
  // "routes.yaml:12" when a file is known, else "HTTPRoute default/app@3".
  std::string place() const;
  // "routes.yaml:12: HTTPRoute default/app: spec.rules[0]", what an error begins with.
  std::string str() const;
  // The same object, whatever the field, line or generation.
  bool same_object(const Origin& other) const;
};

// A list of them. Copies share what they hold, so that handing on ten thousand costs a pointer; two are compared by it first. Any thread may read.
class Origins {
 public:
  using value_type = Origin;
  using const_iterator = std::vector<Origin>::const_iterator;

  Origins() = default;
  Origins(std::initializer_list<Origin> list);
  explicit Origins(std::vector<Origin> list);
  // Made once, when somebody first looks at it, on whichever thread that is: of what has thousands of which few are ever asked for.
  static Origins later(std::function<std::vector<Origin>()> make);

  const std::vector<Origin>& list() const;
  bool empty() const { return list().empty(); }
  size_t size() const { return list().size(); }
  const_iterator begin() const { return list().begin(); }
  const_iterator end() const { return list().end(); }
  const Origin& front() const { return list().front(); }
  const Origin& operator[](size_t i) const { return list()[i]; }
  void push_back(Origin origin);
  bool operator==(const Origins& other) const;

 private:
  struct Held;
  std::shared_ptr<Held> held_;  // null: none
};

// Each once, in the order of first mention. What is pointed to outlives the gathering.
class UniqueOrigins {
 public:
  UniqueOrigins();
  ~UniqueOrigins();
  void add(const Origin& origin);
  std::vector<Origin> take() const;

 private:
  struct Seen;
  std::unique_ptr<Seen> seen_;
};

// Appends what is not yet there; order of first mention is kept. Looks at all there are: of many, UniqueOrigins.
void add_origin(Origins& to, const Origin& origin);

// For state files: a list of maps, and back. What is missing or of another type is left empty.
doc::Value to_doc(const Origins& origins);
Origins origins_from_doc(const doc::Value* list);  // null: none

enum class Severity { kError, kWarning, kNote };
std::string_view severity_name(Severity s);  // "error", "warning", "note"

// Something to tell the author of an object, found while planning or building. Turned into a condition by verdict/.
struct Finding {
  Severity severity = Severity::kError;
  Origin origin;
  std::string scope;    // "ns/name" of the Gateway it was found in; empty when it holds everywhere
  std::string reason;   // CamelCase, as a condition's reason: "ProtocolConflict", "NameConflict"
  std::string message;  // one sentence, naming the winner or the other side

  bool operator==(const Finding&) const = default;
  std::string str() const;  // "routes.yaml:12: HTTPRoute default/app: Reason: message"
};

}  // namespace fairlead::intent
