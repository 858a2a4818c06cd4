// Secrets that come while the proxy runs (SDS, files that are watched), and the TLS contexts that are made of them. A context is made anew when one
// of its secrets changes; it is what the next handshake takes, on every worker, and connections keep the one that they began with.
// DiscoveredSecrets and what is made of it belong to the main thread; LiveTls::context() may be asked from any.
// Invariant: a secret with which some context cannot be made changes nothing for anybody.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/address.h"
#include "dataplane/router/data_source.h"

namespace envoy::extensions::transport_sockets::tls::v3 {
class Secret;
}

namespace fairlead::config {

using SecretPtr = std::shared_ptr<const envoy::extensions::transport_sockets::tls::v3::Secret>;

// Sources with equal keys are one: "ads", "path:/a.yaml", "delta:cluster|authority".
std::string source_key(const ConfigSource& source);

// A secret by its name and where it comes from.
struct SecretRef {
  std::string name;
  std::string key;  // both in one: who has equal keys shares a subscription
  ConfigSource source;
};
std::string secret_key(std::string_view name, std::string_view source_key);
std::string_view secret_name(std::string_view key);

// Whose context is made of secrets or watched files. Held by the configuration it belongs to.
class SecretUser {
 public:
  virtual ~SecretUser() = default;
  // The context that the secrets and files of now make, ready to be put to use by calling what is returned. Errors: "field…: what".
  virtual absl::StatusOr<std::function<void()>> remake() const = 0;

  std::vector<SecretRef> secrets;
  std::set<std::string> directories;  // of files beside the secrets: read again after a move in there
  mutable std::map<std::string, uint64_t> files;  // those, with a hash of what was in them
  std::string place;                  // for logs
};

// A context that may be replaced. `make` is empty where nothing of it ever changes.
template <class Context>
class LiveTls : public SecretUser {
 public:
  using ContextPtr = std::shared_ptr<const Context>;
  // Null: a secret has not come yet, or the configuration was only judged.
  ContextPtr context() const {
    std::lock_guard lock(mutex_);
    return context_;
  }
  // `told` is called on the main thread whenever a secret has changed, with the context since then; null: another is missing. Takes the place of
  // the one before.
  void on_change(std::function<void(const Context*)> told) const {
    std::lock_guard lock(mutex_);
    told_ = std::move(told);
  }
  void put(ContextPtr context) const {
    std::function<void(const Context*)> told;
    {
      std::lock_guard lock(mutex_);
      if (context != nullptr) context_.swap(context);  // the old one goes without the lock
      told = told_;
    }
    if (told) told(this->context().get());
  }
  absl::StatusOr<std::function<void()>> remake() const override {
    absl::StatusOr<ContextPtr> made = make();
    if (!made.ok()) return made.status();
    return std::function<void()>([this, context = *std::move(made)] { put(context); });
  }

  std::function<absl::StatusOr<ContextPtr>()> make;  // null inside: something is missing

 private:
  mutable std::mutex mutex_;
  mutable ContextPtr context_;
  mutable std::function<void(const Context*)> told_;
};

class DiscoveredSecrets {
 public:
  explicit DiscoveredSecrets(router::FileReader read_file) : read_file_(std::move(read_file)) {}

  // A secret and the files it names, as they were when it was put to use.
  struct Known {
    SecretPtr secret;
    std::map<std::string, std::string> files;  // path → content
    router::FileReader reader(router::FileReader others = nullptr) const;  // of these, and of other files where there is one for them
  };
  std::shared_ptr<const Known> find(std::string_view key) const;  // null: has not come

  // Reads the files that the secret names, makes every context that uses it, and puts them to use if all could be made. False: it is what
  // was there. Errors name the secret and what is wrong, and hold nothing of its content.
  absl::StatusOr<bool> set(const std::string& key, SecretPtr secret);
  void forget(std::string_view key);
  void attach(std::weak_ptr<const SecretUser> user);

  // Where moves have to be watched for: of files that secrets name, and of users.
  std::set<std::string> directories() const;
  struct Reread {
    std::string secret;  // its name; empty: files of `place`
    std::string place;
    absl::Status status;  // not OK: what was there goes on serving
  };
  // Something was moved into these directories: what has changed comes into use. What has not is not told of.
  std::vector<Reread> moved(const std::set<std::string>& directories);

 private:
  absl::StatusOr<std::shared_ptr<const Known>> load(SecretPtr secret) const;
  absl::Status put(const std::string& key, std::shared_ptr<const Known> known);
  std::map<std::string, uint64_t> hashes(const std::map<std::string, uint64_t>& files) const;
  absl::StatusOr<bool> read_again(const SecretUser& user) const;

  router::FileReader read_file_;
  std::map<std::string, std::shared_ptr<const Known>, std::less<>> known_;
  std::vector<std::weak_ptr<const SecretUser>> users_;
  size_t next_sweep_ = 16;
};

}  // namespace fairlead::config
