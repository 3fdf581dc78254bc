"""An hour of pushes (PUSHWRIGHT_SOAK_SECONDS) through the whole local chain: every one is served, memory and descriptors stay where they were."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kills
from pushwright import Chain, free_port, git, http, run_tests, signed_push, temporary_directory, wait_until, web_base

SECONDS = int(os.environ.get("PUSHWRIGHT_SOAK_SECONDS", "3600"))
GROWTH_KB = 1024
EVENT_BYTES = 64  # what the chain remembers of an event as long as its journal does (keyset.h; twice that while it grows)


def usage(process):
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    memory = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    return memory, len(os.listdir(f"/proc/{process}/fd"))


def everybody(chain):
    time.sleep(12)  # replaced instances finish their open connections for up to ten seconds
    return {name: usage(process) for name, process in chain.children().items()} | {"chain": usage(chain.process.pid)}


def an_hour_of_pushes_leaves_no_trace():
    with temporary_directory() as directory:
        web_base(directory / "images/web")
        (directory / "secret").write_text(kills.SECRET)
        bare, commits = kills.make_repository(directory, ["main"])
        config = kills.configuration(directory, bare)
        port = free_port()
        config["triggers"] = [{"name": "site", "image": "localhost/site", "when": {"glob": "main-*"},
                               "deploy": [{"cluster": "local", "workload": "site", "servicePort": f"127.0.0.1:{port}"}]}]
        chain = Chain(directory, config)
        chain.start()
        try:
            before, number, end = None, 0, time.monotonic() + SECONDS
            began = time.monotonic()
            while time.monotonic() < end:
                number += 1
                (directory / "work/index.html").write_text(f"push {number}")
                git("commit", "-qam", f"push {number}", cwd=directory / "work")
                git("push", "-q", bare, "HEAD:refs/heads/main", cwd=directory / "work")
                commit = git("rev-parse", "HEAD", cwd=directory / "work")
                body, headers = signed_push(kills.SECRET, "acme/site", "refs/heads/main", commits["main"], commit)
                assert http("POST", chain.url + "/hooks/site", body, headers).status == 202
                wait_until(lambda: f"push {number}" == http("GET", f"http://127.0.0.1:{port}/", seconds=2).text, 10, f"push {number} on the page")
                if not before and time.monotonic() - began > SECONDS / 10:
                    before = everybody(chain)
            after = everybody(chain)
            kept = {name: len(os.listdir(chain.state / name)) for name in ("layers", "instances") if (chain.state / name).exists()}
            print(f"# kept on disk: {kept}")
            assert all(count < 50 for count in kept.values()), f"what is no longer used is not removed: {kept}"
            print(f"# {number} pushes; memory in KB and descriptors after a tenth: {before}, at the end: {after}")
            events = sum("accepted" in entry for entry in chain.journal())
            for name, (memory, descriptors) in after.items():
                allowed = GROWTH_KB + (events * EVENT_BYTES // 1024 if name == "chain" else 0)
                assert memory - before[name][0] <= allowed, f"{name} grew from {before[name][0]} to {memory} KB"
                assert descriptors <= before[name][1] + 2, f"{name} holds {descriptors} descriptors, had {before[name][1]}"
        finally:
            chain.stop()


run_tests([an_hour_of_pushes_leaves_no_trace])
