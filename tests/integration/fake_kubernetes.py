"""A Kubernetes API server for tests: lists in pages (gzip), watches with bookmarks, discovery, 410 after compact(), a bearer token. It checks no object and keeps
everything in memory. Objects are plain dictionaries; put() gives them their resourceVersion."""
import gzip
import http.server
import json
import socketserver
import threading
import urllib.parse

KINDS = {  # kind: (group and version, plural)
    "Namespace": ("v1", "namespaces"), "Service": ("v1", "services"), "Secret": ("v1", "secrets"), "ConfigMap": ("v1", "configmaps"),
    "EndpointSlice": ("discovery.k8s.io/v1", "endpointslices"), "Ingress": ("networking.k8s.io/v1", "ingresses"), "IngressClass": ("networking.k8s.io/v1", "ingressclasses"),
    **{kind: ("gateway.networking.k8s.io/v1", plural) for kind, plural in {
        "GatewayClass": "gatewayclasses", "Gateway": "gateways", "ListenerSet": "listenersets", "HTTPRoute": "httproutes", "GRPCRoute": "grpcroutes", "TLSRoute": "tlsroutes",
        "TCPRoute": "tcproutes", "UDPRoute": "udproutes", "ReferenceGrant": "referencegrants", "BackendTLSPolicy": "backendtlspolicies"}.items()},
    "EnvoyResources": ("fairlead.io/v1alpha1", "envoyresources"), "GatewayParameters": ("fairlead.io/v1alpha1", "gatewayparameters"),
}


def collection_of(kind):
    group_version, plural = KINDS[kind]
    return f"/{'apis' if '/' in group_version else 'api'}/{group_version}/{plural}"


class FakeKubernetes:
    TOKEN = "a token"

    def __init__(self, crds=True):
        self.changed = threading.Condition()
        self.revision = 1000
        self.oldest = 0
        self.objects = {}   # collection -> {(namespace, name): object}
        self.events = []    # (revision, collection, line)
        self.served = {collection_of(kind) for kind in KINDS if crds or "gateway" not in KINDS[kind][0] and "fairlead" not in KINDS[kind][0]}
        self.requests = []
        self.cuts = 0
        self.server, self.port = None, 0
        self.up()

    # --- objects

    def put(self, *objects):
        with self.changed:
            for o in objects:
                collection = collection_of(o["kind"])
                key = (o["metadata"].get("namespace", ""), o["metadata"]["name"])
                self.revision += 1
                there = self.objects.setdefault(collection, {})
                stored = json.loads(json.dumps(o))
                stored["metadata"].update(resourceVersion=str(self.revision), uid=f"{collection}/{key[0]}/{key[1]}", creationTimestamp="2026-01-31T00:00:00Z")
                stored["metadata"]["managedFields"] = [{"manager": "test", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]
                stored["metadata"].setdefault("generation", there[key]["metadata"]["generation"] + 1 if key in there else 1)
                self.record("MODIFIED" if key in there else "ADDED", collection, stored)
                there[key] = stored

    def delete(self, kind, namespace, name):
        with self.changed:
            collection = collection_of(kind)
            self.revision += 1
            gone = self.objects[collection].pop((namespace, name))
            gone["metadata"]["resourceVersion"] = str(self.revision)
            self.record("DELETED", collection, gone)

    def serve(self, kind, whether):
        with self.changed:
            (self.served.add if whether else self.served.discard)(collection_of(kind))

    def compact(self):
        with self.changed:
            self.oldest = self.revision
            self.events.clear()

    def cut(self):
        with self.changed:
            self.cuts += 1
            self.changed.notify_all()

    def record(self, kind, collection, stored):
        self.events.append((self.revision, collection, json.dumps({"type": kind, "object": stored}).encode() + b"\n"))
        self.changed.notify_all()

    # --- the server

    def up(self):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16

            def do_GET(self):
                fake.answer(self)

            def handle(self):
                try:
                    super().handle()
                except OSError:  # its client was killed, or down() ended it
                    pass

            def finish(self):
                try:
                    super().finish()
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

        self.running = True
        self.connections = set()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self):
        """Gone, with every connection."""
        with self.changed:
            self.running = False
            self.changed.notify_all()
            connections = list(self.connections)
        self.server.shutdown()
        self.server.server_close()
        for c in connections:
            try:
                c.shutdown(2)
            except OSError:
                pass

    def kubeconfig(self):
        return json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "fake", "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me"}}],
                           "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}], "users": [{"name": "me", "user": {"token": self.TOKEN}}]})

    def answer(self, h):
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        with self.changed:
            self.requests.append(h.path)
            self.connections.add(h.connection)
            if not self.running:
                h.close_connection = True
                return
        if h.headers.get("authorization") != f"Bearer {self.TOKEN}":
            return self.reply(h, 401, {"kind": "Status", "code": 401, "message": "Unauthorized"})
        parts = url.path.strip("/").split("/")
        if len(parts) == (2 if parts[0] == "api" else 3):
            found = [{"name": c.rsplit("/", 1)[1], "verbs": ["create", "get", "list", "watch"]} for c in self.served if c.rsplit("/", 1)[0] == url.path]
            return self.reply(h, 200 if found else 404, {"kind": "APIResourceList", "resources": found})
        if url.path not in self.served:
            return self.reply(h, 404, {"kind": "Status", "code": 404, "message": "the server could not find the requested resource"})
        if query.get("watch") == "true":
            return self.watch(h, url.path, query)
        with self.changed:
            items = [o for o in self.objects.get(url.path, {}).values() if self.selected(o, query)]
            at, limit = int(query.get("continue", 0)), int(query.get("limit", 0)) or len(items)
            metadata = {"resourceVersion": str(self.revision)}
            if at + limit < len(items):
                metadata["continue"] = str(at + limit)
            body = {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items[at:at + limit]}
            self.reply(h, 200, body)

    @staticmethod
    def selected(o, query):
        return query.get("fieldSelector", "") in ("", f"type={o.get('type')}")

    def reply(self, h, status, body):
        data = json.dumps(body).encode()
        zipped = "gzip" in h.headers.get("accept-encoding", "") and len(data) > 1000
        if zipped:
            data = gzip.compress(data, 1)
        h.send_response(status)
        h.send_header("content-type", "application/json")
        if zipped:
            h.send_header("content-encoding", "gzip")
        h.send_header("content-length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def watch(self, h, collection, query):
        if "sendInitialEvents" in query:
            return self.reply(h, 422, {"kind": "Status", "code": 422, "message": "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"})
        seen = int(query["resourceVersion"])
        with self.changed:
            cuts = self.cuts
            if seen < self.oldest:
                return self.reply(h, 410, {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
        h.send_response(200)
        h.send_header("content-type", "application/json")
        h.send_header("transfer-encoding", "chunked")
        h.end_headers()
        h.wfile.flush()
        try:
            while True:
                with self.changed:
                    lines = [line for revision, c, line in self.events if revision > seen and c == collection]
                    if not lines:
                        self.changed.wait(30)
                        lines = [line for revision, c, line in self.events if revision > seen and c == collection]
                    if not self.running or self.cuts != cuts:
                        h.close_connection = True
                        return h.connection.shutdown(2)
                    seen = self.revision
                data = b"".join(lines)
                if data:
                    h.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    h.wfile.flush()
        except OSError:
            h.close_connection = True
