#!/usr/bin/env python3
"""Stages that do not need each other are made at the same time: seen by commands that wait for each other, which only two at once can do."""
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build_test import world
from cli_build_test import PUSHWRIGHT, context, environment, run
from pushwright import run_tests, wait_until
from run_test import image, mounts_below, processes_with, unfinished

SHARED = "--mount=type=cache,target=/c,sharing=shared"


def meets(own, other):
    """Leaves a sign, and ends well once the other's is there."""
    return (f"RUN {SHARED} touch /c/{own}; for i in $(seq 1500); do if stat /c/{other} 2>/dev/null; then echo {own} > /{own}; exit 0; fi; sleep 0.02; done; "
            f"exit 9\n")


def stages_wait_for_each_other():
    with world() as w:
        base = image(w, "base")
        place = context(w, f"FROM {base} AS one\n{meets('a', 'b')}FROM {base} AS two\n{meets('b', 'a')}"
                           f"FROM scratch\nCOPY --from=one /a /a\nCOPY --from=two /b /b\n")
        out, said = run(w, "-o", w.directory / "files", place)
        assert (w.directory / "files/a").read_text() == "a\n" and (w.directory / "files/b").read_text() == "b\n"
        steps = dict(re.findall(r"^#(\d+) \[(one|two) 2/2\]", said, re.M))
        assert len(steps) == 2 and all(re.search(rf"^#{step} DONE", said, re.M) for step in steps), said
        assert run(w, place)[0] == out, "another time from the cache, with the same result"


def a_stage_goes_on_until_it_takes_from_another():
    with world() as w:
        base = image(w, "base")
        place = context(w, f"FROM {base} AS made\n{meets('a', 'b')}FROM {base}\n{meets('b', 'a')}COPY --from=made /a /taken\n"
                           f"RUN --mount=from=made,target=/m stat /m/a && cat /taken > /seen\n")
        run(w, "-o", w.directory / "files", place)
        assert (w.directory / "files/seen").read_text() == "a\n"


def platforms_are_built_at_the_same_time():
    with world() as w:
        base = image(w, "base")
        place = context(w, f"FROM --platform=linux/amd64 {base} AS made\nRUN cat /proc/sys/kernel/random/uuid > /once\nARG TARGETARCH\n"
                           f"RUN {SHARED} touch /c/$TARGETARCH; for i in $(seq 1500); do if stat /c/amd64 /c/arm64 2>/dev/null; then exit 0; fi; "
                           f"sleep 0.02; done; exit 9\nFROM scratch\nCOPY --from=made /once /\n")
        out, said = run(w, "--platform", "linux/amd64,linux/arm64", "-o", f"type=oci,tar=false,dest={w.directory}/out", place)
        once = re.findall(r"^#(\d+) \[linux/\w+ made 2/3\] RUN cat", said, re.M)
        assert len(once) == 2 and sum(bool(re.search(rf"^#{step} CACHED$", said, re.M)) for step in once) == 1, said
        assert run(w, "--platform", "linux/amd64,linux/arm64", place)[0] == out


def the_same_step_is_made_once():
    with world() as w:
        base = image(w, "base")
        same = "RUN sleep 0.3; cat /proc/sys/kernel/random/uuid > /id\n"
        run(w, "-o", w.directory / "files", context(w, f"FROM {base} AS one\n{same}FROM {base} AS two\n{same}FROM scratch\nCOPY --from=one /id /1\n"
                                                       f"COPY --from=two /id /2\n"))
        assert (w.directory / "files/1").read_text() == (w.directory / "files/2").read_text()


def a_failure_ends_the_others_whole():
    with world() as w:
        base = image(w, "base")
        place = context(w, f"FROM {base} AS slow\nRUN sleep 4323 & sleep 4323\nFROM {base} AS bad\nRUN sleep 0.5; echo wrong; exit 3\n"
                           f"FROM {base}\nCOPY --from=slow /x /x\nCOPY --from=bad /x /x\n")
        _, said = run(w, place, code=1)
        assert "exit code: 3" in said.splitlines()[-1] and ">>> RUN sleep 0.5; echo wrong; exit 3" in said, said
        slow = re.search(r"^#(\d+) \[slow 2/2\]", said, re.M)[1]
        assert re.search(rf"^#{slow} CANCELED$", said, re.M), said
        assert not processes_with("4323") and not mounts_below(w.directory) and not unfinished(w)


def the_first_of_several_failures_is_told():
    with world() as w:
        base = image(w, "base")
        both = "".join(f"FROM {base} AS {own}\n{meets(own, other)[:-1]} || sleep 9\nCOPY nothing-{own} /\n" for own, other in (("a", "b"), ("b", "a")))
        _, said = run(w, context(w, f"{both}FROM {base}\nCOPY --from=a / /1\nCOPY --from=b / /2\n"), code=1)
        assert re.search(r"\"/nothing-[ab]\": not found", said.splitlines()[-1]), said


def an_interrupt_or_a_kill_leaves_nothing():
    with world() as w:
        base = image(w, "base")
        stages = "".join(f"FROM {base} AS s{i}\nRUN echo running {i}; sleep 4324\n" for i in range(2))
        place = context(w, stages + f"FROM {base}\nCOPY --from=s0 / /\nCOPY --from=s1 / /\n")
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)):
            child = subprocess.Popen([PUSHWRIGHT, "build", place], env=environment(w), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            waiting = {"running 0", "running 1"}
            while waiting:
                line = child.stderr.readline()
                assert line, "it ended by itself"
                waiting -= {line.strip().split(" ", 2)[-1]}
            child.send_signal(number)
            child.stderr.read()
            assert child.wait(20) == code
            wait_until(lambda: not processes_with("4324"))
            assert not mounts_below(w.directory)
        run(w, context(w, f"FROM {base}\nRUN true\n"))
        assert not unfinished(w), "cleared by the next build"


def caches_are_shared_as_they_say():
    with world() as w:
        base = image(w, "base")
        count = "for i in $(seq 40); do n=$(cat /c/n 2>/dev/null || echo 0); sleep 0.005; echo $((n + 1)) > /c/n; done; cp /c/n /n\n"

        def counted(own, sharing, first):
            return f"FROM {base} AS {own}\nRUN --mount=type=cache,id=signs,target=/s,sharing=shared --mount=type=cache,id={sharing},target=/c,sharing={sharing} {first}{count}"

        def both(sharing, first):
            out = w.directory / sharing
            run(w, "-o", out, context(w, counted("one", sharing, first("one", "two")) + counted("two", sharing, first("two", "one")) +
                                      "FROM scratch\nCOPY --from=one /n /1\nCOPY --from=two /n /2\n"))
            return sorted(int((out / name).read_text()) for name in "12")

        assert both("locked", lambda own, other: f": {own}; ") == [40, 80], "one after the other"
        together = lambda own, other: f"touch /s/{own}; until stat /s/{other} 2>/dev/null; do sleep 0.02; done; "
        assert both("private", together) == [40, 40], "each has one of its own"


def memory_stays_bounded():
    with world() as w:
        base = image(w, "base")
        stages = "".join(f"FROM {base} AS s{i}\nRUN dd if=/dev/urandom of=/big bs=1000000 count={60 + i}\n" for i in range(6))
        place = context(w, stages + "FROM scratch\n" + "".join(f"COPY --from=s{i} /big /{i}\n" for i in range(6)))
        child = subprocess.Popen([PUSHWRIGHT, "build", "-q", place], env=environment(w), stdout=subprocess.DEVNULL)
        most = 0
        while child.poll() is None:  # rusage tells what this interpreter takes
            most = max([most, *map(int, re.findall(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{child.pid}/status").read_text()))])
            time.sleep(0.01)
        assert child.returncode == 0 and 0 < most <= 24 * 1024, (child.returncode, most)


if __name__ == "__main__":
    run_tests([stages_wait_for_each_other, a_stage_goes_on_until_it_takes_from_another, platforms_are_built_at_the_same_time,
               the_same_step_is_made_once, a_failure_ends_the_others_whole, the_first_of_several_failures_is_told,
               an_interrupt_or_a_kill_leaves_nothing, caches_are_shared_as_they_say, memory_stays_bounded])
