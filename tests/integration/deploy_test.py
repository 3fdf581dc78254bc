"""The shipped `deploy` and the local platform of `pushwright up`, with images of a real web server: what comes up serves, is replaced without
a failed request, stays when its successor does not come up, and every decision is an event."""
import gzip
import hashlib
import http.client
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from deliveries import Sink
from pushwright import BIN, Chain, free_port, http as request, run_tests, temporary_directory, wait_until, web_base, with_chain


class Layout:
    """Images of one repository, each the web server base with a page of its own."""

    def __init__(self, base, directory):
        self.directory = pathlib.Path(directory)
        subprocess.run(["cp", "-r", str(base), str(directory)], check=True)
        index = json.loads((self.directory / "index.json").read_text())
        self.manifest = json.loads(self.blob(index["manifests"][0]["digest"]))
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]))
        self.tags = {}

    def blob(self, digest):
        return (self.directory / "blobs" / digest.replace(":", "/")).read_bytes()

    def put(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        (self.directory / "blobs" / digest.replace(":", "/")).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    def image(self, tag, page, **settings):
        """Returns the digest; the tag moves when it exists."""
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
            entry = tarfile.TarInfo("var/www/html/index.html")
            entry.size = len(page)
            archive.addfile(entry, io.BytesIO(page.encode()))
        layer = self.put(gzip.compress(plain.getvalue(), mtime=0))
        config = json.loads(json.dumps(self.config))
        config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(plain.getvalue()).hexdigest())
        config["config"].update(settings)
        config.pop("history", None)
        manifest = json.loads(json.dumps(self.manifest))
        manifest["layers"].append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **layer})
        manifest["config"].update(self.put(json.dumps(config).encode()))
        self.tags[tag] = {"mediaType": "application/vnd.oci.image.manifest.v1+json", **self.put(json.dumps(manifest).encode()),
                          "annotations": {"org.opencontainers.image.ref.name": tag}}
        (self.directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": list(self.tags.values())}))
        return self.tags[tag]["digest"]


class Place:
    """A chain, a repository of images, and the deploy function run for one event at a time."""

    def __init__(self, directory):
        self.port = free_port()
        web_base(directory / "images/web")
        self.images = Layout(directory / "images/web", directory / "images/shop")
        self.chain = Chain(directory, {
            "registries": [{"host": "localhost", "layout": str(directory / "images")}],
            "triggers": [{"name": "shop", "image": "localhost/shop", "when": {"glob": "v*"},
                          "deploy": [{"cluster": "local", "workload": "shop", "servicePort": f"127.0.0.1:{self.port}",
                                      "readyTimeoutSeconds": 10}]}]})
        self.settings = {}
        self.chain.start()

    def deploy(self, *arguments, code=0, **more):
        """The events that come of it."""
        return self.handle(self.request(*arguments, **more), code)

    def request(self, identity, tag, digest, sequence=None, trigger="shop", target=0, time="2026-09-01T12:00:00Z", **more):
        custom = {"trigger": trigger, "target": target, "tag": tag, "digest": digest, "image": f"localhost/shop:{tag}@{digest}", **more}
        if sequence:
            custom.update(sequence=sequence, commit="c0ffee" + sequence)
        kind = "dev.cdeventsx.pushwright-deploy.requested.0.1.0"
        return {"specversion": "1.0", "id": identity, "source": "/test", "type": kind, "time": time, "datacontenttype": "application/json",
                "data": {"context": {"specversion": "0.5.1", "id": identity, "source": "/test", "type": kind,
                                     "timestamp": "2026-09-01T12:00:00Z"},
                         "subject": {"id": "local/default/shop", "content": {}}, "customData": custom}}

    def tick(self, **more):
        """A timer's event, which nobody signed."""
        event = {"specversion": "1.0", "id": "tick", "source": "/clock", "type": "dev.knative.sources.ping"}
        return self.handle({**event, **more}, 0, {"PUSHWRIGHT_TRUST_PLATFORM": "0", "PUSHWRIGHT_CHAIN_KEY": "k" * 32})

    def handle(self, event, code, settings=None):
        environment = {"PUSHWRIGHT_CONFIG": str(self.chain.config), "PUSHWRIGHT_TRUST_PLATFORM": "1", "PATH": os.environ["PATH"],
                       "PUSHWRIGHT_LOCAL_PLATFORM": f"unix:{self.chain.state}/run/platform.sock", **self.settings, **(settings or {})}
        run = subprocess.run([str(BIN / "deploy"), "--event", "-"], input=json.dumps(event), env=environment,
                             capture_output=True, text=True, timeout=60)
        assert run.returncode == code, f"exit {run.returncode}: {run.stdout}{run.stderr}"
        return [json.loads(line) for line in run.stdout.splitlines()]

    def page(self, port=None):
        return request("GET", f"http://127.0.0.1:{port or self.port}/", seconds=10).text

    def image(self, tag, page=None, **settings):
        return self.images.image(tag, page or f"page {tag}", **settings)


def kinds(events):
    return [event["type"].split(".", 2)[2].rsplit(".", 3)[0] for event in events]


def reason(events):
    assert kinds(events) == ["pushwright-decision.skipped"], events
    return json.dumps(events[0]["data"])


with_place = with_chain(Place)


@with_place
def an_image_is_deployed_and_told_once(place):
    digest = place.images.image("v1", "the first page")
    events = place.deploy("e1", "v1", digest, "100")
    assert kinds(events) == ["service.deployed"], events
    assert place.page() == "the first page"
    subject = events[0]["data"]["subject"]
    assert subject["id"] == "local/default/shop" and digest.replace(":", "%3A") in subject["content"]["artifactId"], subject
    assert events[0]["data"]["customData"]["url"] == f"http://127.0.0.1:{place.port}"
    again = place.deploy("e1", "v1", digest, "100")
    assert [event["id"] for event in again] == [event["id"] for event in events], again
    assert "already" in reason(place.deploy("e2", "v1", digest, "100"))


@with_place
def a_replacement_fails_no_request(place):
    place.deploy("e0", "v0", place.images.image("v0", "page 0"), "100")
    over, failures, answers = threading.Event(), [], [0, 0]

    def client(number, keep_alive):
        connection = None
        while not over.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", place.port, timeout=20)
                connection.request("GET", "/")
                answer = connection.getresponse()
                page = answer.read().decode()
                assert answer.status == 200 and page.startswith("page "), (answer.status, page)
                answers[number] += 1
                if not keep_alive or answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(repr(error))
                connection = None

    threads = [threading.Thread(target=client, args=(number, keep_alive)) for number, keep_alive in enumerate((False, True))]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 6):
            events = place.deploy(f"e{number}", f"v{number}", place.images.image(f"v{number}", f"page {number}"), f"{100 + number}")
            assert kinds(events) == ["service.upgraded"], events
            assert "previousArtifactId" in events[0]["data"]["customData"], events
            assert place.page() == f"page {number}"
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:5]
    assert min(answers) > 10, answers


@with_place
def what_does_not_come_up_leaves_the_old_one(place):
    good = place.images.image("v1", "the good page")
    place.deploy("e1", "v1", good, "100")
    bad = place.images.image("v2", "never seen", Entrypoint=["/no/such/program"], Cmd=None)
    events = place.deploy("e2", "v2", bad, "101")
    assert kinds(events) == ["incident.detected", "service.rolledback"], events
    assert "/no/such/program" in events[0]["data"]["subject"]["content"]["description"], events[0]
    assert good.replace(":", "%3A") in events[1]["data"]["subject"]["content"]["artifactId"], events[1]
    assert bad.replace(":", "%3A") in events[1]["data"]["customData"]["failedArtifactId"], events[1]
    assert place.page() == "the good page"
    again = place.deploy("e2", "v2", bad, "101")
    assert [event["id"] for event in again] == [event["id"] for event in events], again
    fixed = place.images.image("v3", "the fixed page")
    assert kinds(place.deploy("e3", "v3", fixed, "102")) == ["service.upgraded"]
    assert place.page() == "the fixed page"


@with_place
def older_and_moved_images_are_passed_over(place):
    newer, older = place.images.image("v2", "newer"), place.images.image("v1", "older")
    place.deploy("e2", "v2", newer, "000000000000200")
    assert "newer" in reason(place.deploy("e1", "v1", older, "000000000000100"))
    place.images.image("v1", "moved")
    assert "moved on" in reason(place.deploy("e3", "v1", older, "000000000000300"))
    assert "no longer" in reason(place.deploy("e4", "v9", older, "000000000000300"))
    assert place.page() == "newer"


@with_place
def what_was_uploaded_by_hand_is_ordered_by_its_event(place):
    first, second = place.images.image("v1", "first"), place.images.image("v2", "second")
    place.deploy("e1", "v1", first, time="2026-09-01T12:00:00Z")
    assert kinds(place.deploy("e2", "v2", second, time="2026-09-01T12:00:00.001Z")) == ["service.upgraded"]
    late = place.deploy("e1", "v1", first, time="2026-09-01T12:00:00Z")  # once more
    assert "tag 'v1' is older than what is in service" in reason(late), late
    assert place.page() == "second"


def rules(place, **members):
    """The trigger from now on."""
    config = json.loads(place.chain.config.read_text())
    config["triggers"][0].update(members)
    place.chain.config.write_text(json.dumps(config))


@with_place
def nothing_goes_back_to_an_older_version(place):
    rules(place, when={"semver": "*"})
    digests = {tag: place.images.image(tag, tag) for tag in ["v1.9.0", "v1.10.0", "v1.11.0-rc.1", "latest"]}
    place.deploy("e1", "v1.10.0", digests["v1.10.0"], "000000000000100")
    older = place.deploy("e2", "v1.9.0", digests["v1.9.0"], "000000000000200")  # a later push of an older line
    assert "tag 'v1.9.0' is older than what is in service" in reason(older) and "by its version" in reason(older), older
    again = place.images.image("v1.10.0", "the same version anew")
    assert kinds(place.deploy("e3", "v1.10.0", again, "000000000000300")) == ["service.upgraded"]
    assert place.page() == "the same version anew"
    rules(place, downgrade=True)
    assert kinds(place.deploy("e4", "v1.9.0", digests["v1.9.0"], "000000000000400")) == ["service.upgraded"]
    assert place.page() == "v1.9.0"


@with_place
def a_newer_version_that_comes_late_is_still_the_newer(place):
    rules(place, when={"regex": r"^v(\d+)$", "order": "numeric"})
    nine, ten = place.images.image("v9", "nine"), place.images.image("v10", "ten")
    place.deploy("e1", "v9", nine, time="2026-09-01T12:00:01Z")
    assert kinds(place.deploy("e2", "v10", ten, time="2026-09-01T12:00:00Z")) == ["service.upgraded"]
    assert "by its number" in reason(place.deploy("e3", "v9", nine, time="2026-09-01T12:00:02Z"))
    assert place.page() == "ten"


@with_place
def what_the_configuration_does_not_say_is_not_done(place):
    digest = place.images.image("v1", "page")
    place.deploy("e1", "v1", digest, trigger="other", code=1)  # it may be on its way: try again
    place.deploy("e2", "v1", digest, target=1, code=1)
    place.deploy("e3", "latest", place.images.image("latest", "page"), code=42)  # the condition wants v*
    assert not [event for event in place.chain.events("service.")]


@with_place
def an_outcome_that_nobody_took_is_told_on_the_timer(place):
    assert place.tick() == [], "there is no service yet"
    digest = place.images.image("v1", "untold")
    refusing = Sink()
    refusing.answers = [400] * 9
    place.settings = {"PUSHWRIGHT_SINK": refusing.url}
    place.deploy("e1", "v1", digest, "100", code=1)  # the image runs, the next hop takes nothing, and nobody asks again
    assert place.page() == "untold"
    place.settings = {}
    told = place.tick()
    assert kinds(told) == ["service.deployed"], told
    assert place.tick() == [], "it is noted that this was told"
    [again] = place.deploy("e1", "v1", digest, "100")
    assert told[0]["id"] == again["id"] and told[0]["correlationid"] == again["correlationid"], (told[0], again)
    assert told[0]["data"]["context"]["links"] == again["data"]["context"]["links"], told[0]

    bad = place.images.image("v2", "never seen", Entrypoint=["/no/such/program"], Cmd=None)
    place.settings = {"PUSHWRIGHT_SINK": refusing.url}
    place.deploy("e2", "v2", bad, "101", code=1)
    place.settings = {}
    assert kinds(place.tick()) == ["incident.detected", "service.rolledback"] and place.tick() == []
    assert kinds(place.deploy("e3", "v1", digest, "102")) == ["service.upgraded"] and place.tick() == []


def also(place, strategy, *workloads):
    """The trigger has these targets, too; their ports."""
    targets = json.loads(place.chain.config.read_text())["triggers"][0]["deploy"]
    ports = [free_port() for _ in workloads]
    targets += [{"cluster": "local", "workload": name, "servicePort": f"127.0.0.1:{port}", "readyTimeoutSeconds": 10}
                for name, port in zip(workloads, ports)]
    rules(place, deploy=targets, strategy=strategy)
    return ports


def asked(events):
    return [event for event in events if "deploy.requested" in event["type"]]


@with_place
def in_an_order_each_target_waits_for_the_one_before(place):
    live, archive = also(place, "ordered", "live", "archive")
    digest = place.image("v1")
    events = place.deploy("e1", "v1", digest, "100", ref="refs/heads/main", build="shop")
    assert kinds(events) == ["pushwright-deploy.requested", "service.deployed"], events
    custom = events[0]["data"]["customData"]
    assert custom["target"] == 1 and custom["digest"] == digest and custom["sequence"] == "100" and custom["commit"] == "c0ffee100", custom
    assert custom["ref"] == "refs/heads/main" and custom["build"] == "shop" and "local/default/shop runs it" in custom["reason"], custom
    assert events[0]["svcname"] == "live" and events[0]["correlationid"] == events[1]["correlationid"], events[0]
    second = place.handle(events[0], 0)
    assert kinds(second) == ["pushwright-deploy.requested", "service.deployed"] and place.page(live) == "page v1", second
    third = place.handle(asked(second)[0], 0)
    assert kinds(third) == ["service.deployed"] and place.page(archive) == "page v1", third
    again = place.deploy("e1", "v1", digest, "100", ref="refs/heads/main", build="shop")
    assert [event["id"] for event in again] == [event["id"] for event in events], "a redelivery asks for the same once more"
    repeated = place.deploy("e1b", "v1", digest, "100")  # another request for what runs: the next may not have it yet
    assert kinds(repeated) == ["pushwright-deploy.requested", "pushwright-decision.skipped"], repeated

    bad = place.image("v2", Entrypoint=["/no/such/program"], Cmd=None)
    assert asked(place.deploy("e2", "v2", bad, "101")) == [], "what does not come up goes no further"
    assert asked(place.deploy("e0", "v1", digest, "099")) == [], "nor does what is older"
    assert place.page(live) == "page v1"

    refusing = Sink()
    refusing.answers = [400] * 9
    place.settings = {"PUSHWRIGHT_SINK": refusing.url}
    place.deploy("e3", "v3", place.image("v3"), "103", code=1)
    place.settings = {}
    told = place.tick()
    assert kinds(told) == ["pushwright-deploy.requested", "service.upgraded"], "the timer goes on with the order, too"
    assert kinds(place.handle(told[0], 0)) == ["pushwright-deploy.requested", "service.upgraded"] and place.page(live) == "page v3"


@with_place
def the_chain_goes_through_an_order_by_itself(place):
    (live,) = also(place, "ordered", "live")
    place.chain.stop()
    place.chain.start()
    pushwright = [BIN / "pushwright"]
    event = json.dumps(place.request("e1", "v1", place.image("v1"), "100"))
    subprocess.run([*pushwright, "send", "--state", place.chain.state, "-"], input=event, text=True, check=True, capture_output=True, timeout=60)
    wait_until(lambda: len(place.chain.events("service.deployed")) == 2, 30, "both targets to run it")
    assert [place.page(port) for port in (None, live)] == ["page v1"] * 2
    told = subprocess.run([*pushwright, "history", "--state", place.chain.state], text=True, check=True, capture_output=True).stdout
    assert "deploy   local/default/live shall run localhost/shop:v1" in told, told


@with_place
def all_targets_or_none_keep_an_image(place):
    live, late = also(place, "all-or-nothing", "live", "late")
    first = place.image("v1")
    for target in range(3):
        events = place.deploy(f"e1-{target}", "v1", first, "100", target=target)
        assert kinds(events) == ["service.deployed"], events
    second = place.image("v2")
    assert kinds(place.deploy("e2-0", "v2", second, "101")) == ["service.upgraded"] and place.page() == "page v2"
    targets = json.loads(place.chain.config.read_text())["triggers"][0]["deploy"]
    rules(place, deploy=[targets[0], {**targets[1], "containerPort": 9, "readyTimeoutSeconds": 1}, targets[2]])
    failed = place.deploy("e2-1", "v2", second, "101", target=1)
    assert kinds(failed) == ["pushwright-deploy.requested"] * 2 + ["incident.detected", "service.rolledback"], failed
    undo = asked(failed)
    assert [event["svcname"] for event in undo] == ["shop", "late"], undo
    assert all("local/default/live" in event["data"]["customData"]["undo"] for event in undo), undo

    refusing = Sink()
    refusing.answers = [400] * 9
    place.settings = {"PUSHWRIGHT_SINK": refusing.url}
    place.handle(undo[0], 1)  # it is taken back, and nobody hears of it
    place.settings = {}
    assert place.page() == "page v1"
    back = place.tick()
    assert kinds(back) == ["service.rolledback"] and place.page() == "page v1", back
    assert first.replace(":", "%3A") in back[0]["data"]["subject"]["content"]["artifactId"], back
    assert "all or none" in back[0]["data"]["customData"]["reason"] and "local/default/live" in back[0]["data"]["customData"]["reason"], back
    assert [event["id"] for event in place.handle(undo[0], 0)] == [back[0]["id"]], "once more: the same"
    assert "failed here before" in reason(place.deploy("e2-0", "v2", second, "101")), "no redelivery brings it back"
    assert "does not run the image" in reason(place.handle(undo[1], 0))
    assert "failed here before" in reason(place.deploy("e2-2", "v2", second, "101", target=2)), "nor does what comes later"
    assert place.tick() == [] and [place.page(port) for port in (None, live, late)] == ["page v1"] * 3

    rules(place, deploy=targets)
    third = place.image("v3")
    for target in range(3):
        assert kinds(place.deploy(f"e3-{target}", "v3", third, "102", target=target)) == ["service.upgraded"]
    assert [place.page(port) for port in (None, live, late)] == ["page v3"] * 3


ALWAYS = [{"from": "0 0 * * *", "to": "0 0 * * *"}]


@with_place
def what_is_asked_for_in_a_freeze_comes_after_it(place):
    rules(place, freeze=ALWAYS)
    digests = {tag: place.image(tag) for tag in ("v1", "v2", "v3", "v4", "v5")}
    assert kinds(place.deploy("e1", "v1", digests["v1"], "100")) == ["service.deployed"], "where nothing runs, nothing is frozen"
    held = place.deploy("e3", "v3", digests["v3"], "103")
    assert "frozen until 20" in reason(held) and "v3" in reason(held), held
    assert place.tick() == [] and place.page() == "page v1"
    assert kinds(place.deploy("e1", "v1", digests["v1"], "100")) == ["service.deployed"], "what was begun is gone on with"
    assert "waits for the end of a freeze" in reason(place.deploy("e2", "v2", digests["v2"], "102"))
    assert "frozen until" in reason(place.deploy("e4", "v4", digests["v4"], "104")), "the newest is what waits"
    rules(place, freeze=[])
    assert "waits for the end of a freeze" in reason(place.deploy("e2", "v2", digests["v2"], "102")), "also when it is over"
    told = place.tick()
    assert kinds(told) == ["service.upgraded"] and place.page() == "page v4", told
    assert told[0]["correlationid"] and place.tick() == [], told
    [again] = place.deploy("e4", "v4", digests["v4"], "104")
    assert again["id"] == told[0]["id"] and again["correlationid"] == told[0]["correlationid"], (again, told)

    rules(place, freeze=ALWAYS)
    assert "frozen until" in reason(place.deploy("e5", "v5", digests["v5"], "105"))
    person = place.deploy("e6", "v1", digests["v1"], time="2026-09-01T12:00:00Z", person="ann")
    assert kinds(person) == ["service.upgraded"] and place.page() == "page v1", "a person does not wait"
    assert place.tick() == [], "and has decided against what waits"


@with_place
def what_waits_is_checked_when_it_is_its_turn(place):
    place.deploy("e1", "v1", place.image("v1"), "100")
    targets = json.loads(place.chain.config.read_text())["triggers"][0]["deploy"]
    rules(place, deploy=[{**targets[0], "freeze": ALWAYS}])
    second = place.image("v2")
    assert "frozen until" in reason(place.deploy("e2", "v2", second, "102"))
    place.image("v2", "moved")
    assert "waits" in reason(place.deploy("e0", "v1", place.images.tags["v1"]["digest"], "101")), "what runs is no newer request"
    rules(place, deploy=targets)
    assert "moved on" in reason(place.tick()) and place.tick() == [] and place.page() == "page v1"
    rules(place, deploy=[{**targets[0], "freeze": ALWAYS}])
    third = place.image("v3")
    assert "frozen until" in reason(place.deploy("e3", "v3", third, "103"))
    assert "runs already" in reason(place.deploy("e4", "v1", place.images.tags["v1"]["digest"], "104")), "a newer request for what runs"
    rules(place, deploy=targets)
    assert place.tick() == [] and place.page() == "page v1"


def a_time_zone_that_is_not_here_is_told_at_the_start():
    with temporary_directory() as directory:
        config = directory / "pushwright.json"
        windows = [{**ALWAYS[0], "timeZone": "Europe/Berlin"}]
        config.write_text(json.dumps({"triggers": [{"name": "t", "image": "a/b", "when": {"tags": "all"}, "freeze": windows,
                                                    "deploy": [{"cluster": "local", "workload": "w"}]}]}))
        (directory / "empty").mkdir()
        for hidden, code, says in [("/usr/share", 1, "trigger 't': time zone 'Europe/Berlin' is not known here"), ("/mnt", 0, "")]:
            run = subprocess.run(["unshare", "-rm", "sh", "-c", 'mount --bind "$1" "$2" && exec "$3" --event -', "-", directory / "empty", hidden,
                                  BIN / "deploy"], input=json.dumps({"specversion": "1.0", "id": "1", "source": "/c", "type": "dev.knative.sources.ping"}),
                                 env={**os.environ, "PUSHWRIGHT_CONFIG": str(config), "PUSHWRIGHT_TRUST_PLATFORM": "1"}, capture_output=True, text=True)
            assert run.returncode == code and says in run.stderr, (hidden, run)


@with_place
def a_killed_platform_goes_on_where_it_was(place):
    place.deploy("e1", "v1", place.images.image("v1", "lasting"), "100")
    assert place.page() == "lasting"
    place.chain.kill()

    def nobody_answers():
        try:
            request("GET", f"http://127.0.0.1:{place.port}/", seconds=1)
            return False
        except OSError:
            return True
    wait_until(nobody_answers, 10, "the service to end with its platform")
    assert str(place.chain.state) not in pathlib.Path("/proc/self/mounts").read_text()
    place.chain.start()
    wait_until(lambda: place.page() == "lasting", 10, "the page to be back")


if __name__ == "__main__":
    run_tests([an_image_is_deployed_and_told_once, a_replacement_fails_no_request, what_does_not_come_up_leaves_the_old_one,
               older_and_moved_images_are_passed_over, what_was_uploaded_by_hand_is_ordered_by_its_event, nothing_goes_back_to_an_older_version,
               a_newer_version_that_comes_late_is_still_the_newer,
               what_the_configuration_does_not_say_is_not_done, an_outcome_that_nobody_took_is_told_on_the_timer,
               in_an_order_each_target_waits_for_the_one_before, the_chain_goes_through_an_order_by_itself, all_targets_or_none_keep_an_image,
               what_is_asked_for_in_a_freeze_comes_after_it, what_waits_is_checked_when_it_is_its_turn,
               a_time_zone_that_is_not_here_is_told_at_the_start, a_killed_platform_goes_on_where_it_was])
