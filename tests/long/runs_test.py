#!/usr/bin/env python3
"""A thousand builds with RUN, four at a time, of which none may fail; and kill -9 at two hundred moments of a build, cold and warm."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "integration")]
from build_test import BIN, f, world
from pushwright import http, run_tests, wait_until
from run_test import image, mounts_below, processes_with, unfinished

BUILDS = int(os.environ.get("PUSHWRIGHT_LONG_BUILDS", 1000))
KILLS = int(os.environ.get("PUSHWRIGHT_LONG_KILLS", 200))
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def no_build_fails_for_no_reason():
    with world() as w:
        base = image(w, "base", [f(f"files/{number}", f"{number}") for number in range(500)])
        commit = w.repository("runs", {"a": "a", "Dockerfile": f"""FROM {base}
ARG NUMBER
COPY a /a
RUN --mount=type=cache,target=/c echo $NUMBER > /c/$NUMBER && echo $NUMBER > /number && rm /files/$((NUMBER % 500))
RUN test $(cat /number) = $NUMBER && test ! -e /files/$((NUMBER % 500)) && mv /number /kept
"""})
        names = [f"run{number}" for number in range(BUILDS)]
        for number, name in enumerate(names):
            w.rule(name, repository="acme/runs", clone=w.url("runs"), image=f"{w.host}/acme/runs", tag=name, args={"NUMBER": str(number)}, reconcile=False)
        events = w.directory / "events"
        events.mkdir()
        for name in names:
            (events / name).write_text(json.dumps(w.event(name, commit)))

        def build(name):
            done = subprocess.run([str(BIN / "build"), "--event", str(events / name)], capture_output=True, text=True, env=w.environment(), timeout=300)
            return name, "" if done.returncode == 0 and "artifact.published" in done.stdout else done.stderr[-1500:] + done.stdout[-1500:] or f"exit code {done.returncode}"
        failed, began = [], time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for count, (name, why) in enumerate(pool.map(build, names), 1):
                if why:
                    failed.append(f"{name}: {why}")
                    print("#", failed[-1].replace("\n", "\n# "), flush=True)
                if count % 100 == 0:
                    print(f"# {count} of {BUILDS} builds, {len(failed)} failed, {time.monotonic() - began:.0f} s", flush=True)
        assert not failed, "\n".join(failed[:5])
        assert not mounts_below(w.directory) and not unfinished(w)
        tags = http("GET", f"http://{w.host}/v2/acme/runs/tags/list?n=2000").json["tags"]
        assert set(names) <= set(tags), set(names) - set(tags)


def a_kill_at_any_moment_leaves_nothing():
    mark = f"sleep 96{os.getpid()}"
    with world() as w:
        base = image(w, "base", [f(f"big/{number}", os.urandom(100000)) for number in range(40)])
        commit = w.repository("killed", {"a": "a", "Dockerfile": f"""FROM {base}
ARG NUMBER
COPY a /a
RUN echo $NUMBER > /number; ({mark} &) ; rm -r /big; sleep 0.05
COPY a /b
"""})

        def rule(number):
            w.rule("killed", tag=f"t{number}", args={"NUMBER": str(number)}, reconcile=False)

        def digest(tag):
            answer = http("HEAD", f"http://{w.host}/v2/acme/killed/manifests/{tag}", headers={"Accept": MANIFEST})
            return answer.headers["Docker-Content-Digest"] if answer.status == 200 else None

        def finished():
            code, events, log = w.build("killed", commit)
            assert code == 0 and "build.finished" in events, (code, log)
            assert events["build.finished"]["customData"]["outcome"] == "success", (events, log)

        def seconds_of_one(cold):
            if cold:
                shutil.rmtree(w.directory / "cache", ignore_errors=True)
            began = time.monotonic()
            finished()
            return time.monotonic() - began
        rule("-first")
        length = seconds_of_one(True)
        rule("-second")
        length = {True: length, False: seconds_of_one(False)}
        ended = 0
        for number in range(KILLS):
            cold = number % 2 == 0
            if cold:
                shutil.rmtree(w.directory / "cache", ignore_errors=True)
            rule(number)
            (w.directory / "event.json").write_text(json.dumps(w.event("killed", commit)))
            child = subprocess.Popen([str(BIN / "build"), "--event", str(w.directory / "event.json")], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, env=w.environment())
            time.sleep(length[cold] * 1.2 * number / KILLS)
            child.kill()
            ended += child.wait() == 0
            wait_until(lambda: not processes_with(mark), what="the end of every process")
            assert not mounts_below(w.directory), mounts_below(w.directory)
            for entry in (w.directory / "tmp").iterdir():
                shutil.rmtree(entry)  # of git, which was killed as well
            early = digest(f"t{number}")
            finished()
            whole = digest(f"t{number}")
            assert whole and early in (None, whole), (number, early, whole)
            if number % 50 == 49:
                print(f"# {number + 1} of {KILLS} kills, {ended} came after the end", flush=True)
        rule("-last")  # a build that needs no layer, as everything of it is in the build cache, clears nothing away
        finished()
        assert not unfinished(w), unfinished(w)
        assert ended < KILLS / 2, "most builds were over before they were to be killed"


if os.getuid() != 0:
    print("1..1\nok 1 - RUN # SKIP as root; as an ordinary user the sandbox has its unit tests")
    sys.exit(0)
run_tests([no_build_fails_for_no_reason, a_kill_at_any_moment_leaves_nothing])
