// Writes what there is to say about objects back to the API server, while this process leads: the thread around StatusKeeper and EventBook.
// Any thread hands over what is said; the writer's own thread compares, asks what the proxies said, and writes.
// Invariant: nothing is written unless `leading` says so just before.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/event_book.h"
#include "adapters/kubernetes/status_keeper.h"
#include "base/clock.h"

namespace fairlead::adapters::kubernetes {

class StatusWriter {
 public:
  struct Options {
    StatusKeeper::Options keeper;
    ApiClient::Options api;
    std::string identity;  // of this process, for events
    // Which object events about the leadership are about; no name: there are none.
    ObjectKey lease;
    std::chrono::milliseconds poll{250};  // between two looks at what proxies say
    // Between replicas (reports.h): what this one tells while it does not lead, and what the others tell. May be empty.
    std::function<void(std::string)> tell_leader = {};
    std::function<std::vector<std::string>()> told = {};
  };
  // What proxies say now; nothing: the same as when it was asked last. `anew`: tell it in any case. The writer's thread.
  using Ask = std::function<std::optional<Verdicts>(bool anew)>;

  StatusWriter(Options options, const Clock& clock, std::function<bool()> leading, Ask ask);
  ~StatusWriter();  // stop()

  void start();
  void stop();
  // What vocabularies say of the objects of a snapshot; the same again where only the objects have changed, since somebody wrote their status. Any thread.
  void update(std::shared_ptr<const StatusSink> said, ObjectSnapshotPtr objects);
  // To look at once whether this process leads.
  void wake();

  // Lines of Prometheus. Any thread.
  std::string prometheus() const;

 private:
  void run();
  bool hear();
  void write_all();
  void tell(const StatusKeeper::Outcome& outcome);
  void send(const EventBook::Event& event);

  const Options options_;
  const Clock& clock_;
  const std::function<bool()> leading_;
  const Ask ask_;
  ApiClient api_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<const StatusSink> said_;  // guarded
  ObjectSnapshotPtr objects_;               // guarded
  bool fresh_ = false, woken_ = false, stopping_ = false;  // guarded

  // The writer's thread alone.
  StatusKeeper keeper_;
  EventBook book_;
  Verdicts own_, all_;              // what our own proxies say; with those of other replicas
  std::vector<std::string> told_;   // by these
  std::shared_ptr<const StatusSink> asked_for_;  // what had been said when the proxies were asked last
  bool led_ = false;
  std::string last_error_;

  enum Result { kWritten, kConflict, kGone, kRefused, kFailed, kRead, kResults };
  std::array<std::atomic<uint64_t>, kResults> results_{};
  std::atomic<uint64_t> events_{0}, events_failed_{0};
  std::atomic<size_t> waiting_{0};
  std::thread thread_;
};

}  // namespace fairlead::adapters::kubernetes
