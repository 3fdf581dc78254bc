#!/usr/bin/env python3
"""Images whose base has moved are built anew: told by the base's own build, by the registry, or found on the timer."""
import contextlib
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from build_test import World, d, f, world, write_layout
from pushwright import Chain, SKOPEO, free_port, http, registry, run_tests, temporary_directory, wait_until
from reconcile_test import Comparison, build, nothing_is_missing, push, record_of, skipped, web

TOKEN = {"Authorization": "Bearer let-me"}


def move_base(w, name, repository="fx/base"):
    """Another image behind the tag; returns its digest."""
    layout = w.directory / f"layout-{name}"
    write_layout(layout, layers=[[d("etc"), f("etc/version", name)]])
    target = f"docker://{w.host}/{repository}:1"
    subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:base", target], check=True, capture_output=True)
    return json.loads(subprocess.run([*SKOPEO, "inspect", "--tls-verify=false", target], check=True, capture_output=True).stdout)["Digest"]


def based(w, **members):
    commit = w.repository("web", {"Dockerfile": f"FROM {w.base}\nCOPY index.html /\n", "index.html": "hi"})
    w.rule("web", clone=w.url("web", "private/"), **{"on": {"branches": ["main"], "tags": ["v*"], "base": True}, **members})
    return commit


def base_of(w, tag):
    manifest = http("GET", f"http://{w.host}/v2/acme/web/manifests/{tag}", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}).json
    return manifest["annotations"]["org.opencontainers.image.base.digest"]


def a_moved_base_is_found_and_built_on_once():
    with world() as w:
        commit = based(w, tag="{branch}")
        build(w, commit)
        nothing_is_missing(w)
        now = move_base(w, "two")
        told = Comparison(w).found["refs/heads/main"]
        assert told["base"] == {"image": w.base, "digest": now} and told["commit"] == commit, told
        assert told["reason"] == f"found by reconcile: 'main' points to {commit[:7]}, and its base '{w.base}' is {now[:19]} now", told
        assert Comparison(w).events[0]["id"] == Comparison(w).events[0]["id"]
        assert "artifact.published" in build(w, commit, asked="reconcile", base=told["base"])
        assert base_of(w, "main") == now
        nothing_is_missing(w)
        again = build(w, commit, asked="reconcile", base=told["base"])
        assert skipped(again) == f"{commit[:7]} of 'refs/heads/main' is built already", again


def tags_and_rules_that_do_not_ask_are_left_alone():
    with world() as w:
        commit = based(w)
        push(w, "web", "refs/tags/v1", tag="v1")
        build(w, commit)
        build(w, commit, "refs/tags/v1")
        move_base(w, "two")
        assert list(Comparison(w).found) == ["refs/heads/main"]
        w.rules["web"]["on"]["base"] = False
        nothing_is_missing(w)
        w.rules["web"]["on"] = {"base": True, "paths": ["src/**"]}
        push(w, "web", "refs/heads/main")
        nothing_is_missing(w)  # of another commit than was built: that is for a push to say


def a_build_that_fails_on_the_moved_base_is_not_tried_again():
    with world() as w:
        commit = based(w)
        w.repository("web", {"Dockerfile": f"FROM {w.base}\nCOPY --from={w.base} /bin/busybox /\n"})
        commit = w.repository("web", {})
        build(w, commit)
        base = {"image": w.base, "digest": move_base(w, "without-busybox")}
        assert Comparison(w).found["refs/heads/main"]["base"] == base
        assert build(w, commit, asked="reconcile", base=base)["build.finished"]["customData"]["outcome"] == "failure"
        nothing_is_missing(w)
        assert "could not be built" in skipped(build(w, commit, asked="reconcile", base=base))
        move_base(w, "three")
        assert Comparison(w).found, "the next move is another chance"


def what_stands_on_itself_is_not_built_forever():
    with world() as w:
        commit = based(w)
        build(w, commit)
        w.rules["web"]["image"] = f"{w.host}/fx/base"
        build(w, None, asked="person")
        move_base(w, "two")
        comparison = Comparison(w)
        assert not comparison.found and "which it stands on, stands on it" in comparison.log, comparison.log


def a_record_with_nonsense_asks_for_nothing():
    with world() as w:
        build(w, based(w))
        for bases in ("x", "x y", f"{w.base} sha256:12", "a b\n" * 3000, "../../etc sha256:" + "0" * 64, "127.0.0.1:1/x:1 sha256:" + "0" * 64):
            record_of(w, {"dev.pushwright.bases": bases})
            assert not Comparison(w).found, bases


def published(chain, count):
    wait_until(lambda: len(chain.events("build.finished")) == count, 30, f"{count} builds to end\n{chain.said()}")
    assert all(event["data"]["customData"]["outcome"] == "success" for event in chain.events("build.finished")), chain.events("build.finished")


def told_by_its_own_build_and_by_the_registry():
    with temporary_directory() as directory:
        port, places = free_port(), contextlib.ExitStack()
        host = f"127.0.0.1:{port}"
        (directory / "token").write_text("let-me")
        common = {"platforms": ["linux/amd64"]}
        rules = [{"name": name, "inline": f"FROM scratch\nLABEL v={name}\n", "image": f"{host}/fx/base", "tag": "1", **common} for name in ("one", "two")]
        rules.append({"name": "app", "inline": f"FROM {host}/fx/base:1\nLABEL app=1\n", "image": f"{host}/acme/web", "tag": "latest", "on": {"base": True},
                      **common})
        (directory / "chain").mkdir()
        chain = Chain(directory / "chain",
                      {"sources": [{"name": "registry", "kind": "registry", "secret": {"file": str(directory / "token")}}],
                       "api": {"token": {"file": str(directory / "token")}}, "builds": rules})
        notify = (f"notifications:\n  events: {{ includereferences: false }}\n  endpoints:\n    - name: chain\n      url: {chain.url}/hooks/registry\n"
                  "      headers: { Authorization: [let-me] }\n      timeout: 5s\n      threshold: 5\n      backoff: 1s\n")
        ask = lambda name: http("POST", f"{chain.url}/builds/{name}", b"{}", TOKEN)
        with places:
            places.callback(chain.kill)
            chain.start()
            silent = contextlib.ExitStack()
            places.callback(silent.close)
            silent.enter_context(registry(directory, port))
            for count, name in ((1, "one"), (2, "app"), (3, "two")):
                assert ask(name).status == 202
                published(chain, count if name != "two" else 4)
            w = World(directory, host)
            places.callback(w.server.shutdown)
            queued = chain.events("build.queued")[-1]["data"]["customData"]
            assert queued["build"] == "app" and queued["base"]["digest"] == base_of(w, "latest"), queued
            ask("two")
            published(chain, 5)
            time.sleep(4)
            published(chain, 5)  # the same digest again moves nothing
            silent.close()
            places.enter_context(registry(directory, port, extra=notify))
            now = move_base(w, "three")
            published(chain, 6)
            assert base_of(w, "latest") == now


if __name__ == "__main__":
    run_tests([a_moved_base_is_found_and_built_on_once, tags_and_rules_that_do_not_ask_are_left_alone,
               a_build_that_fails_on_the_moved_base_is_not_tried_again, what_stands_on_itself_is_not_built_forever,
               a_record_with_nonsense_asks_for_nothing, told_by_its_own_build_and_by_the_registry])
