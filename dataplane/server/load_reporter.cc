// The stream of load reports; see load_reporter.h.
#include "dataplane/server/load_reporter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "envoy/service/load_stats/v3/lrs.pb.h"

namespace fairlead::server {
namespace {

namespace lrs = envoy::service::load_stats::v3;
using std::chrono::milliseconds;

constexpr std::string_view kLoadMethod = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";
constexpr std::string_view kSupportsAllClusters = "envoy.lrs.supports_send_all_clusters";

// Whatever the message holds: neither field need be within the bounds of a Duration.
milliseconds report_interval(const google::protobuf::Duration& asked) {
  constexpr int64_t kMost = LoadReporter::kLongestInterval.count();
  const int64_t seconds = std::clamp<int64_t>(asked.seconds(), -kMost, kMost);
  return std::clamp(milliseconds(seconds * 1000 + asked.nanos() / 1'000'000), LoadReporter::kShortestInterval, LoadReporter::kLongestInterval);
}

}  // namespace

LoadReporter::LoadReporter(Options options)
    : options_(std::move(options)),
      scope_(options_.stats->scope(stats::plain_scope("load_reporter."))),
      back_off_(options_.seed),
      retry_(options_.loop->timers(),
             [this] {
               count("retries");
               connect();
             }),
      due_(options_.loop->timers(), [this] { report(); }) {
  for (const std::string_view leaf : {"errors", "requests", "responses", "retries"}) scope_->counter(leaf);
  connect();
}

LoadReporter::~LoadReporter() = default;

void LoadReporter::count(std::string_view leaf) { options_.stats->cells(0).add(scope_->counter(leaf)); }

// Says who this is, and nothing of load: how long a report covers is known once the server has asked for one.
void LoadReporter::connect() {
  ++streams_;
  stream_ = options_.connector->open(options_.target, std::string(kLoadMethod), *this);
  lrs::LoadStatsRequest first;
  if (options_.node != nullptr) *first.mutable_node() = *options_.node;
  first.mutable_node()->add_client_features(std::string(kSupportsAllClusters));
  count("responses");  // Envoy 1.40: what it sends answers the server, and so does this
  stream_->send(first.SerializeAsString());
}

void LoadReporter::gather(std::function<void(upstream::Loads)> done) {
  options_.gather([lives = std::weak_ptr<const bool>(lives_), done = std::move(done)](upstream::Loads loads) {
    if (!lives.expired()) done(std::move(loads));
  });
}

void LoadReporter::on_message(std::string message) {
  lrs::LoadStatsResponse asked;
  if (!asked.ParseFromString(message)) return on_closed(absl::InvalidArgumentError(absl::StrCat("malformed LoadStatsResponse of ", message.size(), " bytes")));
  count("requests");
  back_off_.reset();
  const milliseconds interval = report_interval(asked.load_reporting_interval());
  if (interval != interval_) FL_LOG(info, "config", "lrs: load is reported every ", interval.count(), " ms");
  interval_ = interval;
  due_.disarm();
  upstream::LoadReport::Wish wish{.all = asked.send_all_clusters(), .clusters = {}, .endpoints = asked.report_endpoint_granularity()};
  if (!wish.all) wish.clusters.insert(asked.clusters().begin(), asked.clusters().end());
  gather([this, stream = streams_, wish = std::move(wish)](upstream::Loads loads) {
    books_.ask(wish, loads, options_.now());
    if (stream_ != nullptr && stream == streams_) due_.arm(interval_);
  });
}

void LoadReporter::report() {
  gather([this, stream = streams_](upstream::Loads loads) {
    books_.add(loads);
    if (stream_ == nullptr || stream != streams_) return;  // the next stream's first report has it
    if (stream_->idle()) send();                           // else the server does not read: one report more would only wait
    due_.arm(interval_);
  });
}

void LoadReporter::send() {
  count("responses");
  stream_->send(books_.take(options_.snapshot().get(), options_.now()));
}

void LoadReporter::on_closed(absl::Status status) {
  stream_.reset();
  due_.disarm();
  if (!status.ok()) count("errors");  // Envoy 1.40: that the server ends the stream is none
  const milliseconds wait = back_off_.next();
  FL_LOG(warning, "config", "lrs: stream closed: ", status.ok() ? "the server ended it" : status.message(), "; next attempt in ", wait.count(), " ms");
  retry_.arm(wait);
}

}  // namespace fairlead::server
