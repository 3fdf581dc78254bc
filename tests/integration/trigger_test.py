"""The shipped `trigger`, run for one event at a time against a real registry: who is asked to deploy what, once, and why nobody is."""
import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from attest_test import keys
from pushwright import BIN, free_port, http, registry, run_tests, temporary_directory

PUBLISHED = "dev.cdevents.artifact.published.0.3.0"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


def put_blob(host, repository, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = http("POST", f"http://{host}/v2/{repository}/blobs/uploads/").headers["Location"]
    answer = http("PUT", f"{place}&digest={urllib.parse.quote(digest)}", data, {"Content-Type": "application/octet-stream"})
    assert answer.status == 201, f"{answer.status}: {answer.text}"
    return {"digest": digest, "size": len(data)}


def put_manifest(host, repository, manifest, *tags, media_type=MANIFEST):
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type, **manifest}).encode()
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    for tag in tags or [digest]:
        answer = http("PUT", f"http://{host}/v2/{repository}/manifests/{tag}", body, {"Content-Type": media_type})
        assert answer.status == 201, f"{answer.status}: {answer.text}"
    return {"mediaType": media_type, "digest": digest, "size": len(body)}


def put_image(host, repository, text, *tags, architecture="amd64", config_type="application/vnd.oci.image.config.v1+json"):
    """An image whose configuration holds the text; its digest."""
    config = put_blob(host, repository, json.dumps({"architecture": architecture, "os": "linux", "author": text,
                                                    "rootfs": {"type": "layers", "diff_ids": []}}).encode())
    return put_manifest(host, repository, {"layers": [], "config": {"mediaType": config_type, **config}}, *tags)["digest"]


def put_index(host, repository, architectures, *tags):
    entries = []
    for architecture in architectures:
        digest = put_image(host, repository, architecture, architecture=architecture)
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": len(http("GET", f"http://{host}/v2/{repository}/manifests/{digest}",
                        headers={"Accept": MANIFEST}).body), "platform": {"os": "linux", "architecture": architecture}})
    return put_manifest(host, repository, {"manifests": entries}, *tags, media_type=INDEX)["digest"]


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
            ({"regex": r"\d+\.\d+\.\d+"}, ["1.2.3"]), ({"glob": "main-*"}, ["main-1"]), ({"semver": "^1.2"}, ["1.2.3"]),
            ({"semver": ">=2"}, []), ({"tags": "all", "deny": ["main-*", "1.2.3"]}, ["latest"]),
            ({"regex": r"^[a-z]+-(\d+)$", "order": "numeric"}, ["main-1"])]
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


@with_registry
def targets_in_an_order_are_asked_for_one_after_the_other(directory, host):
    digest = put_image(host, "acme/web", "one", "v1")
    for strategy, workloads in [("ordered", ["staging"]), ("all-or-nothing", ["staging", "live"]), ("parallel", ["staging", "live"])]:
        triggers = [rule("t", f"{host}/acme/web", {"tags": "all"}, ["staging", "live"], strategy=strategy)]
        events = run_trigger(directory, triggers, purl(host, "acme/web", digest, "v1"), sequence="42", commit="c" * 40)
        assert requested(events) == [("t", workload, "v1", digest) for workload in workloads], (strategy, events)


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


@with_registry
def what_is_no_image_asks_for_nothing(directory, host):
    image, triggers = f"{host}/acme/web", [rule("t", f"{host}/acme/web", {"tags": "all"})]
    chart = put_image(host, "acme/web", "chart", "chart-1.0", config_type="application/vnd.cncf.helm.config.v1+json")
    events = run_trigger(directory, triggers, purl(host, "acme/web", chart, "chart-1.0"))
    assert requested(events) == [] and "application/vnd.cncf.helm.config.v1+json" in reasons(events)[0], reasons(events)
    for tag in [f"sha256-{'a' * 64}.sig", f"sha256-{'a' * 64}.att", f"sha256-{'a' * 64}.sbom", f"sha256-{'a' * 64}", "pushwright-ref1234"]:
        events = run_trigger(directory, triggers, purl(host, "acme/web", chart, tag))
        assert requested(events) == [] and "what is said about an image" in reasons(events)[0], reasons(events)
    child = put_image(host, "acme/web", "child")
    events = run_trigger(directory, triggers, purl(host, "acme/web", child))
    assert requested(events) == [] and f"'{image}' was published without a tag" in reasons(events)[0], reasons(events)


@with_registry
def an_image_is_made_for_the_platform_of_its_target(directory, host):
    image = f"{host}/acme/web"
    one, both = put_image(host, "acme/web", "one", "v1", architecture="s390x"), put_index(host, "acme/web", ["s390x", "arm64"], "v2")

    def triggers(platform):
        return [{**rule("t", image, {"tags": "all"}), "deploy": [{"cluster": "local", "workload": "web", "platform": platform}]}]
    for digest, tag, platform, fits in [(one, "v1", "linux/s390x", True), (one, "v1", "linux/arm64", False),
                                        (both, "v2", "linux/arm64", True), (both, "v2", "linux/riscv64", False)]:
        events = run_trigger(directory, triggers(platform), purl(host, "acme/web", digest, tag))
        assert len(requested(events)) == fits, (tag, platform, events)
        assert fits or (platform in reasons(events)[0] and f"tag '{tag}' is accepted, but" in reasons(events)[0]), reasons(events)
    events = run_trigger(directory, [rule("t", image, {"tags": "all"})], purl(host, "acme/web", one, "v1"))
    assert requested(events) == [] and "linux/s390x" in reasons(events)[0], "cluster local wants what runs here"


def sign(directory, private, message):
    (directory / "message").write_bytes(message)
    subprocess.run(["openssl", "dgst", "-sha256", "-sign", private, "-out", directory / "signature", directory / "message"], check=True)
    return base64.b64encode((directory / "signature").read_bytes()).decode()


def simple(digest):
    return json.dumps({"critical": {"identity": {"docker-reference": "acme/web"}, "image": {"docker-manifest-digest": digest},
                                    "type": "cosign container image signature"}, "optional": None}).encode()


def signature_layer(directory, host, private, payload):
    return {"mediaType": SIMPLE, **put_blob(host, "acme/web", payload),
            "annotations": {"dev.cosignproject.cosign/signature": sign(directory, private, payload)}}


def put_signatures(host, digest, layers):
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", **put_blob(host, "acme/web", b"{}")}
    put_manifest(host, "acme/web", {"config": config, "layers": layers}, digest.replace(":", "-") + ".sig")


def put_bundle(directory, host, private, digest, predicate="https://sigstore.dev/cosign/sign/v1"):
    """A Sigstore bundle among the image's referrers, listed behind the tag that stands for the list."""
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": {},
                            "subject": [{"digest": {"sha256": digest.partition(":")[2]}}]}).encode()
    kind, bundle_type = "application/vnd.in-toto+json", "application/vnd.dev.sigstore.bundle.v0.3+json"
    encoded = f"DSSEv1 {len(kind)} {kind} {len(statement)} ".encode() + statement
    bundle = json.dumps({"mediaType": bundle_type, "dsseEnvelope": {
        "payload": base64.b64encode(statement).decode(), "payloadType": kind, "signatures": [{"sig": sign(directory, private, encoded)}]}})
    manifest = put_manifest(host, "acme/web", {
        "artifactType": bundle_type, "config": {"mediaType": "application/vnd.oci.empty.v1+json", **put_blob(host, "acme/web", b"{}")},
        "layers": [{"mediaType": bundle_type, **put_blob(host, "acme/web", bundle.encode())}],
        "subject": {"mediaType": MANIFEST, "digest": digest, "size": 1}})
    put_manifest(host, "acme/web", {"manifests": [{**manifest, "artifactType": bundle_type}]}, digest.replace(":", "-"), media_type=INDEX)


@with_registry
def a_trigger_may_want_a_signature(directory, host):
    (private, public), (other, _) = keys(directory), keys(directory, "other")
    triggers = [{**rule("t", f"{host}/acme/web", {"tags": "all"}), "verify": {"key": {"file": str(public)}}}]

    def asks(digest, tag):
        events = run_trigger(directory, triggers, purl(host, "acme/web", digest, tag))
        assert len(requested(events)) + len(reasons(events)) == 1, events
        return True if requested(events) else reasons(events)[0]
    bare = put_image(host, "acme/web", "bare", "bare")
    assert "is not signed" in asks(bare, "bare")
    rows = {
        "good": (lambda d: [(private, simple(d))], True),
        "behind-others": (lambda d: [(other, simple(d)), (private, simple(bare)), (private, simple(d))], True),
        "by-another": (lambda d: [(other, simple(d))], "has 1 signature, none of which is by the key"),
        "of-another": (lambda d: [(private, simple(bare))], "has 1 signature, none of which"),
        "of-nothing": (lambda d: [(private, b"{}"), (private, b"no json")], "has 2 signatures, none of which"),
        "of-another-kind": (lambda d: [(private, simple(d).replace(b"container image", b"something else"))], "none of which"),
    }
    for tag, (layers, wanted) in rows.items():
        digest = put_image(host, "acme/web", tag, tag)
        put_signatures(host, digest, [signature_layer(directory, host, key, payload) for key, payload in layers(digest)])
        said = asks(digest, tag)
        assert said is True if wanted is True else wanted in str(said), (tag, said)
    for tag, key, predicate, wanted in [("bundle", private, "https://sigstore.dev/cosign/sign/v1", True),
                                        ("bundle-of-another", other, "https://sigstore.dev/cosign/sign/v1", "none of which"),
                                        ("provenance", private, "https://slsa.dev/provenance/v1", "none of which")]:
        digest = put_image(host, "acme/web", tag, tag)
        put_bundle(directory, host, key, digest, predicate)
        said = asks(digest, tag)
        assert said is True if wanted is True else wanted in str(said), (tag, said)
    public.write_text("no key")
    run = run_trigger(directory, triggers, purl(host, "acme/web", bare, "bare"), code=42)
    assert "'verify' of trigger 't'" in run, run


@with_registry
def thousands_of_triggers_have_their_word_in_one_event(directory, host):
    image = f"{host}/acme/web"
    digest = put_image(host, "acme/web", "one", "v5.0.0")
    triggers = [rule(f"t{i}", image, {"semver": f"^{i % 40 + 6}"}) for i in range(3000)] + [rule("wanted", image, {"semver": "5.x"})]
    events = run_trigger(directory, triggers, purl(host, "acme/web", digest, "v5.0.0"))
    assert requested(events) == [("wanted", "web", "v5.0.0", digest)]
    (said,) = reasons(events)
    assert said.startswith("3000 triggers do not ask for it") and "tag 'v5.0.0' is not in the range '^6' (t0, t40, t80" in said, said[:500]
    assert "and 55 more)" in said, said[:800]


def explain(directory, triggers, *arguments, code=0):
    """{(trigger, tag): (decision, reason)} of the rows that are printed."""
    config = directory / "explained.json"
    config.write_text(json.dumps({"triggers": triggers}))
    run = subprocess.run([BIN / "pushwright", "explain", *arguments[:-1], config, arguments[-1]], capture_output=True, text=True, timeout=60)
    assert run.returncode == code, f"exit {run.returncode} instead of {code}: {run.stdout}{run.stderr}"
    rows = [line.split(None, 3) for line in run.stdout.splitlines()[1:]]
    return {(trigger, tag): (decision, reason) for trigger, tag, decision, reason in rows} if code == 0 else run.stderr


@with_registry
def a_person_is_told_what_triggers_would_say(directory, host):
    image = f"{host}/acme/web"
    triggers = [rule("versions", image, {"semver": "^1.2", "deny": ["1.3.0"]}, ["web", "copy"]), rule("off", image, {"tags": "all"}, enabled=False)]
    triggers[0]["deploy"][0]["platform"] = "linux/arm64"
    said = explain(directory, triggers, "--current", "1.10.0", f"{image}:1.9.0")
    assert said[("versions", "1.9.0")][0] == "passes" and "is older than '1.10.0' by its version" in said[("versions", "1.9.0")][1], said
    assert said[("off", "1.9.0")] == ("passes", "the trigger is switched off")
    assert explain(directory, triggers, f"{image}:1.9.0")[("versions", "1.9.0")] == (
        "deploys", "tag '1.9.0' is in the range '^1.2' -> local/default/web, local/default/copy")
    put_image(host, "acme/web", "one", "1.2.0", "1.3.0", architecture="s390x")
    put_index(host, "acme/web", ["arm64", "amd64"], "1.4.0")
    said = {tag: row for (trigger, tag), row in explain(directory, triggers, "--registry", image).items() if trigger == "versions"}
    assert {tag: decision for tag, (decision, _) in said.items()} == {"1.2.0": "passes", "1.3.0": "passes", "1.4.0": "deploys"}, said
    assert "linux/arm64" in said["1.2.0"][1] and said["1.3.0"][1] == "tag '1.3.0' is denied", said
    assert "no tag" in explain(directory, triggers, image, code=3)
    assert "watches" in explain(directory, triggers, f"{host}/acme/other:1", code=3)


if __name__ == "__main__":
    run_tests([
        each_condition_decides_by_the_tag,
        several_tags_of_one_image_ask_once_a_target,
        the_first_accepted_tag_is_named_not_the_first,
        a_tag_that_has_moved_on_asks_for_nothing,
        a_tag_that_is_gone_asks_for_nothing,
        an_event_without_a_digest_is_told_by_the_registry,
        every_trigger_of_an_image_has_its_word,
        targets_in_an_order_are_asked_for_one_after_the_other,
        nobody_is_asked_about_an_image_that_no_trigger_watches,
        short_names_of_docker_hub_are_the_long_ones,
        a_registry_that_is_down_is_tried_again,
        what_names_no_image_is_refused_for_good,
        what_is_no_image_asks_for_nothing,
        an_image_is_made_for_the_platform_of_its_target,
        a_trigger_may_want_a_signature,
        thousands_of_triggers_have_their_word_in_one_event,
        a_person_is_told_what_triggers_would_say,
    ])
