"""The shipped webhook as git hosts, registries, people and attackers meet it; its next hop is a peer in memory."""
import contextlib
import json
import pathlib
import re
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pushwright
from deliveries import Sink, mac, post, standard_webhook, webhook

SECRET, OTHER, TOKEN, SIGNING = "Zu7h-of-the-hook", "another", "Qk2p-of-the-API", "whsec_" + "QUJD" * 11
OLD, NEW, ZERO, TAG_OBJECT = "1" * 40, "2" * 40, "0" * 40, "3" * 40
MIB = 1024 * 1024

CHANGE, QUEUED = "dev.cdevents.change.merged.0.3.0", "dev.cdevents.build.queued.0.3.0"
SKIPPED = "dev.cdeventsx.pushwright-decision.skipped.0.1.0"
TAG_CREATED, TAG_DELETED = ("dev.cdeventsx.pushwright-tag.created.0.1.0", "dev.cdeventsx.pushwright-tag.deleted.0.1.0")
BRANCH_DELETED = "dev.cdevents.branch.deleted.0.3.0"
PUBLISHED, REMOVED = "dev.cdevents.artifact.published.0.3.0", "dev.cdevents.artifact.deleted.0.2.0"


def build(name, repository, source="github", on=None, **more):
    return {"name": name, "source": source, "repository": repository, "clone": "https://git.invalid/x.git",
            "image": "registry.invalid/x", **({"on": on} if on else {}), **more}


CONFIG = {
    "sources": [
        {"name": "github", "kind": "github", "secret": {"env": "SECRET"}},
        {"name": "gitlab", "kind": "gitlab", "secret": {"env": "SECRET"}},
        {"name": "signed", "kind": "gitlab", "secret": {"env": "SECRET"}, "signingSecret": {"env": "SIGNING"}},
        {"name": "gitea", "kind": "gitea", "secret": {"env": "SECRET"}},
        {"name": "forgejo", "kind": "forgejo", "secret": {"env": "SECRET"}},
        {"name": "registry", "kind": "registry", "secret": {"env": "SECRET"}},
        {"name": "named", "kind": "registry", "secret": {"env": "SECRET"}, "host": "registry.example.com"},
        {"name": "open", "kind": "registry"},
    ],
    "builds": [
        build("plain", "acme/web"),
        build("gitlab", "acme/web", "gitlab", {"branches": ["**"], "tags": ["v*"]}),
        build("signed", "acme/web", "signed"),
        build("gitea", "acme/web", "gitea", {"branches": ["**"], "tags": ["v*"]}),
        build("forgejo", "acme/web", "forgejo"),
        build("paths", "acme/paths", on={"branches": ["**"], "paths": ["src/**", "!src/docs/**"]}),
        build("gitlab-paths", "acme/paths", "gitlab", {"branches": ["**"], "paths": ["src/**"]}),
        build("gitea-paths", "acme/paths", "gitea", {"branches": ["**"], "paths": ["src/**"]}),
        build("off", "acme/off", enabled=False),
        build("stubborn", "acme/stubborn", skipCi=False),
        build("regex", "acme/regex", on={"branches": [{"regex": "^(main|rel-\\d+)$"}], "tags": [{"regex": "^v\\d"}]}),
        build("hang", "acme/hang", on={"branches": [{"regex": "^(a+)+$"}]}),
        build("hang-not", "acme/hang", on={"branches": ["**"]}),
        build("tags", "acme/tags", on={"tags": ["v*", "!v0*"]}),
    ],
    "triggers": [],
    "api": {"token": {"env": "TOKEN"}},
}
ENVIRONMENT = {"SECRET": SECRET, "TOKEN": TOKEN, "SIGNING": SIGNING}

SINK = Sink()
SERVER = None  # the port of the function that most tests share


# --- deliveries ----------------------------------------------------------------------------------------------------------------

def github(**change):
    body = {"ref": "refs/heads/main", "before": OLD, "after": NEW, "forced": False, "repository":
            {"full_name": "acme/web", "html_url": "https://github.invalid/acme/web", "pushed_at": 1790000000},
            "sender": {"login": "ann"}, "head_commit": {"id": NEW, "message": "a change", "timestamp": "2026-09-20T10:00:00+02:00"},
            "commits": [{"id": NEW, "added": [], "modified": ["src/main.c"], "removed": []}]}
    body.update(change)
    return body


def gitlab(**change):
    body = {"object_kind": "push", "event_name": "push", "ref": "refs/heads/main", "before": OLD, "after": NEW,
            "checkout_sha": NEW, "user_username": "ann", "total_commits_count": 1,
            "project": {"path_with_namespace": "acme/web", "web_url": "https://gitlab.invalid/acme/web"},
            "commits": [{"id": NEW, "message": "a change", "timestamp": "2026-09-20T10:00:00Z", "added": [],
                         "modified": ["src/main.c"], "removed": []}]}
    body.update(change)
    return body


def gitea(**change):
    return github(total_commits=1, **change)


def text_of(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def github_headers(body, event="push", delivery="d-1"):
    return [("X-GitHub-Event", event), ("X-GitHub-Delivery", delivery), ("Content-Type", "application/json"),
            ("X-Hub-Signature-256", "sha256=" + mac(body, SECRET))]


def gitlab_headers(_, event="Push Hook", delivery="d-1"):
    return [("X-Gitlab-Event", event), ("Idempotency-Key", delivery), ("X-Gitlab-Token", SECRET)]


def signed_headers(body, event="Push Hook", delivery="d-1"):
    return [("X-Gitlab-Event", event), *standard_webhook(body, SIGNING, name=delivery).items()]


def gitea_headers(body, event="push", delivery="d-1"):
    return [("X-GitHub-Event", event), ("X-Gitea-Event", event), ("X-Gitea-Delivery", delivery),
            ("X-Hub-Signature-256", "sha256=" + mac(body, SECRET)), ("X-Gitea-Signature", mac(body, SECRET))]


def forgejo_headers(body, event="push", delivery="d-1"):
    return [("X-Forgejo-Event", event), ("X-Forgejo-Delivery", delivery), ("X-Forgejo-Signature", mac(body, SECRET)),
            *gitea_headers(body, event, delivery)]


def registry_headers(*_, delivery=None):
    return [("Content-Type", "application/vnd.docker.distribution.events.v1+json"), ("Authorization", "Bearer " + SECRET)]


HOSTS = {"github": (github_headers, github), "gitlab": (gitlab_headers, gitlab), "signed": (signed_headers, gitlab),
         "gitea": (gitea_headers, gitea), "forgejo": (forgejo_headers, gitea)}


def send(source, body, path=None, **how):
    """A delivery as its host signs it; gives the answer and what left."""
    body, headers = text_of(body), HOSTS.get(source, (registry_headers, None))[0]
    SINK.take()
    answer = post(SERVER, path or f"/hooks/{source}", body, headers(body, **how))
    return answer, SINK.take()


def push(source="github", **change):
    return send(source, HOSTS[source][1](**change))


def types(events):
    return [e["type"] for e in events]


def check(answer, status, reason="", what=""):
    assert answer.status == status, f"{what}: {answer.status} {answer.text}, not {status}"
    assert reason in answer.text, f"{what}: {answer.text} does not say {reason!r}"


def repository(name):
    return {"full_name": name, "html_url": "https://github.invalid/" + name}


# --- who sends -----------------------------------------------------------------------------------------------------------------

def a_signed_push_is_queued_and_its_event_says_what_is_to_be_built():
    for source in HOSTS:
        answer, events = push(source)
        check(answer, 202, '"status":"accepted"', source)
        assert types(events) == [CHANGE, QUEUED], types(events)
        queued, custom = events[1], events[1]["data"]["customData"]
        assert custom["ref"] == "refs/heads/main" and custom["commit"] == NEW and custom["message"] == "a change"
        assert custom["asked"] == "push" and re.fullmatch(r"\d{15}", custom["sequence"]), custom
        assert queued["headers"]["ce-vcsref"] == "refs/heads/main" and queued["headers"]["ce-buildname"]
        assert any("sig" in name for name in queued["headers"]), queued["headers"]


def what_is_not_signed_well_is_refused_with_the_reason_and_nothing_leaves():
    """A row a way to get it wrong; every host; the answer never tells what would have been right."""
    for source, (headers, body) in HOSTS.items():
        body = text_of(body())
        good = headers(body)
        is_signature = [name.endswith(("Signature-256", "Signature", "Token")) or name == "webhook-signature" for name, _ in good]
        rows = {
            "missing": [h for h, s in zip(good, is_signature) if not s],
            "empty": [(n, "" if s else v) for (n, v), s in zip(good, is_signature)],
            "doubled": good + [h for h, s in zip(good, is_signature) if s],
            "cut": [(n, v[:-1] if s else v) for (n, v), s in zip(good, is_signature)],
            "longer": [(n, v + "0" if s else v) for (n, v), s in zip(good, is_signature)],
            "only its prefix": [(n, re.sub("[0-9a-f]{64}|(?<=v1,).*", "", v) if s else v) for (n, v), s in zip(good, is_signature)],
            "of another secret": [(n, {mac(body, SECRET): mac(body, OTHER), "sha256=" + mac(body, SECRET):
                                       "sha256=" + mac(body, OTHER), SECRET: OTHER}.get(v, "v1," + "A" * 43 + "=") if s else v)
                                  for (n, v), s in zip(good, is_signature)],
            "no hexadecimal": [(n, v[:-1] + "g" if s else v) for (n, v), s in zip(good, is_signature)],
        }
        for way, wrong in rows.items():
            if way == "only its prefix" and source == "gitlab":
                continue  # its token has none
            answer = post(SERVER, f"/hooks/{source}", body, wrong)
            check(answer, 403, f"source '{source}'", f"{source}, {way}")
            assert mac(body, SECRET) not in answer.text and SECRET not in answer.text, answer.text
        answer = post(SERVER, f"/hooks/{source}", body + b" ", [h for h in good if h[0] != "X-Gitlab-Token"])
        check(answer, 403, "", f"{source}, another body")
    assert not SINK.take()


def a_wrong_signature_beside_a_right_one_does_not_help():
    body = text_of(gitea())
    right, wrong = mac(body, SECRET), mac(body, OTHER)
    event = ("X-Gitea-Event", "push")
    check(post(SERVER, "/hooks/gitea", body, [event, ("X-Hub-Signature-256", "sha256=" + right), ("X-Gitea-Signature", wrong)]), 403)
    check(post(SERVER, "/hooks/gitea", body, [event, ("X-Hub-Signature-256", "sha256=" + right)]), 403)
    check(post(SERVER, "/hooks/forgejo", body, [event, ("X-Forgejo-Signature", wrong), ("X-Gitea-Signature", right)]), 403)
    check(post(SERVER, "/hooks/github", body, [("X-GitHub-Event", "push"), ("X-Hub-Signature", "sha1=" + right[:40])]), 403)
    SINK.take()
    check(post(SERVER, "/hooks/gitea", body, [event, ("X-Hub-Signature-256", "sha256=" + wrong), ("X-Gitea-Signature", right)]), 202)
    SINK.take()


def a_signing_token_is_not_replaced_by_the_plain_one_and_old_signatures_are_refused():
    body = text_of(gitlab())
    event = ("X-Gitlab-Event", "Push Hook")
    check(post(SERVER, "/hooks/signed", body, [event, ("X-Gitlab-Token", SECRET)]), 403, "webhook-id")
    for off in (-301, 302):
        headers = standard_webhook(body, SIGNING, at=int(time.time()) + off)
        check(post(SERVER, "/hooks/signed", body, [event, *headers.items()]), 403, "seconds off")
    headers = standard_webhook(body, SIGNING)
    for at in ("now", "-1", "1e9", "9" * 30):
        check(post(SERVER, "/hooks/signed", body, [event, *{**headers, "webhook-timestamp": at}.items()]), 403, "not a number")
    check(post(SERVER, "/hooks/signed", body, [event, *{**headers, "webhook-id": "msg_2"}.items()]), 403, "does not fit")
    headers["webhook-signature"] = "v1,AAAA v2,zzz " + headers["webhook-signature"]
    check(post(SERVER, "/hooks/signed", body, [event, *headers.items()]), 202, "", "one of several")
    SINK.take()


def a_source_without_a_secret_takes_nothing():
    answer, events = send("open", {"events": []})
    check(answer, 403, "no secret in the configuration")
    assert not events
    for config, environment, said in (
            ({"sources": [{"name": "g", "kind": "github"}]}, {}, "has no secret"),
            ({"sources": [{"name": "g", "kind": "github", "secret": {"env": "ABSENT_SECRET"}}]}, {}, "ABSENT_SECRET"),
            ({"sources": [{"name": "g", "kind": "github", "secret": {"env": "EMPTY"}}]}, {"EMPTY": ""}, "EMPTY"),
            ({"sources": [{"name": "g", "kind": "gitlab", "signingSecret": {"env": "S"}}]}, {"S": "plain"}, "whsec_")):
        with pushwright.temporary_directory() as directory:
            (directory / "pushwright.json").write_text(json.dumps({"builds": [], "triggers": [], **config}))
            run = subprocess.run([pushwright.BIN / "webhook"], capture_output=True, text=True, timeout=20,
                                 env={**environment, "PUSHWRIGHT_CONFIG": str(directory / "pushwright.json"),
                                      "PUSHWRIGHT_LISTEN": "127.0.0.1:0"})
            assert run.returncode == 1 and said in run.stdout + run.stderr, (run.returncode, run.stdout, run.stderr)


def the_root_finds_the_only_source_of_a_kind_by_its_headers():
    for source in ("github", "gitea", "forgejo"):
        answer, events = send(source, HOSTS[source][1](), path="/")
        check(answer, 202, "", source)
        assert events[-1]["headers"]["ce-buildname"] == {"github": "plain"}.get(source, source)
    check(send("gitlab", gitlab(), path="/")[0], 403, "several sources of this kind: send to /hooks/NAME")
    check(post(SERVER, "/", b"{}", []), 403, "send to /hooks/NAME")
    check(post(SERVER, "/hooks/nobody", b"{}", []), 403, "no source of this name")
    check(post(SERVER, "/elsewhere", b"{}", []), 400, "/hooks/NAME")
    answer = post(SERVER, "/hooks/github", b"", [], method="PUT")
    assert answer.status == 405 and answer.headers["Allow"] == "POST"


# --- what they send ------------------------------------------------------------------------------------------------------------

def bodies_that_are_wrong_are_refused_with_the_reason():
    good = json.dumps(github())
    deep = "[" * 100000 + "]" * 100000
    rows = [
        ("nothing", b"", 400, "line 1 column 1"),
        ("null", b"null", 400, "no repository"),
        ("an array", b"[1]", 400, "no repository"),
        ("not JSON", b"ref=main", 400, "line 1 column 1"),
        ("cut", good[:-1].encode(), 400, "line 1"),
        ("two documents", (good + good).encode(), 400, "line 1"),
        ("invalid UTF-8", good.replace("ann", "\udcff\udcfe").encode("utf-8", "surrogateescape"), 400, "not UTF-8"),
        ("a NUL byte", good.replace("ann", "a\0n").encode(), 400, "control character"),
        ("an escaped NUL", good.replace("refs/heads/main", "refs/heads/m\\u0000").encode(), 400, "NUL"),
        ("half a surrogate pair", good.replace("refs/heads/main", "refs/heads/\\ud800").encode(), 400, "surrogate"),
        ("deep nesting", good.replace('"forced": false', '"forced": ' + deep).encode(), 400, "nested deeper"),
        ("deep nesting, never closed", ("[" * 1000000).encode(), 400, "nested deeper"),
        ("a key twice", good.replace('"repository"', '"repository": {"full_name": "evil/web"}, "repository"').encode(), 400, "twice"),
        ("a ref twice", good.replace('"ref"', '"ref": "refs/heads/evil", "ref"').encode(), 400, "twice"),
        ("no ref", github(ref=None), 400, "no ref"),
        ("a ref that is a number", github(ref=1e400 and 5), 400, "no ref"),
        ("no end", github(after=None), 400, "before"),
        ("no ends", github(before=ZERO, after=ZERO), 400, "no commit"),
        ("an end that is an object", github(after={}), 400, "before"),
        ("no commit id", github(after="main"), 400, "not a commit"),
        ("a short commit id", github(after="2" * 39), 400, "not a commit"),
        ("no repository", github(repository={}), 400, "no repository"),
        ("a ref of 100 kB", github(ref="x" * 100_000), 413, '\\"ref\\" is 100000 bytes long; at most 1024 are taken'),
        ("a ref of 1 MB", github(ref="refs/heads/" + "x" * MIB), 413, '\\"ref\\" is 1048587 bytes long'),
        ("a repository of 1 MB", github(repository=repository("x" * MIB)), 413, '\\"repository.full_name\\" is 1048576 bytes long'),
        *((f"the ref {ref!r}", github(ref=ref), 400, "not the name of a ref") for ref in (
            "refs/heads/../../x", "refs/heads/a\nb", "refs/heads/a b", "refs/heads/", "refs/heads/a//b", "refs/heads/.a",
            "refs/heads/a.lock", "refs/heads/a:b", "refs/heads/a^", "refs/heads/@{1}", "refs/heads/a.", "main", "/etc/passwd")),
    ]
    for what, body, status, reason in rows:
        answer, events = send("github", body)
        check(answer, status, reason, what)
        assert not events, what
        assert answer.headers["Content-Type"] == "application/problem+json" and answer.json["status"] == status


def oddities_that_change_nothing_are_taken():
    good = json.dumps(github())
    long_message = "x" * 70000
    for what, body in (
            ("huge numbers", good.replace("1790000000", "1" + "0" * 5000)),
            ("a time of the far future", good.replace("1790000000", "999999999999999999")),
            ("a number in scientific notation", good.replace("1790000000", "1.417566161e+09")),
            ("an unknown member twice", good.replace('{"ref"', '{"x": 1, "x": 2, "ref"')),
            ("a message that no text can hold", good.replace("a change", "a \\ud800 \\u0000")),
            ("a message of 70 kB", good.replace("a change", long_message)),
            ("a message of quotes", good.replace("a change", '\\"' * 60000)),
            ("a message of control characters", good.replace("a change", "\\u0001" * 60000)),
            ("SHA-256 commits", good.replace(OLD, "1" * 64).replace(NEW, "2" * 64))):
        answer, events = send("github", body.encode())
        check(answer, 202, "", what)
        assert types(events) == [CHANGE, QUEUED], what
        assert len(json.dumps(events[1]["data"])) < 64 * 1024, what
    answer, events = send("github", good.replace("a change", long_message[:65000] + "é" * 400 + " [skip ci]").encode())
    check(answer, 202, "", "what stands behind the beginning of a message is not read")


def events_that_are_no_push_are_ignored_with_the_reason():
    for source, event, body, reason in (
            ("github", "ping", {"zen": "x"}, "pong"), ("github", "issues", {}, "'issues' is not a push"),
            ("github", "create", {"ref": "x", "ref_type": "branch"}, "the push event tells"), ("github", "status", {}, "not a push"),
            ("github", "x" * 5000, {}, "not a push"), ("gitlab", "Pipeline Hook", {}, "not a push"),
            ("gitlab", "System Hook", {"event_name": "user_create"}, "user_create"),
            ("gitea", "pull_request", {}, "not a push"), ("forgejo", "release", {}, "not a push"),
            ("github", "push", github(ref="refs/pull/1/head"), "neither a branch nor a tag"),
            ("github", "push", github(repository=repository("acme/unknown")), "no build rule is about 'acme/unknown'")):
        answer, events = send(source, body, event=event)
        check(answer, 200, reason, f"{source} {event[:20]}")
        assert answer.json["status"] == "ignored" and QUEUED not in types(events)
    body = text_of({})
    answer = post(SERVER, "/hooks/github", body, [h for h in github_headers(body) if h[0] != "X-GitHub-Event"])
    check(answer, 200, "names no event")


def forms_are_taken_as_their_hosts_sign_them():
    payload = text_of(gitea())
    form = b"a=b&payload=" + urllib.parse.quote_plus(payload).encode()
    kind = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
    on_text = [("X-GitHub-Event", "push"), ("X-Hub-Signature-256", "sha256=" + mac(form, SECRET)), kind]
    check(post(SERVER, "/hooks/github", form, on_text), 202, "", "GitHub signs the form")
    check(post(SERVER, "/hooks/gitea", form, [("X-Gitea-Event", "push"), ("X-Gitea-Signature", mac(payload, SECRET)), kind]), 202)
    check(post(SERVER, "/hooks/gitea", form, [("X-Gitea-Event", "push"), ("X-Gitea-Signature", mac(form, SECRET)), kind]), 403)
    for bad, reason in ((b"a=b", "no member 'payload'"), (b"payload=%7", "payload"), (b"payload=%zz", "payload")):
        check(post(SERVER, "/hooks/github", bad, [kind]), 403, "", "unsigned")
        check(post(SERVER, "/hooks/github", bad, [("X-Hub-Signature-256", "sha256=" + mac(bad, SECRET)), kind]), 400, reason)
    SINK.take()
    body = text_of(github())
    check(post(SERVER, "/hooks/github", body, github_headers(body) + [("Content-Encoding", "gzip")]), 415, "send the body as it is")
    assert not SINK.take()


# --- large and slow ------------------------------------------------------------------------------------------------------------

def peak_of(process):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


def large_push(size):
    """Real shape: many commits of many paths."""
    commits = [{"id": f"{i:040x}", "message": "m", "added": [f"src/dir-{i}/päth {k}.c" for k in range(200)], "modified": [],
                "removed": []} for i in range(2000)]
    body = json.dumps(github(commits=commits, repository=repository("acme/paths")), ensure_ascii=False).encode()
    assert len(body) <= size, len(body)
    return body.ljust(size)


def bodies_up_to_25_mb_are_taken_and_over_26_mib_refused_in_bounded_memory():
    with webhook(CONFIG, SINK.url, ENVIRONMENT) as port:
        for size, status in ((25 * 1000 * 1000, 202), (26 * MIB, 202), (26 * MIB + 1, 413), (80 * MIB + 1, 413)):
            body = large_push(size)
            started = time.monotonic()
            answer = post(port, "/hooks/github", body, github_headers(body))
            check(answer, status, "", f"{size} bytes")
            assert time.monotonic() - started < 10
        assert post(port, "/hooks/github", large_push(26 * MIB), []).status == 403
        peak = peak_of(port.process)
        print(f"# at most {peak:.0f} MB in memory")
        if "sanitize" not in str(pushwright.BIN):
            assert peak < 200, f"{peak} MB"
    SINK.take()


def who_sends_slowly_is_cut_off_and_holds_up_nobody():
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(40):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", int(SERVER))))
            connection.sendall(b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
            slow.append(connection)
        started = time.monotonic()
        answer, _ = push()
        check(answer, 202)
        assert time.monotonic() - started < 8
        end = time.monotonic() + 25
        answered = set()
        while time.monotonic() < end and len(answered) < len(slow):
            for connection in slow:
                if connection in answered:
                    continue
                with contextlib.suppress(BlockingIOError):
                    connection.setblocking(False)
                    data = connection.recv(4096)
                    assert data.startswith(b"HTTP/1.1 408 "), data
                    answered.add(connection)
                with contextlib.suppress(OSError):
                    connection.send(b" ")
            time.sleep(0.2)
        assert len(answered) == len(slow), f"{len(slow) - len(answered)} slow senders are still connected"


def those_who_stop_in_the_middle_neither_fill_the_memory_nor_hold_up_a_push():
    start = b"POST /hooks/github HTTP/1.1\r\nHost: x\r\n"
    ways = {  # what each begins with, how many there are
        "in large bodies": (start + b"Content-Length: 25000000\r\n\r\n" + b" " * 24_000_000, 30),
        "behind the first bytes": (start + b"Content-Length: 25000000\r\n\r\n" + b" " * 15_000, 2500),
        "in chunks": (start + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 40, 500),
        "in long heads": (start + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(29)), 2500),
    }
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for way, (beginning, count) in ways.items():
        with webhook(CONFIG, SINK.url, ENVIRONMENT) as port, contextlib.ExitStack() as stack:
            for _ in range(count):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", int(port))))
                connection.settimeout(0.2 if count < 100 else 0)
                with contextlib.suppress(OSError):  # the rest is not read while there is no memory for it
                    connection.sendall(beginning)
            for size in (8_000, 200_000):
                body = text_of(github(repository=repository("acme/web"))).ljust(size)
                started = time.monotonic()
                check(post(port, "/hooks/github", body, github_headers(body)), 202, "", f"{way}, {size} bytes")
                assert time.monotonic() - started < 9, (way, size)
            assert pushwright.http("GET", f"http://127.0.0.1:{port}/healthz").status == 200, way
            peak = peak_of(port.process)
            print(f"# {way}: at most {peak:.0f} MB in memory")
            if "sanitize" not in str(pushwright.BIN):
                assert peak < 100, f"{way}: {peak} MB"
    SINK.take()


def metrics_are_told_at_a_door_of_their_own_only():
    door = pushwright.free_port()
    with webhook(CONFIG, SINK.url, {**ENVIRONMENT, "PUSHWRIGHT_METRICS_LISTEN": f"127.0.0.1:{door}"}) as port:
        body = text_of(github())
        check(post(port, "/hooks/github", body, github_headers(body)), 202)
        told = pushwright.http("GET", f"http://127.0.0.1:{door}/metrics")
        assert told.status == 200 and 'http_requests_total{code="202",method="POST"} 1' in told.text, told.text
        assert pushwright.http("GET", f"http://127.0.0.1:{door}/").status == 404
        at_the_front = pushwright.http("GET", f"http://127.0.0.1:{port}/metrics")
        assert at_the_front.status == 405 and "http_requests" not in at_the_front.text, (at_the_front.status, at_the_front.text)
    assert "http_requests" not in pushwright.http("GET", f"http://127.0.0.1:{SERVER}/metrics").text
    SINK.take()


# --- nothing lost, nothing twice -----------------------------------------------------------------------------------------------

def a_delivery_repeated_gives_the_same_events_and_another_one_others():
    for source, (_, body) in HOSTS.items():
        first, again, other = (send(source, body(), delivery=d)[1] for d in ("d-7", "d-7", "d-8"))
        ids = [[e["id"] for e in events] for events in (first, again, other)]
        assert ids[0] == ids[1] and not set(ids[0]) & set(ids[2]), (source, ids)
        assert first[0]["data"]["context"]["chainId"] == again[0]["data"]["context"]["chainId"]
    for again in (False, True):
        body = text_of(gitlab())
        post(SERVER, "/hooks/gitlab", body, [("X-Gitlab-Event", "Push Hook"), ("X-Gitlab-Token", SECRET)])
    events = SINK.take()
    assert events[0]["id"] == events[2]["id"], "without a delivery's id the body is one"
    same = [push()[1][1]["data"]["customData"] for _ in range(2)]
    assert same[0] == same[1], "GitHub says when, so that a repetition is the same word for word"


def the_order_of_two_pushes_is_in_their_sequence():
    for source in ("github", "gitlab"):
        first = push(source)[1][1]["data"]["customData"]["sequence"]
        time.sleep(0.002)
        later = {"repository": {**github()["repository"], "pushed_at": 1790000001}} if source == "github" else {}
        assert push(source, **later)[1][1]["data"]["customData"]["sequence"] > first


def while_the_next_hop_is_down_the_sender_is_told_503_in_time():
    with webhook(CONFIG, f"http://127.0.0.1:{pushwright.free_port()}/", ENVIRONMENT) as port:
        body = text_of(github())
        started = time.monotonic()
        answer = post(port, "/hooks/github", body, github_headers(body))
        took = time.monotonic() - started
        check(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0 and took < 10, took  # GitHub waits ten seconds
        for token in ("Bearer " + TOKEN,):
            check(post(port, "/builds/plain", b'{"ref":"main"}', [("Authorization", token)]), 503)


def a_next_hop_that_refuses_or_takes_only_half_is_no_success():
    for answers, left in (([400], []), ([403], []), ([202, 410], [CHANGE])):
        SINK.take()
        SINK.answers = list(answers)
        answer, events = push()
        check(answer, 503, "", str(answers))
        assert types(events) == left
        SINK.answers = []
    half, whole = events, push()[1]
    assert half[0]["id"] == whole[0]["id"] and types(whole) == [CHANGE, QUEUED]
    SINK.answers = [503, 404, 202, 429]
    answer, events = push()
    check(answer, 202, "", "a hop that stumbles is tried again")
    assert types(events) == [CHANGE, QUEUED]
    SINK.answers = []


# --- rules ---------------------------------------------------------------------------------------------------------------------

def decision(source="github", **change):
    """'queued', or the reason that the answer and the event give."""
    answer, events = push(source, **change)
    if QUEUED in types(events):
        check(answer, 202)
        return "queued"
    check(answer, 200)
    skips = [e for e in events if e["type"] == SKIPPED]
    assert len(skips) == 1 and skips[0]["data"]["subject"]["content"]["reason"] == answer.json["reason"], answer.text
    assert answer.json["skipped"][0]["reason"] == answer.json["reason"]
    return answer.json["reason"]


def commit(*paths, **more):
    return {"id": NEW, "message": "a change", "added": list(paths), "modified": [], "removed": [], **more}


def paths_are_compared_only_where_the_host_told_all_of_them():
    where = {"repository": repository("acme/paths")}
    away = commit("docs/x.md", "src/docs/y.md")
    no = "no changed path is one of build 'paths'"
    rows = [
        (no, [away]), ("queued", [commit("src/x.c")]), ("queued", [away, commit(removed=["src/x.c"])]),
        ("queued", [commit("src/docs/y.md", "src/x.c")]), ("queued", [{"id": NEW}]), ("queued", [away, {"id": NEW, "added": None}]),
        ("queued", []), (no, [commit("x\\u0041")]), ("queued", [commit("src/é.c")]),
        ("queued", [commit(*(f"docs/{i}" for i in range(3000)))]), (no, [commit(*(f"docs/{i}" for i in range(2999)))]),
        ("queued", [away] * 2048), (no, [away] * 2047),
    ]
    for number, (wanted, commits) in enumerate(rows):
        assert decision(commits=commits, **where) == wanted, f"row {number}"
    assert decision(commits=[away], forced=True, **where) == "queued", "a forced push"
    assert decision(commits=[away], before=ZERO, **where) == "queued", "a new branch"
    project, away = {"path_with_namespace": "acme/paths"}, commit("docs/x.md")
    for total, commits, wanted in ((1, [away], "no changed path"), (500, [away] * 20, "queued"), (None, [away], "queued"),
                                   (0, [], "queued")):
        got = decision("gitlab", project=project, commits=commits, total_commits_count=total)
        assert got.startswith(wanted), (total, got)
    for total, wanted in ((1, "no changed path"), (16, "queued")):
        answer, events = send("gitea", {**github(commits=[away], **where), "total_commits": total})
        assert ("queued" if QUEUED in types(events) else answer.json["reason"]).startswith(wanted), total


def messages_that_ask_to_skip_are_heeded_unless_the_rule_says_no():
    for words in ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]", "text\n\n[Skip CI] more"):
        assert "asks to skip" in decision(head_commit={"id": NEW, "message": words})
    for words in ("a\n\n\nskip-checks: true", "a\n\nSigned-off-by: Ann\nskip-checks:true\n", "a\r\n\r\nSkip-Checks: true\r\n"):
        assert "asks to skip" in decision(head_commit={"id": NEW, "message": words}), words
    for words in ("a\n\nskip-checks: false", "a\nskip-checks: true", "skip-checks: true", "a\n\nskip-checks: true\nmore", "a\n\nskip-checks:",
                  "skip ci", "[skip", "[[skip ci ]", "", None):
        assert decision(head_commit={"id": NEW, "message": words}) == "queued", words
    assert decision(head_commit={"id": NEW, "message": "[skip ci]"}, repository=repository("acme/stubborn")) == "queued"
    assert decision("gitlab", commits=[commit(id=OLD, message="[skip ci]"), commit()], total_commits_count=2) == "queued"
    assert "asks to skip" in decision("gitlab", commits=[commit(), commit(message="[ci skip]")], total_commits_count=2)


def branches_tags_and_switches_decide_with_a_reason():
    at = lambda name, ref: decision(repository=repository(name), ref=ref)
    assert at("ACME/Web", "refs/heads/any/branch") == "queued", "names of repositories have no case"
    assert "does not build the tag 'v1'" in at("acme/web", "refs/tags/v1")
    assert "switched off" in at("acme/off", "refs/heads/main")
    assert at("acme/regex", "refs/heads/rel-12") == at("acme/regex", "refs/tags/v1") == "queued"
    assert "does not build the branch 'feature'" in at("acme/regex", "refs/heads/feature")
    assert "does not build the tag 'x'" in at("acme/regex", "refs/tags/x")
    assert at("acme/tags", "refs/tags/v1.0") == "queued"
    assert "does not build" in at("acme/tags", "refs/tags/v0.1") and "does not build" in at("acme/tags", "refs/heads/main")


def a_pattern_that_takes_too_long_hurts_only_its_own_rule():
    started = time.monotonic()
    answer, events = push(repository=repository("acme/hang"), ref="refs/heads/" + "a" * 200 + "b")
    check(answer, 202)
    assert time.monotonic() - started < 8
    assert types(events) == [CHANGE, SKIPPED, QUEUED] and "takes too long" in answer.json["skipped"][0]["reason"], answer.text


def deletions_build_nothing_and_tags_point_at_commits():
    for source in HOSTS:
        answer, events = push(source, after=ZERO, checkout_sha=None, head_commit=None, commits=[])
        check(answer, 200, "was deleted", source)
        assert types(events) == [BRANCH_DELETED, SKIPPED] and "commit" not in events[0]["data"]["customData"]
    answer, events = push(ref="refs/tags/v1", before=ZERO, after=TAG_OBJECT, repository=repository("acme/tags"))
    assert types(events) == [TAG_CREATED, QUEUED] and events[1]["data"]["customData"]["commit"] == NEW
    answer, events = send("gitlab", gitlab(ref="refs/tags/v1", before=ZERO, after=TAG_OBJECT), event="Tag Push Hook")
    assert types(events) == [TAG_CREATED, QUEUED] and events[1]["data"]["customData"]["commit"] == NEW
    answer, events = send("gitlab", gitlab(event_name="tag_push", ref="refs/tags/v1", before=ZERO), event="System Hook")
    assert types(events) == [TAG_CREATED, QUEUED]


def gitea_tells_a_new_tag_twice_and_it_is_built_once():
    short = {"ref": "v1", "ref_type": "tag", "sha": NEW, "repository": repository("acme/web"), "sender": {"login": "ann"}}
    created = send("gitea", short, event="create", delivery="d-1")[1]
    pushed = send("gitea", gitea(ref="refs/tags/v1", before=ZERO), delivery="d-2")[1]
    assert types(created) == types(pushed) == [TAG_CREATED, QUEUED], (created, pushed)
    assert [e["id"] for e in created] == [e["id"] for e in pushed]
    answer, events = send("gitea", {**short, "ref_type": "branch"}, event="create")
    check(answer, 200, "push event tells of new branches")
    for kind, wanted in (("tag", TAG_DELETED), ("branch", BRANCH_DELETED)):
        answer, events = send("gitea", {**short, "ref_type": kind, "sha": None}, event="delete")
        check(answer, 200, "was deleted")
        assert events[0]["type"] == wanted


# --- people --------------------------------------------------------------------------------------------------------------------

def ask(name, body, authorization="Bearer " + TOKEN, more=()):
    SINK.take()
    headers = [("Authorization", authorization)] if authorization else []
    answer = post(SERVER, f"/builds/{name}", text_of(body), [*headers, *more])
    return answer, SINK.take()


def a_person_may_ask_for_any_ref_of_a_build():
    for body, ref, commit_id in (({"ref": "main"}, "refs/heads/main", None), ({"ref": "feature/x"}, "refs/heads/feature/x", None),
                                 ({"ref": "refs/tags/v0.1", "commit": NEW}, "refs/tags/v0.1", NEW), ({"ref": "refs/pull/7/head"}, "refs/pull/7/head", None),
                                 ({"ref": "HEAD"}, "HEAD", None), ({"ref": NEW}, NEW, NEW), ({"ref": NEW.upper(), "commit": NEW}, NEW, NEW),
                                 ({"ref": "ab" * 32}, "ab" * 32, "ab" * 32)):
        answer, events = ask("paths", body)
        check(answer, 202, '"builds":1')
        custom = events[0]["data"]["customData"]
        assert types(events) == [QUEUED] and custom["asked"] == "person"
        assert custom["ref"] == ref and custom.get("commit") == commit_id and custom["build"] == "paths"
        assert custom.get("named") == (body["ref"] if ref == "refs/heads/" + body["ref"] else None), custom
    ids = [ask("plain", {"ref": "main"})[1][0]["id"] for _ in range(2)]
    assert ids[0] != ids[1], "who asks again wants it again"
    key = [("Idempotency-Key", "k-1")]
    ids = [ask("plain", {"ref": "main"}, more=key)[1][0]["id"] for _ in range(2)]
    assert ids[0] == ids[1], "a retry is not a second wish"


def wishes_that_cannot_be_met_are_refused_with_the_reason():
    for authorization in (None, "", "Bearer", "Bearer ", "Bearer " + SECRET, "Basic " + TOKEN, TOKEN):
        answer, events = ask("plain", {"ref": "main"}, authorization)
        assert answer.status == 403 and not events and TOKEN not in answer.text, authorization
    assert ask("plain", {"ref": "main"}, more=[("Authorization", "Bearer " + TOKEN)])[0].status == 403, "two opinions"
    for name, body, reason in (
            ("nothing", {"ref": "main"}, "no build 'nothing'"), ("", {"ref": "main"}, "no build ''"),
            ("off", {"ref": "main"}, "switched off"), ("plain", b"", "must be JSON"), ("plain", b"[]", "not an object"),
            ("plain", {}, "names no ref"), ("plain", {"ref": ""}, "names no ref"), ("plain", {"ref": 5}, "must be a string"),
            ("plain", {"ref": "a..b"}, "not the name of a ref"), ("plain", {"ref": "a\nb"}, "not the name of a ref"),
            ("plain", {"ref": "refs/x"}, "not the name of a ref"), ("plain", {"ref": "refs/pull/../head"}, "not the name of a ref"),
            ("plain", {"ref": NEW, "commit": "ab" * 20}, "name two commits"),
            ("plain", {"ref": "x" * 5000}, "is 5011 bytes long; at most 1024"),
            ("plain", {"ref": "main", "commit": "abc"}, "full commit id"), ("plain", {"ref": "main", "commit": 5}, "must be a string"),
            ("plain", {"ref": "main", "commit": ZERO}, "full commit id"), ("plain", {"ref": "main", "sha": NEW}, "not \\\"sha\\\"")):
        answer, events = ask(name, body)
        check(answer, 400, reason, f"{name} {body}")
        assert not events
    config = {k: v for k, v in CONFIG.items() if k != "api"}
    with webhook(config, SINK.url, ENVIRONMENT) as port:
        check(post(port, "/builds/plain", b'{"ref":"main"}', [("Authorization", "Bearer " + TOKEN)]), 403, "names no API token")


# --- registries ----------------------------------------------------------------------------------------------------------------

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DIGEST = "sha256:" + "a" * 64


def notice(action="push", name="team/web", tag="1.0", media=MANIFEST, host="r.invalid:5000", **more):
    target = {"mediaType": media, "digest": DIGEST, "repository": name, **({"tag": tag} if tag else {})}
    return {"id": "e-1", "action": action, "target": target, "request": {"host": host} if host else {}, **more}


def notify(*notices, source="registry"):
    return send(source, {"events": list(notices)})


def images_pushed_by_hand_are_told_with_their_full_name():
    answer, events = notify(notice(), notice(media="application/vnd.oci.image.layer.v1.tar+gzip"), notice("pull"), notice("mount"))
    check(answer, 202, '"images":1')
    assert types(events) == [PUBLISHED]
    assert events[0]["data"]["subject"]["id"] == ("pkg:oci/web@sha256%3A" + "a" * 64 +
                                                  "?repository_url=r.invalid%3A5000%2Fteam%2Fweb&tag=1.0")
    assert events[0]["headers"]["ce-imageref"] == "r.invalid:5000/team/web" and events[0]["headers"]["ce-imagetag"] == "1.0"
    assert notify(notice(), source="named")[1][0]["headers"]["ce-imageref"] == "registry.example.com/team/web"
    answer, events = notify(notice("delete", tag=None))
    assert types(events) == [REMOVED] and answer.status == 202
    for authorization in (SECRET, "bearer " + SECRET):
        check(post(SERVER, "/hooks/registry", b'{"events":[]}', [("Authorization", authorization)]), 200, "envelope is empty")


def an_odd_notification_never_stops_the_registry():
    """It would be sent again for ever, and everything behind it would wait."""
    for odd, reason in ((notice(name="UPPER/case"), "not the name of an image"), (notice(name="a/../b"), "not the name"),
                        (notice(name="x:y"), "not the name"), (notice(tag="-bad tag"), "no tag"), (notice(host=None), "\\\"host\\\""),
                        (notice(tag=None), "without a tag"), (notice(tag="sha256-" + "a" * 64 + ".sig"), "signature"),
                        (notice(tag="pushwright-ref-" + "a" * 26), "a record of builds"), (notice(tag="pushwright-refs-" + "a" * 26), "a record of builds"),
                        (notice(tag="pushwright-cache-" + "a" * 32), "a record of builds"),
                        (notice(name=None), "no repository"), ({}, "no action"), ("text", "no action"), (None, "no action"),
                        (notice(action=5), "no action"), ({"action": "push", "target": []}, "no repository"),
                        (notice(host="bad host"), "not the name"), (notice("lick"), "only pushed and deleted")):
        answer, events = notify(odd)
        check(answer, 200, reason, str(odd))
        assert not events
    url = notice(tag=None)
    url["target"]["url"] = "http://r/v2/team/web/manifests/"
    check(notify(url)[0], 200, "without a tag")
    url["target"]["url"] += "2.0"
    assert notify(url)[1][0]["headers"]["ce-imagetag"] == "2.0"
    answer, events = notify(notice(), notice(), notice(id=None), notice(id=None))
    check(answer, 202, '"images":4', "the same event several times in one envelope")
    assert len({e["id"] for e in events}) == 4
    again = notify(notice(), notice(), notice(id=None), notice(id=None))[1]
    assert [e["id"] for e in again] == [e["id"] for e in events]


def envelopes_that_are_none_are_refused():
    for body, status, reason in ((b"", 400, "line 1"), (b"{}", 400, "no list"), (b'{"events": {}}', 400, "no list"), (b"[]", 400, "no list"),
                                 ({"events": [{}] * 1001}, 400, "more than 1000"), (b'{"events":' + b"[" * 5000, 400, "nested deeper"),
                                 (b'{"events":[],"events":[]}', 400, "twice"), (json.dumps({"events": ["x" * 20] * 900000}), 413, "")):
        answer, events = send("registry", body if isinstance(body, (bytes, dict)) else body.encode())
        check(answer, status, reason, str(body)[:40])
        assert not events


# --- all at once ---------------------------------------------------------------------------------------------------------------

def many_senders_at_once_are_each_told_the_truth():
    wrong = []

    def work(number):
        for turn in range(20):
            body = text_of(github(after=f"{number * 100 + turn + 1:040x}"))
            headers = github_headers(body, delivery=f"m-{number}-{turn}")
            if turn % 4 == 3:
                headers[-1] = ("X-Hub-Signature-256", "sha256=" + mac(body, OTHER))
            status = post(SERVER, "/hooks/github", body, headers).status
            if status != (403 if turn % 4 == 3 else 202):
                wrong.append((number, turn, status))

    SINK.take()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = SINK.take()
    assert not wrong, wrong
    assert len({e["id"] for e in events}) == len(events) == 12 * 15 * 2, len(events)


def the_log_tells_no_secret():
    with pushwright.temporary_directory() as directory:
        with open(directory / "log", "wb") as log, webhook(CONFIG, SINK.url, ENVIRONMENT, log=log) as port:
            body = text_of({**github(), "secret": "in the body"})
            for headers in (github_headers(body), [("X-Hub-Signature-256", "sha256=" + mac(body, OTHER))]):
                post(port, "/hooks/github", body, headers)
            post(port, "/hooks/gitlab", body, gitlab_headers(body))
            post(port, "/builds/plain", b'{"ref":"main"}', [("Authorization", "Bearer " + TOKEN)])
            post(port, "/builds/plain", b'{"ref":"main"}', [("Authorization", "Bearer wrong-token")])
        text = (directory / "log").read_text()
        assert "does not fit the body" in text, text
        for secret in (SECRET, TOKEN, "in the body", "wrong-token", mac(body, SECRET), mac(body, OTHER)):
            assert secret not in text, secret
    SINK.take()


TESTS = [
    a_signed_push_is_queued_and_its_event_says_what_is_to_be_built,
    what_is_not_signed_well_is_refused_with_the_reason_and_nothing_leaves,
    a_wrong_signature_beside_a_right_one_does_not_help,
    a_signing_token_is_not_replaced_by_the_plain_one_and_old_signatures_are_refused,
    a_source_without_a_secret_takes_nothing,
    the_root_finds_the_only_source_of_a_kind_by_its_headers,
    bodies_that_are_wrong_are_refused_with_the_reason,
    oddities_that_change_nothing_are_taken,
    events_that_are_no_push_are_ignored_with_the_reason,
    forms_are_taken_as_their_hosts_sign_them,
    bodies_up_to_25_mb_are_taken_and_over_26_mib_refused_in_bounded_memory,
    who_sends_slowly_is_cut_off_and_holds_up_nobody,
    those_who_stop_in_the_middle_neither_fill_the_memory_nor_hold_up_a_push,
    metrics_are_told_at_a_door_of_their_own_only,
    a_delivery_repeated_gives_the_same_events_and_another_one_others,
    the_order_of_two_pushes_is_in_their_sequence,
    while_the_next_hop_is_down_the_sender_is_told_503_in_time,
    a_next_hop_that_refuses_or_takes_only_half_is_no_success,
    paths_are_compared_only_where_the_host_told_all_of_them,
    messages_that_ask_to_skip_are_heeded_unless_the_rule_says_no,
    branches_tags_and_switches_decide_with_a_reason,
    a_pattern_that_takes_too_long_hurts_only_its_own_rule,
    deletions_build_nothing_and_tags_point_at_commits,
    gitea_tells_a_new_tag_twice_and_it_is_built_once,
    a_person_may_ask_for_any_ref_of_a_build,
    wishes_that_cannot_be_met_are_refused_with_the_reason,
    images_pushed_by_hand_are_told_with_their_full_name,
    an_odd_notification_never_stops_the_registry,
    envelopes_that_are_none_are_refused,
    many_senders_at_once_are_each_told_the_truth,
    the_log_tells_no_secret,
]

with webhook(CONFIG, SINK.url, ENVIRONMENT) as SERVER:
    pushwright.run_tests(TESTS)
