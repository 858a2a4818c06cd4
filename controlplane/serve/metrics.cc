#include "controlplane/serve/metrics.h"

#include <absl/strings/str_cat.h>

namespace fairlead::serve {

void Histogram::record(std::chrono::nanoseconds value) {
  const double seconds = std::chrono::duration<double>(value).count();
  size_t i = 0;
  while (i < kBounds.size() && seconds > kBounds[i]) ++i;
  ++counts_[i];
  sum_ += seconds;
}

void Histogram::print(std::string& out, std::string_view name, std::string_view help) const {
  absl::StrAppend(&out, "# HELP ", name, " ", help, "\n# TYPE ", name, " histogram\n");
  uint64_t total = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    total += counts_[i];
    absl::StrAppend(&out, name, "_bucket{le=\"", kBounds[i], "\"} ", total, "\n");
  }
  total += counts_.back();
  absl::StrAppend(&out, name, "_bucket{le=\"+Inf\"} ", total, "\n", name, "_sum ", sum_, "\n", name, "_count ", total, "\n");
}

namespace {

void single(std::string& out, std::string_view name, std::string_view kind, std::string_view help, uint64_t value) {
  absl::StrAppend(&out, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n", name, " ", value, "\n");
}

}  // namespace

std::string Metrics::prometheus(size_t streams, size_t waiting) const {
  std::string out;
  single(out, "fairlead_control_streams", "gauge", "xDS streams open now", streams);
  single(out, "fairlead_control_push_queue", "gauge", "Streams that wait for a push", waiting);
  single(out, "fairlead_control_streams_opened_total", "counter", "xDS streams ever opened", streams_opened);
  single(out, "fairlead_control_streams_refused_total", "counter", "xDS streams refused: not ready, or too many", streams_refused);
  static constexpr std::array<std::string_view, kDenialCount> kReasons{"not_ready", "busy", "connections", "streams", "streams_per_connection", "streams_per_client",
                                                                       "names_per_request", "names_per_stream", "message_bytes", "not_authorized", "not_authenticated"};
  absl::StrAppend(&out, "# HELP fairlead_control_denied_total Connections refused, streams refused and streams ended, by why\n# TYPE fairlead_control_denied_total counter\n");
  for (size_t i = 0; i < kDenialCount; ++i) absl::StrAppend(&out, "fairlead_control_denied_total{reason=\"", kReasons[i], "\"} ", denied[i], "\n");
  single(out, "fairlead_control_connections", "gauge", "Client connections open now", connections);
  single(out, "fairlead_control_connects_waiting", "gauge", "Streams in line to be let in", connects_waiting);
  single(out, "fairlead_control_tls_handshakes_failed_total", "counter", "TLS handshakes with clients that failed", handshakes_failed);
  single(out, "fairlead_control_credentials_loaded_total", "counter", "Times certificates, keys, authorities or rules were read anew and put into service", credentials_loaded);
  single(out, "fairlead_control_credentials_rejected_total", "counter", "Times what was read anew did not do, so that the old served on", credentials_rejected);
  single(out, "fairlead_control_certificate_expires_seconds", "gauge", "When the server's certificate expires, in Unix time; 0 without TLS", static_cast<uint64_t>(certificate_expires));
  single(out, "fairlead_control_requests_total", "counter", "Discovery requests received", requests);
  single(out, "fairlead_control_bad_requests_total", "counter", "Discovery requests that broke a rule and ended their stream", bad_requests);
  single(out, "fairlead_control_pushes_total", "counter", "Times a stream was brought to a new snapshot", pushes);
  single(out, "fairlead_control_empty_pushes_total", "counter", "Of those, times it had all of it already", empty_pushes);
  single(out, "fairlead_control_updates_total", "counter", "Steps in which configuration changed", updates);
  struct Family {
    const char* name;
    const char* help;
    uint64_t PerType::*value;
  };
  for (const Family& f : {Family{"responses", "Discovery responses sent", &PerType::responses},
                          Family{"resources", "Resources sent", &PerType::resources},
                          Family{"response_bytes", "Bytes of discovery responses sent", &PerType::bytes},
                          Family{"acks", "Responses accepted", &PerType::acks}, Family{"nacks", "Responses refused", &PerType::nacks}}) {
    const std::string name = absl::StrCat("fairlead_control_", f.name, "_total");
    absl::StrAppend(&out, "# HELP ", name, " ", f.help, "\n# TYPE ", name, " counter\n");
    for (resources::Type t : resources::all_types()) {
      absl::StrAppend(&out, name, "{type=\"", resources::short_name(t), "\"} ", types[resources::index(t)].*f.value, "\n");
    }
  }
  push_delay.print(out, "fairlead_control_push_delay_seconds", "From a change being known to its bytes being written to a stream");
  return out;
}

}  // namespace fairlead::serve
