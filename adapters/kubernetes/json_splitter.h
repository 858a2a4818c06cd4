// Cuts JSON that arrives in pieces into the values it holds, without parsing them: the items of a Kubernetes list, or the values of a watch
// stream, one after the other. So a list of 100,000 objects never is one text or one tree. One thread.
// What it lets through is what balances outside of strings; whether a value is JSON is for its parser to say. Invariant: memory is bounded by
// one value (Limits) and, for lists, what stands around the items.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include <absl/status/status.h>

namespace fairlead::adapters::kubernetes {

class JsonSplitter {
 public:
  enum class Mode {
    kValues,  // objects one after the other, white space between
    kItems,   // one object; the objects in its list "items"
  };
  struct Limits {
    size_t value = size_t{32} << 20;  // etcd holds no object above 1.5 MiB; escaping may multiply that
    size_t around = size_t{1} << 20;
  };
  // The text is valid during the call. False: feed() returns Cancelled.
  using OnValue = std::function<bool(std::string_view text)>;

  JsonSplitter(Mode mode, OnValue on_value, Limits limits) : mode_(mode), on_value_(std::move(on_value)), limits_(limits) {}
  JsonSplitter(Mode mode, OnValue on_value) : JsonSplitter(mode, std::move(on_value), Limits()) {}

  // An error is final.
  absl::Status feed(std::string_view bytes);
  // Whether what came so far is whole: no value has begun and not ended.
  bool whole() const { return depth_ == 0 && !in_string_ && (mode_ == Mode::kValues || done_); }
  // kItems: the object with its items left out, once whole.
  const std::string& around() const { return around_; }

 private:
  absl::Status structural(char c);
  bool capturing() const { return value_depth_ >= 0; }

  const Mode mode_;
  const OnValue on_value_;
  const Limits limits_;
  int depth_ = 0;
  int value_depth_ = -1;  // the depth around the value being read; -1: none is
  bool in_string_ = false, escaped_ = false, in_items_ = false, done_ = false;
  bool cancelled_ = false;
  std::string last_string_;  // at depth 1, its start: may turn out to be a key
  std::string value_, around_;
};

}  // namespace fairlead::adapters::kubernetes
