"""A Kubernetes control plane of its own on loopback: etcd, kube-apiserver with RBAC, and kube-controller-manager where a test wants rollouts. No
kubelet: what one would report of pods, a test writes itself."""
import base64
import contextlib
import http.client
import json
import pathlib
import re
import ssl
import subprocess
import threading
import time

from obtain import obtain
from pushwright import Answer, free_port, temporary_directory, wait_until

STRATEGIC, MERGE, JSON_PATCH = (f"application/{kind}+json" for kind in ("strategic-merge-patch", "merge-patch", "json-patch"))
PATHS = {"Namespace": "/api/v1/namespaces", "ServiceAccount": "serviceaccounts", "Pod": "pods", "Secret": "secrets", "ConfigMap": "configmaps"}


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, **options).stdout


class Cluster:
    def __init__(self, directory):
        self.programs = obtain("kubernetes")
        self.directory = pathlib.Path(directory)
        self.etcd_port, self.port = free_port(), free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self.etcd = self.api = self.controllers = None
        self.make_certificates()
        self.kubeconfig("admin", **self.certificate("admin", organization="system:masters"))
        self.context = ssl.create_default_context(cafile=self.ca)
        self.context.load_cert_chain(self.directory / "admin.crt", self.directory / "admin.key")

    # ---- who is who ----

    def make_certificates(self):
        self.ca = self.directory / "ca.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=cluster",
                "-keyout", self.directory / "ca.key", "-out", self.ca)
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.directory / "accounts.key")
        self.certificate("server", names="IP:127.0.0.1,DNS:localhost,DNS:api.example.com")

    def certificate(self, name, organization=None, names=None, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """Signed by the cluster's authority; the members of a kubeconfig's user."""
        certificate, private, request = (self.directory / f"{name}.{end}" for end in ("crt", "key", "csr"))
        subject = f"/O={organization}/CN={name}" if organization else f"/CN={name}"
        openssl("req", "-new", "-newkey", *key, "-nodes", "-subj", subject, "-keyout", private, "-out", request)
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n" if names else "extendedKeyUsage=clientAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.directory / "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", extensions, "-out", certificate)
        return {"client-certificate": str(certificate), "client-key": str(private)}

    def kubeconfig(self, name, server=None, cluster=None, namespace=None, **user):
        """A kubeconfig file of that name, with one context; `cluster` and `user` are members, NULL removes one."""
        members = {"server": server or self.server, "certificate-authority": str(self.ca), **(cluster or {})}
        text = {"apiVersion": "v1", "kind": "Config", "current-context": "here", "preferences": {},
                "clusters": [{"name": "c", "cluster": {k: v for k, v in members.items() if v is not None}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}}]}
        file = self.directory / f"{name}.kubeconfig"
        file.write_text(json.dumps(text))
        return file

    def token(self, account, namespace="default", seconds=3600):
        """Of a service account, which is made where it is missing."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.ask("POST", path, {"metadata": {"name": account}}, fine=(201, 409))
        return self.ask("POST", f"{path}/{account}/token", {"spec": {"expirationSeconds": seconds}})["status"]["token"]

    def allow(self, account, rules, namespace="default", name=None):
        """A Role with these rules, bound to a service account of the namespace."""
        name = name or account
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.ask("POST", f"{base}/roles", {"metadata": {"name": name}, "rules": rules})
        self.ask("POST", f"{base}/rolebindings", {
            "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]})

    # ---- what runs ----

    def run(self, name, *arguments):
        log = open(self.directory / f"{name}.log", "ab")
        return subprocess.Popen([str(self.programs / name), *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory)

    def start(self, seconds=120):
        etcd, peers = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{free_port()}"
        self.etcd = self.run("etcd", "--data-dir", str(self.directory / "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
                             "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}",
                             "--unsafe-no-fsync", "--log-level", "error")
        self.start_api(seconds)

    def start_api(self, seconds=120, extra=()):
        place = self.directory
        self.api = self.run(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", "--bind-address=127.0.0.1", f"--secure-port={self.port}",
            f"--tls-cert-file={place}/server.crt", f"--tls-private-key-file={place}/server.key", f"--client-ca-file={place}/ca.crt",
            f"--service-account-key-file={place}/accounts.key", f"--service-account-signing-key-file={place}/accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC",
            # Nothing makes the accounts that it would give to pods.
            "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none", "--etcd-compaction-interval=0", *extra)
        wait_until(self.is_ready, seconds, "the API server to be ready")

    def is_ready(self):
        if self.api.poll() is not None:
            raise RuntimeError(f"kube-apiserver ended with {self.api.returncode}:\n{self.said('kube-apiserver')}")
        try:
            return self.http("GET", "/readyz", seconds=2).status == 200 and self.http("GET", "/api/v1/namespaces/default").status == 200
        except (http.client.HTTPException, ssl.SSLError) as error:
            raise OSError(error) from error

    def start_controllers(self, names=("deployment", "replicaset", "statefulset", "daemonset", "cronjob", "job")):
        self.controllers = self.run("kube-controller-manager", f"--kubeconfig={self.directory}/admin.kubeconfig", "--leader-elect=false",
                                    "--secure-port=0", "--controllers=" + ",".join(f"{name}-controller" for name in names))

    def stop_api(self, kill=False):
        stop(self.api, kill)

    def stop(self):
        for program in (self.controllers, self.api, self.etcd):
            stop(program, kill=True)

    def said(self, name):
        log = self.directory / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""

    def forget(self):
        """What etcd remembers of older versions: watches that begin there are gone."""
        connection = http.client.HTTPConnection("127.0.0.1", self.etcd_port, timeout=10)
        key = base64.b64encode(b"/").decode()
        connection.request("POST", "/v3/kv/range", json.dumps({"key": key}))
        revision = json.loads(connection.getresponse().read())["header"]["revision"]
        connection.request("POST", "/v3/kv/compaction", json.dumps({"revision": revision, "physical": True}))
        assert connection.getresponse().status == 200

    # ---- the API, as the administrator ----

    def http(self, method, path, body=None, content_type="application/json", seconds=30):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=seconds, context=self.context)
        try:
            data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": content_type} if data is not None else {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def ask(self, method, path, body=None, content_type="application/json", fine=(200, 201)):
        answer = self.http(method, path, body, content_type)
        assert answer.status in fine, f"{method} {path}: {answer.status} {answer.text[:600]}"
        return answer.json

    def get(self, path):
        return self.ask("GET", path)

    def create(self, path, body):
        return self.ask("POST", path, body)

    def patch(self, path, body, content_type=MERGE):
        return self.ask("PATCH", path, body, content_type)

    def apply(self, path, body):
        """Server-side apply: made, or brought to that."""
        return self.ask("PATCH", f"{path}?fieldManager=test&force=true", body, "application/apply-patch+yaml")

    def namespace(self, name):
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, fine=(201, 409))

    def define(self, definition, seconds=30):
        """A CustomResourceDefinition, JSON or the text of a YAML file; waits until the API serves it."""
        text = definition if isinstance(definition, str) else json.dumps(definition)
        name = definition["metadata"]["name"] if isinstance(definition, dict) else re.search(r"^  name: (\S+)", text, re.M).group(1)
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        self.ask("PATCH", f"{path}?fieldManager=test&force=true", text, "application/apply-patch+yaml")

        def served():
            found = self.get(path)
            ready = {c["type"]: c["status"] for c in found.get("status", {}).get("conditions") or []}.get("Established") == "True"
            version = found["spec"]["versions"][0]["name"]
            return ready and self.http("GET", f"/apis/{found['spec']['group']}/{version}/{found['spec']['names']['plural']}").status == 200
        wait_until(served, seconds, f"{name} to be served")

    def define_knative(self):
        for file in sorted(obtain("knative").glob("*.yaml")):
            if file.name in ("service.yaml", "configuration.yaml", "revision.yaml", "route.yaml"):
                self.define(file.read_text())


def pod_status(reason=None, message="", container="web", restarts=0, exit_code=None, phase="Pending"):
    """What a kubelet reports of a pod: ready, or why a container waits, or with which code it ended before."""
    state = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    last = {} if exit_code is None else {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    found = {"name": container, "image": "x", "imageID": "", "ready": not reason, "restartCount": restarts, "state": state, "lastState": last}
    return {"phase": phase if reason else "Running", "containerStatuses": [found],
            "conditions": [{"type": "Ready", "status": "False" if reason else "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


class Kubelet:
    """Reports every pod ready as long as it lasts, but those whose container "web" has an image that `states` knows; None: nothing is reported."""

    def __init__(self, cluster, states=None):
        self.cluster, self.states, self.told, self.ended = cluster, states or {}, {}, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def run(self):
        while not self.ended.wait(0.1):
            with contextlib.suppress(OSError, AssertionError, ValueError, http.client.HTTPException):
                for pod in self.cluster.get("/api/v1/pods")["items"]:
                    self.report(pod)

    def report(self, pod):
        status = self.states.get(pod["spec"]["containers"][0]["image"], pod_status())
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        if status and self.told.get(uid) != status:
            self.cluster.patch(f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name}/status", {"status": status})
            self.told[uid] = status


def stop(program, kill):
    if program and program.poll() is None:
        program.kill() if kill else program.terminate()
        program.wait(60)


def workload(name, image="registry.example.com/acme/web:1", kind="Deployment", api_version="apps/v1", containers=None, **spec):
    """A Deployment, or what looks like one, with a container "web" and a helper beside it."""
    containers = containers or [{"name": "web", "image": image}, {"name": "helper", "image": "registry.example.com/acme/helper:1"}]
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}, **spec}}


@contextlib.contextmanager
def cluster():
    """A fresh control plane, ended with everything that it wrote."""
    with temporary_directory() as directory:
        began = time.monotonic()
        one = Cluster(directory)
        try:
            one.start()
            print(f"# the API was ready after {time.monotonic() - began:.1f} s", flush=True)
            yield one
        except BaseException:
            for name in ("etcd", "kube-apiserver", "kube-controller-manager"):
                print("\n".join(f"# {name}: {line}" for line in one.said(name).splitlines()[-5:]))
            raise
        finally:
            one.stop()
