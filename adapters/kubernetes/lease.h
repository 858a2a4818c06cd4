// Leader election on a Lease (coordination.k8s.io/v1): of all replicas one holds it and writes. Election is the state machine: no socket, no
// thread, the times come from outside. LeaderElector is its thread: it asks the API server and tells who leads.
// Safety rests on this machine's own clock alone: how long a foreign record has been seen unchanged decides whether it has run out, never the
// times written in it, so that clocks may differ by any amount. A leader stops being one on its own account `renew_deadline` after it sent its
// last successful renewal; others wait `lease` after they saw it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <absl/status/statusor.h>

#include "adapters/kubernetes/api_client.h"
#include "base/clock.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes {

class Election {
 public:
  struct Options {
    std::string ns, name;
    std::string identity;                           // unique to this process
    std::chrono::seconds lease{15};                 // client-go's defaults for core components
    std::chrono::milliseconds renew_deadline{10'000};
    std::chrono::milliseconds retry{2'000};
    std::chrono::milliseconds heartbeat{10'000};  // between two reports that say the same
    std::chrono::milliseconds silence{30'000};    // after which a replica's report no longer counts
  };
  struct Request {
    std::string method, path, body;  // JSON
  };

  Election(Options options, MonotonicTime now);

  // When next() has something to ask.
  MonotonicTime due() const { return due_; }
  // What to ask the API server now; answered() is to follow before the next one.
  Request next(MonotonicTime now, SystemTime wall);
  // An error status: the server was not reached. Errors name the Lease; they are for the log, the machine goes on.
  absl::Status answered(const absl::StatusOr<Response>& answer, MonotonicTime now);

  // Whether this process may act as the leader at that moment.
  bool leading(MonotonicTime now) const { return now < leading_until_; }
  MonotonicTime leading_until() const { return leading_until_; }
  // Who holds the Lease as far as is known; empty: nobody.
  const std::string& holder() const { return holder_; }
  // Replicas tell the leader something in annotations of the Lease. What this one has to tell, empty for nothing: written while another leads, when
  // it has changed, and again now and then to show that it lives.
  void set_report(std::string report) { report_ = std::move(report); }
  // What the others tell, as far as they have been heard of lately.
  std::vector<std::string> reports(MonotonicTime now) const;

  // Gives the Lease back, so that another need not wait for it to run out; nothing when it is not held.
  std::optional<Request> release(SystemTime wall);

 private:
  enum class Step { kRead, kCreate, kTake, kRenew, kReport };
  struct Heard {
    std::string text;  // with the number before it
    MonotonicTime since{};
  };
  bool takable(MonotonicTime now) const;
  void observe(const doc::Value& lease, MonotonicTime now);
  bool has_to_report(MonotonicTime now) const;
  std::string record(MonotonicTime now, SystemTime wall) const;
  std::string record_with_report() const;
  std::string path(bool of_lease) const;

  const Options options_;
  MonotonicTime due_;
  MonotonicTime leading_until_{};
  Step step_ = Step::kRead;
  MonotonicTime sent_{};
  std::string holder_;
  // The Lease as last seen, and since when its record has been as it is; null: not known.
  doc::Value seen_;
  MonotonicTime seen_since_{};
  bool missing_ = false;  // there is none: create it
  int conflicts_ = 0;     // writes in a row that came too late
  const std::string own_key_;  // of our annotation
  std::string report_, reported_, sent_report_;
  MonotonicTime reported_at_{};
  uint64_t report_number_ = 0;
  bool looked_ = false;  // the last request was a look: what is written now is written over what is there
  std::map<std::string, Heard> heard_;  // by annotation
};

class LeaderElector {
 public:
  // Called on the elector's thread: this process leads from now on or no longer, or another does.
  using Changed = std::function<void(bool leading, const std::string& holder)>;

  LeaderElector(Election::Options options, ApiClient::Options api, const Clock& clock, Changed changed);
  ~LeaderElector();  // stop()

  void start();
  // Ends, and gives the Lease back.
  void stop();
  // Any thread. True no longer than it is safe, whether or not the thread has noticed.
  bool leading() const;
  std::string holder() const;
  const std::string& identity() const { return options_.identity; }
  // See Election. Any thread.
  void set_report(std::string report);
  std::vector<std::string> reports() const;

 private:
  void run();
  void tell(bool leading);

  const Election::Options options_;
  const ApiClient::Options api_options_;
  const Clock& clock_;
  const Changed changed_;
  ApiClient api_;
  std::atomic<MonotonicTime::rep> leading_until_{0};
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string holder_;                // guarded
  std::string report_;                // guarded
  std::vector<std::string> reports_;  // guarded
  bool stopping_ = false;             // guarded
  bool told_leading_ = false;
  std::string told_holder_;
  std::thread thread_;
};

// Kubernetes' MicroTime, "2026-01-31T00:00:00.000000Z": always six decimals.
std::string micro_time(SystemTime time);

// Unique to this process on this machine and in the cluster: "HOST_RANDOM".
std::string make_identity();

}  // namespace fairlead::adapters::kubernetes
