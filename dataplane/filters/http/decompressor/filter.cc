// See filter.h.
#include "dataplane/filters/http/decompressor/filter.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "dataplane/compression/headers.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::decompressor {

using http::Token;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;
using Result = compression::Decompressor::Result;

namespace {

struct Factory final : stream::FilterFactory {
  std::shared_ptr<const Config> config;
  stats::ScopePtr scope;
  Counters counters;
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<DecompressorFilter>(arena, *config, counters); }
};

DirectionCounters direction_counters(stats::Scope& scope, const std::string& prefix) {
  return {scope.counter(prefix + "decompressed"), scope.counter(prefix + "not_decompressed"), scope.counter(prefix + "total_uncompressed_bytes"), scope.counter(prefix + "total_compressed_bytes"),
          scope.counter_on_use(prefix + "failed")};
}

std::string_view first_of(std::string_view list) { return absl::StripAsciiWhitespace(list.substr(0, list.find(','))); }

}  // namespace

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor", [](std::shared_ptr<const config::FilterConfig> config, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    factory->config = std::static_pointer_cast<const Config>(std::move(config));
    factory->scope = context.scope;
    const std::string prefix = absl::StrCat("decompressor.", factory->config->library.name, ".", factory->config->library.stat_prefix, ".");
    factory->counters = {direction_counters(*context.scope, prefix + "request."), direction_counters(*context.scope, prefix + "response.")};
    return factory;
  });
}

std::unique_ptr<compression::Decompressor> DecompressorFilter::begin(const Direction& direction, http::HeaderMap& headers, bool end_stream, const DirectionCounters& counters) const {
  if (end_stream) return nullptr;
  stats::Cells& cells = stream().worker().cells();
  const auto encodings = headers.joined("content-encoding");
  if (!direction.enabled.on(stream().runtime()) || !encodings || !absl::EqualsIgnoreCase(first_of(*encodings), config_.library.encoding) ||
      (!direction.ignore_no_transform && compression::forbids_transform(headers))) {
    cells.add(counters.not_decompressed);
    return nullptr;
  }
  cells.add(counters.decompressed);
  headers.remove(Token::ContentLength);
  const size_t comma = encodings->find(',');
  const std::string_view rest = comma == std::string_view::npos ? std::string_view() : std::string_view(absl::StripAsciiWhitespace(encodings->substr(comma + 1)));
  if (rest.empty()) {
    headers.remove(Token::ContentEncoding);
  } else {
    headers.set(Token::ContentEncoding, rest);
  }
  return config_.library.make();
}

bool DecompressorFilter::run(compression::Decompressor& codec, net::Buffer& data, bool finish, bool request) {
  const DirectionCounters& counters = request ? counters_.request : counters_.response;
  stats::Cells& cells = stream().worker().cells();
  cells.add(counters.total_compressed_bytes, data.size());
  net::Buffer out;
  const Result result = codec.decompress(data, out, finish);
  data = std::move(out);
  cells.add(counters.total_uncompressed_bytes, data.size());
  if (result == Result::kOk) return true;
  data.clear();
  cells.add(counters.failed);
  const bool large = result == Result::kTooLarge;
  const std::string_view details = large ? "decompressor_ratio_exceeded" : "decompressor_corrupt_body";
  if (!request) {
    stream().reset(details);
  } else {
    stream().send_local_reply({.status = large ? 413u : 400u, .body = large ? "compressed body too large" : "corrupt compressed body", .details = details});
  }
  return false;
}

HeadersStatus DecompressorFilter::decode_headers(http::HeaderMap& headers, bool end_stream) {
  // Before the request's own encoding is looked at, as Envoy 1.40 does: the upstream may answer compressed.
  if (config_.advertise) {
    const auto accept = headers.joined("accept-encoding");
    std::string kept;
    for (std::string_view rest = accept.value_or(""); !rest.empty();) {
      const size_t comma = rest.find(',');
      const std::string_view token = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(token.substr(0, token.find(';'))), config_.library.encoding)) continue;
      if (!kept.empty()) kept += ',';
      kept += token;
    }
    headers.set(Token::AcceptEncoding, kept.empty() ? std::string(config_.library.encoding) : absl::StrCat(kept, ",", config_.library.encoding));
  }
  request_codec_ = begin(config_.request, headers, end_stream, counters_.request);
  return HeadersStatus::kContinue;
}

DataStatus DecompressorFilter::decode_data(net::Buffer& data, bool end_stream) {
  if (request_codec_) run(*request_codec_, data, end_stream, true);
  return DataStatus::kContinue;
}

TrailersStatus DecompressorFilter::decode_trailers(http::HeaderMap&) {
  net::Buffer rest;
  if (request_codec_ && run(*request_codec_, rest, true, true) && !rest.empty()) send_request_data(rest, false);
  return TrailersStatus::kContinue;
}

HeadersStatus DecompressorFilter::encode_headers(http::HeaderMap& headers, bool end_stream) {
  response_codec_ = begin(config_.response, headers, end_stream, counters_.response);
  return HeadersStatus::kContinue;
}

DataStatus DecompressorFilter::encode_data(net::Buffer& data, bool end_stream) {
  if (response_codec_) run(*response_codec_, data, end_stream, false);
  return DataStatus::kContinue;
}

TrailersStatus DecompressorFilter::encode_trailers(http::HeaderMap&) {
  net::Buffer rest;
  if (response_codec_ && run(*response_codec_, rest, true, false) && !rest.empty()) send_response_data(rest, false);
  return TrailersStatus::kContinue;
}

}  // namespace fairlead::filters::decompressor
