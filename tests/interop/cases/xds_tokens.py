"""Tokens on the xDS port, with Envoy and fairlead-proxy: who shows a token of the service account that its node belongs to is served; one of another
account, one that has expired, one for another audience and one that is not signed are refused, counted and in no log."""
import base64
import json
import pathlib
import re
import subprocess
import sys
import time

from lab import ADS_BOOTSTRAP, BIN, await_true, envoy, free_port, get, require

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from xds_tls import EDGE  # noqa: E402

ISSUER = "https://kubernetes.default.svc"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*words, **more):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, **more).stdout


def keys(lab):
    """The set of keys that has the one of `key.pem`."""
    openssl("genrsa", "-out", lab.dir / "key.pem", "2048")
    modulus = openssl("rsa", "-in", lab.dir / "key.pem", "-modulus", "-noout").decode().strip().split("=")[1]
    return lab.write("keys.json", json.dumps({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "a", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}]}))


def token(lab, account="edge", lasts=3600, audience="fairlead", algorithm="RS256"):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": [audience], "iat": now, "nbf": now - 7200, "exp": now + lasts, "sub": f"system:serviceaccount:prod:{account}",
              "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": account}, "pod": {"name": f"{account}-1"}}}
    text = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": algorithm, "kid": "a"}, claims))
    signature = openssl("dgst", "-sha256", "-sign", lab.dir / "key.pem", input=text.encode()) if algorithm == "RS256" else b""
    return f"{text}.{base64url(signature)}"


def run(lab):
    port = free_port()
    source = lab.write("source/edge.yaml", EDGE.format(port=port, text="served")).parent
    server, xds, admin = lab.control(source, "--xds-token-keys", keys(lab), "--xds-token-issuer", ISSUER, "--xds-token-audience", "fairlead",
                                     "--xds-authorize", "spiffe://cluster.local/ns/prod/sa/{name}/pod/{pod}=id:{pod},cluster:{name}")

    def denied(reason):
        return int(re.search(rf'^fairlead_control_denied_total{{reason="{reason}"}} (\d+)$', get(admin, "/metrics").body.decode(), re.M)[1])

    shown = []

    def start(kind, bearer):
        shown.append(bearer)
        text = ADS_BOOTSTRAP.format(admin=free_port(), api="DELTA_GRPC", xds=xds.split(":")[1])
        metadata = f', initial_metadata: [{{key: authorization, value: "Bearer {bearer}"}}]}}]}}' if bearer else "}]}"
        config = lab.write(f"{kind}.yaml", text.replace("{cluster_name: xds}}]}", "{cluster_name: xds}" + metadata, 1))
        if kind == "envoy":
            return lab.start(kind, [envoy(), "-c", config, "--base-id", str(free_port()), "--concurrency", "1", "--log-level", "warning"])
        return lab.start(kind, [BIN / "fairlead-proxy", "-c", config, "--concurrency", "1"])

    for kind in ("envoy", "fairlead"):
        proxy = start(kind, token(lab))
        await_true(f"{kind} is served", lambda: get(f"127.0.0.1:{port}", "/").body == b"served")
        lab.stop(proxy)
        for what, bearer, reason in (("another account", token(lab, account="other"), "not_authorized"), ("an expired token", token(lab, lasts=-3600), "not_authenticated"),
                                     ("another audience", token(lab, audience="other"), "not_authenticated"), ("no signature", token(lab, algorithm="none"), "not_authenticated"),
                                     ("no token", None, "not_authenticated")):
            before = denied(reason)
            proxy = start(kind, bearer)
            await_true(f"{kind} with {what} is counted", lambda: denied(reason) > before)
            lab.stop(proxy)
    log = server.text()
    require("is not let in: token refused: it expired" in log, "the log does not say who is refused, and why")
    require(log.count("is not let in") <= 2, "the log says it again and again")
    for bearer in filter(None, shown):
        require(bearer[:40] not in log and bearer[-40:] not in log, "a token is in the log")
