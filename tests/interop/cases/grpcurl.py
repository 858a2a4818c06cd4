"""grpcurl, which knows no type of ours: services and messages by reflection, xDS in both protocols, CSDS, health, and errors as it prints them."""
import json
import subprocess

from lab import await_true, free_port, go_tool, require

NODE = {"id": "grpcurl", "cluster": "quickstart"}
ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def run(lab):
    grpcurl = go_tool("grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl")
    source = lab.example("quickstart", {8080: free_port(), 9001: free_port(), 9002: free_port(), 9003: free_port()})
    _, xds, _ = lab.control(source)

    def ask(*words, code=0):
        done = subprocess.run([grpcurl, "-plaintext", "-max-time", "20", *words], capture_output=True, text=True)
        require(done.returncode == code, f"grpcurl {words} ended with {done.returncode}: {done.stderr}")
        return done.stdout if code == 0 else done.stderr

    def call(method, *messages, code=0):
        text = ask("-d", "".join(json.dumps(m) for m in messages), xds, method, code=code)
        return [json.loads(one) for one in text.replace("}\n{", "}\0{").split("\0") if one.strip()] if code == 0 else text

    services = ask(xds, "list").split()
    for name in (ADS, "envoy.service.status.v3.ClientStatusDiscoveryService", "envoy.service.load_stats.v3.LoadReportingService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"):
        require(name in services, f"{name} is not among {services}")
    require("rpc DeltaAggregatedResources ( stream .envoy.service.discovery.v3.DeltaDiscoveryRequest )" in ask(xds, "describe", ADS), "describe")
    require("message DiscoveryRequest {" in ask(xds, "describe", "envoy.service.discovery.v3.DiscoveryRequest"), "describe a message")

    for method, resource in ((f"{ADS}/StreamAggregatedResources", lambda r: r), (f"{ADS}/DeltaAggregatedResources", lambda r: r["resource"]),
                             ("envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters", lambda r: r)):
        answers = call(method, {"node": NODE, "type_url": CLUSTER})
        require(len(answers) == 1 and answers[0]["typeUrl"] == CLUSTER, f"{method}: {answers}")
        names = sorted(resource(r)["name"] for r in answers[0]["resources"])
        require(names == ["default/api/80", "default/shop-v1/80", "default/shop-v2/80"], f"{method}: {names}")
        require(all(resource(r)["type"] == "EDS" for r in answers[0]["resources"]), f"{method}: {answers}")  # the Any was opened
    both = call(f"{ADS}/StreamAggregatedResources", {"node": NODE, "type_url": CLUSTER},
                {"type_url": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "resource_names": ["default/api/80"]})
    require([len(r["resources"]) for r in both] == [3, 1], f"two requests: {both}")

    wrong = call(f"{ADS}/StreamAggregatedResources", {"type_url": CLUSTER}, code=64 + 3)
    require("Code: InvalidArgument" in wrong and "node.id" in wrong, wrong)
    require("Code: Unimplemented" in call("envoy.service.discovery.v2.AggregatedDiscoveryService/StreamAggregatedResources", {}, code=64 + 12), "an old version")
    require(call("grpc.health.v1.Health/Check", {"service": ADS}) == [{"status": "SERVING"}], "health")
    require("Code: NotFound" in call("grpc.health.v1.Health/Check", {"service": "nobody"}, code=64 + 5), "health of nobody")
    csds = "envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus"
    await_true("nobody is connected any more", lambda: call(csds, {}) == [{}])
