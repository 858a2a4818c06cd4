#include "apps/pipeline/live.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <variant>

#include <absl/strings/str_cat.h>

#include "adapters/file/file_source.h"
#include "adapters/kubernetes/kubernetes_source.h"
#include "apps/pipeline/preflight.h"
#include "apps/pipeline/state_dir.h"
#include "apps/pipeline/status_doc.h"
#include "apps/pipeline/translator.h"
#include "apps/pipeline/watched_kinds.h"
#include "base/log.h"
#include "base/status.h"
#include "controlplane/push/debounce.h"

namespace fairlead::pipeline {

using adapters::ChangeSet;
using adapters::ObjectPtr;
using adapters::SourceUpdate;

namespace {
constexpr std::chrono::milliseconds kSaveAfter{500};

// Takes out of a change set what only the objects' own status tells apart: new versions with the same content. Of a file's the lines may differ.
// True: there was some.
bool drop_statuses(ChangeSet& changes, const adapters::ObjectSnapshot& before) {
  return std::erase_if(changes.changed, [&](const ObjectPtr& o) {
           if (!o->file.empty()) return false;
           const ObjectPtr old = before.find(o->key);
           return old && old->content_hash == o->content_hash && old->generation == o->generation && old->source == o->source;
         }) > 0;
}

std::shared_ptr<const adapters::StatusSink> all_of(const std::vector<const adapters::StatusSink*>& statuses) {
  auto all = std::make_shared<adapters::StatusSink>();
  for (const adapters::StatusSink* status : statuses) {
    for (const auto& [key, scopes] : status->objects()) {
      for (const auto& [scope, said] : scopes) all->at(key, scope) = said;
    }
  }
  return all;
}
}  // namespace

class Live::Loop {
 public:
  Loop(Options options, const Clock& clock, Sink sink) : options_(std::move(options)), clock_(clock), sink_(std::move(sink)), translator_(options_.weighing), preflight_(options_.version) {
    visible_ = store_.snapshot();  // whoever asks before start() is told of nothing
  }
  ~Loop() { stop(); }

  absl::Status start();
  void stop();
  void ask(snapshot::Asked asked);
  doc::Value sources() const;
  doc::Value objects();

 private:
  using Source = std::variant<std::unique_ptr<adapters::FileSource>, std::unique_ptr<adapters::kubernetes::KubernetesSource>>;

  absl::StatusOr<Source> make_source(const std::string& source);
  void run();
  void take(SourceUpdate update);
  void publish();
  void weigh();
  void report(const ChangeSet& changes);
  void report_translation(const snapshot::Update& update);
  void save();
  std::optional<MonotonicTime> due() const;

  const Options options_;
  const Clock& clock_;
  const Sink sink_;
  std::optional<StateDir> state_;
  std::vector<Source> sources_;
  std::thread thread_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<SourceUpdate> arrived_;                         // guarded
  std::deque<snapshot::Asked> asked_;                        // guarded
  std::deque<std::function<void(Translator&)>> questions_;   // guarded
  adapters::ObjectSnapshotPtr visible_;                      // guarded: the store's latest snapshot
  bool running_ = false, stopping_ = false;                  // guarded

  // The pipeline's thread alone.
  adapters::Store store_;
  Translator translator_;
  Preflight preflight_;
  std::vector<ObjectPtr> remembered_;  // from the state directory, until their source has them or has dropped them
  std::optional<MonotonicTime> save_at_, weigh_at_;
  push::Debouncer debounce_;
  push::FastPath fast_path_;
  std::set<std::string> reported_;
  std::map<std::string, std::set<std::string>> reported_findings_;  // by stage
  std::shared_ptr<const adapters::StatusSink> said_;                // of the last translation; null without options_.said
  bool started_ = false;  // the first update is out
};

namespace {
const std::string& name_of(const auto& source) {
  return std::visit([](const auto& s) -> const std::string& { return s->name(); }, source);
}
}  // namespace

absl::StatusOr<Live::Loop::Source> Live::Loop::make_source(const std::string& source) {
  const auto arrive = [this](SourceUpdate update) {
    std::lock_guard lock(mutex_);
    arrived_.push_back(std::move(update));
    wake_.notify_one();
  };
  if (adapters::kubernetes::is_kubernetes_source(source)) {
    adapters::kubernetes::KubernetesSourceOptions options;
    FL_ASSIGN_OR_RETURN(options.credentials, adapters::kubernetes::credentials_of(source));
    options.kinds = watched_kinds();
    if (!options_.version.empty()) options.user_agent = absl::StrCat("fairlead-control/", options_.version);
    return std::make_unique<adapters::kubernetes::KubernetesSource>(source, std::move(options), arrive);
  }
  const absl::StatusOr<std::string> path = adapters::file_source_path(source);
  if (!path.ok()) return absl::InvalidArgumentError(absl::StrCat("source \"", source, "\": expected file:PATH or kubernetes[:KUBECONFIG[#CONTEXT]]"));
  return std::make_unique<adapters::FileSource>(*path, adapters::FileSourceOptions(), arrive);
}

absl::Status Live::Loop::start() {
  if (options_.sources.empty()) return absl::InvalidArgumentError("no source: give at least one --source file:PATH or kubernetes");
  register_vocabularies(store_);
  for (const std::string& source : options_.sources) {
    FL_ASSIGN_OR_RETURN(Source made, make_source(source));
    sources_.push_back(std::move(made));
    store_.register_source(name_of(sources_.back()));
  }
  if (!options_.state_dir.empty()) {
    FL_ASSIGN_OR_RETURN(state_, StateDir::open(options_.state_dir));
    FL_ASSIGN_OR_RETURN(remembered_, state_->load_objects());
    FL_ASSIGN_OR_RETURN(const std::vector<resources::RawSetPtr> raw, state_->load_raw());
    translator_.remember(raw);
    for (const auto& source : sources_) {
      SourceUpdate before;
      before.source = name_of(source);
      for (const ObjectPtr& o : remembered_) {
        if (o->source == before.source) before.upserted.push_back(o);
      }
      if (!before.upserted.empty()) translator_.note(store_.apply(before));
    }
  }
  visible_ = store_.snapshot();
  running_ = true;
  thread_ = std::thread([this] { run(); });
  for (auto& source : sources_) FL_RETURN_IF_ERROR(std::visit([](auto& s) { return s->start(); }, source));
  return absl::OkStatus();
}

void Live::Loop::stop() {
  for (auto& source : sources_) std::visit([](auto& s) { s->stop(); }, source);
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

std::optional<MonotonicTime> Live::Loop::due() const {
  std::optional<MonotonicTime> first;
  for (const auto& at : {debounce_.due(), fast_path_.due(), save_at_, weigh_at_}) {
    if (at && (!first || *at < *first)) first = at;
  }
  return first;
}

void Live::Loop::run() {
  while (true) {
    std::deque<SourceUpdate> updates;
    std::deque<std::function<void(Translator&)>> questions;
    std::deque<snapshot::Asked> asked;
    {
      std::unique_lock lock(mutex_);
      const auto something = [this] { return stopping_ || !arrived_.empty() || !questions_.empty() || !asked_.empty(); };
      if (const auto until = due()) {
        wake_.wait_until(lock, *until, something);
      } else {
        wake_.wait(lock, something);
      }
      if (stopping_) break;
      updates.swap(arrived_);
      questions.swap(questions_);
      asked.swap(asked_);
    }
    for (SourceUpdate& u : updates) take(std::move(u));
    for (snapshot::Asked& a : asked) {
      if (translator_.ask(std::move(a))) debounce_.note(clock_.monotonic());
    }
    publish();
    weigh();
    for (auto& question : questions) question(translator_);
    if (save_at_ && *save_at_ <= clock_.monotonic()) save();
  }
  if (save_at_) save();
  std::lock_guard lock(mutex_);
  running_ = false;
  questions_.clear();  // nobody waits for an answer that will not come
}

// Written a while after a change, so that a burst of endpoint changes costs one file.
void Live::Loop::save() {
  save_at_.reset();
  absl::Status saved = state_->save_objects(*store_.snapshot());
  if (saved.ok()) saved = state_->save_raw(translator_.raw_sets());
  if (!saved.ok()) FL_LOG(error, "state", saved.message(), "; what is served now would not survive a restart");
}

void Live::Loop::take(SourceUpdate update) {
  for (adapters::ObjectKey& key : forgotten(remembered_, update)) update.removed.push_back(std::move(key));
  const adapters::ObjectSnapshotPtr before = store_.snapshot();
  ChangeSet changes = store_.apply(update);
  const bool statuses_moved = drop_statuses(changes, *before);
  {
    std::lock_guard lock(mutex_);
    visible_ = store_.snapshot();
  }
  const auto& told = before->sources();
  const auto status = std::find_if(told.begin(), told.end(), [&](const adapters::SourceStatus& s) { return s.name == update.source; });
  const std::string lost = status == told.end() ? "" : status->lost;
  if (!update.lost.empty() && update.lost != lost) FL_LOG(warning, "source", update.source, ": ", update.lost, "; what was read last stays in use");
  if (update.lost.empty() && !lost.empty()) FL_LOG(info, "source", update.source, ": can be read again");
  if (changes.empty()) {
    if (statuses_moved && said_) options_.said(said_, store_.snapshot());
    return;
  }
  report(changes);
  translator_.note(changes);
  const MonotonicTime now = clock_.monotonic();
  if (state_ && !save_at_) save_at_ = now + kSaveAfter;
  if (Translator::endpoints_only(changes)) {
    fast_path_.note(now);
  } else {
    debounce_.note(now);
  }
}

// Logs what is newly wrong, once.
void Live::Loop::report(const ChangeSet& changes) {
  FL_LOG(info, "source", changes.added.size(), " objects added, ", changes.changed.size(), " changed, ", changes.removed.size(), " removed");
  std::set<std::string> now;
  for (const adapters::Diagnostic& d : store_.snapshot()->diagnostics()) {
    if (d.severity == adapters::Severity::kNote) continue;
    const auto [text, fresh] = now.insert(absl::StrCat(adapters::severity_name(d.severity), ": ", d.str()));
    if (!fresh || reported_.contains(*text)) continue;
    if (d.severity == adapters::Severity::kError) {
      FL_LOG(error, "source", d.str());
    } else {
      FL_LOG(warning, "source", d.str());
    }
  }
  reported_ = std::move(now);
}

// The same for what translating and planning found.
void Live::Loop::report_translation(const snapshot::Update& update) {
  std::set<std::string> of_objects;
  for (const intent::Finding& f : to_findings(store_.snapshot()->diagnostics())) of_objects.insert(f.str());
  for (const auto& [stage, findings] : update.findings) {
    std::set<std::string> now;
    for (const intent::Finding& f : findings) {
      const std::string text = f.str();
      if (f.severity == intent::Severity::kNote || of_objects.contains(text) || !now.insert(text).second) continue;
      if (reported_findings_[stage].contains(text)) continue;
      if (f.severity == intent::Severity::kError) {
        FL_LOG(error, "plan", text);
      } else {
        FL_LOG(warning, "plan", text);
      }
    }
    reported_findings_[stage] = std::move(now);
  }
}

void Live::Loop::publish() {
  const adapters::ObjectSnapshotPtr objects = store_.snapshot();
  if (!objects->synced()) return;
  const MonotonicTime now = clock_.monotonic();
  if (!started_ || debounce_.take(now)) {
    if (!started_) debounce_ = push::Debouncer();
    snapshot::Update update = translator_.full(*objects);
    update.ready = true;
    started_ = true;
    if (!options_.version.empty()) preflight_.judge(update);
    report_translation(update);
    if (state_ && update.raw && !save_at_) save_at_ = now + kSaveAfter;
    sink_(std::move(update));
    if (options_.said) options_.said(said_ = all_of(translator_.statuses()), objects);  // after the sink: what proxies say of it is asked next
  }
  if (fast_path_.take(now)) {
    snapshot::Update update = translator_.endpoints();
    if (!options_.version.empty()) preflight_.judge(update);
    if (!update.empty()) sink_(std::move(update));
  }
}

// Weights of localities by what clients report; what has others goes the way of changed endpoints.
void Live::Loop::weigh() {
  if (!options_.loads || !started_ || !translator_.weighs()) return weigh_at_.reset();
  const MonotonicTime now = clock_.monotonic();
  if (weigh_at_ && now < *weigh_at_) return;
  const bool first = !weigh_at_;
  weigh_at_ = now + options_.loads_every;
  const std::vector<topology::LoadWeights::Changed> changed = translator_.loads(first ? std::vector<topology::LocalityLoad>() : options_.loads(), now);
  for (const auto& [key, steps] : changed) FL_LOG(info, "plan", key.str(), ": weights of localities by load: ", topology::to_text(steps));
  if (!changed.empty()) fast_path_.note(now);
}

void Live::Loop::ask(snapshot::Asked asked) {
  std::lock_guard lock(mutex_);
  asked_.push_back(std::move(asked));
  wake_.notify_one();
}

doc::Value Live::Loop::sources() const {
  adapters::ObjectSnapshotPtr objects;
  {
    std::lock_guard lock(mutex_);
    objects = visible_;
  }
  std::vector<doc::Value> list;
  for (const adapters::SourceStatus& s : objects->sources()) {
    std::vector<doc::Entry> entry{{"name", doc::string(s.name), {}}, {"synced", doc::boolean(s.synced), {}}, {"objects", doc::integer(static_cast<int64_t>(s.objects)), {}}};
    if (s.last_good != SystemTime{}) {
      const auto age = std::chrono::duration<double>(clock_.system() - s.last_good).count();
      entry.push_back({"age_s", doc::number(age), {}});
    }
    if (!s.lost.empty()) entry.push_back({"lost", doc::string(s.lost), {}});
    list.push_back(doc::map(std::move(entry)));
  }
  std::vector<doc::Value> wrong;
  for (const adapters::Diagnostic& d : objects->diagnostics()) {
    if (d.severity != adapters::Severity::kNote) wrong.push_back(doc::string(absl::StrCat(adapters::severity_name(d.severity), ": ", d.str())));
  }
  return doc::map({{"sources", doc::list(std::move(list)), {}}, {"diagnostics", doc::list(std::move(wrong)), {}}});
}

doc::Value Live::Loop::objects() {
  auto answer = std::make_shared<std::promise<doc::Value>>();
  std::future<doc::Value> future = answer->get_future();
  {
    std::lock_guard lock(mutex_);
    if (!running_) return doc::map({});
    questions_.push_back([answer](Translator& t) { answer->set_value(status_doc(t.statuses())); });
    wake_.notify_one();
  }
  answer.reset();
  try {
    return future.get();
  } catch (const std::future_error&) {  // the pipeline stopped with the question unanswered
    return doc::map({});
  }
}

Live::Live(Options options, const Clock& clock, Sink sink) : loop_(std::make_unique<Loop>(std::move(options), clock, std::move(sink))) {}
Live::~Live() = default;
absl::Status Live::start() { return loop_->start(); }
void Live::stop() { loop_->stop(); }
void Live::ask(snapshot::Asked asked) { loop_->ask(std::move(asked)); }
doc::Value Live::sources() const { return loop_->sources(); }
doc::Value Live::objects() const { return loop_->objects(); }

}  // namespace fairlead::pipeline
