"""Access logs of listeners, scripted: what Envoy and fairlead-proxy say of each connection when it has ended, and of those that never had a filter chain."""
import dataclasses
import pathlib
import sys

import wire
from wire import CLOSE, RESET, REST, RESPONSE, Body, access_log

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tcp_proxy  # noqa: E402

BY = "type.googleapis.com/envoy.extensions.filters.listener."
NOT_COMPARED = (r"stat ", r"client", r"upstream", r"log \d (HOSTNAME|.*DURATION|.*HEADER_BYTES|LOCAL_REPLY_BODY)")


def logged(scenario, log, name):
    scenario.listener = {**scenario.listener, "access_log": [access_log(name, log)]}


@dataclasses.dataclass
class Http(wire.Scenario):
    """Its own log is the listener's alone. Why the proxy closed the connection: see docs/differences.md."""
    ignore: tuple = ("LOCAL_CLOSE_REASON",)

    def filters(self, name, log):
        logged(self, log, name)
        return super().filters(name, "/dev/null")


@dataclasses.dataclass
class Tcp(tcp_proxy.Tcp):
    def filters(self, name, log):
        logged(self, log, name)
        return super().filters(name, "/dev/null")


def filters(*all_of):
    return {"listener_filters": [{"name": name, "typed_config": {"@type": BY + kind, **more}} for name, kind, more in all_of]}


PROXY = ("pp", "proxy_protocol.v3.ProxyProtocol", {})
INSPECTOR = ("tls", "tls_inspector.v3.TlsInspector", {})


@dataclasses.dataclass
class Unmatched(Tcp):
    """Its chain is for others alone."""
    match: dict = dataclasses.field(default_factory=dict)

    def filters(self, name, log):
        made = super().filters(name, log)
        self.listener["filter_chains"] = [{"name": "chain", "filter_chain_match": self.match, "filters": made}]
        return made


def scenarios():
    two = [wire.request(), RESPONSE, wire.request("/b"), RESPONSE, CLOSE]
    echo = tcp_proxy.ECHO
    return [
        Http("HTTP, two requests", two),
        Http("HTTP, nothing", [0.2, CLOSE]),
        Http("HTTP, part of a head", [b"GET / HT", 0.2, CLOSE]),
        Http("HTTP, rubbish", [b"what?\r\n\r\n", REST]),
        Http("HTTP, the client resets", [wire.request(), RESPONSE, RESET]),
        Http("HTTP, the last response closes", [wire.request("/", "connection: close"), REST]),
        Http("HTTP, idle", [wire.request(), RESPONSE, REST], hcm={"common_http_protocol_options": {"idle_timeout": "0.3s"}, "drain_timeout": "0.05s"}),
        Http("HTTP, no host", [wire.request(), REST], refused=True),
        Tcp("TCP", [b"ping", Body(4), CLOSE], echo),
        Tcp("TCP, the upstream closes", [b"ping", REST], [[Body(4), b"pong", CLOSE]]),
        Tcp("TCP, the client resets", [b"ping", Body(4), 0.1, RESET], echo),
        Tcp("TCP, the upstream resets", [b"ping", REST], [[Body(4), b"pong", 0.1, RESET]]),
        Tcp("TCP, refused", [REST], [[REST]], refused=True),
        Tcp("TCP, no such cluster", [REST], [[REST]], tcp={"cluster": "nobody"}),
        Tcp("TCP, idle", [b"ping", Body(4), REST], echo, tcp={"idle_timeout": "0.4s"}),
        Tcp("echo", [b"ping", Body(4), CLOSE], [[REST]], instead=("echo", {})),
        Tcp("direct response", [REST], [[REST]], instead=("direct_response", {"response": {"inline_string": "no"}})),
        Tcp("rbac denies", [b"ping", REST], [[REST]], before=[("rbac", {"rules": {}})]),
        Tcp("rate exceeded", [REST], echo, held=True, before=[("local_ratelimit", {"token_bucket": {"max_tokens": 1, "fill_interval": "60s"}})], ignore=("REMOTE",)),
        Unmatched("no chain", [REST], [[REST]], match={"destination_port": 1}),
        Unmatched("no chain, for the server name", [b"ping\r\n\r\n", REST], [[REST]], match={"server_names": ["a.test"]}, listener=filters(INSPECTOR), ignore=("TRANSPORT_FAILURE",)),  # words of BoringSSL
        Tcp("PROXY protocol", [b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nping", Body(4), CLOSE], echo, listener=filters(PROXY)),
        Tcp("no PROXY protocol", [b"POXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nping", REST], [[REST]], listener=filters(PROXY)),
        Tcp("closes under a listener filter", [0.2, CLOSE], [[REST]], listener=filters(PROXY)),
        Tcp("a listener filter's time is up", [b"PROXY", REST], [[REST]], listener={**filters(PROXY), "listener_filters_timeout": "0.3s"}),
    ]


def run(lab):
    wire.compare(lab, scenarios(), NOT_COMPARED)
