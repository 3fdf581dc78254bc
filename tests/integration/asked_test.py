#!/usr/bin/env python3
"""POST /builds/NAME takes any ref: the shipped webhook and build in a chain, real git over smart HTTP, a real registry, images judged by skopeo."""
import contextlib
import json
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import git_http
from build_test import world
from pushwright import Chain, SKOPEO, git, http, run_tests, temporary_directory, wait_until
from reconcile_test import Comparison, build, nothing_is_missing, push, web

TOKEN = {"Authorization": "Bearer let-me"}
NOWHERE = "1" * 40
LONG = "refs/heads/so" + "-" * 150 + "long"


@contextlib.contextmanager
def chain_of(w, **members):
    """A repository with something of each kind of ref, the commit of each in .commits, and a chain that asks for a token."""
    commits = {"first": web(w, on={"branches": ["never"]}, **members)}
    commits["main"] = push(w, "web", "refs/heads/main", "second")
    for ref in ("refs/heads/release/1.x", "refs/heads/both", "refs/pull/7/head", "refs/merge-requests/3/head", LONG):
        commits[ref] = push(w, "web", ref, ref)
    commits["refs/tags/both"] = push(w, "web", "refs/tags/both", tag="both")
    commits["refs/tags/v1.0"] = push(w, "web", "refs/tags/v1.0", tag="v1.0")
    with temporary_directory() as directory:
        (directory / "token").write_text("let-me")
        (directory / "git").write_text(git_http.TOKEN)
        source = {"name": "git", "kind": "gitea", "secret": {"file": str(directory / "token")}, "token": {"file": str(directory / "git")}}
        chain = Chain(directory, {"api": {"token": {"file": str(directory / "token")}}, "sources": [source], "builds": list(w.rules.values())})
        chain.commits = commits
        try:
            chain.start()
            yield chain
        finally:
            chain.kill()


def ask(chain, ref, commit=None):
    """The build's end, and what was published."""
    done, published = len(chain.events("build.finished")), len(chain.events("artifact.published"))
    answer = http("POST", chain.url + "/builds/web", json.dumps({"ref": ref, **({"commit": commit} if commit else {})}).encode(), TOKEN)
    assert answer.status == 202 and answer.json["builds"] == 1, answer.text
    wait_until(lambda: len(chain.events("build.finished")) > done, 30, f"the build of {ref} to end\n{chain.said()}")
    images = chain.events("artifact.published")[published:]
    return chain.events("build.finished")[-1]["data"]["customData"], images[0]["data"]["customData"] if images else None


def labels(w, tag):
    return json.loads(subprocess.run([*SKOPEO, "inspect", "--tls-verify=false", f"docker://{w.host}/acme/web:{tag}"], check=True,
                                     capture_output=True).stdout)["Labels"]


def every_kind_of_ref_is_built():
    with world() as w, chain_of(w, tag="{ref}-{sha:7}", also=["x{branch}.{tag}"], args={"A": "{branch}/{tag}/{ref}"}) as chain:
        for said, ref, shown in (
                ("main", "refs/heads/main", "main"), ("refs/heads/main", "refs/heads/main", "main"), ("release/1.x", "refs/heads/release/1.x", "release-1.x"),
                ("v1.0", "refs/tags/v1.0", "v1.0"), ("refs/tags/v1.0", "refs/tags/v1.0", "v1.0"), ("tags/v1.0", "refs/tags/v1.0", "v1.0"),
                ("both", "refs/heads/both", "both"), ("refs/tags/both", "refs/tags/both", "both"),
                ("refs/pull/7/head", "refs/pull/7/head", "pull-7-head"), ("pull/7/head", "refs/pull/7/head", "pull-7-head"),
                ("refs/merge-requests/3/head", "refs/merge-requests/3/head", "merge-requests-3-head"),
                ("HEAD", "HEAD", "HEAD"), (LONG, LONG, "so-")):
            commit = chain.commits.get(ref, chain.commits["main"])
            end, image = ask(chain, said)
            assert end["outcome"] == "success" and end["ref"] == ref and end["commit"] == commit, (said, end)
            assert image["tag"].startswith(shown) and (commit[:7] in image["tag"] or ref == LONG), (said, image)
            assert len(image["tags"]) == 2 and all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", tag) for tag in image["tags"]), image
            assert labels(w, image["tag"]) is None
        assert {event["data"]["customData"]["ref"] for event in chain.events("build.started")} >= {"refs/pull/7/head", "HEAD", "refs/tags/v1.0"}


def a_commit_is_built_by_its_id_where_the_host_gives_it_out():
    with world() as w, chain_of(w, tag="{ref}-{sha:7}") as chain:
        tip, old = chain.commits["refs/pull/7/head"], chain.commits["first"]
        for said in (tip, tip.upper()):
            end, image = ask(chain, said)
            assert end["outcome"] == "success" and end["ref"] == end["commit"] == tip and image["tag"] == f"{tip}-{tip[:7]}", (end, image)
        refused, _ = ask(chain, old)
        assert refused["outcome"] == "failure" and f"by id: name a ref from which {old} is reachable" in refused["errors"], refused
        git("-C", w.directory / "web.git", "config", "uploadpack.allowAnySHA1InWant", "true")
        end, image = ask(chain, old)
        assert end["outcome"] == "success" and image["commit"] == old, (end, image)
        lost = ask(chain, NOWHERE)[0]
        assert lost["outcome"] == "failure" and f"does not give out commit {NOWHERE}" in lost["errors"], lost
        assert ask(chain, old, old)[0]["outcome"] == "success"
        assert ask(chain, "main", old)[1]["commit"] == old, "of a ref's history every host gives it out"
        two = http("POST", chain.url + "/builds/web", json.dumps({"ref": old, "commit": tip}).encode(), TOKEN)
        assert two.status == 400 and "two commits" in two.text, two.text


def what_is_not_there_is_told_by_the_build_s_end():
    with world() as w, chain_of(w) as chain:
        for said, commit, reason in (("nosuch", None, "neither a branch nor a tag 'nosuch'"), ("refs/heads/v1.0", None, "has no ref 'refs/heads/v1.0'"),
                                     ("refs/pull/8/head", None, "has no ref 'refs/pull/8/head'"), (NOWHERE, None, "does not give out commits by id"),
                                     ("main", NOWHERE, "is not reachable from 'refs/heads/main'"), ("pull/8/head", NOWHERE, "neither a branch nor a tag"),
                                     ("ab" * 32, None, "SHA-256")):
            end, image = ask(chain, said, commit)
            assert end["outcome"] == "failure" and reason in end["errors"] and not image, (said, end)


def reconcile_neither_counts_odd_refs_nor_repeats_a_person_s_choice():
    with world() as w:
        first = web(w)
        odd = push(w, "web", "refs/pull/7/head")
        build(w, odd, "refs/pull/7/head", asked="person")
        build(w, None, odd, asked="person")
        assert list(Comparison(w).found) == ["refs/heads/main"], "the rule has not begun with that"
        build(w, first)
        nothing_is_missing(w)
        second = push(w, "web", "refs/heads/main")
        build(w, second)
        assert "artifact.published" in build(w, first, asked="person"), "back to what was"
        nothing_is_missing(w)
        tags = http("GET", f"http://{w.host}/v2/acme/web/tags/list").json["tags"]
        assert len([tag for tag in tags if tag.startswith("pushwright-ref-")]) == 1, tags


def only_persons_ask_for_odd_refs():
    with world(with_registry=False) as w:
        commit = w.repository("odd", {"Dockerfile": "FROM scratch\n"})
        w.rule("odd")
        for ref, custom, reason in (("refs/pull/7/head", {"asked": "push"}, "neither a branch nor a tag"), (commit, {"asked": "reconcile"}, "neither a branch nor a tag"),
                                    ("HEAD", {}, "neither a branch nor a tag"), ("main", {"asked": "person"}, "not the full name of a ref"),
                                    (commit, {"asked": "person", "commit": NOWHERE}, "not the commit of")):
            code, events, log = w.build("odd", None, ref, **custom)
            assert code == 42 and not events and reason in log, (ref, code, events, log)
        assert "artifact.published" in w.build("odd", None, commit, asked="person")[1]
        w.rule("odd", clone=f"file://{w.directory}/odd.git")
        older, _ = commit, push(w, "odd", "refs/heads/main")
        assert "artifact.published" in w.build("odd", None, older, asked="person")[1], "a repository in a directory has all its commits by id"
        lost = w.build("odd", None, NOWHERE, asked="person")[1]["build.finished"]["customData"]
        assert lost["outcome"] == "failure" and NOWHERE in lost["errors"], lost


if __name__ == "__main__":
    run_tests([every_kind_of_ref_is_built, a_commit_is_built_by_its_id_where_the_host_gives_it_out, what_is_not_there_is_told_by_the_build_s_end,
               reconcile_neither_counts_odd_refs_nor_repeats_a_person_s_choice, only_persons_ask_for_odd_refs])
