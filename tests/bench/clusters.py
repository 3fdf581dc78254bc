"""Deployments on Kubernetes against kubectl on the same API server, memory while rollouts are watched, and thousands of triggers for one event."""
import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from kube import Cluster, workload
from kubelet import CHAIN_KEY, requested, signed
from pushwright import BIN, http as ask_http, registry, temporary_directory, wait_until
from table import median
from tools import function, next_hop, resident_bytes
from trigger_test import put_image, purl

ROUNDS, WATCHED, TRIGGERS = 15, 200, 10000
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


class Connections:
    """In between a client and a port, counting how often somebody connects."""

    def __init__(self, port):
        self.count, self.target = 0, port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.count += 1
                server = socket.create_connection(("127.0.0.1", self.target))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self.carry, args=(one, other), daemon=True).start()

    @staticmethod
    def carry(source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)


class Seen:
    """When a Deployment's image was first seen by somebody who watches it."""

    def __init__(self, cluster, name):
        self.times = {}
        connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=cluster.context)
        connection.request("GET", f"{DEPLOYMENTS}?watch=true&fieldSelector=metadata.name%3D{name}")
        threading.Thread(target=self.watch, args=(connection.getresponse(),), daemon=True).start()

    def watch(self, answer):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            for line in answer:
                image = json.loads(line)["object"]["spec"]["template"]["spec"]["containers"][0]["image"]
                self.times.setdefault(image, time.monotonic())

    def after(self, image, began):
        """Milliseconds from `began`."""
        wait_until(lambda: image in self.times, 30, f"{image} to be seen")
        return (self.times[image] - began) * 1000


def run(argv, text=None, **environment):
    """When it began, and the milliseconds of processor that it took, its start included."""
    began = time.monotonic()
    child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"], **environment})
    child.stdin.write((text or "").encode())
    child.stdin.close()
    said = child.stdout.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {child.returncode}: {said[-800:]}")
    return began, (used.ru_utime + used.ru_stime) * 1000


class Place:
    def __init__(self, directory, cluster, host):
        self.directory, self.cluster, self.host = directory, cluster, host
        self.config, self.number = directory / "pushwright.json", 0

    def write(self, names, kubeconfig):
        self.config.write_text(json.dumps({
            "clusters": [{"name": "test", "kubeconfig": {"file": str(kubeconfig)}}],
            "triggers": [{"name": name, "image": f"{self.host}/acme/web", "when": {"tags": "all"},
                          "deploy": [{"cluster": "test", "workload": name, "container": "web"}]} for name in names]}))

    def image(self):
        self.number += 1
        tag = f"t{self.number}"
        return f"{self.host}/acme/web:{tag}@{put_image(self.host, 'acme/web', tag, tag)}"

    def make(self, name, **spec):
        body = workload(name, f"{self.host}/acme/web:first")
        body["spec"].update(spec)
        self.cluster.create(DEPLOYMENTS, body)

    def deploy(self, name, image, identity):
        return run([BIN / "deploy", "--event", "-"], requested(identity, image, name), PUSHWRIGHT_CONFIG=str(self.config), PUSHWRIGHT_CHAIN_KEY=CHAIN_KEY)

    def stands(self, name):
        return self.cluster.get(f"{DEPLOYMENTS}/{name}")["spec"]["template"]["spec"]["containers"][0]["image"]


def against_kubectl(table, place, admin):
    place.make("paused", paused=True)  # there is nothing to wait for: both end with the patch
    place.write(["paused"], admin)
    kubectl = [place.cluster.programs / "kubectl", f"--kubeconfig={admin}", "set", "image", "deployment/paused"]
    ours, theirs, seen = [], [], Seen(place.cluster, "paused")
    for number in range(ROUNDS + 2):
        image = place.image()
        began, cpu = place.deploy("paused", image, f"event-{number}")
        ours.append((seen.after(image, began), cpu))
        image = place.image()
        began, cpu = run([*kubectl, f"web={image}"], HOME=str(place.directory))
        theirs.append((seen.after(image, began), cpu))
    table.share("an event until the object is patched, process start included: CPU; median of 15", median([cpu for _, cpu in ours[2:]]),
                median([cpu for _, cpu in theirs[2:]]), 10, "ms", 1)
    table.share("the same: wall time until one who watches sees the patched object", median([wall for wall, _ in ours[2:]]), median([wall for wall, _ in theirs[2:]]), 4, "ms", 1)
    between = Connections(place.cluster.port)
    place.write(["paused"], place.cluster.kubeconfig("between", server=f"https://127.0.0.1:{between.port}",
                                                     **place.cluster.certificate("admin", organization="system:masters")))
    place.deploy("paused", place.image(), "counted")
    table.at_most("the same: TLS handshakes with the API server", between.count, 1, "")


def watching(table, place, admin, names):
    """Nothing of them comes up: there is no controller. Each is asked for, and watched."""
    place.write(names, admin)
    with next_hop(None) as hop, function("deploy", place.config, f"http://127.0.0.1:{hop}/") as (port, pid):
        image, answers = place.image(), []

        def ask(name):
            with contextlib.suppress(OSError):
                event = requested(f"watch-{name}-{len(names)}", image, name, key="0" * 64)
                answers.append((name, ask_http("POST", f"http://127.0.0.1:{port}/", event.encode(), {"Content-Type": "application/cloudevents+json"}, seconds=600).status))
        threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(place.stands(name) == image for name in names) or answers, 300, "every rollout to be watched")
        time.sleep(3)
        if answers:
            raise RuntimeError(f"not watched: {answers[:5]}")
        return resident_bytes(pid) / 1e6


def many_triggers(table, directory, host):
    """Of one image, none of which wants the tag."""
    digest = put_image(host, "acme/many", "many", "main-1")
    kind, took = "dev.cdevents.artifact.published.0.3.0", {}
    for count in (1, TRIGGERS):
        config = directory / f"triggers-{count}.json"
        config.write_text(json.dumps({"triggers": [
            {"name": f"t{n}", "image": f"{host}/acme/many", "when": {"glob": f"release-{n}-*"}, "deploy": [{"cluster": "local", "workload": f"w{n}"}]}
            for n in range(count)]}))
        with next_hop(None) as hop, function("trigger", config, f"http://127.0.0.1:{hop}/") as (port, _):
            times = []
            for number in range(ROUNDS + 3):
                event = signed({"specversion": "1.0", "id": f"{count}-{number}", "source": "/test", "type": kind, "datacontenttype": "application/json",
                                "data": {"context": {"specversion": "0.5.1", "id": f"{count}-{number}", "source": "/test", "type": kind,
                                                     "timestamp": "2026-09-01T12:00:00Z"},
                                         "subject": {"id": purl(host, "acme/many", digest, "main-1"), "content": {}},
                                         "customData": {"tags": ["main-1"]}}}, key="0" * 64)
                began = time.monotonic()
                answer = ask_http("POST", f"http://127.0.0.1:{port}/", event.encode(), {"Content-Type": "application/cloudevents+json"})
                times.append((time.monotonic() - began) * 1000)
                if answer.status not in (200, 202):
                    raise RuntimeError(f"{answer.status} {answer.text[:300]}")
            took[count] = median(times[3:])
    table.add("an event of an image with one trigger", f"{took[1]:.1f} ms")
    table.at_most(f"the same with {TRIGGERS} triggers of it: what that takes longer", took[TRIGGERS] - took[1], 10, "ms", 1)


def clusters(table, directory):
    with registry(directory / "registry") as host, temporary_directory() as place:
        many_triggers(table, place, host)
        cluster = Cluster(place)
        try:
            cluster.start()
            admin = cluster.kubeconfig("bench", **cluster.certificate("admin", organization="system:masters"))
            here = Place(place, cluster, host)
            against_kubectl(table, here, admin)
            names = [f"w{number}" for number in range(WATCHED)]
            for name in names:
                here.make(name)
            table.at_most("`deploy`, resident while it watches a rollout", watching(table, here, admin, names[:1]), 3, "MB", 2)
            table.at_most(f"`deploy`, resident while it watches {WATCHED} rollouts", watching(table, here, admin, names), 16, "MB", 2)
        finally:
            cluster.stop()
