// See event_book.h.
#include "adapters/kubernetes/event_book.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "adapters/kubernetes/lease.h"

namespace fairlead::adapters::kubernetes {

namespace {

constexpr std::string_view kController = "fairlead.io/fairlead-control";
constexpr size_t kMostNote = 1'000, kMostName = 200;  // the API: 1024 and 253

std::string cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  text.resize(most);
  return text;
}

}  // namespace

// Kept small: what has not happened for long is not remembered.
void EventBook::tidy(MonotonicTime now) {
  if (series_.size() + allowed_.size() < kMost) return;
  std::erase_if(series_, [&](const auto& s) { return now > s.second.last + kForget; });
  std::erase_if(allowed_, [&](const auto& a) { return now > a.second.at + kForget; });
  if (series_.size() + allowed_.size() < kMost) return;
  series_.clear();
  allowed_.clear();
}

std::optional<EventBook::Request> EventBook::note(const Event& event, MonotonicTime now, SystemTime wall) {
  tidy(now);
  const std::string ns = event.object.ns.empty() ? "default" : event.object.ns, note = cut(event.note, kMostNote);
  const Key key{event.object, event.reason, note};
  const std::string collection = absl::StrCat("/apis/events.k8s.io/v1/namespaces/", ns, "/events");
  if (const auto at = series_.find(key); at != series_.end() && now <= at->second.last + kForget) {
    Series& series = at->second;
    ++series.count;
    series.last = now;
    if (now < series.told + kAgain) return std::nullopt;
    series.told = now;
    const doc::Value count = doc::map({{"count", doc::integer(static_cast<int64_t>(series.count)), {}}, {"lastObservedTime", doc::string(micro_time(wall)), {}}});
    return Request{"PATCH", absl::StrCat(collection, "/", series.name), doc::to_json(doc::map({{"series", count, {}}})), "application/merge-patch+json", key};
  }
  Allowance& allowance = allowed_[event.object];
  if (allowance.at != MonotonicTime{}) allowance.tokens = std::min(kMostOfOne, allowance.tokens + std::chrono::duration<double>(now - allowance.at).count() * kPerSecond);
  allowance.at = now;
  if (allowance.tokens < 1) return std::nullopt;
  allowance.tokens -= 1;

  Series series;
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(wall.time_since_epoch()).count();
  series.name = absl::StrFormat("%s.%x%x", cut(event.object.name, kMostName), nanos, ++number_ & 0xfff);
  series.count = 1;
  series.last = series.told = now;
  std::vector<doc::Entry> regarding{{"apiVersion", doc::string(event.api_version), {}}, {"kind", doc::string(event.object.kind), {}}, {"name", doc::string(event.object.name), {}}};
  if (!event.object.ns.empty()) regarding.push_back({"namespace", doc::string(event.object.ns), {}});
  if (!event.uid.empty()) regarding.push_back({"uid", doc::string(event.uid), {}});
  const doc::Value body = doc::map({{"apiVersion", doc::string("events.k8s.io/v1"), {}},
                                    {"kind", doc::string("Event"), {}},
                                    {"metadata", doc::map({{"name", doc::string(series.name), {}}, {"namespace", doc::string(ns), {}}}), {}},
                                    {"eventTime", doc::string(micro_time(wall)), {}},
                                    {"reportingController", doc::string(std::string(kController)), {}},
                                    {"reportingInstance", doc::string(cut(instance_, 128)), {}},
                                    {"action", doc::string(event.action), {}},
                                    {"reason", doc::string(cut(event.reason, 128)), {}},
                                    {"regarding", doc::map(std::move(regarding)), {}},
                                    {"note", doc::string(note), {}},
                                    {"type", doc::string(event.warning ? "Warning" : "Normal"), {}}});
  series_[key] = std::move(series);
  return Request{"POST", collection, doc::to_json(body), "application/json", key};
}

}  // namespace fairlead::adapters::kubernetes
