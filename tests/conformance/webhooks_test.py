"""Deliveries that git hosts and registries really sent ($CONFORMANCE_DATA/webhooks) against the shipped webhook.

Knows no case by name: a sample's provider decides how it is signed, its `expected` what must leave. A null there means absent or empty, a member
that is not there is not asserted, emit: false means that no event leaves."""
import base64
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import deliveries
import pushwright
from deliveries import mac, standard_webhook

DATA = pushwright.CONFORMANCE / "webhooks"
SECRET = "a secret with blanks and ünicode"
SIGNING = "whsec_" + base64.b64encode(bytes(range(32))).decode()
HOST = "registry.example.com:5000"


# --- signing, a row a way ------------------------------------------------------------------------------------------------------

def in_hex(header, prefix=""):
    return {"headers": lambda body: {header: prefix + mac(body, SECRET)},
            "wrong": lambda body: {header: prefix + mac(body + b" ", SECRET)},
            "empty": {header: prefix}, "doubled": lambda body: [(header, prefix + mac(body, SECRET))] * 2}


def as_token(header, value=SECRET):
    value = value.encode().decode("latin-1")
    return {"headers": lambda body: {header: value}, "wrong": lambda body: {header: value + "x"}, "empty": {header: ""},
            "doubled": lambda body: [(header, value)] * 2}


SIGNERS = {
    "github": in_hex("X-Hub-Signature-256", "sha256="),
    "gitlab": as_token("X-Gitlab-Token"),
    "gitlab-signed": {"headers": lambda body: standard_webhook(body, SIGNING),
                      "wrong": lambda body: standard_webhook(body + b" ", SIGNING),
                      "empty": {**standard_webhook(b"", SIGNING), "webhook-signature": "v1,"},
                      "doubled": lambda body: [*standard_webhook(body, SIGNING).items(),
                                               ("webhook-signature", standard_webhook(body, SIGNING)["webhook-signature"])]},
    "gitea": in_hex("X-Gitea-Signature"),
    "forgejo": in_hex("X-Forgejo-Signature"),
    "registry": as_token("Authorization", "Bearer " + SECRET),
    "registry-named": as_token("Authorization"),
}
SOURCES = {name: {"kind": name.split("-")[0], **({"signingSecret": {"env": "SIGNING"}} if name == "gitlab-signed" else
                                                {"secret": {"env": "SECRET"}})} for name in SIGNERS}
SOURCES["registry-named"]["host"] = HOST

# A sample's provider -> the sources that it is sent to. Gogs' bodies are Gitea's, and Forgejo's samples are Gitea's under its own headers.
PROVIDERS = {
    "github": ["github"],
    "gitlab": ["gitlab", "gitlab-signed"],
    "gitea": ["gitea", "forgejo"],
    "distribution": ["registry", "registry-named"],
    "gitlab-registry": ["registry", "registry-named"],
}
RENAMED = {"forgejo": ("X-Gitea-", "X-Forgejo-")}

# A vector's scheme -> the kind of source, and the headers of an event that goes with it.
SCHEMES = {
    "github-sha256": ("github", {"X-GitHub-Event": "ping"}),
    "gitea": ("gitea", {"X-Gitea-Event": "pull_request"}),
    "standard-webhooks": ("gitlab", {"X-Gitlab-Event": "Pipeline Hook"}),
}


# --- meaning -------------------------------------------------------------------------------------------------------------------

CHANGE, CREATED, DELETED = ("dev.cdevents.change.merged.0.3.0", "dev.cdevents.branch.created.0.3.0",
                            "dev.cdevents.branch.deleted.0.3.0")
TAG_CREATED, TAG_DELETED = ("dev.cdeventsx.pushwright-tag.created.0.1.0", "dev.cdeventsx.pushwright-tag.deleted.0.1.0")
PUBLISHED, REMOVED = "dev.cdevents.artifact.published.0.3.0", "dev.cdevents.artifact.deleted.0.2.0"
QUEUED = "dev.cdevents.build.queued.0.3.0"

# kind -> the events that leave, the build's own left out; NULL kinds leave none. The short-ref events are told once, by the push, but for
# Gitea's deletions, which it tells in no other way.
KINDS = {
    "branch-push": [CHANGE],
    "branch-create": [CREATED, CHANGE],
    "branch-delete": [DELETED],
    "tag-create": [TAG_CREATED],
    "tag-delete": [TAG_DELETED],
    "ref-create": [],
    "ref-delete": {"gitea": {"branch": [DELETED], "tag": [TAG_DELETED]}, "github": []},
    **{kind: [] for kind in ("pull-request", "merge-group", "commit-status", "ping", "ignore")},
}
# Member of `expected` -> where it stands in the event's customData.
FIELDS = {"repository": "repository", "ref": "ref", "before": "before", "commit": "commit", "created": "created",
          "deleted": "deleted", "forced": "forced", "commits": "commits", "head_message": "message", "sender": "pusher"}
IMAGE_FIELDS = {"registry": "registry", "repository": "repository", "digest": "digest", "media_type": "mediaType"}


def types_of(provider, expected):
    row = KINDS[expected["kind"]]
    if isinstance(row, dict):
        row = row[provider]
    return row[expected["ref_type"]] if isinstance(row, dict) else row


def compare(fields, expected, custom, what):
    """A line a difference."""
    for member, name in fields.items():
        if member not in expected:
            continue
        want, got = expected[member], custom.get(name)
        if want is None and got:
            yield f"{what}: {member} is {got!r}, must be absent"
        elif want is not None and got != want:
            yield f"{what}: {member} is {got!r}, not {want!r}"


def judge_push(provider, expected, answer, events):
    wanted = types_of(provider, expected)
    told = [e for e in events if e["type"] != QUEUED and "decision.skipped" not in e["type"]]
    if [e["type"] for e in told] != wanted:
        yield f"events {[e['type'] for e in told]}, not {wanted}"
        return
    for event in told:
        yield from compare(FIELDS, expected, event["data"]["customData"], event["type"])
    builds = [e for e in events if e["type"] == QUEUED]
    wants_build = bool(wanted) and "delete" not in expected["kind"]
    if len(builds) != wants_build:
        yield f"{len(builds)} builds are queued, not {int(wants_build)}"
    for event in builds:
        yield from compare({"ref": "ref", "commit": "commit"}, expected, event["data"]["customData"], event["type"])
    if answer.status != (202 if wants_build else 200) or answer.json["builds"] != len(builds):
        yield f"answer {answer.status} {answer.text}"
    if not wants_build and not answer.json.get("reason"):
        yield f"the answer gives no reason: {answer.text}"


def judge_images(source, expected, answer, events):
    wanted = [e for e in expected["events"] if e["emit"]]
    types = [PUBLISHED if e["action"] == "push" else REMOVED for e in wanted]
    if [e["type"] for e in events] != types:
        yield f"events {[e['type'] for e in events]}, not {types}"
        return
    for want, event in zip(wanted, events):
        custom = event["data"]["customData"]
        want = {**want, "registry": HOST} if source == "registry-named" else want
        yield from compare(IMAGE_FIELDS, want, custom, event["type"])
        if "tag" in want and custom.get("tags") != [want["tag"]]:
            yield f"tags {custom.get('tags')}, not {[want['tag']]}"
    if answer.status != (202 if wanted else 200) or answer.json["images"] != len(wanted):
        yield f"answer {answer.status} {answer.text}"
    if not wanted and not answer.json.get("reason"):
        yield f"the answer gives no reason: {answer.text}"


# --- the machinery -------------------------------------------------------------------------------------------------------------

def repositories(samples):
    for sample in samples:
        for source in PROVIDERS.get(sample["provider"], []):
            name = sample["expected"].get("repository")
            if name and not source.startswith("registry"):
                yield source, name


def configuration(samples, vectors):
    sources = [{"name": name, **source} for name, source in SOURCES.items()]
    for number, vector in enumerate(vectors):
        kind, _ = SCHEMES[vector["scheme"]]
        member = "signingSecret" if vector["scheme"] == "standard-webhooks" else "secret"
        sources.append({"name": f"vector-{number}", "kind": kind, member: {"env": f"VECTOR_{number}"}})
    builds = [{"name": f"build-{number}", "source": source, "repository": name, "clone": "https://git.invalid/x.git",
               "on": {"branches": ["**"], "tags": ["**"]}, "image": "registry.invalid/x"}
              for number, (source, name) in enumerate(sorted(set(repositories(samples))))]
    return {"sources": sources, "builds": builds, "triggers": []}


def environment(vectors):
    return {"SECRET": SECRET, "SIGNING": SIGNING, **{f"VECTOR_{n}": vector["secret"] for n, vector in enumerate(vectors)}}


def post(port, source, body, headers):
    return deliveries.post(port, f"/hooks/{source}", body, headers)


def headers_of(sample, source):
    lines = (DATA / sample["headers_file"]).read_text().splitlines() if sample.get("headers_file") else []
    old, new = RENAMED.get(source, ("", ""))
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip()
        if old and name.lower().startswith(old.lower()):
            name = new + name[len(old):]
        if name.lower() not in ("content-length", "host", "authorization", "x-gitlab-token") and "signature" not in name.lower():
            yield name, value.strip()


def try_sample(port, sink, sample, source):
    """Signed it must mean what is expected; unsigned and wrongly signed it must be refused and nothing leave."""
    body, headers, signer = (DATA / sample["file"]).read_bytes(), list(headers_of(sample, source)), SIGNERS[source]
    for way, more in (("unsigned", []), ("with a wrong signature", signer["wrong"](body).items()),
                      ("with an empty signature", signer["empty"].items()), ("signed twice", signer["doubled"](body))):
        answer = post(port, source, body, headers + list(more))
        if answer.status != 403:
            yield f"{way}: {answer.status} {answer.text}"
        if SECRET in answer.text or mac(body, SECRET) in answer.text:
            yield f"{way}: the answer tells the secret or what is made with it"
    if sink.take():
        yield "an event left though the delivery was refused"
    answer = post(port, source, body, headers + list(signer["headers"](body).items()))
    events = sink.take()
    if "events" in sample["expected"]:
        yield from judge_images(source, sample["expected"], answer, events)
    else:
        yield from judge_push(sample["provider"], sample["expected"], answer, events)


def sample_cases(port, sink, samples):
    for sample in samples:
        if sample["provider"] not in PROVIDERS:
            yield sample["id"], f"this version takes nothing from {sample['provider']}", None
            continue
        for source in PROVIDERS[sample["provider"]]:
            unnamed = any(e["emit"] and not e.get("registry") for e in sample["expected"].get("events", []))
            if source == "registry" and unnamed:  # the envelope does not say which registry it is: the configuration must
                continue
            yield f"{sample['id']} to {source}", None, list(try_sample(port, sink, sample, source))


def vector_cases(port, vectors, unsupported):
    for vector in unsupported:
        yield f"signature {vector['id']}", f"this version knows no scheme {vector['scheme']}", None
    for number, vector in enumerate(vectors):
        _, headers = SCHEMES[vector["scheme"]]
        body = (DATA / vector["body_file"]).read_bytes()
        # A vector's clock is long past, and the function's is the machine's: refused is right then. Signatures of today are
        # what the samples of the source with a signing token carry.
        stale = abs(vector.get("clock", time.time()) - time.time()) > 300
        valid = vector["valid"] and not stale
        answer = post(port, f"vector-{number}", body, [*headers.items(), *vector["headers"].items()])
        # Accepted: any answer but a refusal of the signature; the published bodies are not always JSON.
        accepted = answer.status != 403
        yield (f"signature {vector['id']}" + (" (its time is over)" if stale else ""), None,
               [] if accepted == valid else [f"answer {answer.status} {answer.text}, must be {'accepted' if valid else '403'}"])


def generated(kind, commits, files):
    return subprocess.run([sys.executable, str(DATA / "gen_large.py"), kind, str(commits), str(files)], check=True,
                          capture_output=True).stdout


def large_cases(port, sink):
    """Bodies as large as a host makes them."""
    for name, body, status in (("2048 commits of 60 paths", generated("github", 2048, 60), (200, 202)),
                               ("25 MB", generated("github", 2048, 60).ljust(25 * 1000 * 1000), (200, 202)),
                               ("over 26 MiB", generated("github", 2048, 60).ljust(26 * 1024 * 1024 + 1), (413,))):
        headers = [("X-GitHub-Event", "push"), ("Content-Type", "application/json"), *SIGNERS["github"]["headers"](body).items()]
        answer, events = post(port, "github", body, headers), sink.take()
        problems = [] if answer.status in status else [f"answer {answer.status} {answer.text}"]
        if (413 in status) == any(e["type"] == CHANGE for e in events):
            problems.append(f"events {[e['type'] for e in events]}")
        yield f"a body of {name}", None, problems


def main():
    index = DATA / "index.json"
    if not index.is_file():
        print(f"1..1\nok 1 - webhooks # SKIP {index} is not there\nwebhooks: 0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    samples = json.loads(index.read_text())["samples"]
    all_vectors = json.loads((DATA / "data/signatures/vectors.json").read_text())["vectors"]
    vectors = [v for v in all_vectors if v["scheme"] in SCHEMES]
    unsupported = [v for v in all_vectors if v["scheme"] not in SCHEMES]
    sink, counts, number = deliveries.Sink(), {"passed": 0, "failed": 0, "skipped": 0}, 0
    with deliveries.webhook(configuration(samples, vectors), sink.url, environment(vectors)) as port:
        for case, skipped, problems in (*sample_cases(port, sink, samples), *vector_cases(port, vectors, unsupported),
                                        *large_cases(port, sink)):
            number += 1
            counts["skipped" if skipped else "failed" if problems else "passed"] += 1
            print(f"{'not ok' if problems else 'ok'} {number} - {case}" + (f" # SKIP {skipped}" if skipped else ""))
            for problem in problems or []:
                print(f"# {case}: {problem}")
    print(f"1..{number}")
    print(f"webhooks: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


main()
