"""The whole chain between real peers: git over smart HTTP with a token, Debian's docker-registry, and the image read by other people's tools."""
import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import git_http
from pushwright import Chain, SKOPEO, free_port, git, http, need, registry, run_tests, temporary_directory, wait_until, web_base

SECRET = "a secret of the hook, long enough"
REPOSITORY = "acme/site"


class World:
    """A git host, a registry that holds the base, and the chain between them."""

    def __init__(self, directory, registry_host, git_url, notified):
        self.directory, self.registry = directory, registry_host
        self.bare = directory / "git" / "acme" / "site.git"
        self.work = directory / "work"
        git("init", "-q", "--bare", "-b", "main", self.bare)
        git("init", "-q", "-b", "main", self.work)
        (self.work / "Dockerfile").write_text(
            f"FROM {registry_host}/bases/web:1\nMAINTAINER ann\nENV GREETING=hello\nADD ./ /var/www/html/\n")
        (directory / "secret").write_text(SECRET)
        (directory / "token").write_text(git_http.TOKEN + "\n")
        self.port = free_port()
        self.page = f"http://127.0.0.1:{self.port}/"
        self.chain = Chain(directory, {
            "sources": [{"name": "host", "kind": "github", "secret": {"file": str(directory / "secret")},
                         "token": {"file": str(directory / "token")}}]
            + ([{"name": "registry", "kind": "registry", "secret": {"file": str(directory / "secret")}}] if notified else []),
            "registries": [{"host": registry_host, "plainHttp": True}],
            "builds": [{"name": "site", "source": "host", "repository": REPOSITORY, "clone": f"{git_url}/private/acme/site.git",
                        "on": {"branches": ["main"], "tags": ["v*"]}, "image": f"{registry_host}/acme/site",
                        "tag": "{ref}-{sha:7}"}],
            "triggers": [{"name": "site", "image": f"{registry_host}/acme/site", "when": {"regex": "^main-[0-9a-f]{7}$"},
                          "deploy": [{"cluster": "local", "workload": "site", "servicePort": f"127.0.0.1:{self.port}"}]}],
        })

    def registry_settings(self):
        """Notifications of Debian's docker-registry, as its operator would write them."""
        return (f"notifications: {{ endpoints: [ {{ name: pushwright, url: '{self.chain.url}/hooks/registry', timeout: 2s, threshold: 3,"
                f" backoff: 1s, headers: {{ Authorization: ['{SECRET}'] }} }} ] }}\n")

    def push_base(self):
        web_base(self.directory / "base")
        subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{self.directory}/base:latest",
                        f"docker://{self.registry}/bases/web:1"], check=True, capture_output=True)

    def commit(self, text):
        (self.work / "index.html").write_text(text)
        git("add", "-A", cwd=self.work)
        git("commit", "-qm", text, cwd=self.work)
        git("push", "-q", self.bare, "HEAD:refs/heads/main", cwd=self.work)
        return git("rev-parse", "HEAD", cwd=self.work)

    def deliver(self, ref, commit, delivery=None):
        body = json.dumps({"ref": ref, "before": "0" * 40, "after": commit, "created": True, "deleted": False, "forced": False,
                           "head_commit": {"id": commit, "message": "m"}, "commits": [],
                           "repository": {"full_name": REPOSITORY, "pushed_at": 1790000000}}).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        return http("POST", self.chain.url + "/hooks/host", body,
                    {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": signature,
                     "X-GitHub-Delivery": delivery or str(uuid.uuid4())})

    def wait_for_page(self, text):
        try:
            wait_until(lambda: text in http("GET", self.page, seconds=2).text, 30, f"a page with '{text}'")
        except AssertionError:
            print("\n".join("# " + line for line in self.chain.said().splitlines()))
            raise


def in_a_world(test, notified=False):
    need("skopeo")
    with temporary_directory() as directory:
        (directory / "git").mkdir()
        host = git_http.start(directory / "git")
        port = free_port()
        world = World(directory, f"127.0.0.1:{port}", f"http://127.0.0.1:{host.server_address[1]}", notified)
        try:
            with registry(directory / "registry", port=port, extra=world.registry_settings() if notified else ""):
                world.push_base()
                world.chain.start()
                test(world)
        finally:
            world.chain.stop()
            host.shutdown()
            host.server_close()


def a_signed_push_becomes_a_page_and_an_image_that_others_read():
    def test(world):
        commit = world.commit("<h1>from a real registry</h1>")
        answer = world.deliver("refs/heads/main", commit)
        assert answer.status == 202, answer.text
        world.wait_for_page("from a real registry")
        reference = f"docker://{world.registry}/acme/site:main-{commit[:7]}"
        seen = json.loads(subprocess.run([*SKOPEO, "inspect", "--tls-verify=false", reference], check=True, capture_output=True).stdout)
        assert "GREETING=hello" in seen["Env"], seen
        assert seen["Architecture"] in ("amd64", "arm64")
        unpacked_by_umoci(world, reference)
        mounted_by_podman(world, commit)
    in_a_world(test)


def unpacked_by_umoci(world, reference):
    need("umoci")
    layout = world.directory / "copy"
    subprocess.run([*SKOPEO, "copy", "-q", "--src-tls-verify=false", reference, f"oci:{layout}:x"], check=True, capture_output=True)
    subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{layout}:x", world.directory / "bundle"], check=True, capture_output=True)
    root = world.directory / "bundle/rootfs"
    assert (root / "var/www/html/index.html").read_text() == "<h1>from a real registry</h1>"
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777, "the base's directories keep their modes"


def mounted_by_podman(world, commit):
    """podman pulls it and shows its files (running it would need cgroups that a test cannot count on)."""
    need("podman")
    podman = ["podman", "--root", str(world.directory / "podman"), "--runroot", str(world.directory / "podman-run"), "--storage-driver", "vfs"]
    image = f"{world.registry}/acme/site:main-{commit[:7]}"
    try:
        subprocess.run([*podman, "pull", "-q", "--tls-verify=false", image], check=True, capture_output=True, timeout=120)
        config = json.loads(subprocess.run([*podman, "image", "inspect", image], check=True, capture_output=True).stdout)[0]
        assert "GREETING=hello" in config["Config"]["Env"], config
        assert config["Author"] == "ann", config
        # Whoever is not root sees a mounted image only inside podman's own user namespace.
        inside = [] if os.geteuid() == 0 else [*podman, "unshare"]
        show = 'cat "$("$@" image mount IMAGE)/var/www/html/index.html"; "$@" image unmount IMAGE >/dev/null'.replace("IMAGE", image)
        page = subprocess.run([*inside, "sh", "-c", show, "sh", *podman], check=True, capture_output=True, text=True).stdout
        assert page == "<h1>from a real registry</h1>", page
    finally:
        subprocess.run([*podman, "rmi", "-a", "-f"], capture_output=True)


def the_same_delivery_twice_is_built_and_deployed_once():
    def test(world):
        commit = world.commit("<h1>once</h1>")
        for _ in range(3):
            assert world.deliver("refs/heads/main", commit, delivery="7f3c").status == 202
        world.wait_for_page("once")
        wait_until(lambda: world.chain.events("service.deployed"), 10, "the deployment to be told")
        assert len(world.chain.events("build.queued")) == 1
        assert len(world.chain.events("artifact.published")) == 1
        assert len(world.chain.events("service.deployed")) == 1
    in_a_world(test)


def an_image_pushed_by_hand_is_deployed():
    def test(world):
        first = world.commit("<h1>first</h1>")
        assert world.deliver("refs/heads/main", first).status == 202
        world.wait_for_page("first")
        second = world.commit("<h1>second</h1>")
        assert world.deliver("refs/heads/main", second).status == 202
        world.wait_for_page("second")
        upgraded = wait_until(lambda: world.chain.events("service.upgraded"), 10, "the upgrade to be told")[0]
        assert first[:7] in upgraded["data"]["customData"]["previousArtifactId"]
        # A person gives the first image a new tag: the registry tells `webhook`, and a hand's word counts.
        subprocess.run([*SKOPEO, "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false",
                        f"docker://{world.registry}/acme/site:main-{first[:7]}", f"docker://{world.registry}/acme/site:main-0000000"],
                       check=True, capture_output=True)
        world.wait_for_page("first")
        told = [event for event in world.chain.events("artifact.published")
                if event["data"]["customData"].get("tags") == ["main-0000000"]]
        assert told and told[0]["data"]["customData"]["origin"] == "registry-notification", told
    in_a_world(test, notified=True)


def an_image_that_does_not_come_up_leaves_the_old_one():
    def test(world):
        good = world.commit("<h1>good</h1>")
        assert world.deliver("refs/heads/main", good).status == 202
        world.wait_for_page("good")
        dockerfile = world.work / "Dockerfile"
        dockerfile.write_text(dockerfile.read_text() + 'CMD ["/bin/sh", "-c", "echo out of order; exit 3"]\n')
        bad = world.commit("<h1>bad</h1>")
        assert world.deliver("refs/heads/main", bad).status == 202
        incident = wait_until(lambda: world.chain.events("incident.detected"), 30, "the incident to be told")[0]
        assert "out of order" in incident["data"]["subject"]["content"]["description"], incident
        rolled = wait_until(lambda: world.chain.events("service.rolledback"), 10, "what stays to be told")[0]
        assert good[:7] in rolled["data"]["subject"]["content"]["artifactId"], rolled
        assert "good" in http("GET", world.page).text
    in_a_world(test)


run_tests([a_signed_push_becomes_a_page_and_an_image_that_others_read, the_same_delivery_twice_is_built_and_deployed_once,
           an_image_pushed_by_hand_is_deployed, an_image_that_does_not_come_up_leaves_the_old_one])
