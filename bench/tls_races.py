"""TLS in front of a proxy, beside nginx, HAProxy (both with the OpenSSL that fairlead-proxy has) and Envoy (BoringSSL): handshakes, requests, idle connections."""
import socket
import ssl
import subprocess

from at_scale import each_connection
from http_races import nginx_upstream, race, wrk
from lab import BIN, Lab
from measure import OTHER_CORES, pinned, table, verdict

PROXIES = ["fairlead-proxy", "nginx", "haproxy", "envoy"]
KEYS = {"ECDSA P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA 2048": ["rsa:2048"]}


def certificate(lab, kind):
    """A file with a key and a certificate that it has signed itself."""
    name = kind.split()[0].lower()
    key, leaf = lab.dir / f"{name}.key", lab.dir / f"{name}.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-keyout", key, "-out", leaf, "-days", "30", "-subj", "/CN=bench.test",
                    "-addext", "subjectAltName=DNS:bench.test"], check=True, capture_output=True)
    return lab.write(f"{name}.pem", key.read_text() + leaf.read_text())


def handshakes(resume):
    def load(port, seconds):
        done, failed, resumed, _, p99 = subprocess.run(
            pinned(OTHER_CORES, [str(BIN / "bench_tls_load"), str(port), "--seconds", str(seconds), *(["--resume"] if resume else [])]),
            capture_output=True, text=True, check=True).stdout.split()
        wrong = int(done) - int(resumed) if resume else int(resumed)
        return int(done), int(failed) + wrong, f"{int(p99) / 1000:.2f}ms"
    return load


def tls(options):
    """TLS 1.3 in front of HTTP/1.1: full and resumed handshakes, 1 KiB and 1 MiB over kept connections, beside nginx, HAProxy and Envoy."""
    with Lab() as lab:
        pems = {kind: certificate(lab, kind) for kind in KEYS}
        lab.dir.chmod(0o755)
        # at least 0.95 of nginx's handshakes a CPU second; of RSA 1.2 of Envoy's. None: Envoy's ECDSA is another library's
        for kind, resume, envoys in (("ECDSA P-256", False, None), ("RSA 2048", False, 1 / 1.2), ("ECDSA P-256", True, None)):
            race(f"TLS 1.3 handshakes, {'resumed' if resume else 'full'}, {kind}", PROXIES, nginx_upstream, handshakes(resume), options,
                 [(["nginx"], 1 / 0.95), (["envoy"], envoys)], unit="handshake", tls=pems[kind])
        for name, connections in (("1k", 64), ("1m", 16)):
            race(f"HTTP/1.1 over TLS, {name}, {connections} connections", PROXIES, nginx_upstream,
                 lambda port, seconds: wrk(port, seconds, f"/{name}", connections, scheme="https"), options, [(["nginx", "haproxy"], 1.10)], tls=pems["ECDSA P-256"])


def connection(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10))
    s.sendall(b"GET /1k HTTP/1.1\r\nhost: a\r\n\r\n")
    data = b""
    while b"\r\n\r\n" not in data or len(data.split(b"\r\n\r\n", 1)[1]) < 1024:
        data += s.recv(65536)
    return s


def tls_memory(options):
    """Resident memory of one more idle TLS connection that has had a request, beside nginx, HAProxy and Envoy."""
    with Lab() as lab:
        pem = certificate(lab, "ECDSA P-256")
        lab.dir.chmod(0o755)
        each = each_connection(PROXIES, connection, 2000, tls=pem)
    table("Memory of one more idle TLS connection, one worker", [(name, f"{bytes_ / 1000:.2f}") for name, bytes_ in each.items()], ["proxy", "KB"])
    verdict("idle TLS connection at most half of Envoy's", each["fairlead-proxy"] / each["envoy"], 0.5)


TLS_RACES = {"tls": tls, "tls-memory": tls_memory}
