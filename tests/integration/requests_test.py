#!/usr/bin/env python3
"""What a build asks of a registry: as few requests as there can be, and nothing sent twice."""
import contextlib
import http.server
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from build_test import world  # noqa: E402
import loopback  # noqa: E402
from pushwright import SKOPEO, registry, run_tests, temporary_directory, wait_until  # noqa: E402

# Of what is tested: other clients have habits of their own.
REQUEST = re.compile(r'"(GET|HEAD|POST|PUT|PATCH|DELETE) (/v2/[^ ?"]*)([^ "]*) HTTP/1.1" (\d+) \d+ "[^"]*" "pushwright"')


class Requests:
    """Those that the registry saw since the last look."""

    def __init__(self, w):
        self.log = w.directory / "registry.log"
        self.at = 0
        self.take("PUT /v2/fx/base/manifests/1")

    def take(self, last):
        """All up to one that `last` names, and how many came to it."""
        wait_until(lambda: re.search(last, self.log.read_text()[self.at:]), 5, f"a request for {last}")
        text = self.log.read_text()[self.at:]
        self.at += len(text)
        return [f"{method} {path.removeprefix('/v2/').split('/sha256:')[0]} {status}"
                for method, path, _, status in REQUEST.findall(text)]


def prepared(w, name, files=None, **members):
    commit = w.repository(name, files or {"Dockerfile": f"FROM {w.base}\nADD ./ /usr/share/nginx/html\n", "index.html": "hi"})
    w.rule(name, **{"reconcile": False, **members})
    return commit


def hello_takes_seven_requests_and_two_a_base_layer_or_six_and_one():
    with world() as w:
        requests = Requests(w)
        commit = prepared(w, "first")
        w.build("first", commit)
        cold = requests.take(rf"PUT /v2/acme/first/manifests/main-{commit[:7]}")
        # The base's manifest, its configuration, which is kept from now on, and two layers, each read for its headers and mounted; two uploads
        # of two requests; the tag.
        assert len(cold) == 7 + 2 * 2, cold
        commit = prepared(w, "again", also=["latest"])
        w.build("again", commit)
        warm = requests.take("PUT /v2/acme/again/manifests/latest")
        also = 1
        assert [r.split()[0] for r in warm].count("POST") == 4 and len(warm) == 6 + 2 + also, warm
        assert "GET fx/base/manifests/1 200" in warm and not [r for r in warm if r.startswith("HEAD")], warm


def an_unchanged_image_pushes_nothing_but_its_tag():
    with world() as w:
        requests = Requests(w)
        commit = prepared(w, "same")
        w.build("same", commit)
        requests.take(rf"PUT /v2/acme/same/manifests/main-{commit[:7]}")
        w.rule("same", tag="other-{sha:7}", reconcile=False)
        w.build("same", commit)
        seen = requests.take("PUT /v2/acme/same/manifests/other-")
        assert [r.split()[0] for r in seen] == ["GET", "HEAD", "HEAD", "PUT"], seen
        w.build("same", commit)
        seen = requests.take(r"HEAD /v2/acme/same/manifests/other-")
        assert [r.split()[0] for r in seen] == ["GET", "HEAD", "HEAD"], seen


def an_unchanged_layer_of_another_commit_is_not_sent_again():
    with world() as w:
        requests = Requests(w)
        files = {"Dockerfile": f"FROM {w.base}\nCOPY index.html /\n", "index.html": "hi"}
        commit = prepared(w, "tree", files)
        w.build("tree", commit)
        requests.take(rf"PUT /v2/acme/tree/manifests/main-{commit[:7]}")
        commit = prepared(w, "tree", {**files, "README": "not in the image"})
        w.build("tree", commit)
        seen = requests.take(rf"PUT /v2/acme/tree/manifests/main-{commit[:7]}")
        assert not [r for r in seen if r.startswith("PUT acme/tree/blobs")], seen


@contextlib.contextmanager
def answering(status, before=lambda: None):
    """The URL of a file of four bytes, or of none, on a server that does something before it answers."""
    class Files(loopback.Handler):
        def do_GET(self):
            before()
            self.send_response(status)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"data")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    loopback.start(server)
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/file"
    finally:
        server.shutdown()


def a_layer_is_sent_while_the_next_is_made():
    with world() as w:
        log = w.directory / "registry.log"

        def wait_for_layer():
            wait_until(lambda: re.search(r'"PUT /v2/acme/early/blobs/[^"]*" 201', log.read_text()), 20, "the first layer at the registry")
        with answering(200, wait_for_layer) as url:
            commit = prepared(w, "early", {"Dockerfile": f"FROM {w.base}\nCOPY a /\nADD {url} /b\n", "a": "first"})
            code, events, said = w.build("early", commit, environment={"PUSHWRIGHT_ADD_PRIVATE": "1"})
        assert code == 0 and "artifact.published" in events, said


def what_a_failed_build_began_at_the_registry_is_taken_back():
    with world() as w, answering(404) as url:
        commit = prepared(w, "begun", {"Dockerfile": f"FROM {w.base}\nCOPY a /\nADD {url} /b\n", "a": "first"})
        code, events, log = w.build("begun", commit, environment={"PUSHWRIGHT_ADD_PRIVATE": "1"})
        assert code == 0 and "404" in events["build.finished"]["customData"]["errors"], log
        asked = [(method, status) for method, path, _, status in REQUEST.findall((w.directory / "registry.log").read_text()) if "acme/begun/" in path]
        begun, ended = asked.count(("POST", "202")), asked.count(("PUT", "201"))
        assert begun > 1 and asked.count(("DELETE", "204")) == begun - ended, asked


def what_is_remembered_of_a_build_takes_three_requests():
    with world() as w:
        requests = Requests(w)
        for text in ("once for the refs of the beginning", "from now on"):
            commit = prepared(w, "known", {"Dockerfile": "FROM scratch\nCOPY a /\n", "a": text}, reconcile=True)
            w.build("known", commit)
            seen = requests.take(rf"PUT /v2/acme/known/manifests/main-{commit[:7]}(?s:.*)PUT /v2/acme/known/manifests/pushwright-ref-")
        assert [r.split()[0] for r in seen if "pushwright-ref" in r] == ["GET", "PUT", "PUT"], seen


def what_is_said_about_an_image_is_sent_once_and_listed_at_once():
    with world() as w:
        requests = Requests(w)
        key = w.directory / "key.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key], check=True, capture_output=True)
        everything = {"provenance": True, "sbom": True, "sign": {"key": {"file": str(key)}}}
        commit = prepared(w, "said", {"Dockerfile": "FROM scratch\nCOPY a /\n", "a": "hi"}, **everything)
        w.build("said", commit)
        seen = requests.take(rf"PUT /v2/acme/said/manifests/main-{commit[:7]}")
        image = 2 * 2 + 1
        # Provenance, packages, their bundles and the signature's: five blobs and the empty one of two requests, five manifests, one list, which is
        # read, written and read again.
        referrers = 6 * 2 + 5 + 3
        # Behind cosign's tags: two statements and one signature, a configuration for each tag, which is read, written and read again.
        tagged = 3 * 2 + 2 * 2 + 2 * 3
        assert len(seen) == image + referrers + tagged, (len(seen), seen)


def layers_in_zstd_are_read_by_others():
    with world() as w:
        large = random.Random(1).randbytes(6_000_000)  # more than one frame
        commit = prepared(w, "zstd", {"Dockerfile": "FROM scratch\nCOPY large /\n", "large": large}, compression="zstd:3")
        code, events, log = w.build("zstd", commit)
        assert code == 0 and "artifact.published" in events, log
        source = f"docker://{w.host}/acme/zstd:main-{commit[:7]}"
        manifest = json.loads(subprocess.run([*SKOPEO, "inspect", "--raw", "--tls-verify=false", source], check=True,
                                             capture_output=True).stdout)
        assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar+zstd"], manifest
        # It inflates the layer and holds it against the diff id.
        subprocess.run([*SKOPEO, "copy", "-q", "--src-tls-verify=false", "--dest-decompress", source, f"dir:{w.directory}/plain"],
                       check=True, capture_output=True)
        packed = max((w.directory / "plain").iterdir(), key=lambda path: path.stat().st_size)
        with tarfile.open(packed) as tar:
            assert tar.extractfile("large").read() == large


def bases_come_from_a_mirror_and_nothing_else_does():
    with world() as w, temporary_directory() as directory, registry(directory) as mirror:
        requests = Requests(w)
        subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{w.directory}/base:base",
                        f"docker://{mirror}/hub/fx/base:1"], check=True, capture_output=True)
        w.registries = [{"host": w.host, "plainHttp": True, "mirrors": [f"{mirror}/hub"]}]
        commit = prepared(w, "mirrored", reconcile=True)
        w.build("mirrored", commit)
        seen = requests.take(rf"PUT /v2/acme/mirrored/manifests/main-{commit[:7]}(?s:.*)PUT /v2/acme/mirrored/manifests/pushwright-ref-")
        assert not [r for r in seen if "fx/base" in r], seen
        asked = [(method, path) for method, path, _, _ in REQUEST.findall((directory / "registry.log").read_text())]
        assert ("GET", "/v2/hub/fx/base/manifests/1") in asked and not [path for _, path in asked if "acme" in path], asked


if __name__ == "__main__":
    run_tests([hello_takes_seven_requests_and_two_a_base_layer_or_six_and_one, a_layer_is_sent_while_the_next_is_made,
               what_a_failed_build_began_at_the_registry_is_taken_back, an_unchanged_image_pushes_nothing_but_its_tag,
               an_unchanged_layer_of_another_commit_is_not_sent_again, what_is_remembered_of_a_build_takes_three_requests,
               what_is_said_about_an_image_is_sent_once_and_listed_at_once,
               layers_in_zstd_are_read_by_others, bases_come_from_a_mirror_and_nothing_else_does])
