// See events.h.
#include "controlplane/inspect/events.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "base/strings.h"

namespace fairlead::inspect {

namespace {
doc::Entry text(std::string key, std::string value) { return {std::move(key), doc::string(std::move(value)), {}}; }
}  // namespace

struct Events::Farewell {
  std::mutex mutex;
  std::condition_variable gone;
};

Events::Events(const Clock& clock) : clock_(clock), farewell_(std::make_shared<Farewell>()) {}

bool Events::known(std::string_view kind) { return std::find(std::begin(kKinds), std::end(kKinds), kind) != std::end(kKinds); }

std::optional<std::string> Events::Reader::next(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, wait, [this] { return !waiting_.empty() || lost_ > 0 || closed_; });
  if (!waiting_.empty()) {
    const std::shared_ptr<const std::string> line = std::move(waiting_.front());
    waiting_.pop_front();
    return *line;
  }
  if (over_ || (lost_ == 0 && !closed_)) return std::nullopt;
  over_ = true;
  if (lost_ > 0) {
    return doc::to_json(doc::map({text("kind", "dropped"), text("message", absl::StrCat("you read too slowly: ", lost_, " events after this one were not kept; ask again"))}));
  }
  return doc::to_json(doc::map({text("kind", "ended"), text("message", "the control plane shuts down")}));
}

Events::Reader::~Reader() {
  if (farewell_ == nullptr) return;
  std::lock_guard lock(farewell_->mutex);
  farewell_->gone.notify_all();
}

bool Events::Reader::over() const {
  std::lock_guard lock(mutex_);
  return over_;
}

std::shared_ptr<Events::Reader> Events::open(std::set<std::string, std::less<>> kinds) {
  std::lock_guard lock(mutex_);
  std::erase_if(readers_, [](const auto& r) { return r.expired(); });
  if (readers_.size() >= kMostReaders) return nullptr;
  auto reader = std::make_shared<Reader>();
  reader->kinds_ = std::move(kinds);
  reader->closed_ = closed_;
  reader->farewell_ = farewell_;
  readers_.push_back(reader);
  readers_count_ = readers_.size();
  return reader;
}

void Events::close() {
  std::vector<std::weak_ptr<Reader>> told;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    told = readers_;
  }
  for (const auto& weak : told) {
    const std::shared_ptr<Reader> reader = weak.lock();
    if (!reader) continue;
    std::lock_guard of_reader(reader->mutex_);
    reader->closed_ = true;
    reader->wake_.notify_one();
  }
  std::unique_lock lock(farewell_->mutex);
  farewell_->gone.wait_for(lock, std::chrono::seconds(1), [&] { return std::all_of(told.begin(), told.end(), [](const auto& weak) { return weak.expired(); }); });
}

void Events::publish(std::string_view kind, std::vector<doc::Entry> fields) {
  fields.insert(fields.begin(), {text("at", format_time(clock_.system())), text("kind", std::string(kind))});
  const auto line = std::make_shared<const std::string>(doc::to_json(doc::map(std::move(fields))));
  std::lock_guard lock(mutex_);
  std::erase_if(readers_, [](const auto& r) { return r.expired(); });
  readers_count_ = readers_.size();
  for (const auto& weak : readers_) {
    const std::shared_ptr<Reader> reader = weak.lock();
    if (!reader || (!reader->kinds_.empty() && !reader->kinds_.contains(kind))) continue;
    std::lock_guard of_reader(reader->mutex_);
    // from the first lost one on all are: what is told has no gaps
    if (reader->lost_ > 0 || reader->waiting_.size() >= kMostWaiting) {
      ++reader->lost_;
    } else {
      reader->waiting_.push_back(line);
    }
    reader->wake_.notify_one();
  }
}

}  // namespace fairlead::inspect
