#!/usr/bin/env python3
"""A newer push supersedes queued and running builds of its ref: the shipped chain, real git over smart HTTP, a real registry. What makes a build slow is a
file that its Dockerfile adds, which is served when the test says so."""
import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import git_http
from build_test import world
import loopback
from pushwright import Chain, SKOPEO, git, http as http_call, run_tests, signed_push, temporary_directory, wait_until
from reconcile_test import push, web

SECRET = "the hook's secret"


class Gate:
    """Serves /NAME once open(NAME) was called; .asked holds the names that somebody waits for, or has waited for."""

    def __init__(self):
        gate = self
        self.asked, self.doors = set(), {}

        class Handler(loopback.Handler):
            def do_GET(self):
                gate.asked.add(self.path[1:])
                gate.door(self.path[1:]).wait(60)
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Length", "5")
                    self.end_headers()
                    self.wfile.write(b"here\n")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        loopback.start(self.server)

    def door(self, name):
        return self.doors.setdefault(name, threading.Event())

    def open(self, name):
        self.door(name).set()

    def dockerfile(self, name):
        return f"FROM scratch\nADD http://127.0.0.1:{self.server.server_port}/{name} /slow\nCOPY Dockerfile /\n"


class Place:
    def __init__(self, w, directory, gate):
        self.w, self.gate = w, gate
        (directory / "secret").write_text(SECRET)
        (directory / "git").write_text(git_http.TOKEN)
        source = {"name": "git", "kind": "gitea", "secret": {"file": str(directory / "secret")}, "token": {"file": str(directory / "git")}}
        self.chain = Chain(directory, {"sources": [source], "builds": list(w.rules.values())})
        self.chain.environment = {**os.environ, "PUSHWRIGHT_ADD_PRIVATE": "1"}

    def push(self, gated=None, ref="refs/heads/main"):
        """A commit whose build waits at that gate, or does not wait, and the hook's delivery of it."""
        work, old = self.w.directory / "work-web", git("-C", self.w.directory / "work-web", "rev-parse", "HEAD")
        (work / "Dockerfile").write_text(self.gate.dockerfile(gated) if gated else "FROM scratch\nCOPY Dockerfile /\n")
        git("-C", work, "add", "-A")
        new = push(self.w, "web", ref)
        body, headers = signed_push(SECRET, "acme/web", ref, old, new)
        answer = http_call("POST", self.chain.url + "/hooks/git", body, headers)
        assert answer.status == 202, answer.text
        if gated:
            wait_until(lambda: gated in self.gate.asked, 30, f"the build to come to gate '{gated}'\n{self.chain.said()}")
        return new

    def of(self, kind, commit):
        return [event["data"] for event in self.chain.events(kind) if event["data"]["customData"].get("commit") == commit]

    def published(self, commit):
        wait_until(lambda: self.of("artifact.published", commit), 30, f"the image of {commit}\n{self.chain.said()}")

    def skipped(self, words):
        """The reasons of decisions that say these words."""
        reasons = [event["data"]["subject"]["content"]["reason"] for event in self.chain.events("decision.skipped")]
        return [reason for reason in reasons if words in reason]

    def tags(self):
        """Tag → commit, as the registry tells."""
        found = {}
        for tag in http_call("GET", f"http://{self.w.host}/v2/acme/web/tags/list").json["tags"] or []:
            if not tag.startswith("pushwright-"):
                manifest = json.loads(subprocess.run([*SKOPEO, "inspect", "--raw", "--tls-verify=false", f"docker://{self.w.host}/acme/web:{tag}"], check=True,
                                                     capture_output=True).stdout)
                found[tag] = manifest["annotations"]["org.opencontainers.image.revision"]
        return found


@contextlib.contextmanager
def place(**members):
    gate = Gate()
    with world() as w, temporary_directory() as directory:
        web(w, tag="{branch}-{sha:7}", also=["latest"], **members)
        one = Place(w, directory, gate)
        try:
            one.chain.start()
            yield one
        except BaseException:
            print("\n".join("# " + line for line in one.chain.said().splitlines()[-30:]))
            raise
        finally:
            for name in list(gate.doors):
                gate.open(name)
            one.chain.kill()
            gate.server.shutdown()


def a_running_build_is_given_up_for_the_newer_push():
    with place(on={"branches": ["main"]}) as p:
        old = p.push(gated="old")
        assert p.of("build.started", old) and not p.of("build.finished", old)
        new = p.push()
        p.published(new)
        wait_until(lambda: p.of("build.finished", old), 30, f"the older build to end\n{p.chain.said()}")
        told = p.of("build.finished", old)[0]
        assert told["customData"]["outcome"] == "cancel" and told["customData"]["errors"] == "a newer push supersedes this one", told
        assert "artifactId" not in told["subject"]["content"] and not p.of("artifact.published", old), told
        wait_until(lambda: p.skipped("a newer push supersedes this one"), 10, "the decision")
        assert p.tags() == {f"main-{new[:7]}": new, "latest": new}, p.tags()
        p.gate.open("old")
        last = p.push()  # what comes after it goes its way
        p.published(last)
        assert p.tags() == {f"main-{new[:7]}": new, f"main-{last[:7]}": last, "latest": last}, p.tags()


def a_queued_build_is_not_even_begun():
    with place(on={"branches": ["main", "other/*"]}) as p:
        busy = [p.push(gated=f"b{i}", ref=f"refs/heads/other/{i}") for i in range(2)]  # as many as `build` takes at once
        older = [p.push(), p.push()]
        new = p.push()
        for i in range(2):
            p.gate.open(f"b{i}")
        p.published(new)
        for commit in older:
            wait_until(lambda: p.skipped(f"has moved on from {commit[:7]} to {new[:7]}"), 30, f"the decision about {commit}\n{p.chain.said()}")
            assert not p.of("build.started", commit) and not p.of("artifact.published", commit)
        for commit in busy:  # other refs are other builds
            p.published(commit)
        wait_until(lambda: len(p.chain.events("build.finished")) == 3, 30, "all builds to end")
        assert {tag: commit for tag, commit in p.tags().items() if tag.startswith("main-")} == {f"main-{new[:7]}": new}, p.tags()


def a_build_in_another_process_sees_it_before_it_publishes():
    gate = Gate()
    with world() as w:
        web(w, also=["latest"])
        w.repository("web", {"Dockerfile": gate.dockerfile("here")})
        old, done = git("-C", w.directory / "work-web", "rev-parse", "HEAD"), []
        builder = threading.Thread(target=lambda: done.append(w.build("web", old, token=git_http.TOKEN, environment={"PUSHWRIGHT_ADD_PRIVATE": "1"})))
        builder.start()
        wait_until(lambda: "here" in gate.asked, 30, "the build to come to the gate")
        new = push(w, "web", "refs/heads/main")
        gate.open("here")
        builder.join(60)
        [(code, events, log)] = done
        assert code == 0 and "artifact.published" not in events, (code, events, log)
        assert events["build.finished"]["customData"]["outcome"] == "cancel", events
        assert f"has moved on from {old[:7]} to {new[:7]}" in events["pushwright-decision.skipped"]["subject"]["content"]["reason"], events
        tags = http_call("GET", f"http://{w.host}/v2/acme/web/tags/list")
        assert not [tag for tag in (tags.json.get("tags") or []) if not tag.startswith("pushwright-")], tags.text
    gate.server.shutdown()


if __name__ == "__main__":
    run_tests([a_running_build_is_given_up_for_the_newer_push, a_queued_build_is_not_even_begun,
               a_build_in_another_process_sees_it_before_it_publishes])
