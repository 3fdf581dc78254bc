"""Who builds images in the bench: `pushwright build`, Debian's buildah and Debian's docker.io (BuildKit), each from the same checkout into a
repository of its own; and the function `build` in one-shot mode, from the git repository. All give the seconds of the whole command."""
import contextlib
import json
import os
import pathlib
import subprocess

from pushwright import BIN, git, http, wait_until
from tools import seconds_of

# The system's docker and dockerd: another docker may stand before them in $PATH.
SYSTEM = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DOCKER_BUILDKIT": "1"}


def peak_of(argv, scratch, **options):
    """Seconds of a command and the peak bytes of the largest of its processes. Measured by a program that is small itself: a child begins with what
    its parent has."""
    peak = scratch / "peak"
    took, _ = seconds_of(["/usr/bin/time", "-o", peak, "-f", "%M", *argv], **options)
    return took, int(peak.read_text().split()[-1]) * 1024


def set_aside(path):
    """A store begins anew while the old one stays until the end: where files were deleted a moment ago, ext4 without a journal takes long to make
    others, which would be measured along."""
    if path.exists():
        aside = path.parent / "aside"
        aside.mkdir(exist_ok=True)
        path.rename(aside / f"{path.name}-{len(list(aside.iterdir()))}")


class Checkout:
    """A repository with a Dockerfile, and its files in a directory, without git's own; every build is of another commit."""

    def __init__(self, directory, host):
        self.host, self.directory = host, directory
        self.bare, self.work = directory / "hello.git", directory / "work"
        git("init", "-q", "--bare", "-b", "main", self.bare)
        self.work.mkdir()
        self.count = 0

    def git(self, *arguments):
        return git("--git-dir", self.bare, "--work-tree", self.work, *arguments, cwd=self.work)

    def change(self, dockerfile):
        self.count += 1
        (self.work / "Dockerfile").write_text(dockerfile)
        (self.work / "index.html").write_text(f"<h1>change {self.count}</h1>\n")
        self.git("add", "-A")
        self.git("commit", "-qm", f"change {self.count}")
        return self.git("rev-parse", "HEAD")

    def check(self, repository, tag, layers):
        accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        answer = http("GET", f"http://{self.host}/v2/{repository}/manifests/{tag}", headers={"Accept": accept})
        assert answer.status == 200 and len(answer.json["layers"]) >= layers, (repository, tag, answer.status, answer.text)


class Ours:
    """As people do, with what their machine keeps."""
    name = "Pushwright"

    def __init__(self, checkout):
        self.checkout, self.cache = checkout, checkout.directory / "cache"

    def forget(self):
        set_aside(self.cache)

    def command(self, folder, tag):
        return [BIN / "pushwright", "build", "-q", "--push", "-t", f"{self.checkout.host}/ours:{tag}", folder]

    def environment(self):
        return {"PATH": os.environ["PATH"], "PUSHWRIGHT_CACHE_DIR": str(self.cache)}

    def build(self, dockerfile, layers=2):
        tag = self.checkout.change(dockerfile)[:12]
        took, _ = seconds_of(self.command(self.checkout.work, tag), env=self.environment())
        self.checkout.check("ours", tag, layers)
        return took

    def build_folder(self, folder):
        """With the peak."""
        result = peak_of(self.command(folder, "folder"), self.checkout.directory, env=self.environment())
        self.checkout.check("ours", "folder", 2)
        return result


class Function:
    """The function as a platform runs it: the event is a file, the commit is fetched from the repository."""
    name = "the function"

    def __init__(self, checkout, remember=False, **environment):
        self.checkout, self.directory, self.more = checkout, checkout.directory, environment
        self.remember = remember  # of builds, at the registry, for the comparison on a timer
        self.cache = self.directory / "cache-function"

    def forget(self):
        set_aside(self.cache)

    def configuration(self):
        path = self.directory / "pushwright.json"
        path.write_text(json.dumps({
            "sources": [{"name": "git", "kind": "gitea", "secret": {"env": "NONE"}}],
            "registries": [{"host": self.checkout.host, "plainHttp": True}],
            "builds": [{"name": "hello", "source": "git", "repository": "demo/hello", "clone": f"file://{self.checkout.bare}",
                        "image": f"{self.checkout.host}/function", "tag": "{sha:12}", "reconcile": self.remember}], "triggers": []}))
        return path

    def event(self, commit):
        """The event that `webhook` would send."""
        kind, number = "dev.cdevents.build.queued.0.3.0", self.checkout.count
        path = self.directory / "event.json"
        path.write_text(json.dumps({
            "specversion": "1.0", "id": f"queued-{number}", "source": "/bench", "type": kind, "datacontenttype": "application/json",
            "data": {"context": {"specversion": "0.5.1", "id": f"queued-{number}", "source": "/bench", "type": kind,
                                 "timestamp": "2026-01-15T10:11:12Z"},
                     "subject": {"id": f"hello/{commit[:7]}-{number}", "content": {}},
                     "customData": {"build": "hello", "ref": "refs/heads/main", "commit": commit, "sequence": f"{number:015}",
                                    "asked": "push", "time": "2026-01-15T10:11:12Z",
                                    "repository": {"id": "demo/hello", "source": f"file://{self.checkout.bare}"}}}}))
        return path

    def environment(self):
        return {"PATH": os.environ["PATH"], "PUSHWRIGHT_TRUST_PLATFORM": "1", "PUSHWRIGHT_CONFIG": str(self.configuration()),
                "PUSHWRIGHT_CACHE_DIR": str(self.cache), "PUSHWRIGHT_CHAIN_KEY": "0" * 64, **self.more}

    def build(self, dockerfile, layers=2):
        commit = self.checkout.change(dockerfile)
        took, _ = seconds_of([BIN / "build", "--event", self.event(commit)], env=self.environment())
        self.checkout.check("function", commit[:12], layers)
        return took

    def peak(self, dockerfile):
        commit = self.checkout.change(dockerfile)
        return peak_of([BIN / "build", "--event", self.event(commit)], self.directory, env=self.environment())[1]


class Buildah:
    """Its overlay mounts would outlive the directory: end() takes them away. RUN by chroot, its fastest way and the one that works in containers."""
    name = "buildah"

    def __init__(self, checkout):
        self.checkout, self.directory = checkout, checkout.directory / "buildah"
        self.argv = ["buildah", "--root", self.directory / "store", "--runroot", self.directory / "run"]
        self.directory.mkdir()

    def forget(self):
        self.end()
        set_aside(self.directory / "store")

    def build(self, dockerfile, layers=2):
        tag = self.checkout.change(dockerfile)[:12]
        return self.build_folder(self.checkout.work, tag, layers)

    def build_folder(self, folder, tag="folder", layers=2):
        image = f"{self.checkout.host}/buildah:{tag}"
        built, _ = seconds_of([*self.argv, "bud", "-q", "--isolation", "chroot", "--tls-verify=false", "-t", image, folder])
        pushed, _ = seconds_of([*self.argv, "push", "-q", "--tls-verify=false", image])
        self.checkout.check("buildah", tag, layers)
        return built + pushed

    def end(self):
        subprocess.run([*map(str, self.argv), "rm", "-a"], capture_output=True)
        for mount in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            if str(self.directory) in mount.split()[1]:
                subprocess.run(["umount", mount.split()[1]], capture_output=True)


class Docker:
    """dockerd with a socket and a store of its own."""
    name = "BuildKit"

    def __init__(self, checkout):
        self.checkout, self.directory = checkout, checkout.directory / "docker"
        self.directory.mkdir()
        self.socket = f"unix://{self.directory}/socket"
        self.start()

    def start(self):
        log = open(self.directory / "log", "ab")
        self.daemon = subprocess.Popen(
            ["/usr/sbin/dockerd", "--data-root", self.directory / "data", "--exec-root", self.directory / "exec", "--pidfile", self.directory / "pid",
             "-H", self.socket, "--bridge=none", "--iptables=false", "--ip6tables=false"], stdout=log, stderr=log, env=SYSTEM)
        wait_until(lambda: subprocess.run([*self.argv(), "version"], capture_output=True, env=SYSTEM).returncode == 0, 60, "dockerd to answer")

    def argv(self):
        return ["/usr/bin/docker", "-H", self.socket]

    def forget(self):
        self.end()
        set_aside(self.directory / "data")
        self.start()

    def build(self, dockerfile, layers=2):
        tag = self.checkout.change(dockerfile)[:12]
        return self.build_folder(self.checkout.work, tag, layers)

    def build_folder(self, folder, tag="folder", layers=2):
        image = f"{self.checkout.host}/docker:{tag}"
        built, _ = seconds_of([*self.argv(), "build", "-q", "--network=host", "-t", image, folder], env=SYSTEM)
        pushed, _ = seconds_of([*self.argv(), "push", "-q", image], env=SYSTEM)
        self.checkout.check("docker", tag, layers)
        return built + pushed

    def peak(self):
        """Since it began."""
        for line in pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("dockerd is gone")

    def end(self):
        self.daemon.terminate()
        self.daemon.wait(30)
        for mount in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            if str(self.directory) in mount.split()[1]:
                subprocess.run(["umount", mount.split()[1]], capture_output=True)


@contextlib.contextmanager
def peers(checkout):
    """Those that run here."""
    started = []
    try:
        for kind in (Buildah, Docker):
            started.append(kind(checkout))
        yield started
    finally:
        for peer in started:
            peer.end()
