"""What `./build.sh up` promises, with the shipped binaries: a push becomes a page, a change becomes the page within a second, Ctrl-C leaves
nothing running, and the next `up` continues where it was."""
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from pushwright import ROOT, free_port, git, http, run_tests, temporary_directory, wait_until


class Up:
    """One demonstration in a directory of its own."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.listen = f"127.0.0.1:{free_port()}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log = self.directory / "up.log"

    def start(self):
        environment = {**os.environ, "PUSHWRIGHT_DEMO_DIR": str(self.directory / "demo"), "PUSHWRIGHT_LISTEN": self.listen,
                       "PUSHWRIGHT_DEMO_PORT": str(self.port)}
        self.output = open(self.log, "ab")
        # A session of its own, so that the signal of Ctrl-C reaches the whole group, as on a terminal.
        self.process = subprocess.Popen([str(ROOT / "shared/build/demo.sh")], env=environment, cwd=ROOT, start_new_session=True,
                                        stdout=self.output, stderr=self.output, stdin=subprocess.DEVNULL)

    def ctrl_c(self):
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def said(self):
        return self.log.read_text(errors="replace")

    def page(self):
        return http("GET", self.url, seconds=2).text

    def wait_for_page(self, text, seconds):
        try:
            wait_until(lambda: text in self.page(), seconds, f"a page with '{text}'")
        except AssertionError:
            print("\n".join("# " + line for line in self.said().splitlines()))
            raise

    def push(self, text):
        """Clone, edit, commit, push; seconds from the push's return to the page."""
        work = self.directory / f"work-{time.monotonic_ns()}"
        git("clone", "-q", self.directory / "demo/hello.git", work)
        (work / "index.html").write_text(text)
        git("commit", "-qam", "another text", cwd=work)
        git("push", "-q", cwd=work)
        began = time.monotonic()
        self.wait_for_page(text, 10)
        return time.monotonic() - began


def processes_of(directory):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if str(directory).encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                found.append((entry.name, (entry / "cmdline").read_bytes()))
        except OSError:
            continue
    return found


def a_push_becomes_a_page_and_a_change_follows():
    with temporary_directory() as directory:
        up = Up(directory)
        up.start()
        try:
            up.wait_for_page("hello world", 30)
            wait_until(lambda: "Now push a change yourself" in up.said(), 5, "the words that tell how to push")
            seconds = up.push("<h1>the first change</h1>")
            assert seconds < 1, f"{seconds:.3f} s from the push to the page"
            assert up.push("<h1>the second change</h1>") < 1
            told = up.said()
            for word in ("push of main", "is queued", "image localhost/hello:main-", "matches", "it answers at " + up.url.rstrip("/")):
                assert word in told, f"'{word}' was not told:\n{told}"
            assert up.ctrl_c() == 0, up.said()
            wait_until(lambda: not processes_of(directory), 5, f"no process left: {processes_of(directory)}")
            mounts = pathlib.Path("/proc/self/mounts").read_text()
            assert str(directory) not in mounts, mounts

            up.start()
            up.wait_for_page("the second change", 10)
            assert up.push("<h1>after the restart</h1>") < 1
            assert up.ctrl_c() == 0, up.said()
        finally:
            up.kill()


def a_kill_9_of_everything_loses_nothing():
    with temporary_directory() as directory:
        up = Up(directory)
        up.start()
        try:
            up.wait_for_page("hello world", 30)
            work = directory / "work"
            git("clone", "-q", directory / "demo/hello.git", work)
            (work / "index.html").write_text("<h1>pushed, then killed</h1>")
            git("commit", "-qam", "killed", cwd=work)
            git("push", "-q", cwd=work)
            up.kill()
            wait_until(lambda: not processes_of(directory / "demo/state"), 5, "the functions and services to die with their chain")
            up.start()
            up.wait_for_page("pushed, then killed", 15)
            assert up.ctrl_c() == 0, up.said()
        finally:
            up.kill()


run_tests([a_push_becomes_a_page_and_a_change_follows, a_kill_9_of_everything_loses_nothing])
