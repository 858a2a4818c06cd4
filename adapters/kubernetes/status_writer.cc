// See status_writer.h.
#include "adapters/kubernetes/status_writer.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "adapters/kubernetes/reports.h"
#include "base/log.h"

namespace fairlead::adapters::kubernetes {

StatusWriter::StatusWriter(Options options, const Clock& clock, std::function<bool()> leading, Ask ask)
    : options_(std::move(options)), clock_(clock), leading_(std::move(leading)), ask_(std::move(ask)), api_(options_.api), keeper_(options_.keeper), book_(options_.identity) {}

StatusWriter::~StatusWriter() { stop(); }

void StatusWriter::start() {
  thread_ = std::thread([this] { run(); });
}

void StatusWriter::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  api_.cancel();
  if (thread_.joinable()) thread_.join();
}

void StatusWriter::update(std::shared_ptr<const StatusSink> said, ObjectSnapshotPtr objects) {
  std::lock_guard lock(mutex_);
  said_ = std::move(said);
  objects_ = std::move(objects);
  fresh_ = true;
  wake_.notify_all();
}

void StatusWriter::wake() {
  std::lock_guard lock(mutex_);
  woken_ = true;
  wake_.notify_all();
}

void StatusWriter::run() {
  while (true) {
    std::shared_ptr<const StatusSink> said;
    ObjectSnapshotPtr objects;
    bool fresh;
    {
      std::unique_lock lock(mutex_);
      MonotonicTime::duration wait = options_.poll;
      const MonotonicTime now = clock_.monotonic();
      if (const auto due = keeper_.due(now); led_ && due) wait = std::clamp(*due - now, MonotonicTime::duration{}, wait);
      wake_.wait_for(lock, wait, [this] { return stopping_ || fresh_ || woken_; });
      if (stopping_) return;
      said = said_;
      objects = objects_;
      fresh = std::exchange(fresh_, false);
      woken_ = false;
    }
    // what is newly said has gone to the proxies: from here on they are asked of that
    const bool anew = std::exchange(asked_for_, said) != said;
    if (!leading_()) {
      if (const auto own = options_.tell_leader ? ask_(led_ || anew) : std::nullopt) options_.tell_leader(to_report(*own));
      if (led_) keeper_.reset();
      led_ = false;
      waiting_ = 0;
      continue;
    }
    if (!said || !objects) continue;
    const bool begins = !std::exchange(led_, true);
    if (begins) {
      keeper_.reset();
      if (!options_.lease.name.empty()) {
        send({false, "Elect", "LeaderElected", absl::StrCat(options_.identity, " writes status from now on"), options_.lease, "coordination.k8s.io/v1", ""});
      }
    }
    std::optional<Verdicts> own = ask_(begins || anew);
    if (own) own_ = *std::move(own);
    const bool heard = hear();
    const bool judged = begins || own || heard;  // anew
    if (judged) {
      all_ = own_;
      for (const std::string& report : told_) {
        if (const absl::StatusOr<Verdicts> other = from_report(report); other.ok()) add_report(all_, *other);
      }
    }
    if (fresh || judged) {
      keeper_.take(said, objects, all_, clock_.monotonic());
      for (const StatusKeeper::Outcome& news : keeper_.news()) tell(news);
    }
    write_all();
    waiting_ = keeper_.waiting();
  }
}

// Whether other replicas tell something new.
bool StatusWriter::hear() {
  if (!options_.told) return false;
  std::vector<std::string> now = options_.told();
  if (now == told_) return false;
  told_ = std::move(now);
  return true;
}

// What is due, until something new is to be said.
void StatusWriter::write_all() {
  while (true) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_ || fresh_) return;
    }
    if (!leading_()) return;
    const auto request = keeper_.next(clock_.monotonic(), clock_.system());
    if (!request) return;
    const absl::StatusOr<Response> answer = api_.request(request->method, request->path, request->body, request->content_type);
    if (api_.cancelled()) return;
    tell(keeper_.answered(answer, clock_.monotonic()));
    waiting_ = keeper_.waiting();
  }
}

void StatusWriter::tell(const StatusKeeper::Outcome& outcome) {
  using Kind = StatusKeeper::Outcome::Kind;
  switch (outcome.kind) {
    case Kind::kRead:
      ++results_[kRead];
      return;
    case Kind::kWritten:
      ++results_[kWritten];
      last_error_.clear();
      break;
    case Kind::kTold: break;
    case Kind::kConflict:  // usual where several write; it is tried again
      ++results_[kConflict];
      FL_LOG(debug, "status", outcome.message);
      return;
    case Kind::kGone:
      ++results_[kGone];
      FL_LOG(debug, "status", outcome.message);
      return;
    case Kind::kRefused:
      ++results_[kRefused];
      FL_LOG(error, "status", outcome.message, "; it is tried again when something about it changes");
      return;
    case Kind::kFailed:
      ++results_[kFailed];
      if (!outcome.message.empty() && outcome.message != last_error_) FL_LOG(warning, "status", outcome.message, "; it is tried again");
      last_error_ = outcome.message;
      return;
  }
  const doc::Value* uid = outcome.object->body.find_path("metadata.uid");
  for (const Transition& t : outcome.transitions) {
    EventBook::Event event;
    event.object = outcome.object->key;
    event.api_version = outcome.object->api_version;
    event.uid = uid && uid->is_string() ? uid->as_string() : "";
    event.action = t.type == "Programmed" ? "Program" : "Accept";
    event.reason = t.reason;
    event.note = absl::StrCat(t.where, t.where.empty() ? "" : ": ", t.message);
    event.warning = t.to == Truth::kFalse;
    const bool spoken_of = outcome.kind == Kind::kTold || t.type == "Programmed" || t.type == "Accepted" || t.type == "ResolvedRefs";
    // What is wrong from now on, and what no longer is; never that all is well from the start, or not known yet.
    if (spoken_of && (t.to == Truth::kFalse || (t.from == Truth::kFalse && t.to == Truth::kTrue))) send(event);
  }
}

void StatusWriter::send(const EventBook::Event& event) {
  const auto request = book_.note(event, clock_.monotonic(), clock_.system());
  if (!request) return;
  const auto answer = api_.request(request->method, request->path, request->body, request->content_type);
  if (answer.ok() && (answer->status == 200 || answer->status == 201)) {
    ++events_;
    return;
  }
  // An Event is a courtesy: it is not tried again.
  ++events_failed_;
  book_.gone(*request);
  FL_LOG(debug, "status", "an Event about ", event.object.str(), " could not be recorded: ", answer.ok() ? status_message(*answer) : std::string(answer.status().message()));
}

std::string StatusWriter::prometheus() const {
  std::string out;
  static constexpr std::array<std::string_view, kResults> kNames{"written", "conflict", "gone", "refused", "failed", "read"};
  absl::StrAppend(&out, "# HELP fairlead_control_status_requests_total Requests about the status of objects, by what came of them\n# TYPE fairlead_control_status_requests_total counter\n");
  for (size_t i = 0; i < kResults; ++i) absl::StrAppend(&out, "fairlead_control_status_requests_total{result=\"", kNames[i], "\"} ", results_[i].load(), "\n");
  absl::StrAppend(&out, "# HELP fairlead_control_status_waiting Objects whose status is to be written\n# TYPE fairlead_control_status_waiting gauge\nfairlead_control_status_waiting ",
                  waiting_.load(), "\n");
  absl::StrAppend(&out, "# HELP fairlead_control_events_total Kubernetes Events recorded\n# TYPE fairlead_control_events_total counter\nfairlead_control_events_total ", events_.load(), "\n");
  absl::StrAppend(&out, "# HELP fairlead_control_events_failed_total Kubernetes Events that could not be recorded\n# TYPE fairlead_control_events_failed_total counter\n",
                  "fairlead_control_events_failed_total ", events_failed_.load(), "\n");
  absl::StrAppend(&out, "# HELP fairlead_control_leader Whether this process holds the Lease and writes\n# TYPE fairlead_control_leader gauge\nfairlead_control_leader ", leading_() ? 1 : 0, "\n");
  return out;
}

}  // namespace fairlead::adapters::kubernetes
