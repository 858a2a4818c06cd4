// An HTTP filter: sees one request and its response on the way through, may change, hold or answer them.
// Write a class derived from Filter, override what you need, and a FilterFactory that makes it in the stream's arena:
//
//   class AddHeader final : public stream::Filter {
//     HeadersStatus decode_headers(http::HeaderMap& headers, bool) override { headers.set("x-hello", "world"); return HeadersStatus::kContinue; }
//   };
//
// One instance per stream, one worker, no locks. Requests pass filters in configured order, responses in reverse; the last filter is
// terminal and produces the response through stream(). A filter may be called again only after its earlier call has returned.
// After on_stream_end() nothing is called any more; the object is destroyed soon after.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <absl/functional/any_invocable.h>

#include "dataplane/config/registry.h"
#include "dataplane/http/header_map.h"
#include "dataplane/net/buffer.h"
#include "dataplane/stats/registry.h"

namespace fairlead::format {
struct FormatContext;
}

namespace fairlead::stream {

class Stream;

enum class HeadersStatus : uint8_t {
  kContinue,
  kStop,         // hold headers and everything after them until continue_decoding()/continue_encoding(); the peer is held back when the buffer is full
  kStopAndRead,  // hold the headers, but let this filter see the body as it comes (its data call decides); for filters that need the whole body
};
enum class DataStatus : uint8_t {
  kContinue,
  kHold,  // keep this piece (with what is held already) until continue_*() or the end; over the buffer limit: 413, or 500 for a response.
          // While a later filter has stopped, a piece waits there instead
  kTaken,  // the filter has moved the piece, and the end that came with it, into a buffer of its own and will send them on with send_*()
};
enum class TrailersStatus : uint8_t {
  kContinue,
  kStop,
  kTaken,  // the filter keeps the trailers: it ends the message itself with send_*()
};

class Filter {
 public:
  virtual ~Filter() = default;

  virtual HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream);
  virtual DataStatus decode_data(net::Buffer& data, bool end_stream);
  virtual TrailersStatus decode_trailers(http::HeaderMap& trailers);

  virtual HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream);
  virtual DataStatus encode_data(net::Buffer& data, bool end_stream);
  virtual TrailersStatus encode_trailers(http::HeaderMap& trailers);

  // The client cannot take more of the response for now / can again. Only the terminal filter is told.
  virtual void on_downstream_blocked() {}
  virtual void on_downstream_ready() {}

  // Stream::arm_timeout() has come due. Only the terminal filter is told.
  virtual void on_timeout() {}
  // Bytes that this filter keeps of the exchange, beside those that the stream itself holds back for it.
  virtual size_t held_bytes() const { return 0; }
  // What of the exchange this filter alone knows, for whoever prints it: asked each time, so that nobody keeps it up to date for nothing.
  virtual void describe(format::FormatContext&) {}

  // The stream is over, whole or not: cancel timers and outside calls. The last call.
  virtual void on_stream_end() {}

 protected:
  Stream& stream() const { return *stream_; }
  // After a kStop, kStopAndRead or kHold: go on with the next filter. May be called from inside another filter's call.
  void continue_decoding();
  void continue_encoding();
  // Bytes of the filter's own, to the filters after it: from its timers and calls after kTaken, or from its trailers call, before
  // the trailers go on. `end_stream` ends the message, without the trailers there may be.
  void send_request_data(net::Buffer& data, bool end_stream);
  void send_response_data(net::Buffer& data, bool end_stream);
  void send_response_trailers(http::HeaderMap& trailers);  // those it took

 private:
  friend class Stream;
  Stream* stream_ = nullptr;
  uint8_t index_ = 0;
};

// Made once per configured filter on the main thread, immutable, shared by all workers.
class FilterFactory {
 public:
  virtual ~FilterFactory() = default;
  // Placement in the arena: `return new (arena.allocate(sizeof(F), alignof(F))) F(...)`. The stream destroys it.
  virtual Filter* create(http::Arena& arena) const = 0;
};

// What a factory may use beside its configuration. The registry and the scope outlive it; it keeps a ScopePtr for cells of its own.
struct FactoryContext {
  stats::Registry& stats;
  stats::ScopePtr scope;        // http.<stat_prefix>.
  std::string stat_prefix;      // of the connection manager
  std::string service_cluster;  // of the bootstrap's node
};

// Places a filter of type F in the arena.
template <class F, class... Args>
Filter* make_filter(http::Arena& arena, Args&&... args) {
  return new (arena.allocate(sizeof(F), alignof(F))) F(std::forward<Args>(args)...);
}

// Of a filter that needs its configuration alone.
template <class F, class Config>
struct ConfiguredFactory final : FilterFactory {
  explicit ConfiguredFactory(std::shared_ptr<const config::FilterConfig> config_in) : config(std::static_pointer_cast<const Config>(std::move(config_in))) {}
  Filter* create(http::Arena& arena) const override { return make_filter<F>(arena, *config); }
  std::shared_ptr<const Config> config;
};

// Which factory a parsed configuration gets, by the type URL of the filter. Filled at start-up, read-only afterwards.
class FilterRegistry {
 public:
  using Make = std::function<std::shared_ptr<const FilterFactory>(std::shared_ptr<const config::FilterConfig>)>;
  using MakeWithStats = std::function<std::shared_ptr<const FilterFactory>(std::shared_ptr<const config::FilterConfig>, const FactoryContext&)>;
  void add(std::string type_url, Make make) {
    add(std::move(type_url), [make = std::move(make)](std::shared_ptr<const config::FilterConfig> config, const FactoryContext&) { return make(std::move(config)); });
  }
  void add(std::string type_url, MakeWithStats make) { makers_[std::move(type_url)] = std::move(make); }
  template <class F, class Config>
  void add_configured(std::string type_url) {
    add(std::move(type_url), Make([](std::shared_ptr<const config::FilterConfig> config) { return std::make_shared<ConfiguredFactory<F, Config>>(std::move(config)); }));
  }
  const MakeWithStats* find(std::string_view type_url) const {
    const auto it = makers_.find(type_url);
    return it == makers_.end() ? nullptr : &it->second;
  }
  static FilterRegistry& global();

 private:
  std::map<std::string, MakeWithStats, std::less<>> makers_;
};

}  // namespace fairlead::stream
