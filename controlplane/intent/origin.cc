// How origins and findings read. Pure; any thread.
#include "controlplane/intent/origin.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_cat.h>

namespace fairlead::intent {

std::string Origin::object() const {
  if (kind.empty() || name.empty()) return absl::StrCat(kind, name);  // of a document that cannot be read there may be one or none
  return ns.empty() ? absl::StrCat(kind, " ", name) : absl::StrCat(kind, " ", ns, "/", name);
}

std::string Origin::place() const {
  if (!file.empty()) return line > 0 ? absl::StrCat(file, ":", line) : file;
  return generation > 0 ? absl::StrCat(object(), "@", generation) : object();
}

std::string Origin::str() const {
  std::string out = place();
  if (const std::string what = object(); !file.empty() && !what.empty()) absl::StrAppend(&out, ": ", what);
  if (!field.empty()) absl::StrAppend(&out, ": ", field);
  return out;
}

bool Origin::same_object(const Origin& other) const {
  return group == other.group && kind == other.kind && ns == other.ns && name == other.name;
}

struct Origins::Held {
  std::once_flag once;
  std::function<std::vector<Origin>()> make;  // none: `list` is there already
  std::vector<Origin> list;
};

Origins::Origins(std::initializer_list<Origin> list) : Origins(std::vector<Origin>(list)) {}

Origins::Origins(std::vector<Origin> list) {
  if (list.empty()) return;
  held_ = std::make_shared<Held>();
  held_->list = std::move(list);
}

Origins Origins::later(std::function<std::vector<Origin>()> make) {
  Origins out;
  out.held_ = std::make_shared<Held>();
  out.held_->make = std::move(make);
  return out;
}

const std::vector<Origin>& Origins::list() const {
  static const std::vector<Origin> kNone;
  if (!held_) return kNone;
  if (held_->make) std::call_once(held_->once, [this] { held_->list = held_->make(); });
  return held_->list;
}

void Origins::push_back(Origin origin) {
  std::vector<Origin> next = list();  // others may hold this one
  next.push_back(std::move(origin));
  *this = Origins(std::move(next));
}

bool Origins::operator==(const Origins& other) const { return held_ == other.held_ || list() == other.list(); }

struct UniqueOrigins::Seen {
  // The name, the field and the line tell most of them apart.
  struct Hash {
    size_t operator()(const Origin* o) const { return absl::HashOf(o->ns, o->name, o->field, o->line); }
  };
  struct Equal {
    bool operator()(const Origin* a, const Origin* b) const { return a == b || *a == *b; }
  };
  std::vector<const Origin*> order;
  absl::flat_hash_set<const Origin*, Hash, Equal> all;
};

UniqueOrigins::UniqueOrigins() : seen_(std::make_unique<Seen>()) {}
UniqueOrigins::~UniqueOrigins() = default;

void UniqueOrigins::add(const Origin& origin) {
  if (seen_->all.insert(&origin).second) seen_->order.push_back(&origin);
}

std::vector<Origin> UniqueOrigins::take() const {
  std::vector<Origin> out;
  out.reserve(seen_->order.size());
  for (const Origin* o : seen_->order) out.push_back(*o);
  return out;
}

void add_origin(Origins& to, const Origin& origin) {
  if (std::find(to.begin(), to.end(), origin) == to.end()) to.push_back(origin);
}

doc::Value to_doc(const Origins& origins) {
  std::vector<doc::Value> items;
  for (const Origin& o : origins) {
    items.push_back(doc::map({{"source", doc::string(o.source), {}},
                              {"file", doc::string(o.file), {}},
                              {"line", doc::integer(o.line), {}},
                              {"group", doc::string(o.group), {}},
                              {"kind", doc::string(o.kind), {}},
                              {"namespace", doc::string(o.ns), {}},
                              {"name", doc::string(o.name), {}},
                              {"generation", doc::integer(o.generation), {}},
                              {"field", doc::string(o.field), {}}}));
  }
  return doc::list(std::move(items));
}

Origins origins_from_doc(const doc::Value* list) {
  Origins out;
  if (!list) return out;
  for (const doc::Value& o : list->items()) {
    auto text = [&o](std::string_view key) {
      const doc::Value* v = o.find(key);
      return v && v->is_string() ? v->as_string() : std::string();
    };
    auto number = [&o](std::string_view key) {
      const doc::Value* v = o.find(key);
      return v && v->kind() == doc::Kind::integer ? v->as_integer() : int64_t{0};
    };
    out.push_back({text("source"), text("file"), static_cast<int>(number("line")), text("group"), text("kind"), text("namespace"),
                   text("name"), number("generation"), text("field")});
  }
  return out;
}

std::string_view severity_name(Severity s) {
  switch (s) {
    case Severity::kError: return "error";
    case Severity::kWarning: return "warning";
    case Severity::kNote: return "note";
  }
  return "error";
}

std::string Finding::str() const { return absl::StrCat(origin.str(), ": ", reason, ": ", message); }

}  // namespace fairlead::intent
