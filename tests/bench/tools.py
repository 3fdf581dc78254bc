"""What every part of the bench uses: cores, our functions and Debian's webhook as processes, the C tools, sizes of processes."""
import contextlib
import json
import os
import pathlib
import subprocess
import time

from pushwright import BIN, free_port, http, port_open, process

TOOLS = pathlib.Path(os.environ.get("PUSHWRIGHT_BENCH", "out/bench")).resolve()
SECRET = "the secret of the bench, long enough"
REPOSITORY = "acme/helloworld"
_cores = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = (_cores[-1], _cores[0]) if len(_cores) > 1 else (None, None)


@contextlib.contextmanager
def on_core(core):
    """What is started here runs on that core; None: anywhere."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_share(seconds=0.5):
    """How much of all processors is used just now, 0 to 1."""
    def times():
        fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return sum(fields), fields[3] + fields[4]
    before = times()
    time.sleep(seconds)
    total, idle = (after - earlier for after, earlier in zip(times(), before))
    return 1 - idle / total if total else 0.0


def wait_for_quiet(seconds=20, enough=0.1):
    """Waits a little for others to finish what they do; the share that is still used."""
    end = time.monotonic() + seconds
    while (busy := busy_share()) > enough and time.monotonic() < end:
        pass
    return busy


def tool(name, *arguments, environment=None):
    """Output of a C tool, as JSON."""
    with on_core(CLIENT_CORE if name == "load" else None):
        done = subprocess.run([str(TOOLS / name), *map(str, arguments)], capture_output=True, text=True, timeout=600,
                              env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def load(port, request, requests, connections=16, warm=0, rate=0, pids=(), next_hop=0):
    options = ["--requests", requests, "--connections", connections, "--warm", warm, "--rate", rate, "--next-hop", next_hop]
    for pid in pids:
        options += ["--cpu", pid]
    result = tool("load", port, request, *options)
    if result["errors"]:
        raise RuntimeError(f"{result['errors']} of {requests} requests were not answered with 2xx")
    return result


@contextlib.contextmanager
def next_hop(core):
    """The port of a next hop that accepts into memory."""
    with on_core(core):
        child = subprocess.Popen([str(TOOLS / "nexthop")], stdout=subprocess.PIPE, text=True)
    try:
        yield int(child.stdout.readline())
    finally:
        child.kill()
        child.wait()


def configuration(directory):
    """One source, one build with rules, one trigger: what a small team has."""
    (directory / "github.secret").write_text(SECRET)
    image = "registry.example.com/acme/helloworld"
    config = {
        "sources": [{"name": "github", "kind": "github", "secret": {"file": str(directory / "github.secret")}}],
        "builds": [{"name": "helloworld", "source": "github", "repository": REPOSITORY,
                    "clone": "https://github.com/acme/helloworld.git",
                    "on": {"branches": ["main", "release/*"], "tags": ["v*"], "paths": ["src/**", "!docs/**"]},
                    "image": image, "tag": "{branch}-{time}-{sha:7}", "also": ["latest"]}],
        "triggers": [{"name": "helloworld-web", "image": image, "when": {"glob": "main-*"},
                      "deploy": [{"cluster": "local", "workload": "web", "servicePort": "127.0.0.1:8080"}]}]}
    path = directory / "pushwright.json"
    path.write_text(json.dumps(config))
    return path


def function_environment(config, port, sink):
    return {"PATH": os.environ["PATH"], "PUSHWRIGHT_CONFIG": str(config), "PUSHWRIGHT_LISTEN": f"127.0.0.1:{port}",
            "PUSHWRIGHT_SINK": sink, "PUSHWRIGHT_CHAIN_KEY": "0" * 64, "PUSHWRIGHT_CACHE_DIR": str(config.parent / "cache"),
            "PUSHWRIGHT_LOCAL_PLATFORM": f"unix:{config.parent}/platform.sock"}


@contextlib.contextmanager
def function(name, config, sink="http://127.0.0.1:9/"):
    """One of our functions, ready; gives (port, process id)."""
    port = free_port()
    with on_core(SERVER_CORE):
        started = process([BIN / name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          ready=lambda: http("GET", f"http://127.0.0.1:{port}/healthz", seconds=1).status == 200,
                          env=function_environment(config, port, sink))
        child = started.__enter__()
    try:
        yield port, child.pid
    finally:
        started.__exit__(None, None, None)


def debian_hooks(directory):
    """Two hooks: "github" verifies the signature and then compares the branch with one that never comes, so that it answers and runs
    nothing; "github-true" runs /bin/true."""
    def rule(kind, source, name, **more):
        return {"match": {"type": kind, "parameter": {"source": source, "name": name}, **more}}
    signed = rule("payload-hmac-sha256", "header", "X-Hub-Signature-256", secret=SECRET)
    other_branch = rule("value", "payload", "ref", value="refs/heads/never")
    common = {"execute-command": "/bin/true", "response-message": "taken", "trigger-rule-mismatch-http-response-code": 200}
    path = directory / "hooks.json"
    path.write_text(json.dumps([{"id": "github", **common, "trigger-rule": {"and": [signed, other_branch]}},
                                {"id": "github-true", **common, "trigger-rule": signed}]))
    return path


def debian_webhook_argv(directory, port):
    return ["/usr/bin/webhook", "-hooks", str(debian_hooks(directory)), "-ip", "127.0.0.1", "-port", str(port)]


@contextlib.contextmanager
def debian_webhook(directory):
    port = free_port()
    with on_core(SERVER_CORE):
        started = process(debian_webhook_argv(directory, port), ready=lambda: port_open(port), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
        child = started.__enter__()
    try:
        yield port, child.pid
    finally:
        started.__exit__(None, None, None)


def resident_bytes(pid):
    """Rss of /proc/PID/smaps_rollup: VmRSS of newer kernels may be off by some pages a core."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no Rss in smaps_rollup")


def stripped_size(path, scratch):
    copy = scratch / "stripped"
    subprocess.run(["strip", "-s", "-o", str(copy), str(path)], check=True)
    return copy.stat().st_size


def seconds_of(argv, **options):
    """Wall time of a command, its start included."""
    began = time.monotonic()
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=300, **options)
    took = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stderr[-600:]}")
    return took, done.stdout

