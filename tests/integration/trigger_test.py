"""The shipped `trigger`, run for one event at a time against a real registry: who is asked to deploy what, once, and why nobody is."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from pushwright import BIN, free_port, http, registry, run_tests, temporary_directory

PUBLISHED = "dev.cdevents.artifact.published.0.3.0"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def put_blob(host, repository, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = http("POST", f"http://{host}/v2/{repository}/blobs/uploads/").headers["Location"]
    answer = http("PUT", f"{place}&digest={urllib.parse.quote(digest)}", data, {"Content-Type": "application/octet-stream"})
    assert answer.status == 201, f"{answer.status}: {answer.text}"
    return {"digest": digest, "size": len(data)}


def put_image(host, repository, text, *tags):
    """An image whose configuration holds the text; its digest."""
    config = put_blob(host, repository, json.dumps({"architecture": "amd64", "os": "linux", "author": text,
                                                    "rootfs": {"type": "layers", "diff_ids": []}}).encode())
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config}}).encode()
    for tag in tags:
        assert http("PUT", f"http://{host}/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST}).status == 201
    return "sha256:" + hashlib.sha256(manifest).hexdigest()


def purl(host, repository, digest, tag=None):
    path = urllib.parse.quote(f"{host}/{repository}", safe="")
    name = repository.rsplit("/", 1)[-1]
    return (f"pkg:oci/{name}" + (f"@{digest.replace(':', '%3A')}" if digest else "") + f"?repository_url={path}"
            + (f"&tag={tag}" if tag else ""))


def run_trigger(directory, triggers, subject, tags=(), code=0, event_id="1", **custom):
    """The events that the function gives for one publication."""
    config = pathlib.Path(directory) / "pushwright.json"
    config.write_text(json.dumps({"triggers": triggers}))
    event = {"specversion": "1.0", "id": event_id, "source": "/test", "type": PUBLISHED, "datacontenttype": "application/json",
             "data": {"context": {"specversion": "0.5.1", "id": event_id, "source": "/test", "type": PUBLISHED,
                                  "timestamp": "2026-09-01T12:00:00Z"},
                      "subject": {"id": subject, "content": {}}, "customData": {"tags": list(tags), **custom}}}
    run = subprocess.run([str(BIN / "trigger"), "--event", "-"], input=json.dumps(event), capture_output=True, text=True, timeout=60,
                         env={"PATH": os.environ["PATH"], "PUSHWRIGHT_CONFIG": str(config), "PUSHWRIGHT_TRUST_PLATFORM": "1"})
    assert run.returncode == code, f"exit {run.returncode} instead of {code}: {run.stdout}{run.stderr}"
    return [json.loads(line) for line in run.stdout.splitlines()] if code == 0 else run.stderr


def rule(name, image, when, workloads=("web",), **more):
    return {"name": name, "image": image, "when": when, "deploy": [{"cluster": "local", "workload": w} for w in workloads], **more}


def requested(events):
    """(trigger, workload, tag, digest) of each deployment that is asked for."""
    return [(e["data"]["customData"]["trigger"], e["svcname"], e["data"]["customData"]["tag"], e["data"]["customData"]["digest"])
            for e in events if "deploy.requested" in e["type"]]


def reasons(events):
    return [e["data"]["subject"]["content"]["reason"] for e in events if "decision.skipped" in e["type"]]


def with_registry(test):
    def run():
        with temporary_directory() as directory, registry(directory / "registry") as host:
            test(directory, host)
    run.__name__ = test.__name__
    return run


@with_registry
def each_condition_decides_by_the_tag(directory, host):
    digest = put_image(host, "acme/web", "one", "1.2.3", "main-1", "latest")
    image = f"{host}/acme/web"
    rows = [({"tags": "all"}, ["1.2.3", "main-1", "latest"]), ({"tags": ["latest", "1.0"]}, ["latest"]),
            ({"regex": r"\d+\.\d+\.\d+"}, ["1.2.3"]), ({"glob": "main-*"}, ["main-1"])]
    for when, accepted in rows:
        for tag in ["1.2.3", "main-1", "latest"]:
            events = run_trigger(directory, [rule("t", image, when)], purl(host, "acme/web", digest, tag))
            wanted = [("t", "web", tag, digest)] if tag in accepted else []
            assert requested(events) == wanted, (when, tag, events)
            assert wanted or tag in reasons(events)[0], (when, tag, events)
            assert len([e for e in events if "trigger.matched" in e["type"]]) == len(wanted)


@with_registry
def several_tags_of_one_image_ask_once_a_target(directory, host):
    digest = put_image(host, "acme/web", "one", "v1", "v1.0", "latest")
    triggers = [rule("all", f"{host}/acme/web", {"tags": "all"}, ["web", "copy"])]
    events = run_trigger(directory, triggers, purl(host, "acme/web", digest, "v1"), ["v1", "v1.0", "latest"])
    assert requested(events) == [("all", "web", "v1", digest), ("all", "copy", "v1", digest)], events
    assert len(reasons(events)) == 2 and all("the same image as 'v1'" in r for r in reasons(events)), reasons(events)
    ids = [e["id"] for e in events]
    assert len(set(ids)) == len(ids)
    again = run_trigger(directory, triggers, purl(host, "acme/web", digest, "v1"), ["v1", "v1.0", "latest"])
    assert [e["id"] for e in again] == ids, "a retry makes the same events"


@with_registry
def the_first_accepted_tag_is_named_not_the_first(directory, host):
    digest = put_image(host, "acme/web", "one", "main-1", "v1")
    events = run_trigger(directory, [rule("v", f"{host}/acme/web", {"glob": "v*"})], purl(host, "acme/web", digest, "main-1"), ["v1"])
    assert requested(events) == [("v", "web", "v1", digest)]
    image = [e for e in events if "deploy.requested" in e["type"]][0]["data"]["customData"]["image"]
    assert image == f"{host}/acme/web:v1@{digest}", image


@with_registry
def a_tag_that_has_moved_on_asks_for_nothing(directory, host):
    old = put_image(host, "acme/web", "old", "v1", "latest")
    new = put_image(host, "acme/web", "new", "latest")
    triggers = [rule("t", f"{host}/acme/web", {"tags": ["latest"]})]
    events = run_trigger(directory, triggers, purl(host, "acme/web", old, "v1"), ["latest"])
    assert requested(events) == [] and any("has moved on" in r and new in r for r in reasons(events)), reasons(events)
    events = run_trigger(directory, [rule("t", f"{host}/acme/web", {"tags": "all"})], purl(host, "acme/web", old, "v1"), ["latest"])
    assert requested(events) == [("t", "web", "v1", old)], "the tag that stayed still counts"


@with_registry
def a_tag_that_is_gone_asks_for_nothing(directory, host):
    digest = put_image(host, "acme/web", "one", "v1")
    events = run_trigger(directory, [rule("t", f"{host}/acme/web", {"tags": "all"})], purl(host, "acme/web", digest, "never"))
    assert requested(events) == [] and "holds no" in reasons(events)[0], reasons(events)


@with_registry
def an_event_without_a_digest_is_told_by_the_registry(directory, host):
    one = put_image(host, "acme/web", "one", "v1", "stable")
    two = put_image(host, "acme/web", "two", "v2")
    events = run_trigger(directory, [rule("t", f"{host}/acme/web", {"tags": "all"})], purl(host, "acme/web", None), ["v1", "v2", "stable"])
    assert requested(events) == [("t", "web", "v1", one), ("t", "web", "v2", two)], requested(events)


@with_registry
def every_trigger_of_an_image_has_its_word(directory, host):
    digest = put_image(host, "acme/web", "one", "v1")
    image = f"{host}/acme/web"
    triggers = [rule("yes", image, {"glob": "v*"}), rule("no", image, {"glob": "w*"}), rule("off", image, {"tags": "all"}, enabled=False),
                rule("also", image, {"tags": "all"}, ["other"]), rule("elsewhere", f"{host}/acme/shop", {"tags": "all"})]
    events = run_trigger(directory, triggers, purl(host, "acme/web", digest, "v1"), sequence="000000000000042", commit="c" * 40, build="web")
    assert requested(events) == [("yes", "web", "v1", digest), ("also", "other", "v1", digest)], events
    told = " | ".join(reasons(events))
    assert len(reasons(events)) == 2 and "'off' is switched off" in told and "w*" in told, told
    custom = [e for e in events if "deploy.requested" in e["type"]][0]["data"]["customData"]
    assert custom["sequence"] == "000000000000042" and custom["commit"] == "c" * 40 and custom["target"] == 0, custom


def nobody_is_asked_about_an_image_that_no_trigger_watches():
    with temporary_directory() as directory:
        # The registry does not exist: it must not be asked.
        events = run_trigger(directory, [rule("t", "registry.example.com/acme/web", {"tags": "all"})],
                             purl(f"127.0.0.1:{free_port()}", "acme/web", "sha256:" + "1" * 64, "v1"))
        assert requested(events) == [] and "no trigger watches" in reasons(events)[0], events


def short_names_of_docker_hub_are_the_long_ones():
    with temporary_directory() as directory:
        # Watched, so the registry is asked; that it cannot be is another matter.
        layout = [rule("t", "nginx", {"tags": "all"}, enabled=False)]
        events = run_trigger(directory, layout, purl("docker.io", "library/nginx", None))
        assert "published without a tag" in reasons(events)[0], events


def a_registry_that_is_down_is_tried_again():
    with temporary_directory() as directory:
        host = f"127.0.0.1:{free_port()}"
        said = run_trigger(directory, [rule("t", f"{host}/acme/web", {"tags": "all"})], purl(host, "acme/web", "sha256:" + "1" * 64, "v1"), code=1)
        assert host in said and "unavailable" in said, said


def what_names_no_image_is_refused_for_good():
    with temporary_directory() as directory:
        rows = ["nonsense", "pkg:npm/left-pad@1.0", "pkg:oci/web@sha256%3Ashort?repository_url=a.example%2Fweb"]
        for subject in rows:
            run_trigger(directory, [], subject, code=42)
        for tag in ["has blank", "../up", "-dash", "x" * 129]:
            run_trigger(directory, [], purl("a.example", "acme/web", "sha256:" + "1" * 64), [tag], code=42)
        run_trigger(directory, [], purl("a.example", "acme/web", "sha256:" + "1" * 64), [f"t{i}" for i in range(65)], code=42)


if __name__ == "__main__":
    run_tests([
        each_condition_decides_by_the_tag,
        several_tags_of_one_image_ask_once_a_target,
        the_first_accepted_tag_is_named_not_the_first,
        a_tag_that_has_moved_on_asks_for_nothing,
        a_tag_that_is_gone_asks_for_nothing,
        an_event_without_a_digest_is_told_by_the_registry,
        every_trigger_of_an_image_has_its_word,
        nobody_is_asked_about_an_image_that_no_trigger_watches,
        short_names_of_docker_hub_are_the_long_ones,
        a_registry_that_is_down_is_tried_again,
        what_names_no_image_is_refused_for_good,
    ])
