#!/usr/bin/env python3
"""Limits of RUN: by control groups on a kernel that delegates them, and what is left of them where nobody does."""
import hashlib
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from build_test import BIN, write_layout
from machine import boot
from pushwright import run_tests, temporary_directory
from run_test import BUSYBOX, d, f

HOG = "dd if=/dev/zero of=/dev/null bs=100M count=1 && echo not-reached"
CASES = {  # text of RUN, limits
    "memory": (HOG, {"memory": 32 << 20}),
    "pids": ("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do sleep 3 & done; wait", {"pids": 12}),
    "enough": ("echo fits", {"memory": 32 << 20, "pids": 12}),
}
BUILD = """#!/bin/sh
PUSHWRIGHT_TRUST_PLATFORM=1 PUSHWRIGHT_CONFIG=/w/config.json PUSHWRIGHT_CACHE_DIR=/tmp/cache-$2 TMPDIR=/tmp exec /w/build --event /w/$1.json
"""
SCRIPT = r"""
try() { echo "--- $1"; shift; "$@" 2>&1 </dev/null; echo "--- ended"; }
in_group() { mkdir -p /sys/fs/cgroup/$1; [ $1 != hers ] || chown -R ann /sys/fs/cgroup/hers; sh -c "echo 0 > /sys/fs/cgroup/$1/cgroup.procs; exec su -s /bin/sh ann -c 'exec sh /w/build.sh $2 $1'"; [ $1 != hers ] || { rmdir /sys/fs/cgroup/hers/* /sys/fs/cgroup/hers; } 2>/dev/null; }
mkdir -p /out && chmod 777 /out
for name in memory pids enough; do try "root $name" sh build.sh $name root; done
echo "+memory +pids" > /sys/fs/cgroup/cgroup.subtree_control
try "delegated memory" in_group hers memory
try "delegated enough" in_group hers enough
try "alone memory" in_group others memory
try "alone enough" in_group others enough
echo "--- left"; find /sys/fs/cgroup -name 'pushwright-*'; echo "--- ended"
"""


def event(name, text):
    kind, commit = "dev.cdevents.build.queued.0.3.0", hashlib.sha256(text.encode()).hexdigest()
    return {"specversion": "1.0", "id": name, "source": "/test", "datacontenttype": "application/json", "type": kind, "subject": name,
            "data": {"context": {"specversion": "0.5.1", "id": name, "source": "/test", "type": kind, "timestamp": "2023-11-14T22:13:20Z"},
                     "subject": {"id": name, "content": {}},
                     "customData": {"build": name, "ref": "inline", "commit": commit, "sequence": "1", "asked": "person", "time": "2023-11-14T22:13:20Z"}}}


def limits_are_kept_by_control_groups_and_else_for_each_process():
    with temporary_directory() as directory:
        entries = [d(name) for name in ("bin", "dev", "etc", "proc", "sys", "tmp")] + [f("bin/sh", BUSYBOX.read_bytes(), 0o755)]
        for applet in ("dd", "sleep", "cat"):
            entries.append(f(f"bin/{applet}", "#!/bin/sh\nexec /bin/sh -c 'exec busybox " + applet + " \"$@\"' x \"$@\"\n", 0o755))
        entries.append(f("bin/busybox", BUSYBOX.read_bytes(), 0o755))
        write_layout(directory / "base", "base", [entries], {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}, "history": [{}]})
        builds, files = [], {"build": BIN / "build", "base": directory / "base"}
        for name, (command, limits) in CASES.items():
            text = f"FROM oci:/w/base:base\nRUN {command}\n"
            builds.append({"name": name, "inline": text, "image": f"oci:/out/{name}", "platforms": ["linux/amd64"], "limits": limits})
            (directory / f"{name}.json").write_text(json.dumps(event(name, text)))
            files[f"{name}.json"] = directory / f"{name}.json"
        (directory / "config.json").write_text(json.dumps({"builds": builds}))
        (directory / "build.sh").write_text(BUILD)
        said = boot(directory, SCRIPT, {**files, "config.json": directory / "config.json", "build.sh": directory / "build.sh"})
        told = dict(re.findall(r"^--- (.+?)\n(.*?)--- ended$", said, re.M | re.S))
        assert list(told) == ["root memory", "root pids", "root enough", "delegated memory", "delegated enough", "alone memory", "alone enough", "left"], said
        group, alone = "its limits are kept by a control group in '/sys/fs/cgroup", "no control group can be made here ("
        for case, expected in {
                "root memory": (group, "the memory limit was reached, and a process killed", "exit code: 137"),
                "root pids": (group, "the limit of processes was reached, and one refused", "can't fork"),
                "root enough": (group, " fits"),
                "delegated memory": (group + "/hers'", "the memory limit was reached, and a process killed", "exit code: 137"),
                "delegated enough": (group + "/hers'", " fits"),
                "alone memory": (alone, "the memory limit holds for each process", "out of memory"),
                "alone enough": (alone, " fits")}.items():
            for text in expected:
                assert text in told[case], (case, text, told[case])
            assert ("artifact.published" in told[case]) == case.endswith("enough"), (case, told[case])
            assert not re.search(r"#3 \d+\.\d+ not-reached", told[case]), (case, told[case])
        assert told["left"] == "", "no control group is left"


if __name__ == "__main__":
    run_tests([limits_are_kept_by_control_groups_and_else_for_each_process])
