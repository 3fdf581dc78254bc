#!/usr/bin/env python3
"""Pushes that nobody told of: the shipped webhook compares, the shipped build looks at what is remembered; real git over smart HTTP with a token,
a real registry, and git hosts that are down or lie."""
import contextlib
import http.server
import json
import pathlib
import re
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import git_http
from build_test import world
from deliveries import Sink, post, webhook
import loopback
from requests_test import answering
from pushwright import Chain, git, http as http_call, run_tests, temporary_directory, wait_until

TIMER = "dev.knative.sources.ping"
QUEUED = "dev.cdevents.build.queued.0.3.0"
HOUR = 3600


def tick():
    """What a PingSource sends, unsigned."""
    return [("ce-specversion", "1.0"), ("ce-type", TIMER), ("ce-source", "/apis/v1/namespaces/x/pingsources/y"), ("ce-id", str(uuid.uuid4())),
            ("Content-Type", "application/json")]


class Comparison:
    """What one tick came to, in a process of its own, so that no pause has to be waited for."""

    def __init__(self, w, token=git_http.TOKEN, ticks=1):
        sink = Sink()
        config = {"sources": [{"name": "git", "kind": "gitea", "secret": {"env": "SECRET"}, "token": {"env": "GIT_TOKEN"}}],
                  "builds": list(w.rules.values()), "triggers": []}
        log = w.directory / f"webhook-{uuid.uuid4()}.log"
        with open(log, "wb") as file, webhook(config, sink.url, {"SECRET": "s", "GIT_TOKEN": token}, file) as port:
            for _ in range(ticks):
                answer = post(port, "/", b'{"any": "data"}', tick())
                assert (answer.status, answer.body) == (202, b""), (answer.status, answer.text)
        self.log = log.read_text()
        self.events = sink.take()
        assert all(event["type"] == QUEUED for event in self.events), self.events
        self.found = {event["data"]["customData"]["ref"]: event["data"]["customData"] for event in self.events}

    def logged(self):
        return [line["message"] for line in map(json.loads, self.log.splitlines()) if "reconcile" in line.get("message", "")]


def push(w, name, ref, message="change", tag=None):
    """A commit of the working tree on that branch, or a tag of it, of which no hook tells."""
    work = w.directory / f"work-{name}"
    if tag:
        git("-C", work, "tag", "-a", "-m", "a tag", tag)
    else:
        git("-C", work, "commit", "-q", "--allow-empty", "-m", message)
    commit = git("-C", work, "rev-parse", "HEAD")
    git("-C", work, "push", "-q", w.directory / f"{name}.git", f"+{tag or 'HEAD'}:{ref}")
    return commit


def web(w, **members):
    commit = w.repository("web", {"Dockerfile": "FROM scratch\nCOPY index.html /\n", "index.html": "hi"})
    w.rule("web", clone=w.url("web", "private/"), **members)
    return commit


def build(w, commit, ref="refs/heads/main", **custom):
    code, events, log = w.build("web", commit, ref, token=git_http.TOKEN, **custom)
    assert code == 0, (code, log)
    return events


def skipped(events):
    return events["pushwright-decision.skipped"]["subject"]["content"]["reason"]


def nothing_is_missing(w):
    comparison = Comparison(w)
    assert not comparison.events and not comparison.logged(), (comparison.found, comparison.log)


def a_push_whose_hook_was_lost_is_found_and_built_once():
    with world() as w:
        first = web(w, tag="{branch}-{time}")
        begun = Comparison(w)
        assert list(begun.found) == ["refs/heads/main"], begun.found
        told = begun.found["refs/heads/main"]
        assert told["commit"] == first and told["asked"] == "reconcile" and told["build"] == "web", told
        assert told["reason"] == f"found by reconcile: 'main' points to {first[:7]}, and build 'web' has built nothing yet", told
        assert any(told["reason"] in line for line in begun.logged()), begun.log
        assert "artifact.published" in build(w, first, asked="reconcile")
        nothing_is_missing(w)

        second = push(w, "web", "refs/heads/main")
        one, two = Comparison(w), Comparison(w)
        assert one.found["refs/heads/main"]["reason"].endswith(f"points to {second[:7]}, the newest build of 'web' is of {first[:7]}")
        assert one.events[0]["id"] == two.events[0]["id"], "two comparisons ask for one build"
        assert "artifact.published" in build(w, second, asked="reconcile")
        nothing_is_missing(w)
        late = build(w, second)
        assert list(late) == ["pushwright-decision.skipped"] and skipped(late) == f"{second[:7]} of 'refs/heads/main' is built already", late
        assert "artifact.published" in build(w, second, asked="person"), "a person may ask again"


def what_is_pushed_normally_is_not_built_again():
    with world() as w:
        build(w, web(w, tag="latest"))
        nothing_is_missing(w)
        build(w, push(w, "web", "refs/heads/main"))
        nothing_is_missing(w)


def branches_and_tags_are_found_when_the_rule_wants_them_and_they_are_new():
    with world() as w:
        first = web(w, on={"branches": ["main", "release/*"], "tags": ["v*"]})
        push(w, "web", "refs/tags/v0.9", tag="v0.9")
        push(w, "web", "refs/heads/release/0", "old")
        git("-C", w.directory / "work-web", "reset", "-q", "--hard", first)
        build(w, first)
        nothing_is_missing(w)  # what was there before the rule began is nobody's loss

        branch = push(w, "web", "refs/heads/release/1", "new")
        push(w, "web", "refs/heads/feature/x", "not wanted")
        tagged = push(w, "web", "refs/tags/v1.0", tag="v1.0")
        push(w, "web", "refs/tags/nightly", tag="nightly")
        found = Comparison(w).found
        assert {ref: told["commit"] for ref, told in found.items()} == {"refs/heads/release/1": branch, "refs/tags/v1.0": tagged}, found
        assert "of which build 'web' knows nothing" in found["refs/tags/v1.0"]["reason"], found
        build(w, branch, "refs/heads/release/1", asked="reconcile")
        build(w, tagged, "refs/tags/v1.0", asked="reconcile")
        nothing_is_missing(w)
        git("-C", w.directory / "work-web", "push", "-q", w.directory / "web.git", ":refs/heads/release/1")
        nothing_is_missing(w)
        moved = push(w, "web", "refs/heads/release/0", "an old branch moves")
        assert Comparison(w).found["refs/heads/release/0"]["commit"] == moved


def a_tag_that_is_found_late_is_not_newer_than_those_that_came_after_it():
    with world() as w:
        first = web(w, on={"tags": ["v*"], "branches": ["main"]})
        build(w, first)
        late = push(w, "web", "refs/tags/v1.0", tag="v1.0")
        committed = int(git("-C", w.directory / "work-web", "log", "-1", "--format=%ct", late))
        now = str((committed + HOUR) * 1000)
        told = build(w, late, "refs/tags/v1.0", asked="reconcile", sequence=now)
        assert int(told["artifact.published"]["customData"]["sequence"]) == committed * 1000, told
        again = push(w, "web", "refs/tags/v1.1", tag="v1.1")
        for asked in ("push", "person"):  # who knows when, or wants it now
            assert build(w, again, "refs/tags/v1.1", asked=asked, sequence=now)["artifact.published"]["customData"]["sequence"] == now
            again = push(w, "web", "refs/tags/v1.1-" + asked, tag="v1.1-" + asked)
        moved = push(w, "web", "refs/heads/main")
        assert build(w, moved, asked="reconcile", sequence=now)["artifact.published"]["customData"]["sequence"] == now


def a_rule_with_paths_takes_part_when_it_says_so():
    with world() as w:
        first = web(w, on={"branches": ["main"], "paths": ["src/**"]}, reconcile=True)
        build(w, first)
        nothing_is_missing(w)
        second = push(w, "web", "refs/heads/main", "touches nothing of src/")
        assert Comparison(w).found["refs/heads/main"]["commit"] == second, "refs tell no paths: whatever the branch points to is built"
        assert "artifact.published" in build(w, second, asked="reconcile")
        nothing_is_missing(w)
        del w.rules["web"]["reconcile"]
        push(w, "web", "refs/heads/main")
        nothing_is_missing(w)


def a_first_start_on_an_old_repository_builds_one_branch():
    with world() as w:
        web(w, on={"branches": ["**"], "tags": ["**"]})
        bare = w.directory / "web.git"
        for i in range(30):
            git("-C", bare, "tag", f"v{i}", "main")
            git("-C", bare, "branch", f"old-{i}", "main")
        assert list(Comparison(w).found) == ["refs/heads/main"]
        w.rules["web"]["on"] = {"branches": ["old-*"], "tags": ["**"]}
        assert not Comparison(w).found
        w.rules["web"]["on"] = {"branches": ["old-7"]}
        assert list(Comparison(w).found) == ["refs/heads/old-7"]
        for off in ({"reconcile": False}, {"enabled": False}, {"on": {"branches": ["**"], "paths": ["src/**"]}}):
            before = w.rules["web"]
            w.rules["web"] = {**before, "on": {"branches": ["**"]}, **off}
            assert not Comparison(w).found, off
            w.rules["web"] = before


def a_build_that_failed_is_not_asked_for_again():
    with world() as w:
        web(w)
        w.repository("web", {"Dockerfile": "FROM scratch\nCOPY missing /\n"})
        broken = git("-C", w.directory / "work-web", "rev-parse", "HEAD")
        assert "missing" in build(w, broken)["build.finished"]["customData"]["errors"]
        nothing_is_missing(w)
        again = build(w, broken, asked="reconcile")
        assert skipped(again).startswith(f"{broken[:7]} of 'refs/heads/main' could not be built"), again
        assert build(w, broken, asked="person")["build.finished"]["customData"]["outcome"] == "failure"
        mended = w.repository("web", {"Dockerfile": "FROM scratch\nCOPY index.html /\n"})
        assert Comparison(w).found["refs/heads/main"]["commit"] == mended


def a_commit_that_asks_for_no_build_gets_none():
    with world() as w:
        build(w, web(w))
        quiet = push(w, "web", "refs/heads/main", "typo [skip ci]")
        assert Comparison(w).found["refs/heads/main"]["commit"] == quiet  # refs tell no messages: build looks
        assert skipped(build(w, quiet, asked="reconcile")) == "the head commit's message asks to skip builds"
        nothing_is_missing(w)


def record_of(w, change):
    """The one record of the repository: read, changed and written back as any client of the registry can."""
    tags = http_call("GET", f"http://{w.host}/v2/acme/web/tags/list").json["tags"]
    [tag] = [tag for tag in tags if tag.startswith("pushwright-ref-")]
    url, kind = f"http://{w.host}/v2/acme/web/manifests/{tag}", {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    manifest = http_call("GET", url, headers=kind).json
    manifest["annotations"].update(change)
    answer = http_call("PUT", url, json.dumps(manifest).encode(), {"Content-Type": kind["Accept"]})
    assert answer.status == 201, answer.text


def at(age):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))


def a_build_that_never_ended_is_asked_for_again():
    with world() as w:
        commit = web(w)
        build(w, commit)
        for outcome in ("running", "waiting"):
            record_of(w, {"dev.pushwright.outcome": outcome, "dev.pushwright.event": "another", "org.opencontainers.image.created": at(0)})
            nothing_is_missing(w)
        record_of(w, {"dev.pushwright.outcome": "running"})
        code, events, log = w.build("web", commit, token=git_http.TOKEN)
        assert code == 1 and not events and "is being built" in log, (code, events, log)
        record_of(w, {"org.opencontainers.image.created": at(HOUR)})
        assert "did not end" in Comparison(w).found["refs/heads/main"]["reason"]
        assert "artifact.published" in build(w, commit, asked="reconcile")
        nothing_is_missing(w)


def meanwhile(w, change):
    """A long build during which another one writes into the record; (exit code, events, log, what was asked of the record)."""
    def asked():
        return re.findall('"(GET|PUT) [^" ]*/pushwright-ref-[^" ]* HTTP/1.1" \\d+ \\d+ "[^"]*" "pushwright"', (w.directory / "registry.log").read_text())

    build(w, web(w))
    before = len(asked())

    def write():
        record_of(w, change(commit))
        wait_until(lambda: len(asked()) == before + 2, 20, "another look at the record")
    with answering(200, write) as url:
        commit = w.repository("web", {"Dockerfile": f"FROM scratch\nADD {url} /\n"})
        result = w.build("web", commit, token=git_http.TOKEN, environment={"PUSHWRIGHT_ADD_PRIVATE": "1"})
    return *result, asked()[before:]


def of_two_builds_of_a_commit_one_gives_way():
    with world() as w:
        code, events, log, asked = meanwhile(w, lambda commit: {
            "dev.pushwright.outcome": "running", "dev.pushwright.event": "another", "org.opencontainers.image.created": at(0),
            "org.opencontainers.image.revision": commit})
        assert code == 1 and "artifact.published" not in events and "is being built" in log, (code, events, log)
        assert asked == ["GET", "GET"], asked


def what_a_newer_build_has_written_stays_until_the_end():
    with world() as w:
        code, events, log, asked = meanwhile(w, lambda commit: {
            "dev.pushwright.event": "another", "org.opencontainers.image.created": at(0), "org.opencontainers.image.revision": "f" * 40})
        assert code == 0 and "artifact.published" in events, (code, events, log)
        assert asked == ["GET", "GET", "PUT"], asked


def what_somebody_else_writes_there_is_no_record():
    with world() as w:
        build(w, web(w))
        record_of(w, {"dev.pushwright.outcome": "$(reboot)"})
        nothing_is_missing(w)  # the ref was there when the rule began
        push(w, "web", "refs/heads/main")
        assert "knows nothing" in Comparison(w).found["refs/heads/main"]["reason"]


# --- git hosts as they should not be ---------------------------------------------------------------------------------------------

SMART = [("Content-Type", "application/x-git-upload-pack-advertisement")]


class Liar(loopback.Handler):
    protocol_version = "HTTP/1.1"
    seen = []

    def do_GET(self):
        Liar.seen.append((self.path, self.headers.get("Authorization")))
        what = self.path[1:].partition("/")[0]
        bodies = {"garbage": b"\x00\xffnot a packet at all" * 100, "html": b"<html>sign in</html>", "cut": b"001e# service=git-upload-pack\n0000ffff",
                  "says": b"0023ERR \x1b[2Jthe repository is gone\n", "empty": b""}
        if what == "away":
            return self.answer(302, b"", [("Location", f"http://localhost:{self.server.server_port}/caught{self.path[5:]}")])
        if what == "circle":
            return self.answer(302, b"", [("Location", self.path)])
        if what == "huge":
            return self.pour()
        if what == "slow":
            time.sleep(6)
        return self.answer(500 if what == "down" else 200, bodies.get(what, b""), [] if what == "html" else SMART)

    def answer(self, status, body, headers):
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def pour(self):
        line = b"0041" + b"a" * 40 + b" refs/heads/b0000000000\n"
        self.send_response(200)
        self.send_header(*SMART[0])
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(1000):
                self.wfile.write(line * 1000)


def a_git_host_that_is_down_or_lies_costs_a_line_in_the_log_and_its_own_rules_only():
    says = {"down": "500", "garbage": "not git's protocol", "html": "smart protocol", "cut": "middle of a packet", "says": "the server says",
            "empty": "has no end", "away": "another host", "circle": "on and on", "huge": "", "slow": ""}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon_threads = True
    loopback.start(server)
    with world() as w:
        commit = web(w)
        for what, words in says.items():
            w.rule("bad", clone=f"http://127.0.0.1:{server.server_port}/{what}/x.git")
            comparison = Comparison(w)
            assert {ref: told["commit"] for ref, told in comparison.found.items()} == {"refs/heads/main": commit}, (what, comparison.found)
            lines = [line for line in comparison.logged() if "'bad'" in line]
            assert len(lines) == 1 and words in lines[0] and "\x1b" not in lines[0], (what, comparison.log)
        assert not [path for path, _ in Liar.seen if "caught" in path], "the token went to another host"
        w.rule("bad", clone=w.url("web", "moved/"))
        assert not [line for line in Comparison(w).logged() if "another" in line], "a renamed repository is followed on its own host"
        del w.rules["bad"]
        refused = Comparison(w, token="wrong")
        assert not refused.found and "401" in "".join(refused.logged()) and "wrong" not in refused.log, refused.log
    server.shutdown()


def a_registry_that_is_down_asks_for_nothing():
    with world() as w:
        web(w, image="127.0.0.1:1/acme/web")
        comparison = Comparison(w)
        assert not comparison.found and len(comparison.logged()) == 1, comparison.log


# --- the timer -------------------------------------------------------------------------------------------------------------------

def ticks_that_follow_each_other_compare_once():
    with world() as w:
        build(w, web(w))
        git_http.Handler.seen.clear()
        Comparison(w, ticks=3)
        assert len([path for _, path, _ in git_http.Handler.seen if "info/refs" in path]) == 1, git_http.Handler.seen


def a_structured_event_does_as_well_and_others_do_not():
    with world() as w:
        web(w)
        sink, event = Sink(), {"specversion": "1.0", "id": "1", "source": "/cron", "type": TIMER}
        config = {"sources": [{"name": "git", "kind": "gitea", "secret": {"env": "SECRET"}, "token": {"env": "GIT_TOKEN"}}],
                  "builds": list(w.rules.values()), "triggers": []}
        kind = [("Content-Type", "application/cloudevents+json; charset=utf-8")]
        with webhook(config, sink.url, {"SECRET": "s", "GIT_TOKEN": git_http.TOKEN}) as port:
            assert post(port, "/", json.dumps({**event, "type": QUEUED}).encode(), kind).status == 403
            assert post(port, "/", b"{", kind).status == 403
            assert post(port, "/", json.dumps(event).encode(), kind).status == 202
        assert [told["type"] for told in sink.take()] == [QUEUED]


def the_local_chain_looks_by_itself():
    with world() as w, temporary_directory() as directory:
        commit = web(w, tag="{branch}-{time}")
        w.rules["web"]["clone"] = f"file://{w.directory}/web.git"
        chain = Chain(directory, {"sources": [{"name": "git", "kind": "gitea", "secret": {"env": "PATH"}}], "builds": list(w.rules.values()),
                                  "triggers": []}, reconcile=1)
        with contextlib.closing(contextlib.ExitStack()) as stack:
            stack.callback(chain.kill)
            chain.start()
            published = lambda n: wait_until(lambda: len(chain.events("build.finished")) == n, 20, f"{n} images")
            published(1)
            wait_until(lambda: f"'main' points to {commit[:7]}, and build 'web' has built nothing yet" in chain.said(), 5, "the reason to be shown")
            chain.stop()
            later = push(w, "web", "refs/heads/main")
            chain.start()
            published(2)
            chain.stop()
            known = len(chain.events())
            chain.start()
            time.sleep(3)  # a tick comes after one second, and finds nothing
            chain.stop()
            assert len(chain.events()) == known, f"a tick that finds nothing leaves no trace: {chain.events()[known:]}"
            assert [event["data"]["customData"]["commit"] for event in chain.events("build.queued")] == [commit, later]


if __name__ == "__main__":
    run_tests([a_push_whose_hook_was_lost_is_found_and_built_once, what_is_pushed_normally_is_not_built_again,
               branches_and_tags_are_found_when_the_rule_wants_them_and_they_are_new, a_tag_that_is_found_late_is_not_newer_than_those_that_came_after_it, a_rule_with_paths_takes_part_when_it_says_so,
               a_first_start_on_an_old_repository_builds_one_branch,
               a_build_that_failed_is_not_asked_for_again, a_commit_that_asks_for_no_build_gets_none, a_build_that_never_ended_is_asked_for_again, of_two_builds_of_a_commit_one_gives_way,
               what_a_newer_build_has_written_stays_until_the_end,
               what_somebody_else_writes_there_is_no_record, a_git_host_that_is_down_or_lies_costs_a_line_in_the_log_and_its_own_rules_only,
               a_registry_that_is_down_asks_for_nothing, ticks_that_follow_each_other_compare_once,
               a_structured_event_does_as_well_and_others_do_not, the_local_chain_looks_by_itself])
