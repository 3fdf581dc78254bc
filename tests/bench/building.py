"""The hello-world build, warm, against Debian's docker-registry on this machine: `out/build` in one-shot mode against `buildah bud` and
`buildah push`, in turns, new content each time. Ours fetches the commit with git; buildah is given the checkout."""
import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile

from pushwright import BIN, git, http, registry
from table import median
from tools import seconds_of

ROUNDS = 9
BASE_BYTES = 55_000_000  # compressed: what a Debian image with a web server has
# What this bench has installed anyway, all of it from Debian.
BASE_PACKAGES = ("coreutils", "bash", "perl-base", "libc6", "libc-bin", "util-linux", "git", "skopeo", "docker-registry", "webhook",
                 "buildah", "python3-minimal", "gcc", "cpp", "binutils")


def package_files():
    """Paths below /usr of those packages, each once."""
    seen = set()
    for package in BASE_PACKAGES:
        listed = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True).stdout.split("\n")
        for name in listed:
            path = pathlib.Path(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
            if path.is_relative_to("/usr") and path not in seen and (path.is_symlink() or path.exists()):
                seen.add(path)
                yield path


def base_layer(tar_bytes, gzip_bytes):
    """A layer of those files, as far as they fit."""
    with gzip.GzipFile(fileobj=gzip_bytes, mode="wb", compresslevel=1, mtime=0) as packed:
        hashed = Tee(packed, tar_bytes)
        with tarfile.open(fileobj=hashed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for name in ("usr", "usr/bin", "usr/lib", "var", "var/www", "var/www/html"):
                tar.addfile(directory_entry(name))
            for path in package_files():
                if gzip_bytes.tell() > BASE_BYTES:
                    break
                if str(path) not in ("/usr", "/usr/bin", "/usr/lib"):
                    tar.add(path, arcname=str(path).lstrip("/"), recursive=False)


class Tee(io.RawIOBase):
    def __init__(self, out, digest):
        super().__init__()
        self.out, self.digest = out, digest

    def write(self, data):
        self.digest.update(data)
        return self.out.write(data)


def directory_entry(name):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def push_base(directory, host):
    """The base into the registry, once; how many bytes its layer has."""
    diff_id, packed = hashlib.sha256(), io.BytesIO()
    base_layer(diff_id, packed)
    layer, blobs = packed.getvalue(), directory / "base/blobs/sha256"
    blobs.mkdir(parents=True)
    config = json.dumps({"architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z",
                         "config": {"Env": ["PATH=/usr/bin"], "Cmd": ["/usr/bin/bash"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + diff_id.hexdigest()]}}).encode()

    def put(data, media_type):
        (blobs / sha256(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}
    prefix = "application/vnd.oci.image."
    manifest = put(json.dumps({"schemaVersion": 2, "mediaType": prefix + "manifest.v1+json",
                               "config": put(config, prefix + "config.v1+json"),
                               "layers": [put(layer, prefix + "layer.v1.tar+gzip")]}).encode(), prefix + "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (directory / "base/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "base/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    seconds_of(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{directory}/base:1", f"docker://{host}/web:1"])
    return len(layer)


class World:
    def __init__(self, directory, host):
        self.directory, self.host = directory, host
        self.bare, self.work = directory / "hello.git", directory / "work"
        git("init", "-q", "--bare", "-b", "main", self.bare)
        git("clone", "-q", self.bare, self.work)
        (self.work / "Dockerfile").write_text(
            f"FROM {host}/web:1\nMAINTAINER Pushwright <hello@pushwright.dev>\nADD ./ /var/www/html/\n")
        self.config = directory / "pushwright.json"
        self.config.write_text(json.dumps({
            "sources": [{"name": "git", "kind": "gitea", "secret": {"env": "NONE"}}],
            "registries": [{"host": host, "plainHttp": True}],
            "builds": [{"name": "hello", "source": "git", "repository": "demo/hello", "clone": f"file://{self.bare}",
                        "image": f"{host}/hello", "tag": "{sha:12}"}], "triggers": []}))
        self.event = directory / "event.json"

    def change(self, text):
        (self.work / "index.html").write_text(f"<h1>{text}</h1>\n")
        git("add", "-A", cwd=self.work)
        git("commit", "-qm", text, cwd=self.work)
        git("push", "-q", "origin", "HEAD:main", cwd=self.work)
        return git("rev-parse", "HEAD", cwd=self.work)

    def queue(self, number, commit):
        """The event that `webhook` would send."""
        kind = "dev.cdevents.build.queued.0.3.0"
        self.event.write_text(json.dumps({
            "specversion": "1.0", "id": f"queued-{number}", "source": "/bench", "type": kind, "datacontenttype": "application/json",
            "data": {"context": {"specversion": "0.5.1", "id": f"queued-{number}", "source": "/bench", "type": kind,
                                 "timestamp": "2026-01-15T10:11:12Z"},
                     "subject": {"id": f"hello/{commit[:7]}-{number}", "content": {}},
                     "customData": {"build": "hello", "ref": "refs/heads/main", "commit": commit, "sequence": f"{number:015}",
                                    "asked": "push", "time": "2026-01-15T10:11:12Z",
                                    "repository": {"id": "demo/hello", "source": f"file://{self.bare}"}}}}))

    def ours(self, number):
        commit = self.change(f"ours {number}")
        self.queue(number, commit)
        took, _ = seconds_of([BIN / "build", "--event", self.event],
                             env={"PATH": os.environ["PATH"], "PUSHWRIGHT_TRUST_PLATFORM": "1", "PUSHWRIGHT_CONFIG": str(self.config),
                                  "PUSHWRIGHT_CACHE_DIR": str(self.directory / "cache")})
        self.check(commit[:12])
        return took

    def buildah(self, number):
        tag = self.change(f"buildah {number}")[:12]
        store = ["buildah", "--root", self.directory / "store", "--runroot", self.directory / "run"]
        image = f"{self.host}/hello:{tag}"
        built, _ = seconds_of([*store, "bud", "-q", "--tls-verify=false", "-t", image, self.work])
        pushed, _ = seconds_of([*store, "push", "-q", "--tls-verify=false", image])
        self.check(tag)
        return built + pushed

    def check(self, tag):
        accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        answer = http("GET", f"http://{self.host}/v2/hello/manifests/{tag}", headers={"Accept": accept})
        assert answer.status == 200 and len(answer.json["layers"]) >= 2, (tag, answer.status, answer.text)

    @contextlib.contextmanager
    def buildah_store(self):
        try:
            yield
        finally:
            # Its overlay mounts would outlive the directory.
            subprocess.run(["buildah", "--root", str(self.directory / "store"), "--runroot", str(self.directory / "run"), "rm", "-a"],
                           capture_output=True)
            for mount in pathlib.Path("/proc/self/mounts").read_text().splitlines():
                if str(self.directory) in mount.split()[1]:
                    subprocess.run(["umount", mount.split()[1]], capture_output=True)


def building(table, directory):
    with registry(directory / "registry") as host:
        base_bytes = push_base(directory, host)
        world = World(directory, host)
        with world.buildah_store():
            cold = world.ours(1), world.buildah(2)
            ours, peer = [], []
            for number in range(ROUNDS):
                ours.append(world.ours(10 + number))
                peer.append(world.buildah(100 + number))
    table.share(f"build and push, base of {base_bytes / 1e6:.0f} MB; median of {ROUNDS}, process start and `git fetch` in it",
                median(ours) * 1000, median(peer) * 1000, 8, "ms", 1)
    table.add("the first build, nothing known of the base", f"{cold[0] * 1000:.0f} ms", f"{cold[1] * 1000:.0f} ms")
