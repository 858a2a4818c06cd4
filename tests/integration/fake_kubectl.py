#!/usr/bin/env python3
"""A kubectl for tests: lists pods, forwards ports, and fails, with the real one's words. What is there says the file cluster.json in the folder $FAKE_KUBECTL, which is
read anew for each request; `calls` in it tells who was run.

cluster.json: {pods: [Pod…], contexts: [NAME…], fails: {list: TEXT}, ports: {NAMESPACE/POD: PORT}, modes: {NAMESPACE/POD: MODE}}.
Modes: forbidden, pending, silent (never there), deaf (ignores SIGTERM), lost (the pod goes with the first connection), refused (nothing listens in the pod), asks (listing asks for a
password first, of whoever is at the terminal).
"""
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import urllib.parse

FOLDER = pathlib.Path(os.environ["FAKE_KUBECTL"])


def cluster():
    return json.loads((FOLDER / "cluster.json").read_text())


def end(text, code=1):
    print(text, file=sys.stderr, flush=True)
    os._exit(code)


def take(words, name):
    """The value of a flag, which is taken out of the words."""
    for i, word in enumerate(words):
        if word.startswith(f"{name}="):
            return words.pop(i).partition("=")[2]
        if word == name:
            words.pop(i)
            return words.pop(i)
    return None


def list_pods(path):
    c = cluster()
    if "list" in c.get("fails", {}):
        end(c["fails"]["list"])
    if c.get("modes", {}).get("list") == "asks":
        print("Password: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline() != "secret\n":
            end("error: You must be logged in to the server (Unauthorized)")
    url = urllib.parse.urlsplit(path)
    namespace = url.path.split("/")[4] if "/namespaces/" in url.path else None
    wanted = dict(part.split("=") for part in urllib.parse.parse_qs(url.query)["labelSelector"][0].split(","))
    pods = [p for p in c["pods"] if wanted.items() <= p["metadata"]["labels"].items() and namespace in (None, p["metadata"]["namespace"])]
    print(json.dumps({"kind": "PodList", "apiVersion": "v1", "items": pods}))


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def forward(pod, wanted):
    c = cluster()
    mode = c.get("modes", {}).get(pod)
    name = pod.partition("/")[2]
    if mode == "forbidden":
        end(f'error: error upgrading connection: unable to upgrade connection: pods "{name}" is forbidden: User "jane" cannot create resource "pods/portforward" in API group "" in the namespace "{pod.partition("/")[0]}"')
    if mode == "pending":
        end("error: unable to forward port because pod is not running. Current status=Pending")
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if mode == "silent":
        threading.Event().wait()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    print(f"Forwarding from 127.0.0.1:{port} -> {wanted}", flush=True)
    while True:
        near, _ = listener.accept()
        print(f"Handling connection for {port}", flush=True)
        c = cluster()
        mode = c.get("modes", {}).get(pod)
        if mode == "lost":
            near.close()
            end("error: lost connection to pod")
        try:
            if mode == "refused":
                raise ConnectionRefusedError
            far = socket.create_connection(("127.0.0.1", c["ports"][pod]))
        except OSError:
            print(f'E1126 20:40:01.123456   12345 portforward.go:424] "Unhandled Error" err="an error occurred forwarding {port} -> {wanted}: error forwarding port {wanted} to pod, uid : '
                  f'failed to connect to \\"localhost:{wanted}\\" inside namespace: connect: connection refused"', file=sys.stderr, flush=True)
            end("error: lost connection to pod")
        for pair in ((near, far), (far, near)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def main():
    words = sys.argv[1:]
    with open(FOLDER / "calls", "a") as calls:
        calls.write(json.dumps({"pid": os.getpid(), "words": words, "namespace": next((w.partition("=")[2] for w in words if w.startswith("--namespace=")), None)}) + "\n")
    context = take(words, "--context")
    kubeconfig = take(words, "--kubeconfig")
    if kubeconfig and not pathlib.Path(kubeconfig).exists():
        end(f"error: stat {kubeconfig}: no such file or directory")
    if context is not None and context not in cluster().get("contexts", []):
        end(f'error: context "{context}" does not exist')
    take(words, "--request-timeout")
    if words[:2] == ["get", "--raw"]:
        list_pods(words[2])
    elif words == ["config", "get-contexts", "-o", "name"]:
        print("\n".join(cluster()["contexts"]))
    elif words == ["get", "namespaces", "-o", "name"]:
        print("\n".join(f"namespace/{n}" for n in sorted({p["metadata"]["namespace"] for p in cluster()["pods"]})))
    elif words[0] == "port-forward":
        namespace = take(words, "--namespace")
        if take(words, "--address") != "127.0.0.1":
            end("the test expects one address")
        take(words, "--pod-running-timeout")
        forward(f"{namespace}/{words[1].removeprefix('pod/')}", words[2].removeprefix(":"))
    else:
        end(f"error: unknown command {words}")


main()
