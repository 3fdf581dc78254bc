#!/usr/bin/env python3
"""What `pushwright rbac` prints, applied to the real API server: what deploy does is allowed, and nothing else is."""
import contextlib
import json
import pathlib
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from kube import JSON_PATCH, MERGE, STRATEGIC, cluster, workload
from pushwright import BIN, run_tests

RBAC = "/apis/rbac.authorization.k8s.io/v1"
PLACES = {"ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts", "Role": RBAC + "/namespaces/{}/roles",
          "RoleBinding": RBAC + "/namespaces/{}/rolebindings"}
SHOP, TEAM = "/apis/apps/v1/namespaces/shop/deployments", "/apis/apps/v1/namespaces/team/deployments"
ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/team/rollouts"
LABEL = {"metadata": {"annotations": {"note": "x"}}}


def target(workload_name, **more):
    return {"cluster": "in-cluster", "workload": workload_name, **more}


def trigger(name, *targets, **more):
    return {"name": name, "image": "registry.example.com/acme/web", "when": {"tags": "all"}, "deploy": list(targets), **more}


CONFIG = {"clusters": [{"name": "far", "kubeconfig": {"file": "/secrets/far"}}],
          "triggers": [trigger("a", target("web", namespace="shop"), target("api", namespace="shop", kind="StatefulSet")),
                       trigger("b", target("web", namespace="team"), target("beta", namespace="team", kind="Rollout", plural="rollouts",
                                                                           apiVersion="argoproj.io/v1alpha1"),
                               {"cluster": "far", "workload": "far-away"}),
                       trigger("off", target("old", namespace="shop"), enabled=False)]}


class Account:
    """The API as the service account sees it."""

    def __init__(self, one, token):
        self.one, self.token = one, token
        self.context = ssl.create_default_context(cafile=one.ca)

    def status(self, method, path, body=None, content_type="application/json"):
        request = urllib.request.Request(self.one.server + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type})
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


def rollout_definition():
    names = {"kind": "Rollout", "plural": "rollouts", "singular": "rollout", "listKind": "RolloutList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "rollouts.argoproj.io"},
            "spec": {"group": "argoproj.io", "names": names, "scope": "Namespaced",
                     "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": schema}]}}


def apply(one, text):
    """As kubectl apply -f would; how many objects there were."""
    documents = [document for document in text.split("---\n") if "kind:" in document]
    for document in documents:
        kind = re.search(r"^kind: (\w+)$", document, re.M).group(1)
        namespace, name = re.search(r'^metadata: {namespace: "(.+)", name: "(.+)"}$', document, re.M).groups()
        one.ask("PATCH", f"{PLACES[kind].format(namespace)}/{name}?fieldManager=test&force=true", document, "application/apply-patch+yaml")
    return len(documents)


def place(one):
    for namespace in ("shop", "team", "ours"):
        one.namespace(namespace)
    for path, names in ((SHOP, ("web", "other", "old")), (TEAM, ("web", "far-away"))):
        for name in names:
            one.create(path, workload(name))
    one.create("/apis/apps/v1/namespaces/shop/statefulsets", workload("api", kind="StatefulSet", serviceName="api"))
    one.define(rollout_definition())
    one.create(ROLLOUTS, workload("beta", kind="Rollout", api_version="argoproj.io/v1alpha1"))
    one.create("/api/v1/namespaces/shop/secrets", {"metadata": {"name": "web"}, "stringData": {"password": "secret"}})
    one.create("/api/v1/namespaces/shop/pods", {"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "web", "image": "web"}]}})
    config = one.directory / "pushwright.json"
    config.write_text(json.dumps(CONFIG))
    said = subprocess.run([BIN / "pushwright", "rbac", "--account", "ours/deployer", config], capture_output=True, text=True, check=True).stdout
    assert apply(one, said) == 5, said  # the account; a role and its binding for each of two namespaces
    return Account(one, one.token("deployer", "ours"))


def event(namespace):
    return {"metadata": {"generateName": "web-"}, "eventTime": "2026-09-01T12:00:00.000000Z", "reportingController": "pushwright.dev/deploy",
            "reportingInstance": "1", "action": "Deploy", "reason": "Deployed", "type": "Normal",
            "regarding": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": namespace, "name": "web"}}


def events(namespace):
    return f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"


def what_deploy_does_is_allowed():
    for collection, names, kind in ((SHOP, ["web"], STRATEGIC), (TEAM, ["web"], STRATEGIC), (ROLLOUTS, ["beta"], JSON_PATCH),
                                    ("/apis/apps/v1/namespaces/shop/statefulsets", ["api"], STRATEGIC)):
        body = [{"op": "add", "path": "/metadata/annotations", "value": {"note": "x"}}] if kind == JSON_PATCH else LABEL
        for name in names:
            one = f"{collection}/{name}"
            only = f"{collection}?fieldSelector=metadata.name%3D{name}"
            assert account.status("GET", one) == 200 and account.status("GET", only) == 200, one
            assert account.status("GET", f"{only}&watch=1&timeoutSeconds=1") == 200, one
            assert account.status("PATCH", f"{one}?dryRun=All", body, kind) == 200 and account.status("PATCH", one, body, kind) == 200, one
    for namespace in ("shop", "team"):
        pods = f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3Dweb"
        assert account.status("GET", pods) == 200 and account.status("GET", f"{pods}&watch=1&timeoutSeconds=1") == 200
        assert account.status("POST", events(namespace), event(namespace)) == 201
    # Allowed: that no kubelet of this cluster has it is another matter than 403.
    assert account.status("GET", "/api/v1/namespaces/shop/pods/web-1/log?container=web&tailLines=5") not in (401, 403)


def nothing_else_is():
    pods = "/api/v1/namespaces/shop/pods"
    rows = [("GET", "/api/v1/namespaces/shop/secrets/web"), ("GET", "/api/v1/namespaces/shop/secrets"), ("GET", "/api/v1/secrets"),
            ("GET", "/api/v1/namespaces/shop/configmaps"), ("GET", "/apis/apps/v1/namespaces/shop/replicasets"),
            ("GET", SHOP), ("GET", f"{SHOP}?watch=1&timeoutSeconds=1"), ("GET", f"{SHOP}/other"),
            ("GET", f"{SHOP}?fieldSelector=metadata.name%3Dother"), ("PATCH", f"{SHOP}/other", LABEL, MERGE), ("PATCH", f"{SHOP}/old", LABEL, MERGE),
            ("PATCH", f"{TEAM}/far-away", LABEL, MERGE), ("PATCH", f"{SHOP}/web/scale", {"spec": {"replicas": 3}}, MERGE),
            ("PATCH", f"{SHOP}/web/status", {"status": {"replicas": 3}}, MERGE), ("PUT", f"{SHOP}/web", workload("web")),
            ("DELETE", f"{SHOP}/web"), ("POST", SHOP, workload("new")), ("DELETE", SHOP),
            ("PATCH", "/apis/apps/v1/namespaces/team/statefulsets/api", LABEL, MERGE), ("GET", "/apis/apps/v1/namespaces/default/deployments/web"),
            ("POST", pods, {"metadata": {"name": "new"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}), ("GET", f"{pods}/web-1"),
            ("DELETE", f"{pods}/web-1"), ("POST", f"{pods}/web-1/exec?command=id&stdout=1&container=web"), ("PATCH", f"{pods}/web-1", LABEL, MERGE),
            ("POST", "/api/v1/namespaces/shop/serviceaccounts/default/token", {"spec": {}}), ("GET", events("shop")),
            ("POST", events("default"), event("default")), ("GET", f"{RBAC}/namespaces/shop/roles"), ("GET", "/api/v1/nodes"),
            ("PATCH", f"{RBAC}/namespaces/shop/roles/deployer", {"rules": []}, MERGE)]
    for row in rows:
        assert account.status(*row) == 403, (row, account.status(*row))


with contextlib.ExitStack() as stack:
    account = place(stack.enter_context(cluster()))
    run_tests([what_deploy_does_is_allowed, nothing_else_is])
