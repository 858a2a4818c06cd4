"""The laboratory itself: pods that answer at their addresses, Services, names, logs."""
import base64
import json
import os
import socket
import ssl

import cluster
from space import address_of, await_answer, get, is_ready, name_of, refuses, require, same


def test_each_pod_answers_for_itself_at_its_own_address(space):
    pods = space.deploy("web", replicas=3)
    same("the number of addresses", len({address_of(p) for p in pods}), 3)
    for pod in pods:
        answer = get(address_of(pod), "/some//path?x=1", port=3000, headers={"X-Echo-Set-Header": "a:b", "host": "example.com"})
        told = answer.json
        same("pod", told["pod"], name_of(pod))
        same("namespace", told["namespace"], space.name)
        same("path", told["path"], "/some//path?x=1")
        same("host", told["host"], "example.com")
        same("the header asked for", dict(answer.headers)["a"], "b")
    same("the status asked for", get(address_of(pods[0]), "/status/418", port=3000).status, 418)


def test_a_pod_that_is_deleted_refuses_connections_and_its_successor_has_another_address(space):
    old, = space.deploy("web")
    space.kubectl("delete", "pod", name_of(old), "--wait=false")
    cluster.await_true("a refusal", lambda: refuses(address_of(old), 3000))
    new = cluster.await_true("the successor", lambda: [p for p in space.pods("web") if name_of(p) != name_of(old) and is_ready(p)])
    require(address_of(new[0]) != address_of(old), "the successor has the address of the pod that is gone")
    same("who answers", get(address_of(new[0]), port=3000).json["pod"], name_of(new[0]))


def test_a_pod_with_a_prestop_sleep_answers_while_it_terminates(space):
    old, = space.deploy("web", more="        lifecycle: {preStop: {sleep: {seconds: 3}}}\n")
    space.kubectl("delete", "pod", name_of(old), "--wait=false")
    same("who answers", get(address_of(old), port=3000).json["pod"], name_of(old))
    cluster.await_true("a refusal", lambda: refuses(address_of(old), 3000))


def test_a_pod_waits_for_the_secret_that_it_mounts_and_serves_its_certificate(space):
    space.deploy("web", wait=False, env={"TLS_SERVER_CERT": "/secret/crt", "TLS_SERVER_PRIVKEY": "/secret/key"},
                 more="        volumeMounts: [{name: secret, mountPath: /secret}]\n      volumes:\n      - {name: secret, secret: {secretName: late, "
                      "items: [{key: tls.crt, path: crt}, {key: tls.key, path: key}]}}\n")
    cluster.await_true("a pod that waits", lambda: any("late" in c.get("state", {}).get("waiting", {}).get("message", "")
                                                       for p in space.pods("web") for c in p["status"].get("containerStatuses", [])))
    crt, key = space.lab.folder / "late.crt", space.lab.folder / "late.key"
    cluster.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=late.example", "-keyout", key, "-out", crt, "-days", "1")
    space.kubectl("create", "secret", "tls", "late", f"--cert={crt}", f"--key={key}")
    pod, = space.ready_pods("web", 1)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection((address_of(pod), 8443)), server_hostname="asked.example") as connection:
        same("the certificate", connection.getpeercert(binary_form=True), ssl.PEM_cert_to_DER_cert(crt.read_text()))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        told = json.loads(connection.makefile("rb").read().split(b"\r\n\r\n", 1)[1])
    same("the name asked for", told["tls"]["serverName"], "asked.example")


def test_http2_grpc_and_websockets(space):
    pod, = space.deploy("web")
    told = json.loads(cluster.run("curl", "-sS", "--http2-prior-knowledge", f"http://{address_of(pod)}:3001/over2"))
    same("the protocol", (told["proto"], told["path"]), ("HTTP/2.0", "/over2"))

    with socket.create_connection((address_of(pod), 3000), timeout=5) as s:
        key = base64.b64encode(os.urandom(16)).decode()
        s.sendall(f"GET /ws HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                  "Sec-WebSocket-Version: 13\r\n\r\n".encode())
        stream = s.makefile("rb")
        require(b"101" in stream.readline(), "no upgrade to WebSocket")
        while stream.readline() != b"\r\n":
            pass
        s.sendall(bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi")
        require(stream.read(4).endswith(b"hi"), "the WebSocket does not echo")

    grpc, = space.deploy("calls", env={"GRPC_ECHO_SERVER": "1"})
    answer = cluster.run("curl", "-sS", "-i", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "@-",
                         "--output", space.lab.folder / "grpc.out",
                         f"http://{address_of(grpc)}:3000/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/Echo", input="\0\0\0\0\0")
    answer = (space.lab.folder / "grpc.out").read_bytes()
    require(b"grpc-status: 0" in answer and name_of(grpc).encode() in answer, f"the gRPC call got {answer!r}")


def test_tcp_and_udp_echo(space):
    lines, = space.deploy("lines", env={"TCP_ECHO_SERVER": "1"})
    with socket.create_connection((address_of(lines), 3000), timeout=5) as s:
        stream = s.makefile("rwb")
        require(b"TCP Server" in stream.readline(), "no greeting")
        stream.write(b"PING\nIS_TLS\nTEST\n")
        stream.flush()
        same("the answers", [stream.readline(), stream.readline()], [b"PONG\n", b"false\n"])
        same("who answers", json.loads(stream.readline())["pod"], name_of(lines))
    datagrams, = space.deploy("datagrams", env={"UDP_ECHO_SERVER": "1"})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(b"hello", (address_of(datagrams), 8080))
        told = json.loads(s.recv(4096))
    same("the datagram's answer", (told["request"], told["pod"]), ("hello", name_of(datagrams)))


def test_a_service_forwards_and_has_a_name_and_a_load_balancer_an_address(space):
    pods = space.deploy("web", replicas=2)
    space.service("web", port=8080, more="  type: LoadBalancer\n")
    name = f"web.{space.name}.svc.cluster.local"
    await_answer("an answer through the Service", name, port=8080)
    same("who answers", {get(name, port=8080).json["pod"] for _ in range(40)}, {name_of(p) for p in pods})
    ip = cluster.await_true("the load balancer's address", lambda: [i["ip"] for i in space.get("service/web")["status"]["loadBalancer"].get("ingress", [])])[0]
    require(ip.startswith("10.98."), f"the load balancer's address is {ip}")
    await_answer("an answer through the load balancer", ip, port=8080)


def test_logs_say_which_requests_came(space):
    pod, = space.deploy("web")
    get(address_of(pod), "/look/for/me", port=3000)
    cluster.await_true("the line in the log", lambda: "Echoing back request made to /look/for/me to client" in space.kubectl("logs", name_of(pod)))
