#!/usr/bin/env python3
"""Classes of holes that other builders had (see the advisories that are named), where no test beside the feature itself shows that they are closed:
sources of mounts that change meanwhile, repositories and URLs that lead out of their place, images that are too large to look at, digests that are
paths, and local files that change while they are read."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build_test import BIN, Origin, f, git, s, world, write_layout
from cli_build_test import PUSHWRIGHT, context, environment, run
from pushwright import run_tests, wait_until
from run_test import image

PRIVATE = {"PUSHWRIGHT_ADD_PRIVATE": "1"}


def caches_that_are_changed_meanwhile_lead_nowhere():
    """CVE-2024-23651: one build exchanges a directory of a shared cache for a link while another one mounts something below it; and the link stays."""
    with world() as w:
        base = image(w, "base")
        outside = w.directory / "outside"
        outside.mkdir()
        (outside / "kept").write_text("kept")
        far = "../" * 20 + str(outside)[1:]
        cache = "--mount=type=cache,target=/c,id=shared"
        swap = f"RUN {cache} for i in $(seq 300); do rm -rf /c/x; mkdir -p /c/x/y; rm -rf /c/x; ln -sfn {far} /c/x; done\n"
        use = "".join(f"RUN {cache} --mount=type=cache,target=/c/x/y,id=other --mount=type=tmpfs,target=/c/x/z echo {i} > /c/x/y/escaped; echo > /c/x/z/e; true\n"
                      for i in range(8))
        commits = {branch: w.repository("web", {"Dockerfile": f"FROM {base}\n{steps}"}, branch) for branch, steps in (("swap", swap), ("use", use))}
        w.rule("web", reconcile=False)
        for branch, commit in commits.items():
            (w.directory / f"{branch}.json").write_text(json.dumps(w.event("web", commit, f"refs/heads/{branch}")))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda branch: subprocess.run([str(BIN / "build"), "--event", str(w.directory / f"{branch}.json")], env=w.environment(),
                                                        capture_output=True, timeout=300), commits))  # whether or not they build
        w.build("web", commits["use"], ref="refs/heads/use")
        assert [path.name for path in outside.iterdir()] == ["kept"], list(outside.iterdir())


def repositories_and_urls_stay_in_their_place():
    """CVE-2026-33748, CVE-2026-33747, CVE-2019-13139: subdirectories, Dockerfiles, refs and file names that somebody else has chosen."""
    with world() as w, Origin() as origin:
        secret = w.directory / "secret"
        secret.write_text("not for the image")
        far = "../" * 20 + str(w.directory)[1:]
        lib = w.repository("lib", {"f": "f", "out": ("link", far), "sub/up": ("link", "../.."), "Dockerfile": ("link", f"{far}/secret")})
        url = w.url("lib")
        w.rule("web", reconcile=False)
        for source, reason in ((f"{url}#main:out", "not found"), (f"{url}#main:../../..", None), (f"{url}#main:sub/up", None),
                               (f"{url}#--upload-pack=touch${{IFS}}{w.directory}/ran", ""), (f"{url}#-u.:/", ""), (f"{url}?ref=a%0ab", "")):
            commit = w.repository("web", {"Dockerfile": f"FROM scratch\nADD {source} /x/\n"})
            events = w.build("web", commit, environment=PRIVATE)[1]
            errors = events["build.finished"]["customData"].get("errors", "")
            # Above the root of the repository is the root of the repository.
            assert ("artifact.published" in events) == (reason is None) and (reason or "") in errors, (source, events)
        assert not (w.directory / "ran").exists()
        for member in ({}, {"dockerfile": "../../secret"}, {"dockerfile": str(secret)}, {"context": "../.."}, {"context": "out"}):
            w.rule("lib", reconcile=False, **member)
            (w.directory / "event.json").write_text(json.dumps(w.event("lib", lib)))
            done = subprocess.run([str(BIN / "build"), "--event", str(w.directory / "event.json")], capture_output=True, text=True, env=w.environment())
            assert "artifact.published" not in done.stdout and "not for the image" not in done.stdout + done.stderr, (member, done)
        for path, name in (("/..", "__unnamed__"), ("/%2e%2e", "__unnamed__"), ("/..%2f..%2fescaped", "__unnamed__"), ("/a%00b", "__unnamed__"), ("/a/", "a"), ("//", "__unnamed__"), ("/../", "__unnamed__")):
            commit = w.repository("web", {"Dockerfile": f"FROM scratch\nADD {origin.url(path)} /in/\n"})
            tree = w.built("web", commit, environment=PRIVATE)[2]
            assert sorted(tree) == ["in", f"in/{name}"], (path, sorted(tree))


def what_is_too_large_is_refused_before_it_is_read():
    """GHSA-72x6-4j93-7w86 and its like: files that the builder looks into itself, and documents of registries."""
    huge = b"root:x:0:0::/:/bin/sh\n" + b"x" * (64 << 20)
    with world(with_registry=False) as w:
        rows = {"passwd": ("COPY --chown=bob f /f", [f("etc/passwd", huge)]), "group": ("COPY --chown=0:staff f /f", [f("etc/group", huge)]),
                "user": ("USER bob\nWORKDIR /w", [f("etc/passwd", huge)])}
        for name, (step, entries) in rows.items():
            write_layout(w.directory / f"base-{name}", "x", [entries])
            commit = w.repository(name, {"f": "f", "Dockerfile": f"FROM oci:{w.directory}/base-{name}:x\n{step}\n"})
            w.rule(name)
            errors = w.build(name, commit)[1]["build.finished"]["customData"].get("errors", "")
            assert "of the image has 67108" in errors, (name, errors)
        write_layout(w.directory / "base", "x", [[f("a", "a")]], {"architecture": "amd64", "os": "linux", "config": {"Labels": {"l": "x" * (9 << 20)}}})
        commit = w.repository("config", {"Dockerfile": f"FROM oci:{w.directory}/base:x\nLABEL a=b\n"})
        w.rule("config")
        assert "artifact.published" not in w.build("config", commit)[1]
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of all that this test has started, git among it
        assert peak < 200_000, f"{peak} kB"


def digests_are_no_paths_and_documents_are_one_thing():
    """CVE-2024-3727, CVE-2021-41190."""
    with world(with_registry=False) as w:
        (w.directory / "outside").write_text("{}")

        def refused(change):
            layout = w.directory / f"layout-{refused.count}"
            refused.count += 1
            write_layout(layout, "x", [[f("a", "a")]])
            index = json.loads((layout / "index.json").read_text())
            manifest = json.loads((layout / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
            change(manifest)
            body = json.dumps(manifest).encode()
            digest = hashlib.sha256(body).hexdigest()
            (layout / "blobs/sha256" / digest).write_bytes(body)
            index["manifests"][0].update(digest=f"sha256:{digest}", size=len(body))
            (layout / "index.json").write_text(json.dumps(index))
            commit = w.repository("web", {"f": "f", "Dockerfile": f"FROM oci:{layout}:x\nCOPY f /f\n"})
            w.rule("web", reconcile=False)
            events = w.build("web", commit)[1]
            return "artifact.published" not in events

        refused.count = 0
        assert not refused(lambda m: None)
        for digest in ("sha256:../../../outside", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "../outside", "sha256:" + "a" * 64 + "/../x", ""):
            assert refused(lambda m, digest=digest: m["layers"][0].update(digest=digest)), digest
            assert refused(lambda m, digest=digest: m["config"].update(digest=digest)), digest
        assert refused(lambda m: m.update(manifests=[{**m["config"], "mediaType": "application/vnd.oci.image.manifest.v1+json"}]))


def local_files_that_change_meanwhile_lead_nowhere():
    """CVE-2018-15664, CVE-2026-41567: a file of the context becomes a link after it was looked at, and before it is read."""
    with world() as w:
        base = image(w, "base")
        (w.directory / "secret").write_text("not for the image")
        for what in ("f", "d"):
            place = context(w, f"FROM {base}\nRUN --mount=type=cache,target=/c,id={what} touch /c/ready; until [ -e /c/go ]; do sleep 0.1; done\nCOPY . /copied/\n",
                            {"f": "some", "d/secret": "some"}, name=what)
            child = subprocess.Popen([PUSHWRIGHT, "build", "--no-cache", "-o", w.directory / f"out-{what}", place], env=environment(w), stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)
            ready = lambda: [path for path in (w.directory / "cache/mounts").glob("*/data/ready") if not (path.parent / "go").exists()]
            wait_until(ready, 60, "the command")
            (place / what).rename(place.parent / f"aside-{what}")
            (place / what).symlink_to(w.directory / "secret" if what == "f" else w.directory)
            (ready()[0].parent / "go").touch()
            said = child.communicate(timeout=120)[0]
            assert child.returncode == 1 and "not for the image" not in said, said
            assert not list((w.directory / f"out-{what}").rglob("copied/*")) if (w.directory / f"out-{what}").exists() else True


if __name__ == "__main__":
    if os.getuid() != 0:
        print("1..1\nok 1 - hostile input # SKIP as root: bases are run in")
        sys.exit(0)
    run_tests([caches_that_are_changed_meanwhile_lead_nowhere, repositories_and_urls_stay_in_their_place, what_is_too_large_is_refused_before_it_is_read,
               digests_are_no_paths_and_documents_are_one_thing, local_files_that_change_meanwhile_lead_nowhere])
