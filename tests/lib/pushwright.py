"""What the tests against real peers share: TAP output, free ports, processes that are ended by whom started them, a chain."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PUSHWRIGHT_BIN", ROOT / "out/musl/bin")).resolve()
CONFORMANCE = pathlib.Path(os.environ.get("CONFORMANCE_DATA", ROOT / "../shared/conformance")).resolve()
# It remembers which blobs a registry has by the registry's address, and the port of one test is that of another's registry later. Root's place for
# that is fixed, everybody else's is not; what can be no folder leaves it in memory.
SKOPEO = ["env", "_CONTAINERS_ROOTLESS_UID=65534", "XDG_DATA_HOME=/dev/null", "skopeo"]


class Skip(Exception):
    """Raised by a test that cannot run here; the text says why."""


def interrupted(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # said once is enough: what follows is tidied up
    raise KeyboardInterrupt("ended from outside: the time is up, or somebody gave up")


def run_tests(tests):
    """Runs functions as TAP tests, names taken from theirs, and exits. Who ends it by SIGTERM leaves no peer behind either."""
    failed = 0
    signal.signal(signal.SIGTERM, interrupted)
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        try:
            test()
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except BaseException as error:  # an interrupt is a failure too
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
            if isinstance(error, KeyboardInterrupt):
                break
    sys.exit(1 if failed else 0)


def free_port():
    """Below those that clients are given: one of theirs may be taken again before the program is there that is to have it."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


def need(program):
    if not shutil.which(program):
        raise Skip(f"{program} is not installed")


@contextlib.contextmanager
def temporary_directory(below=None):
    path = tempfile.mkdtemp(prefix="pw-", dir=below)
    try:
        yield pathlib.Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def wait_until(condition, seconds=10, what="a condition"):
    """Polls, soon at first; returns the first true answer. Fails with the last error."""
    end = time.monotonic() + seconds
    last, pause = None, 0.002
    while time.monotonic() < end:
        try:
            answer = condition()
            if answer:
                return answer
        except (OSError, ValueError, AssertionError) as error:
            last = error
        time.sleep(pause)
        pause = min(pause * 1.3, 0.04)
    raise AssertionError(f"{what} did not come true within {seconds} s" + (f": {last}" if last else ""))


@contextlib.contextmanager
def process(argv, ready=None, seconds=10, **options):
    """Starts a program, waits until ready() is true, and ends it by its id."""
    child = subprocess.Popen([str(a) for a in argv], **options)
    try:
        if ready:
            def alive_and_ready():
                if child.poll() is not None:
                    raise RuntimeError(f"{argv[0]} ended with {child.returncode}")
                return ready()
            wait_until(alive_and_ready, seconds, f"{argv[0]} to be ready")
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def port_open(port):
    with contextlib.closing(socket.socket()) as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)


def http(method, url, body=None, headers=None, seconds=30):
    """One request; every status is an answer, redirects are not followed."""
    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with opener.open(request, timeout=seconds) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


@contextlib.contextmanager
def registry(directory, port=None, extra="", environment=None):
    """Debian's docker-registry on loopback; gives "127.0.0.1:PORT"."""
    need("docker-registry")
    port = port or free_port()
    directory = pathlib.Path(directory)
    (directory / "data").mkdir(parents=True, exist_ok=True)
    config = directory / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: { level: error }\n"
        f"storage: {{ filesystem: {{ rootdirectory: {directory}/data }}, delete: {{ enabled: true }} }}\n"
        f"http: {{ addr: '127.0.0.1:{port}' }}\n" + extra)
    log = open(directory / "registry.log", "ab")
    with process(["docker-registry", "serve", config], ready=lambda: port_open(port), stdout=log, stderr=log,
                 env={**os.environ, **(environment or {})}):
        yield f"127.0.0.1:{port}"


def git(*arguments, cwd=None, **options):
    environment = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent",
                   "GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.com",
                   "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.com",
                   "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    return subprocess.run(["git", *map(str, arguments)], cwd=cwd, env=environment, check=True, capture_output=True,
                          text=True, **options).stdout.strip()


def web_base(layout):
    """The demonstration's web server base as an OCI layout."""
    subprocess.run(["bash", "-c", ". shared/build/packages.sh; . shared/build/webbase.sh; make_web_base \"$1\"", "-", str(layout)],
                   cwd=ROOT, check=True, capture_output=True)


class Chain:
    """`pushwright up` in a directory, with the configuration of its caller. Without its timer unless it is asked for: tests count events."""

    def __init__(self, directory, config, binaries=None, reconcile=0):
        self.reconcile = reconcile
        self.directory = pathlib.Path(directory)
        self.binaries = pathlib.Path(binaries or BIN)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = self.directory / "state"
        self.config = self.directory / "pushwright.json"
        self.config.write_text(json.dumps(config))
        self.log = self.directory / "up.log"
        self.process = None
        self.environment = None  # of the process; this one's

    def start(self):
        output = open(self.log, "ab")
        self.process = subprocess.Popen(
            [str(self.binaries / "pushwright"), "up", "--config", str(self.config), "--state", str(self.state),
             "--listen", f"127.0.0.1:{self.port}", "--reconcile", str(self.reconcile)], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            env=self.environment)
        wait_until(self.is_ready, 20, "the chain to be up")

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"pushwright up ended with {self.process.returncode}:\n{self.said()}")
        return http("GET", self.url + "/healthz", seconds=1).status == 200

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def children(self):
        """Name → id of the function processes."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and f"PUSHWRIGHT_CONFIG={self.config}".encode() in (entry / "environ").read_bytes():
                    found[pathlib.Path(os.readlink(entry / "exe")).name] = int(entry.name)
            except OSError:
                continue
        return found

    def journal(self):
        lines = (self.state / "journal.jsonl").read_text().splitlines() if (self.state / "journal.jsonl").exists() else []
        entries = []
        for line in lines:
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue  # the last line while it is being written
        return entries

    def events(self, kind=""):
        return [entry["accepted"] for entry in self.journal() if "accepted" in entry and kind in entry["accepted"]["type"]]


def with_chain(place_of, prepare=lambda place: None):
    """Decorates tests that want a place with a chain of its own: in a fresh directory, stopped afterwards; what it said is shown when they fail."""
    def decorate(test):
        def run():
            with temporary_directory() as directory:
                place = place_of(directory)
                try:
                    prepare(place)
                    test(place)
                except BaseException:
                    print("\n".join("# " + line for line in place.chain.said().splitlines()[-30:]))
                    raise
                finally:
                    place.chain.stop()
        run.__name__ = test.__name__
        return run
    return decorate


def signed_push(secret, repository, ref, old, new, clone="", message="", delivery=None):
    """A Gitea delivery: body and headers."""
    import hashlib
    import hmac
    import uuid
    body = json.dumps({"ref": ref, "before": old, "after": new, "head_commit": {"id": new, "message": message},
                       "repository": {"full_name": repository, "clone_url": clone}}).encode()
    return body, {"Content-Type": "application/json", "X-Gitea-Event": "push",
                  "X-Gitea-Delivery": delivery or str(uuid.uuid4()),
                  "X-Gitea-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
