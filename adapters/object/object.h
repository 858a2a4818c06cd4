// An Object is one document a source delivered: its identity, its metadata and the tree it was read from,
// every node of which knows its line. Objects are immutable once made and shared by reference count, so a
// snapshot of the world costs pointers. Made on the source's thread, read by the pipeline's thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/doc.h"

namespace fairlead {
class ErrorList;
}

namespace fairlead::adapters {

// What makes two documents the same object. The API version is not part of it: v1 and v1beta1 name one thing.
struct ObjectKey {
  std::string group;  // "" for the core group
  std::string kind;
  std::string ns;  // "" for cluster-scoped kinds
  std::string name;

  auto operator<=>(const ObjectKey&) const = default;
  bool operator==(const ObjectKey&) const = default;

  // "HTTPRoute default/app", or "GatewayClass fairlead" without a namespace.
  std::string str() const;

  template <typename H>
  friend H AbslHashValue(H h, const ObjectKey& k) {
    return H::combine(std::move(h), k.group, k.kind, k.ns, k.name);
  }
};

// What its check has made of an object's document, so that whoever uses the object need not read it again. Written by the check, before the store hands
// the object on; read by the thread that owns the store. A copy of an object has none: copies are made to be changed.
class Reading {
 public:
  Reading() = default;
  Reading(const Reading&) {}
  Reading& operator=(const Reading&) {
    type_ = nullptr;
    what_.reset();
    return *this;
  }

  template <typename T>
  void keep(std::shared_ptr<const T> what) const {
    type_ = &kType<T>;
    what_ = std::move(what);
  }
  // Null when nothing of that type has been kept.
  template <typename T>
  std::shared_ptr<const T> get() const {
    return type_ == &kType<T> ? std::static_pointer_cast<const T>(what_) : nullptr;
  }

 private:
  template <typename T>
  static inline char kType = 0;  // its address stands for T

  mutable const void* type_ = nullptr;
  mutable std::shared_ptr<const void> what_;
};

struct Object {
  ObjectKey key;
  std::string api_version;  // as written: "gateway.networking.k8s.io/v1"
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  int64_t generation = 0;  // metadata.generation; 0 when the source has none
  // metadata.creationTimestamp; the epoch when absent, so that undated objects tie and the name decides.
  std::chrono::sys_seconds created{};

  doc::Value body;     // the whole document, apiVersion and metadata included
  std::string source;  // the source's name: "file:/etc/fairlead"
  std::string file;    // the file it was read from; empty for sources without files
  int line = 0;        // where its document begins, from 1

  // Bytes of the normalised document, hashed: equal means nothing changed but lines, resourceVersion, managedFields and, outside of the core
  // group, status.
  uint64_t content_hash = 0;

  Reading reading;

  // "routes.yaml:12", or "HTTPRoute default/app@3" when there is no file.
  std::string place() const;
};

using ObjectPtr = std::shared_ptr<const Object>;

enum class Severity { kError, kWarning, kNote };
std::string_view severity_name(Severity s);

// One thing wrong with what a source delivered, with its place. Never shortened to a bare string before it
// reaches a log, the CLI or a condition.
struct Diagnostic {
  Severity severity = Severity::kError;
  ObjectKey object;   // empty name when the document has no identity yet
  std::string file;
  int line = 0;
  std::string field;  // "spec.rules[0].matches[1].path.type"; empty for the whole object
  std::string message;

  bool operator==(const Diagnostic&) const = default;

  // "routes.yaml:12: HTTPRoute default/app: spec.rules[0].name: message"
  std::string str() const;
};

template <typename T>
using ReadObject = T (*)(const Object&, std::vector<Diagnostic>&);  // appends what is wrong

// For a check: reads the object, and keeps what was read where nothing is wrong with it.
template <typename T>
std::shared_ptr<const T> read_and_keep(const Object& object, ReadObject<T> read, std::vector<Diagnostic>& out) {
  const auto told = static_cast<std::ptrdiff_t>(out.size());
  auto what = std::make_shared<const T>(read(object, out));
  if (std::none_of(out.begin() + told, out.end(), [](const Diagnostic& d) { return d.severity == Severity::kError; })) object.reading.keep(what);
  return what;
}

// The object as its check has read it, or read now.
template <typename T>
std::shared_ptr<const T> reading_of(const Object& object, ReadObject<T> read) {
  if (std::shared_ptr<const T> kept = object.reading.get<T>()) return kept;
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  return std::make_shared<const T>(read(object, unread));
}

// Kinds that live outside namespaces; every other kind gets "default" when metadata.namespace is absent.
bool is_cluster_scoped(std::string_view group, std::string_view kind);

// Group of an apiVersion: "gateway.networking.k8s.io/v1" -> "gateway.networking.k8s.io", "v1" -> "".
std::string_view group_of(std::string_view api_version);
std::string_view version_of(std::string_view api_version);

// Reads identity and metadata out of a document. Wrong or missing identity or metadata of the wrong type is
// appended to `errors` and gives nullptr; `key_out`, when given, receives as much of the identity as could be read.
ObjectPtr read_object(const doc::Value& document, std::string source, std::string file, std::vector<Diagnostic>& errors,
                      ObjectKey* key_out = nullptr);

// Errors of base/doc_reader.h ("file:line: path: message") as diagnostics of the object.
void add_errors(const ErrorList& errors, const Object& object, std::vector<Diagnostic>& out);

}  // namespace fairlead::adapters
