// The tables behind names.h.
#include "dataplane/stats/names.h"

namespace fairlead::stats {
namespace {

constexpr std::string_view leaf(std::string_view name) { return name; }
constexpr std::string_view leaf(std::string_view, std::string_view text) { return text; }

}  // namespace

#define FAIRLEAD_LEAF(name, ...) leaf(#name __VA_OPT__(, ) __VA_ARGS__)
#define FAIRLEAD_COUNTER(...) {FAIRLEAD_LEAF(__VA_ARGS__), Kind::counter},
#define FAIRLEAD_GAUGE(...) {FAIRLEAD_LEAF(__VA_ARGS__), Kind::gauge},
#define FAIRLEAD_HISTOGRAM(...) {FAIRLEAD_LEAF(__VA_ARGS__), Kind::histogram},
#define FAIRLEAD_TABLE(Enum, table, LIST, hide)                                                             \
  static constexpr StatDef table##Defs[] = {LIST(FAIRLEAD_COUNTER, FAIRLEAD_GAUGE, FAIRLEAD_HISTOGRAM)};    \
  constinit const StatSet table = {table##Defs, static_cast<uint32_t>(Enum::first_histogram), hide}

FAIRLEAD_TABLE(ClusterStat, kClusterStats, FAIRLEAD_CLUSTER_STATS, false);
FAIRLEAD_TABLE(ClusterResponseStat, kClusterResponseStats, FAIRLEAD_CLUSTER_RESPONSE_STATS, true);
FAIRLEAD_TABLE(HttpStat, kHttpStats, FAIRLEAD_HTTP_STATS, false);
FAIRLEAD_TABLE(Http2Stat, kHttp2Stats, FAIRLEAD_HTTP2_STATS, true);
FAIRLEAD_TABLE(ListenerStat, kListenerStats, FAIRLEAD_LISTENER_STATS, false);
FAIRLEAD_TABLE(ListenerHttpStat, kListenerHttpStats, FAIRLEAD_LISTENER_HTTP_STATS, false);
FAIRLEAD_TABLE(TlsStat, kTlsStats, FAIRLEAD_TLS_STATS, false);
FAIRLEAD_TABLE(ClusterManagerStat, kClusterManagerStats, FAIRLEAD_CLUSTER_MANAGER_STATS, false);
FAIRLEAD_TABLE(ListenerManagerStat, kListenerManagerStats, FAIRLEAD_LISTENER_MANAGER_STATS, false);
FAIRLEAD_TABLE(ServerStat, kServerStats, FAIRLEAD_SERVER_STATS, false);

}  // namespace fairlead::stats
