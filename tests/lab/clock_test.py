"""Clocks that are wrong: of the control plane beside the API server's and the proxies', and of replicas beside one another."""
import datetime

import cluster
from faults import FIRST, SECOND, Clock, Load, behind_a_wire, leads, lease, lost, mark, marked, second_replica, untold
from space import await_answer, same, shop

NEEDS_DATA_PLANE = True
HOURS = 5
RENEWALS = datetime.timedelta(seconds=20)  # the Lease lasts 15


def renewed(record):
    return datetime.datetime.fromisoformat(record["renewTime"])


def hours_off(lab):
    """By how much the clock is wrong of who has renewed the Lease last, in whole hours."""
    return round((renewed(lease(lab)) - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 3600)


def await_renewals(lab):
    """Waits while the holder renews the Lease for longer than another waits for it, by its holder's own clock; the holder must stay."""
    first = lease(lab)
    last = cluster.await_true("renewals", lambda: (r := lease(lab)) and (r["holderIdentity"] != first["holderIdentity"] or renewed(r) > renewed(first) + RENEWALS) and r, timeout=60, pause=0.5)
    same("the holder of the Lease", (last["holderIdentity"], last["leaseTransitions"]), (first["holderIdentity"], first["leaseTransitions"]))


def test_a_clock_that_is_set_hours_ahead_and_hours_back_costs_no_request_and_no_leadership(space):
    address, lab = shop(space), space.lab
    clock = Clock(lab)
    with behind_a_wire(lab, before=clock.before) as wire, Load(address) as load:
        cluster.await_true("that it leads", lambda: leads(FIRST), timeout=60)
        holder = lease(lab)["holderIdentity"]
        for hours in (HOURS, -HOURS):
            clock.set(hours)
            cluster.await_true(f"a Lease renewed {hours} hours off", lambda: hours_off(lab) == hours)
            mark(space, f"at {hours}")
            cluster.await_true(f"an edit with a clock {hours} hours off", marked(address, f"at {hours}"))
            space.route(f"made-{hours % 24}", "edge", "web", path=f"/made/{hours}")
            await_answer("a route made then", address, f"/made/{hours}")
            cluster.await_true("that every route is told so", lambda: untold(space) == [])
        same("the holder of the Lease", lease(lab)["holderIdentity"], holder)

        # The API server's certificate begins an hour before the server: to a clock that is behind it is not valid yet, and who says that he is the server need not be.
        wire.cut()
        cluster.await_true("word of the certificate", lambda: "certificate" in lost(), timeout=60)
        mark(space, "meanwhile")
        load.more("without an API server that can be trusted")
        clock.set(0)
        cluster.await_true("the edit, once the clock is right", marked(address, "meanwhile"), timeout=60)
        cluster.await_true("that it leads again", lambda: leads(FIRST), timeout=60)
        cluster.await_true("that nothing is lost any more", lambda: lost() == "", timeout=60)


def test_replicas_whose_clocks_are_hours_apart_have_one_leader_at_a_time_and_follow_one_another(space):
    address, lab = shop(space), space.lab
    ahead = Clock(lab, HOURS)
    cluster.await_true("that the first replica leads", lambda: leads(FIRST), timeout=60)
    with second_replica(lab, ahead.before), Load(address):
        await_renewals(lab)  # to the second they are hours old
        same("who leads", (leads(FIRST), leads(SECOND)), (True, False))
        lab.kill(FIRST)
        cluster.await_true("that the second replica leads", lambda: leads(SECOND), timeout=60)
        same("by how many hours its renewals are off", hours_off(lab), HOURS)
        lab.restart(FIRST)
        mark(space, "first")
        cluster.await_true("an edit", marked(address, "first"), timeout=60)
        await_renewals(lab)  # to the first they are in the future
        cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)
        same("who leads", (leads(FIRST), leads(SECOND)), (False, True))
        lab.kill(SECOND)  # what it wrote last stays in the future for hours
        cluster.await_true("that the first replica leads", lambda: leads(FIRST), timeout=60)
        space.route("later", "edge", "web", path="/later")
        cluster.await_true("that every route is told so", lambda: untold(space) == [], timeout=60)
