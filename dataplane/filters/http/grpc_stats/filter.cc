// See filter.h.
#include "dataplane/filters/http/grpc_stats/filter.h"

#include "dataplane/stream/request_headers.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::grpc_stats {

using http::Token;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

namespace {

struct Factory final : stream::FilterFactory {
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<GrpcStatsFilter>(arena, *shared); }
};

}  // namespace

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", [](std::shared_ptr<const config::FilterConfig> config, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    factory->shared->config = std::static_pointer_cast<const Config>(std::move(config));
    const Config& c = *factory->shared->config;
    for (uint32_t i = 0; i < context.stats.threads(); ++i) factory->shared->by_worker.emplace_back(context.stats, "grpc", c.upstream_times, c.replace_dots);
    return factory;
  });
}

HeadersStatus GrpcStatsFilter::decode_headers(http::HeaderMap& headers, bool) {
  if (!stream::has_grpc_content_type(headers)) return HeadersStatus::kContinue;
  const upstream::Cluster* cluster = stream().cluster();
  if (cluster == nullptr) return HeadersStatus::kContinue;
  const grpc::Method method = grpc::method_of(headers.get(Token::PseudoPath));
  if (!method.valid()) return HeadersStatus::kContinue;
  const bool alone = shared_.config->all_methods || shared_.config->methods.contains(method.both);
  stats_ = shared_.by_worker[stream().worker().index()].find(cluster->config().stat_name(), alone ? method : grpc::Method());
  return HeadersStatus::kContinue;
}

DataStatus GrpcStatsFilter::decode_data(net::Buffer& data, bool) {
  if (stats_ != nullptr) {
    const uint64_t before = request_.count();
    request_.inspect(data);
    if (request_.count() != before) stream().worker().cells().add(stats_->request_messages, request_.count() - before);
  }
  return DataStatus::kContinue;
}

HeadersStatus GrpcStatsFilter::encode_headers(http::HeaderMap& headers, bool end_stream) {
  if (stats_ != nullptr) {
    charge(headers);
    grpc_response_ = stream::has_grpc_content_type(headers);
    if (end_stream) record_time();
  }
  return HeadersStatus::kContinue;
}

DataStatus GrpcStatsFilter::encode_data(net::Buffer& data, bool end_stream) {
  if (stats_ != nullptr) {
    const uint64_t before = response_.count();
    if (grpc_response_) response_.inspect(data);
    if (response_.count() != before) stream().worker().cells().add(stats_->response_messages, response_.count() - before);
    if (end_stream) record_time();
  }
  return DataStatus::kContinue;
}

TrailersStatus GrpcStatsFilter::encode_trailers(http::HeaderMap& trailers) {
  if (stats_ != nullptr) {
    charge(trailers);
    record_time();
  }
  return TrailersStatus::kContinue;
}

void GrpcStatsFilter::charge(const http::HeaderMap& headers) {
  if (const http::Header* status = headers.find(Token::GrpcStatus)) stats_->charge(stream().worker().cells(), status->value());
}

// From the last byte of the request to the last of the response.
void GrpcStatsFilter::record_time() {
  if (!shared_.config->upstream_times) return;
  const auto sent = stream().times().get(format::TimePoint::DownstreamRxEnd);
  if (!sent || !stream().times().get(format::TimePoint::UpstreamRxBegin)) return;
  stream().worker().cells().record(stats_->upstream_time, static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(stream().since_start() - *sent).count()));
}

}  // namespace fairlead::filters::grpc_stats
