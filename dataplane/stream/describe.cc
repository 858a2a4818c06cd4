// What is printed of a stream: put together from what it has counted and marked (Stream::Record), where a log line or a header asks for it.
#include <cstring>
#include <memory>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/http_connection.h"
#include "dataplane/stream/stream.h"

namespace fairlead::stream {

void Stream::take_wire_bytes() {
  if (sender_ == nullptr) return;
  record_.bytes.downstream_wire_received = sender_->wire_bytes_received();
  record_.bytes.downstream_wire_sent = sender_->wire_bytes_sent();
  record_.bytes.downstream_header_received = sender_->header_bytes_received();
  record_.bytes.downstream_header_sent = sender_->header_bytes_sent();
}

void Stream::write_access_log(format::LogType type) {
  take_wire_bytes();
  if (active_) record_.times.set(format::TimePoint::StreamEnd, since_start());
  format::FormatContext& info = describe();
  info.log_type = type;
  manager().access_log().log(worker_.index(), {.context = &info, .random = random_, .health_check = health_check_, .runtime = runtime()});
}

format::FormatContext& Stream::format() {
  if (format_ == nullptr) format_ = worker_.take_format();
  return *format_;
}

format::FormatContext& Stream::describe() {
  format::FormatContext& info = format();
  info.request_headers = request_headers_;
  info.response_headers = response_headers_;
  info.response_trailers = record_.response_trailers;
  info.start = record_.start;
  info.times = record_.times;
  info.bytes = record_.bytes;
  info.response_code = record_.response_code;
  info.flags = record_.flags;
  info.response_code_details = record_.response_code_details;
  info.stream_id = record_.request_id;
  describe_route(info);
  if (!connection_described_) {
    connection_described_ = true;
    describe_connection(info);
  }
  for (uint8_t i = 0; i < filter_count_; ++i) filters_[i]->describe(info);
  return info;
}

void Stream::describe_route(format::FormatContext& info) const {
  const router::Route* route = match_.route;
  info.route_name = route != nullptr ? std::string_view(route->name) : std::string_view();
  info.route_metadata = route != nullptr ? route->extras.metadata.get() : nullptr;
  info.virtual_host_metadata = route != nullptr && match_.virtual_host != nullptr ? match_.virtual_host->extras.metadata.get() : nullptr;
  info.upstream_cluster = cluster_ ? std::string_view(cluster_->config().stat_name()) : std::string_view();
  info.upstream_cluster_raw = cluster_ ? std::string_view(cluster_->config().name) : std::string_view();
  info.cluster_metadata = cluster_ ? cluster_->config().metadata.get() : nullptr;
}

void Stream::describe_connection(format::FormatContext& info) {
  info.downstream_direct_remote_address = connection_->remote_text();
  info.downstream_remote_address = info.downstream_direct_remote_address;
  if (!client_ip_.empty()) {
    // Envoy prints the client of x-forwarded-for with port 0.
    char* text = arena_.bytes(client_ip_.size() + 4);
    const bool v6 = client_ip_.find(':') != std::string_view::npos;
    char* at = text;
    if (v6) *at++ = '[';
    std::memcpy(at, client_ip_.data(), client_ip_.size());
    at += client_ip_.size();
    if (v6) *at++ = ']';
    *at++ = ':';
    *at++ = '0';
    info.downstream_remote_address = {text, static_cast<size_t>(at - text)};
  }
  info.downstream_local_address = connection_->local_text();
  info.downstream_direct_local_address = info.downstream_local_address;
  if (const ConnectionInfo* known = connection_->info(); known != nullptr) {
    if (known->direct_remote != known->remote) info.downstream_direct_remote_address = arena_.copy(known->direct_remote.to_string());
    if (known->direct_local != known->local) info.downstream_direct_local_address = arena_.copy(known->direct_local.to_string());
    info.requested_server_name = known->server_name;
    info.tls_ja3 = known->ja3;
    info.tls_ja4 = known->ja4;
    info.filter_state = &known->filter_state;
    if (info.dynamic_metadata == nullptr) info.dynamic_metadata = known->dynamic_metadata.get();
  }
  info.connection_id = connection_->connection().id();
  info.downstream_tls = connection_->tls_facts();
  info.listener_name = manager().listener().name;
  info.listener_metadata = manager().listener().metadata.get();
  info.filter_chain_name = manager().chain().name;
  if (sender_ != nullptr) info.protocol = http::protocol_name(sender_->protocol());
}

}  // namespace fairlead::stream
