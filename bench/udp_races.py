"""Datagrams through a UDP proxy and back, beside Envoy: CPU per datagram, one by one and several at a time."""
import statistics
import subprocess

from datagrams import udp_bootstrap
from lab import BIN, Lab, await_http, envoy, free_port
from measure import OTHER_CORES, SERVER_CORE, cpu, pinned, table, verdict
from tcp_races import io_uring_relay

NAMES = ["fairlead-proxy", "envoy", "bare relay"]  # the last: the system calls alone


def round_of(lab, name, options, window):
    """CPU in µs per datagram that came back (through the proxy twice), and how many a second."""
    port, upstream, admin = free_port(), free_port(), free_port()
    echo = lab.start(f"echo-{name}", pinned(OTHER_CORES, [BIN / "bench_udp_load", "echo", upstream]))
    echo.await_line("ready")
    if name in ("bare relay", "io_uring relay"):
        relay = [BIN / "bench_udp_load", "relay"] if name == "bare relay" else [BIN / "bench_uring_relay", "udp"]
        server = lab.start(name, pinned(SERVER_CORE, [*relay, port, upstream]))
        server.await_line("ready")
    else:
        cluster, listener = udp_bootstrap(port, [upstream])
        config = lab.write(f"{name}-udp.yaml", f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}\nstatic_resources:\n  clusters:\n{cluster}  listeners:\n{listener}")
        command = [envoy() if name == "envoy" else BIN / "fairlead-proxy", "-c", config, "--concurrency", "1", "--log-level", "error"]
        server = lab.start(name, pinned(SERVER_CORE, command + (["--base-id", str(port)] if name == "envoy" else [])))
        await_http(f"127.0.0.1:{admin}", "/ready", server)
    load = lambda seconds: subprocess.run(pinned(OTHER_CORES, [str(BIN / "bench_udp_load"), "load", str(port), "--window", str(window), "--seconds", str(seconds)]),
                                          capture_output=True, text=True, check=True).stdout.split()
    load(1)
    before = cpu(server.process.pid)
    sent, received, seconds = load(options.seconds)
    used = cpu(server.process.pid) - before
    lab.stop(server)
    lab.stop(echo)
    return used / max(int(received), 1) * 1e6, int(received) / float(seconds), 1 - int(received) / max(int(sent), 1)


def udp(options):
    """Datagrams of 256 bytes there and back over 64 sessions, one or 16 of each under way, beside Envoy."""
    names = NAMES + io_uring_relay()
    for window in (1, 16):
        found = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                with Lab() as lab:
                    found[name].append(round_of(lab, name, options, window))
        median = {name: [statistics.median(one) for one in zip(*rounds)] for name, rounds in found.items()}
        table(f"UDP, 256 bytes there and back, 64 sessions with {window} under way", [(name, f"{m[0]:.2f}", f"{m[1]:.0f}", f"{m[2] * 100:.1f}") for name, m in median.items()],
              ["proxy", "CPU µs/datagram", "datagrams/s", "lost %"])
        verdict("CPU per datagram / Envoy's", median["fairlead-proxy"][0] / median["envoy"][0], 0.5)
        verdict("of a bare relay / Envoy's", median["bare relay"][0] / median["envoy"][0], None)


UDP_RACES = {"udp": udp}
