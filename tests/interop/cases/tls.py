"""TLS as clients and upstreams see it: versions, ciphers, ALPN, certificates by SNI and key type, resumption, client certificates and their header,
what logs, statistics and /certs tell, and which configurations are refused: the same in Envoy and in fairlead-proxy."""
import http.server
import json
import os
import re
import select
import subprocess
import threading
import time

import lab
from lb_config import proxy

SMOKE = True
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
MODES = ["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"]
FIELDS = ("TLS_VERSION TLS_CIPHER TLS_SESSION_ID PEER_SUBJECT PEER_ISSUER PEER_SERIAL PEER_FINGERPRINT_256 PEER_FINGERPRINT_1 PEER_CERT_V_START PEER_CERT_V_END PEER_URI_SAN PEER_DNS_SAN "
          "PEER_IP_SAN PEER_EMAIL_SAN PEER_OTHERNAME_SAN LOCAL_SUBJECT LOCAL_URI_SAN LOCAL_DNS_SAN LOCAL_IP_SAN LOCAL_EMAIL_SAN PEER_CHAIN_FINGERPRINTS_256 PEER_CHAIN_FINGERPRINTS_1 "
          "PEER_CHAIN_SERIALS PEER_CERT").split()
UP = "TLS_VERSION TLS_CIPHER PEER_SUBJECT PEER_ISSUER PEER_DNS_SAN TRANSPORT_FAILURE_REASON".split()


# --- material ----------------------------------------------------------------------------------------------------------------

def openssl(*args, text=None):
    return subprocess.run(["openssl", *[str(a) for a in args]], check=True, capture_output=True, input=text, text=True).stdout


def authority(folder, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-subj", f"/O=Test/CN={name}", "-days", "3650")


def certificate(folder, name, subject, names, kind="ec", ca="ca"):
    key = folder / f"{name}.key"
    openssl(*(["genrsa", "-out", key, "2048"] if kind == "rsa" else ["ecparam", "-name", kind.replace("ec", "prime256v1", 1) if kind == "ec" else "secp384r1", "-genkey", "-noout", "-out", key]))
    openssl("req", "-new", "-key", key, "-subj", subject, "-out", folder / f"{name}.csr")
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / f"{ca}.pem", "-CAkey", folder / f"{ca}.key", "-CAcreateserial", "-days", "365", "-out", folder / f"{name}.pem", "-extfile", folder / f"{name}.ext")


def material(folder):
    authority(folder, "ca")
    authority(folder, "stranger")
    certificate(folder, "ec", "/O=Test/CN=ec", "DNS:example.test,DNS:*.wild.test,IP:127.0.0.1")
    certificate(folder, "rsa", "/O=Test/CN=rsa", "DNS:example.test,DNS:only-rsa.test", "rsa")
    certificate(folder, "named", "/O=Test/CN=by-name.test", "")
    certificate(folder, "uri", "/O=Test/CN=uri", "URI:spiffe://test/server,DNS:uri.test")
    certificate(folder, "client", '/O=Test, Inc/OU=Ops/CN=client "one"', "URI:spiffe://test/client,DNS:client.test,DNS:c2.test,email:a@b.test,IP:10.0.0.1")
    certificate(folder, "nameless", "/CN=nameless", "")
    certificate(folder, "foreign", "/CN=foreign", "DNS:client.test", ca="stranger")
    (folder / "chain.pem").write_text((folder / "client.pem").read_text() + (folder / "ca.pem").read_text())


# --- the configuration of both ------------------------------------------------------------------------------------------------

def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def pair(folder, name):
    return {"certificate_chain": {"filename": str(folder / f"{name}.pem")}, "private_key": {"filename": str(folder / f"{name}.key")}}


def trust(folder, **more):
    return {"trusted_ca": {"filename": str(folder / "ca.pem")}, **more}


def listener(name, port, folder, out, certificates, hcm=None, common=None, context=None):
    log = lambda text: {"name": "log", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(out), "log_format": {
        "text_format_source": {"inline_string": text + "\n"}}}}
    fields = [f"{f}=%DOWNSTREAM_{f}%" for f in FIELDS] + [f"UP_{f}=%UPSTREAM_{f}%" for f in UP] + ["FLAGS=%RESPONSE_FLAGS%", "DETAILS=%RESPONSE_CODE_DETAILS%"]
    routes = [{"match": {"prefix": "/validated", "tls_context": {"presented": True, "validated": True}}, "direct_response": {"status": 200, "body": {"inline_string": "validated"}}},
              {"match": {"prefix": "/validated"}, "direct_response": {"status": 403}}, {"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "%PROTOCOL%"}}},
              *[{"match": {"path": f"/to/{c}"}, "route": {"cluster": c, "prefix_rewrite": "/direct"}} for c in (*UPSTREAMS, "matched")], {"match": {"prefix": "/"}, "route": {"cluster": "echo"}}]
    manager = {"@type": HCM, "stat_prefix": name, **(hcm or {}), "access_log": [log("|".join([name, "%REQ(:PATH)%", *fields]))], "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
               "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
    tls = {"@type": f"{TLS}.DownstreamTlsContext", "common_tls_context": {"tls_certificates": [pair(folder, c) for c in certificates], **(common or {})}, **(context or {})}
    return {"name": name, "address": address(port), "stat_prefix": name, "filter_chains": [{"name": "c", "transport_socket": {"name": "tls", "typed_config": tls}, "filters": [{"name": "hcm", "typed_config": manager}]}]}


UPSTREAMS = {  # cluster: (listener it leads to, its context, its protocol options)
    "plain12": ("several", {"sni": "example.test"}, None),
    "tls13": ("several", {"sni": "example.test", "common_tls_context": {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]}}}, None),
    "auto": ("several", {"sni": "example.test"}, {"auto_config": {}}),
    "auto_h1": ("h1only", {"sni": "example.test"}, {"auto_config": {}}),
    "http2": ("several", {"sni": "example.test"}, {"explicit_http_config": {"http2_protocol_options": {}}}),
    "trusting": ("several", {"sni": "example.test", "common_tls_context": {"validation_context": "CA"}}, None),
    "names": ("several", {"sni": "example.test", "common_tls_context": {"validation_context": {"names": "nope.test"}}}, None),
    "wild": ("several", {"sni": "a.wild.test", "common_tls_context": {"validation_context": {"names": "a.wild.test"}}}, None),
    "auto_san": ("several", {"sni": "example.test", "auto_sni_san_validation": True, "common_tls_context": {"validation_context": "CA"}}, None),
    "auto_san_bad": ("several", {"sni": "other.test", "auto_sni_san_validation": True, "common_tls_context": {"validation_context": "CA"}}, None),
    "stranger": ("several", {"sni": "example.test", "common_tls_context": {"validation_context": "STRANGER"}}, None),
    "without": ("required", {"sni": "example.test"}, None),
    "with": ("required", {"sni": "example.test", "common_tls_context": {"tls_certificates": "client"}}, None),
    "asked": ("several", {"common_tls_context": {"validation_context": "CA"}}, {"explicit_http_config": {"http_protocol_options": {}}, "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True}}),
    "asked_header": ("several", {"sni": "example.test", "common_tls_context": {"validation_context": "CA"}},
                     {"explicit_http_config": {"http_protocol_options": {}}, "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True, "override_auto_sni_header": "x-name"}}),
    "asked_sni": ("several", {"sni": "example.test", "common_tls_context": {"validation_context": "CA"}}, {"explicit_http_config": {"http_protocol_options": {}}, "upstream_http_protocol_options": {"auto_sni": True}}),
    "to_plain": ("echo", {"sni": "example.test"}, None),
}


def config(folder, ports, out):
    lists = [listener("several", ports["several"], folder, out, ["ec", "rsa", "named"], common={"alpn_protocols": ["h2", "http/1.1"], "validation_context": trust(folder)}),
             listener("h1only", ports["h1only"], folder, out, ["rsa"], common={"alpn_protocols": ["http/1.1"]}),
             listener("scan", ports["scan"], folder, out, ["rsa", "ec"], context={"full_scan_certs_on_sni_mismatch": True}),
             listener("narrow", ports["narrow"], folder, out, ["ec"], common={"tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_2",
                                                                                          "cipher_suites": ["ECDHE-ECDSA-AES256-GCM-SHA384"], "ecdh_curves": ["P-256"]}}),
             listener("stateless", ports["stateless"], folder, out, ["ec"], context={"disable_stateless_session_resumption": True}),
             listener("never", ports["never"], folder, out, ["ec"], context={"disable_stateless_session_resumption": True, "disable_stateful_session_resumption": True}),
             listener("required", ports["required"], folder, out, ["uri"], hcm={"forward_client_cert_details": "SANITIZE_SET", "set_current_client_cert_details": {"subject": True, "uri": True}},
                      common={"validation_context": trust(folder)}, context={"require_client_certificate": True})]
    for mode in MODES:
        details = {"subject": True, "cert": mode == "SANITIZE_SET", "chain": mode == "SANITIZE_SET", "dns": True, "uri": True}
        lists.append(listener(mode, ports[mode], folder, out, ["uri"], hcm={"forward_client_cert_details": mode, "set_current_client_cert_details": details},
                              common={"alpn_protocols": ["h2", "http/1.1"], "validation_context": trust(folder)}))

    def cluster(name, to, context, options):
        context = json.loads(json.dumps(context))
        common = context.get("common_tls_context", {})
        validation = common.get("validation_context")
        if validation == "CA":
            common["validation_context"] = trust(folder)
        elif validation == "STRANGER":
            common["validation_context"] = {"trusted_ca": {"filename": str(folder / "stranger.pem")}}
        elif validation:
            common["validation_context"] = trust(folder, match_typed_subject_alt_names=[{"san_type": "DNS", "matcher": {"exact": validation["names"]}}])
        if common.get("tls_certificates"):
            common["tls_certificates"] = [pair(folder, common["tls_certificates"])]
        more = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", **options}}} if options else {}
        return {"name": name, "connect_timeout": "2s", **more, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(ports[to])}}]}]},
                "transport_socket": {"name": "tls", "typed_config": {"@type": f"{TLS}.UpstreamTlsContext", **context}}}
    clusters = [cluster(name, *what) for name, what in UPSTREAMS.items()]
    clusters.append({"name": "echo", "load_assignment": {"cluster_name": "echo", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(ports["echo"])}}]}]}})
    # endpoints whose metadata says how they are spoken to
    endpoint = lambda to, mode: {"endpoint": {"address": address(ports[to])}, "metadata": {"filter_metadata": {"envoy.transport_socket_match": {"mode": mode, "zone": "z"}}}}
    matches = [{"name": "tls", "match": {"mode": "mutual"}, "transport_socket": {"name": "tls", "typed_config": {"@type": f"{TLS}.UpstreamTlsContext", "sni": "example.test"}}},
               {"name": "other", "match": {"mode": "off", "zone": "y"}, "transport_socket": {"name": "tls", "typed_config": {"@type": f"{TLS}.UpstreamTlsContext"}}}]
    clusters.append({"name": "matched", "load_assignment": {"cluster_name": "matched", "endpoints": [{"lb_endpoints": [endpoint("several", "mutual"), endpoint("echo", "off")]}]}, "transport_socket_matches": matches})
    return {"admin": {"address": address(ports["admin"])}, "static_resources": {"listeners": lists, "clusters": clusters}}


def echo_server(port):
    class Echo(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = "".join(f"{k.lower()}: {v}\n" for k, v in self.headers.items()).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


# --- what clients see ----------------------------------------------------------------------------------------------------------

def curl(folder, port, path, *args, name="example.test"):
    done = subprocess.run(["curl", "-sS", "--max-time", "10", "--cacert", folder / "ca.pem", "--connect-to", f"::127.0.0.1:{port}", "-w", "\n%{http_code} %{http_version}",
                           f"https://{name}:{port}{path}", *args], capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return status if done.returncode == 0 else f"failed {done.returncode}", body


def s_client(port, *args, text=""):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *[str(a) for a in args]], capture_output=True, input=text, text=True, timeout=20)
    out = done.stdout + done.stderr
    find = lambda pattern: (re.search(pattern, out) or [None, ""])[1]
    alert = find(r"SSL alert number (\d+)")
    if alert or "Cipher is (NONE)" in out:
        return f"alert {alert}"
    return f"{find(r'New, (TLSv[0-9.]+), Cipher') or find(r'Reused, (TLSv[0-9.]+), Cipher')} {find(r'Cipher is (.*)')} cn={find(r'subject=.*?CN *= *([^,]*)').strip()} alpn={find(r'ALPN protocol: (.*)')} " \
           f"{'asks for a certificate of ' + find(r'Acceptable client certificate CA names.([^/]*?).(?:Requested|Client)') if 'Acceptable client' in out else ''}"


HANDSHAKES = {
    "tls 1.3": ("several", ["-servername", "example.test", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-groups", "X25519"]),
    "tls 1.3 chacha": ("several", ["-servername", "example.test", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]),
    "tls 1.2": ("several", ["-servername", "example.test", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
    "tls 1.1": ("several", ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
    "rsa suites": ("several", ["-servername", "example.test", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
    "rsa signatures": ("several", ["-servername", "example.test", "-sigalgs", "rsa_pss_rsae_sha256", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "no forward secrecy": ("several", ["-tls1_2", "-cipher", "AES128-GCM-SHA256"]),
    "cbc": ("several", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]),
    "aes 256": ("several", ["-servername", "example.test", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"]),
    "p-256": ("several", ["-servername", "example.test", "-groups", "P-256", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "p-384 alone": ("several", ["-servername", "example.test", "-groups", "P-384"]),
    "alpn h2": ("several", ["-servername", "example.test", "-alpn", "http/1.1,h2", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "alpn h1": ("several", ["-servername", "example.test", "-alpn", "http/1.1", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "alpn other": ("several", ["-servername", "example.test", "-alpn", "foo", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "sni wild": ("several", ["-servername", "x.wild.test", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "sni too deep": ("several", ["-servername", "x.y.wild.test", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "sni upper": ("several", ["-servername", "EXAMPLE.test", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "sni rsa only": ("several", ["-servername", "only-rsa.test", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "sni common name": ("several", ["-servername", "by-name.test", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "sni unknown": ("several", ["-servername", "unknown.test", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "sni none": ("several", ["-noservername", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "sni none rsa": ("several", ["-noservername", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
    "scan unknown": ("scan", ["-servername", "unknown.test", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
    "scan unknown rsa": ("scan", ["-servername", "unknown.test", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
    "narrow 1.3 client": ("narrow", []),
    "narrow other cipher": ("narrow", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
    "narrow other curve": ("narrow", ["-groups", "X25519"]),
    "required none": ("required", ["-tls1_2"]),
    "required foreign": ("required", ["-tls1_2", "-cert", "foreign.pem", "-key", "foreign.key"]),
}


def resumption(folder, port, version):
    """Whether a second connection is resumed: s_client keeps the session, with a request in between so that tickets of TLS 1.3 come."""
    session = folder / "session.pem"
    session.unlink(missing_ok=True)
    common = ["-servername", "example.test", version, "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    request = "GET /direct HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *common, "-sess_out", session, "-ign_eof"], capture_output=True, input=request, text=True, timeout=20)
    if not session.exists():
        return "no session"
    out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *common, "-sess_in", session, "-ign_eof"], capture_output=True, input=request, text=True, timeout=20).stdout
    return "resumed" if "Reused, TLS" in out else "new"


def key_updates(port, cipher):
    """What is answered between new keys: s_client changes its own (k), or asks for the server's, too (K)."""
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-ciphersuites", cipher], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    heard = b""

    def until(text):
        nonlocal heard  # what comes behind the text in the same piece is for the next
        while text not in heard:
            if not select.select([client.stdout], [], [], 20)[0]:
                client.kill()
                return f"no {text} in {heard[-300:]}"
            piece = os.read(client.stdout.fileno(), 65536)
            if not piece:
                return f"ended without {text}: {heard[-300:]}"
            heard += piece
        heard = heard.partition(text)[2]
        return ""

    def say(text):
        os.write(client.stdin.fileno(), text)

    seen = [until(b"Verify return code")]
    for command in b"KkKKkkK":
        say(bytes([command]) + b"\n")
        seen.append(until(b"KEYUPDATE"))
        say(b"GET /direct HTTP/1.1\r\nhost: a\r\n\r\n")
        seen.append(until(b"HTTP/1.1 200"))
    say(b"GET /direct HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    seen.append(until(b"HTTP/1.1 200") or until(b"closed"))
    client.stdin.close()
    client.wait(20)
    client.stdout.close()
    if any(seen):
        raise lab.Failed(f"key updates: {[what for what in seen if what][0]}")
    return "answered"


def observe(box, kind, folder, ports):
    out = folder / f"access-{kind}.log"
    out.unlink(missing_ok=True)
    admin = f"127.0.0.1:{ports['admin']}"
    process = box.proxy(kind, box.write(f"{kind}.json", json.dumps(config(folder, ports, out))), admin)
    seen = {}
    for name, (to, args) in HANDSHAKES.items():
        seen[f"handshake: {name}"] = s_client(ports[to], *[folder / a if str(a).endswith((".pem", ".key")) else a for a in args])
    for name in ("several", "stateless", "never"):
        for version in ("-tls1_2", "-tls1_3"):
            seen[f"resumption: {name} {version}"] = resumption(folder, ports[name], version)
    for mode in MODES:
        for shown in (None, "chain", "nameless"):
            for version in ("--http1.1", "--http2"):
                cert = ["--cert", folder / f"{shown}.pem", "--key", folder / ("client.key" if shown == "chain" else f"{shown}.key")] if shown else []
                for old in ([], ["-H", "x-forwarded-client-cert: By=http://a;Hash=old"]):
                    status, body = curl(folder, ports[mode], "/echo", version, "--tls-max", "1.2", *cert, *old, "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", name="uri.test")
                    lines = [line for line in body.splitlines() if line.startswith(("x-forwarded-client-cert", "x-forwarded-proto"))]
                    seen[f"header: {mode} {shown} {version} {'old' if old else ''}"] = [status, *sorted(lines)]
        status, body = curl(folder, ports[mode], "/echo", "--http1.1", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256", "--cert", folder / "chain.pem", "--key", folder / "client.key", name="uri.test")
        seen[f"header: {mode} over 1.3"] = [status, *sorted(line for line in body.splitlines() if line.startswith("x-forwarded-client-cert"))]
    for cipher in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
        seen[f"key updates: {cipher}"] = key_updates(ports["several"], cipher)
    own = ["--cert", folder / "client.pem", "--key", folder / "client.key"]
    seen["route: validated"] = curl(folder, ports["several"], "/validated", *own)
    seen["route: not presented"] = curl(folder, ports["several"], "/validated")
    for name in UPSTREAMS:
        seen[f"upstream: {name}"] = [curl(folder, ports["several"], f"/to/{name}", "--http1.1", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256") for _ in range(2)]
    for name in ("asked", "asked_header", "asked_sni"):
        for host in ("example.test", "Example.test:99", "a.wild.test", "nope.test", "127.0.0.1", "[::1]:80"):
            for header in ((), ("-H", "x-name: a.wild.test"), ("-H", "x-name: nope.test")) if name == "asked_header" else ((),):
                seen[f"upstream: {name} {host} {header[1:]}"] = curl(folder, ports["several"], f"/to/{name}", "--http1.1", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256", "-H", f"host: {host}", *header)
    answers = [curl(folder, ports["several"], "/to/matched", "--http1.1", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256") for _ in range(4)]
    seen["upstream: matched"] = sorted((status, "echo" if "host:" in body else body) for status, body in answers)
    time.sleep(1.2)  # Envoy buffers its log for a second
    certs = json.loads(lab.get(admin, "/certs").body)["certificates"]
    seen["certs"] = sorted({json.dumps(row, sort_keys=True) for row in certs if row["cert_chain"] or row["ca_cert"]})
    stats = dict(line.split(": ") for line in lab.get(admin, "/stats").body.decode().splitlines() if re.match(r"(listener|cluster)\.\w+\.ssl\.|http\.(?!admin)\w+\.downstream_cx_ssl|server.days", line))
    box.stop(process)
    lines = {}
    # sorted: which endpoint of a cluster is asked first is chance
    for line in sorted(re.sub(r"TLS_SESSION_ID=[0-9a-f]{64}\b", "TLS_SESSION_ID=id", text) for text in out.read_text().splitlines()):
        name, path, *fields = line.split("|", 2)[0:2] + re.split(r"\|(?=[A-Z_0-9]+=)", line.split("|", 2)[2])
        for field in fields:
            key, _, value = field.partition("=")
            lines.setdefault(f"log: {name} {path} {key}", []).append(value)
    seen.update(lines)
    seen.update({f"stat: {name}": value for name, value in stats.items()})
    return seen


S_SERVERS = {  # openssl s_server as the host: its certificate, its options, the context's validation
    "tls 1.3": ("ec", ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], "CA"),
    "tls 1.2": ("ec", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "CA"),
    "tls 1.1": ("ec", ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "CA"),
    "chacha": ("ec", ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], "CA"),
    "rsa": ("rsa", ["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "CA"),
    "p-256": ("ec", ["-tls1_3", "-curves", "P-256", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], "CA"),
    "no curve in common": ("ec", ["-tls1_3", "-curves", "P-384"], "CA"),
    "without tickets": ("ec", ["-tls1_3", "-num_tickets", "0", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], "CA"),
    "asks for a certificate": ("ec", ["-tls1_3", "-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], "CA"),
    "small records": ("ec", ["-tls1_3", "-max_send_frag", "512", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], "CA"),
    "not trusted": ("foreign", ["-tls1_3"], "CA"),
    "another name": ("uri", ["-tls1_3"], "example.test"),
}


def to_s_server(box, kind, folder):
    """What s_server tells of each of two connections, in the page that it answers with."""
    clusters, servers = [], []
    for name, (own, options, trusted) in S_SERVERS.items():
        port = lab.free_port()
        servers.append(box.start(f"s_server-{name.replace(' ', '-')}-{kind}", ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", folder / f"{own}.pem", "-key", folder / f"{own}.key", "-www",
                                                        *[folder / o if o.endswith(".pem") else o for o in options]]))
        lab.await_port(port, servers[-1])
        more = {} if trusted == "CA" else {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": trusted}}]}
        context = {"sni": "example.test", "common_tls_context": {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}, "tls_certificates": [pair(folder, "client")], "validation_context": trust(folder, **more)}}
        clusters.append({"name": name.replace(" ", "-"), "connect_timeout": "5s", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]},
                         "transport_socket": {"name": "tls", "typed_config": {"@type": f"{TLS}.UpstreamTlsContext", **context}}})
    port, admin = lab.free_port(), lab.free_port()
    process = box.proxy(kind, box.write(f"s_server-{kind}.json", json.dumps(proxy(port, admin, clusters))), f"127.0.0.1:{admin}")
    seen = {}
    for name in S_SERVERS:
        for turn in ("first", "second"):
            reply = lab.get(f"127.0.0.1:{port}", f"/{name.replace(' ', '-')}")
            page = reply.body.decode()
            found = re.search(r"(New|Reused), (\S+), Cipher is (\S+)", page)
            seen[f"s_server: {name}, {turn}"] = (reply.status, *(found.groups() if found else ()), "Client certificate" in page)
    for one in (process, *servers):
        box.stop(one)
    return seen


REFUSED = {  # a field of the listener's or the cluster's context that makes it invalid, and words that both errors have
    "key of another": ({"tls_certificates": [{"chain": "ec", "key": "rsa"}]}, "Failed to load private key"),
    "no key": ({"tls_certificates": [{"chain": "ec"}]}, "private key"),
    "no certificate": ({"tls_certificates": [{"key": "ec"}]}, "certificate"),
    "empty": ({}, "No TLS certificates found for server context"),
    "bad cipher": ({"tls_certificates": "ec", "tls_params": {"cipher_suites": ["AES128-SHA999"]}}, "Failed to initialize cipher suites"),
    "bad curve": ({"tls_certificates": "ec", "tls_params": {"ecdh_curves": ["P-999"]}}, "Failed to initialize ECDH curves"),
    "bad signature": ({"tls_certificates": "ec", "tls_params": {"signature_algorithms": ["bogus"]}}, "signature algorithms"),
    "bad hash": ({"tls_certificates": "ec", "validation_context": {"verify_certificate_hash": ["z" * 64]}}, "Invalid hex-encoded SHA-256"),
    "bad spki": ({"tls_certificates": "ec", "validation_context": {"verify_certificate_spki": ["A" * 44]}}, "Invalid base64-encoded SHA-256"),
    "names without trust": ({"tls_certificates": "ec", "validation_context": {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a"}}]}}, "SAN-based verification of peer certificates without trusted CA"),
    "good": ({"tls_certificates": "ec", "alpn_protocols": ["h2"]}, None),
    "long alpn": ({"tls_certificates": "ec", "alpn_protocols": ["x" * 256]}, "Invalid ALPN protocol string"),
    "unknown secret": ({"tls_certificate_sds_secret_configs": [{"name": "absent"}]}, "absent"),
}


def verdicts(box, kind, folder, ports):
    out = {}
    for name, (common, words) in REFUSED.items():
        common = json.loads(json.dumps(common))
        pairs = common.get("tls_certificates")
        if pairs == "ec":
            common["tls_certificates"] = [pair(folder, "ec")]
        elif pairs:
            common["tls_certificates"] = [{**({"certificate_chain": {"filename": str(folder / f"{p['chain']}.pem")}} if "chain" in p else {}),
                                           **({"private_key": {"filename": str(folder / f"{p['key']}.key")}} if "key" in p else {})} for p in pairs]
        text = {"static_resources": {"listeners": [{"name": "l", "address": address(0), "filter_chains": [{"filters": [], "transport_socket": {"name": "tls", "typed_config": {
            "@type": f"{TLS}.DownstreamTlsContext", "common_tls_context": common}}}]}]}}
        text["static_resources"]["listeners"][0]["filter_chains"][0]["filters"] = [{"name": "hcm", "typed_config": {"@type": HCM, "stat_prefix": "x", "route_config": {}, "http_filters": [
            {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]
        path = box.write(f"verdict-{kind}.json", json.dumps(text))
        program = [lab.envoy(), "--base-id", str(lab.free_port())] if kind == "envoy" else [lab.BIN / "fairlead-proxy"]
        done = subprocess.run([*program, "--mode", "validate", "-c", path], capture_output=True, text=True, timeout=60)
        said = done.stdout + done.stderr
        out[f"verdict: {name}"] = "accepted" if done.returncode == 0 else "refused" if words and words in said else f"refused, without the words: {said[-400:]}"
    return out


def explained(key, envoy, ours):
    """Differences that are meant: docs/differences.md."""
    if "TRANSPORT_FAILURE_REASON" in key or key.endswith("DETAILS"):  # OpenSSL words what BoringSSL words
        same = lambda values: [re.sub(r"unable_to_get_local_issuer_certificate|self-?_?signed_certificate(_in_certificate_chain)?", "X", v) for v in values]
        return same(envoy or []) == same(ours or [])
    if key.startswith("stat: ") and (".ssl.certificate." in key or ".curves." in key or ".server_ssl" in key):
        return True  # MLKEM; the gauges of clusters
    return False


def run(box):
    folder = box.dir
    material(folder)
    ports = lab.free_ports(["admin", "echo", "several", "h1only", "scan", "narrow", "stateless", "never", "required", *MODES])
    server = echo_server(ports["echo"])
    try:
        seen = {kind: {**observe(box, kind, folder, ports), **verdicts(box, kind, folder, ports), **to_s_server(box, kind, folder)} for kind in ("envoy", "fairlead")}
    finally:
        server.shutdown()
    differ = []
    for key in sorted({*seen["envoy"], *seen["fairlead"]}):
        envoy, ours = seen["envoy"].get(key), seen["fairlead"].get(key)
        if envoy != ours and not explained(key, envoy, ours):
            differ.append(f"{key}\n  envoy    {str(envoy)[:600]}\n  fairlead {str(ours)[:600]}")
    print(f"  {len(seen['envoy'])} observations, {len(differ)} differ")
    if differ:
        raise lab.Failed("\n".join(differ))
