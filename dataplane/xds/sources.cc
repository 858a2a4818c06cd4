// Keeping subscriptions equal to the wish.
#include "dataplane/xds/sources.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "dataplane/config/secrets.h"
#include "dataplane/xds/file_subscription.h"
#include "dataplane/xds/grpc_subscription.h"

namespace fairlead::xds {
namespace {

using Kind = config::ConfigSource::Kind;

}  // namespace

std::chrono::milliseconds BackOff::next() {
  state_ += 0x9e3779b97f4a7c15;  // splitmix64
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  const uint64_t half = static_cast<uint64_t>(current_.count()) / 2;
  const auto wait = std::chrono::milliseconds(half + (z ^ (z >> 31)) % (half + 1));
  current_ = std::min(current_ * 2, std::chrono::milliseconds(30000));
  return wait;
}

Sources::Sources(Options options) : options_(std::move(options)) {}
Sources::~Sources() = default;

void Sources::add(Wish& wish, Type type, const config::ConfigSource& source, const std::string& name) {
  auto& [config, interest] = wish[{config::source_key(source), type}];
  config = source;
  if (name.empty()) {
    interest.wildcard = true;
  } else {
    interest.names.insert(name);
  }
}

void Sources::set_stream(const std::string& stream_key, const std::string& source_key, const config::ConfigSource& source, Type type, const Interest& interest, std::set<std::string>& wanted) {
  const bool ads = source.kind != Kind::Api;
  auto& stream = streams_[stream_key];
  if (stream == nullptr)
    stream = std::make_unique<GrpcSubscription>(options_, ads ? *options_.ads : source.api, source_key, ads ? std::nullopt : std::optional<Type>(type), ads || options_.ads == nullptr,
                                                options_.seed + streams_.size());
  stream->set_interest(type, interest);
  wanted.insert(stream_key);
}

absl::Status Sources::set(const Wish& wish) {
  ErrorList errors;
  for (auto it = files_.begin(); it != files_.end();) it = wish.contains(it->first) ? std::next(it) : files_.erase(it);
  std::set<std::string> streams_wanted;
  for (const auto& [key, entry] : wish) {
    const auto& [source, interest] = entry;
    const auto& [name, type] = key;
    if (source.kind == Kind::Path) {
      auto& file = files_[key];
      const bool fresh = file == nullptr;
      if (fresh) file = std::make_unique<FileSubscription>(options_, type, source);
      file->set_interest(interest);
      if (fresh) errors.add(file->start());
      continue;
    }
    const bool ads = source.kind != Kind::Api;
    if (ads && options_.ads == nullptr) {
      errors.add(short_name(type), "asks for ADS, but the bootstrap has no dynamic_resources.ads_config");
      continue;
    }
    if (!ads && type == Type::secret) {  // Envoy 1.40: a stream for each; there are servers that answer for one name alone
      for (const std::string& one : interest.names) set_stream(absl::StrCat(name, "/sds/", one), name, source, type, Interest{false, {one}}, streams_wanted);
      continue;
    }
    set_stream(ads ? name : absl::StrCat(name, "/", short_name(type)), name, source, type, interest, streams_wanted);
  }
  for (auto it = streams_.begin(); it != streams_.end();) {
    const bool wanted = streams_wanted.contains(it->first);
    if (wanted && it->first == "ads")
      for (const Type type : kTypes)
        if (!wish.contains({"ads", type})) it->second->clear_interest(type);
    it = wanted ? std::next(it) : streams_.erase(it);
  }
  return errors.status();
}

}  // namespace fairlead::xds
