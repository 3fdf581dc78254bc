#!/usr/bin/env python3
"""`pushwright plan`, `deploy` and `rollback` against the real API server, with the configuration's kubeconfig and with a person's own; and what several
targets and freezes mean there."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from kubelet import Run
from pushwright import BIN, run_tests
from rollouts import Place, kinds, reason, shared

ALWAYS = [{"from": "0 0 * * *", "to": "0 0 * * *"}]


def person(place, command, *arguments, code=0, **environment):
    """What is said on standard output, or as complaint."""
    arguments = [*(["--as", "ann"] if command != "plan" else []), str(place.config), *([place.name] if command != "plan" else []), *arguments]
    run = subprocess.run([str(BIN / "pushwright"), command, *arguments], capture_output=True, text=True, timeout=120,
                         env={**os.environ, "KUBECONFIG": "/nonexistent", **environment})
    assert run.returncode == code, f"{command} {arguments}: exit {run.returncode}: {run.stdout}{run.stderr}"
    return run.stdout if code == 0 else run.stderr


def named(image):
    """name:tag of name:tag@digest."""
    return image.split("@")[0]


def lasting(found):
    """An object without what controllers change all the time."""
    return {part: found[part] for part in ("metadata", "spec")} | {"metadata": {**found["metadata"], "resourceVersion": "", "managedFields": []}}


def a_plan_shows_the_patch_and_changes_nothing():
    place = Place().settled()
    image = place.world.image("v1")
    before = lasting(place.get())
    said = person(place, "plan", "--trigger", place.name, named(image))
    assert lasting(place.get()) == before
    assert f"asks for it: tag 'v1' is accepted" in said and f"{place.name} 0: test/default/{place.name}" in said, said
    patch = json.loads(said.split("strategic merge patch: ", 1)[1].splitlines()[0])
    assert patch["spec"]["template"]["spec"]["containers"] == [{"name": "web", "image": image}], patch
    assert f"    /spec/template/spec/containers/0/image\n      - \"{place.first}\"\n      + \"{image}\"" in said, said
    assert "managedFields" not in said and "/status" not in said, said
    place.deploy("e1", image, 1)
    assert "then: the same" in person(place, "plan", named(image))
    place.cluster.patch(f"{place.path}/{place.name}", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"},
                                                                    "annotations": {"meta.helm.sh/release-name": "shop"}}})
    said = person(place, "plan", named(place.world.image("v2")))
    assert "Helm's release 'shop' looks after it: deploy would leave it alone" in said, said
    assert "Helm's release 'shop' looks after it" in person(place, "deploy", named(image), code=3)


def a_person_deploys_and_rolls_back():
    place = Place().settled()
    first, second, third = (place.world.image(tag) for tag in ("v1", "v2", "v3"))
    place.deploy("e1", first, 1)
    place.deploy("e3", third, 3)
    said = person(place, "deploy", "--wait", named(second))
    assert f"shall run {second}" in said and f"test/default/{place.name} runs it" in said and place.stands() == second, said
    assert place.marks()["person"] == "ann" and place.marks()["kubernetes.io/change-cause"].startswith("pushwright: ann: "), place.marks()
    told = place.tick()
    assert kinds(told) == ["service.upgraded"] and told[0]["data"]["customData"]["person"] == "ann" and place.tick() == [], told
    assert "since then ann has decided by hand" in reason(place.deploy("e3", third, 3)) and place.stands() == second

    said = person(place, "rollback", "--wait")
    assert f"is back at {third}" in said and place.stands() == third, said
    told = place.tick()
    assert kinds(told) == ["service.rolledback"] and told[0]["data"]["customData"]["reason"] == "rolled back by ann" and place.tick() == [], told
    assert "failed here before" in reason(place.deploy("e2", second, 2)), "no redelivery brings it back"
    assert "is back already" in person(place, "rollback")
    said = person(place, "rollback", "--wait", "--to", first.split("@")[1])
    assert place.stands().endswith(first.split("@")[1]) and "is back at" in said, said
    assert "what shall be taken back" not in said and place.tick()


def what_does_not_come_up_goes_back_while_the_person_waits():
    place = Place().settled()
    first, bad = place.world.image("v1"), place.world.image("v2")
    place.deploy("e1", first, 1)
    place.fates(v2="missing")
    said = person(place, "deploy", "--wait", named(bad), code=1)
    assert "ImagePullBackOff" in said and f"it is at {first}" in said and place.stands() == first, said
    assert kinds(place.tick()) == ["incident.detected", "service.rolledback"] and place.tick() == []


def a_person_goes_by_the_own_kubeconfig():
    place = Place(cluster="in-cluster", permitted=False).settled()
    image = place.world.image("v1")
    own = place.cluster.directory / "admin.kubeconfig"
    assert "/nonexistent" in person(place, "deploy", named(image), code=3)
    assert "no context 'there'" in person(place, "deploy", "--context", "there", named(image), code=3, KUBECONFIG=str(own))
    person(place, "deploy", "--wait", "--context", "here", named(image), KUBECONFIG=f"{own}:/nonexistent")
    assert place.stands() == image
    home = place.cluster.directory / "home"
    (home / ".kube").mkdir(parents=True)
    (home / ".kube/config").write_text(own.read_text())
    assert "runs it already" in person(place, "deploy", named(image), KUBECONFIG="", HOME=str(home))
    nobody = place.cluster.kubeconfig("nobody", token=place.cluster.token("nobody"))
    said = person(place, "plan", named(image), code=3, KUBECONFIG=str(nobody))
    assert "cannot get resource" in said, said


def two(strategy):
    """Places of two workloads, the first with a trigger for both."""
    place, other = Place().settled(), Place(permitted=False).settled()
    place.target = [place.target, other.target]
    original = place.write

    def write(**trigger):
        original(**{"deploy": place.target, "strategy": strategy, **trigger})
    place.write = write
    place.write()
    place.permit()
    place.fates()
    return place, other


def stands(place):
    return next(c["image"] for c in place.get()["spec"]["template"]["spec"]["containers"] if c["name"] == "web")


def asked(events):
    return [event for event in events if "deploy.requested" in event["type"]]


def on(place, event):
    """Under the signature that it came with: byte by byte as it was written."""
    return Run(place.config, json.dumps(event, separators=(",", ":"), ensure_ascii=False)).end()


def in_an_order_production_follows_staging():
    place, production = two("ordered")
    image = place.world.image("v1")
    events = place.deploy("e1", image, 1)
    assert kinds(events) == ["pushwright-deploy.requested", "service.upgraded"] and stands(production) != image, events
    assert kinds(on(place, events[0])) == ["service.upgraded"] and stands(production) == image
    place.fates(v2="missing")
    assert asked(place.deploy("e2", place.world.image("v2"), 2)) == [] and stands(production) == image


def all_workloads_or_none_keep_an_image():
    place, other = two("all-or-nothing")
    first, second = place.world.image("v1"), place.world.image("v2")
    for target in (0, 1):
        place.deploy(f"e1-{target}", first, 1, target=target)
    assert kinds(place.deploy("e2-0", second, 2)) == ["service.upgraded"] and stands(place) == second
    place.fates(v2="missing")
    failed = place.deploy("e2-1", second, 2, target=1)
    assert kinds(failed) == ["pushwright-deploy.requested", "incident.detected", "service.rolledback"] and stands(other) == first, failed
    assert kinds(on(place, failed[0])) == ["service.rolledback"] and stands(place) == first
    assert "failed here before" in reason(place.deploy("e2-0", second, 2)) and place.tick() == []


def what_waits_for_the_end_of_a_freeze_stands_on_the_workload():
    place = Place().settled()
    place.fates()
    first, second = place.world.image("v1"), place.world.image("v2")
    place.deploy("e1", first, 1)
    place.write(freeze=ALWAYS)
    before = place.get()
    assert "frozen until" in reason(place.deploy("e2", second, 2)) and place.stands() == first
    after = place.get()
    assert after["spec"] == before["spec"] and place.tick() == [], "no pod is touched"
    assert json.loads(place.marks()["parked"])["image"] == second
    place.write()
    told = place.tick() + place.tick()
    assert kinds(told) == ["service.upgraded"] and place.stands() == second and "parked" not in place.marks(), told


with shared:
    run_tests([a_plan_shows_the_patch_and_changes_nothing, a_person_deploys_and_rolls_back,
               what_does_not_come_up_goes_back_while_the_person_waits, a_person_goes_by_the_own_kubeconfig,
               in_an_order_production_follows_staging, all_workloads_or_none_keep_an_image,
               what_waits_for_the_end_of_a_freeze_stands_on_the_workload])
