#!/usr/bin/env python3
"""The build cache as a user sees it: which steps are taken from it and which are made anew, that the image is right all the same, and that
nothing that is wrong with the cache fails a build. Real git, a real registry, a busybox base."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build_test import BIN, TIME, f, world
from pushwright import SKOPEO, free_port, http as http_call, run_tests
from requests_test import Requests
from run_test import image

FILES = {"app/main": ("exec", "main"), "app/data": "data", "other": "other"}
STEPS = ("RUN cat /proc/sys/kernel/random/uuid > /made\nWORKDIR /srv/app\nCOPY app ./\nRUN cat main data > both && ls -l > /list\n"
         "COPY --from=0 /made /copy\n")


def steps(log):
    """The instructions that were not made anew."""
    names, cached = {}, []
    for message in (json.loads(line)["message"] for line in log.splitlines()):
        number, _, rest = message.partition(" ")
        if rest.startswith("["):
            names[number] = rest.partition("] ")[2]
        if rest.startswith("CACHED"):
            cached.append(names[number])
    return cached


class Cached:
    """One rule, built again and again."""

    def __init__(self, w, name="web", base=None):
        self.w, self.name, self.count, self.commits = w, name, 0, {}
        self.base = base or image(w, name)

    def build(self, dockerfile, files=FILES, environment=None, branch="main", time=TIME, **rule):
        """(steps that were cached, digest, config, tree)"""
        self.count += 1
        content = {**files, "Dockerfile": dockerfile.replace("BASE", self.base)}
        last, commit = self.commits.get(branch, (None, None))
        if last != (content, time):
            commit = self.w.repository(self.name, content, branch, time)
            self.commits[branch] = (content, time), commit
        self.w.rule(self.name, **{"reconcile": False, "tag": f"n{self.count}", **rule})
        logs = []
        build = self.w.build
        self.w.build = lambda *a, **o: logs.append(build(*a, **o)) or logs[-1]
        try:
            digest, config, tree, _ = self.w.built(self.name, commit, environment=environment, ref=f"refs/heads/{branch}")
        finally:
            self.w.build = build
        self.log = logs[-1][2]
        return steps(self.log), digest, config, tree

    def count_cached(self, dockerfile, files=FILES, **options):
        return len(self.build(dockerfile, files, **options)[0])


def text(tree, path):
    return tree[path][4]


def a_second_build_makes_nothing():
    with world() as w:
        c = Cached(w)
        dockerfile = "FROM BASE\n" + STEPS.replace("COPY --from=0 /made /copy\n", "")
        cached, digest, config, tree = c.build(dockerfile)
        assert cached == [], cached
        again, same, _, unpacked = c.build(dockerfile)
        assert again == dockerfile.splitlines()[1:], again
        assert (same, unpacked) == (digest, tree)
        # Another commit at the same time: the layers stay, what RUN has drawn at random too.
        other, _, changed, unpacked = c.build(dockerfile, {**FILES, "README": "is not copied"})
        assert len(other) == 4 and unpacked == tree and changed["rootfs"] == config["rootfs"], other
        # At another time: what COPY makes has it, and so has what RUN has drawn, which is not drawn again.
        other, _, changed, unpacked = c.build(dockerfile, {**FILES, "README": "is not copied"}, time=TIME + 1000)
        assert other == [step for step in dockerfile.splitlines() if step.startswith("RUN")] and unpacked == tree, other
        assert not set(changed["rootfs"]["diff_ids"][1:]) & set(config["rootfs"]["diff_ids"]), changed["rootfs"]


TIMES = ("FROM BASE AS first\nRUN mkdir -p /out/d && echo 1 > /out/f && ln /out/f /out/d/h && touch -d @1600000000 /out/old\nWORKDIR /srv/app\n"
         "COPY app ./\nRUN --mount=type=cache,target=/c echo x >> /c/count && cp -p main /out && cat data >> /out/f && chmod 700 /out/d\n"
         "FROM BASE\nCOPY --from=first /out /out\nRUN --mount=type=cache,target=/c echo y >> /c/count && chown 1:1 /out/old /out/d/h && rm /out/main\n"
         "COPY --link other /o/\nRUN --mount=from=first,target=/m cp -p /m/srv/app/main / && mkdir /new && touch -r /o/other /new/other\n")


def count_of_commands(w):
    return sum(len(path.read_text().split()) for path in (w.directory / "cache/mounts").glob("*/data/count"))


def no_digest_depends_on_what_was_built_before():
    with world() as w:
        c = Cached(w)
        kept = {"environment": KEY, "cache": {"repository": f"{w.host}/acme/kept"}}
        places = {"disk": {}, "min": kept, "max": {**kept, "cache": {**kept["cache"], "mode": "max", "mounts": True}},
                  "own": {**kept, "cache": {"repository": f"{w.host}/acme/web", "mode": "max"}}}
        runs = [step for step in TIMES.splitlines() if step.startswith("RUN")]
        later, earlier = {"time": TIME + 5000, "branch": "later"}, {"time": TIME - 5000, "branch": "earlier"}
        cold = {}
        for when in (later, earlier):
            cold[when["branch"]] = c.build(TIMES, **when)[1]
            forget(w)
        for place, where in places.items():
            for when in (later, earlier):
                c.build(TIMES, **where)
                if where:
                    forget(w)
                cached, digest, _, _ = c.build(TIMES, **when, **where)
                assert digest == cold[when["branch"]], (place, when)
                # A mount shows the first stage, whose commands have left another one than before where they were run again.
                assert cached == (runs[2:3] if place == "min" else runs), (place, when, cached)
                if place != "min":
                    assert count_of_commands(w) == (0 if where else 2), (place, when)
                # Once more, and there is nothing to do.
                cached, again, _, _ = c.build(TIMES, **when, **where)
                assert again == digest and len(cached) == 8, (place, when, cached)
                forget(w)
        # Branches that are built by turns find what is theirs; a command that is new runs on layers of other times as it would on its own.
        for when in (later, {}, earlier, later, {}, earlier):
            last = c.build(TIMES, **when)
        assert len(last[0]) == 8 and last[1] == cold["earlier"], last[0]
        longer = TIMES + "RUN cp -p /out/f /f2 && chmod 700 /out/d /new && cat /out/d/h && touch -d @1500000000 /out/f\n"
        cached, digest, _, _ = c.build(longer, **later)
        forget(w)
        assert len(cached) == 8 and c.build(longer, **later)[1] == digest


def a_command_runs_again_for_its_times_only_where_they_would_differ():
    with world() as w:
        c = Cached(w)
        dockerfile = f"FROM BASE\nRUN touch -d @{TIME + 100} /later && echo 1 > /now\n"
        earlier, between, behind = ({"time": TIME + delta, "branch": str(delta)} for delta in (-500, 50, 500))

        def both(when, expected):
            cached, digest, _, _ = c.build(dockerfile, **when)
            assert len(cached) == expected, (when, cached)
            (w.directory / "cache").rename(w.directory / "aside")
            assert c.build(dockerfile, **when)[1] == digest, when
            forget(w)
            (w.directory / "aside").rename(w.directory / "cache")

        c.build(dockerfile)
        both(between, 1)
        both(earlier, 1)
        both(behind, 0)
        # What lost its times to an earlier commit says so.
        c.build(dockerfile, **earlier)
        both(between, 1)
        shutil.rmtree(w.directory / "cache")
        dockerfile = f"FROM BASE\nRUN touch -d @{TIME + 10} /later && echo 1 > /now\n"
        c.build(dockerfile, **behind)
        both(earlier, 1)
        both({"time": TIME + 5, "branch": "fifth"}, 1)
        both({"time": TIME + 20, "branch": "sixth"}, 0)


def a_commit_of_the_future_has_one_digest():
    with world() as w:
        c = Cached(w)
        dockerfile = "FROM BASE\nRUN mkdir /d && echo 1 > /d/f\n"
        first, second = [], []
        for seen in (first, second):
            seen.append(c.build(dockerfile, time=4070908800)[1])
            forget(w)
            time.sleep(1.1)
        assert first == second


def what_is_changed_is_made_anew_with_all_that_stands_on_it():
    with world() as w:
        c = Cached(w)
        dockerfile = "FROM BASE AS first\n" + STEPS.replace("COPY --from=0 /made /copy\n", "") + "FROM BASE\nCOPY --from=first /made /copy\nRUN cat /copy > /last\n"
        _, _, _, before = c.build(dockerfile)
        files = {**FILES, "app/data": "changed"}
        cached, _, _, after = c.build(dockerfile, files)
        # What is copied out of the first stage is the same, though it lies in another image: the second stage stays.
        assert cached == [*dockerfile.splitlines()[1:3], *dockerfile.splitlines()[-2:]], cached
        assert text(after, "last") == text(before, "last") == text(after, "copy")
        target = c.build(dockerfile, files, target="first")
        assert len(target[0]) == 4 and text(target[3], "srv/app/both") == "mainchanged", target
        # A RUN on cached layers, the first of which was written by RUN, the last by COPY, and one that deletes what they hold.
        cached, _, _, tree = c.build(dockerfile.replace("> /list\n", "> /list\nRUN rm /srv/app/data && cat /made main both > /end\n"), files, target="first")
        assert len(cached) == 4 and text(tree, "end").endswith("mainmainchanged") and "srv/app/data" not in tree, (cached, tree)
        cached, _, _, again = c.build(dockerfile.replace("> /list\n", "> /list\nRUN rm /srv/app/data && cat /made main both > /end\nRUN touch data\n"), files, target="first")
        assert len(cached) == 5 and text(again, "srv/app/data") == "" and text(again, "end") == text(tree, "end"), cached


def what_a_key_is_made_of():
    with world() as w:
        c = Cached(w)
        copy, run = "FROM BASE\nCOPY app /app\n", "FROM BASE\nARG A=1\nRUN echo $A > /a\nARG B=1\n"
        assert c.count_cached(copy) == 0
        assert c.count_cached(copy) == 1
        assert c.count_cached(copy, {**FILES, "app/data": ("exec", "data")}) == 0, "a mode is changed"
        assert c.count_cached(copy, {**FILES, "app/data": "data"}) == 1, "and changed back"
        assert c.count_cached(copy, {**FILES, "app/new": "x"}) == 0, "a file is new"
        assert c.count_cached(copy.replace("COPY", "COPY --chown=1:1"), {**FILES, "app/new": "x"}) == 0
        assert c.count_cached(copy.replace("/app\n", "/app2\n")) == 0
        assert c.count_cached(copy, compression="gzip:9") == 0
        assert c.count_cached(run) == 0
        assert c.count_cached(run, args={"B": "2"}) == 1, "an ARG behind the RUN"
        assert c.count_cached(run, args={"A": "2"}) == 0, "an ARG before it"
        assert c.count_cached(run, args={"A": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}) == 1, "a proxy is not part of the result"
        assert c.count_cached(run.replace("ARG A=1", "ENV A=1")) == 1, "who defines a variable does not matter"
        assert c.count_cached(run.replace("ARG A=1", "ARG A=1\nUSER alice\nWORKDIR /alice").replace("> /a", "> a")) == 0
        assert c.count_cached(run.replace("RUN", "RUN --network=none")) == 0
        assert c.count_cached(run.replace("RUN", "RUN --mount=type=bind,target=/m")) == 0
        assert c.count_cached(run.replace("RUN", "RUN --mount=type=bind,target=/m")) == 1
        assert c.count_cached(run.replace("RUN", "RUN --mount=type=bind,target=/m"), {**FILES, "other": "changed"}) == 0
        label = "FROM BASE\nLABEL a=%s\nCOPY app /app\n"
        assert c.count_cached(label % 1) == 1 and c.count_cached(label % 2) == 1, "what only describes has no part in layers"


def another_base_or_rule_has_layers_of_its_own():
    with world() as w:
        c = Cached(w)
        dockerfile = "FROM BASE\nRUN echo hi > /hi\nCOPY --link app /app\n"
        assert c.count_cached(dockerfile) == 0
        c.base = image(w, "other", [f("new", "in the base")])
        cached, _, _, tree = c.build(dockerfile)
        assert cached == ["COPY --link app /app"] and text(tree, "new") == "in the base", cached
        other = Cached(w, "another", c.base)
        assert other.count_cached(dockerfile) == 0


def triggers_and_platforms_are_cached():
    with world() as w:
        c = Cached(w)
        parent = Cached(w, "parent", c.base)
        parent.build("FROM BASE\nONBUILD COPY app /app\nONBUILD RUN cat /app/data > /triggered\n")
        c.base = f"{w.host}/acme/parent:n1"
        assert c.count_cached("FROM BASE\nRUN true\n") == 0
        cached, _, _, tree = c.build("FROM BASE\nRUN true\n")
        assert len(cached) == 3 and text(tree, "triggered") == "data", cached
        c.base = "scratch"
        both = {"platforms": ["linux/amd64", "linux/arm64"]}
        code, events, log = 0, {}, ""
        for expected in (0, 2):
            commit = w.repository("web", {"Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY app /$TARGETARCH\n"})
            w.rule("web", reconcile=False, **both)
            code, events, log = w.build("web", commit)
            assert code == 0 and "artifact.published" in events and len(steps(log)) == expected, log


def damage_makes_a_miss():
    with world() as w:
        c = Cached(w)
        dockerfile = "FROM BASE\nCOPY app /app\nRUN cat /app/data > /d\n"
        _, digest, _, _ = c.build(dockerfile)
        steps_directory = w.directory / "cache/steps"

        def cut(paths):
            for path in paths:
                os.truncate(path, path.stat().st_size // 2)

        def flip(paths):
            for path in paths:
                data = bytearray(path.read_bytes())
                data[len(data) // 2] ^= 1
                path.write_bytes(data)

        def swap(paths):
            """Another one's content by each name: of another parent, say."""
            contents = [path.read_bytes() for path in paths]
            for path, content in zip(paths, contents[1:] + contents[:1]):
                path.write_bytes(content)

        def remove(paths):
            for path in paths:
                path.unlink()

        for folder in ("records", "blobs/sha256"):
            for harm in (cut, flip, swap, remove):
                assert len(c.build(dockerfile)[0]) == 2
                harm(sorted((steps_directory / folder).iterdir()))
                cached, again, _, tree = c.build(dockerfile)
                assert len(cached) < 2 and again == digest and text(tree, "d") == "data", (folder, harm, cached)


def a_cache_that_cannot_be_written_is_no_error():
    with world() as w:
        c = Cached(w, base="scratch")
        cache = w.directory / "cache"
        cache.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", cache], check=True)
        try:
            cached, _, _, tree = c.build("FROM scratch\nCOPY large /\nCOPY app /app\n", {**FILES, "large": os.urandom(200_000)})
            assert text(tree, "app/data") == "data" and "keeps nothing" in c.log, c.log
            assert not list(cache.glob("steps/blobs/sha256/.new-*"))
            assert c.count_cached("FROM scratch\nCOPY app /app\n", FILES) == 0
            assert c.count_cached("FROM scratch\nCOPY app /app\n", FILES) == 1
        finally:
            subprocess.run(["umount", "-l", cache], check=True)


def the_longest_unused_give_way():
    with world() as w:
        c = Cached(w, base="scratch")
        environment = {"PUSHWRIGHT_CACHE_BYTES": "1000000"}
        files = {str(i): os.urandom(300_000) for i in range(5)}
        for i in range(3):
            assert c.count_cached(f"FROM scratch\nCOPY {i} /\n", files, environment=environment) == 0
        assert c.count_cached("FROM scratch\nCOPY 0 /\n", files, environment=environment) == 1
        assert c.count_cached("FROM scratch\nCOPY 3 /\n", files, environment=environment) == 0
        kept = sum(path.stat().st_size for path in (w.directory / "cache/steps/blobs/sha256").iterdir())
        assert kept <= 1_000_000, kept
        assert c.count_cached("FROM scratch\nCOPY 0 /\n", files, environment=environment) == 1
        assert c.count_cached("FROM scratch\nCOPY 1 /\n", files, environment=environment) == 0


def builds_at_the_same_time_share_it():
    with world() as w:
        base = image(w, "web")
        commit = w.repository("web", {**FILES, "Dockerfile": f"FROM {base}\nCOPY app /app\nRUN cat /app/data > /d\n"})
        w.rule("web", reconcile=False)
        for i in range(4):
            (w.directory / f"event{i}.json").write_text(json.dumps(w.event("web", commit)))
        for expected in (None, 2):
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                results = list(pool.map(lambda i: subprocess.run([str(BIN / "build"), "--event", str(w.directory / f"event{i}.json")],
                                                                 capture_output=True, text=True, env=w.environment(), timeout=120), range(4)))
            for result in results:
                assert result.returncode == 0 and "artifact.published" in result.stdout, result.stderr
                assert expected is None or len(steps(result.stderr)) == expected, result.stderr


def a_killed_build_leaves_a_cache_that_is_whole():
    with world() as w:
        c = Cached(w)
        dockerfile = "FROM BASE\nCOPY large /\nRUN cat /large /large > /larger\nCOPY app /app\n"
        files = {**FILES, "large": os.urandom(3_000_000)}
        commit = w.repository("web", {**files, "Dockerfile": dockerfile.replace("BASE", c.base)})
        w.rule("web", reconcile=False)
        for i in range(8):
            (w.directory / "event.json").write_text(json.dumps(w.event("web", commit)))
            child = subprocess.Popen([str(BIN / "build"), "--event", str(w.directory / "event.json")], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, env=w.environment())
            time.sleep(0.05 * i)
            child.send_signal(signal.SIGKILL)
            child.wait()
        shutil.rmtree(w.directory / "tmp", ignore_errors=True)
        _, digest, _, tree = c.build(dockerfile, files)
        assert len(text(tree, "larger")) == 6_000_000
        cached, again, _, _ = c.build(dockerfile, files)
        assert len(cached) == 3 and again == digest, cached


KEY = {"PUSHWRIGHT_CHAIN_KEY": "0123456789abcdef0123456789abcdef"}


def forget(w):
    """As on a machine that comes up empty."""
    shutil.rmtree(w.directory / "cache")


def manifest_of(w, repository):
    """(tag, manifest) of the cache"""
    tags = json.loads(subprocess.run([*SKOPEO, "list-tags", "--tls-verify=false", f"docker://{w.host}/{repository}"], check=True,
                                     capture_output=True).stdout)["Tags"]
    tag, = [tag for tag in tags if tag.startswith("pushwright-cache-")]
    return tag, json.loads(http_call("GET", f"http://{w.host}/v2/{repository}/manifests/{tag}",
                                     headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}).text)


def put_manifest(w, repository, tag, manifest):
    answer = http_call("PUT", f"http://{w.host}/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(),
                       {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
    assert answer.status == 201, answer.text


def an_empty_machine_takes_layers_from_the_registry():
    with world() as w:
        requests = Requests(w)
        c = Cached(w)
        where = {"environment": KEY, "cache": {"repository": f"{w.host}/acme/kept"}}
        dockerfile = "FROM BASE AS first\n" + STEPS.replace("COPY --from=0 /made /copy\n", "") + "FROM BASE\nCOPY --from=first /made /copy\nRUN cat /copy > /last\n"
        _, digest, _, before = c.build(dockerfile, **where)
        requests.take("PUT /v2/acme/kept/manifests/pushwright-cache-")
        # On the disk is all of it, and the registry holds it too: a tag and no more.
        cached, _, _, _ = c.build(dockerfile, **where)
        seen = requests.take("PUT /v2/acme/web/manifests/n2(?s:.*)GET /v2/acme/kept/manifests/pushwright-cache-")
        writes = [r for r in seen if r.split()[0] not in ("GET", "HEAD")]
        assert len(cached) == 6 and writes == ["PUT acme/web/manifests/n2 201"], (cached, seen)
        # min: the first stage is made anew, as far as the second one needs it.
        forget(w)
        cached, _, _, after = c.build(dockerfile, **where)
        assert cached == [] and text(after, "last") != text(before, "last")
        max_ = {**where, "cache": {**where["cache"], "mode": "max"}}
        _, digest, _, before = c.build(dockerfile, **max_)
        forget(w)
        requests.take("PUT /v2/acme/kept/manifests/pushwright-cache-(?s:.*)PUT /v2/acme/kept/manifests/pushwright-cache-")
        cached, again, _, after = c.build(dockerfile, **max_)
        seen = requests.take("PUT /v2/acme/web/manifests/n5")
        writes = [r for r in seen if r.split()[0] not in ("GET", "HEAD")]
        assert len(cached) == 6 and again == digest and after == before, cached
        assert writes == ["PUT acme/web/manifests/n5 201"] and not [r for r in seen if r.startswith("GET acme/kept/blobs")], seen
        # What stands on it is made of layers that are fetched now; they are mounted into the image.
        forget(w)
        cached, _, _, after = c.build(dockerfile + "RUN cat /copy /last > /longer\n", **max_)
        seen = requests.take("PUT /v2/acme/web/manifests/n6")
        assert len(cached) == 6 and text(after, "longer") == 2 * text(before, "last"), cached
        # Two of the base at most, one of the new layer, one of the configuration: what the cache has is not sent.
        assert len([r for r in seen if r.startswith("PUT acme/web/blobs")]) <= 2, seen


def the_image_s_own_repository_will_do():
    with world() as w:
        c = Cached(w)
        where = {"environment": KEY, "cache": {"repository": f"{w.host}/acme/web"}}
        dockerfile = "FROM BASE\nCOPY app /app\nRUN cat /proc/sys/kernel/random/uuid > /made\n"
        _, _, _, before = c.build(dockerfile, **where)
        # Another branch's build keeps what this one has made.
        c.build("FROM BASE\nCOPY other /\n", **where)
        forget(w)
        cached, _, _, after = c.build(dockerfile, **where)
        assert len(cached) == 2 and after == before, cached
        assert c.count_cached("FROM BASE\nCOPY other /\n", **where) == 1


def nothing_of_a_registry_is_believed_unsealed():
    with world() as w:
        c = Cached(w)
        where = {"environment": KEY, "cache": {"repository": f"{w.host}/acme/kept"}}
        dockerfile = "FROM BASE\nCOPY app /app\nRUN cat /app/data > /d\n"
        c.build(dockerfile, **where)
        tag, manifest = manifest_of(w, "acme/kept")
        assert len(manifest["layers"]) == 2 and all("dev.pushwright.seal" in layer["annotations"] for layer in manifest["layers"])

        def cached_with(change, **options):
            copy = json.loads(json.dumps(manifest))
            change(copy)
            put_manifest(w, "acme/kept", tag, copy)
            forget(w)
            cached, _, _, tree = c.build(dockerfile, **{**where, **options})
            assert options.get("cache") or text(tree, "d") == "data"
            return len(cached)

        def exchange(m):
            """Each record beside the other one's layer."""
            m["layers"][0]["annotations"], m["layers"][1]["annotations"] = m["layers"][1]["annotations"], m["layers"][0]["annotations"]

        def forge(m):
            """The layer of the second step for the key of the first."""
            first, second = (layer["annotations"]["dev.pushwright.step"].split(" ") for layer in m["layers"])
            m["layers"][1]["annotations"]["dev.pushwright.step"] = " ".join([*second[:2], first[2], *second[3:]])
            del m["layers"][0]

        def unseal(m):
            for layer in m["layers"]:
                del layer["annotations"]["dev.pushwright.seal"]

        assert cached_with(lambda m: None) == 2
        assert cached_with(exchange) == 0
        assert cached_with(forge) == 0
        assert cached_with(unseal) == 0
        assert cached_with(unseal, cache={**where["cache"], "trust": True}) == 2
        assert cached_with(lambda m: m.update(artifactType="application/x")) == 0
        # Another chain's key seals for another chain; a cache of no use, or none at all, fails no build.
        assert cached_with(lambda m: None, environment={"PUSHWRIGHT_CHAIN_KEY": "f" * 32}) == 0
        assert cached_with(lambda m: m.update(layers=[])) == 0
        forget(w)
        assert c.count_cached(dockerfile, environment=KEY, cache={"repository": f"127.0.0.1:{free_port()}/acme/kept"}) == 0
        assert "is left as it was" in c.log, c.log


def cache_mounts_outlive_the_disk():
    with world() as w:
        requests = Requests(w)
        c = Cached(w)
        where = {"environment": KEY, "cache": {"repository": f"{w.host}/acme/kept", "mounts": True}}
        dockerfile = ("FROM BASE\nUSER alice\nARG N\nRUN --mount=type=cache,target=/c,uid=1000,mode=0700 "
                      "echo $N >> /c/list && ln -sf list /c/link && chmod 640 /c/list && stat -c '%a %u' /c /c/list > /tmp/stat; cat /c/link > /tmp/seen\n")
        c.base = image(w, "tmp", replace=[("tmp", tarfile.DIRTYPE, 0o1777, 0, 0, None)])
        for n in (1, 2, 3):
            _, _, _, tree = c.build(dockerfile, args={"N": str(n)}, **where)
            assert text(tree, "tmp/seen") == "".join(f"{i}\n" for i in range(1, n + 1)), text(tree, "tmp/seen")
            assert text(tree, "tmp/stat") == "700 1000\n640 1000\n", text(tree, "tmp/stat")
            forget(w)
        # A step that is not made anew needs none, and keeps none.
        requests.take("PUT /v2/acme/kept/manifests/pushwright-cache-mount-(?s:.*)" * 3)
        assert c.count_cached(dockerfile, args={"N": "3"}, **where) == 1
        assert "mount-" not in " ".join(requests.take(rf"PUT /v2/acme/web/manifests/n4"))
        # Not ours, or gone: it begins empty.
        _, _, _, tree = c.build(dockerfile, args={"N": "5"}, **{**where, "environment": {"PUSHWRIGHT_CHAIN_KEY": "f" * 32}})
        assert text(tree, "tmp/seen") == "5\n"


def mounts_show_what_the_cache_has_of_a_stage():
    with world() as w:
        c = Cached(w)
        dockerfile = ("FROM BASE AS first\nCOPY app /app\nRUN cat /proc/sys/kernel/random/uuid > /made\n"
                      "FROM BASE\nRUN --mount=type=bind,from=first,target=/m cat /m/made /m/app/data > /%s\n")
        _, _, _, before = c.build(dockerfile % "one")
        shutil.rmtree(w.directory / "cache/layers")
        cached, _, _, after = c.build(dockerfile % "two")
        assert len(cached) == 2 and text(after, "two") == text(before, "one"), cached


if __name__ == "__main__":
    if os.getuid() != 0:
        print("1..1\nok 1 - the build cache # SKIP as root: bases are run in")
        sys.exit(0)
    run_tests([a_second_build_makes_nothing, no_digest_depends_on_what_was_built_before,
               a_command_runs_again_for_its_times_only_where_they_would_differ, a_commit_of_the_future_has_one_digest, what_is_changed_is_made_anew_with_all_that_stands_on_it, what_a_key_is_made_of,
               another_base_or_rule_has_layers_of_its_own, triggers_and_platforms_are_cached, damage_makes_a_miss,
               a_cache_that_cannot_be_written_is_no_error, the_longest_unused_give_way, builds_at_the_same_time_share_it,
               a_killed_build_leaves_a_cache_that_is_whole, an_empty_machine_takes_layers_from_the_registry,
               the_image_s_own_repository_will_do, cache_mounts_outlive_the_disk, mounts_show_what_the_cache_has_of_a_stage,
               nothing_of_a_registry_is_believed_unsealed])
