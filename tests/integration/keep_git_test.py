#!/usr/bin/env python3
"""The .git directory that an image may keep (ADD --keep-git-dir, a git context with BUILDKIT_CONTEXT_KEEP_GIT_DIR), judged by git itself."""
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build_test import git, with_submodules, world
from cli_build_test import context, run
from pushwright import run_tests


def checkout(w, *arguments, code=0, **more):
    """The files of the image."""
    out = w.directory / f"out-{w.sequence}"
    w.sequence += 1
    said = run(w, "-o", out, *arguments, code=code, **more)[1]
    return out if code == 0 else said


def added(w, source, flags="--keep-git-dir=true", **more):
    return checkout(w, context(w, f"FROM scratch\nADD {flags} {source} /\n"), **more)


def judge(place, commit, url=None):
    """A detached HEAD at the commit, whole and untouched; the refs that are there."""
    assert git("-C", place, "rev-parse", "HEAD") == commit and git("-C", place, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert git("-C", place, "status", "--porcelain") == "", git("-C", place, "status", "--porcelain")
    subprocess.run(["git", "-C", place, "fsck", "--strict", "--full"], check=True, capture_output=True)
    git("-C", place, "verify-pack", *(place / ".git/objects/pack").glob("*.idx"))
    assert git("-C", place, "log", "--format=%H") == commit, "the history of one commit"
    if url:
        assert git("-C", place, "remote", "get-url", "origin") == url
    git("-C", place, "diff-index", "--quiet", "HEAD")
    return {line.split()[1]: line.split()[0] for line in git("-C", place, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()}


def modes(place):
    return {(path.is_dir(), path.lstat().st_mode & 0o7777) for path in (place / ".git").rglob("*")}


def libraries(w):
    """(first commit, which is the root of the history, second commit)"""
    noise = random.Random(1).randbytes(2_500_000)
    first = w.repository("lib", {"a": "old", "sub/b": ("exec", "b"), "l": ("link", "a"), "empty": "", "z/" + "n" * 200 + "/" + "m" * 200: "long",
                                 "big": noise, "same": noise, "medium": noise[:70_000], ".gitignore": "ignored\n"})
    second = w.repository("lib", {"a": "new", "big": noise[5:]})
    git("-C", w.directory / "lib.git", "tag", "light", second)
    git("-C", w.directory / "lib.git", "-c", "user.name=a", "-c", "user.email=a@b", "tag", "-a", "-m", "noted", "noted", second)
    git("-C", w.directory / "lib.git", "-c", "user.name=a", "-c", "user.email=a@b", "tag", "-a", "-m", "twice", "twice", "noted")
    return first, second


def git_finds_a_repository_in_what_was_added():
    with world(with_registry=False) as w:
        first, second = libraries(w)
        url = w.url("lib")
        git("-C", w.directory / "lib.git", "config", "uploadpack.allowAnySHA1InWant", "true")
        annotated = git("-C", w.directory / "lib.git", "rev-parse", "refs/tags/noted")
        for source, commit, refs in ((url, second, {"refs/heads/main": second}), (f"{url}#main", second, {"refs/heads/main": second}),
                                     (f"{url}#light", second, {"refs/tags/light": second}), (f"{url}#noted", second, {"refs/tags/noted": annotated}),
                                     (f"{url}#{first}", first, {}), (f"{url}?branch=main", second, {"refs/heads/main": second})):
            place = added(w, source)
            assert judge(place, commit, url) == refs, (source, judge(place, commit))
            assert (place / ".git/shallow").exists() == (commit == second)
            if "tags" in str(refs):
                assert git("-C", place, "describe", "--tags", "--exact-match") == source.partition("#")[2]
        for checksum, code in ((annotated, 0), (second[:12], 0), (first, 1)):  # of a tag's own object, or of the commit
            said = added(w, f"{url}#noted", f"--checksum={checksum}", code=code)
            assert code == 0 or f"expected checksum to match {first}, got {second}" in said, said
        assert git("-C", added(w, f"{url}#twice"), "describe", "--exact-match") in ("noted", "twice")
        assert os.access(place / "sub/b", os.X_OK) and os.readlink(place / "l") == "a" and (place / "empty").read_bytes() == b""
        place = added(w, url)  # git has not been at this one
        assert modes(place) == {(True, 0o755), (False, 0o644)}, modes(place)
        # What git sees is the files, not what the index has remembered of them.
        (place / "empty").write_text("x")
        (place / "sub/b").chmod(0o644)
        (place / "new").write_text("")
        (place / "medium").unlink()
        changed = {line.strip() for line in git("-C", place, "status", "--porcelain").splitlines()}
        assert changed == {"M empty", "M sub/b", "?? new", "D medium"}, changed
        git("-C", place, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "goes on")
        assert git("-C", place, "rev-parse", "HEAD^") == second
        git("-C", place, "fetch", "-q", "origin", "main")
        assert git("-C", place, "rev-parse", "FETCH_HEAD") == second


def who_asks_for_it_has_it():
    with world(with_registry=False) as w:
        first, second = libraries(w)
        url = w.url("lib")
        assert judge(added(w, f"{url}?keep-git-dir=true", ""), second, url)
        assert judge(added(w, f"{url}?keep-git-dir", "--keep-git-dir"), second, url)
        for flags, source in (("", url), ("--keep-git-dir=false", url), ("", f"{url}?keep-git-dir=false"), ("--keep-git-dir", f"{url}#main:sub")):
            assert not (added(w, source, flags) / ".git").exists(), (flags, source)
        assert "inconsistent keep-git-dir" in added(w, f"{url}?keep-git-dir=false", code=1)
        assert (added(w, f"{url}#main:sub") / "b").read_text() == "b"

        w.repository("lib", {"Dockerfile": "FROM scratch\nCOPY . /\n", "sub/Dockerfile": "FROM scratch\nCOPY . /\n", ".dockerignore": ".git\nsub/b\n"})
        commit = git("-C", w.directory / "lib.git", "rev-parse", "main")
        assert not (checkout(w, url) / ".git").exists() and not (checkout(w, "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=no", url) / ".git").exists()
        for arguments in (("--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", url), (f"{url}?keep-git-dir=1",)):
            place = checkout(w, *arguments)
            assert git("-C", place, "status", "--porcelain") in ("D sub/b", " D sub/b"), "what .dockerignore leaves out is not among the files"
            git("-C", place, "checkout", "--", "sub/b")
            assert judge(place, commit, url) == {"refs/heads/main": commit}
        assert not (checkout(w, "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", f"{url}#main:sub") / ".git").exists()
        place = checkout(w, "--build-context", f"lib={url}?keep-git-dir=1", context(w, "FROM scratch\nCOPY --from=lib . /\n"))
        assert judge(place, commit, url)

        w.rule("lib", args={"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "true"})
        git("-C", w.directory / "lib.git", "update-ref", "refs/tags/v1", commit)
        _, _, tree, _ = w.built("lib", commit, ref="refs/tags/v1")
        assert tree[".git/HEAD"][4] == f"{commit}\n" and f"{commit} refs/tags/v1" in tree[".git/packed-refs"][4]
        assert f'url = "{url}"' in tree[".git/config"][4]
        # A repository of this machine has no address that others could use.
        w.rule("lib", args={"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}, clone=f"file://{w.directory}/lib.git")
        _, _, tree, _ = w.built("lib", commit)
        assert "remote" not in tree[".git/config"][4] and f"{commit} refs/heads/main" in tree[".git/packed-refs"][4]


def the_same_commit_is_kept_the_same():
    with world() as w:
        _, second = libraries(w)
        bare, url = w.directory / "lib.git", w.url("lib")
        w.repository("adds", {"Dockerfile": f"FROM scratch\nADD --keep-git-dir {url}#noted /\n"})
        w.rule("adds")
        digests = set()
        for repack in ((), ("--window=0",), ("--window=50", "--depth=50"), ("--depth=1",)):
            git("-C", bare, "repack", "-adfq", *repack)
            git("-C", bare, "config", "core.compression", str(len(digests)))
            shutil.rmtree(w.directory / "cache", ignore_errors=True)
            digests.add(w.built("adds", git("-C", w.directory / "adds.git", "rev-parse", "main"), asked="person",
                                environment={"PUSHWRIGHT_ADD_PRIVATE": "1"})[0])
        assert len(digests) == 1, digests
        # The branch has moved on: of its commit that was pushed the same is kept.
        w.repository("lib", {"Dockerfile": "FROM scratch\nCOPY . /\n"})
        w.rule("lib", args={"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"})
        commit = git("-C", bare, "rev-parse", "main")
        before = w.built("lib", commit)[0]
        w.repository("lib", {"later": "x"})
        shutil.rmtree(w.directory / "cache")
        assert w.built("lib", commit, asked="person")[0] == before


def submodules_are_repositories_too():
    with world(with_registry=False) as w:
        deep = w.repository("deep", {"deepest": "3"})
        lib = with_submodules(w, "lib", {"f": "2"}, {"in/side": ("./../deep.git", deep)})
        app = with_submodules(w, "app", {"Dockerfile": "FROM scratch\nCOPY . /\n"}, {"vendor/lib": ("../lib.git", lib)})
        url = w.url("app")
        for place in (added(w, url), checkout(w, f"{url}?keep-git-dir=1")):
            judge(place, app, url)
            judge(place / "vendor/lib", lib, w.url("lib"))
            judge(place / "vendor/lib/in/side", deep, w.url("deep"))
            assert re.findall(r"^(.)(\w+) (\S+)", git("-C", place, "submodule", "status"), re.M) in (
                [(" ", lib, "vendor/lib")], [(lib[0], lib[1:], "vendor/lib")]), git("-C", place, "submodule", "status")
            (place / "vendor/lib/in/side/deepest").write_text("4")
            assert git("-C", place, "status", "--porcelain").strip() == "M vendor/lib"
        place = added(w, f"{url}?submodules=false")
        judge(place, app, url)
        assert not any((place / "vendor/lib").iterdir())


def nothing_of_a_tree_reaches_into_it():
    with world(with_registry=False) as w:
        w.repository("evil", {"f": "x"})
        bare, url = w.directory / "evil.git", w.url("evil")

        def raw(kind, data):
            return subprocess.run(["git", "-C", str(bare), "hash-object", "-t", kind, "--literally", "-w", "--stdin"], input=data,
                                  check=True, capture_output=True).stdout.decode().strip()

        def entry(mode, name, oid):
            return mode + b" " + name + b"\0" + bytes.fromhex(oid)

        hook = raw("tree", entry(b"100755", b"post-checkout", raw("blob", b"#!/bin/sh\ntouch /tmp/owned\n")))
        for what in (entry(b"40000", b".git", raw("tree", entry(b"40000", b"hooks", hook))), entry(b"100644", b".git", raw("blob", b"gitdir: /x\n")),
                     entry(b"120000", b".git", raw("blob", b"/etc")), entry(b"40000", b".GIT", hook), entry(b"160000", b".git", "1" * 40)):
            commit = git("-C", bare, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", "x", raw("tree", what))
            git("-C", bare, "update-ref", "refs/heads/main", commit)
            assert "the hostile name '.git'" in added(w, url, code=1).lower()
        # A link that leads there is a link; nothing is written through it.
        tree = raw("tree", entry(b"120000", b"l", raw("blob", b".git/hooks")))
        commit = git("-C", bare, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", "x", tree)
        git("-C", bare, "update-ref", "refs/heads/main", commit)
        place = added(w, url)
        judge(place, commit, url)
        assert not (place / ".git/hooks").exists() and sorted(p.name for p in (place / ".git").iterdir()) == [
            "HEAD", "config", "index", "objects", "packed-refs", "refs"]


if __name__ == "__main__":
    run_tests([git_finds_a_repository_in_what_was_added, who_asks_for_it_has_it, the_same_commit_is_kept_the_same, submodules_are_repositories_too,
               nothing_of_a_tree_reaches_into_it])
