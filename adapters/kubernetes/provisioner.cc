// See provisioner.h.
#include "adapters/kubernetes/provisioner.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>

#include "base/certificate.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::adapters::kubernetes {

namespace {

constexpr std::chrono::seconds kReadFiles{10};
constexpr std::chrono::minutes kLookAgain{10};  // at certificates, whose time runs

// "" where there is none, or it is no text.
std::string secret_text(const doc::Value& secret, std::string_view key) {
  const doc::Value* data = secret.find("data");
  const doc::Value* v = data ? data->find(key) : nullptr;
  return v && v->is_string() ? decode_base64(v->as_string()).value_or("") : std::string();
}

}  // namespace

absl::Status CredentialsIssuer::refresh(MonotonicTime now) {
  if (!authority_.empty() && now < read_at_ + kReadFiles) return absl::OkStatus();
  FL_ASSIGN_OR_RETURN(std::string authority, read_file(files_.certificate));
  FL_ASSIGN_OR_RETURN(std::string key, read_file(files_.key));
  FL_ASSIGN_OR_RETURN(std::string server, files_.server_authority.empty() ? absl::StatusOr<std::string>(authority) : read_file(files_.server_authority));
  authority_ = std::move(authority);
  key_ = std::move(key);
  server_authority_ = std::move(server);
  read_at_ = now;
  return absl::OkStatus();
}

bool CredentialsIssuer::serves(const ObjectKey& gateway, const provision::Credentials& c, SystemTime now) {
  LookedAt& last = looked_at_[gateway];
  if (last.certificate != c.certificate || last.key != c.key || last.authority != authority_) {
    const absl::StatusOr<Validity> v = validity_of(c.certificate, c.key, authority_, provision::identity_of(gateway));
    last = {c.certificate, c.key, authority_, {}, {}};
    if (v.ok()) last.from = v->from, last.renew = v->from + 2 * (v->until - v->from) / 3;
  }
  return last.from <= now && now < last.renew;
}

void CredentialsIssuer::forget_all_but(const std::set<ObjectKey>& gateways) {
  std::erase_if(made_, [&](const auto& entry) { return !gateways.contains(entry.first); });
  std::erase_if(looked_at_, [&](const auto& entry) { return !gateways.contains(entry.first); });
}

absl::StatusOr<provision::Credentials> CredentialsIssuer::of(const provision::Plan& plan, const doc::Value& secret, SystemTime now) {
  const ObjectKey& gateway = plan.gateway->key;
  provision::Credentials there{secret_text(secret, "tls.crt"), secret_text(secret, "tls.key"), server_authority_};
  if (!there.certificate.empty() && serves(gateway, there, now)) {
    made_.erase(gateway);
    return there;
  }
  if (const auto at = made_.find(gateway); at != made_.end() && serves(gateway, at->second, now)) {
    at->second.authority = server_authority_;
    return at->second;
  }
  absl::StatusOr<IssuedCertificate> issued = issue_client_certificate(authority_, key_, provision::identity_of(gateway), now, kLifetime);
  if (!issued.ok()) return prefix(files_.certificate, issued.status());
  // With the authority behind it, for servers that only know who signed that one.
  return made_[gateway] = {absl::StrCat(issued->certificate, authority_), std::move(issued->key), server_authority_};
}

Provisioner::Provisioner(Options options, const Clock& clock, std::function<bool()> leading)
    : options_(std::move(options)), clock_(clock), leading_(std::move(leading)), api_(options_.api), keeper_(options_.keeper), issuer_(options_.issuer) {}

Provisioner::~Provisioner() { stop(); }

void Provisioner::start() {
  thread_ = std::thread([this] { run(); });
}

void Provisioner::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  api_.cancel();
  if (thread_.joinable()) thread_.join();
}

void Provisioner::update(std::shared_ptr<const StatusSink> said, ObjectSnapshotPtr objects) {
  std::lock_guard lock(mutex_);
  said_ = std::move(said);
  objects_ = std::move(objects);
  fresh_ = true;
  wake_.notify_all();
}

void Provisioner::wake() {
  std::lock_guard lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

std::vector<WatchedKind> Provisioner::watched_kinds() {
  std::vector<WatchedKind> out;
  for (const provision::ManagedKind& kind : provision::managed_kinds()) {
    WatchedKind k{std::string(kind.group), std::string(kind.plural), std::string(kind.kind), {std::string(kind.version)}};
    k.label_selector = absl::StrCat(provision::kManagedByLabel, "=", provision::kManager);
    out.push_back(std::move(k));
  }
  return out;
}

std::unique_ptr<KubernetesSource> Provisioner::start_watch(std::string name, std::vector<WatchedKind> kinds, std::deque<SourceUpdate>& to) {
  KubernetesSourceOptions source;
  source.credentials = options_.api.credentials;
  source.user_agent = options_.api.user_agent;
  source.kinds = std::move(kinds);
  source.watch = options_.watch;
  auto watch = std::make_unique<KubernetesSource>(std::move(name), std::move(source), [this, &to](SourceUpdate update) {
    std::lock_guard lock(mutex_);
    to.push_back(std::move(update));
    wake_.notify_all();
  });
  if (absl::Status s = watch->start(); !s.ok()) FL_LOG(error, "planes", s.message());
  return watch;
}

void Provisioner::begin() {
  keeper_.reset();
  watch_ = start_watch("data planes", watched_kinds(), arrived_);
}

void Provisioner::watch_nodes(bool wanted) {
  if (wanted == (nodes_watch_ != nullptr)) return;
  nodes_watch_.reset();
  table_ = {};
  {
    std::lock_guard lock(mutex_);
    nodes_arrived_.clear();
    nodes_.reset();
  }
  if (wanted) nodes_watch_ = start_watch("nodes", provision::Nodes::watched_kinds(), nodes_arrived_);
}

void Provisioner::take_nodes(const std::deque<SourceUpdate>& updates) {
  if (!nodes_watch_) return;
  const std::string trouble = table_.trouble();
  bool changed = false;
  for (const SourceUpdate& u : updates) changed |= table_.take(u);
  if (!changed) return;
  if (!table_.trouble().empty() && table_.trouble() != trouble) FL_LOG(warning, "planes", "nodes cannot be watched: ", table_.trouble());
  {
    std::lock_guard lock(mutex_);
    nodes_ = std::make_shared<const provision::Nodes>(table_);
  }
  if (options_.changed) options_.changed();
}

std::shared_ptr<const provision::Nodes> Provisioner::nodes() const {
  std::lock_guard lock(mutex_);
  return nodes_;
}

void Provisioner::end() {
  watch_.reset();
  watch_nodes(false);
  keeper_.reset();
  issuer_.forget_all_but({});
  made_.clear();
  waiting_ = managed_ = 0;
  std::lock_guard lock(mutex_);
  arrived_.clear();
  troubles_.clear();  // the leader knows
}

void Provisioner::run() {
  bool led = false;
  while (true) {
    std::shared_ptr<const StatusSink> said;
    ObjectSnapshotPtr objects;
    std::deque<SourceUpdate> arrived, of_nodes;
    bool fresh;
    {
      std::unique_lock lock(mutex_);
      MonotonicTime::duration wait = std::chrono::seconds(1);
      const MonotonicTime now = clock_.monotonic();
      if (const auto due = keeper_.due(); led && due) wait = std::clamp(*due - now, MonotonicTime::duration{}, wait);
      wake_.wait_for(lock, wait, [this] { return stopping_ || fresh_ || woken_ || !arrived_.empty() || !nodes_arrived_.empty(); });
      if (stopping_) break;
      said = said_;
      objects = objects_;
      fresh = std::exchange(fresh_, false);
      woken_ = false;
      arrived.swap(arrived_);
      of_nodes.swap(nodes_arrived_);
    }
    if (!leading_()) {
      if (std::exchange(led, false)) end();
      continue;
    }
    const bool begins = !std::exchange(led, true);
    if (begins) begin();
    if (begins) arrived.clear();  // of a time before
    const MonotonicTime now = clock_.monotonic();
    bool observed = false;
    for (const SourceUpdate& u : arrived) {
      keeper_.observe(u, now);
      observed |= u.synced;
      std::string lost = u.lost;
      for (const Diagnostic& d : u.diagnostics) absl::StrAppend(&lost, lost.empty() ? "" : "; ", d.str());
      if (!lost.empty() && lost != last_lost_) FL_LOG(warning, "planes", "what there is of data planes cannot be watched: ", lost);
      last_lost_ = std::move(lost);
    }
    take_nodes(of_nodes);
    if (!said || !objects || !keeper_.synced()) continue;
    if (fresh || begins || observed || now >= wanted_at_ + kLookAgain) want(*said, *objects);
    write_all();
    publish();
  }
  nodes_watch_.reset();
  watch_.reset();
}

// As they were made last, where nothing that they are made of is another.
absl::StatusOr<std::shared_ptr<const std::vector<doc::Value>>> Provisioner::objects_of(const provision::Plan& plan) {
  provision::Credentials credentials;
  const bool issued = options_.planes.tls == provision::Options::Tls::kIssued;
  if (issued) {
    FL_RETURN_IF_ERROR(issuer_.refresh(clock_.monotonic()));
    FL_ASSIGN_OR_RETURN(credentials, issuer_.of(plan, keeper_.present(provision::credentials_key(plan)), clock_.system()));
  }
  Made& last = made_[plan.gateway->key];
  const bool same = last.objects && last.of.sources == plan.sources && last.of.class_name == plan.class_name && last.of.ports == plan.ports && last.certificate == credentials.certificate &&
                    last.authority == credentials.authority;
  if (same) return last.objects;
  FL_ASSIGN_OR_RETURN(std::vector<doc::Value> made, provision::make_objects(plan, options_.planes, issued ? &credentials : nullptr));
  last = {plan, credentials.certificate, credentials.authority, std::make_shared<const std::vector<doc::Value>>(std::move(made))};
  return last.objects;
}

void Provisioner::want(const StatusSink& said, const ObjectSnapshot& objects) {
  wanted_at_ = clock_.monotonic();
  unmade_.clear();
  std::vector<ObjectKeeper::Wanted> all;
  std::map<ObjectKey, Made> made;  // of Gateways that there still are
  std::set<ObjectKey> managed;
  bool at_nodes = false;
  for (const provision::Plan& plan : provision::survey(objects, said, options_.planes)) {
    if (plan.gateway->source != options_.source) continue;
    const ObjectKey& key = plan.gateway->key;
    const doc::Value* uid = plan.gateway->body.find_path("metadata.uid");
    ObjectKeeper::Wanted wanted{key, uid && uid->is_string() ? uid->as_string() : "", plan.state == provision::Plan::State::kHeld, {}};
    if (plan.state == provision::Plan::State::kManaged) {
      managed.insert(key);
      auto of = objects_of(plan);
      if (of.ok()) {
        wanted.objects = *std::move(of);
        made[key] = std::move(made_[key]);
      } else {
        wanted.held = true;
        unmade_[key] = std::string(of.status().message());
      }
    }
    at_nodes |= plan.state != provision::Plan::State::kAttached && plan.parameters.service_type == "NodePort";
    all.push_back(std::move(wanted));
  }
  watch_nodes(options_.planes.node_addresses && at_nodes);
  made_ = std::move(made);
  managed_ = managed.size();
  issuer_.forget_all_but(managed);
  keeper_.want(all, wanted_at_);
}

// What is due, until something new is wanted.
void Provisioner::write_all() {
  while (true) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_ || fresh_ || !arrived_.empty()) break;
    }
    if (!leading_()) break;
    const auto request = keeper_.next(clock_.monotonic());
    if (!request) break;
    const absl::StatusOr<Response> answer = api_.request(request->method, request->path, request->body, request->content_type);
    if (api_.cancelled()) return;
    tell(keeper_.answered(answer, clock_.monotonic()));
  }
  waiting_ = keeper_.waiting();
}

void Provisioner::tell(const ObjectKeeper::Outcome& outcome) {
  using Kind = ObjectKeeper::Outcome::Kind;
  const Result result = outcome.kind == Kind::kRead       ? kRead
                        : outcome.kind == Kind::kApplied  ? kApplied
                        : outcome.kind == Kind::kDeleted  ? kDeleted
                        : outcome.kind == Kind::kConflict ? kConflict
                        : outcome.kind == Kind::kGone     ? kGone
                        : outcome.kind == Kind::kRefused  ? kRefused
                                                          : kFailed;
  ++results_[result];
  if (result == kApplied) FL_LOG(info, "planes", outcome.object.str(), " is applied");
  if (result == kDeleted) FL_LOG(info, "planes", outcome.object.str(), " is no longer wanted and deleted");
  if (result == kRefused) FL_LOG(error, "planes", outcome.message, "; it is tried again when something about it changes");
  if (result == kConflict) FL_LOG(debug, "planes", outcome.message);
  if (result == kFailed && !outcome.message.empty() && outcome.message != last_error_) {
    FL_LOG(warning, "planes", outcome.message, "; it is tried again");
    last_error_ = outcome.message;
  }
}

// What is in the way goes to the status of the Gateways.
void Provisioner::publish() {
  std::map<ObjectKey, std::string> now = keeper_.problems();
  for (const auto& [gateway, why] : unmade_) now.emplace(gateway, why);
  {
    std::lock_guard lock(mutex_);
    if (now == troubles_) return;
    troubles_ = now;
  }
  for (const auto& [gateway, why] : now) FL_LOG(warning, "planes", gateway.str(), ": ", why);
  if (options_.changed) options_.changed();
}

std::string Provisioner::trouble(const ObjectKey& gateway) const {
  std::lock_guard lock(mutex_);
  const auto at = troubles_.find(gateway);
  return at == troubles_.end() ? "" : at->second;
}

std::string Provisioner::prometheus() const {
  std::string out;
  static constexpr std::array<std::string_view, kResults> kNames{"applied", "deleted", "conflict", "gone", "refused", "failed", "read"};
  absl::StrAppend(&out, "# HELP fairlead_control_data_plane_requests_total Requests about objects of data planes, by what came of them\n# TYPE fairlead_control_data_plane_requests_total counter\n");
  for (size_t i = 0; i < kResults; ++i) absl::StrAppend(&out, "fairlead_control_data_plane_requests_total{result=\"", kNames[i], "\"} ", results_[i].load(), "\n");
  absl::StrAppend(&out, "# HELP fairlead_control_data_planes Gateways whose data plane this process runs\n# TYPE fairlead_control_data_planes gauge\nfairlead_control_data_planes ", managed_.load(), "\n");
  absl::StrAppend(&out, "# HELP fairlead_control_data_plane_objects_waiting Objects of data planes that are to be written\n# TYPE fairlead_control_data_plane_objects_waiting gauge\n",
                  "fairlead_control_data_plane_objects_waiting ", waiting_.load(), "\n");
  return out;
}

}  // namespace fairlead::adapters::kubernetes
