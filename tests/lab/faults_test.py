"""What goes wrong between the control plane and a real API server, and what people do to the objects there: traffic goes on, and what is said of it is true in the end."""
import base64
import json
import random
import signal
import socket
import ssl
import threading
import time

import cluster
from faults import FIRST, ROUTES, SECOND, Load, behind_a_wire, conditions, leads, lost, mark, marked, routes, second_replica, untold
from space import await_answer, get, name_of, same, shop

NEEDS_DATA_PLANE = True


def test_watches_that_are_cut_at_random_lose_nothing(space):
    address = shop(space)
    chance = random.Random(7)
    with behind_a_wire(space.lab) as wire, Load(address) as load:
        mark(space, "first")
        cluster.await_true("the first edit", marked(address, "first"))
        ended = 0
        for i in range(20):
            mark(space, str(i))
            ended += wire.cut()
            time.sleep(chance.random() * 0.3)  # at any point of what a client does then
            wire.cut()
        same("whether there were watches to cut", ended > 20, True)
        space.route("later", "edge", "web", path="/later")
        mark(space, "last")
        wire.cut()
        cluster.await_true("the last edit", marked(address, "last"), timeout=60)
        await_answer("a route made meanwhile", address, "/later")
        cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)


def test_a_revision_that_etcd_has_compacted_is_listed_again_and_what_was_deleted_meanwhile_goes(space):
    address = shop(space)
    space.deploy("gone")
    space.service("gone")
    space.route("gone", "edge", "gone", path="/gone")
    await_answer("an answer of what will be deleted", address, "/gone")
    lab = space.lab
    with Load(address) as load:
        lab.kill("fairlead-control", signal.SIGSTOP, wait=False)
        try:
            space.kubectl("delete", "httproute/gone", "deployment/gone", "service/gone")
            mark(space, "new")
            lab.kill("kube-apiserver")  # and with it its own memory of what changed
            revision = lab.etcd("kv/range", {"key": "AA==", "limit": "1"})["header"]["revision"]
            lab.etcd("kv/compaction", {"revision": revision, "physical": True})
            lab.restart("kube-apiserver")
            lab.await_api()
        finally:
            lab.kill("fairlead-control", signal.SIGCONT, wait=False)
        cluster.await_true("the edit", marked(address, "new"), timeout=60)
        # the prefix's route is gone: what has it now is the route of everything
        cluster.await_true("the end of what was deleted", lambda: get(address, "/gone").json["pod"].startswith("web-"))
        cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)


def certificate_of(address):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection((address, 443), timeout=5), server_hostname="shop.example") as connection:
        return connection.getpeercert(binary_form=True)


def test_a_secret_that_is_replaced_by_garbage_costs_no_connection_and_is_told(space):
    space.deploy("web")
    space.service("web")
    certificate, key = space.lab.certificate("shop", "DNS:shop.example")
    space.kubectl("create", "secret", "tls", "shop", f"--cert={certificate}", f"--key={key}")
    address = space.gateway("edge", "[{name: http, port: 80, protocol: HTTP}, {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: shop}]}}]")
    space.route("web", "edge", "web")
    await_answer("an answer", address)
    good = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    cluster.await_true("the certificate", lambda: certificate_of(address) == good)

    def listener():
        return conditions(space.get("gateway/edge")["status"].get("listeners", []), "https", "ResolvedRefs")
    with Load(address) as load:
        put_certificate(space, b"garbage")
        cluster.await_true("word of it", lambda: listener() == ("False", "InvalidCertificateRef"))
        for _ in range(20):
            same("the certificate meanwhile", certificate_of(address), good)
        put_certificate(space, certificate.read_bytes())
        cluster.await_true("that all is well again", lambda: listener()[0] == "True")
        same("the certificate in the end", certificate_of(address), good)


def put_certificate(space, text):
    answer = space.lab.ask("PATCH", f"/api/v1/namespaces/{space.name}/secrets/shop", {"data": {"tls.crt": base64.b64encode(text).decode()}}, "application/merge-patch+json")
    same("the edit", answer.status, 200)


def test_of_five_hundred_routes_that_all_want_the_same_the_first_has_it_and_all_are_told(space):
    address = shop(space)
    space.service("other", more="")  # without pods: who would be led here would see it
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{space.name}/httproutes"
    with Load(address) as load:
        for i in range(500):  # of the same age the first by name has it, and times are whole seconds
            answer = space.lab.ask("POST", path, {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": f"younger-{i:03}"}, "spec": {
                "parentRefs": [{"name": "edge"}], "rules": [{"matches": [{"path": {"value": "/"}}], "backendRefs": [{"name": "other", "port": 80}]}]}})
            same(f"route {i}", answer.status, 201)

        def told():
            routes = json.loads(space.lab.ask("GET", path).body)["items"]
            return [name_of(r) for r in routes if not r.get("status", {}).get("parents") or conditions(r["status"]["parents"], None, "Accepted")[0] != "True"]
        cluster.await_true("that every route is told", lambda: told() == [], timeout=90)
        cluster.await_true("that the Gateway counts them", lambda: space.get("gateway/edge")["status"]["listeners"][0]["attachedRoutes"] == 501)


def test_a_crd_that_is_deleted_and_comes_back_costs_no_request(space):
    address = shop(space)
    lab = space.lab
    with Load(address) as load:
        lab.kubectl("delete", "crd", "httproutes.gateway.networking.k8s.io")
        load.more("without it", 300)
        lab.kubectl("apply", "--server-side", "-f", cluster.LAB / "crd/standard")
        lab.kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io", f"--timeout={int(30 * cluster.PATIENCE)}s")
        cluster.await_true("the kind again", lambda: lab.ask("GET", f"/apis/gateway.networking.k8s.io/v1/namespaces/{space.name}/httproutes").status == 200)
        space.route("web", "edge", "web")
        mark(space, "back")
        cluster.await_true("an edit of what came back", marked(address, "back"), timeout=60)
        cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)


def test_a_leader_that_is_killed_while_it_writes_is_followed_by_one_that_writes_the_rest(space):
    address = shop(space)
    lab, many = space.lab, 300
    cluster.await_true("that the first replica leads", lambda: leads(FIRST), timeout=60)

    def create(first, step):
        for i in range(first, many, step):
            lab.ask("POST", ROUTES.format(space.name), {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": f"new-{i:03}"}, "spec": {
                "parentRefs": [{"name": "edge"}], "rules": [{"matches": [{"path": {"value": f"/new/{i}"}}], "backendRefs": [{"name": "web", "port": 80}]}]}})
    with second_replica(lab), Load(address):
        creators = [threading.Thread(target=create, args=(i, 4)) for i in range(4)]
        for creator in creators:
            creator.start()
        cluster.await_true("the first statuses", lambda: len([r for r in routes(space) if r.get("status", {}).get("parents")]) > 20, pause=0)
        lab.kill(FIRST)
        told = len([r for r in routes(space) if r.get("status", {}).get("parents")])
        for creator in creators:
            creator.join()
        same("how many there are", len(routes(space)), many + 1)
        same("whether some were left to write", told < many, True)
        cluster.await_true("that the second replica leads", lambda: leads(SECOND), timeout=60)
        lab.restart(FIRST)  # as a Deployment would; the proxy comes back to it, and it tells the leader what the proxy says
        cluster.await_true("that every route is told that it is in use", lambda: untold(space) == [], timeout=90)
        for i in range(0, many, 17):
            same(f"the status of /new/{i}", get(address, f"/new/{i}").status, 200)
        same("whether the first replica leads again", leads(FIRST), False)


def test_an_api_server_that_hangs_costs_no_request_and_changes_arrive_when_it_goes_on(space):
    address = shop(space)
    lab = space.lab
    with Load(address) as load:
        lab.kill("kube-apiserver", signal.SIGSTOP, wait=False)
        try:
            cluster.await_true("that nobody writes any more", lambda: not leads(FIRST), timeout=60)  # it renews no Lease
            load.more("after that")
        finally:
            lab.kill("kube-apiserver", signal.SIGCONT, wait=False)
        lab.await_api()
        mark(space, "after")
        cluster.await_true("the edit", marked(address, "after"), timeout=60)
        space.route("later", "edge", "web", path="/later")
        cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)


def test_a_token_that_is_no_longer_valid_costs_no_request_and_a_new_one_is_taken_up(space):
    address = shop(space)
    lab = space.lab
    space.kubectl("create", "serviceaccount", "control")
    lab.kubectl("create", "clusterrolebinding", space.name, "--clusterrole=cluster-admin", f"--serviceaccount={space.name}:control")
    token, config = lab.folder / "control.token", json.loads(lab.kubeconfig.read_text())

    def issue(bound):
        space.kubectl("create", "secret", "generic", bound)
        fresh = lab.folder / "control.token.new"
        fresh.write_text(space.kubectl("create", "token", "control", "--bound-object-kind=Secret", f"--bound-object-name={bound}"))
        fresh.rename(token)
    issue("first")
    config["users"][0]["user"] = {"tokenFile": str(token)}
    kubeconfig = lab.folder / "control.kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    try:
        with behind_a_wire(lab, kubeconfig) as wire, Load(address) as load:
            mark(space, "first")
            cluster.await_true("an edit, read with the first token", marked(address, "first"))
            space.kubectl("delete", "secret", "first")  # an hour is the shortest that a token may last: this ends it now

            def told():
                wire.cut()  # a server may let a watch live on that has begun with it
                return "401" in lost()
            cluster.await_true("word of it", told, timeout=60, pause=1)
            mark(space, "second")
            load.more("without a token")
            issue("second")
            cluster.await_true("the edit, read with the second token", marked(address, "second"), timeout=60)
            cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)
    finally:
        lab.kubectl("delete", "clusterrolebinding", space.name)
