// What one changed route configuration costs off the workers: from the bytes of the resource to an epoch that serves it, and the old table freed.
// Prints milliseconds of CPU of one update, the median of several, and of its parts beside it.
//   build/release/bin/bench_route_update [routes [updates]]
// Instructions, which do not move with what else the machine does, of the first and three more updates:
//   valgrind --tool=callgrind --toggle-collect='*route_update(*' build/release/bin/bench_route_update 10000 3
#include <absl/strings/str_cat.h>
#include <google/protobuf/arena.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "base/validate.h"
#include "bench/cpu_time.h"
#include "dataplane/config/support.h"
#include "dataplane/xds/ingest.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead {
namespace {

using bench::milliseconds_of;

namespace v3 = envoy::config::route::v3;

// As `bench/run scale` has them: exact paths, a cluster for each.
v3::RouteConfiguration routes_of(int routes) {
  v3::RouteConfiguration config;
  config.set_name("main");
  auto* host = config.add_virtual_hosts();
  host->set_name("all");
  host->add_domains("*");
  for (int i = 0; i < routes; ++i) {
    const std::string digits = absl::StrCat(absl::Dec(i, absl::kZeroPad5));
    auto* route = host->add_routes();
    route->mutable_match()->set_path(absl::StrCat("/service-", digits));
    route->mutable_route()->set_cluster(absl::StrCat("outbound-service-", digits));
  }
  return config;
}

// The clusters they lead to, in an epoch.
xds::Update clusters_of(int clusters) {
  xds::Update update;
  update.type = xds::Type::cluster;
  update.delta = true;
  for (int i = 0; i < clusters; ++i) {
    envoy::config::cluster::v3::Cluster cluster;
    cluster.set_name(absl::StrCat("outbound-service-", absl::Dec(i, absl::kZeroPad5)));
    cluster.set_type(envoy::config::cluster::v3::Cluster::STATIC);
    cluster.mutable_load_assignment()->set_cluster_name(cluster.name());
    update.resources.push_back({cluster.name(), "1", std::string(xds::type_url(update.type)), cluster.SerializeAsString()});
  }
  return update;
}

std::string changed(v3::RouteConfiguration& config, int update) {
  auto* last = config.mutable_virtual_hosts(0)->mutable_routes(config.virtual_hosts(0).routes_size() - 1);
  last->mutable_route()->mutable_timeout()->set_seconds(15 + update);
  return config.SerializeAsString();
}

struct Row {
  const char* what;
  std::vector<double> spent = {};
};

void print(Row& row) {
  std::sort(row.spent.begin(), row.spent.end());
  std::printf("%-28s %8.2f ms   (%.2f to %.2f)\n", row.what, row.spent[row.spent.size() / 2], row.spent.front(), row.spent.back());
}

// The table before is freed here, too.
[[gnu::noinline]] void route_update(xds::Ingest& ingest, xds::Epoch& epoch, const xds::Update& update, std::chrono::steady_clock::time_point now) {
  const xds::Outcome outcome = ingest.apply(update);
  if (!outcome.status.ok()) std::printf("%s\n", outcome.status.ToString().c_str());
  epoch.commit(now);
}

void parts(const std::string& bytes, int rounds) {
  Row rows[] = {{"parsing"}, {"screening"}, {"validate.rules by walk"}, {"unknown fields by walk"}, {"support table by walk"}, {"compiling"}, {"freeing a table"}};
  for (int i = 0; i < rounds; ++i) {
    google::protobuf::Arena arena;
    auto* config = google::protobuf::Arena::CreateMessage<v3::RouteConfiguration>(&arena);
    std::shared_ptr<const router::RouteTable> table;
    const std::function<void()> works[] = {
        [&] { config->ParseFromString(bytes); },
        [&] { (void)config::screen(config->GetDescriptor(), bytes); },
        [&] { (void)validate(*config); },
        [&] { (void)xds::count_unknown_fields(*config); },
        [&] { (void)config::check_support(*config); },
        [&] { table = router::RouteTable::compile(*config).value(); },
        [&] { table.reset(); },
    };
    for (size_t k = 0; k < std::size(works); ++k) rows[k].spent.push_back(milliseconds_of(works[k]));
  }
  for (Row& row : rows) print(row);
}

int run(int argc, char** argv) {
  const int routes = argc > 1 ? std::atoi(argv[1]) : 10'000;
  const int updates = argc > 2 ? std::atoi(argv[2]) : 21;
  v3::RouteConfiguration config = routes_of(routes);
  const auto now = [] { return std::chrono::steady_clock::time_point(std::chrono::hours(1)); };

  xds::Epoch epoch{xds::Epoch::Options{}};
  xds::Ledger ledger;
  xds::Ingest::Options options;
  options.epoch = &epoch;
  options.ledger = &ledger;
  options.now = now;
  options.wall_now = [] { return std::chrono::system_clock::time_point(std::chrono::hours(1)); };
  xds::Ingest ingest(std::move(options));
  if (const xds::Outcome outcome = ingest.apply(clusters_of(routes)); !outcome.status.ok()) std::printf("%s\n", outcome.status.ToString().c_str());
  epoch.commit(now());
  Row whole{"an update"};
  for (int i = 0; i <= updates; ++i) {
    xds::Update update;
    update.type = xds::Type::route;
    update.delta = true;
    update.version = absl::StrCat(i);
    update.resources.push_back({"main", update.version, std::string(xds::type_url(update.type)), changed(config, i)});
    const double spent = milliseconds_of([&] { route_update(ingest, epoch, update, now()); });
    if (i > 0) whole.spent.push_back(spent);
  }
  print(whole);
  if (argc <= 2) parts(changed(config, 0), updates);
  return 0;
}

}  // namespace
}  // namespace fairlead

int main(int argc, char** argv) { return fairlead::run(argc, argv); }
