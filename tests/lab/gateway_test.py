"""Gateways of the cluster, served by fairlead-control from the API server and by one proxy each."""
import signal

import cluster
from faults import Load, untold
from space import address_of, await_answer, get, name_of, require, same, shop

NEEDS_DATA_PLANE = True


def test_objects_applied_by_kubectl_are_served_at_the_gateways_address(space):
    pods = space.deploy("web", replicas=2)
    space.service("web")
    address = space.gateway("edge")
    space.route("web", "edge", "web", path="/shop")
    await_answer("an answer of the route", address, "/shop/cart")
    same("who answers", {get(address, "/shop").json["pod"] for _ in range(40)}, {name_of(p) for p in pods})
    same("what no route covers", get(address, "/elsewhere").status, 404)


def test_gateways_with_the_same_port_have_addresses_of_their_own(space):
    for name in ("one", "two"):
        space.deploy(name)
        space.service(name)
    first, second = space.gateway("one"), space.gateway("two")
    require(first != second, f"both Gateways have {first}")
    space.route("one", "one", "one")
    space.route("two", "two", "two")
    for name, address in (("one", first), ("two", second)):
        told = await_answer(f"an answer of {name}", address).json
        require(told["pod"].startswith(f"{name}-"), f"at the address of {name} answers {told['pod']}")
    space.kubectl("delete", "gateway", "one")
    cluster.await_true("the end of the first Gateway's proxy", lambda: unreachable(first))
    same("the other Gateway", get(second).status, 200)


def unreachable(address):
    try:
        get(address, timeout=1)
        return False
    except OSError:
        return True


def test_a_deleted_pod_gets_no_more_requests_and_its_successor_does(space):
    old = space.deploy("web", replicas=2)
    space.service("web")
    address = space.gateway("edge")
    space.route("web", "edge", "web")
    await_answer("an answer", address)
    gone = name_of(old[0])
    space.kubectl("delete", "pod", gone, "--wait=false")
    new = {name_of(p) for p in cluster.await_true("the successor", lambda: [p for p in space.ready_pods("web", 2)])}
    require(gone not in new, f"{gone} is still there")
    cluster.await_true("answers of the new pods alone", lambda: {get(address).json.get("pod") for _ in range(20)} == new)
    for _ in range(50):
        same("the status", get(address).status, 200)


def test_an_api_server_that_is_killed_costs_no_request_and_changes_arrive_once_it_is_back(space):
    address = shop(space)
    with Load(address) as load:
        space.lab.kill("kube-apiserver", signal.SIGKILL)
        load.more("without an API server")
        space.lab.restart("kube-apiserver")
        space.lab.await_api()
        space.deploy("later")
        space.service("later")
        space.route("later", "edge", "later", path="/later")
        # until then the route of everything has it
        cluster.await_true("an answer of what came after", lambda: await_answer("an answer", address, "/later").json["pod"].startswith("later-"))
        cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)


def test_fairlead_control_that_is_killed_costs_no_request(space):
    address = shop(space)
    with Load(address) as load:
        space.lab.kill("fairlead-control", signal.SIGKILL)
        load.more("without a control plane")
        space.lab.restart("fairlead-control")
        space.route("other", "edge", "web", path="/again")
        await_answer("an answer of the new route", address, "/again")
        cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)
