// See filter.h.
#include "dataplane/filters/http/compressor/filter.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/compression/headers.h"
#include "dataplane/http/status.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::compressor {

using http::Token;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

namespace {

struct Factory final : stream::FilterFactory {
  std::shared_ptr<const Config> config;
  stats::ScopePtr scope;
  Counters counters;
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<CompressorFilter>(arena, *config, counters); }
};

DirectionCounters direction_counters(stats::Scope& scope, const std::string& prefix) {
  return {scope.counter(prefix + "compressed"), scope.counter(prefix + "not_compressed"), scope.counter(prefix + "content_length_too_small"), scope.counter(prefix + "total_uncompressed_bytes"),
          scope.counter(prefix + "total_compressed_bytes")};
}

void add_vary(http::HeaderMap& headers) {
  const http::Header* vary = headers.find(Token::Vary);
  if (vary == nullptr) return headers.add_ref(Token::Vary, "Accept-Encoding");
  if (!compression::contains_ignoring_case(vary->value(), "accept-encoding")) headers.append(Token::Vary, "Accept-Encoding", ", ");
}

constexpr char kGroupKey = 0;  // its address is the key

}  // namespace

struct CompressorFilter::Group {
  CompressorFilter* first = nullptr;
  CompressorFilter* last = nullptr;
  bool decided = false;
  Choice choice;
};

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor", [](std::shared_ptr<const config::FilterConfig> config, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    factory->config = std::static_pointer_cast<const Config>(std::move(config));
    const Config& c = *factory->config;
    stats::Scope& scope = *(factory->scope = context.scope);
    const std::string prefix = absl::StrCat("compressor.", c.library.name, ".", c.library.stat_prefix, ".");
    factory->counters = {.request = direction_counters(scope, prefix + "request."),
                         .response = direction_counters(scope, prefix + (c.response.configured ? "response." : "")),
                         .no_accept_header = scope.counter(prefix + "no_accept_header"),
                         .header_identity = scope.counter(prefix + "header_identity"),
                         .header_compressor_used = scope.counter(prefix + "header_compressor_used"),
                         .header_compressor_overshadowed = scope.counter(prefix + "header_compressor_overshadowed"),
                         .header_wildcard = scope.counter(prefix + "header_wildcard"),
                         .header_not_valid = scope.counter(prefix + "header_not_valid"),
                         .not_compressed_etag = scope.counter(prefix + "not_compressed_etag")};
    return factory;
  });
}

stats::Cells& CompressorFilter::cells() const { return stream().worker().cells(); }

// Without a content-length a body may be of any length, so it counts as long enough.
bool CompressorFilter::long_enough(const Direction& direction, const DirectionCounters& counters, const http::HeaderMap& headers) const {
  uint64_t length;
  if (!absl::SimpleAtoi(headers.get(Token::ContentLength), &length) || length >= direction.min_content_length) return true;
  cells().add(counters.content_length_too_small);
  return false;
}

bool CompressorFilter::type_allowed(const Direction& direction, const http::HeaderMap& headers) {
  const http::Header* type = headers.find(Token::ContentType);
  if (type == nullptr) return true;
  const std::string_view value = absl::StripAsciiWhitespace(type->value().substr(0, type->value().find(';')));
  return std::any_of(direction.content_types.begin(), direction.content_types.end(), [&](const auto& matcher) { return matcher.match(value); });
}

bool CompressorFilter::code_allowed(uint32_t status) const {
  return std::find(config_.uncompressible_codes.begin(), config_.uncompressible_codes.end(), status) == config_.uncompressible_codes.end();
}

HeadersStatus CompressorFilter::decode_headers(http::HeaderMap& headers, bool end_stream) {
  const auto* route = dynamic_cast<const RouteConfig*>(stream().per_route_config(*this));
  disabled_ = route != nullptr ? route->disabled : !config_.response.enabled.on(stream().runtime());
  if (!disabled_) {
    void*& slot = stream().slot(&kGroupKey);
    if (slot == nullptr) slot = stream().arena().make<Group>();
    group_ = static_cast<Group*>(slot);
    (group_->last != nullptr ? group_->last->next_ : group_->first) = this;
    group_->last = this;
    if (const auto accept = headers.joined("accept-encoding")) {
      accept_encoding_ = *accept;
      has_accept_encoding_ = true;
    }
    const bool remove = route != nullptr && route->remove_accept_encoding ? *route->remove_accept_encoding : config_.remove_accept_encoding;
    if (remove) headers.remove(Token::AcceptEncoding);
  }
  const Direction& request = config_.request;
  if (!end_stream && request.configured && request.enabled.on(stream().runtime()) && !stream().is_upgrade() && long_enough(request, counters_.request, headers) && type_allowed(request, headers) &&
      !headers.has(Token::ContentEncoding)) {
    headers.remove(Token::ContentLength);
    headers.add_ref(Token::ContentEncoding, config_.library.encoding);
    request_codec_ = config_.library.make();
    cells().add(counters_.request.compressed);
  } else {
    cells().add(counters_.request.not_compressed);
  }
  return HeadersStatus::kContinue;
}

// The choice is made once for all compressors of the stream, among those whose content types fit.
bool CompressorFilter::accepted(const http::HeaderMap& headers) {
  if (!has_accept_encoding_) {
    cells().add(counters_.no_accept_header);
    return false;
  }
  if (!group_->decided) {
    group_->decided = true;
    absl::InlinedVector<Offer, 4> offers;
    for (const CompressorFilter* filter = group_->first; filter != nullptr; filter = filter->next_) {
      if (type_allowed(filter->config_.response, headers)) offers.push_back({filter->config_.library.encoding});
    }
    group_->choice = choose(accept_encoding_, offers.data(), offers.size(), config_.choose_first ? config_.library.encoding : std::string_view());
  }
  const Choice& choice = group_->choice;
  const bool ours = choice.encoding == config_.library.encoding;
  switch (choice.kind) {
    case Choice::Kind::Encoding: cells().add(ours ? counters_.header_compressor_used : counters_.header_compressor_overshadowed); break;
    case Choice::Kind::Identity: cells().add(counters_.header_identity); break;
    case Choice::Kind::Wildcard: cells().add(counters_.header_wildcard); break;
    case Choice::Kind::Nothing: cells().add(counters_.header_not_valid); break;
  }
  return ours;
}

HeadersStatus CompressorFilter::encode_headers(http::HeaderMap& headers, bool end_stream) {
  if (disabled_ || group_ == nullptr) {
    cells().add(counters_.response.not_compressed);
    return HeadersStatus::kContinue;
  }
  const bool long_enough = this->long_enough(config_.response, counters_.response, headers);
  const bool etag_allowed = !config_.disable_on_etag_header || !headers.has(Token::Etag);
  if (long_enough && !etag_allowed) cells().add(counters_.not_compressed_etag);
  const bool type_allowed = this->type_allowed(config_.response, headers);
  const bool code_allowed = this->code_allowed(http::parse_status(headers.get(Token::PseudoStatus)));
  const bool possible = !stream().is_upgrade() && type_allowed && !compression::forbids_transform(headers) && etag_allowed && !headers.has(Token::ContentEncoding) && code_allowed;
  const bool compressible = long_enough && possible;
  const bool chosen = !end_stream && long_enough && (!config_.status_header || possible) && accepted(headers) && possible;
  if (config_.status_header && compressible) add_vary(headers);
  if (chosen) {
    compress_response_headers(headers);
  } else {
    cells().add(counters_.response.not_compressed);
    if (config_.status_header && !end_stream && has_accept_encoding_) {
      const std::string_view why = !long_enough ? "ContentLengthTooSmall" : !type_allowed ? "ContentTypeNotAllowed" : !etag_allowed ? "EtagNotAllowed" : !code_allowed ? "StatusCodeNotAllowed" : "";
      if (!why.empty()) headers.add("x-envoy-compression-status", absl::StrCat(config_.library.encoding, ";", why));
    }
  }
  if (!config_.status_header && compressible) add_vary(headers);
  return HeadersStatus::kContinue;
}

void CompressorFilter::compress_response_headers(http::HeaderMap& headers) {
  const http::Header* etag = headers.find(Token::Etag);
  if (etag != nullptr && !absl::StartsWithIgnoreCase(etag->value(), "W/")) {
    if (config_.weaken_etag) {
      headers.set(Token::Etag, absl::StrCat("W/", etag->value()));
    } else {
      headers.remove(Token::Etag);  // the bytes are no longer those it stands for
    }
  }
  const std::string length(config_.status_header ? headers.get(Token::ContentLength) : std::string_view());
  headers.remove(Token::ContentLength);
  headers.add_ref(Token::ContentEncoding, config_.library.encoding);
  if (config_.status_header) headers.add("x-envoy-compression-status", absl::StrCat(config_.library.encoding, ";Compressed;OriginalLength=", length));
  response_codec_ = config_.library.make();
  cells().add(counters_.response.compressed);
}

void CompressorFilter::run(compression::Compressor& codec, net::Buffer& data, bool finish, const DirectionCounters& counters) const {
  cells().add(counters.total_uncompressed_bytes, data.size());
  codec.compress(data, finish);
  cells().add(counters.total_compressed_bytes, data.size());
}

DataStatus CompressorFilter::decode_data(net::Buffer& data, bool end_stream) {
  if (request_codec_) run(*request_codec_, data, end_stream, counters_.request);
  return DataStatus::kContinue;
}

TrailersStatus CompressorFilter::decode_trailers(http::HeaderMap&) {
  if (!request_codec_) return TrailersStatus::kContinue;
  net::Buffer rest;
  run(*request_codec_, rest, true, counters_.request);
  send_request_data(rest, false);
  return TrailersStatus::kContinue;
}

DataStatus CompressorFilter::encode_data(net::Buffer& data, bool end_stream) {
  if (response_codec_) run(*response_codec_, data, end_stream, counters_.response);
  return DataStatus::kContinue;
}

TrailersStatus CompressorFilter::encode_trailers(http::HeaderMap&) {
  if (!response_codec_) return TrailersStatus::kContinue;
  net::Buffer rest;
  run(*response_codec_, rest, true, counters_.response);
  send_response_data(rest, false);
  return TrailersStatus::kContinue;
}

}  // namespace fairlead::filters::compressor
