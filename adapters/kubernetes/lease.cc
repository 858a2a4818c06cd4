// See lease.h.
#include "adapters/kubernetes/lease.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "base/doc_at.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/strings.h"

namespace fairlead::adapters::kubernetes {

namespace {

constexpr std::string_view kJson = "application/json", kReportPrefix = "replica.fairlead.io/";

int64_t number_at(const doc::Value& value, std::string_view path, int64_t fallback) {
  const doc::Value* v = value.find_path(path);
  return v && v->kind() == doc::Kind::integer ? v->as_integer() : fallback;
}

doc::Value sub(const doc::Value& value, std::string_view key) {
  const doc::Value* v = value.find(key);
  return v && v->is_map() ? *v : doc::map({});
}

}  // namespace

Election::Election(Options options, MonotonicTime now)
    : options_(std::move(options)), due_(now), own_key_(absl::StrCat(kReportPrefix, absl::Hex(xx_hash64(options_.identity), absl::kZeroPad16))) {}

std::string Election::path(bool of_lease) const {
  return absl::StrCat("/apis/coordination.k8s.io/v1/namespaces/", options_.ns, "/leases", of_lease ? "/" : "", of_lease ? options_.name : "");
}

bool Election::takable(MonotonicTime now) const {
  if (holder_.empty() || holder_ == options_.identity) return true;
  // As long as its holder says, by our own clock. A record without a duration gets ours.
  const auto lasts = std::chrono::seconds(std::max<int64_t>(1, number_at(seen_, "spec.leaseDurationSeconds", options_.lease.count())));
  return now >= seen_since_ + lasts;
}

bool Election::has_to_report(MonotonicTime now) const { return report_ != reported_ || (!report_.empty() && now >= reported_at_ + options_.heartbeat); }

std::vector<std::string> Election::reports(MonotonicTime now) const {
  std::vector<std::string> out;
  for (const auto& [key, heard] : heard_) {
    if (key != own_key_ && now < heard.since + options_.silence) out.push_back(heard.text.substr(std::min(heard.text.find(' '), heard.text.size() - 1) + 1));
  }
  return out;
}

std::string Election::record_with_report() const {
  doc::Value metadata = sub(seen_, "metadata"), annotations = sub(metadata, "annotations");
  annotations = report_.empty() ? doc::without(annotations, own_key_) : doc::with(annotations, own_key_, doc::string(absl::StrCat(report_number_, " ", report_)));
  return doc::to_json(doc::with(seen_, "metadata", doc::with(metadata, "annotations", annotations)));
}

// The Lease as it is to be written. What others keep in its metadata stays, but for reports of replicas that are gone, and for our own.
std::string Election::record(MonotonicTime now, SystemTime wall) const {
  const std::string written = micro_time(wall);
  const bool ours = holder_ == options_.identity;
  doc::Value spec = seen_.is_null() ? doc::map({}) : sub(seen_, "spec");
  spec = doc::with(spec, "holderIdentity", doc::string(options_.identity));
  spec = doc::with(spec, "leaseDurationSeconds", doc::integer(options_.lease.count()));
  if (!ours) spec = doc::with(spec, "acquireTime", doc::string(written));
  spec = doc::with(spec, "renewTime", doc::string(written));
  if (!ours) spec = doc::with(spec, "leaseTransitions", doc::integer(seen_.is_null() ? 0 : number_at(seen_, "spec.leaseTransitions", 0) + 1));
  if (!seen_.is_null()) {
    doc::Value metadata = sub(seen_, "metadata"), annotations = sub(metadata, "annotations");
    for (const auto& [key, heard] : heard_) {
      if (key == own_key_ || now >= heard.since + options_.silence) annotations = doc::without(annotations, key);
    }
    if (metadata.find("annotations")) metadata = doc::with(metadata, "annotations", annotations);
    return doc::to_json(doc::with(doc::with(seen_, "metadata", metadata), "spec", spec));
  }
  return doc::to_json(doc::map({{"apiVersion", doc::string("coordination.k8s.io/v1"), {}},
                                {"kind", doc::string("Lease"), {}},
                                {"metadata", doc::map({{"name", doc::string(options_.name), {}}, {"namespace", doc::string(options_.ns), {}}}), {}},
                                {"spec", spec, {}}}));
}

Election::Request Election::next(MonotonicTime now, SystemTime wall) {
  sent_ = now;
  if (missing_) {
    step_ = Step::kCreate;
    return {"POST", path(false), record(now, wall)};
  }
  if (seen_.is_null() || !takable(now)) {
    // a look first, so that what is written is written over what is there
    if (std::exchange(looked_, false) && !seen_.is_null() && has_to_report(now)) {
      step_ = Step::kReport;
      ++report_number_;
      sent_report_ = report_;
      return {"PUT", path(true), record_with_report()};
    }
    step_ = Step::kRead;
    return {"GET", path(true), ""};
  }
  step_ = holder_ == options_.identity ? Step::kRenew : Step::kTake;
  return {"PUT", path(true), record(now, wall)};
}

void Election::observe(const doc::Value& lease, MonotonicTime now) {
  missing_ = false;
  // any change of the record is a sign of life, whatever its times say
  if (seen_.is_null() || !(sub(seen_, "spec") == sub(lease, "spec"))) seen_since_ = now;
  std::map<std::string, Heard> heard;
  for (const doc::Entry& e : sub(sub(lease, "metadata"), "annotations").entries()) {
    if (!e.key.starts_with(kReportPrefix) || !e.value.is_string()) continue;
    const auto before = heard_.find(e.key);
    heard[e.key] = before != heard_.end() && before->second.text == e.value.as_string() ? before->second : Heard{e.value.as_string(), now};
  }
  heard_ = std::move(heard);
  seen_ = lease;
  holder_ = text_at(lease, "spec.holderIdentity");
  if (holder_ != options_.identity) leading_until_ = {};
}

absl::Status Election::answered(const absl::StatusOr<Response>& answer, MonotonicTime now) {
  const std::string lease = absl::StrCat("Lease ", options_.ns, "/", options_.name);
  due_ = now + options_.retry;
  if (!answer.ok()) return absl::UnavailableError(absl::StrCat(lease, ": ", answer.status().message()));
  const Response& r = *answer;
  if (r.status == 404 && step_ != Step::kCreate) {
    // gone, though we may have held it: it is made anew at once
    missing_ = true;
    seen_ = {};
    holder_.clear();
    leading_until_ = {};
    due_ = now;
    return absl::OkStatus();
  }
  if (r.status == 409) {  // another was faster: look who it is, but never round and round without a pause
    missing_ = false;
    seen_ = {};
    if (++conflicts_ == 1) due_ = now;
    return absl::OkStatus();
  }
  if (r.status != 200 && r.status != 201) return absl::UnavailableError(absl::StrCat(lease, ": the API server answered ", status_message(r)));
  absl::StatusOr<doc::Value> body = doc::parse_json(r.body, lease);
  if (!body.ok()) return body.status();
  observe(*body, now);
  if (step_ == Step::kRead) {
    looked_ = true;
    if (takable(now) || has_to_report(now)) due_ = now;
    return absl::OkStatus();
  }
  conflicts_ = 0;
  if (step_ == Step::kReport) {
    reported_ = sent_report_;
    reported_at_ = now;
    return absl::OkStatus();
  }
  reported_.clear();  // the leader's record has none of its own
  // counted from before the request was sent: nobody can have seen it earlier
  if (holder_ == options_.identity) leading_until_ = sent_ + options_.renew_deadline;
  return absl::OkStatus();
}

std::optional<Election::Request> Election::release(SystemTime wall) {
  if (seen_.is_null() || holder_ != options_.identity) return std::nullopt;
  leading_until_ = {};
  doc::Value spec = sub(seen_, "spec");
  spec = doc::with(spec, "holderIdentity", doc::string(""));
  spec = doc::with(spec, "leaseDurationSeconds", doc::integer(1));
  spec = doc::with(spec, "renewTime", doc::string(micro_time(wall)));
  return Request{"PUT", path(true), doc::to_json(doc::with(seen_, "spec", spec))};
}

// --- the thread ---------------------------------------------------------------------------------------------------------

LeaderElector::LeaderElector(Election::Options options, ApiClient::Options api, const Clock& clock, Changed changed)
    : options_(std::move(options)), api_options_([&] {
        // half of the deadline, so that one answer that never comes costs one renewal and not the Lease
        api.timeout = std::min<std::chrono::milliseconds>(api.timeout, options_.renew_deadline / 2);
        return std::move(api);
      }()),
      clock_(clock), changed_(std::move(changed)), api_(api_options_) {}

LeaderElector::~LeaderElector() { stop(); }

void LeaderElector::start() {
  thread_ = std::thread([this] { run(); });
}

void LeaderElector::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  api_.cancel();
  if (thread_.joinable()) thread_.join();
}

bool LeaderElector::leading() const { return clock_.monotonic().time_since_epoch().count() < leading_until_.load(std::memory_order_acquire); }

std::string LeaderElector::holder() const {
  std::lock_guard lock(mutex_);
  return holder_;
}

void LeaderElector::set_report(std::string report) {
  std::lock_guard lock(mutex_);
  report_ = std::move(report);
}

std::vector<std::string> LeaderElector::reports() const {
  std::lock_guard lock(mutex_);
  return reports_;
}

void LeaderElector::tell(bool leading) {
  std::string holder;
  {
    std::lock_guard lock(mutex_);
    holder = holder_;
  }
  if (leading == told_leading_ && holder == told_holder_) return;
  told_leading_ = leading;
  told_holder_ = holder;
  changed_(leading, holder);
}

void LeaderElector::run() {
  Election election(options_, clock_.monotonic());
  std::string last_error;
  // Replicas that started together do not ask together: up to a tenth later each time.
  std::minstd_rand random(std::random_device{}());
  std::uniform_real_distribution<double> tenth(0, 0.1);
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const MonotonicTime now = clock_.monotonic();
      auto wait = election.due() > now ? election.due() - now : MonotonicTime::duration{};
      if (wait.count() > 0) wait += std::chrono::duration_cast<MonotonicTime::duration>(options_.retry * tenth(random));
      if (election.leading(now)) wait = std::min(wait, election.leading_until() - now);
      wake_.wait_for(lock, wait, [this] { return stopping_; });
      if (stopping_) break;
    }
    MonotonicTime now = clock_.monotonic();
    if (now >= election.due()) {
      {
        std::lock_guard lock(mutex_);
        election.set_report(report_);
      }
      const Election::Request request = election.next(now, clock_.system());
      const absl::StatusOr<Response> answer = api_.request(request.method, request.path, request.body, request.body.empty() ? "" : kJson);
      now = clock_.monotonic();
      const absl::Status status = election.answered(answer, now);
      std::string error(status.message());
      if (!error.empty() && error != last_error) FL_LOG(warning, "leader", error);
      last_error = std::move(error);
    }
    leading_until_.store(election.leading_until().time_since_epoch().count(), std::memory_order_release);
    {
      std::lock_guard lock(mutex_);
      holder_ = election.holder();
      reports_ = election.reports(now);
    }
    tell(election.leading(now));
  }
  leading_until_.store(0, std::memory_order_release);
  tell(false);
  if (const auto request = election.release(clock_.system())) {
    ApiClient::Options api = api_options_;
    api.timeout = std::min<std::chrono::milliseconds>(api.timeout, std::chrono::seconds(2));
    const auto answer = ApiClient(api).request(request->method, request->path, request->body, kJson);
    if (!answer.ok()) FL_LOG(info, "leader", "the Lease could not be given back and will run out: ", answer.status().message());
  }
}

std::string micro_time(SystemTime time) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  const std::string seconds = format_rfc3339(micros / 1'000'000, 0);
  return absl::StrFormat("%s.%06dZ", std::string_view(seconds).substr(0, seconds.size() - 1), micros % 1'000'000);
}

std::string make_identity() {
  char host[256] = {};
  const char* pod = std::getenv("POD_NAME");
  if (pod == nullptr || *pod == 0) gethostname(host, sizeof host - 1);
  std::random_device random;
  return absl::StrFormat("%s_%08x%08x", pod != nullptr && *pod != 0 ? pod : host, random(), random());
}

}  // namespace fairlead::adapters::kubernetes
