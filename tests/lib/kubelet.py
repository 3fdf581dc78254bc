"""What a kubelet would report of pods, written through the API; and the deploy function, run for one signed event at a time."""
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import ssl
import subprocess
import threading
import time

from pushwright import BIN

CHAIN_KEY = "k" * 32


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def report(pod, fate):
    """The status that a pod has, with every container: up, unready, crashing, or unable to pull."""
    up = fate == "up"
    states = {"up": {"running": {"startedAt": now()}}, "unready": {"running": {"startedAt": now()}},
              "missing": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image: manifest unknown: not found"}},
              "crashing": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}}
    last = {"terminated": {"exitCode": 3, "reason": "Error", "startedAt": now(), "finishedAt": now()}} if fate == "crashing" else {}
    conditions = [{"type": kind, "status": "True" if up else "False", "lastTransitionTime": now()} for kind in ("Ready", "ContainersReady")]
    return {"phase": "Running" if fate != "missing" else "Pending", "conditions": [*conditions, {"type": "Initialized", "status": "True"}],
            "containerStatuses": [{"name": c["name"], "image": c["image"], "imageID": "", "ready": up, "started": up, "state": states[fate],
                                   "lastState": last, "restartCount": 5 if fate == "crashing" else 0} for c in pod["spec"]["containers"]]}


class Kubelet:
    """Of every node at once. `fates` has what becomes of pods by a part of their images' names; None: nobody looks after them."""

    def __init__(self, cluster, namespace="default", node="node-1"):
        self.cluster, self.namespace, self.node = cluster, namespace, node
        self.fates, self.told, self.over = {}, {}, threading.Event()
        cluster.ask("POST", "/api/v1/nodes", {"metadata": {"name": node}}, fine=(201, 409))
        cluster.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": None}})  # "not ready", which nobody takes back
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.over.set()
        self.thread.join()

    def fate(self, pod):
        image = " ".join(c["image"] for c in pod["spec"]["containers"])
        return next((fate for part, fate in self.fates.items() if part in image), "up")

    def ask(self, connection, method, path, body=None, content_type="application/json"):
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": content_type})
        answer = connection.getresponse()
        return json.loads(answer.read() or b"{}")

    def run(self):
        while not self.over.wait(0.1):
            connection = http.client.HTTPSConnection("127.0.0.1", self.cluster.port, timeout=10, context=self.cluster.context)
            with contextlib.suppress(OSError, http.client.HTTPException, ssl.SSLError, ValueError, KeyError):
                while not self.over.wait(0.1):
                    self.look(connection)
            connection.close()

    def look(self, connection):
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        for pod in self.ask(connection, "GET", pods)["items"]:
            path, fate = f"{pods}/{pod['metadata']['name']}", self.fate(pod)
            if "deletionTimestamp" in pod["metadata"]:
                self.ask(connection, "DELETE", f"{path}?gracePeriodSeconds=0")
            elif fate and self.told.get(pod["metadata"]["uid"]) != fate:
                if pod["metadata"].get("ownerReferences", [{}])[0].get("kind") == "DaemonSet" and "nodeName" not in pod["spec"]:
                    self.ask(connection, "POST", f"{path}/binding", {"target": {"apiVersion": "v1", "kind": "Node", "name": self.node},
                                                                     "metadata": {"name": pod["metadata"]["name"]}})
                said = self.ask(connection, "PATCH", f"{path}/status", {"status": report(pod, fate)}, "application/strategic-merge-patch+json")
                if said.get("kind") == "Pod":
                    self.told[pod["metadata"]["uid"]] = fate


def signed(event, key=CHAIN_KEY):
    """The text of a structured event with our signature (runtime/signature.h)."""
    data = json.dumps(event["data"])
    attributes = {name: value for name, value in event.items() if name != "data"}
    covered = "v1" + "".join(f"{name}={len(value)}:{value}\n" for name, value in sorted(attributes.items())) + f"{len(data)}:{data}"
    code = base64.b64encode(hmac.new(key.encode(), covered.encode(), hashlib.sha256).digest()).decode()
    return json.dumps({**attributes, "pushwrightsig": "v1," + code})[:-1] + f', "data": {data}}}'


def requested(identity, image, trigger, target=0, sequence=None, at="2026-09-01T12:00:00Z", key=CHAIN_KEY, **custom):
    """deploy.requested, signed. `image` is name:tag@digest."""
    kind = "dev.cdeventsx.pushwright-deploy.requested.0.1.0"
    if sequence:
        custom = {"sequence": f"{sequence:015}", "commit": hashlib.sha1(str(sequence).encode()).hexdigest(), **custom}
    custom = {"trigger": trigger, "target": target, "image": image, **custom}
    return signed({"specversion": "1.0", "id": identity, "source": "/test", "type": kind, "time": at, "datacontenttype": "application/json",
                   "data": {"context": {"specversion": "0.5.1", "id": identity, "source": "/test", "type": kind, "timestamp": at},
                            "subject": {"id": "somewhere", "content": {}}, "customData": custom}}, key)


TICK = json.dumps({"specversion": "1.0", "id": "tick", "source": "/clock", "type": "dev.knative.sources.ping"})


class Run:
    """The shipped deploy with one event."""

    def __init__(self, config, event, prefix=(), **environment):
        settings = {"PUSHWRIGHT_CONFIG": str(config), "PUSHWRIGHT_CHAIN_KEY": CHAIN_KEY, "PATH": os.environ["PATH"], **environment}
        self.child = subprocess.Popen([*prefix, str(BIN / "deploy"), "--event", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, env=settings)
        self.child.stdin.write(event)
        self.child.stdin.close()
        self.child.stdin = None

    def kill(self):
        self.child.kill()
        self.child.communicate()

    def end(self, code=0, seconds=120):
        """The events that it gave; of a failure what it said."""
        output, said = self.child.communicate(timeout=seconds)
        assert self.child.returncode == code, f"exit {self.child.returncode} instead of {code}: {output}{said}"
        return [json.loads(line) for line in output.splitlines()] if code == 0 else said
