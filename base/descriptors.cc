// The pool has two layers: the types that are linked in, and above them files built on demand from the embedded set. A
// file of the set is built only when a type in it is asked for, after the files it imports.
#include "base/descriptors.h"

#include <algorithm>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/strings.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/descriptor_database.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/message.h"
#include "proto/descriptor_data.h"

namespace fairlead {
namespace {

namespace pb = google::protobuf;

constexpr std::string_view kPrefix = "type.googleapis.com/";

class Pool {
 public:
  static Pool& instance() {
    static Pool* pool = new Pool;  // never destroyed: messages made from it may outlive main()
    return *pool;
  }

  const pb::Descriptor* message(std::string_view name) {
    const std::string key(name);
    if (const pb::Descriptor* linked = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(key)) {
      return linked;
    }
    absl::MutexLock lock(&mutex_);
    return load(key) ? pool_.FindMessageTypeByName(key) : nullptr;
  }

  const pb::EnumDescriptor* enumeration(std::string_view name) {
    const std::string key(name);
    if (const pb::EnumDescriptor* linked = pb::DescriptorPool::generated_pool()->FindEnumTypeByName(key)) {
      return linked;
    }
    absl::MutexLock lock(&mutex_);
    return load(key) ? pool_.FindEnumTypeByName(key) : nullptr;
  }

  const std::vector<std::string>& names() {
    absl::MutexLock lock(&mutex_);
    if (names_.empty()) {
      database_.FindAllMessageNames(&names_);
      std::sort(names_.begin(), names_.end());
    }
    return names_;
  }

  std::optional<std::string> file(std::string_view name, bool by_symbol) {
    const std::string key(name);
    pb::FileDescriptorProto file;
    absl::MutexLock lock(&mutex_);
    const bool found = by_symbol ? database_.FindFileContainingSymbol(key, &file) : database_.FindFileByName(key, &file);
    return found ? std::optional(file.SerializeAsString()) : std::nullopt;
  }

  std::unique_ptr<pb::Message> make(const pb::Descriptor* descriptor) {
    return std::unique_ptr<pb::Message>(factory_.GetPrototype(descriptor)->New());
  }

 private:
  Pool() : pool_(pb::DescriptorPool::generated_pool()), factory_(&pool_) {
    factory_.SetDelegateToGeneratedFactory(true);  // linked types come as their own class
    pb::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(fairlead_descriptor_data_begin),
                                    static_cast<int>(fairlead_descriptor_data_end - fairlead_descriptor_data_begin));
    // A FileDescriptorSet is a sequence of field 1, length-delimited; the database keeps pointers into the data.
    while (stream.ReadTag() == 10) {
      std::uint32_t size = 0;
      if (!stream.ReadVarint32(&size)) {
        break;
      }
      database_.Add(fairlead_descriptor_data_begin + stream.CurrentPosition(), static_cast<int>(size));
      stream.Skip(static_cast<int>(size));
    }
  }

  // Builds the file that declares the symbol; false when the API has none.
  bool load(const std::string& symbol) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    pb::FileDescriptorProto file;
    return database_.FindFileContainingSymbol(symbol, &file) && build(file);
  }

  bool build(const pb::FileDescriptorProto& file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (pool_.FindFileByName(file.name()) != nullptr) {  // built before, or linked in
      return true;
    }
    for (const std::string& import : file.dependency()) {
      pb::FileDescriptorProto imported;
      if (pool_.FindFileByName(import) == nullptr &&
          (!database_.FindFileByName(import, &imported) || !build(imported))) {
        return false;
      }
    }
    return pool_.BuildFile(file) != nullptr;
  }

  absl::Mutex mutex_;
  pb::EncodedDescriptorDatabase database_ ABSL_GUARDED_BY(mutex_);
  pb::DescriptorPool pool_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> names_ ABSL_GUARDED_BY(mutex_);
  pb::DynamicMessageFactory factory_;  // has a lock of its own
};

std::string place(std::string_view path) { return path.empty() ? std::string() : absl::StrCat(path, ": "); }

}  // namespace

std::string_view type_name(std::string_view type_url) {
  const std::size_t slash = type_url.rfind('/');
  return slash == std::string_view::npos ? type_url : type_url.substr(slash + 1);
}

std::string type_url(std::string_view full_name) { return absl::StrCat(kPrefix, full_name); }

const pb::Descriptor* find_message(std::string_view name_or_url) {
  return Pool::instance().message(type_name(name_or_url));
}

const pb::EnumDescriptor* find_enum(std::string_view name_or_url) {
  return Pool::instance().enumeration(type_name(name_or_url));
}

std::vector<std::string> message_names(std::string_view prefix) {
  const std::vector<std::string>& all = Pool::instance().names();
  const auto first = std::lower_bound(all.begin(), all.end(), prefix);
  const auto last =
      std::find_if(first, all.end(), [&](const std::string& name) { return !absl::StartsWith(name, prefix); });
  return {first, last};
}

std::optional<std::string> descriptor_file(std::string_view file_name) { return Pool::instance().file(file_name, false); }

std::optional<std::string> descriptor_file_of(std::string_view symbol) { return Pool::instance().file(symbol, true); }

std::unique_ptr<pb::Message> make_message(const pb::Descriptor* descriptor) {
  return Pool::instance().make(descriptor);
}

absl::StatusOr<std::unique_ptr<pb::Message>> make_message(std::string_view name_or_url, std::string_view path) {
  if (const pb::Descriptor* descriptor = find_message(name_or_url)) {
    return make_message(descriptor);
  }
  if (name_or_url.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(place(path), "no type given ('@type' is empty)"));
  }
  const std::string_view name = type_name(name_or_url);
  std::string hint;
  const std::vector<std::string>& all = Pool::instance().names();
  if (const auto near = closest(name, {all.begin(), all.end()})) {
    hint = absl::StrCat(" (did you mean '", *near, "'?)");
  }
  return absl::InvalidArgumentError(absl::StrCat(place(path), "unknown type '", name, "'", hint));
}

absl::StatusOr<std::unique_ptr<pb::Message>> parse_message(std::string_view name_or_url, std::string_view bytes,
                                                           std::string_view path) {
  auto message = make_message(name_or_url, path);
  if (message.ok() && !(*message)->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError(absl::StrCat(place(path), "not a valid ", type_name(name_or_url), ": its ",
                                                   bytes.size(), " bytes cannot be parsed"));
  }
  return message;
}

absl::StatusOr<std::unique_ptr<pb::Message>> unpack(const pb::Any& any, std::string_view path) {
  return parse_message(any.type_url(), any.value(), path);
}

}  // namespace fairlead
