// See secrets.h.
#include "dataplane/config/secrets.h"

#include <absl/strings/str_cat.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <filesystem>

#include "base/hash.h"
#include "base/status.h"
#include "dataplane/config/tls.h"
#include "envoy/extensions/transport_sockets/tls/v3/common.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace fairlead::config {
namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;
namespace core = envoy::config::core::v3;
namespace {

// Files that change while they are read are read again, so often at most (Envoy 1.40: five times).
constexpr int kReads = 5;

std::string directory_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  return directory.empty() ? "." : directory;
}

template <class Visit>
void each_source(const tls_v3::Secret& secret, const Visit& visit) {
  if (secret.has_tls_certificate()) {
    const tls_v3::TlsCertificate& pair = secret.tls_certificate();
    for (const core::DataSource* source : {&pair.certificate_chain(), &pair.private_key(), &pair.password(), &pair.pkcs12(), &pair.ocsp_staple()}) visit(*source);
  }
  if (secret.has_validation_context())
    for (const core::DataSource* source : {&secret.validation_context().trusted_ca(), &secret.validation_context().crl()}) visit(*source);
  for (const core::DataSource& key : secret.session_ticket_keys().keys()) visit(key);
}

// Envoy 1.40: the one that the message names, else each file's own.
std::set<std::string> directories_of(const tls_v3::Secret& secret) {
  std::set<std::string> out;
  bool any_file = false;
  each_source(secret, [&](const core::DataSource& source) {
    any_file |= source.has_filename();
    if (source.has_watched_directory()) out.insert(source.watched_directory().path());
  });
  if (!any_file) return {};
  if (secret.tls_certificate().has_watched_directory()) out.insert(secret.tls_certificate().watched_directory().path());
  if (secret.validation_context().has_watched_directory()) out.insert(secret.validation_context().watched_directory().path());
  if (!out.empty()) return out;
  each_source(secret, [&](const core::DataSource& source) {
    if (source.has_filename()) out.insert(directory_of(source.filename()));
  });
  return out;
}

bool meets(const std::set<std::string>& a, const std::set<std::string>& b) {
  return std::any_of(a.begin(), a.end(), [&](const std::string& directory) { return b.contains(directory); });
}

}  // namespace

std::string source_key(const ConfigSource& source) {
  switch (source.kind) {
    case ConfigSource::Kind::Ads:
    case ConfigSource::Kind::Self: return "ads";
    case ConfigSource::Kind::Path: return absl::StrCat("path:", source.path, source.watched_directory.empty() ? "" : ";", source.watched_directory);
    case ConfigSource::Kind::Api: {
      std::string key = source.api.type == ApiSource::Type::DeltaGrpc ? "delta" : "grpc";
      for (const GrpcTarget& t : source.api.services) absl::StrAppend(&key, ":", t.cluster, "|", t.authority);
      return key;
    }
  }
  return "";
}

std::string secret_key(std::string_view name, std::string_view source_key) { return absl::StrCat(name, "\n", source_key); }
std::string_view secret_name(std::string_view key) { return key.substr(0, key.rfind('\n')); }

router::FileReader DiscoveredSecrets::Known::reader(router::FileReader others) const {
  return [this, others = std::move(others)](const std::string& path) -> absl::StatusOr<std::string> {
    if (const auto it = files.find(path); it != files.end()) return it->second;
    if (others) return others(path);
    return absl::NotFoundError(absl::StrCat(path, ": not read"));
  };
}

std::shared_ptr<const DiscoveredSecrets::Known> DiscoveredSecrets::find(std::string_view key) const {
  const auto it = known_.find(key);
  return it == known_.end() ? nullptr : it->second;
}

absl::StatusOr<std::shared_ptr<const DiscoveredSecrets::Known>> DiscoveredSecrets::load(SecretPtr secret) const {
  auto known = std::make_shared<Known>();
  known->secret = std::move(secret);
  for (int i = 0; i < kReads; ++i) {
    std::map<std::string, std::string> files;
    absl::Status failed;
    each_source(*known->secret, [&](const core::DataSource& source) {
      if (!source.has_filename() || files.contains(source.filename())) return;
      core::DataSource plain = source;
      plain.clear_watched_directory();
      auto text = router::read_data_source(plain, read_file_, source.filename());
      text.ok() ? static_cast<void>(files.emplace(source.filename(), *std::move(text))) : failed.Update(text.status());
    });
    if (!failed.ok()) return failed;
    if (files.empty() || (i > 0 && files == known->files)) return std::shared_ptr<const Known>(std::move(known));
    known->files = std::move(files);
  }
  return absl::UnavailableError("its files change while they are read");
}

// The secret's own faults first, so that a context that still lacks another secret hides none.
absl::Status DiscoveredSecrets::put(const std::string& key, std::shared_ptr<const Known> known) {
  FL_RETURN_IF_ERROR(check_secret(*known->secret, known->reader()));
  const auto before = find(key);
  known_[key] = std::move(known);
  std::vector<std::pair<std::shared_ptr<const SecretUser>, std::function<void()>>> ready;
  absl::Status failed;
  for (const auto& weak : users_) {
    auto user = weak.lock();
    if (user == nullptr || std::none_of(user->secrets.begin(), user->secrets.end(), [&](const SecretRef& ref) { return ref.key == key; })) continue;
    auto made = user->remake();
    if (!made.ok()) {
      failed = made.status();
      break;
    }
    ready.emplace_back(std::move(user), *std::move(made));
  }
  if (!failed.ok()) {
    before != nullptr ? static_cast<void>(known_[key] = before) : static_cast<void>(known_.erase(key));
    return failed;
  }
  for (const auto& [user, use] : ready) use();
  return absl::OkStatus();
}

absl::StatusOr<bool> DiscoveredSecrets::set(const std::string& key, SecretPtr secret) {
  auto known = load(std::move(secret));
  if (!known.ok()) return known.status();
  if (const auto before = find(key); before != nullptr && before->files == (*known)->files && google::protobuf::util::MessageDifferencer::Equals(*before->secret, *(*known)->secret)) return false;
  FL_RETURN_IF_ERROR(put(key, *std::move(known)));
  return true;
}

void DiscoveredSecrets::forget(std::string_view key) {
  if (const auto it = known_.find(key); it != known_.end()) known_.erase(it);
}

void DiscoveredSecrets::attach(std::weak_ptr<const SecretUser> user) {
  users_.push_back(std::move(user));
  if (users_.size() < next_sweep_) return;
  std::erase_if(users_, [](const auto& weak) { return weak.expired(); });
  next_sweep_ = 2 * users_.size() + 16;
}

std::set<std::string> DiscoveredSecrets::directories() const {
  std::set<std::string> out;
  for (const auto& [key, known] : known_) out.merge(directories_of(*known->secret));
  for (const auto& weak : users_)
    if (const auto user = weak.lock()) out.insert(user->directories.begin(), user->directories.end());
  return out;
}

std::map<std::string, uint64_t> DiscoveredSecrets::hashes(const std::map<std::string, uint64_t>& files) const {
  std::map<std::string, uint64_t> out;
  for (const auto& [path, hash] : files) {
    const auto text = read_file_(path);
    out[path] = text.ok() ? xx_hash64(*text) : 0;
  }
  return out;
}

absl::StatusOr<bool> DiscoveredSecrets::read_again(const SecretUser& user) const {
  auto now = hashes(user.files);
  if (now == user.files) return false;
  absl::StatusOr<std::function<void()>> made = absl::UnavailableError("its files change while they are read");
  for (int i = 0; i < kReads; ++i) {
    made = user.remake();
    auto after = hashes(user.files);
    if (after == now) break;
    now = std::move(after);
  }
  if (!made.ok()) return made.status();
  (*made)();
  user.files = std::move(now);
  return true;
}

std::vector<DiscoveredSecrets::Reread> DiscoveredSecrets::moved(const std::set<std::string>& directories) {
  std::vector<Reread> out;
  const auto before = known_;
  for (const auto& [key, known] : before) {
    if (!meets(directories_of(*known->secret), directories)) continue;
    auto now = load(known->secret);
    if (now.ok() && (*now)->files == known->files) continue;
    out.push_back({std::string(secret_name(key)), "", now.ok() ? put(key, *std::move(now)) : now.status()});
  }
  const auto users = users_;
  for (const auto& weak : users) {
    const auto user = weak.lock();
    if (user == nullptr || !meets(user->directories, directories)) continue;
    if (const auto changed = read_again(*user); !changed.ok() || *changed) out.push_back({"", user->place, changed.status()});
  }
  return out;
}

}  // namespace fairlead::config
