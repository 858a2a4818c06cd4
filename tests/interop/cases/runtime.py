"""The runtime's layers by /runtime and /runtime_modify: the same changes to Envoy and to fairlead-proxy, what each answers, shows and counts."""
import json

import lab as labs

LAYERS = {"layers": [{"name": "static", "static_layer": {"a": 1, "b": {"c": "text", "d": True, "e": 1.5}, "envoy.reloadable_features.x": False, "s": "12", "t": "true"}},
                     {"name": "other", "static_layer": {"a": 2, "z": 9}}, {"name": "admin", "admin_layer": {}}]}
CHANGES = ["?a=5&n=x&b.c=7", "?a=", "?nobody", "?nobody=", "?%20x=1%202", "?b.c=true", "?n=&b.c="]
# The layers are read twice when Envoy starts.
LOADS = ("load_success", "override_dir_not_exists")


def observe(lab, kind, name, runtime):
    admin = labs.free_port()
    address = f"127.0.0.1:{admin}"
    config = lab.write(f"{kind}-{name}.json", json.dumps({"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}, **runtime}))
    process = lab.proxy(kind, config, address)
    seen = {}

    def look(step, reply=None):
        shown = labs.get(address, "/runtime")
        seen[step] = (reply and (reply.status, reply.body), shown.status, json.loads(shown.body))

    look("at first")
    look("a GET", labs.get(address, "/runtime_modify?a=7"))
    look("nothing", labs.get(address, "/runtime_modify", "POST"))
    for change in CHANGES:
        look(change, labs.get(address, f"/runtime_modify{change}", "POST"))
    look("a form", labs.get(address, "/runtime_modify", "POST", {"content-type": "application/x-www-form-urlencoded"}, b"k=v&w=3"))
    stats = [line for line in labs.get(address, "/stats?filter=^runtime\\.").body.decode().splitlines() if not any(word in line for word in LOADS)]
    seen["statistics"] = sorted(stats)
    lab.stop(process)
    return seen


def run(lab):
    wrong, steps = [], 0
    for name, runtime in {"layers": {"layered_runtime": LAYERS}, "without-admin": {"layered_runtime": {"layers": LAYERS["layers"][:2]}}, "empty": {"layered_runtime": {}}, "none": {}}.items():
        theirs, ours = observe(lab, "envoy", name, runtime), observe(lab, "fairlead", name, runtime)
        steps += len(theirs)
        wrong += [f"{name}, {step}:\n  Envoy    {theirs[step]}\n  Fairlead {ours[step]}" for step in theirs if theirs[step] != ours[step]]
    if wrong:
        raise labs.Failed(f"{len(wrong)} of {steps} differ:\n" + "\n".join(wrong))
    print(f"  {steps} steps alike")
