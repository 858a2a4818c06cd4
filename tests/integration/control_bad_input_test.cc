// Whatever is written wrong: a message with its place, everything else goes on, and nothing that worked stops. Seen by a real ADS client.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/file.h"
#include "tests/integration/control_process.h"
#include "tests/unit/apps/pipeline/yaml.h"

using namespace fairlead;
using namespace fairlead::test;

namespace {

std::string alias_bomb() {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    absl::StrAppend(&text, "a", i, ": &a", i, " [");
    for (int k = 0; k < 10; ++k) absl::StrAppend(&text, k ? ", " : "", "*a", i - 1);
    text += "]\n";
  }
  return text;
}

struct Bad {
  const char* what;
  std::string text;
  std::vector<std::string> told;  // parts of one line of the log, the file's name with the line among them
};

// The first line of each text is a comment, so that a right line number is no accident.
std::vector<Bad> bad_texts() {
  return {
      {"broken YAML", "#\nkind: [\n", {"bad.yaml:"}},
      {"an alias bomb", "#\n" + alias_bomb(), {"bad.yaml", "values"}},
      {"too deep", "#\na: " + std::string(5000, '[') + std::string(5000, ']') + "\n", {"bad.yaml:2", "deep"}},
      {"an unknown kind", "#\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRuote\nmetadata: {name: x}\nspec: {}\n", {"bad.yaml:2", "HTTPRuote", "HTTPRoute"}},
      {"an unknown group", "#\napiVersion: gateway.networking.k8s.oi/v1\nkind: HTTPRoute\nmetadata: {name: x}\nspec: {}\n", {"bad.yaml:2", "gateway.networking.k8s.oi"}},
      {"an unknown field", "#\n" + service_yaml("x") + "  - {name: more, prot: 81, port: 82}\n", {"bad.yaml:9", "spec.ports[1]", "prot"}},
      {"a wrong type", "#\napiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: 7}\n", {"bad.yaml:5", "spec.ports", "7"}},
      {"a wrong value", "#\n" + route_yaml("x", "no-slash"), {"bad.yaml:11", "spec.rules[0].matches[0].path.value", "no-slash"}},
      {"a name given twice", "#\n" + service_yaml("app"), {"is given twice", "app"}},
      {"no name", "#\napiVersion: v1\nkind: Service\nmetadata: {}\n", {"bad.yaml:", "metadata.name"}},
      {"a raw resource against Envoy's rules", "#\n" + raw_yaml("x", cluster_yaml("m", "0s")), {"bad.yaml:9", "spec.resources[0]", "connect_timeout"}},
      {"a raw resource of no known type", "#\n" + raw_yaml("x", "  - {\"@type\": type.googleapis.com/envoy.Nothing, name: m}\n"), {"bad.yaml:9", "spec.resources[0]", "envoy.Nothing"}},
      {"a byte that no text has", std::string("#\nkind: \"\x01\x02\"\n"), {"bad.yaml:2"}},
  };
}

std::string routed(const std::string& name, const std::string& prefix) { return route_yaml(name, prefix) + service_yaml(name); }

struct World {
  World() {
    folder.write("gateway.yaml", gateway_yaml());
    folder.write("app.yaml", route_yaml("app") + service_yaml("app"));
    folder.write("app-slice.yaml", slice_yaml("app"));
  }
  // The way an editor saves: whole, by rename.
  void save(const std::string& name, const std::string& text) { REQUIRE(replace_file(folder.path(name), text).ok()); }
  TemporaryDirectory folder;
};

}  // namespace

TEST_CASE("each bad text is told with its place, in status and in check; the rest is served and goes on") {
  World w;
  Control control(w.folder.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  REQUIRE(ads.until([&] { return ads.listeners.size() == 1; }));
  int round = 0;
  for (const Bad& bad : bad_texts()) {
    INFO(bad.what);
    w.save("bad.yaml", bad.text);
    const auto end = std::chrono::steady_clock::now() + kPatience;
    auto tells = [&](const std::string& text) {
      size_t at = 0;
      while (at < text.size()) {
        const size_t next = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, next - at);
        if (std::all_of(bad.told.begin(), bad.told.end(), [&](const std::string& part) { return absl::StrContains(line, part); })) return true;
        at = next + 1;
      }
      return false;
    };
    std::string status;
    bool told = false;
    while (!told && std::chrono::steady_clock::now() < end) {
      status = cli(control, {"status"}).text;
      told = tells(status);
    }
    INFO(status);
    CHECK(told);
    const Ran check = run({binary("fairlead"), "check", "-f", w.folder.path()});
    INFO(check.text);
    CHECK(check.code == 1);
    CHECK(tells(check.text));
    // The rest goes on: endpoints, and new routes.
    const std::string address = absl::StrCat("127.0.1.", ++round);
    w.save("app-slice.yaml", slice_yaml("app", address));
    CHECK(ads.until_endpoint(address));
    w.save("more.yaml", routed(absl::StrCat("svc", round), "/more"));
    CHECK(ads.until_cluster(absl::StrCat("svc", round)));
    CHECK(ads.has("app"));
    CHECK(ads.listeners.size() == 1);
  }
  std::filesystem::remove(w.folder.path("bad.yaml"));
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (cli(control, {"status"}).text.find("error") != std::string::npos && std::chrono::steady_clock::now() < end) {
  }
  CHECK(cli(control, {"status"}).text.find("error") == std::string::npos);
  CHECK_FALSE(ads.ended);
}

TEST_CASE("a good object that goes bad keeps its last good version, and status, conditions and check say so") {
  World w;
  Control control(w.folder.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  std::string bad = route_yaml("app");
  bad.replace(bad.find("PathPrefix"), 10, "PathPrefxi");
  w.save("app.yaml", bad + service_yaml("app"));
  const std::string line = control.process.await_line("PathPrefxi");
  CHECK(absl::StrContains(line, w.folder.path("app.yaml") + ":10: HTTPRoute default/app: spec.rules[0].matches[0].path.type: "));
  w.save("app-slice.yaml", slice_yaml("app", "127.0.9.9"));
  CHECK(ads.until_endpoint("127.0.9.9"));
  CHECK(ads.removals == 0);
  CHECK(until_told(control, "status", "PathPrefxi"));
  const Ran status = cli(control, {"status"});
  INFO(status.text);
  CHECK(absl::StrContains(status.text, "app.yaml:10: HTTPRoute default/app: spec.rules[0].matches[0].path.type: "));
  CHECK(absl::StrContains(status.text, "its last good version stays in use"));
  CHECK(absl::StrContains(status.text, "SYNCED"));
  const Ran json = cli(control, {"status", "-o", "json"});
  CHECK(absl::StrContains(json.text, "\"diagnostics\""));
  CHECK(until_told(control, "conditions", "PathPrefxi"));
}

TEST_CASE("references that lead nowhere cost only themselves") {
  World w;
  w.save("nowhere.yaml", route_yaml("nowhere", "/nowhere"));
  Control control(w.folder.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  const Ran conditions = cli(control, {"conditions"});
  INFO(conditions.text);
  CHECK(absl::StrContains(conditions.text, "nowhere.yaml:12"));
  CHECK(absl::StrContains(conditions.text, "Service default/nowhere does not exist"));
  CHECK(absl::StrContains(cli(control, {"status"}).text, "nowhere.yaml:12: HTTPRoute default/nowhere: spec.rules[0].backendRefs[0]: Service default/nowhere does not exist"));
  CHECK_FALSE(control.process.await_line("[plan] ").empty());
}

TEST_CASE("a directory that vanishes and returns: what was read stays in use, then the new is read") {
  World w;
  TemporaryDirectory above;
  const std::string path = above.path("config");
  std::filesystem::copy(w.folder.path(), path);
  Control control(path);
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  std::filesystem::rename(path, above.path("elsewhere"));
  const std::string line = control.process.await_line("what was read last stays in use");
  CHECK(absl::StrContains(line, path));
  const Ran status = cli(control, {"status"});
  INFO(status.text);
  CHECK(absl::StrContains(status.text, "error: file:" + path + ": "));
  CHECK(absl::StrContains(status.text, "stays in use"));
  CHECK(ads.has("app"));
  Ads late(control.xds, "edge", {}, "node-2");  // and newcomers get it as well
  CHECK(late.until_cluster("app"));
  w.save("more.yaml", routed("later", "/later"));
  std::filesystem::copy(w.folder.path(), path);
  CHECK(ads.until_cluster("later"));
  CHECK(ads.removals == 0);
}

TEST_CASE("a file half written is read when its writer is done") {
  World w;
  Control control(w.folder.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  const size_t from = control.process.lines();
  const std::string text = routed("slow", "/slow");
  const int fd = open(w.folder.path("slow.yaml").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  REQUIRE(fd >= 0);
  REQUIRE(write(fd, text.data(), text.size() / 2) > 0);
  w.save("app-slice.yaml", slice_yaml("app", "127.0.3.3"));  // another file, meanwhile
  CHECK(ads.until_endpoint("127.0.3.3"));
  REQUIRE(write(fd, text.data() + text.size() / 2, text.size() - text.size() / 2) > 0);
  close(fd);
  CHECK(ads.until_cluster("slow"));
  CHECK(ads.has("app"));
  CHECK_FALSE(control.process.has_line("[error]", from));
}

TEST_CASE("a thousand objects of which one is bad: the others are served") {
  World w;
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    all += i == 500 ? "---\napiVersion: v1\nkind: Service\nmetadata: {name: s500}\nspec:\n  ports:\n  - {name: http, port: eighty}\n" : service_yaml(absl::StrCat("s", i));
  }
  w.save("many.yaml", all);
  w.save("routes.yaml", route_yaml("s499", "/a") + route_yaml("s501", "/b"));
  Control control(w.folder.path());
  Ads ads(control.xds);
  CHECK(ads.until_cluster("s499"));
  CHECK(ads.until_cluster("s501"));
  const std::string line = control.process.await_line("s500");
  CHECK(absl::StrContains(line, "many.yaml:3507: Service default/s500: spec.ports[0].port: "));
  CHECK(absl::StrContains(line, "eighty"));
  CHECK(until_told(control, "status", "many.yaml:3507"));
}

TEST_CASE("after thousands of objects went bad a change is still with the client at once") {
  World world;
  std::string good, bad;
  for (int i = 0; i < 10'000; ++i) {
    good += absl::StrCat("---\napiVersion: v1\nkind: Service\nmetadata: {name: x", i, "}\nspec: {ports: [{port: 80}]}\n");
    bad += absl::StrCat("---\napiVersion: v1\nkind: Service\nmetadata: {name: x", i, "}\nspec: {ports: [{prt: 80}]}\n");
  }
  world.save("many.yaml", good);
  Control control(world.folder.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  world.save("many.yaml", bad);
  REQUIRE_FALSE(control.process.await_line("Service default/x9999: spec.ports[0]").empty());
  const auto begin = std::chrono::steady_clock::now();
  world.save("new.yaml", routed("new", "/new"));
  CHECK(ads.until_cluster("new"));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("ports in use end the start with an error that names the address") {
  World w;
  Control first(w.folder.path());
  const Ran xds = run({binary("fairlead-control"), "--source", "file:" + w.folder.path(), "--xds-address", first.xds, "--admin-address", "127.0.0.1:0"});
  CHECK(xds.code == 1);
  CHECK(xds.text == "fairlead-control: cannot listen for xDS on " + first.xds + ": the address is in use\n");
  const Ran admin = run({binary("fairlead-control"), "--source", "file:" + w.folder.path(), "--xds-address", "127.0.0.1:0", "--admin-address", first.admin});
  CHECK(admin.code == 1);
  CHECK(admin.text == "fairlead-control: cannot listen for admin requests on " + first.admin + ": the address is in use or not one of this machine\n");
  Ads ads(first.xds);
  CHECK(ads.until_cluster("app"));
  TemporaryDirectory sockets;
  const std::string path = "unix:" + sockets.path("xds");
  const Texts on_socket{binary("fairlead-control"), "--source", "file:" + w.folder.path(), "--xds-address", path, "--admin-address", "127.0.0.1:0"};
  Process holder(on_socket);
  REQUIRE_FALSE(holder.await_line("xDS on " + path).empty());
  const Ran taken = run(on_socket);
  CHECK(taken.code == 1);
  CHECK(taken.text == "fairlead-control: cannot listen for xDS on " + path + ": the address is in use\n");
}

TEST_CASE("what cannot be a source, an address, a level or a state directory ends the start with its name") {
  World w;
  auto start = [&](Texts more, const std::string& source) {
    Texts command{binary("fairlead-control"), "--source", source, "--xds-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"};
    command.insert(command.end(), more.begin(), more.end());
    return run(std::move(command));
  };
  const std::string good = "file:" + w.folder.path();
  CHECK(start({}, "nfs://x").text == "fairlead-control: source \"nfs://x\": expected file:PATH or kubernetes[:KUBECONFIG[#CONTEXT]]\n");
  CHECK(absl::StrContains(start({"--log-level", "loud"}, good).text, "loud"));
  w.folder.write("state-file", "");
  const Ran file = start({"--state-dir", w.folder.path("state-file")}, good);
  CHECK(file.code == 1);
  CHECK(absl::StrContains(file.text, "fairlead-control: state directory: " + w.folder.path("state-file")));
  TemporaryDirectory state;
  state.write("quarantine.json", "{\"format\": 9}");
  const Ran broken = start({"--state-dir", state.path()}, good);
  CHECK(broken.code == 1);
  CHECK(absl::StrContains(broken.text, state.path("quarantine.json") + ":1: format: expected 1"));
  state.write("quarantine.json", "{");
  CHECK(absl::StrContains(start({"--state-dir", state.path()}, good).text, state.path("quarantine.json") + ":1"));
}

TEST_CASE("bytes that are no HTTP/2 end their connections, and nobody else's") {
  World w;
  Control control(w.folder.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(control.xds.substr(control.xds.rfind(':') + 1))));
  for (int i = 0; i < 200; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    std::string garbage(1000 + i * 10, '\0');
    for (size_t b = 0; b < garbage.size(); ++b) garbage[b] = static_cast<char>(b * 31 + i * 7);
    if (i % 2) garbage = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + garbage;
    (void)!send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL);
    close(fd);
  }
  w.save("more.yaml", routed("later", "/later"));
  CHECK(ads.until_cluster("later"));
  CHECK_FALSE(ads.ended);
}
