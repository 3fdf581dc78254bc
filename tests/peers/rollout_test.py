#!/usr/bin/env python3
"""The shipped deploy against a real control plane: kube-apiserver, etcd and the controllers of workloads, as the service account whose permissions
`pushwright rbac` prints. What a kubelet would say of pods, a thread of the test does."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from kube import MERGE, Cluster, workload
from kubelet import CHAIN_KEY, requested
from pushwright import BIN, Skip, free_port, http, port_open, process, run_tests, temporary_directory, wait_until
from rollouts import Place, changed, kinds, only_ours, reason, shared, the_world


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


# ---- every kind ----

def stateful(**spec):
    return {**workload("NAME", "FIRST", kind="StatefulSet"), "metadata": {},
            "spec": {**workload("NAME", "FIRST")["spec"], "serviceName": "NAME", **spec}}


def daemon(**spec):
    body = workload("NAME", "FIRST", kind="DaemonSet")
    del body["spec"]["replicas"]
    return {**body, "metadata": {}, "spec": {**body["spec"], **spec}}


def cron(**spec):
    pods = {**workload("NAME", "FIRST")["spec"]["template"]["spec"], "restartPolicy": "Never"}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pods}}}, **spec}}


def sets_are_rolled_out_by_their_own_rules():
    for body in (stateful(), daemon()):
        place = Place(body).settled()
        before, image = place.get(), place.world.image("v1")
        assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"]
        only_ours(before, place.get(), "/spec/template/spec/containers/0/image")
        assert place.get()["status"].get("updatedReplicas", place.get()["status"].get("updatedNumberScheduled")) == 1


def an_init_container_is_named_like_any_other():
    body = workload("NAME", "FIRST")
    body["spec"]["template"]["spec"]["initContainers"] = [{"name": "migrate", "image": "FIRST"}]
    place = Place({**body, "metadata": {}}, container="migrate").settled()
    before, image = place.get(), place.world.image("v1")
    assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"]
    only_ours(before, place.get(), "/spec/template/spec/initContainers/0/image")


def what_is_not_waited_for_is_told_as_what_it_is():
    rows = [(cron(), "next", "/spec/jobTemplate/spec/template/spec/containers/0/image"), (cron(suspend=True), "suspend", None),
            ({**workload("NAME", "FIRST", paused=True), "metadata": {}}, "paused", None),
            ({**workload("NAME", "FIRST", replicas=0), "metadata": {}}, "replicas", None),
            (stateful(updateStrategy={"type": "OnDelete"}), "OnDelete", None), (daemon(updateStrategy={"type": "OnDelete"}), "OnDelete", None)]
    for body, word, path in rows:
        place = Place(body)
        before, image = place.get(), place.world.image("v1")
        events = place.deploy("e1", image, 100)
        assert kinds(events) == ["service.upgraded"] and word in events[0]["data"]["customData"]["note"], (word, events)
        assert place.stands() == image
        if path:
            only_ours(before, place.get(), path)


def fleet():
    """A custom resource whose image stands where no pod template is, and that tells how far it is."""
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "fleets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "fleets", "singular": "fleet", "kind": "Fleet"},
                     "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                                   "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


def a_custom_resource_is_changed_by_path_alone():
    the_world().cluster.define(fleet())
    body = {"apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {},
            "spec": {"ships": [{"name": "a", "image": "other"}, {"name": "web", "image": "FIRST", "sails": 3}]}}
    place = Place(body, at="/apis/example.com/v1/namespaces/{}/fleets", apiVersion="example.com/v1", plural="fleets", container=None,
                  path=".spec.ships[?(@.name=='web')].image")
    before, image = place.get(), place.world.image("v1")
    assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"]
    only_ours(before, place.get(), "/spec/ships/1/image")
    del place.target["plural"]  # discovery tells it
    place.write()
    assert kinds(place.deploy("e2", place.world.image("v2"), 200)) == ["service.upgraded"]


def conditions(place, **more):
    """What Knative's controllers would say of the newest generation."""
    generation = place.get()["metadata"]["generation"]
    place.cluster.patch(f"{place.path}/{place.name}/status", {"status": {"observedGeneration": generation, **more}}, MERGE)


def knative_services_get_a_new_revision():
    the_world().cluster.define_knative()
    body = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {},
            "spec": {"template": {"metadata": {"name": "NAME-fixed"}, "spec": {"containers": [{"name": "web", "image": "FIRST"}]}}}}
    place = Place(body)
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "url": "http://web.example.com"}
    conditions(place, **ready)
    image = place.world.image("v1")
    run = place.begin("e1", image, 100)
    wait_until(lambda: place.stands() == image, 30, "the patch")
    assert "name" not in (place.get()["spec"]["template"].get("metadata") or {}), "the revision's name was fixed"
    conditions(place, **ready)
    events = run.end()
    assert kinds(events) == ["service.upgraded"] and events[0]["data"]["customData"]["url"] == "http://web.example.com", events
    bad = place.world.image("v2")
    run = place.begin("e2", bad, 200)
    wait_until(lambda: place.stands() == bad, 30, "the patch")
    conditions(place, conditions=[{"type": "Ready", "status": "False", "reason": "RevisionFailed", "message": "no such luck"}])
    wait_until(lambda: place.stands() == image, 30, "what was there before")
    conditions(place, **ready)
    events = run.end()
    assert kinds(events) == ["incident.detected", "service.rolledback"] and "no such luck" in json.dumps(events[0]), events


# ---- what fails ----

def what_does_not_come_up_is_rolled_back_and_stays_away():
    place = Place().settled()
    good, bad = place.world.image("v1"), place.world.image("broken")
    place.fates(broken="missing")
    place.deploy("e1", good, 100)
    events = place.deploy("e2", bad, 200)
    assert kinds(events) == ["incident.detected", "service.rolledback"], events
    told = events[0]["data"]["subject"]["content"]["description"]
    assert "ImagePullBackOff" in told and "container 'web'" in told and "manifest unknown" in told, told
    assert good.split("@")[1].replace(":", "%3A") in events[1]["data"]["subject"]["content"]["artifactId"], events[1]
    assert place.stands() == good and place.marks()["bad"] == bad.split("@")[1] and "ImagePullBackOff" in place.marks()["reason"]
    [note] = [note for kind, what, note in place.events() if (kind, what) == ("Warning", "RolledBack")]
    assert bad in note and "ImagePullBackOff" in note, note
    before = place.get()
    assert [e["id"] for e in place.deploy("e2", bad, 200)] == [e["id"] for e in events], "a redelivery says the same"
    assert "failed here before" in reason(place.deploy("e3", bad, 200)) and "failed here before" in reason(place.deploy("e4", bad))
    assert place.tick() == [] and changed(before, place.get()) == [], "nothing of that changed anything"
    fixed = place.world.image("v3")
    assert kinds(place.deploy("e5", fixed, 300)) == ["service.upgraded"] and place.stands() == fixed
    assert place.marks()["bad"] == bad.split("@")[1] and "reason" not in place.marks()
    assert "failed here before" in reason(place.deploy("e6", bad)), "it is remembered longer than the next success"
    place.fates()
    assert kinds(place.deploy("e7", bad, 400)) == ["service.upgraded"], "a newer commit brings it back"
    assert "bad" not in place.marks(), "and it is as good as any other now"


def a_person_brings_back_what_failed():
    place = Place().settled()
    place.fates(broken="crashing")
    bad = place.world.image("broken")
    events = place.deploy("e1", bad, 100)
    assert kinds(events) == ["incident.detected", "service.rolledback"] and "CrashLoopBackOff" in json.dumps(events[0]), events
    assert place.stands().endswith("/acme/web:first"), "what stood there before us is put back as it was written"
    place.fates()
    assert kinds(place.deploy("e2", bad, 50, person=True)) == ["service.upgraded"] and place.marks()["person"] == "somebody"


def without_a_good_one_the_failure_stays_and_is_told():
    place = Place(workload("NAME", "registry.example.com/unready:1") | {"metadata": {}})
    place.fates(broken="missing")
    place.world.kubelet.fates["/unready:"] = "unready"
    bad = place.world.image("broken")
    assert kinds(place.deploy("e1", bad, 100)) == ["incident.detected"]
    assert place.stands() == bad and [what for _, what, _ in place.events()] == ["DeployFailed"]
    assert kinds(place.deploy("e2", place.world.image("v2"), 200)) == ["service.deployed"], "nothing ran before"


def a_deadline_counts_from_the_change():
    place = Place(timeoutSeconds=3).settled()
    place.fates(slow="unready")
    events = place.deploy("e1", place.world.image("slow"), 100)
    assert kinds(events) == ["incident.detected", "service.rolledback"] and "not up within 3 s" in json.dumps(events[0]), events


def the_workloads_own_deadline_counts():
    place = Place(workload("NAME", "FIRST", progressDeadlineSeconds=3) | {"metadata": {}}).settled()
    place.fates(slow="unready")
    events = place.deploy("e1", place.world.image("slow"), 100)
    assert kinds(events) == ["incident.detected", "service.rolledback"], events


# ---- who may, and who else does ----

def what_others_look_after_is_left_alone():
    owners = [({"annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "default"},
                "labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
              ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux"}}, "Flux"),
              ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:default/NAME"}}, "Argo CD")]
    for metadata, name in owners:
        place = Place(workload("NAME", "FIRST") | {"metadata": metadata}).settled()
        before, image = place.get(), place.world.image("v1")
        told = reason(place.deploy("e1", image, 100))
        assert name in told and "force" in told and changed(before, place.get()) == [], told
        place.target["force"] = True
        place.write()
        assert kinds(place.deploy("e2", image, 100)) == ["service.upgraded"] and place.stands() == image


def without_permission_it_is_said_what_is_missing():
    place = Place(permitted=False)
    (place.cluster.directory / "nobody.token").write_text(place.cluster.token("nobody"))
    place.write(place.cluster.kubeconfig("nobody", tokenFile="nobody.token"))
    image = place.world.image("v1")
    said = place.deploy("e1", image, 100, code=1)  # a role may be on its way: another try is of use
    assert "403 Forbidden" in said and "pushwright rbac" in said and "resource" in said, said
    place.permit()
    place.write()
    assert kinds(place.settled().deploy("e1", image, 100)) == ["service.upgraded"]


def what_is_not_there_yet_is_tried_again():
    place = Place()
    place.cluster.ask("DELETE", f"{place.path}/{place.name}")
    wait_until(lambda: place.cluster.http("GET", f"{place.path}/{place.name}").status == 404, 30, "it to be gone")
    said = place.deploy("e1", place.world.image("v1"), 100, code=1)
    assert "404" in said and "not found" in said, said


def a_pod_deploys_as_its_service_account():
    place = Place()
    if os.getuid() != 0:
        raise Skip("a place for the service account's files wants root")
    place.settled()
    account = place.cluster.directory / "account"
    account.mkdir()
    (account / "token").write_text(place.cluster.token(place.name))
    (account / "namespace").write_text("default")
    shutil.copy(place.cluster.ca, account / "ca.crt")
    place.target["cluster"] = "in-cluster"
    place.write()
    files = "mount -t tmpfs none /run && d=/run/secrets/kubernetes.io/serviceaccount && mkdir -p $d && cp \"$0\"/* $d && exec \"$@\""
    image = place.world.image("v1")
    events = place.deploy("e1", image, 100, prefix=["unshare", "--mount", "sh", "-c", files, str(account)],
                          environment={"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(place.cluster.port)})
    assert kinds(events) == ["service.upgraded"] and place.stands() == image
    assert "inside a pod only" in place.deploy("e2", place.world.image("v2"), 200, code=1)


# ---- at work ----

def who_is_told_to_stop_leaves_the_rollout_to_the_next():
    place = Place().settled()
    place.fates(slow=None)
    image = place.world.image("slow")
    run = place.begin("e1", image, 100, environment={"PUSHWRIGHT_DRAIN_SECONDS": "1"})
    wait_until(lambda: place.stands() == image, 30, "the patch")
    run.child.terminate()
    run.end(code=1)
    place.fates()
    assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"]


def a_server_follows_several_rollouts_at_once():
    places = [Place().settled() for _ in range(3)]
    for place in places:  # each may what it needs, and one config has them all
        place.cluster.allow(places[0].name, [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}], name=f"also-{place.name}")
    (places[0].cluster.directory / "deploy.token").write_text(places[0].cluster.token(places[0].name))
    config = json.loads(places[0].config.read_text())
    config["triggers"] = [json.loads(place.config.read_text())["triggers"][0] for place in places]
    places[0].config.write_text(json.dumps(config))
    images = [place.world.image(tag) for place, tag in zip(places, ("slow", "slower", "v1"))]
    places[0].fates(slow=None, slower=None)
    answers = {}

    def post(number):
        event = requested(f"e{number}", images[number], places[number].name, sequence=100)
        answers[number] = http("POST", f"http://127.0.0.1:{port}/", event.encode(), {"Content-Type": "application/cloudevents+json"}, seconds=60)
    port = free_port()
    environment = {"PUSHWRIGHT_CONFIG": str(places[0].config), "PUSHWRIGHT_CHAIN_KEY": CHAIN_KEY, "PATH": os.environ["PATH"],
                   "PUSHWRIGHT_LISTEN": f"127.0.0.1:{port}"}
    with process([BIN / "deploy"], ready=lambda: port_open(port), env=environment, stdout=subprocess.DEVNULL):
        threads = [threading.Thread(target=post, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: list(answers) == [2], 60, "the one that is not slow to be told")
        places[0].fates()
        for thread in threads:
            thread.join()
    for number, answer in answers.items():
        assert answer.status == 200 and answer.headers["ce-type"].endswith("service.upgraded.0.3.0"), (number, answer.status, answer.text)
        assert places[number].stands() == images[number]


def clusters_stand_side_by_side():
    place = Place()  # of the first; a second one, with an authority and credentials of its own, has a workload of the same name
    with temporary_directory() as directory:
        second = Cluster(directory)
        try:
            second.start()
            paused = {**place.body, "spec": {**place.body["spec"], "paused": True}}
            second.create(place.path, json.loads(json.dumps(paused)))
            config = json.loads(place.config.read_text())
            config["clusters"].append({"name": "second", "kubeconfig": {"file": str(second.kubeconfig("second", **second.certificate(
                "second", organization="system:masters")))}})
            config["triggers"][0]["deploy"].append({**place.target, "cluster": "second"})
            place.config.write_text(json.dumps(config))
            image = place.world.image("v1")
            before = second.get(f"{place.path}/{place.name}")
            assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"]
            assert second.get(f"{place.path}/{place.name}")["spec"] == before["spec"] and place.stands() == image
            events = place.deploy("e2", image, 100, target=1)
            assert kinds(events) == ["service.upgraded"] and events[0]["data"]["subject"]["id"] == f"second/default/{place.name}", events
            assert second.get(f"{place.path}/{place.name}")["spec"]["template"]["spec"]["containers"][0]["image"] == image
        finally:
            second.stop()


# ---- how it is written ----

def an_image_is_written_as_the_target_wants_it():
    for form, text in (("tag", "{name}:{tag}"), ("digest", "{name}@{digest}")):
        place = Place(write=form).settled()
        image = place.world.image("v1")
        name, digest = image.split("@")
        assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"]
        assert place.stands() == text.format(name=name.rsplit(":", 1)[0], tag="v1", digest=digest), place.stands()
        assert "already" in reason(place.deploy("e2", image, 100))
        moved = place.world.image("v1")
        assert kinds(place.deploy("e3", moved, 200)) == ["service.upgraded"] and place.marks()["image"] == moved
        assert place.stands() != text.format(name=name.rsplit(":", 1)[0], tag="v1", digest=digest), "the same tag would change nothing"


only = sys.argv[1:]
with shared:
    run_tests([t for t in [an_image_is_deployed_and_told_when_it_is_up, a_redelivery_does_nothing_twice, what_is_older_is_refused,
               sets_are_rolled_out_by_their_own_rules, an_init_container_is_named_like_any_other,
               what_is_not_waited_for_is_told_as_what_it_is, a_custom_resource_is_changed_by_path_alone, knative_services_get_a_new_revision,
               what_does_not_come_up_is_rolled_back_and_stays_away, a_person_brings_back_what_failed,
               without_a_good_one_the_failure_stays_and_is_told, a_deadline_counts_from_the_change, the_workloads_own_deadline_counts,
               what_others_look_after_is_left_alone, without_permission_it_is_said_what_is_missing, what_is_not_there_yet_is_tried_again,
               a_pod_deploys_as_its_service_account, who_is_told_to_stop_leaves_the_rollout_to_the_next,
               a_server_follows_several_rollouts_at_once, clusters_stand_side_by_side,
               an_image_is_written_as_the_target_wants_it] if not only or t.__name__ in only])
