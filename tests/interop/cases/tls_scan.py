"""sslyze and, where Debian's package is installed, testssl.sh look at a listener with TLS as it is by default, of Envoy and of fairlead-proxy: what each finds,
and nothing of ours that is worse. FAIRLEAD_REGENERATE=1 writes what they find to docs/tls-scan.md."""
import json
import os
import re
import shutil
import subprocess

import lab as labs
from cases.tls import HCM, TLS, authority, certificate

SSLYZE = "sslyze==6.3.1"
COMMANDS = ("sslv2 sslv3 tlsv1 tlsv1_1 tlsv1_2 tlsv1_3 certinfo compression early_data elliptic_curves ems fallback heartbleed openssl_ccs reneg resum robot").split()
PROTOCOLS = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
SEVERITIES = ("OK", "INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL")
PAGE = labs.ROOT / "docs/tls-scan.md"


def config(folder, admin, port):
    manager = {"@type": HCM, "stat_prefix": "edge", "http_filters": [{"name": "r", "typed_config": {"@type": ROUTER}}],
               "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}]}]}}
    pairs = [{"certificate_chain": {"filename": str(folder / f"{name}.pem")}, "private_key": {"filename": str(folder / f"{name}.key")}} for name in ("ec", "rsa")]
    tls = {"@type": f"{TLS}.DownstreamTlsContext", "common_tls_context": {"tls_certificates": pairs, "alpn_protocols": ["h2", "http/1.1"]}}
    chain = {"transport_socket": {"name": "tls", "typed_config": tls}, "filters": [{"name": "hcm", "typed_config": manager}]}
    address = lambda p: {"socket_address": {"address": "127.0.0.1", "port_value": p}}
    return json.dumps({"admin": {"address": address(admin)}, "static_resources": {"listeners": [{"name": "edge", "address": address(port), "filter_chains": [chain]}]}})


# --- sslyze -------------------------------------------------------------------------------------------------------------------

def sslyze(lab, port):
    """{finding: what it is}; lists in the order in which they were offered do not matter."""
    out = lab.dir / f"sslyze-{port}.json"
    ran = subprocess.run([labs.VENV / "bin/sslyze", *[f"--{c}" for c in COMMANDS], "--certinfo_ca_file", lab.dir / "ca.pem", "--mozilla_config", "intermediate", "--json_out", out, f"127.0.0.1:{port}"],
                         capture_output=True, text=True, timeout=300)
    labs.require(out.exists(), f"sslyze: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    server = json.loads(out.read_text())["server_scan_results"][0]
    labs.require(server["scan_status"] == "COMPLETED", f"sslyze could not scan: {json.dumps(server)[:2000]}")
    scan, seen = server["scan_result"], {}

    def result(name):
        attempt = scan.get(name) or {}
        return attempt.get("result") or {}

    for protocol in PROTOCOLS:
        suites = [s["cipher_suite"]["name"] for s in result(f"{protocol}_cipher_suites").get("accepted_cipher_suites", [])]
        seen[protocol.replace("_", " ", 1).upper().replace("_", ".")] = ", ".join(sorted(suites)) or "not accepted"
    curves = result("elliptic_curves")
    seen["curves"] = ", ".join(sorted(c["name"] for c in curves.get("supported_curves") or [])) or "none"
    for label, name, field in (("Heartbleed", "heartbleed", "is_vulnerable_to_heartbleed"), ("CCS injection", "openssl_ccs_injection", "is_vulnerable_to_ccs_injection"), ("compression", "tls_compression", "supports_compression"),
                               ("renegotiation that a client can begin", "session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"), ("secure renegotiation", "session_renegotiation", "supports_secure_renegotiation"),
                               ("TLS_FALLBACK_SCSV", "tls_fallback_scsv", "supports_fallback_scsv"), ("extended master secret", "tls_extended_master_secret", "supports_ems_extension"),
                               ("early data", "tls_1_3_early_data", "supports_early_data"), ("ROBOT", "robot", "robot_result"),
                               ("resumption by session id", "session_resumption", "session_id_resumption_result"), ("resumption by ticket", "session_resumption", "tls_ticket_resumption_result")):
        seen[label] = re.sub("_", " ", str(result(name).get(field))).lower()
    verdict = ran.stdout.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]
    labs.require("ompliant" in verdict, f"sslyze does not judge: {verdict}")
    seen["Mozilla's intermediate profile"] = "; ".join(re.findall(r"^\s+\* (.*)", verdict, re.M)) or "compliant"
    return seen


BAD_WHEN_TRUE = ("Heartbleed", "CCS injection", "compression", "renegotiation that a client can begin")
GOOD_WHEN_TRUE = ("secure renegotiation", "TLS_FALLBACK_SCSV", "extended master secret")


def worse_by_sslyze(ours, theirs):
    out = [f"{p} is accepted" for p in ("SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1") if ours[p] != "not accepted" and theirs[p] == "not accepted"]
    out += [f"{p} is not accepted" for p in ("TLS 1.2", "TLS 1.3") if ours[p] == "not accepted" and theirs[p] != "not accepted"]
    weak = lambda suites: {s for s in suites.split(", ") if re.search(r"_RSA_WITH_.*_CBC|NULL|RC4|3DES|EXPORT|anon|_MD5|DES40", s) and not s.startswith("TLS_ECDHE") or s.startswith("TLS_RSA_")}
    out += [f"{p} has weaker suites: {sorted(weak(ours[p]) - weak(theirs[p]))}" for p in ("TLS 1.2", "TLS 1.3") if weak(ours[p]) - weak(theirs[p])]
    out += [name for name in BAD_WHEN_TRUE if ours[name] == "true" and theirs[name] != "true"]
    out += [f"no {name}" for name in GOOD_WHEN_TRUE if ours[name] != "true" and theirs[name] == "true"]
    out += [f"against Mozilla's profile: {fault}" for fault in ours["Mozilla's intermediate profile"].split("; ") if fault not in ("compliant", *theirs["Mozilla's intermediate profile"].split("; "))]
    return out + (["ROBOT"] if ours["ROBOT"].startswith("vulnerable") and not theirs["ROBOT"].startswith("vulnerable") else [])


# --- testssl.sh ---------------------------------------------------------------------------------------------------------------

def testssl(lab, port):
    """{id: (severity, finding)} without what tells of the certificate, which is the same, and of the run."""
    out = lab.dir / f"testssl-{port}.json"
    subprocess.run([shutil.which("testssl"), "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--fast", "-p", "-s", "-f", "-U", "--jsonfile", out, f"127.0.0.1:{port}"],
                   stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    labs.require(out.exists(), "testssl.sh wrote nothing")
    skip = re.compile(r"cert|OCSP|^(scanTime|service|optimal_proto|pre_128cipher|DNS|clientAuth|id|engine_problem|TLS_timestamp|SSL_sessionID_support|DROWN_hint)", re.I)
    return {row["id"]: (row["severity"], row["finding"]) for row in json.loads(out.read_text()) if not skip.search(row["id"]) and row["severity"] in SEVERITIES}


def worse_by_testssl(ours, theirs):
    return [f"{name}: {what[1]} ({what[0]})" for name, what in ours.items() if SEVERITIES.index(what[0]) > max(1, SEVERITIES.index(theirs.get(name, ("OK",))[0]))]


# --- both ---------------------------------------------------------------------------------------------------------------------

def table(ours, theirs, show=str):
    rows = ["| | Envoy 1.40 | fairlead-proxy |", "|---|---|---|"]
    return "\n".join(rows + [f"| {name} | {show(theirs.get(name, '—'))} | {show(ours.get(name, '—'))} |" for name in dict.fromkeys([*theirs, *ours])])


def run(lab):
    labs.install(SSLYZE)
    authority(lab.dir, "ca")
    certificate(lab.dir, "ec", "/O=Test/CN=example.test", "DNS:example.test,IP:127.0.0.1")
    certificate(lab.dir, "rsa", "/O=Test/CN=example.test", "DNS:example.test,IP:127.0.0.1", "rsa")
    scanners = [("sslyze", SSLYZE.replace("==", " "), sslyze, worse_by_sslyze)]
    if shutil.which("testssl"):
        package = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "testssl.sh"], capture_output=True, text=True).stdout
        scanners.append(("testssl.sh", f"testssl.sh {package}", testssl, worse_by_testssl))
    found = {name: {} for name, *_ in scanners}
    for kind in ("envoy", "fairlead-proxy"):
        admin, port = labs.free_port(), labs.free_port()
        proxy = lab.proxy(kind, lab.write(f"{kind}.json", config(lab.dir, admin, port)), f"127.0.0.1:{admin}")
        for name, _, scan, _ in scanners:
            found[name][kind] = scan(lab, port)
        lab.stop(proxy)
    text, wrong = [], []
    for name, version, _, worse in scanners:
        ours, theirs = found[name]["fairlead-proxy"], found[name]["envoy"]
        wrong += [f"{name}: {w}" for w in worse(ours, theirs)]
        differs = [n for n in {**theirs, **ours} if ours.get(n) != theirs.get(n)]
        print(f"  {name}: {len({**theirs, **ours})} findings, of which differ: {', '.join(differs) or 'none'}")
        show = (lambda w: w if isinstance(w, str) else f"{w[0]}: {w[1].strip()}") if name == "testssl.sh" else str
        text.append(f"## {version}\n\n{table(ours, theirs, show)}\n")
    if wrong:
        raise labs.Failed("fairlead-proxy is worse:\n" + "\n".join(wrong))
    if os.environ.get("FAIRLEAD_REGENERATE"):
        head = ("# What scanners find\n\nAn HTTPS listener with an ECDSA and an RSA certificate and nothing else said of TLS, of Envoy and of fairlead-proxy, as scanners see it.\n"
                "Made by `FAIRLEAD_REGENERATE=1 tests/interop/run tls_scan`, which without the variable only compares: it fails where fairlead-proxy does worse.\n"
                "[https.md](https.md) says how to configure more, or less, than this.\n")
        PAGE.write_text(head + "\n" + "\n".join(text))
