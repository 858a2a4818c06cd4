"""Filter chain matching: 300 random configurations by filter_chain_match, 300 by filter_chain_matcher, 12 connections to each; Envoy and fairlead-proxy refuse the same ones and choose the same chain."""
import json
import random
import re
import socket
import ssl
import struct

from lab import await_true, free_port, get, require

CONFIGURATIONS, CONNECTIONS, SEED = 300, 12, 20
HOSTS = ["127.0.0.1", "127.0.0.5", "127.0.1.2", "127.1.0.1"]
NETWORKS = [("127.0.0.0", 8), ("127.0.0.0", 16), ("127.0.0.77", 24), ("127.0.1.0", 24), ("127.0.1.2", 32), ("127.0.0.1", 32), ("127.1.0.0", 16), ("10.0.0.0", 8), ("::1", 128)]
NAMES = ["a.com", "www.a.com", "*.a.com", "*.com", "b.org", "*.org", "*.WWW.a.com"]
ASKED = [None, "a.com", "www.a.com", "x.www.a.com", "c.com", "b.org", "q.b.org", "net", "WWW.A.com"]
PROTOCOLS = ["h2", "http/1.1", "foo", "bar"]
TYPE = "type.googleapis.com/envoy."


def random_match(rng, source_ports):
    """Ports are named by their place in the list of addresses: each proxy has its own."""
    match, share = {}, rng.choice((0.3, 0.6, 1))
    networks = lambda: [dict(zip(("address_prefix", "prefix_len"), n)) for n in rng.sample(NETWORKS, rng.choice((1, 1, 2)))]
    wanted = lambda chance: rng.random() < share * chance
    if wanted(0.3): match["destination_port"] = rng.choice(("P0", "P1"))
    if wanted(0.3): match["prefix_ranges"] = networks()
    if wanted(0.45): match["server_names"] = rng.sample(NAMES, rng.choice((1, 1, 2)))
    if wanted(0.3): match["transport_protocol"] = rng.choice(("tls", "tls", "raw_buffer"))
    if wanted(0.3): match["application_protocols"] = rng.sample(PROTOCOLS, rng.choice((1, 2)))
    if wanted(0.2): match["direct_source_prefix_ranges"] = networks()
    if wanted(0.3): match["source_type"] = rng.choice(("SAME_IP_OR_LOOPBACK", "EXTERNAL", "ANY"))
    if wanted(0.3): match["source_prefix_ranges"] = networks()
    if wanted(0.3): match["source_ports"] = rng.sample(source_ports, rng.choice((1, 2)))
    return match


def chain(name, match=None):
    answer = {"@type": TYPE + "extensions.filters.network.direct_response.v3.Config", "response": {"inline_string": name}}
    return {"name": name, "filters": [{"name": "answer", "typed_config": answer}], **({} if match is None else {"filter_chain_match": match})}


def inspector(kind, message):
    return {"name": f"envoy.filters.listener.{kind}", "typed_config": {"@type": f"{TYPE}extensions.filters.listener.{kind}.v3.{message}"}}


INPUTS = ["DestinationIP", "DestinationPort", "SourceIP", "SourcePort", "DirectSourceIP", "SourceType", "ServerName", "TransportProtocol", "ApplicationProtocol"]
MATCHERS = "type.googleapis.com/xds.type.matcher.v3."


def random_value(rng, kind, source_ports):
    return {"DestinationIP": lambda: rng.choice(("127.0.0.1", "127.0.1.2")), "DestinationPort": lambda: rng.choice(("P0", "P1")), "SourceIP": lambda: rng.choice(HOSTS),
            "SourcePort": lambda: str(rng.choice(source_ports)), "DirectSourceIP": lambda: rng.choice(HOSTS), "SourceType": lambda: rng.choice(("local", "external")),
            "ServerName": lambda: rng.choice(ASKED[1:]).lower(), "TransportProtocol": lambda: rng.choice(("tls", "raw_buffer")),
            "ApplicationProtocol": lambda: rng.choice(("'h2'", "'h2','http/1.1'", "'foo'", "'http/1.1'"))}[kind]()


def random_pattern(rng, value):
    if value in ("P0", "P1"): return {"exact": value}
    cut = rng.randint(1, len(value))
    return rng.choice(({"exact": value}, {"exact": value.upper(), "ignore_case": True}, {"prefix": value[:cut]}, {"suffix": value[-cut:]}, {"contains": value[len(value) // 2:]},
                       {"safe_regex": {"google_re2": {}, "regex": re.escape(value[:cut]) + ".*"}}))


def input_of(kind):
    return {"name": "in", "typed_config": {"@type": f"{TYPE}extensions.matching.common_inputs.network.v3.{kind}Input"}}


def random_predicate(rng, source_ports, depth=0):
    how = rng.random()
    if depth < 2 and how < 0.15: return {"not_matcher": random_predicate(rng, source_ports, depth + 1)}
    if depth < 2 and how < 0.4: return {rng.choice(("or_matcher", "and_matcher")): {"predicate": [random_predicate(rng, source_ports, depth + 1) for _ in range(2)]}}
    kind = rng.choice(INPUTS)
    return {"single_predicate": {"input": input_of(kind), "value_match": random_pattern(rng, random_value(rng, kind, source_ports))}}


def random_on_match(rng, chains, source_ports, depth):
    if depth < 3 and rng.random() < 0.35: return {"matcher": random_tree(rng, chains, source_ports, depth + 1)}
    # no keep_matching: Envoy 1.40 dies of the first connection that meets one
    return {"action": {"name": "chain", "typed_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": rng.choice(chains + ["nowhere"] if rng.random() < 0.1 else chains)}}}


def random_tree(rng, chains, source_ports, depth=0):
    then = lambda: random_on_match(rng, chains, source_ports, depth)
    how, kind = rng.random(), rng.choice(INPUTS)
    if how < 0.4:
        out = {"matcher_list": {"matchers": [{"predicate": random_predicate(rng, source_ports), "on_match": then()} for _ in range(rng.randint(1, 4))]}}
    elif how < 0.55:
        out = {"matcher_tree": {"input": input_of(kind), "exact_match_map": {"map": {random_value(rng, kind, source_ports): then() for _ in range(3)}}}}
    elif how < 0.65:
        values = [random_value(rng, kind, source_ports) for _ in range(3)]
        out = {"matcher_tree": {"input": input_of(kind), "prefix_match_map": {"map": {v if v in ("P0", "P1") else v[:rng.randint(1, len(v))]: then() for v in values}}}}
    elif how < 0.85:
        ranges = lambda: [dict(zip(("address_prefix", "prefix_len"), n)) for n in rng.sample(NETWORKS, rng.choice((1, 1, 2)))]
        matchers = [{"ranges": ranges(), "on_match": then(), **({"exclusive": True} if rng.random() < 0.2 else {})} for _ in range(rng.randint(1, 4))]
        out = {"matcher_tree": {"input": input_of(rng.choice(("SourceIP", "DestinationIP", "DirectSourceIP"))), "custom_match": {"name": "ip", "typed_config": {"@type": MATCHERS + "IPMatcher", "range_matchers": matchers}}}}
    else:
        names = rng.sample(["a.com", "www.a.com", "*.a.com", "*.com", "b.org", "*.org", "*"], 4)
        matchers = [{"domains": names[:2], "on_match": then()}, {"domains": names[2:], "on_match": then()}]
        out = {"matcher_tree": {"input": input_of("ServerName"), "custom_match": {"name": "names", "typed_config": {"@type": MATCHERS + "ServerNameMatcher", "domain_matchers": matchers}}}}
    if rng.random() < 0.6: out["on_no_match"] = then()
    return out


def random_listener(rng, i, source_ports):
    inspectors = rng.random() < 0.7
    tree = i >= CONFIGURATIONS
    out = {"@type": TYPE + "config.listener.v3.Listener", "name": f"l{i}",
           "filter_chains": [chain(f"chain{n}", None if tree else random_match(rng, source_ports)) for n in range(rng.randint(2, 6))]}
    if tree: out["filter_chain_matcher"] = random_tree(rng, [c["name"] for c in out["filter_chains"]], source_ports)
    if rng.random() < 0.4: out["default_filter_chain"] = chain("default")
    if inspectors: out["listener_filters"] = [inspector("tls_inspector", "TlsInspector")] + ([inspector("http_inspector", "HttpInspector")] if rng.random() < 0.5 else [])
    return out


def placed(listener, ports):
    text = json.dumps(listener)
    for name, port in (("P0", ports[0]), ("P1", ports[1])):  # numbers of filter_chain_match, texts of matchers
        text = text.replace(f'"destination_port": "{name}"', f'"destination_port": {port}').replace(f'"{name}"', f'"{port}"')
    at = lambda host, port: {"socket_address": {"address": host, "port_value": port}}
    return {**json.loads(text), "address": at("127.0.0.1", ports[0]),
            "additional_addresses": [{"address": at("127.0.1.2", ports[0])}, {"address": at("127.0.0.1", ports[1])}]}


def client_hello(name, protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols: context.set_alpn_protocols(protocols)
    out = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def bound(s, source):
    try:
        s.bind(source)
        return True
    except OSError:
        return False


def ask(to, source, first):
    """What the chain that takes the connection answers; "" when none does."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.settimeout(5)
        await_true(f"source {source}", lambda: bound(s, source), timeout=5)
        s.connect(to)
        answer = b""
        try:
            s.sendall(first)
            while data := s.recv(1000):
                answer += data
        except ConnectionError:
            pass
        return answer.decode()


def random_connection(rng, source_ports):
    name, protocols = rng.choice(ASKED), rng.sample(PROTOCOLS, rng.choice((0, 1, 2)))
    if rng.random() < 0.55:
        first = client_hello(name, protocols)
    else:
        name, protocols, first = None, [], rng.choice((b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"))
    to = rng.choice((("127.0.0.1", 0), ("127.0.1.2", 0), ("127.0.0.1", 1)))
    return to, (rng.choice(HOSTS), rng.choice(source_ports)), first, f"SNI {name} ALPN {protocols} first bytes {first[:6]}"


def quiet_ports():
    """Free ports below those that the kernel gives away."""
    for port in random.sample(range(12000, 32000), 20000):
        with socket.socket() as s:
            if bound(s, ("", port)):
                yield port


def accepted(admin):
    return {line.split("::")[0] for line in get(admin, "/listeners").body.decode().split("\n") if line}


def run(lab):
    rng = random.Random(SEED)
    quiet = quiet_ports()
    source_ports = [next(quiet) for _ in range(4)]
    listeners = [random_listener(rng, i, source_ports) for i in range(2 * CONFIGURATIONS)]
    proxies = {}
    for kind in ("envoy", "fairlead-proxy"):
        ports = [[next(quiet), next(quiet)] for _ in listeners]
        admin = f"127.0.0.1:{free_port()}"
        lds = lab.write(f"{kind}-lds.json", json.dumps({"version_info": "1", "resources": [placed(l, p) for l, p in zip(listeners, ports)]}))
        config = lab.write(f"{kind}.json", json.dumps({
            "node": {"id": "n", "cluster": "c"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": int(admin.split(":")[1])}}},
            "dynamic_resources": {"lds_config": {"path_config_source": {"path": str(lds)}, "resource_api_version": "V3"}}}))
        lab.proxy(kind, config, admin)
        await_true(f"{kind}: listeners", lambda: accepted(admin))
        proxies[kind] = (ports, accepted(admin))
    ours, theirs = proxies["fairlead-proxy"][1], proxies["envoy"][1]
    require(ours == theirs, f"accepted here alone: {sorted(ours - theirs)}, in Envoy alone: {sorted(theirs - ours)}")
    require(len(ours) >= len(listeners) / 2, f"only {len(ours)} of the configurations are valid")
    seen, wrong = {}, []
    for i, listener in enumerate(listeners):
        if listener["name"] not in ours:
            continue
        for _ in range(CONNECTIONS):
            (host, port), source, first, what = random_connection(rng, source_ports)
            answers = {kind: ask((host, ports[i][port]), source, first) for kind, (ports, _) in proxies.items()}
            seen[answers["envoy"]] = seen.get(answers["envoy"], 0) + 1
            if len(set(answers.values())) > 1:
                wrong.append(f"{answers}: {what} from {source} to {host}:P{port}: {json.dumps(listener.get('filter_chain_matcher') or [c.get('filter_chain_match') for c in listener['filter_chains']])} inspectors {bool(listener.get('listener_filters'))}")
    print(f"{len(ours)} of {len(listeners)} configurations are valid; connections by chain: {dict(sorted(seen.items()))}")
    require(len(seen) >= 6, "too few chains were met")
    require(not wrong, f"{len(wrong)} connections got another chain:\n" + "\n".join(wrong[:10]))
