// Answers GET and HEAD from what earlier responses left in the process's store, validates what is stale, keeps what may be kept. Nobody waits
// for another's request: concurrent misses all go upstream, and the response that ends last stays.
// One per stream, in its arena; one worker.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "dataplane/filters/http/cache/config.h"
#include "dataplane/filters/http/cache/store.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::cache {

void register_filter(stream::FilterRegistry& registry);

class CacheFilter final : public stream::Filter {
 public:
  explicit CacheFilter(const Config& config) : config_(config) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::DataStatus encode_data(net::Buffer& data, bool end_stream) override;
  stream::TrailersStatus encode_trailers(http::HeaderMap& trailers) override;
  void on_stream_end() override;

 private:
  enum class State : uint8_t {
    kPass,        // the response is none of ours
    kMiss,        // the response may be kept
    kValidate,    // the same, and a 304 means what we have
    kInvalidate,  // an unsafe method: what we have is void if it succeeds
    kServe,       // what passes is ours
    kFill,        // the body is being kept
  };
  struct Answer {
    bool whole = false;  // the kept body follows
    uint64_t first = 0, length = 0;
  };
  void mark_served();
  void serve();
  Answer write_head(http::HeaderMap& out);
  stream::HeadersStatus validated(http::HeaderMap& headers);
  void begin_filling(http::HeaderMap& headers, uint32_t status, bool end_stream);
  void give_up();
  void keep(const http::HeaderMap* trailers);
  void send_kept_body();
  bool vary_of(const http::HeaderMap& response, Response& out) const;
  int64_t now() const;
  int64_t age() const { return stored_->age + std::max<int64_t>(0, now() - stored_->came); }

  const Config& config_;
  State state_ = State::kPass;
  bool head_ = false;
  int64_t asked_ = 0;
  std::string key_;
  ResponsePtr stored_;
  std::optional<http::HeaderMap> asked_headers_;                // the client's own, once other filters may change them: for variants and conditions
  std::shared_ptr<Response> filling_;
  std::string body_;
  std::optional<uint64_t> length_;
  size_t reserved_ = 0;
  Answer answer_;
  net::LoopTask body_task_ = net::LoopTask::of<&CacheFilter::send_kept_body>(this);
};

}  // namespace fairlead::filters::cache
