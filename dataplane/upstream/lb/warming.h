// A policy while some of its hosts are in slow start: the weighted form until the last of them is warm, then the plain one.
// Private to the room. Both are over the same list.
#pragma once

#include <memory>
#include <utility>

#include "dataplane/upstream/lb/policy.h"

namespace fairlead::upstream {

class Warming final : public Policy {
 public:
  Warming(std::unique_ptr<Policy> weighted, std::unique_ptr<Policy> plain, MonotonicTime end) : weighted_(std::move(weighted)), plain_(std::move(plain)), end_(end) {}
  LbHost* pick(const PickContext& context) override { return (context.now < end_ ? weighted_ : plain_)->pick(context); }

 private:
  std::unique_ptr<Policy> weighted_, plain_;
  MonotonicTime end_;
};

}  // namespace fairlead::upstream
