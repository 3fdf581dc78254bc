#!/usr/bin/env python3
"""Dockerfiles as people write them, in the style of the popular languages' official examples (dockerfiles/): the shipped build function builds each
against a Debian of debootstrap and the package registries of this machine, podman runs what came out. FROM names what it does everywhere
("debian:stable-slim"): the test's registry stands in as the mirror of Docker Hub."""
import contextlib
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build_test import World
from debian_base import absent, debian_base, machine_files
from pushwright import BIN, SKOPEO, free_port, http, need, process, registry, run_tests, temporary_directory, wait_until

FOLDER = pathlib.Path(__file__).with_name("dockerfiles")
PLATFORM = "linux/amd64"
PATIENCE_SECONDS = 600


def files_of(folder):
    """{path: content} for World.repository."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found[str(path.relative_to(folder))] = ("exec", content) if os.access(path, os.X_OK) else content
    return found


class Images:
    """What is built on the way to others, and podman with a store of its own."""

    def __init__(self, directory, host):
        self.world, self.host, self.built = World(directory, host), host, {}
        self.world.patience = PATIENCE_SECONDS
        self.world.registries = [{"host": host, "plainHttp": True}, {"host": "docker.io", "mirrors": [host]}]
        self.podman = ["podman", "--root", str(directory / "podman"), "--runroot", str(directory / "podman-run")]
        self.containers = None

    def build(self, name, image, more=None, **rule):
        """The image of dockerfiles/NAME under that name; returns its configuration. Asked again, it is there."""
        if image not in self.built:
            repository, _, tag = image.partition(":")
            commit = self.world.repository(name, {**files_of(FOLDER / name), **(more or {})})
            self.world.rule(name, image=f"{self.host}/library/{repository}", tag=tag, timeoutSeconds=PATIENCE_SECONDS, **rule)
            code, events, log = self.world.build(name, commit)
            said = [json.loads(line)["message"] for line in log.splitlines()]
            if code != 0 or "artifact.published" not in events:
                raise AssertionError("\n".join(said[-60:]) + f"\n{events.get('build.finished')}")
            self.built[image] = said
        return self.inspect(image, "--config", "--raw")

    def inspect(self, image, *options):
        asked = [*SKOPEO, "inspect", *options, "--tls-verify=false", f"docker://{self.host}/library/{image}"]
        return json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)

    def run_options(self):
        """How podman runs a container here: Debian's crun and runc differ in which cgroups they can do without. What podman asks for by itself is more
        than some machines allow."""
        if self.containers is None:
            need("podman")
            options = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--rm", "--quiet", "--network=host", "--tls-verify=false"]
            why = []
            for podman in (["run"], ["--runtime=runc", "run"], ["--runtime=crun", "run", "--cgroups=disabled"]):
                tried = subprocess.run([*self.podman, *podman, *options, f"{self.host}/library/debian:stable-slim", "true"], capture_output=True, text=True)
                if tried.returncode == 0:
                    self.containers = [*self.podman, *podman, *options]
                    break
                why.append(tried.stderr.strip()[-200:])
            else:
                absent(f"podman runs no container here: {'; '.join(why)}")
        return self.containers

    def said(self, image, *arguments, options=()):
        done = subprocess.run([*self.run_options(), *options, f"{self.host}/library/{image}", *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    @contextlib.contextmanager
    def server(self, image):
        """The image as a service on a port of its own; gives what GET / answers, and the container's name."""
        port = free_port()
        name = f"pw-{port}"

        def answered():
            return http("GET", f"http://127.0.0.1:{port}/", seconds=2).status == 200
        argv = [*self.run_options(), "--name", name, "-e", f"PORT={port}", f"{self.host}/library/{image}"]
        with open(self.world.directory / "container.log", "ab") as log:
            with process(argv, ready=answered, seconds=60, stdout=log, stderr=log):
                yield http("GET", f"http://127.0.0.1:{port}/").text, name

    def end(self):
        subprocess.run([*self.podman, "rm", "-a", "-f", "-t", "0"], capture_output=True)
        subprocess.run([*self.podman, "rmi", "-a", "-f"], capture_output=True)
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            if str(self.world.directory) in line.split()[1]:
                subprocess.run(["umount", line.split()[1]], capture_output=True)
        self.world.server.shutdown()


images = None  # of the whole program: what one test builds is the base of others


def debian():
    if "debian:stable-slim" not in images.built:
        subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{debian_base()}:base",
                        f"docker://{images.host}/library/debootstrap:latest"], check=True)
    return images.build("debian", "debian:stable-slim", {f"machine/{path}": text for path, text in machine_files().items()})


def gcc():
    debian()
    return images.build("gcc", "gcc:12")


def python():
    debian()
    return images.build("python", "python:3-slim")


# ---- the tests ----

def debian_of_debootstrap():
    config = debian()
    assert config["config"]["Cmd"] == ["bash"], config["config"]
    assert "debian" in images.said("debian:stable-slim", "cat", "/etc/os-release")


def apt_with_cache_mounts():
    gcc()
    leftovers = images.said("gcc:12", "sh", "-c", "find /var/cache/apt /var/lib/apt/lists -type f; gcc -dumpmachine")
    assert leftovers.splitlines() == [os.uname().machine + "-linux-gnu"], leftovers


def c_in_stages():
    gcc()
    config = images.build("c-multistage", "greet:1")
    assert len(config["rootfs"]["diff_ids"]) == 1 and config["config"]["User"] == "65532:65532", config
    assert images.said("greet:1") == "hello world from 65532:65532\n"
    assert images.said("greet:1", "Ann", "Bob") == "hello Ann from 65532:65532\nhello Bob from 65532:65532\n"


def a_static_server_on_scratch():
    gcc()
    config = images.build("static-server", "server:1", args={"VERSION": "{branch}"}, target="final")
    assert config["config"]["ExposedPorts"] == {"8080/tcp": {}} and config["config"]["StopSignal"] == "SIGINT", config
    with images.server("server:1") as (answer, _):
        assert answer == "static server, version main\n", answer


def python_with_packages_in_a_venv():
    python()
    config = images.build("python-venv", "bottle:1")
    assert config["config"]["Healthcheck"]["Test"] == ["CMD", "python", "health.py"], config["config"]
    assert config["config"]["Cmd"] == ["/bin/sh", "-c", "python app.py"]
    with images.server("bottle:1") as (answer, name):
        assert answer == "bottle 0.12.25 as 10001 in /app with ['app.py', 'health.py', 'requirements.txt']\n", answer
        healthy = subprocess.run([*images.podman, "exec", name, *config["config"]["Healthcheck"]["Test"][1:]], capture_output=True, text=True)
        assert healthy.stdout == "healthy\n", (healthy.stdout, healthy.stderr)


def node_with_packages_of_npm():
    need("npm")
    debian()
    with temporary_directory() as place:
        packed = subprocess.run(["npm", "pack", "--silent", "npm@9"], cwd=place, capture_output=True, text=True)
        if packed.returncode != 0:
            absent(f"npm could not be had of npm's registry: {packed.stderr.strip()[-200:]}")
        images.build("node", "node:18-slim", {"npm.tgz": (place / packed.stdout.split()[-1]).read_bytes()})
    config = images.build("node-app", "app:1")
    assert config["config"]["Entrypoint"] == ["docker-entrypoint.sh"] and config["config"]["Cmd"] == ["src/index.js"], config["config"]
    with images.server("app:1") as (answer, _):
        assert answer == "two days are 172800000 ms; production, user 1000, pid 1\n", answer


def nginx_without_root():
    debian()
    config = images.build("nginx-static", "site:1")
    assert config["config"]["User"] == "web" and config["config"]["Labels"]["org.opencontainers.image.title"] == "static site"
    with images.server("site:1") as (answer, _):
        assert answer == "<h1>a static page</h1>\n", answer
    owner = images.said("site:1", "stat", "-c", "%U:%G %a", "/usr/share/nginx/html/index.html")
    assert owner == "web:web 644\n", owner


def php_as_its_user():
    debian()
    config = images.build("php", "php-app:1")
    assert "PHP_INI_DIR=/usr/local/etc/php" in config["config"]["Env"], config["config"]
    with images.server("php-app:1") as (answer, _):
        assert answer == "php as 33 in /var/www/html owned by 33\n", answer


def onbuild_of_perl():
    debian()
    base = images.build("perl-onbuild", "perl:onbuild")
    assert len(base["config"]["OnBuild"]) == 4, base["config"]
    config = images.build("perl-app", "perl-app:1", args={"APP_ENV": "testing"})
    assert not config["config"].get("OnBuild"), config["config"]
    assert images.said("perl-app:1") == "app in testing: app.pl syntax OK\n"


def an_entrypoint_that_steps_down():
    debian()
    config = images.build("entrypoint", "store:1")
    assert config["config"]["Volumes"] == {"/var/lib/store/data": {}} and config["config"]["StopSignal"] == "SIGINT", config["config"]
    said = images.said("store:1").splitlines()
    assert said == ["/usr/local/bin/docker-entrypoint.sh: running /docker-entrypoint-initdb.d/10-seed.sh",
                    "store runs as store:store, process 1, data 700:store, seed sown"], said
    assert images.said("store:1", "docker-enforce-initdb.sh", "id", "-u") == "0\n", "other commands run as they are"


def heredocs():
    debian()
    images.build("heredocs", "heredocs:1")
    said = images.said("heredocs:1")
    parts = dict(part.split(" <==\n", 1) for part in said.split("==> ")[1:])
    assert {name: text.strip("\n") for name, text in parts.items()} == {
        "humans.txt": "people", "name": "name is heredocs", "one": "no $expansion here", "perl": "1,4,9,16,25", "robots.txt": "User-agent: heredocs",
        "shebang": "an interpreter of its own", "two": "second"}, said


def versions_checksums_and_what_a_build_needs_only():
    debian()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        archive.add(FOLDER / "pinned/greeting", arcname="greeting-1.2.3")
    config = images.build("pinned", "greeting:1.2.3", {"greeting-1.2.3.tar.gz": tar.getvalue()},
                          args={"GREETING_SHA256": hashlib.sha256(tar.getvalue()).hexdigest()})
    assert config["config"]["Labels"] == {"version": "1.2.3", "description": "a greeting of one version"}, config["config"]
    assert images.said("greeting:1.2.3") in ("greeting 1.2.3 for x64\n", "greeting 1.2.3 for arm64\n")
    left = images.said("greeting:1.2.3", "-c", "command -v make envsubst; ls /tmp /usr/src", options=["--entrypoint=sh"])
    assert "make" not in left and "envsubst" not in left and "greeting" not in left, left


def platforms_by_metadata_alone():
    debian()
    images.build("platforms", "platforms:1", platforms=["linux/amd64", "linux/arm64", "linux/arm/v7"])
    index = images.inspect("platforms:1", "--raw")
    for entry in index["manifests"]:
        platform = entry["platform"]
        named = "/".join(platform[key] for key in ("os", "architecture", "variant") if key in platform)
        with temporary_directory() as place:
            subprocess.run([*SKOPEO, "copy", "-q", "--src-tls-verify=false", f"docker://{images.host}/library/platforms@{entry['digest']}", f"dir:{place}"],
                           check=True)
            layer = json.loads((place / "manifest.json").read_text())["layers"][0]["digest"]
            with tarfile.open(place / layer.partition(":")[2]) as tar:
                assert tar.extractfile("target.txt").read().decode() == f"made on {PLATFORM} for {named}\n"
    assert len(index["manifests"]) == 3, index


def secrets_of_the_command_line():
    debian()
    image, token = f"{images.host}/library/secret:1", images.world.directory / "token"
    token.write_text("not to be found")
    argv = [BIN / "pushwright", "build", "--push", "-t", image, "--secret", f"id=token,src={token}", "--secret", "id=user,env=WHO",
            "--build-arg", f"HUB={images.host}/library", FOLDER / "secret"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_SECONDS, env={**images.world.environment(), "WHO": "Ann"})
    assert done.returncode == 0 and "not to be found" not in done.stdout + done.stderr, (done.stdout, done.stderr)
    digest = hashlib.sha256(b"not to be found").hexdigest()
    assert images.said("secret:1") == f"{digest}  -\nno secrets\n", images.said("secret:1")


TESTS = [debian_of_debootstrap, apt_with_cache_mounts, c_in_stages, a_static_server_on_scratch, python_with_packages_in_a_venv, node_with_packages_of_npm,
         nginx_without_root, php_as_its_user, onbuild_of_perl, an_entrypoint_that_steps_down, heredocs, versions_checksums_and_what_a_build_needs_only,
         platforms_by_metadata_alone, secrets_of_the_command_line]

if __name__ == "__main__":
    if os.getuid() != 0:
        print("1..1\nok 1 - Dockerfiles that people use # SKIP debootstrap wants root")
        sys.exit(0)
    wanted = [test for test in TESTS if not sys.argv[1:] or test.__name__ in sys.argv[1:]]
    with temporary_directory() as directory, registry(directory) as host:
        images = Images(directory, host)
        try:
            run_tests(wanted)
        finally:
            images.end()
