#!/usr/bin/env python3
"""The client of Kubernetes against the real API server: who asks, what is patched and what is not, watches that outlive what happens to them."""
import contextlib
import http.server
import json
import os
import pathlib
import queue
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from kube import STRATEGIC, Cluster, Kubelet, pod_status, workload
import loopback
from pushwright import BIN, Skip, run_tests, temporary_directory, wait_until

CLIENT = BIN.parent / "tests/conformance/kube_client"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
WEB = {"kind": "Deployment", "namespace": "default", "name": "web"}
ANNOTATED = {"pushwright.dev/digest": "sha256:1"}


class Client:
    """The driver, one question after the other; a watch runs beside, its changes come from `changes`."""

    def __init__(self, *prefix, **environment):
        self.child = subprocess.Popen([*prefix, str(CLIENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      env={**os.environ, **environment})
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(json.loads(line)) for line in self.child.stdout], daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()

    def begin(self, do, **members):
        self.child.stdin.write(json.dumps({"do": do, **members}) + "\n")
        self.child.stdin.flush()

    def next(self, seconds=60):
        return self.lines.get(timeout=seconds)

    def until(self, wanted, seconds=60):
        """Lines up to the one for which wanted() is true."""
        lines = []
        while not lines or not wanted(lines[-1]):
            lines.append(self.next(seconds))
        return lines

    def end(self, seconds=60):
        """The changes that were told, and how it ended."""
        lines = self.until(lambda line: "ok" in line, seconds)
        return lines[:-1], lines[-1]

    def ask(self, do, fine=True, **members):
        self.begin(do, **members)
        answer = self.end()[1]
        assert answer["ok"] == fine, answer
        return answer


def opened(kubeconfig, **members):
    client = Client()
    client.ask("open", kubeconfig=str(kubeconfig), **members)
    return client


def refused(kubeconfig, question=None, **members):
    with Client() as client:
        client.begin("open", kubeconfig=str(kubeconfig), **members)
        answer = client.end()[1]
        return client.ask(fine=False, **(question or {"do": "get", **WEB})) if answer["ok"] else answer


shared = contextlib.ExitStack()
one = None


def cluster():
    """One for all tests; each begins with a Deployment "web" as it was."""
    global one
    if one is None:
        one = Cluster(shared.enter_context(temporary_directory()))
        shared.callback(one.stop)
        one.start()
    one.ask("DELETE", f"{DEPLOYMENTS}/web", fine=(200, 404))
    wait_until(lambda: one.http("GET", f"{DEPLOYMENTS}/web").status == 404, what="the Deployment to be gone")
    one.create(DEPLOYMENTS, workload("web"))
    return one


def lasting(found):
    """An object without what every change changes."""
    metadata = {k: v for k, v in found["metadata"].items() if k not in ("generation", "managedFields", "resourceVersion")}
    return {**found, "metadata": metadata}


# ---- who asks ----

def certificates_and_tokens_are_shown():
    c = cluster()
    for key in (("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), ("rsa:2048",)):
        files = c.certificate("ann", organization="system:masters", key=key)
        with opened(c.kubeconfig("files", **files)) as client:
            assert client.ask("get", **WEB)["object"]["metadata"]["name"] == "web"
    with opened(c.kubeconfig("token", token=c.token("deployer"), namespace="shop")) as client:
        answer = client.ask("get", fine=False, **WEB)
        assert answer["kind"] == "denied" and answer["code"] == 403, answer
        assert "get deployments.apps 'web' in namespace 'default': 403 Forbidden" in answer["error"], answer
        assert "'pushwright rbac' prints what is needed" in answer["error"], answer
    c.allow("deployer", [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"], "resourceNames": ["web"]}])
    with opened(c.kubeconfig("token", token=c.token("deployer"))) as client:
        wait_until(lambda: client.begin("get", **WEB) or client.end()[1]["ok"], what="the Role to count")
    wrong = refused(c.kubeconfig("wrong", token="nonsense"))
    assert wrong["code"] == 401 and "has it expired" in wrong["error"], wrong


def a_token_file_is_read_again():
    c = cluster()
    c.allow("reader", [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}])
    file = c.directory / "rotating"
    file.write_text(c.token("reader") + "\n")
    with opened(c.kubeconfig("rotating", tokenFile="rotating")) as client:
        wait_until(lambda: client.begin("get", **WEB) or client.end()[1]["ok"], what="the Role to count")
        file.write_text("expired")
        assert client.ask("get", fine=False, **WEB)["code"] == 401
        file.write_text(c.token("reader"))
        client.ask("get", **WEB)
        file.unlink()
        assert "the token for the cluster" in client.ask("get", fine=False, **WEB)["error"]


def the_server_must_be_who_it_should_be():
    c = cluster()
    admin = c.certificate("admin2", organization="system:masters")
    with opened(c.kubeconfig("named", cluster={"tls-server-name": "api.example.com"}, **admin)) as client:
        client.ask("get", **WEB)
    for members in ({"tls-server-name": "other.example.com"}, {"certificate-authority": None}):
        answer = refused(c.kubeconfig("distrusted", cluster=members, **admin))
        assert answer["kind"] == "denied" and "certificate is not trusted" in answer["error"], answer
    unsafe = c.kubeconfig("unsafe", cluster={"certificate-authority": None, "insecure-skip-tls-verify": True}, **admin)
    assert "would trust whoever answers" in refused(unsafe)["error"]
    with opened(unsafe, insecure=True) as client:
        client.ask("get", **WEB)


def a_pod_asks_as_its_service_account():
    c = cluster()
    if os.getuid() != 0:
        raise Skip("a place for the service account's files wants root")
    c.allow("pod", [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}])
    account = c.directory / "account"
    account.mkdir(exist_ok=True)
    (account / "token").write_text(c.token("pod"))
    (account / "namespace").write_text("default")
    shutil.copy(c.ca, account / "ca.crt")
    place = "mount -t tmpfs none /run && d=/run/secrets/kubernetes.io/serviceaccount && mkdir -p $d && cp \"$0\"/* $d && exec \"$1\""
    with Client("unshare", "--mount", "sh", "-c", place, account, KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT=str(c.port)) as client:
        assert client.ask("open")["namespace"] == "default"
        wait_until(lambda: client.begin("get", **WEB) or client.end()[1]["ok"], what="the Role to count")
    with Client() as client:
        os.environ.pop("KUBERNETES_SERVICE_HOST", None)
        assert "inside a pod only" in client.ask("open", fine=False)["error"]


# ---- what is changed ----

def one_image_is_changed_and_nothing_else():
    c = cluster()
    before = c.get(f"{DEPLOYMENTS}/web")
    with opened(c.directory / "admin.kubeconfig") as client:
        tried = client.ask("edit", container="web", image="w:2", annotations=ANNOTATED, guarded=True, dryRun=True, **WEB)
        assert tried["object"]["spec"]["template"]["spec"]["containers"][0]["image"] == "w:2"
        assert c.get(f"{DEPLOYMENTS}/web") == before
        done = client.ask("edit", container="web", image="w:2", annotations=ANNOTATED, guarded=True, **WEB)
        assert done["was"] == "registry.example.com/acme/web:1"
    after = c.get(f"{DEPLOYMENTS}/web")
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert {entry["manager"] for entry in after["metadata"]["managedFields"]} >= {"pushwright"}
    before["spec"]["template"]["spec"]["containers"][0]["image"] = "w:2"
    before["metadata"]["annotations"] = ANNOTATED
    assert lasting(after) == lasting(before)


def every_kind_keeps_its_other_containers():
    c = cluster()
    pod = workload("x")["spec"]["template"]
    pod["spec"]["restartPolicy"] = "Always"
    pod["spec"]["initContainers"] = [{"name": "init", "image": "i:1"}]
    job = {**pod, "spec": {**pod["spec"], "restartPolicy": "Never"}}
    kinds = {"StatefulSet": ("apps/v1", "statefulsets", {"serviceName": "x"}), "DaemonSet": ("apps/v1", "daemonsets", {"replicas": None}),
             "CronJob": ("batch/v1", "cronjobs", None)}
    with opened(c.directory / "admin.kubeconfig") as client:
        for kind, (version, plural, more) in kinds.items():
            body = workload("x", kind=kind, api_version=version)
            body["spec"].update({"template": pod, **(more or {})})
            body["spec"] = {k: v for k, v in body["spec"].items() if v is not None}
            if kind == "CronJob":
                body["spec"] = {"schedule": "@daily", "jobTemplate": {"spec": {"template": job}}}
            c.create(f"/apis/{version}/namespaces/default/{plural}", body)
            for container, images in (("helper", ["registry.example.com/acme/web:1", "new:1"]), ("init", ["i:2"])):
                image = images[-1]
                found = client.ask("edit", kind=kind, namespace="default", name="x", container=container, image=image)["object"]
                spec = found["spec"]["jobTemplate"]["spec"] if kind == "CronJob" else found["spec"]
                named = "initContainers" if container == "init" else "containers"
                assert [one["image"] for one in spec["template"]["spec"][named]] == images, found


def what_somebody_else_changed_meanwhile_is_a_conflict():
    c = cluster()
    theirs = json.dumps({"metadata": {"labels": {"theirs": "1"}}})
    with opened(c.directory / "admin.kubeconfig") as client:
        answer = client.ask("edit", fine=False, container="web", image="w:2", guarded=True, meanwhile=theirs, **WEB)
        assert answer["kind"] == "conflict" and answer["code"] == 409, answer
        client.ask("edit", container="web", image="w:2", guarded=False, meanwhile=theirs, **WEB)
        answer = client.ask("edit", fine=False, container="nginx", image="w:2", **WEB)
        assert answer["kind"] == "not_found" or "no container 'nginx': there are 'web', 'helper'" in answer["error"], answer
        gone = client.ask("get", fine=False, **{**WEB, "name": "gone"})
        assert gone["code"] == 404 and "do cluster, namespace and name" in gone["error"], gone
        unknown = client.ask("get", fine=False, apiVersion="example.com/v1", kind="Thing", plural="things", namespace="default", name="x")
        assert unknown["code"] == 404 and "is this kind of object installed" in unknown["error"], unknown


THING = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "rollouts.example.com"},
         "spec": {"group": "example.com", "scope": "Namespaced",
                  "names": {"plural": "rollouts", "singular": "rollout", "kind": "Rollout", "listKind": "RolloutList"},
                  "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                      "type": "object", "properties": {"spec": {"type": "object", "properties": {
                          "image": {"type": "string"}, "replicas": {"type": "integer"}, "selector": {"type": "object",
                                                                                                     "x-kubernetes-preserve-unknown-fields": True},
                          "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}}}}]}}


def custom_resources_are_changed_by_path_or_container():
    c = cluster()
    c.define(THING)
    place = {"apiVersion": "example.com/v1", "kind": "Rollout", "plural": "rollouts", "namespace": "default", "name": "web"}
    body = workload("web", kind="Rollout", api_version="example.com/v1", image="w:1")
    body["spec"]["image"] = "x:1"
    c.create("/apis/example.com/v1/namespaces/default/rollouts", body)
    with opened(c.directory / "admin.kubeconfig") as client:
        assert client.ask("discover", apiVersion="example.com/v1", kind="Rollout")["plural"] == "rollouts"
        assert "has no kind 'Rolling'" in client.ask("discover", fine=False, apiVersion="example.com/v1", kind="Rolling")["error"]
        found = client.ask("edit", container="web", image="w:2", annotations=ANNOTATED, guarded=True, **place)["object"]
        assert [one["image"] for one in found["spec"]["template"]["spec"]["containers"]] == ["w:2", "registry.example.com/acme/helper:1"]
        assert found["metadata"]["annotations"] == ANNOTATED
        found = client.ask("edit", path="{.spec.image}", image="x:2", **place)["object"]
        assert found["spec"]["image"] == "x:2"
        unknown = client.ask("edit", fine=False, path="/spec/picture", image="x:2", **place)
        assert 'unknown field "spec.picture"' in unknown["error"] and unknown["kind"] == "invalid", unknown
        theirs = json.dumps({"spec": {"image": "x:9"}})
        for guarded in (True, False):  # the version tells, and so do the tests of what was read
            raced = client.ask("edit", fine=False, path="/spec/image", image="x:3", guarded=guarded, meanwhile=theirs, **place)
            assert raced["kind"] == "conflict", raced
            theirs = json.dumps({"spec": {"image": "x:10"}})


def knatives_services_are_changed():
    c = cluster()
    c.define_knative()
    body = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "hello"},
            "spec": {"template": {"metadata": {"name": "hello-00001"}, "spec": {"containers": [{"image": "h:1", "env": [{"name": "A", "value": "1"}]}]}}}}
    c.create("/apis/serving.knative.dev/v1/namespaces/default/services", body)
    with opened(c.directory / "admin.kubeconfig") as client:
        found = client.ask("edit", kind="Service", namespace="default", name="hello", image="h:2", annotations=ANNOTATED, guarded=True,
                           clearRevision=True)["object"]
        assert found["spec"]["template"] == {"metadata": {}, "spec": {"containers": [{"image": "h:2", "env": [{"name": "A", "value": "1"}]}]}}, found


def events_are_recorded():
    c = cluster()
    body = {"metadata": {"generateName": "web.", "namespace": "default"}, "reason": "Deployed", "message": "w:2", "type": "Normal",
            "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "web"},
            "source": {"component": "pushwright"}, "count": 1, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z"}
    with opened(c.directory / "admin.kubeconfig") as client:
        client.ask("create", kind="Event", namespace="default", body=json.dumps(body))
    assert [event["reason"] for event in c.get("/api/v1/namespaces/default/events")["items"] if event["source"].get("component") == "pushwright"] == ["Deployed"]


def logs_of_pods_that_have_not_begun_are_empty():
    c = cluster()
    c.create("/api/v1/namespaces/default/pods", {"metadata": {"name": "lone"}, "spec": {"containers": [{"name": "web", "image": "w:1"}]}})
    with opened(c.directory / "admin.kubeconfig") as client:
        assert client.ask("log", namespace="default", name="lone", container="web", lines=5)["log"] == ""
        gone = client.ask("log", fine=False, namespace="default", name="gone", container="web", lines=5)
        assert gone["code"] == 404 and "read the log of pods 'gone'" in gone["error"], gone


# ---- connections ----

@contextlib.contextmanager
def counting_proxy(c):
    """CONNECT, as proxy-url wants it; gives its URL and the list of connections."""
    listener, seen = socket.create_server(("127.0.0.1", 0)), []

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        seen.append(head.split(b"\r\n")[0].decode())
        onward = socket.create_connection(("127.0.0.1", c.port))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=pump, args=(connection, onward), daemon=True).start()
        pump(onward, connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.close()


def requests_that_follow_each_other_take_one_connection():
    c = cluster()
    admin = c.certificate("admin3", organization="system:masters")
    with counting_proxy(c) as (url, seen):
        with opened(c.kubeconfig("behind", cluster={"proxy-url": url}, **admin)) as client:
            client.ask("get", **WEB)
            client.ask("edit", container="web", image="w:2", guarded=True, **WEB)
            client.ask("watch", timeoutMs=1000, **WEB)  # which ends by itself
            client.ask("get", **WEB)
        assert seen == [f"CONNECT 127.0.0.1:{c.port} HTTP/1.1"], seen


@contextlib.contextmanager
def hesitating(c, times, **headers):
    """The API by plain http on loopback, after 429 that many times; gives its URL and the answers."""
    answers = []

    class Handler(loopback.Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            late = len(answers) < times
            answer = None if late else c.http("GET", self.path)
            answers.append(429 if late else answer.status)
            body = b'{"kind":"Status","message":"please try again later","reason":"TooManyRequests","code":429}' if late else answer.body
            self.send_response(answers[-1])
            for name, value in {"Content-Length": str(len(body)), **(headers if late else {})}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    loopback.start(server)
    try:
        yield f"http://127.0.0.1:{server.server_port}", answers
    finally:
        server.shutdown()
        server.server_close()


def later_is_waited_for_and_then_told():
    c = cluster()
    with hesitating(c, 2, Retry_After="1") as (url, answers):
        with opened(c.kubeconfig("slow", server=url)) as client:
            client.ask("get", **WEB)
            assert answers == [429, 429, 200]
    with hesitating(c, 99, Retry_After="30") as (url, answers):
        with opened(c.kubeconfig("slower", server=url), patienceMs=1000) as client:
            answer = client.ask("get", fine=False, **WEB)
            assert answer["kind"] == "busy" and answer["retryAfter"] == 30 and answers == [429], answer


# ---- watches ----

def annotate(c, note, name="web"):
    return c.patch(f"{DEPLOYMENTS}/{name}", {"metadata": {"annotations": {"note": note}}})


def note_of(note):
    return lambda line: line.get("note") == note


def changes_are_told_as_they_come():
    c = cluster()
    with opened(c.directory / "admin.kubeconfig") as client:
        client.begin("watch", timeoutMs=60000, enough=3, **WEB)
        assert [line["change"] for line in client.until(lambda line: line["change"] == "LISTED")] == ["LISTING", "ADDED", "LISTED"]
        annotate(c, "first")
        assert client.until(note_of("first"))[-1]["change"] == "MODIFIED"
        annotate(c, "second")
        changes, answer = client.end()
        assert [line["note"] for line in changes] == ["second"] and answer["ok"]
        annotate(c, "between")  # nothing is lost between two calls, nothing is listed again
        client.begin("watch", timeoutMs=60000, enough=1, **WEB)
        changes, _ = client.end()
        assert [(line["change"], line["note"]) for line in changes] == [("MODIFIED", "between")]
        c.ask("DELETE", f"{DEPLOYMENTS}/web")
        client.begin("watch", timeoutMs=60000, enough=1, **WEB)
        assert client.end()[0][-1]["change"] == "DELETED"


def lists_come_page_by_page():
    c = cluster()
    path = "/api/v1/namespaces/default/configmaps"
    names = {f"map-{number:03}" for number in range(120)}
    for name in names:
        c.ask("POST", path, {"metadata": {"name": name, "labels": {"many": "yes"}}}, fine=(201, 409))
    with opened(c.directory / "admin.kubeconfig") as client:
        client.begin("list", apiVersion="v1", kind="ConfigMap", plural="configmaps", namespace="default", labels="many=yes")
        changes, answer = client.end()
        assert answer["ok"] and changes[0]["change"] == "LISTING" and changes[-1]["change"] == "LISTED"
        assert {line["name"] for line in changes[1:-1]} == names and len(changes) == 122


def a_server_that_restarts_is_waited_for():
    c = cluster()
    with opened(c.directory / "admin.kubeconfig") as client:
        client.begin("watch", timeoutMs=120000, **WEB)
        client.until(lambda line: line["change"] == "LISTED")
        c.stop_api(kill=True)
        time.sleep(1)
        c.start_api()
        annotate(c, "after the restart")
        client.until(note_of("after the restart"), 120)
        c.stop_api(kill=True)
        try:
            answer = refused(c.directory / "admin.kubeconfig", {"do": "watch", "timeoutMs": 1000, **WEB})
            assert answer["kind"] == "unavailable" and "cannot connect" in answer["error"], answer
        finally:
            c.start_api()


def a_watch_whose_place_is_forgotten_begins_anew():
    c = cluster()
    with opened(c.directory / "admin.kubeconfig") as client:
        client.begin("list", **WEB)
        version = client.end()[1]["version"]
        for number in range(5):
            annotate(c, str(number))
        c.stop_api()
        c.forget()
        c.start_api()
        assert c.http("GET", f"{DEPLOYMENTS}?watch=1&resourceVersion={version}&timeoutSeconds=1").text.count('"code":410') == 1
        client.begin("watch", timeoutMs=60000, enough=1, version=version, **WEB)
        changes, answer = client.end()
        assert answer["ok"] and [line["change"] for line in changes] == ["LISTING", "ADDED"] and changes[1]["note"] == "4", changes


def what_is_refused_is_not_waited_for():
    c = cluster()
    answer = refused(c.kubeconfig("nobody", token=c.token("nobody")), {"do": "watch", "timeoutMs": 60000, **WEB})
    assert answer["code"] == 403 and "list deployments.apps 'web'" in answer["error"], answer


def a_watch_takes_little_memory():
    c = cluster()
    with opened(c.directory / "admin.kubeconfig") as client:
        client.begin("watch", timeoutMs=60000, **WEB)
        client.until(lambda line: line["change"] == "LISTED")
        for number in range(20):
            annotate(c, str(number))
        client.until(note_of("19"))
        status = pathlib.Path(f"/proc/{client.child.pid}/status").read_text()
        resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
        print(f"# {resident} KB resident while watching")
        assert resident <= 3 * 1024, resident


# ---- rollouts ----

APPS = "/apis/apps/v1/namespaces/default"
MISSING = "Back-off pulling image: ErrImagePull: w:2: not found"


def controlled(kind="deployments", name="web", image="w:1", ready=None, **spec):
    """A workload as new, rolled out by real controllers; those before it are gone with their pods."""
    c = cluster()
    if c.controllers is None:
        c.start_controllers()
    c.ask("DELETE", f"{APPS}/{kind}/{name}", fine=(200, 404))
    wait_until(lambda: c.http("GET", f"{APPS}/{kind}/{name}").status == 404, what="what was there to be gone")
    for path in (f"{APPS}/replicasets", "/api/v1/namespaces/default/pods?gracePeriodSeconds=0"):
        c.ask("DELETE", path)
    body = workload(name, image=image, kind=kind[0].upper() + kind[1:-1].replace("set", "Set"), **spec)
    body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
    c.create(f"{APPS}/{kind}", body)
    ready = ready or (lambda status: status.get("availableReplicas") == spec.get("replicas", 1))
    wait_until(lambda: ready(c.get(f"{APPS}/{kind}/{name}").get("status", {})), what=f"'{name}' to be up")
    return c


def want(c, image, kind="deployments", name="web"):
    template = {"spec": {"containers": [{"name": "web", "image": image}]}}
    return c.patch(f"{APPS}/{kind}/{name}?fieldManager=pushwright", {"spec": {"template": template}}, STRATEGIC)


def watching(client, image="w:2", seconds=60, **members):
    client.begin("rollout", **{"container": "web", "image": image, "timeoutMs": seconds * 1000, **WEB, **members})


def watched(client, image="w:2", seconds=60, **members):
    watching(client, image, seconds, **members)
    answer = client.end()[1]
    assert answer["ok"], answer
    return answer


@contextlib.contextmanager
def rolling(states=None, **members):
    """A workload "web" at w:1 whose pods get up unless `states` says otherwise, and a client."""
    c = cluster()
    with Kubelet(c, states), opened(c.directory / "admin.kubeconfig") as client:
        controlled(**members)
        yield c, client


def a_rollout_is_watched_until_its_pods_are_available():
    states = {"w:2": None}
    with rolling(states, replicas=3) as (c, client):
        want(c, "w:2")
        watching(client)
        wait_until(lambda: c.get(f"{DEPLOYMENTS}/web")["status"].get("updatedReplicas") == 1, what="a new pod")
        del states["w:2"]
        answer = client.end()[1]
        assert answer["phase"] == "complete" and "reason" not in answer, answer
        status = c.get(f"{DEPLOYMENTS}/web")["status"]
        assert status["updatedReplicas"] == status["availableReplicas"] == status["replicas"] == 3
        assert watched(client)["phase"] == "complete"  # at once


def every_kind_is_watched_by_its_own_rules():
    with rolling(kind="statefulsets", replicas=2, serviceName="web") as (c, client):
        want(c, "w:2", "statefulsets")
        assert watched(client, kind="StatefulSet")["phase"] == "complete"
        assert {c.get(f"/api/v1/namespaces/default/pods/web-{n}")["spec"]["containers"][0]["image"] for n in (0, 1)} == {"w:2"}
        for partition, phase in ((1, "complete"), (2, "not watched")):
            c.patch(f"{APPS}/statefulsets/web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}})
            want(c, f"w:3.{partition}", "statefulsets")
            answer = watched(client, f"w:3.{partition}", kind="StatefulSet")
            assert answer["phase"] == phase, answer
        c.patch(f"{APPS}/statefulsets/web", {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}})
        want(c, "w:4", "statefulsets")
        answer = watched(client, "w:4", kind="StatefulSet")
        assert answer["phase"] == "not watched" and "OnDelete" in answer["reason"], answer
        c.ask("DELETE", f"{APPS}/statefulsets/web")
    for name in ("n1", "n2"):
        c.ask("POST", "/api/v1/nodes", {"metadata": {"name": name}}, fine=(201, 409))
        c.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})
    with rolling(kind="daemonsets", replicas=None, ready=lambda status: status.get("numberAvailable") == 2) as (c, client):
        want(c, "w:2", "daemonsets")
        assert watched(client, kind="DaemonSet")["phase"] == "complete"
        c.ask("DELETE", f"{APPS}/daemonsets/web")


def what_nothing_happens_to_is_told_at_once():
    with rolling(replicas=1) as (c, client):
        for spec, piece in (({"paused": True}, "spec.paused"), ({"paused": False, "replicas": 0}, "no replicas")):
            c.patch(f"{DEPLOYMENTS}/web", {"spec": spec})
            want(c, f"w:{piece[-1]}")
            answer = watched(client, f"w:{piece[-1]}")
            assert answer["phase"] == "not watched" and piece in answer["reason"], answer


def the_first_pod_in_trouble_is_named():
    states = {"w:2": pod_status("ImagePullBackOff", MISSING)}
    with rolling(states) as (c, client):
        want(c, "w:2")
        answer = watched(client)
        assert answer["phase"] == "broken" and answer["trouble"] == "ImagePullBackOff", answer
        assert f"in pod '{answer['pod']}': {MISSING}" in answer["reason"], answer
        states["w:3"] = pod_status("CreateContainerConfigError", 'secret "db" not found')
        want(c, "w:3")
        answer = watched(client, "w:3", 5)
        assert answer["phase"] == "progressing" and 'CreateContainerConfigError of container \'web\'' in answer["reason"], answer


@contextlib.contextmanager
def kubelet_with_log(c, log):
    """What the API server asks a kubelet for: the log of a container, over TLS."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(log)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(c.directory / "server.crt", c.directory / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    c.ask("POST", "/api/v1/nodes", {"metadata": {"name": "logs"}}, fine=(201, 409))
    c.patch("/api/v1/nodes/logs/status", {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                                                     "daemonEndpoints": {"kubeletEndpoint": {"Port": server.server_port}}}})
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()


def a_container_that_crashes_shows_its_last_lines():
    states = {"w:2": None}
    with rolling(states) as (c, client), kubelet_with_log(c, b"\x1b[1mlistening\nno database at db:5432\n") as asked:
        want(c, "w:2")
        pods = "/api/v1/namespaces/default/pods"
        is_new = lambda pod: pod["spec"]["containers"][0]["image"] == "w:2"
        wait_until(lambda: any(map(is_new, c.get(pods)["items"])), what="a new pod")
        name = next(pod["metadata"]["name"] for pod in c.get(pods)["items"] if is_new(pod))
        c.create(f"{pods}/{name}/binding", {"metadata": {"name": name}, "target": {"kind": "Node", "name": "logs"}})
        states["w:2"] = pod_status("CrashLoopBackOff", "back-off 80s", restarts=4, exit_code=3)
        answer = watched(client)
        assert answer["phase"] == "broken" and answer["log"] == "?[1mlistening\nno database at db:5432\n", answer
        assert f"CrashLoopBackOff of container 'web' in pod '{name}': it ended with exit code 3, restarted 4 times" in answer["reason"], answer
        assert asked == [f"/containerLogs/default/{name}/web?limitBytes=262144&previous=true&tailLines=10"], asked


def a_deadline_counts_from_the_change():
    states = {"w:2": None}
    with rolling(states, progressDeadlineSeconds=6, strategy={"type": "Recreate"}) as (c, client):
        want(c, "w:2")
        answer = watched(client, ageMs=0)
        assert answer["phase"] == "broken" and "no progress for 6 s" in answer["reason"], answer
        states["w:1"] = None  # a rollback finds a ReplicaSet whose pods are not up again at once
        want(c, "w:1")
        watching(client, "w:1", ageMs=0)
        wait_until(lambda: c.get(f"{DEPLOYMENTS}/web")["status"]["observedGeneration"] == 3, what="the change to be seen")
        conditions = {one["type"]: one["reason"] for one in c.get(f"{DEPLOYMENTS}/web")["status"]["conditions"]}
        assert conditions["Progressing"] == "ProgressDeadlineExceeded", conditions
        time.sleep(2.5)  # longer than a failure must last
        del states["w:1"]
        answer = client.end()[1]
        assert answer["phase"] == "complete", answer


def a_rollout_outlives_its_server():
    states = {"w:2": None}
    with rolling(states) as (c, client):
        want(c, "w:2")
        watching(client, seconds=180)
        wait_until(lambda: c.get(f"{DEPLOYMENTS}/web")["status"].get("updatedReplicas") == 1, what="a new pod")
        c.stop_api(kill=True)
        time.sleep(1)
        c.start_api()
        c.stop_api(kill=True)
        c.forget()  # where both watches were
        c.start_api()
        del states["w:2"]
        answer = client.end(180)[1]
        assert answer["phase"] == "complete", answer


def what_becomes_of_the_object_meanwhile_ends_the_watch():
    states = {"w:2": None, "w:3": None}
    with rolling(states) as (c, client):
        want(c, "w:2")
        for change, phase in ((lambda: want(c, "w:3"), "overtaken"), (lambda: c.ask("DELETE", f"{DEPLOYMENTS}/web"), "gone")):
            watching(client, "w:2" if phase == "overtaken" else "w:3")
            time.sleep(1)
            change()
            answer = client.end()[1]
            assert answer["ok"] and answer["phase"] == phase, answer
        assert watched(client)["phase"] == "gone"


def a_token_that_rotates_does_not_end_it():
    states = {"w:2": None}
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"], "resourceNames": ["web"]}]
    with rolling(states) as (c, admin):
        file = c.directory / "turning"
        for account in ("first", "second"):
            c.allow(account, rules)
        file.write_text(c.token("first"))
        with opened(c.kubeconfig("turning", tokenFile="turning")) as client:
            wait_until(lambda: client.begin("get", **WEB) or client.end()[1]["ok"], what="the Role to count")
            want(c, "w:2")
            watching(client)
            time.sleep(1)
            file.write_text(c.token("second"))
            c.ask("DELETE", "/api/v1/namespaces/default/serviceaccounts/first")  # its tokens with it
            time.sleep(8)  # for the watch to begin anew, with what the file holds now
            del states["w:2"]
            answer = client.end()[1]
            assert answer["phase"] == "complete", answer
            states["w:3"] = None
            want(c, "w:3")
            answer = watched(client, "w:3", 4)  # nobody allowed it to see pods
            assert answer["phase"] == "progressing" and "its pods could not be looked at: list pods" in answer["reason"], answer


def who_waits_can_break_it_off():
    states = {"w:2": None}
    with rolling(states) as (c, client):
        cancel = c.directory / "cancel"
        client.ask("open", kubeconfig=str(c.directory / "admin.kubeconfig"), cancel=str(cancel))
        want(c, "w:2")
        watching(client)
        time.sleep(1)
        cancel.touch()
        began = time.monotonic()
        answer = client.end()[1]
        cancel.unlink()
        assert not answer["ok"] and answer["kind"] == "unavailable" and time.monotonic() - began < 10, answer


KNATIVE = "/apis/serving.knative.dev/v1/namespaces/default/services"


def knatives_services_settle_before_they_have_failed():
    c = cluster()
    c.define_knative()
    c.create(KNATIVE, {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "web"},
                       "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "w:2"}]}}}})

    def state(status, reason, seconds):
        conditions = [{"type": "Ready", "status": status, "reason": reason}]
        c.patch(f"{KNATIVE}/web/status", {"status": {"observedGeneration": 1, "url": "http://web", "conditions": conditions}})
        time.sleep(seconds)
    with opened(c.directory / "admin.kubeconfig") as client:
        watching(client, kind="Service")
        state("Unknown", "Deploying", 1)
        state("False", "RevisionMissing", 0.5)
        state("True", "", 0)
        answer = client.end()[1]
        assert answer["phase"] == "complete", answer
        watching(client, kind="Service")
        state("False", "RevisionFailed", 0)
        answer = client.end()[1]
        assert answer["phase"] in ("broken", "complete"), answer
        answer = watched(client, kind="Service")
        assert answer["phase"] == "broken" and "RevisionFailed" in answer["reason"], answer
    c.ask("DELETE", f"{KNATIVE}/web")


def resident(client):
    status = pathlib.Path(f"/proc/{client.child.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def watching_a_rollout_takes_little_memory():
    states = {"w:2": None}
    with rolling(states, replicas=12) as (c, client):
        want(c, "w:2")
        watching(client)
        most = 0
        for _ in range(40):
            time.sleep(0.2)
            most = max(most, resident(client))
        del states["w:2"]
        assert client.end()[1]["phase"] == "complete"
        most = max(most, resident(client))
        print(f"# {most} KB resident while a rollout of 12 pods was watched")
        assert most <= 3 * 1024, most


def two_hundred_rollouts_are_watched_at_once():
    states = {"w:2": None}
    with rolling(states) as (c, client):
        want(c, "w:2")
        client.begin("crowd", times=200, container="web", image="w:2", timeoutMs=120000, **WEB)
        most = 0
        for _ in range(50):
            time.sleep(0.2)
            most = max(most, resident(client))
        del states["w:2"]
        answer = client.end(180)[1]
        print(f"# {most} KB resident while 200 rollouts were watched")
        assert answer["complete"] == 200, answer
        assert most <= 16 * 1024, most


with shared:
    run_tests([certificates_and_tokens_are_shown, a_token_file_is_read_again, the_server_must_be_who_it_should_be, a_pod_asks_as_its_service_account,
               one_image_is_changed_and_nothing_else, every_kind_keeps_its_other_containers, what_somebody_else_changed_meanwhile_is_a_conflict,
               custom_resources_are_changed_by_path_or_container, knatives_services_are_changed, events_are_recorded,
               logs_of_pods_that_have_not_begun_are_empty, requests_that_follow_each_other_take_one_connection, later_is_waited_for_and_then_told,
               changes_are_told_as_they_come, lists_come_page_by_page, a_server_that_restarts_is_waited_for,
               a_watch_whose_place_is_forgotten_begins_anew, what_is_refused_is_not_waited_for, a_watch_takes_little_memory,
               a_rollout_is_watched_until_its_pods_are_available, every_kind_is_watched_by_its_own_rules, what_nothing_happens_to_is_told_at_once,
               the_first_pod_in_trouble_is_named, a_container_that_crashes_shows_its_last_lines, a_deadline_counts_from_the_change,
               a_rollout_outlives_its_server, what_becomes_of_the_object_meanwhile_ends_the_watch, a_token_that_rotates_does_not_end_it,
               who_waits_can_break_it_off, knatives_services_settle_before_they_have_failed, watching_a_rollout_takes_little_memory,
               two_hundred_rollouts_are_watched_at_once])
