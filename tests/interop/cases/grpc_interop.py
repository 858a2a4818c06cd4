"""gRPC's own interop tests, Go's client and server with the proxy between them: every case that needs no cloud credentials, in fairlead-proxy and in Envoy.
pick_first_unary is not among them: it asks for a server id, which Go's server does not give."""
import concurrent.futures
import subprocess

import wire
from lab import await_port, free_port, get, go_tool, require

SMOKE = True
CASES = ("empty_unary large_unary client_streaming server_streaming ping_pong empty_stream timeout_on_sleeping_server cancel_after_begin cancel_after_first_response "
         "status_code_and_message special_status_message custom_metadata unimplemented_method unimplemented_service rpc_soak channel_soak "
         "orca_per_rpc orca_oob").split()
ORCA = '{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}'
HTTP2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}}


def play(client, case, port):
    command = [client, "--server_host=127.0.0.1", f"--server_port={port}", f"--test_case={case}", "--soak_iterations=50"]
    if case.startswith("orca"):
        command.append(f"--service_config_json={ORCA}")
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
        return None if done.returncode == 0 else done.stdout[-500:]
    except subprocess.TimeoutExpired:
        return "not done in 30 s"


def run(lab):
    client = go_tool("grpc_interop_client", "google.golang.org/grpc/interop/client")
    upstream = free_port()
    server = lab.start("grpc_interop_server", [go_tool("grpc_interop_server", "google.golang.org/grpc/interop/server"), f"--port={upstream}"])
    await_port(upstream, server)
    for kind in ("envoy", "fairlead-proxy"):
        port, admin = free_port(), free_port()
        scenario = wire.Scenario("grpc", [], cluster=HTTP2, route={"timeout": "0s"})
        text = wire.configuration([scenario], [port], [upstream], admin, lab.dir / f"{kind}.access")
        proxy = lab.proxy(kind, lab.write(f"{kind}-grpc.json", text), f"127.0.0.1:{admin}")
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            results = dict(zip(CASES, pool.map(lambda case: play(client, case, port), CASES)))
        failed = {case: text for case, text in results.items() if text}
        print(f"        {kind}: {len(CASES) - len(failed)} of {len(CASES)} gRPC interop cases pass", flush=True)
        if kind == "fairlead-proxy":
            require(not failed, "; ".join(f"{case}: {text}" for case, text in failed.items()))
            stats = dict(line.split(": ", 1) for line in get(f"127.0.0.1:{admin}", "/stats").body.decode().splitlines() if ": " in line)
            require(int(stats["http.s0.downstream_rq_http2_total"]) >= len(CASES), "the proxy has seen no request")
            require(stats["cluster.s0.upstream_rq_active"] == "0" and stats.get("cluster.s0.http2.streams_active", "0") == "0", "requests are left over")
        code = lab.stop(proxy)
        require(kind == "envoy" or code == 0, f"{kind}: exit code {code}")
