#include "controlplane/serve/core.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <absl/container/inlined_vector.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/strings.h"
#include "controlplane/serve/istio_debug.h"
#include "controlplane/stream/decode.h"

namespace fairlead::serve {

using resources::index;
using resources::Type;

bool Core::ByContent::operator()(const snapshot::Node& a, const snapshot::Node& b) const {
  const auto all = [](const snapshot::Node& n) {
    return std::tuple(std::string_view(n.cluster), std::string_view(n.gateway), std::string_view(n.mesh), std::string_view(n.user_agent), std::string_view(n.user_agent_version), n.metadata != nullptr,
                      n.metadata ? std::string_view(*n.metadata) : std::string_view());
  };
  const auto left = all(a), right = all(b);
  return left != right ? left < right : a.client_features < b.client_features;
}

struct Core::Stream : push::Queue::Place {
  using push::Queue::Place::Place;
  // what a push looks at: together
  StreamKind kind = StreamKind::kSotw;
  bool matched = false;
  bool pushing = false;            // popped from the queue, its bytes not yet written
  bool whole = false;              // anything may differ from what it was told
  MonotonicTime pushed_since{};
  std::unique_ptr<cpstream::Session> session;  // after the first request
  Scopes::value_type* home = nullptr;
  std::shared_ptr<const snapshot::ClientClass> client_class;
  absl::InlinedVector<resources::ResourcePtr, 1> endpoints;  // unless `whole`: the assignments it subscribes to by name that it was not told of yet
  std::optional<MonotonicTime> deadline;
  rpc::PeerPtr peer;
  std::optional<Type> only;
  SystemTime connected{};
  std::string node_id;
  std::shared_ptr<const snapshot::Node> said;  // of its node, but for the id: with client_class, home and reason, once it has said who it is
  std::shared_ptr<const std::string> reason;

  const std::string& scope() const { return home->first; }
  void set_node(snapshot::Node node, Nodes& nodes) {
    node_id = std::exchange(node.id, {});
    said = nodes.of(std::move(node));
  }
  snapshot::Node node() const {
    snapshot::Node out = *said;
    out.id = node_id;
    return out;
  }
  std::string kind_name() const {
    const std::string base = kind == StreamKind::kDelta ? "delta" : "sotw";
    return only ? absl::StrCat(base, "/", resources::short_name(*only)) : base;
  }
};

Core::Core(Options options, const Clock& clock, Wire& wire)
    : options_(std::move(options)), clock_(clock), wire_(wire), quarantine_(options_.quarantine_threshold), tell_(options_.events), mesh_clients_(options_.mesh_asked) {}
Core::~Core() = default;

// --- configuration -----------------------------------------------------------------------------------------------------

void Core::apply(Update update) {
  ++metrics_.updates;
  std::set<std::string> changed;
  const bool watched = tell_.watched();
  const Teller::Scopes before = watched ? snapshots() : Teller::Scopes();
  if (watched) tell_.findings(ledger_.findings(), update.findings);
  auto note = [&](const std::vector<std::string>& scopes) { changed.insert(scopes.begin(), scopes.end()); };
  const bool catalog_changes = !update.gateways.empty() || !update.gone.empty() || update.raw.has_value();
  for (Update::Gateway& g : update.gateways) note(catalog_.set_gateway(g.key, std::move(g.resources)));
  for (const intent::ScopeKey& key : update.gone) note(catalog_.remove_gateway(key));
  if (update.raw) note(catalog_.set_raw(std::move(*update.raw)));
  for (const resources::ResourcePtr& a : update.assignments) note(catalog_.set_assignment(a));
  for (auto& [stage, findings] : update.findings) ledger_.set_findings(stage, std::move(findings));
  if (catalog_changes) report_conflicts();
  if (catalog_.membership() != membership_) {
    membership_ = catalog_.membership();
    rejoin_all();
  }
  if (update.unfit) {
    foresight_.set(std::move(*update.unfit));
    bool anyone = false;
    quarantine_.for_each_class([&](const snapshot::ClientClass& c) { anyone |= foresight_.concerns(c); });
    for (auto scope = scopes_.begin(); anyone && scope != scopes_.end(); ++scope) changed.insert(scope->first);
  }
  for (const std::string& scope : changed) {
    settle_refusals(scope);
    foresee(scope);
    scope_moved(scope);
  }
  if (watched) tell_.changes(before, snapshots(), changed);
  if (update.incomplete) sources_incomplete_ = *update.incomplete;
  set_incomplete(sources_incomplete_ || catalog_.incomplete());
  if (update.ready && !ready_) {
    ready_ = true;
    FL_LOG(info, "xds", "all sources are read: serving ", catalog_.scopes().size(), " scopes");
  }
}

// Names and versions that are given twice, references that lead nowhere; each logged when it is new.
void Core::report_conflicts() {
  std::vector<intent::Finding> now = catalog_.findings();
  std::set<std::string> texts;
  for (const intent::Finding& f : now) {
    const auto [text, fresh] = texts.insert(f.str());
    if (!fresh || conflicts_.contains(*text)) continue;
    if (f.severity == intent::Severity::kError) {
      FL_LOG(error, "xds", *text);
    } else {
      FL_LOG(warning, "xds", *text);
    }
  }
  conflicts_ = std::move(texts);
  ledger_.set_findings("catalog", std::move(now));
}

void Core::settle_refusals(const std::string& scope) {
  snapshot::SnapshotPtr wanted = catalog_.find(scope);
  if (wanted->scope != scope) {  // the scope is gone, and nothing is wanted in it
    auto gone = std::make_shared<snapshot::Snapshot>();
    gone->scope = scope;
    wanted = std::move(gone);
  }
  const size_t before = quarantine_.list().size();
  if (quarantine_.settle(wanted) || quarantine_.list().size() != before) ++state_epoch_;
}

// What a class is known to refuse, before it is pushed.
bool Core::foresee(const Stream& stream) {
  if (!foresight_.concerns(*stream.client_class) || !foresight_.apply(quarantine_, *stream.client_class, *catalog_.find(stream.scope()), clock_.system())) return false;
  ++state_epoch_;
  return true;
}

void Core::foresee(const std::string& name) {
  std::set<snapshot::ClientClass> concerned;
  quarantine_.for_each_class([&](const snapshot::ClientClass& c) {
    if (foresight_.concerns(c)) concerned.insert(c);
  });
  const auto scope = scopes_.find(name);
  if (concerned.empty() || scope == scopes_.end()) return;
  bool changed = false;
  for (StreamId id : scope->second.streams) {
    const Stream& stream = streams_.at(id);
    if (concerned.erase(*stream.client_class) > 0) changed |= foresee(stream);
    if (concerned.empty()) break;
  }
  if (changed) scope_changed(scope->second);
}

void Core::set_incomplete(bool incomplete) {
  if (incomplete == incomplete_) return;
  incomplete_ = incomplete;
  const MonotonicTime now = clock_.monotonic();
  for (Stream& stream : streams_) {
    if (!stream.session) continue;
    stream.session->set_incomplete(incomplete);
    if (incomplete) continue;
    stream.whole = true;
    queue_.add(stream, now);
  }
}

void Core::scope_changed(const Scope& scope) {
  const MonotonicTime now = clock_.monotonic();
  for (StreamId id : scope.streams) {
    Stream& stream = streams_.at(id);
    stream.whole = true;
    queue_.add(stream, now);
  }
}

// From what its streams were told of last. Of assignments only those concerned are told, of anything else every stream.
void Core::scope_moved(const std::string& name) {
  const auto found = scopes_.find(name);
  if (found == scopes_.end()) return;
  Scope& scope = found->second;
  const snapshot::SnapshotPtr after = catalog_.find(name);
  const snapshot::SnapshotPtr before = std::exchange(scope.told, after);
  if (before->scope != after->scope) return scope_changed(scope);
  const MonotonicTime now = clock_.monotonic();
  bool others = false;
  for (Type t : resources::all_types()) others |= t != Type::kEndpoint && before->set(t) != after->set(t);
  if (before->set(Type::kEndpoint) != after->set(Type::kEndpoint)) {
    for (const snapshot::Step& step : snapshot::TypeSet::diff(before->set(Type::kEndpoint), after->set(Type::kEndpoint))) {
      const resources::ResourcePtr& assignment = step.after ? step.after : step.before;
      scope.interest.each_named(assignment->name, [&](StreamId id) { endpoints_changed(id, assignment, now); });
    }
    for (StreamId id : scope.interest.wildcard()) queue_.add(streams_.at(id), now);
  }
  if (!others) return;
  for (StreamId id : scope.streams) queue_.add(streams_.at(id), now);
}

void Core::endpoints_changed(StreamId id, const resources::ResourcePtr& assignment, MonotonicTime now) {
  constexpr size_t kTooMany = 256;  // to remember of a stream that does not come to be told: it looks for itself
  Stream& stream = streams_.at(id);
  if (stream.endpoints.size() < kTooMany) {
    stream.endpoints.push_back(assignment);
  } else {
    stream.whole = true;
    stream.endpoints.clear();
  }
  queue_.add(stream, now);
}

void Core::note_interest(Stream& stream) {
  if (const cpstream::Subscription* endpoints = stream.session->endpoints())
    stream.home->second.interest.set(stream.id(), endpoints->names(), !endpoints->by_name_alone());
}

// What the stream shall have. Of secrets nothing, where others could read along.
snapshot::SnapshotPtr Core::view(const Stream& stream) {
  snapshot::SnapshotPtr all = quarantine_.view(*stream.client_class, stream.home->second.told);
  if (stream.peer->may_carry_secrets() || all->of(Type::kSecret).size() == 0) return all;
  auto rest = std::make_shared<snapshot::Snapshot>(*all);
  rest->sets[index(Type::kSecret)] = snapshot::TypeSet::empty_set();
  return rest;
}

// Secrets that a client asks for and that its connection may not carry.
void Core::each_unsent_secret(absl::FunctionRef<void(const Stream&, const resources::Resource& secret)> f) const {
  for (const Stream& s : streams_) {
    if (!s.session || s.peer->may_carry_secrets()) continue;
    const snapshot::SnapshotPtr wanted = catalog_.find(s.scope());
    for (const std::string& name : s.session->subscribed(Type::kSecret)) {
      if (const resources::ResourcePtr secret = wanted->find(Type::kSecret, name)) f(s, *secret);
    }
  }
}

std::vector<intent::Finding> Core::unsent_secrets() const {
  std::vector<intent::Finding> out;
  each_unsent_secret([&](const Stream& s, const resources::Resource& secret) {
    for (const intent::Origin& origin : secret.origins) {
      out.push_back({intent::Severity::kError, origin, s.scope(), "SecretNotSent",
                     absl::StrCat("not sent to node ", s.node_id, " at ", s.peer->address, ": its connection is neither on this machine nor over TLS")});
    }
  });
  return out;
}

void Core::join(Stream& stream, snapshot::Catalog::Joined where) {
  const auto [scope, fresh] = scopes_.try_emplace(std::move(where.scope));
  stream.home = &*scope;
  stream.reason = texts_.of(std::move(where.reason));
  stream.matched = where.matched;
  if (fresh) scope->second.told = catalog_.find(stream.scope());
  std::vector<StreamId>& streams = scope->second.streams;  // in their order, so that the first to have come is the first
  streams.insert(std::upper_bound(streams.begin(), streams.end(), stream.id()), stream.id());
  if (stream.session) note_interest(stream);
}

void Core::leave(Stream& stream) {
  Scope& scope = stream.home->second;
  scope.interest.remove(stream.id());
  scope.streams.erase(std::lower_bound(scope.streams.begin(), scope.streams.end(), stream.id()));
  if (scope.streams.empty()) scopes_.erase(scopes_.find(stream.scope()));
  stream.home = nullptr;
}

// A Gateway or a raw set came or went: nodes may belong elsewhere now.
void Core::rejoin_all() {
  const MonotonicTime now = clock_.monotonic();
  for (Stream& stream : streams_) {
    if (!stream.session) continue;
    snapshot::Catalog::Joined where = catalog_.join(stream.node());
    if (where.scope == stream.scope()) {
      stream.reason = texts_.of(std::move(where.reason));
      stream.matched = where.matched;
      continue;
    }
    leave(stream);
    join(stream, std::move(where));
    foresee(stream);
    stream.whole = true;
    queue_.add(stream, now);
  }
}

// --- streams -----------------------------------------------------------------------------------------------------------

namespace {
// Whose streams are counted together.
std::string client_of(const rpc::Peer& peer) { return peer.names.empty() ? peer.host : peer.names.front(); }
}  // namespace

absl::Status Core::deny(Denial why, absl::Status status) {
  ++metrics_.denied[static_cast<size_t>(why)];
  return status;
}

absl::Status Core::may_open(const rpc::Peer& peer) {
  if (!ready_) return deny(Denial::kNotReady, absl::UnavailableError("the sources have not been read completely yet"));  // rule 10: never an empty configuration because of that
  if (streams_.size() >= options_.max_streams) return deny(Denial::kStreams, absl::ResourceExhaustedError(absl::StrCat("more than ", options_.max_streams, " streams")));
  if (const auto at = by_connection_.find(peer.connection_key()); at != by_connection_.end() && at->second >= options_.max_streams_per_connection) {
    return deny(Denial::kStreamsPerConnection, absl::ResourceExhaustedError(absl::StrCat("more than ", options_.max_streams_per_connection, " streams on this connection of ", peer.text())));
  }
  const std::string client = client_of(peer);
  if (const auto at = by_client_.find(client); at != by_client_.end() && at->second >= options_.max_streams_per_client) {
    return deny(Denial::kStreamsPerClient, absl::ResourceExhaustedError(absl::StrCat("more than ", options_.max_streams_per_client, " streams of client ", client)));
  }
  return absl::OkStatus();
}

absl::StatusOr<StreamId> Core::open(StreamKind kind, std::optional<Type> only, rpc::PeerPtr peer) {
  ++metrics_.streams_opened;
  if (absl::Status s = may_open(*peer); !s.ok()) {
    ++metrics_.streams_refused;
    return s;
  }
  ++by_connection_[peer->connection_key()];
  ++by_client_[client_of(*peer)];
  const StreamId id = next_stream_++;
  auto stream = std::make_unique<Stream>(id);
  stream->kind = kind;
  stream->only = only;
  stream->peer = std::move(peer);
  stream->connected = clock_.system();
  streams_.add(id, std::move(stream));
  return id;
}

absl::Status Core::start(Stream& stream, const cpstream::Request& request) {
  if (authorization_) {
    if (absl::Status s = authorization_->check(*stream.peer, *request.node); !s.ok()) return deny(Denial::kNotAuthorized, s);
  }
  const snapshot::Node& node = *request.node;
  stream.set_node(node, nodes_);
  stream.client_class = classes_.of(snapshot::class_of(node));
  join(stream, catalog_.join(node));
  if (MeshClients::is_one(node)) mesh_clients_.came(node);
  quarantine_.node_joined(*stream.client_class, stream.node_id);
  if (foresee(stream)) scope_changed(stream.home->second);
  cpstream::SessionOptions options = options_.session;
  options.only = stream.only;
  options.incomplete = incomplete_;
  const auto knows = [&](std::string_view feature) { return std::binary_search(node.client_features.begin(), node.client_features.end(), feature); };
  options.ttl = knows("xds.config.supports-resource-ttl") && (stream.kind == StreamKind::kDelta || knows("xds.config.resource-in-sotw"));
  if (stream.kind == StreamKind::kDelta) {
    stream.session = std::make_unique<cpstream::DeltaSession>(options, names_, view(stream));
  } else {
    stream.session = std::make_unique<cpstream::SotwSession>(options, names_, view(stream));
  }
  FL_LOG(info, "xds", "node ", stream.node_id, " (", stream.client_class->name, ", ", stream.peer->text(), ") connected: ", *stream.reason);
  if (!stream.peer->may_carry_secrets() && catalog_.find(stream.scope())->of(Type::kSecret).size() > 0) {
    FL_LOG(warning, "xds", "node ", stream.node_id, " at ", stream.peer->address, " gets no secrets: its connection is neither on this machine nor over TLS");
  }
  if (tell_.watched()) tell_.connected(node, stream.scope(), stream.kind_name(), stream.peer->text(), *stream.reason);
  return absl::OkStatus();
}

void Core::request(StreamId id, std::string_view bytes) {
  Stream* found = streams_.find(id);
  if (found == nullptr) return;
  Stream& stream = *found;
  ++metrics_.requests;
  absl::StatusOr<cpstream::Request> request =
      stream.kind == StreamKind::kDelta ? cpstream::decode_delta(bytes) : cpstream::decode_sotw(bytes);
  absl::Status status = request.status();
  if (status.ok() && !stream.session) status = cpstream::check_first_request(*request);
  if (!status.ok()) {
    ++metrics_.bad_requests;
    end(stream, status);
    return;
  }
  if (const size_t names = request->names.size() + request->unsubscribe.size() + request->initial_versions.size(); names > options_.max_names_per_request) {
    return end(stream, deny(Denial::kNamesPerRequest, absl::ResourceExhaustedError(absl::StrCat(names, " names in one request for ", request->type_url, ": more than ", options_.max_names_per_request))));
  }
  if (!stream.session) {
    if (absl::Status s = start(stream, *request); !s.ok()) return end(stream, s);
  }
  if (!stream.only && is_debug_type(request->type_url)) {
    absl::Status s = may_inspect(*stream.peer);
    if (s.ok()) s = answer_debug(id, stream.kind == StreamKind::kDelta, *request);
    if (!s.ok()) end(stream, s);
    return;
  }
  // its own snapshot may be older than what others have been told since
  // False: a mere ACK, of which there are many.
  const bool subscribes = stream.kind == StreamKind::kSotw || !request->names.empty() || !request->unsubscribe.empty() || !stream.session->endpoints();
  const bool endpoints = subscribes && (stream.only ? *stream.only == Type::kEndpoint : request->type_url == resources::type_url(Type::kEndpoint));
  cpstream::Output output = stream.session->on_request(*request, clock_.monotonic(), endpoints ? view(stream) : nullptr);
  if (const size_t names = subscribes ? stream.session->names() : 0; names > options_.max_names_per_stream) {
    return end(stream, deny(Denial::kNamesPerStream, absl::ResourceExhaustedError(absl::StrCat(names, " names on one stream: more than ", options_.max_names_per_stream))));
  }
  if (endpoints) note_interest(stream);
  const bool listeners = stream.only ? *stream.only == Type::kListener : request->type_url == resources::type_url(Type::kListener);
  if (listeners && MeshClients::is_one(*stream.said)) mesh_clients_.asks(*stream.said, request->names);
  deliver(stream, std::move(output));
}

void Core::count_mesh_clients() {
  snapshot::Asked::Names out;
  size_t clients = 0;
  for (const Stream& s : streams_) {
    if (!s.session || !MeshClients::is_one(*s.said)) continue;
    ++clients;
    std::set<std::string>& names = out[{s.said->mesh, "", snapshot::mesh_audience(*s.said)}];
    if (!snapshot::is_grpc(*s.said)) continue;
    for (std::string& name : s.session->subscribed(Type::kListener)) names.insert(std::move(name));
  }
  mesh_clients_.anew(std::move(out), clients);
}

void Core::deliver(Stream& stream, cpstream::Output output) {
  for (const cpstream::Refusal& r : output.refusals) refuse(stream, r);
  for (const cpstream::Acceptance& a : output.acceptances) {
    ++metrics_.types[index(a.type)].acks;
    if (tell_.watched()) tell_.accepted(stream.node(), a);
    quarantine_.accepted(*stream.client_class, stream.scope(), a);
  }
  for (cpstream::Response& r : output.responses) {
    if (tell_.watched()) tell_.push(stream.node(), r);
    Metrics::PerType& m = metrics_.types[index(r.type)];
    ++m.responses;
    m.resources += r.resources.size();
    cpstream::WireMessage message = stream.kind == StreamKind::kDelta ? encoder_.delta(std::move(r)) : encoder_.sotw(std::move(r));
    m.bytes += message.size();
    wire_.send(stream.id(), std::move(message));
  }
  reschedule(stream);
  if (!output.close.ok()) {
    ++metrics_.bad_requests;
    end(stream, output.close);
  }
}

void Core::refuse(Stream& stream, const cpstream::Refusal& refusal) {
  ++metrics_.types[index(refusal.type)].nacks;
  std::vector<std::string> places;
  for (const resources::ResourcePtr& r : refusal.at_fault) {
    places.push_back(absl::StrCat(r->name, r->origins.empty() ? "" : absl::StrCat(" (", r->origins.front().place(), ")")));
  }
  FL_LOG(warning, "xds", "node ", stream.node_id, " refused ", resources::short_name(refusal.type), " ", absl::StrJoin(places, ", "), ": ",
         refusal.message);
  if (tell_.watched()) tell_.refused(stream.node(), refusal);
  ++state_epoch_;
  if (quarantine_.refused(*stream.client_class, stream.node_id, stream.scope(), refusal, clock_.system())) scope_changed(stream.home->second);
}

void Core::reschedule(Stream& stream) {
  const std::optional<MonotonicTime> wanted = stream.session->deadline();
  if (wanted == stream.deadline) return;
  if (stream.deadline) deadlines_.erase({*stream.deadline, stream.id()});
  if (wanted) deadlines_.insert({*wanted, stream.id()});
  stream.deadline = wanted;
}

void Core::written(StreamId id, MonotonicTime now) {
  Stream* found = streams_.find(id);
  if (found == nullptr || !found->pushing) return;
  Stream& stream = *found;
  stream.pushing = false;
  metrics_.push_delay.record(now - stream.pushed_since);
  queue_.done(stream);
}

bool Core::pump(size_t limit) {
  const MonotonicTime now = clock_.monotonic();
  while (limit-- > 0) {
    const std::optional<push::Queue::Entry> entry = queue_.next();
    if (!entry) return false;
    Stream& stream = static_cast<Stream&>(*entry->place);
    ++metrics_.pushes;
    const auto told = std::exchange(stream.endpoints, {});
    absl::InlinedVector<std::string_view, 4> names;
    for (const resources::ResourcePtr& assignment : told) names.push_back(assignment->name);
    cpstream::Output output = stream.session->on_snapshot(view(stream), now, std::exchange(stream.whole, false) ? cpstream::Changed() : cpstream::Changed(names));
    if (output.responses.empty()) {
      ++metrics_.empty_pushes;
      queue_.done(stream);
    } else {
      stream.pushing = true;
      stream.pushed_since = entry->since;
    }
    deliver(stream, std::move(output));
  }
  return queue_.waiting() > 0;
}

std::optional<MonotonicTime> Core::deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

void Core::on_time() {
  const MonotonicTime now = clock_.monotonic();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const StreamId id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    Stream& stream = streams_.at(id);
    stream.deadline.reset();
    deliver(stream, stream.session->on_time(now));
  }
}

void Core::set_authorization(std::shared_ptr<const Authorization> rules) {
  authorization_ = std::move(rules);
  if (!authorization_) return;
  std::vector<std::pair<StreamId, absl::Status>> out;
  for (const Stream& stream : streams_) {
    if (!stream.session) continue;
    if (absl::Status s = authorization_->check(*stream.peer, stream.node()); !s.ok()) out.emplace_back(stream.id(), std::move(s));
  }
  for (const auto& [id, why] : out) end(streams_.at(id), deny(Denial::kNotAuthorized, why));
}

void Core::end(Stream& stream, const absl::Status& status) {
  FL_LOG(warning, "xds", "stream of node ", stream.node_id.empty() ? "(none yet)" : stream.node_id, " (", stream.peer->text(), ") ended: ", status.message());
  if (stream.session && tell_.watched()) tell_.disconnected(stream.node(), status.message());
  const StreamId id = stream.id();
  drop(stream);
  wire_.end(id, status);
}

void Core::closed(StreamId id) {
  Stream* found = streams_.find(id);
  if (found == nullptr) return;
  if (found->session) FL_LOG(info, "xds", "node ", found->node_id, " (", found->peer->text(), ") disconnected");
  if (found->session && tell_.watched()) tell_.disconnected(found->node(), "the client went");
  drop(*found);
}

void Core::drop(Stream& stream) {
  const bool mesh = stream.session && MeshClients::is_one(*stream.said);
  if (stream.session) {
    leave(stream);
    if (quarantine_.node_left(*stream.client_class, stream.node_id)) {  // what stays of the class has refused something as a whole
      ++state_epoch_;
      for (const auto& [name, scope] : scopes_) scope_changed(scope);
    }
    if (stream.deadline) deadlines_.erase({*stream.deadline, stream.id()});
    queue_.remove(stream);
  }
  if (const auto at = by_connection_.find(stream.peer->connection_key()); --at->second == 0) by_connection_.erase(at);
  if (const auto at = by_client_.find(client_of(*stream.peer)); --at->second == 0) by_client_.erase(at);
  streams_.erase(stream.id());
  if (mesh && mesh_clients_.left()) count_mesh_clients();
}

void Core::each_stream(const std::function<void(const StreamView&)>& f) const {
  for (const Stream& s : streams_) {
    if (!s.session) continue;
    const snapshot::SnapshotPtr wanted = catalog_.find(s.scope());
    const std::vector<const verdict::Refused*> refused = quarantine_.list(*s.client_class, s.scope());
    f({s.node(), *s.session, *wanted, refused});
  }
}

// --- questions ---------------------------------------------------------------------------------------------------------

std::vector<inspect::StreamRecord> Core::records() const {
  std::vector<inspect::StreamRecord> out;
  for (const Stream& s : streams_) {
    if (!s.session) continue;
    out.push_back(inspect::record(s.node(), s.scope(), *s.reason, s.matched, s.peer->text(), s.kind_name(), s.connected, *s.session));
    tell_frozen(s, out.back());
  }
  return out;
}

// A stream that gets the last good of what its class has refused is up to date with that, not with what is wanted.
void Core::tell_frozen(const Stream& stream, inspect::StreamRecord& record) const {
  for (const verdict::Refused* r : quarantine_.list(*stream.client_class, stream.scope())) {
    for (inspect::StreamRecord::PerType& t : record.types) {
      if (t.type != r->type || !r->frozen || t.status.state == cpstream::TypeStatus::State::kError) continue;
      t.status.state = cpstream::TypeStatus::State::kError;
      if (!t.status.error.empty()) continue;
      t.status.error = r->message;
      t.status.error_at = clock_.monotonic() - std::chrono::duration_cast<MonotonicTime::duration>(clock_.system() - r->latest);
    }
  }
}

const Core::Stream* Core::find_node(std::string_view node_id) const {
  for (const Stream& s : streams_) {
    if (s.session && s.node_id == node_id) return &s;
  }
  return nullptr;
}

namespace {
absl::Status no_such_node(std::string_view node_id, const std::vector<inspect::StreamRecord>& records) {
  constexpr size_t kMost = 20;
  std::set<std::string_view> ids;
  for (const inspect::StreamRecord& r : records) ids.insert(r.node.id);
  std::vector<std::string_view> names(ids.begin(), ids.end());
  const auto meant = node_id.size() > 2 ? closest(node_id, names) : std::nullopt;  // anything is near to a letter
  if (names.size() > kMost) names.resize(kMost);
  return absl::NotFoundError(absl::StrCat("no proxy \"", node_id, "\" is connected", meant ? absl::StrCat("; did you mean \"", *meant, "\"?") : "", "; there ", ids.size() == 1 ? "is: " : "are: ",
                                          ids.empty() ? "none" : absl::StrJoin(names, ", "), ids.size() > kMost ? absl::StrCat(" and ", ids.size() - kMost, " more") : ""));
}
}  // namespace

absl::StatusOr<snapshot::SnapshotPtr> Core::snapshot_of(std::string_view node_id) {
  const Stream* stream = find_node(node_id);
  if (!stream) return no_such_node(node_id, records());
  return view(*stream);
}

absl::StatusOr<doc::Value> Core::diff(std::string_view node_id) const {
  const Stream* s = find_node(node_id);
  if (!s) return no_such_node(node_id, records());
  return inspect::diff(inspect::record(s->node(), s->scope(), *s->reason, s->matched, s->peer->text(), s->kind_name(), s->connected, *s->session),
                       *catalog_.find(s->scope()), *s->session);
}

std::vector<std::pair<std::string, snapshot::SnapshotPtr>> Core::snapshots() const {
  std::vector<std::pair<std::string, snapshot::SnapshotPtr>> out;
  for (const std::string& scope : catalog_.scopes()) out.emplace_back(scope, catalog_.find(scope));
  return out;
}

std::vector<verdict::Condition> Core::conditions() {
  std::map<std::string, std::pair<size_t, verdict::Ledger::TypeCounts>> progress;  // streams, synced
  for (const Stream& s : streams_) {
    if (!s.session) continue;
    auto& [streams, synced] = progress[s.scope()];
    ++streams;
    for (Type t : resources::all_types()) {
      using State = cpstream::TypeStatus::State;
      const State state = s.session->status(t).state;
      if (t == Type::kSecret && state != State::kNotRequested && !s.peer->may_carry_secrets()) continue;  // it has none
      // kError: it has the rest; what it refused gets a condition from the quarantine
      if (state == State::kSynced || state == State::kNotRequested || state == State::kError) ++synced[resources::index(t)];
    }
  }
  std::vector<snapshot::SnapshotPtr> wanted;
  for (const std::string& scope : catalog_.scopes()) {
    wanted.push_back(catalog_.find(scope));
    const auto [streams, synced] = progress[scope];
    ledger_.set_progress(scope, streams, synced);
  }
  ledger_.set_findings("secrets", unsent_secrets());  // what connections make of it, which come and go
  std::vector<verdict::Condition> all = ledger_.conditions(wanted, quarantine_);
  ledger_.clear_findings("secrets");
  return all;
}

verdict::Progress Core::progress() const {
  verdict::Progress out;
  std::map<std::string_view, verdict::Progress::Scope> scopes;
  const std::vector<std::string> names = catalog_.scopes();
  for (const std::string& name : names) {
    verdict::Progress::Scope& scope = scopes[name];
    scope.name = name;
    std::string versions;
    const snapshot::SnapshotPtr wanted = catalog_.find(name);
    for (Type t : resources::all_types()) {
      if (t != Type::kEndpoint) absl::StrAppend(&versions, wanted->of(t).version(), "\n");
    }
    scope.version = absl::StrCat(absl::Hex(xx_hash64(versions), absl::kZeroPad16));
  }
  for (const Stream& s : streams_) {
    const auto scope = s.session ? scopes.find(s.scope()) : scopes.end();
    if (scope == scopes.end()) continue;
    using State = cpstream::TypeStatus::State;
    bool any = false, all = !s.wants();
    for (Type t : resources::all_types()) {
      if (t == Type::kEndpoint || (t == Type::kSecret && !s.peer->may_carry_secrets())) continue;
      const State state = s.session->status(t).state;
      any |= state == State::kSynced || state == State::kError;
      all &= state == State::kSynced || state == State::kError || state == State::kNotRequested;
    }
    ++scope->second.streams;
    if (any && all) ++scope->second.synced;
  }
  for (auto& [name, scope] : scopes) out.scopes.push_back(std::move(scope));
  for (const verdict::Refused* r : quarantine_.list()) {
    verdict::Progress::Refusal refusal{r->scope, r->origins, verdict::describe(*r), r->foreseen};
    // Secrets and Services have no conditions: who uses them is to hear of it.
    if (r->type == Type::kSecret || r->type == Type::kEndpoint) {
      const std::vector<intent::Origin> users = users_of(r->scope, {r->type, r->name});
      intent::UniqueOrigins all;
      for (const intent::Origin& o : r->origins) all.add(o);
      for (const intent::Origin& o : users) all.add(o);
      refusal.origins = intent::Origins(all.take());
    }
    out.refusals.push_back(std::move(refusal));
  }
  out.faults = faults();
  for (const resources::RawSetPtr& set : catalog_.raw()) {
    ContentHasher content;
    for (const resources::ResourcePtr& r : set->resources)
      content.add_integer(index(r->type)).add_field(r->name).add_field(r->version).add_integer(r->hash.high).add_integer(r->hash.low);
    out.raw.push_back({set->name, hex64(content.finish().low)});
  }
  return out;
}

// Found in planning, or where plans and raw sets meet; and secrets that connections may not carry.
std::vector<verdict::Progress::Fault> Core::faults() const {
  std::vector<verdict::Progress::Fault> out;
  const auto add = [&](intent::Finding f, std::string scope) {
    if (f.severity != intent::Severity::kNote) {
      out.push_back({std::move(scope), std::move(f.origin), std::move(f.reason), std::move(f.message), f.severity != intent::Severity::kError});
    }
  };
  for (intent::Finding& f : ledger_.findings("plan:")) {
    std::string scope = intent::ScopeKey::scope_of(f.scope);
    add(std::move(f), std::move(scope));
  }
  for (intent::Finding& f : catalog_.findings()) {  // not the ledger's: clients that came since may have opened scopes
    std::string scope = f.scope;
    add(std::move(f), std::move(scope));
  }
  add_unsent_secrets(out);
  return out;
}

// What the listeners and clusters of a scope were made from that refer to it.
std::vector<intent::Origin> Core::users_of(std::string_view scope, const resources::Reference& to) const {
  std::vector<intent::Origin> out;
  const snapshot::SnapshotPtr wanted = catalog_.find(scope);
  for (Type type : {Type::kListener, Type::kCluster}) {
    wanted->of(type).for_each([&](const resources::ResourcePtr& r) {
      if (std::binary_search(r->references.begin(), r->references.end(), to)) out.insert(out.end(), r->origins.begin(), r->origins.end());
    });
  }
  return out;
}

// Told where they are missing: by listeners and clusters, whose authors can do something about it.
void Core::add_unsent_secrets(std::vector<verdict::Progress::Fault>& out) const {
  struct Unsent {
    size_t clients = 0;
    std::string first;
  };
  std::map<std::pair<std::string_view, std::string>, Unsent> unsent;  // by scope and name
  each_unsent_secret([&](const Stream& s, const resources::Resource& secret) {
    Unsent& u = unsent[{s.scope(), secret.name}];
    if (++u.clients == 1) u.first = absl::StrCat("node ", s.node_id, " at ", s.peer->address);
  });
  for (const auto& [key, u] : unsent) {
    const auto& [scope, name] = key;
    const std::string text = absl::StrCat("sds \"", name, "\" is not sent to ", u.clients, u.clients == 1 ? " proxy" : " proxies",
                                          " whose connection is neither on this machine nor over TLS: ", u.clients == 1 ? "" : "the first is ", u.first);
    for (intent::Origin& user : users_of(scope, {Type::kSecret, name})) out.push_back({std::string(scope), std::move(user), "SecretNotSent", text, false});
  }
}

// What clients say and who they are; what they are to have changes with an update alone, of which whoever asks knows.
uint64_t Core::progress_epoch() const {
  uint64_t said = 0;
  for (Type t : resources::all_types()) {
    if (t != Type::kEndpoint) said += metrics_.types[index(t)].acks + metrics_.types[index(t)].nacks;
  }
  return said + metrics_.streams_opened + (uint64_t{state_epoch_} << 32) + (uint64_t{streams_.size()} << 48);
}

std::vector<intent::Finding> Core::findings() const {
  std::vector<intent::Finding> out = ledger_.findings();
  for (intent::Finding& f : unsent_secrets()) out.push_back(std::move(f));
  return out;
}

}  // namespace fairlead::serve
