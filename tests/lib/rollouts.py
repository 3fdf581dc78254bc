"""What the tests of rollouts share: a control plane with a kubelet and a registry, workloads with a trigger each, the shipped deploy as a service
account that may what `pushwright rbac` says."""
import contextlib
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from kube import Cluster, workload
from kubelet import TICK, Kubelet, Run, requested
from pushwright import BIN, registry, temporary_directory, wait_until
from trigger_test import put_image

PATHS = {"Deployment": "/apis/apps/v1/namespaces/{}/deployments", "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
         "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets", "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
         "Service": "/apis/serving.knative.dev/v1/namespaces/{}/services"}
shared = contextlib.ExitStack()  # what ends with the program
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


def the_world():
    """One for all tests."""
    global world
    world = world or World()
    return world


class Place:
    """One workload, and the configuration that has a trigger for it."""

    def __init__(self, body=None, targets=None, permitted=True, **settings):
        world = the_world()
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
        self.first = f"{world.host}/acme/web:first"
        self.body = {**(body or workload(self.name, self.first)), "metadata": {"name": self.name, **(body or {}).get("metadata", {})}}
        self.make()

    def make(self):
        self.cluster.create(self.path, json.loads(json.dumps(self.body).replace("NAME", self.name).replace("FIRST", self.first)))

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

    def begin(self, identity, image, sequence=None, environment=None, prefix=(), **more):
        return Run(self.config, requested(identity, image, self.name, sequence=sequence, **more), prefix, **(environment or {}))

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
        wait_until(up, 30, f"{self.kind} {self.name} to be up")
        return self

    def revision(self, wanted):
        """How often a Deployment's pods were to be others, the first time too."""
        def seen():
            found = self.get()
            metadata = found["metadata"]
            return found["status"].get("observedGeneration") == metadata["generation"] and metadata["annotations"]["deployment.kubernetes.io/revision"]
        revision = wait_until(seen, 30, "the controller to have seen it")
        assert revision == str(wanted), f"revision {revision} instead of {wanted}"
        return True

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
