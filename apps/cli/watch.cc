// fairlead watch: what happens in a running control plane, line by line.
#include <algorithm>
#include <condition_variable>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/cli/commands.h"

namespace fairlead::cli {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string names(const doc::Value& event, std::string_view key, std::string_view sign) {
  constexpr size_t kMost = 4;
  const doc::Value* list = event.find(key);
  if (list == nullptr || list->size() == 0) return "";
  std::string out;
  for (size_t i = 0; i < list->size() && i < kMost; ++i) absl::StrAppend(&out, " ", sign, list->items()[i].as_string());
  if (list->size() > kMost) out += " …";
  return out;
}

// "12:00:01.250  push          edge-1  rds  1: default/quickstart/0.0.0.0/8080"; in a cluster the replica comes after the time
std::string line_of(const doc::Value& e) {
  const std::string at = text_at(e, "at"), kind = text_at(e, "kind"), type = text_at(e, "type"), from = text_at(e, "from"), message = text_at(e, "message"), reason = text_at(e, "reason");
  const std::string replica = text_at(e, "replica");
  std::string out = absl::StrCat(at.size() > 11 ? at.substr(11, 12) : at, "  ", replica, replica.empty() ? "" : "  ", kind);
  out.append(kind.size() < 12 ? 12 - kind.size() : 0, ' ');
  std::vector<std::string> parts;
  for (const char* key : {"node", "scope", "object", "type"}) {
    if (const std::string part = text_at(e, key); !part.empty()) parts.push_back(part);
  }
  if (const std::string count = text_at(e, "resources"); !count.empty()) parts.push_back(absl::StrCat(count, ":", names(e, "set", ""), names(e, "removed", "-")));
  if (!from.empty()) parts.push_back(from);
  if (!reason.empty() && kind != "finding") parts.push_back(reason);
  if (!message.empty()) parts.push_back(message);
  if (const std::string version = text_at(e, "version"); !version.empty()) parts.push_back(absl::StrCat("version ", version));
  return absl::StrCat(out, "  ", absl::StrJoin(parts, "  "));
}

// One line of the stream, flushed. False: nobody reads any more.
bool print_event(std::string_view line, const std::string& replica, Format format) {
  absl::StatusOr<doc::Value> event = doc::parse_json(line, "event");
  if (event.ok() && !replica.empty()) event = doc::with(*event, "replica", doc::string(replica));
  if (format == Format::kJson) {
    std::cout << (event.ok() && !replica.empty() ? doc::to_json(*event) : std::string(line)) << "\n";
  } else if (event.ok()) {
    std::cout << (format == Format::kTable ? plain(line_of(*event)) + "\n" : "---\n" + render(*event, format));
  }
  std::cout.flush();
  return static_cast<bool>(std::cout);
}

int watch_one(const Client& client, Format format, const Parameters& parameters) {
  bool dropped = false;
  const absl::Status followed = client.follow("/debug/watch", parameters, [&](std::string_view line) {
    const absl::StatusOr<doc::Value> event = doc::parse_json(line, "event");
    dropped |= event.ok() && text_at(*event, "kind") == "dropped";
    return print_event(line, "", format);
  });
  return followed.ok() ? (dropped ? 1 : 0) : fail(followed);
}

// Follows every replica, each on a thread of its own. This thread looks for them and starts kubectl: the programs that it starts end with it.
class Replicated {
 public:
  Replicated(const Kubectl& kubectl, Format format, Parameters parameters) : kubectl_(kubectl), format_(format), parameters_(std::move(parameters)) {}
  ~Replicated() {
    for (const auto& f : followers_) f->forward->end();  // what they wait for
    for (const auto& f : followers_) f->thread.join();
  }

  int run() {
    constexpr seconds kLook{10};  // for replicas that have come meanwhile
    constexpr milliseconds kFirstPause{500};
    milliseconds pause = kFirstPause;
    for (bool first = true;; first = false) {
      const absl::Status found = look(first);
      if (!found.ok() && (first || (kubectl_.names_a_pod() && absl::IsNotFound(found)))) return fail(found);  // a pod does not come back by its name
      const bool well = found.ok() && wait_for(kLook);
      if (const std::optional<int> code = reap()) return *code;
      if (well) {
        pause = kFirstPause;
      } else if (!wait_for(pause)) {
        if (const std::optional<int> code = reap()) return *code;
      } else {
        pause = std::min<milliseconds>(pause * 2, kLook);
      }
    }
  }

 private:
  struct Follower {
    std::string pod;
    std::unique_ptr<Forward> forward;
    std::thread thread;
    bool over = false;  // by lock_
    absl::Status why;
  };

  // True when the time is over, false as soon as a follower is, or the reader.
  bool wait_for(milliseconds time) {
    std::unique_lock lock(lock_);
    return !changed_.wait_for(lock, time, [&] { return unread_ || std::any_of(followers_.begin(), followers_.end(), [](const auto& f) { return f->over; }); });
  }

  // Starts to follow those that are there and not followed. An error: nobody could be found, or reached.
  absl::Status look(bool first) {
    const absl::StatusOr<Replicas> replicas = kubectl_.find();
    if (!replicas.ok()) return told(replicas.status(), first);
    absl::Status last;
    for (const Pod& pod : replicas->ready) {
      if (std::any_of(followers_.begin(), followers_.end(), [&](const auto& f) { return f->pod == pod.name; })) continue;
      absl::StatusOr<std::unique_ptr<Forward>> forward = kubectl_.forward(pod);
      const absl::Status there = forward.ok() ? (*forward)->await() : forward.status();
      if (!there.ok()) {
        last = there;
        continue;
      }
      if (!first) std::cerr << "fairlead: watching " << pod.name << "\n";
      follow(pod, *std::move(forward));
    }
    if (last.ok()) told_.clear();
    return last.ok() ? last : told(last, first && followers_.empty());
  }

  // The same trouble is told once. `quietly`: the caller tells it.
  absl::Status told(const absl::Status& status, bool quietly) {
    if (!quietly && told_ != status.message()) std::cerr << "fairlead: " << status.message() << "\n";
    told_ = std::string(status.message());
    return quietly || followers_.empty() ? status : absl::OkStatus();
  }

  void follow(const Pod& pod, std::unique_ptr<Forward> forward) {
    Follower* f = followers_.emplace_back(new Follower{pod.name, std::move(forward), {}, false, {}}).get();
    f->thread = std::thread([this, f, id = pod.id()] {
      const Client client(f->forward->address(), id, [f] { return f->forward->lost(); });
      absl::Status why = client.follow("/debug/watch", parameters_, [&](std::string_view line) {
        const std::lock_guard lock(lock_);
        unread_ = unread_ || !print_event(line, f->pod, format_);
        return !unread_;
      });
      const std::lock_guard lock(lock_);
      f->why = std::move(why);
      f->over = true;
      changed_.notify_all();
    });
  }

  // Says which are lost, and forgets them. The exit code, once there is one.
  std::optional<int> reap() {
    std::vector<std::unique_ptr<Follower>> over;
    {
      const std::lock_guard lock(lock_);
      if (unread_) return 0;
      for (auto at = followers_.begin(); at != followers_.end();) {
        if ((*at)->over) {
          over.push_back(std::move(*at));
          at = followers_.erase(at);
        } else {
          ++at;
        }
      }
    }
    for (const auto& f : over) f->thread.join();
    for (const auto& f : over) {
      if (absl::IsFailedPrecondition(f->why)) return fail(f->why);  // it will say the same again
      std::cerr << "fairlead: " << (f->why.ok() ? f->pod + " has ended" : std::string(f->why.message())) << "; looking for replicas again\n";
    }
    return std::nullopt;
  }

  const Kubectl& kubectl_;
  Format format_;
  Parameters parameters_;
  std::string told_;
  std::mutex lock_;  // of what is printed, and of what followers and this thread share
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Follower>> followers_;  // changed by this thread alone
  bool unread_ = false;
};

}  // namespace

int watch(Servers& servers, Format format, const std::vector<std::string>& kinds) {
  Parameters parameters{{"kind", absl::StrJoin(kinds, ",")}};
  if (servers.kubectl()) return Replicated(*servers.kubectl(), format, std::move(parameters)).run();
  const auto all = servers.all();
  return all.ok() ? watch_one((*all)->front().client, format, parameters) : fail(all.status());
}

}  // namespace fairlead::cli
