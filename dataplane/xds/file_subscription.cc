// Watched files: file_subscription.h.
#include "dataplane/xds/file_subscription.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/file.h"
#include "base/status.h"
#include "dataplane/config/secrets.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace fairlead::xds {
namespace {

std::string directory_of(const config::ConfigSource& source) {
  if (!source.watched_directory.empty()) return source.watched_directory;
  const std::string dir = std::filesystem::path(source.path).parent_path().string();
  return dir.empty() ? "." : dir;
}

// The name inside an endpoint, route, extension, secret or runtime resource; empty when the bytes are not one (Ingest says so).
std::string name_in(Type type, const std::string& bytes) {
  if (type == Type::endpoint) {
    envoy::config::endpoint::v3::ClusterLoadAssignment m;
    return m.ParseFromString(bytes) ? m.cluster_name() : "";
  }
  if (type == Type::extension) {
    envoy::config::core::v3::TypedExtensionConfig m;
    return m.ParseFromString(bytes) ? m.name() : "";
  }
  if (type == Type::secret) {
    envoy::extensions::transport_sockets::tls::v3::Secret m;
    return m.ParseFromString(bytes) ? m.name() : "";
  }
  if (type == Type::runtime) {
    const auto m = parse_message(type_name(type), bytes);
    return m.ok() ? (*m)->GetReflection()->GetString(**m, (*m)->GetDescriptor()->FindFieldByName("name")) : "";
  }
  envoy::config::route::v3::RouteConfiguration m;
  return m.ParseFromString(bytes) ? m.name() : "";
}

}  // namespace

absl::StatusOr<Update> read_response(Type type, const std::string& text, const std::string& file) {
  envoy::service::discovery::v3::DiscoveryResponse response;
  if (absl::EndsWith(file, ".pb") || absl::EndsWith(file, ".binpb")) {
    if (text.empty() || !response.ParseFromString(text)) return absl::InvalidArgumentError(absl::StrCat(file, ": not a valid DiscoveryResponse (", text.size(), " bytes)"));
  } else {
    FL_ASSIGN_OR_RETURN(doc::Value value, doc::parse_one(text, file));
    // an emptied file would read as a response without resources, which removes everything; Envoy 1.40 refuses it, too
    if (value.size() == 0 && doc::parse_any(text, file)->empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": holds no DiscoveryResponse: it is empty"));
    FL_RETURN_IF_ERROR(doc::to_message(value, &response));
  }
  Update update{type, false, response.version_info(), {}, {}, {}};
  for (const auto& any : response.resources()) {
    envoy::service::discovery::v3::Resource wrapper;
    if (any.type_url() == "type.googleapis.com/envoy.service.discovery.v3.Resource" && wrapper.ParseFromString(any.value())) {
      update.resources.push_back({wrapper.name(), wrapper.version(), wrapper.resource().type_url(), wrapper.resource().value()});
    } else {
      update.resources.push_back({"", "", any.type_url(), any.value()});
    }
  }
  return update;
}

FileSubscription::FileSubscription(const Sources::Options& options, Type type, const config::ConfigSource& source)
    : options_(options), type_(type), source_key_(config::source_key(source)), path_(source.path), directory_(directory_of(source)), watch_(*options.loop, *this) {}

FileSubscription::~FileSubscription() {
  watch_.remove();
  if (fd_ >= 0) ::close(fd_);
}

absl::Status FileSubscription::start() {
  fd_ = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd_ < 0) return absl::ErrnoToStatus(errno, "inotify");
  if (inotify_add_watch(fd_, directory_.c_str(), IN_MOVED_TO) < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path_, ": cannot watch ", directory_));
  watch_.add(fd_, EPOLLIN | EPOLLET);
  read_soon();
  return absl::OkStatus();
}

void FileSubscription::set_interest(Interest interest) {
  if (interest == interest_) return;
  interest_ = std::move(interest);
  last_.reset();
  if (fd_ >= 0) read_soon();
}

void FileSubscription::on_fd_ready(uint32_t) {
  alignas(inotify_event) char buffer[8192];
  // any move counts: a ConfigMap's swap moves ..data, not the file itself
  while (::read(fd_, buffer, sizeof buffer) > 0) {
  }
  read_soon();
}

void FileSubscription::read() {
  absl::StatusOr<std::string> text = read_file(path_);
  if (last_ == text) return;  // any move in the directory brings us here
  last_ = text;
  if (options_.attempted) options_.attempted(type_);
  absl::StatusOr<Update> update = text.ok() ? read_response(type_, *text, path_) : text.status();
  std::set<std::string, std::less<>> lacking = interest_.names;
  if (!update.ok()) {
    if (options_.failed) options_.failed(type_, update.status());
  } else {
    if (!interest_.wildcard && type_ != Type::cluster && type_ != Type::listener)
      std::erase_if(update->resources, [&](const IncomingResource& r) {
        const std::string name = r.name.empty() ? name_in(type_, r.bytes) : r.name;
        lacking.erase(name);
        return !name.empty() && !interest_.names.contains(name);
      });
    update->source = source_key_;
    options_.apply(*update);
  }
  if (options_.no_answer && (!update.ok() || !lacking.empty())) options_.no_answer(type_, {lacking.begin(), lacking.end()});
}

}  // namespace fairlead::xds
