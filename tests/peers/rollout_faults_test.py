#!/usr/bin/env python3
"""What happens to deploy while it changes a workload of a real control plane: races, refusals, servers and processes that are killed. Whatever it was,
after a redelivery the end is right and nothing was done twice."""
import base64
import http.server
import json
import pathlib
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from faulty_api import HELD_BACK, LOST, FaultyApi
from kube import MERGE
from pushwright import run_tests, wait_until
from rollouts import Place, changed, kinds, reason, shared, the_world


def behind(place, decide=lambda method, path: None):
    """The place's cluster is asked through a faulty front from now on."""
    front = FaultyApi(place.cluster, decide)
    shared.callback(front.stop)
    place.write(place.cluster.kubeconfig("front", server=front.url, cluster={"certificate-authority": None}, tokenFile="deploy.token"))
    return front


class Once:
    """The first request that is a patch of a workload's image meets `what`; a function is called for its verdict."""

    def __init__(self, what, method="PATCH", times=1):
        self.what, self.method, self.left = what, method, times

    def __call__(self, method, path):
        if method != self.method or self.left == 0:
            return None
        self.left -= 1
        return self.what() if callable(self.what) else self.what


# ---- somebody is faster ----

def the_newer_of_two_racing_deploys_wins():
    place = Place().settled()
    older, newer = place.world.image("v1"), place.world.image("v2")

    def newer_overtakes():
        place.write()
        assert kinds(place.deploy("e2", newer, 200)) == ["service.upgraded"]
    behind(place, Once(newer_overtakes))
    assert "newer push" in reason(place.deploy("e1", older, 100)) and place.stands() == newer

    place = Place().settled()

    def older_overtakes():
        place.write()
        assert kinds(place.deploy("e1", older, 100)) == ["service.upgraded"]
    behind(place, Once(older_overtakes))
    assert kinds(place.deploy("e2", newer, 200)) == ["service.upgraded"] and place.stands() == newer


def who_is_overtaken_while_it_comes_up_says_so():
    place = Place().settled()
    place.fates(slow=None)
    run = place.begin("e1", place.world.image("slow"), 100)
    wait_until(lambda: ":slow@" in place.stands(), 30, "the patch")
    newer = place.world.image("v2")
    assert kinds(place.deploy("e2", newer, 200)) == ["service.upgraded"]
    assert "superseded" in reason(run.end()) and place.stands() == newer

    run = place.begin("e3", place.world.image("slow"), 300)
    wait_until(lambda: ":slow@" in place.stands(), 30, "the patch")
    body = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "registry.example.com/by-hand:1"}]}}}}
    place.cluster.patch(f"{place.path}/{place.name}", body, "application/strategic-merge-patch+json")
    assert "by-hand" in reason(run.end())
    assert "somebody else" in reason(place.deploy("e3", place.world.image("slow"), 300)), "nor is it undone by a redelivery"
    assert kinds(place.deploy("e4", place.world.image("v4"), 400)) == ["service.upgraded"]


def a_storm_of_conflicts_is_waited_out():
    place = Place().settled()
    number = 0

    def touch():
        nonlocal number
        number += 1
        place.cluster.patch(f"{place.path}/{place.name}", {"metadata": {"annotations": {"note": str(number)}}}, MERGE)
    image = place.world.image("v1")
    behind(place, Once(touch, times=6))
    assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"]
    assert number == 6, number
    assert place.marks()["note"] == "6" and place.revision(2)
    behind(place, Once(touch, times=-1))
    said = place.deploy("e2", place.world.image("v2"), 200, code=1)
    assert "409 Conflict" in said and place.stands() == image, said


# ---- the server says no, or later ----

def what_an_admission_refuses_is_told_and_changes_nothing():
    place = Place().settled()
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            images = [c["image"] for c in review["request"]["object"]["spec"]["template"]["spec"]["containers"]]
            asked.append(images)
            fine = not any(":evil@" in image for image in images)
            body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
                "uid": review["request"]["uid"], "allowed": fine, "status": {"message": "evil images are not for us"}}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place.cluster.directory / "server.crt", place.cluster.directory / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    place.cluster.create(hooks, {"metadata": {"name": "evil"}, "webhooks": [{
        "name": "evil.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"url": f"https://127.0.0.1:{server.server_port}/", "caBundle": base64.b64encode(place.cluster.ca.read_bytes()).decode()},
        "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["UPDATE"]}]}]})
    try:
        def is_asked():
            place.cluster.patch(f"{place.path}/{place.name}", {"metadata": {"annotations": {"note": str(time.time())}}}, MERGE)
            return asked
        wait_until(is_asked, 30, "the webhook to be asked")
        before = place.get()
        events = place.deploy("e1", place.world.image("evil"), 100)
        assert kinds(events) == ["incident.detected"], events
        assert "evil images are not for us" in events[0]["data"]["subject"]["content"]["description"], events
        assert changed(before, place.get()) == []
        assert kinds(place.deploy("e2", place.world.image("v2"), 200)) == ["service.upgraded"]
    finally:
        place.cluster.ask("DELETE", f"{hooks}/evil")
        server.shutdown()
        server.server_close()


def later_is_waited_for_or_told():
    place = Place().settled()
    front = behind(place, Once((429, {"Retry-After": "1"}), times=2))
    image = place.world.image("v1")
    assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"] and front.decide.left == 0
    behind(place, Once((429, {"Retry-After": "30"}), times=-1))
    said = place.deploy("e2", place.world.image("v2"), 200, code=1)
    assert '"error_type":"busy"' in said and "429" in said and place.stands() == image, said


# ---- servers that are killed ----

def a_lost_answer_is_no_second_patch():
    place = Place().settled()
    for number, fault in enumerate((LOST, HELD_BACK), 1):
        image = place.world.image(f"v{number}")
        behind(place, Once(fault))
        run = place.begin(f"e{number}", image, number * 100)
        run.child.wait(60)
        place.write()
        again = place.deploy(f"e{number}", image, number * 100)
        assert kinds(again) == ["service.upgraded"] and place.stands() == image
        assert place.revision(number + 1) and len(place.events()) == number


def a_server_that_is_killed_around_the_patch_is_overcome():
    place = Place().settled()
    for number, verdict in enumerate((HELD_BACK, LOST), 1):
        def kill():
            if verdict == HELD_BACK:
                place.cluster.stop_api(kill=True)
                return None  # nobody is there
            return lambda: place.cluster.stop_api(kill=True)
        image = place.world.image(f"v{number}")
        behind(place, Once(kill))
        run = place.begin(f"e{number}", image, number * 100)
        run.child.wait(90)
        place.cluster.start_api()
        place.write()
        assert kinds(place.deploy(f"e{number}", image, number * 100)) == ["service.upgraded"]
        assert place.stands() == image and place.revision(number + 1)


def a_server_that_is_killed_during_the_watch_is_waited_for():
    place = Place().settled()
    place.fates(slow=None)
    image = place.world.image("slow")
    run = place.begin("e1", image, 100)
    wait_until(lambda: place.stands() == image, 30, "the patch")
    time.sleep(0.5)
    status = pathlib.Path(f"/proc/{run.child.pid}/status").read_text()
    resident = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    print(f"# {resident} KB resident while watching")
    assert resident <= 3 * 1024
    place.cluster.stop_api(kill=True)
    time.sleep(1)
    place.cluster.start_api()
    place.fates()
    assert kinds(run.end()) == ["service.upgraded"] and place.revision(2)


def a_token_that_rotates_during_the_watch_is_read_again():
    place = Place().settled()
    place.fates(slow=None)
    image = place.world.image("slow")
    run = place.begin("e1", image, 100)
    wait_until(lambda: place.stands() == image, 30, "the patch")
    old = f"/api/v1/namespaces/default/serviceaccounts/{place.name}"
    uid = place.cluster.get(old)["metadata"]["uid"]
    place.cluster.ask("DELETE", old)  # and with it what its tokens are worth
    (place.cluster.directory / "deploy.token").write_text(place.cluster.token(place.name))
    assert place.cluster.get(old)["metadata"]["uid"] != uid
    place.cluster.stop_api(kill=True)
    place.cluster.start_api()
    place.fates()
    assert kinds(run.end()) == ["service.upgraded"]


def what_is_deleted_while_it_comes_up_is_told_and_tried_again():
    place = Place().settled()
    place.fates(slow=None)
    image = place.world.image("slow")
    run = place.begin("e1", image, 100)
    wait_until(lambda: place.stands() == image, 30, "the patch")
    place.cluster.ask("DELETE", f"{place.path}/{place.name}")
    said = run.end(code=1)
    assert place.name in said and ("not found" in said or "deleted" in said), said
    place.fates()
    wait_until(lambda: place.cluster.http("GET", f"{place.path}/{place.name}").status == 404, 30, "it to be gone")
    place.make()
    place.settled()
    assert kinds(place.deploy("e1", image, 100)) == ["service.upgraded"] and place.stands() == image


# ---- deploy is killed ----

class Steps:
    """Counts what deploy asks for, and kills it around one of those."""

    def __init__(self, place):
        self.front = behind(place, self.decide)
        self.run, self.count, self.at, self.after = None, 0, None, False

    def kill(self):
        self.run.kill()

    def decide(self, method, path):
        self.count += 1
        if self.count != self.at:
            return None
        if self.after:
            return self.kill
        self.kill()
        return HELD_BACK

    def go(self, place, identity, image, sequence, at=None, after=False):
        self.count, self.at, self.after = 0, at, after
        self.run = place.begin(identity, image, sequence, environment={"PUSHWRIGHT_SINK": self.front.sink})
        self.run.child.wait(60)
        return self.run.child.returncode

    def told(self):
        """The events, each once however often it was told."""
        told, self.front.events = {event["id"]: event for event in self.front.events}, []
        return sorted(kinds(told.values()))


def killed_at_every_step(place, tag, wanted, changes):
    steps = Steps(place)
    assert steps.go(place, f"{tag}-0", place.world.image(f"{tag}0"), 1) == 0
    assert steps.told() == wanted
    number, revision = 0, 1 + changes
    for at in range(1, steps.count + 1):
        for after in (False, True):
            number += 1
            image, identity = place.world.image(f"{tag}{number}"), f"{tag}-{number}"
            stood = place.stands()
            steps.go(place, identity, image, 1 + number, at, after)
            where = f"killed {'after' if after else 'before'} request {at}: {steps.front.seen[-1]}"
            assert steps.go(place, identity, image, 1 + number) == 0, where
            assert steps.told() == wanted, where
            revision += changes
            assert place.revision(revision), where
            assert place.stands() == (image if changes == 1 else stood), where
            marks = place.marks()
            assert marks["event"] == marks["told"] == identity and marks["image"] == image, (where, marks)
            assert len([note for _, _, note in place.events() if image in note]) == 1, where
    print(f"# killed {number} times")


def killed_at_every_step_of_a_success():
    killed_at_every_step(Place().settled(), "v", ["service.upgraded"], 1)


def killed_at_every_step_of_a_rollback():
    place = Place().settled()
    place.world.kubelet.fates = {":broken": "missing"}
    killed_at_every_step(place, "broken", ["incident.detected", "service.rolledback"], 2)
    assert len(place.marks()["bad"].split()) == 10, "what is remembered is bounded"


def a_killed_rollout_is_taken_up_by_the_timer():
    place = Place().settled()
    place.fates(slow=None, broken="missing")
    run, image = place.begin("e1", place.world.image("slow"), 100), None
    wait_until(lambda: ":slow@" in place.stands(), 30, "the patch")
    run.kill()
    assert place.tick() == [], "it is coming up still"
    place.fates(broken="missing")
    told = wait_until(place.tick, 30, "it to be told")
    assert kinds(told) == ["service.upgraded"] and place.tick() == []
    stood = place.stands()
    steps = Steps(place)
    image = place.world.image("broken")
    steps.go(place, "e2", image, 200, at=3)  # when it begins to watch
    place.write()
    assert place.stands() == image
    told = wait_until(place.tick, 30, "it to be told")
    assert kinds(told) == ["incident.detected", "service.rolledback"] and place.stands() == stood and place.tick() == []
    assert place.marks()["bad"] == image.split("@")[1]


only = sys.argv[1:]
with shared:
    run_tests([t for t in [the_newer_of_two_racing_deploys_wins, who_is_overtaken_while_it_comes_up_says_so, a_storm_of_conflicts_is_waited_out,
               what_an_admission_refuses_is_told_and_changes_nothing, later_is_waited_for_or_told, a_lost_answer_is_no_second_patch,
               a_server_that_is_killed_around_the_patch_is_overcome, a_server_that_is_killed_during_the_watch_is_waited_for,
               a_token_that_rotates_during_the_watch_is_read_again, what_is_deleted_while_it_comes_up_is_told_and_tried_again,
               killed_at_every_step_of_a_success, killed_at_every_step_of_a_rollback, a_killed_rollout_is_taken_up_by_the_timer] if not only or t.__name__ in only])
