"""Our chart in the laboratory: installed by Helm itself, its pods run by the node with the very programs of the build."""
import contextlib
import json
import os
import re
import subprocess

import cluster

CHART = cluster.ROOT / "helm/fairlead"
NS = "fairlead-system"


class Release:
    def __init__(self, lab):
        self.lab = lab

    def helm(self, *words):
        if "LAB_HELM" not in os.environ:
            raise cluster.Failed("there is no Helm here: tests/lab/run --helm")
        home = self.lab.folder / "helm"
        return cluster.run(os.environ["LAB_HELM"], *words, "-n", NS, env={**self.lab.environment(), "HELM_CACHE_HOME": str(home), "HELM_CONFIG_HOME": str(home), "HELM_DATA_HOME": str(home)})

    def install(self, *words):
        self.lab.images()
        self.lab.kubectl("create", "namespace", NS)
        self.lab.kubectl("label", "namespace", NS, "pod-security.kubernetes.io/enforce=restricted")  # as docs/kubernetes.md says that it may be
        return self.helm("install", "fairlead", CHART, "--wait", "--timeout", f"{int(90 * cluster.PATIENCE)}s", *words)

    def pods(self):
        """Pods of the control plane that are not ending."""
        pods = self.lab.kubectl("-n", NS, "get", "pods", "-l", "app.kubernetes.io/component=control", "-o", "json")
        return [p for p in json.loads(pods)["items"] if "deletionTimestamp" not in p["metadata"]]

    def leader(self):
        holder = self.lab.get("lease/fairlead-control", NS)["spec"].get("holderIdentity") or ""
        return holder.rpartition("_")[0]

    @contextlib.contextmanager
    def forwarded(self, pod):
        """kubectl port-forward to the admin address of a pod, which is loopback's; yields HOST:PORT."""
        process = subprocess.Popen([cluster.LAB / "kubectl", "-n", NS, "port-forward", f"pod/{pod}", ":18001"], stdout=subprocess.PIPE, text=True, env=self.lab.environment())
        try:
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:\d+", line)
            if not found:
                raise cluster.Failed(f"kubectl port-forward said {line!r}")
            yield found[0]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def nodes(self, server):
        """The proxies that a replica serves."""
        return {p["node"] for p in json.loads(cluster.run(cluster.BIN / "fairlead", "--server", server, "status", "-o", "json"))["proxies"]}
