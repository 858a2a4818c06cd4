// tests/golden/plan: NAME.in.yaml is an intent (as intent::to_doc writes it) with its services, NAME.out.yaml the xDS
// resources it becomes. FAIRLEAD_REGENERATE=1 writes the outputs anew; read the diff.
#include "tests/unit/controlplane/resources/intent_yaml.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/descriptors.h"
#include "base/doc_proto.h"
#include "base/validate.h"
#include "controlplane/plan/plan.h"
#include "controlplane/resources/build.h"

using namespace fairlead;
namespace fs = std::filesystem;

namespace {

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

using doc::text;

doc::Value resource_doc(const resources::Resource& r) {
  std::vector<doc::Value> origins;
  for (const intent::Origin& o : r.origins) origins.push_back(text(o.str()));
  auto body = doc::from_bytes(type_name(resources::type_url(r.type)), r.body());
  REQUIRE(body.ok());
  return doc::map({{"type", text(resources::short_name(r.type)), {}},
                   {"origins", doc::list(std::move(origins)), {}},
                   {"config", *body, {}}});
}

std::vector<fs::path> inputs() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(fs::path(FAIRLEAD_SOURCE_DIR) / "tests/golden/plan")) {
    if (entry.path().string().ends_with(".in.yaml")) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("golden: intent to xDS resources") {
  REQUIRE(inputs().size() >= 10);
  for (const fs::path& path : inputs()) {
    CAPTURE(path.filename().string());
    const auto input = doc::parse_one(read(path), path.filename().string());
    REQUIRE(input.ok());
    const intent::Model model = test::IntentReader::model(*input);
    topology::Topology topology;
    test::IntentReader::services(*input, topology);
    // What is read is what the input says: nothing of it was passed over.
    CHECK(intent::to_yaml(model) == doc::to_yaml(doc::without(*input, "services")));

    std::vector<doc::Value> all, findings;
    for (const auto& [key, gateway] : model.gateways) {
      const plan::Plan plan = plan::make_plan(*gateway, topology.view());
      for (const intent::Finding& f : plan.findings) findings.push_back(text(f.str()));
      for (const auto& r : resources::build(plan)) all.push_back(resource_doc(*r));
      for (const plan::Cluster& c : plan.clusters) {
        if (!c.original) all.push_back(resource_doc(*resources::build_assignment(c, topology.view())));
      }
    }
    const std::string out = doc::to_yaml(doc::map({{"resources", doc::list(std::move(all)), {}}, {"findings", doc::list(std::move(findings)), {}}}));
    fs::path golden = path;
    golden.replace_filename(path.filename().string().substr(0, path.filename().string().size() - 8) + ".out.yaml");
    if (std::getenv("FAIRLEAD_REGENERATE")) {
      std::ofstream(golden, std::ios::binary) << out;
    }
    CHECK(out == read(golden));
  }
}

TEST_CASE("golden: every resource that is built passes validate.rules") {
  for (const fs::path& path : inputs()) {
    CAPTURE(path.filename().string());
    const auto input = doc::parse_one(read(path), path.filename().string());
    REQUIRE(input.ok());
    topology::Topology topology;
    test::IntentReader::services(*input, topology);
    for (const auto& [key, gateway] : test::IntentReader::model(*input).gateways) {
      for (const auto& r : resources::build(plan::make_plan(*gateway, topology.view()))) {
        const auto message = parse_message(resources::type_url(r->type), r->body());
        REQUIRE(message.ok());
        const auto errors = fairlead::validate(**message);
        CAPTURE(r->name);
        CHECK(errors.ok());
      }
    }
  }
}

TEST_CASE("listeners that look at no request name the clusters they need, so that these come first") {
  plan::Plan plan;
  for (const bool udp : {false, true}) {
    plan::Listener listener;
    listener.name = udp ? "udp" : "tcp";
    listener.address = "127.0.0.1";
    listener.port = 53;
    listener.udp = udp;
    listener.shares = {{"a", 1}};
    if (!udp) listener.shares.push_back({"b", 2});
    if (!udp) listener.shares.push_back({plan::kInvalidBackend, 1});
    plan.listeners.push_back(std::move(listener));
  }
  const std::vector<resources::ResourcePtr> built = resources::build(plan);
  REQUIRE(built.size() == 2);
  using resources::Type;
  CHECK(built[0]->references == std::vector<resources::Reference>{{Type::kCluster, "a"}, {Type::kCluster, "b"}});
  CHECK(built[1]->references == std::vector<resources::Reference>{{Type::kCluster, "a"}});
}
