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
from pushwright import BIN, Chain, free_port, http as request, run_tests, wait_until, web_base, with_chain


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

    def deploy(self, identity, tag, digest, sequence=None, trigger="shop", target=0, code=0, time="2026-09-01T12:00:00Z"):
        """The events that come of it."""
        custom = {"trigger": trigger, "target": target, "tag": tag, "digest": digest, "image": f"localhost/shop:{tag}@{digest}"}
        if sequence:
            custom.update(sequence=sequence, commit="c0ffee" + sequence)
        kind = "dev.cdeventsx.pushwright-deploy.requested.0.1.0"
        event = {"specversion": "1.0", "id": identity, "source": "/test", "type": kind, "time": time,
                 "datacontenttype": "application/json",
                 "data": {"context": {"specversion": "0.5.1", "id": identity, "source": "/test", "type": kind,
                                      "timestamp": "2026-09-01T12:00:00Z"},
                          "subject": {"id": "local/default/shop", "content": {}}, "customData": custom}}
        return self.handle(event, code)

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

    def page(self):
        return request("GET", f"http://127.0.0.1:{self.port}/", seconds=10).text


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


run_tests([an_image_is_deployed_and_told_once, a_replacement_fails_no_request, what_does_not_come_up_leaves_the_old_one,
           older_and_moved_images_are_passed_over, what_was_uploaded_by_hand_is_ordered_by_its_event, nothing_goes_back_to_an_older_version,
           a_newer_version_that_comes_late_is_still_the_newer,
           what_the_configuration_does_not_say_is_not_done, an_outcome_that_nobody_took_is_told_on_the_timer, a_killed_platform_goes_on_where_it_was])
