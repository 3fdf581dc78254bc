#!/usr/bin/env python3
"""The shipped deploy against a real control plane: kube-apiserver, etcd and the controllers of workloads, as the service account whose permissions
`pushwright rbac` prints. What a kubelet would say of pods, a thread of the test does."""
import contextlib
import json
import pathlib
import subprocess
import sys
import time

for folder in ("lib", "integration"):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / folder))
from kube import MERGE, Cluster, workload
from kubelet import TICK, Kubelet, Run, requested
from pushwright import BIN, registry, run_tests, temporary_directory, wait_until
from trigger_test import put_image

PATHS = {"Deployment": "/apis/apps/v1/namespaces/{}/deployments", "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
         "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets", "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
         "Service": "/apis/serving.knative.dev/v1/namespaces/{}/services"}
shared = contextlib.ExitStack()
world = None


class World:
    """A control plane with its kubelet, a registry, and the service account of deploy."""

    def __init__(self):
        self.directory = shared.enter_context(temporary_directory())
        self.host = shared.enter_context(registry(self.directory / "registry"))
        self.cluster = Cluster(self.directory)
        shared.callback(self.cluster.stop)
        self.cluster.start()
        self.cluster.start_controllers()
        self.kubelet = Kubelet(self.cluster)
        shared.callback(self.kubelet.stop)
        self.images, self.number = {}, 0

    def image(self, tag, repository="acme/web"):
        """name:tag@digest of an image that is there; another one of the same tag later."""
        self.number += 1
        return f"{self.host}/{repository}:{tag}@{put_image(self.host, repository, f'{tag} {self.number}', tag)}"


class Place:
    """One workload, and the configuration that has a trigger for it."""

    def __init__(self, body=None, targets=None, permitted=True, **settings):
        global world
        world = world or World()
        self.world, self.cluster = world, world.cluster
        world.number += 1
        self.name = f"web-{world.number}"
        self.kind = (body or {}).get("kind", "Deployment")
        self.path = PATHS.get(self.kind, settings.pop("at", "")).format("default")
        self.config = world.directory / f"{self.name}.json"
        self.target = {"cluster": "test", "kind": self.kind, "workload": self.name, "container": "web", **settings}
        self.target = {name: value for name, value in self.target.items() if value is not None}
        self.write()
        if permitted:
            self.permit()
        first = f"{world.host}/acme/web:first"
        self.body = {**(body or workload(self.name, first)), "metadata": {"name": self.name, **(body or {}).get("metadata", {})}}
        self.cluster.create(self.path, json.loads(json.dumps(self.body).replace("NAME", self.name).replace("FIRST", first)))

    def write(self, kubeconfig=None, **trigger):
        kubeconfig = kubeconfig or self.cluster.kubeconfig("deploy", tokenFile="deploy.token")
        self.config.write_text(json.dumps({
            "clusters": [{"name": "test", "kubeconfig": {"file": str(kubeconfig)}}],
            "triggers": [{"name": self.name, "image": f"{self.world.host}/acme/web", "when": {"tags": "all"}, "deploy": [self.target], **trigger}]}))

    def permit(self):
        """What `pushwright rbac` says, and nothing else, to an account of its own."""
        said = subprocess.run([str(BIN / "pushwright"), "rbac", "--cluster", "test", "--account", f"default/{self.name}", str(self.config)],
                              check=True, capture_output=True, text=True).stdout
        kubectl = [str(self.cluster.programs / "kubectl"), f"--kubeconfig={self.cluster.directory}/admin.kubeconfig"]
        subprocess.run([*kubectl, "apply", "-f", "-"], input=said, check=True, capture_output=True, text=True)
        (self.cluster.directory / "deploy.token").write_text(self.cluster.token(self.name))

    def begin(self, identity, image, sequence=None, **more):
        return Run(self.config, requested(identity, image, self.name, sequence=sequence, **more))

    def deploy(self, identity, image, sequence=None, code=0, **more):
        return self.begin(identity, image, sequence, **more).end(code)

    def tick(self):
        return Run(self.config, TICK).end()

    def fates(self, **fates):
        """Of pods whose image has such a tag."""
        self.world.kubelet.fates = {f":{tag}@": fate for tag, fate in fates.items()}

    def get(self):
        return self.cluster.get(f"{self.path}/{self.name}")

    def marks(self):
        return {name.removeprefix("pushwright.dev/"): value for name, value in (self.get()["metadata"].get("annotations") or {}).items()}

    def stands(self):
        """The image of the container that is meant."""
        spec = self.get()["spec"]
        pods = (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]["spec"]
        return next(c["image"] for c in pods["containers"] + pods.get("initContainers", []) if c["name"] == self.target.get("container", "web"))

    def settled(self):
        """What was made first is up."""
        def up():
            status = self.get().get("status", {})
            return status.get("observedGeneration") and status.get("availableReplicas", status.get("numberAvailable", 0)) > 0
        wait_until(up, 60, f"{self.name} to be up")
        return self

    def events(self):
        """(type, reason, note) of what the cluster's users see."""
        found = self.cluster.get("/apis/events.k8s.io/v1/namespaces/default/events")["items"]
        return [(e["type"], e["reason"], e["note"]) for e in found
                if e.get("regarding", {}).get("name") == self.name and e.get("reportingController") == "pushwright.dev/deploy"]


def kinds(events):
    return [event["type"].split(".", 2)[2].rsplit(".", 3)[0] for event in events]


def reason(events):
    assert kinds(events) == ["pushwright-decision.skipped"], events
    return events[0]["data"]["subject"]["content"]["reason"]


def changed(before, after, path=""):
    """Paths of what differs, without what the server counts."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(set(before) | set(after))
        return [p for name in names if name not in ("managedFields", "resourceVersion", "generation", "status")
                for p in changed(before.get(name), after.get(name), f"{path}/{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [p for number, pair in enumerate(zip(before, after)) for p in changed(*pair, f"{path}/{number}")]
    return [] if before == after else [path]


def only_ours(before, after, image):
    """Nothing but the image and our annotations of the object itself has changed."""
    paths = changed(before, after)
    assert image in paths, paths
    strange = [p for p in paths if p != image and not p.startswith("/metadata/annotations/pushwright.dev/")
               and p not in ("/metadata/annotations/kubernetes.io/change-cause", "/metadata/annotations")
               and not p.startswith("/metadata/annotations/deployment.kubernetes.io/") and not p.startswith("/metadata/annotations/deprecated.daemonset")]
    assert not strange, strange


# ---- what goes well ----

def an_image_is_deployed_and_told_when_it_is_up():
    place = Place().settled()
    before, image = place.get(), place.world.image("v1")
    events = place.deploy("e1", image, 100)
    assert kinds(events) == ["service.upgraded"], events
    told = events[0]["data"]
    assert image.split("@")[1].replace(":", "%3A") in told["subject"]["content"]["artifactId"], told
    assert told["customData"]["durationMs"] > 0 and "tag=first" in told["customData"]["previousArtifactId"], told
    after = place.get()
    only_ours(before, after, "/spec/template/spec/containers/0/image")
    assert place.stands() == image and after["status"]["updatedReplicas"] == after["status"]["availableReplicas"] == 1
    marks = place.marks()
    assert marks["image"] == image and marks["told"] == marks["event"] == "e1" and image in marks["kubernetes.io/change-cause"], marks
    assert place.events() == [("Normal", "Deployed", f"{image} by trigger '{place.name}'")], place.events()


def a_redelivery_does_nothing_twice():
    place = Place().settled()
    image = place.world.image("v1")
    first = place.deploy("e1", image, 100)
    before = place.get()
    again = place.deploy("e1", image, 100)
    assert [e["id"] for e in again] == [e["id"] for e in first] and kinds(again) == kinds(first)
    assert "already" in reason(place.deploy("e2", image, 100))
    assert changed(before, place.get()) == []
    assert len(place.events()) == 1


def what_is_older_is_refused():
    place = Place().settled()
    old, new = place.world.image("v1"), place.world.image("v2")
    place.deploy("e2", new, 200)
    assert "newer push" in reason(place.deploy("e1", old, 100)) and place.stands() == new
    assert kinds(place.deploy("e3", old, 100, person="ann")) == ["service.upgraded"], "a person wins"
    assert place.stands() == old and place.marks()["person"] == "ann"


if __name__ == "__main__":
    with shared:
        run_tests([an_image_is_deployed_and_told_when_it_is_up, a_redelivery_does_nothing_twice, what_is_older_is_refused])
