#!/usr/bin/env python3
"""Logs of the shipped build function, kept in a real registry and at a URL: what stands in them, and what must not."""
import contextlib
import http.server
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build_test import world
import loopback
from pushwright import free_port, http as http_call, run_tests
from run_test import image

TYPE = "application/vnd.pushwright.build.log.v1"


def fetch(w, name, what):
    return http_call("GET", f"http://{w.host}/v2/acme/{name}/{what}", headers={"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"})


def log_at(w, name, address):
    """Its text and manifest, by what the event says."""
    assert address.startswith(f"{w.host}/acme/{name}@sha256:"), address
    manifest = fetch(w, name, f"manifests/{address.split('@')[1]}").json
    assert manifest["artifactType"] == TYPE and manifest["layers"][0]["mediaType"] == "text/plain", manifest
    return fetch(w, name, f"blobs/{manifest['layers'][0]['digest']}").text, manifest


def tags(w, name):
    return fetch(w, name, "tags/list").json.get("tags") or []


@contextlib.contextmanager
def store(status=201):
    got = []

    class Store(loopback.Handler):
        def do_PUT(self):
            got.append((self.path, self.headers.get("Authorization"), self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    loopback.start(server)
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()


def the_log_of_an_image_is_its_referrer():
    with world() as w:
        base = image(w, "base")
        commit = w.repository("kept", {"Dockerfile": f"FROM {base}\nRUN echo hello-from-run\nRUN echo hunter2-git-token | rev 2>/dev/null; echo hunter2-git-token\n"})
        w.rule("kept", log={"registry": True})
        code, events, logged = w.build("kept", commit, token="hunter2-git-token")
        assert code == 0, logged
        address = events["build.finished"]["customData"]["log"]
        assert events["taskrun.finished"]["customData"]["log"] == events["artifact.published"]["customData"]["log"] == address
        text, manifest = log_at(w, "kept", address)
        digest = events["artifact.published"]["subject"]["id"].split("@")[1].split("?")[0].replace("%3A", ":")
        assert manifest["subject"]["digest"] == digest and manifest["annotations"]["org.opencontainers.image.revision"] == commit, manifest
        assert re.search(r"^#\d+ \[2/3\] RUN echo hello-from-run$", text, re.M) and re.search(r"^#\d+ \d+\.\d{3} hello-from-run$", text, re.M), text
        assert "hunter2-git-token" not in text + logged and re.search(r"^#\d+ \d+\.\d{3} \*\*\*$", text, re.M), text
        assert any(json.loads(line)["message"].endswith(" hello-from-run") for line in logged.splitlines()), "and line by line"
        index = fetch(w, "kept", f"manifests/{digest.replace(':', '-')}")
        assert address.split("@")[1] in index.text, "listed as a referrer, by the tag of registries without a list"


def a_rule_that_says_nothing_keeps_nothing():
    with world() as w:
        commit = w.repository("silent", {"Dockerfile": f"FROM {w.base}\nLABEL a=b\n"})
        w.rule("silent", reconcile=False)
        code, events, _ = w.build("silent", commit)
        assert code == 0 and "log" not in events["build.finished"]["customData"] and len(tags(w, "silent")) == 1, tags(w, "silent")


def a_failed_build_has_a_log_too():
    with world() as w:
        base = image(w, "base")
        commit = w.repository("fails", {"Dockerfile": f"FROM {base}\nRUN echo the-last-words; exit 3\n"})
        w.rule("fails", log={"registry": True}, reconcile=False)
        _, events, _ = w.build("fails", commit)
        text, manifest = log_at(w, "fails", events["build.finished"]["customData"]["log"])
        assert "the-last-words" in text and text.splitlines()[-1].startswith("build 'fails' of 'refs/heads/main' failed: "), text
        assert manifest["annotations"]["dev.pushwright.ref"] == "refs/heads/main"
        before = tags(w, "fails")
        assert len(before) == 1 and before[0].startswith("pushwright-reflog-"), before
        again = w.repository("fails", {"Dockerfile": f"FROM {base}\nRUN echo other-words; exit 4\n"})
        _, events, _ = w.build("fails", again)
        assert "other-words" in log_at(w, "fails", events["build.finished"]["customData"]["log"])[0]
        assert tags(w, "fails") == before and "other-words" in fetch(w, "fails", "blobs/" + fetch(w, "fails", f"manifests/{before[0]}").json["layers"][0]["digest"]).text


def warnings_of_the_dockerfile_stand_in_the_log():
    with world() as w:
        dockerfile = f"FROM {w.base} AS Upper\nMAINTAINER me\nCOPY f /\n"
        commit = w.repository("warned", {"Dockerfile": dockerfile, "f": ""})
        w.rule("warned", log={"registry": True})
        code, events, logged = w.build("warned", commit)
        assert code == 0 and "artifact.published" in events, logged
        text, _ = log_at(w, "warned", events["build.finished"]["customData"]["log"])
        assert re.search(r"^#(\d+) warnings of the Dockerfile\n#\1 \S+ StageNameCasing: Stage name 'Upper' should be lowercase \(line 1\)\n"
                         r"#\1 \S+ MaintainerDeprecated: .* \(line 2\)$", text, re.M), text
        commit = w.repository("strict", {"Dockerfile": f"# check=skip=MaintainerDeprecated;error=true\n{dockerfile}", "f": ""})
        w.rule("strict")
        code, events, logged = w.build("strict", commit)
        assert "artifact.published" not in events and "[2/2]" not in logged, (events, logged)
        assert events["build.finished"]["customData"]["errors"] == "lint violation found for rules: StageNameCasing", events


def the_middle_of_a_long_log_is_left_out():
    with world() as w:
        base = image(w, "base")
        loud = "i=0; while [ $i -lt 9000 ]; do echo line-$i-" + "x" * 150 + "; i=$((i+1)); done"
        commit = w.repository("long", {"Dockerfile": f"FROM {base}\nRUN {loud}\n"})
        w.rule("long", log={"registry": True})
        code, events, logged = w.build("long", commit)
        text, _ = log_at(w, "long", events["build.finished"]["customData"]["log"])
        assert code == 0 and 1024 * 1024 <= len(text) < 1025 * 1024, len(text)
        assert "line-0-" in text and "line-8999-" in text and re.search(r"\n\[\d+ bytes are left out\]\n", text), "head and tail"
        assert "lines of the build are not logged: they came too fast" in logged and len(logged.splitlines()) < 9000


def a_log_store_is_told_by_put():
    with world() as w, store() as (url, got):
        commit = w.repository("put", {"Dockerfile": f"FROM {w.base}\nLABEL a=b\n"}, branch="feature/x y?".replace(" ", "-").replace("?", "#"))
        w.rule("put", log={"url": url + "/logs/{build}/{ref}/{sha:7}.log", "token": {"env": "LOG_TOKEN"}})
        code, events, _ = w.build("put", commit, ref="refs/heads/feature/x-y#", environment={"LOG_TOKEN": "t0ken-of-the-store"})
        assert code == 0 and len(got) == 1, got
        path, authorization, text = got[0]
        assert path == f"/logs/put/feature%2Fx-y%23/{commit[:7]}.log" and authorization == "Bearer t0ken-of-the-store", got
        assert "load metadata" in text and events["build.finished"]["customData"]["log"] == url + path


def a_log_store_that_is_down_fails_no_build():
    with world() as w, store(status=500) as (url, got):
        commit = w.repository("down", {"Dockerfile": f"FROM {w.base}\nLABEL a=b\n"})
        for place in (url + "/x", f"http://127.0.0.1:{free_port()}/x"):
            w.rule("down", log={"url": place}, reconcile=False)
            code, events, logged = w.build("down", commit)
            assert code == 0 and "artifact.published" in events and "log" not in events["build.finished"]["customData"]
            assert "the log of build 'down' is not kept: " in logged, logged
        assert len(got) == 1


if __name__ == "__main__":
    run_tests([the_log_of_an_image_is_its_referrer, a_rule_that_says_nothing_keeps_nothing, a_failed_build_has_a_log_too, warnings_of_the_dockerfile_stand_in_the_log,
               the_middle_of_a_long_log_is_left_out, a_log_store_is_told_by_put, a_log_store_that_is_down_fails_no_build])
