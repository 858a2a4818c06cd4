// The codec's counts and the statistics they are shown as; Http2ProtocolOptions and the codec's settings.
#include <catch2/catch.hpp>

#include <string>

#include "dataplane/stats/registry.h"
#include "dataplane/upstream/pool/http2_codec.h"

using namespace fairlead;

TEST_CASE("every count of the codec is a statistic of its own name", "[http2]") {
  REQUIRE(stats::kHttp2Stats.defs.size() == h2::kStatCount);
  for (size_t i = 0; i < h2::kStatCount; ++i) {
    const stats::StatDef& def = stats::kHttp2Stats.defs[i];
    CHECK(def.name == "http2." + std::string(h2::stat_name(static_cast<h2::Stat>(i))));
    CHECK((def.kind == stats::Kind::gauge) == (static_cast<h2::Stat>(i) >= h2::kFirstGauge));
  }
}

TEST_CASE("gauges of the codec go up and down in the worker's cells", "[http2]") {
  stats::Registry registry(1);
  const stats::ScopePtr scope = registry.scope(stats::cluster_scope("up"));
  upstream::Http2StatSink sink(registry.cells(0), scope->block<stats::Http2Stat>(stats::kHttp2Stats));
  sink.add(h2::Stat::streams_active, 3);
  sink.add(h2::Stat::streams_active, -1);
  sink.add(h2::Stat::rx_reset, 1);
  CHECK(registry.find("cluster.up.http2.streams_active") == 2);
  CHECK(registry.find("cluster.up.http2.rx_reset") == 1);
}

TEST_CASE("options become settings one by one, and their defaults are the codec's", "[http2]") {
  const h2::Settings none;
  const h2::Settings defaults = upstream::http2_settings({});
  CHECK(defaults.max_concurrent_streams == none.max_concurrent_streams);
  CHECK(defaults.initial_stream_window_size == none.initial_stream_window_size);
  CHECK(defaults.initial_connection_window_size == none.initial_connection_window_size);
  CHECK(defaults.max_outbound_frames == none.max_outbound_frames);
  CHECK(defaults.keepalive_jitter_percent == none.keepalive_jitter_percent);

  config::Http2Options options;
  options.hpack_table_size = 1;
  options.max_concurrent_streams = 2;
  options.initial_stream_window_size = 3;
  options.initial_connection_window_size = 4;
  options.allow_connect = true;
  options.max_outbound_frames = 5;
  options.max_outbound_control_frames = 6;
  options.max_consecutive_inbound_frames_with_empty_payload = 7;
  options.max_inbound_priority_frames_per_stream = 8;
  options.max_inbound_window_update_frames_per_data_frame_sent = 9;
  options.stream_error_on_invalid_http_message = true;
  options.keepalive_interval = std::chrono::milliseconds(10);
  options.keepalive_timeout = std::chrono::milliseconds(11);
  options.keepalive_jitter_percent = 12;
  options.keepalive_idle_interval = std::chrono::milliseconds(13);
  const h2::Settings all = upstream::http2_settings(options);
  CHECK(all.hpack_table_size == 1);
  CHECK(all.max_concurrent_streams == 2);
  CHECK(all.initial_stream_window_size == 3);
  CHECK(all.initial_connection_window_size == 4);
  CHECK(all.allow_connect);
  CHECK(all.max_outbound_frames == 5);
  CHECK(all.max_outbound_control_frames == 6);
  CHECK(all.max_consecutive_inbound_frames_with_empty_payload == 7);
  CHECK(all.max_inbound_priority_frames_per_stream == 8);
  CHECK(all.max_inbound_window_update_frames_per_data_frame_sent == 9);
  CHECK(all.stream_error_on_invalid_http_message);
  CHECK(all.keepalive_interval == std::chrono::milliseconds(10));
  CHECK(all.keepalive_timeout == std::chrono::milliseconds(11));
  CHECK(all.keepalive_jitter_percent == 12);
  CHECK(all.keepalive_idle_interval == std::chrono::milliseconds(13));
}
