#!/usr/bin/env python3
"""What a build asks of a registry: as few requests as there can be, and nothing sent twice."""
import contextlib
import gzip
import hashlib
import http.server
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from build_test import BASE, d, f, make_layer, world, write_layout  # noqa: E402
from run_test import image  # noqa: E402
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


def base_of(w, count, name):
    """A base of so many layers; how FROM names it."""
    layers = [[d(f"of-{name}-{number}"), f(f"of-{name}-{number}/file", "text")] for number in range(count)]
    write_layout(w.directory / name, "x", layers, {"architecture": "amd64", "os": "linux", "config": {}, "history": [{}] * count})
    subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{w.directory / name}:x", f"docker://{w.host}/fx/{name}:1"], check=True,
                   capture_output=True)
    return f"{w.host}/fx/{name}:1"


def forget(w):
    shutil.rmtree(w.directory / "cache", ignore_errors=True)


def seen_of(w, requests, name, files):
    """What a build asks the registry for; its own image is pushed whole."""
    commit = prepared(w, name, files)
    code, events, log = w.build(name, commit)
    assert code == 0 and "artifact.published" in events, log
    return requests.take(rf"PUT /v2/acme/{name}/manifests/main-{commit[:7]}")


def count(seen, *of):
    return sum(request in of for request in seen)


def hello_takes_seven_requests_and_one_a_base_layer():
    """The base's manifest, its configuration, which is kept from now on, two uploads of two requests, the tag; and each layer of the base."""
    with world() as w:
        requests = Requests(w)
        for layers in (1, 3, 5):
            name = f"hello-{layers}"
            files = {"Dockerfile": f"FROM {base_of(w, layers, name + '-base')}\nADD ./ /usr/share/nginx/html\n", "index.html": "new"}
            requests.take(f"PUT /v2/fx/{name}-base/manifests/1")
            read_there, read_of_base, mounted = f"GET acme/{name}/blobs 200", f"GET fx/{name}-base/blobs 200", f"POST acme/{name}/blobs/uploads/ 201"
            # A new repository says that it has none of them: each is read at the base's and mounted.
            seen = seen_of(w, requests, name, files)
            assert len(seen) == 7 + 2 * layers + 1 and count(seen, f"GET acme/{name}/blobs 404") == 1, seen
            assert count(seen, read_of_base) == layers + 1 and count(seen, mounted) == layers, seen
            # Nothing known, but the repository has them: that is where they are read, and nothing is mounted.
            forget(w)
            seen = seen_of(w, requests, name, {**files, "index.html": "another"})
            assert len(seen) == 7 + layers <= 8 + layers and count(seen, read_there) == layers, seen
            assert count(seen, read_of_base) == 1 and count(seen, mounted) == 0, seen
            # Their indexes are kept: they are mounted at once, in case somebody has cleaned up there.
            seen = seen_of(w, requests, name, {**files, "index.html": "a third"})
            assert len(seen) == 6 + layers and count(seen, mounted) == layers and count(seen, read_there, read_of_base) == 0, seen


def an_index_that_lies_in_the_registry_takes_two_requests_or_three():
    """The list, by the registry's own or else by its tag, and what is in it; the layer is mounted."""
    with world() as w:
        requests, name, environment = Requests(w), "indexed", {"PUSHWRIGHT_CHAIN_KEY": "k" * 32, "PUSHWRIGHT_REGISTRY_INDEX": "1"}
        files = {"Dockerfile": f"FROM {base_of(w, 1, 'indexed-base')}\nADD ./ /usr/share/nginx/html\n", "index.html": "new"}
        requests.take("PUT /v2/fx/indexed-base/manifests/1")
        for text in ("first", "second"):
            forget(w)
            commit = prepared(w, name, {**files, "index.html": text})
            code, events, log = w.build(name, commit, environment=environment)
            assert code == 0 and "artifact.published" in events, log
            seen = requests.take(rf"PUT /v2/acme/{name}/manifests/main-{commit[:7]}")
        listed = 2  # this registry answers that it keeps no such lists
        assert len(seen) == 7 + 1 + listed + 1, seen
        assert count(seen, f"GET acme/{name}/blobs 200") == 1 == count(seen, "GET fx/indexed-base/blobs 200"), seen


def more_tags_take_a_request_each():
    with world() as w:
        requests = Requests(w)
        commit = prepared(w, "first")
        w.build("first", commit)
        requests.take(rf"PUT /v2/acme/first/manifests/main-{commit[:7]}")
        commit = prepared(w, "again", also=["latest"])
        w.build("again", commit)
        warm = requests.take("PUT /v2/acme/again/manifests/latest")
        also = 1
        assert [r.split()[0] for r in warm].count("POST") == 4 and len(warm) == 6 + 2 + also, warm
        # What the base's name stands for is only compared: registries that count how often an image is pulled do not count that.
        assert [r for r in warm if r.split()[0] in ("GET", "HEAD")] == ["HEAD fx/base/manifests/1 200"], warm


def with_run_no_layer_is_mounted_that_was_unpacked_from_where_it_goes():
    with world() as w:
        requests, name = Requests(w), "ran"
        files = {"Dockerfile": f"FROM {image(w, name)}\nCOPY a /\nRUN cp /a /b\n", "a": "first"}
        requests.take(f"PUT /v2/fx/{name}/manifests/1")
        seen = seen_of(w, requests, name, files)
        assert count(seen, f"GET acme/{name}/blobs 404") == 1 == count(seen, f"POST acme/{name}/blobs/uploads/ 201"), seen
        forget(w)
        seen = seen_of(w, requests, name, {**files, "a": "second"})
        assert count(seen, f"GET acme/{name}/blobs 200") == 1 == count(seen, f"GET fx/{name}/blobs 200"), seen
        assert count(seen, f"POST acme/{name}/blobs/uploads/ 201") == 0, seen


def a_base_of_another_registry_is_read_where_it_was_sent_to():
    with world() as w, temporary_directory() as directory, registry(directory) as other:
        requests = Requests(w)
        files = {"Dockerfile": f"FROM {w.base}\nCOPY a /\n", "a": "first"}
        for text in ("first", "second"):
            commit = prepared(w, "far", {**files, "a": text}, image=f"{other}/acme/far")
            code, events, log = w.build("far", commit)
            assert code == 0 and "artifact.published" in events, log
            forget(w)
        asked = requests.take("GET /v2/fx/base/manifests/1(?s:.*)GET /v2/fx/base/manifests/1")
        # The manifest and the configuration twice, the layers once, and once more to be copied.
        assert count(asked, "GET fx/base/blobs 200") == 2 + 2 + 2, asked
        there = [(method, status) for method, path, _, status in REQUEST.findall((directory / "registry.log").read_text())
                 if re.fullmatch("/v2/acme/far/blobs/sha256:[0-9a-f]*", path)]
        # One in vain; two questions before the copies; then the layers.
        assert there.count(("GET", "404")) == 1 and there.count(("GET", "200")) == 2 and ("HEAD", "200") not in there, there


def a_layer_that_is_damaged_where_it_goes_is_not_published():
    with world() as w, temporary_directory() as directory, registry(directory) as other:
        files = {"Dockerfile": f"FROM {w.base}\nCOPY a /\n", "a": "first"}
        code, events, log = w.build("damaged", prepared(w, "damaged", files, image=f"{other}/acme/damaged"))
        assert code == 0 and "artifact.published" in events, log
        layer = gzip.compress(make_layer(BASE[0]), mtime=0)
        name = hashlib.sha256(layer).hexdigest()
        (directory / f"data/docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data").write_bytes(layer[::-1])
        forget(w)
        code, events, log = w.build("damaged", prepared(w, "damaged", {**files, "a": "second"}, image=f"{other}/acme/damaged"))
        assert "artifact.published" not in events and f"'{other}'" in log and name in log, (code, events, log)


def an_unchanged_image_pushes_nothing_but_its_tag():
    with world() as w:
        requests = Requests(w)
        commit = prepared(w, "same")
        w.build("same", commit)
        requests.take(rf"PUT /v2/acme/same/manifests/main-{commit[:7]}")
        w.rule("same", tag="other-{sha:7}", reconcile=False)
        w.build("same", commit)
        seen = requests.take("PUT /v2/acme/same/manifests/other-")
        assert [r.split()[0] for r in seen] == ["HEAD", "HEAD", "HEAD", "PUT"], seen
        w.build("same", commit)
        seen = requests.take(r"HEAD /v2/acme/same/manifests/other-")
        assert [r.split()[0] for r in seen] == ["HEAD", "HEAD", "HEAD"], seen


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


def what_is_remembered_of_a_build_takes_two_requests_and_of_a_long_one_four():
    with world() as w:
        requests = Requests(w)
        done = r"PUT /v2/acme/known/manifests/main-{0}(?s:.*)PUT /v2/acme/known/manifests/pushwright-ref-"
        for text in ("once for the refs of the beginning", "from now on"):
            commit = prepared(w, "known", {"Dockerfile": "FROM scratch\nCOPY a /\n", "a": text}, reconcile=True)
            w.build("known", commit)
            seen = requests.take(done.format(commit[:7]))
        assert [r.split()[0] for r in seen if "pushwright-ref" in r] == ["GET", "PUT"], seen
        began = len(requests.log.read_text())

        def wait_until_noted():
            wait_until(lambda: "PUT /v2/acme/known/manifests/pushwright-ref-" in requests.log.read_text()[began:], 20, "a note that it runs")
        with answering(200, wait_until_noted) as url:
            commit = prepared(w, "known", {"Dockerfile": f"FROM scratch\nADD {url} /b\n"}, reconcile=True)
            w.build("known", commit, environment={"PUSHWRIGHT_ADD_PRIVATE": "1"})
        seen = requests.take(done.format(commit[:7]))
        assert [r.split()[0] for r in seen if "pushwright-ref" in r] == ["GET", "GET", "PUT", "PUT"], seen


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
    run_tests([hello_takes_seven_requests_and_one_a_base_layer, an_index_that_lies_in_the_registry_takes_two_requests_or_three,
               more_tags_take_a_request_each,
               with_run_no_layer_is_mounted_that_was_unpacked_from_where_it_goes, a_base_of_another_registry_is_read_where_it_was_sent_to,
               a_layer_that_is_damaged_where_it_goes_is_not_published, a_layer_is_sent_while_the_next_is_made,
               what_a_failed_build_began_at_the_registry_is_taken_back, an_unchanged_image_pushes_nothing_but_its_tag,
               an_unchanged_layer_of_another_commit_is_not_sent_again, what_is_remembered_of_a_build_takes_two_requests_and_of_a_long_one_four,
               what_is_said_about_an_image_is_sent_once_and_listed_at_once,
               layers_in_zstd_are_read_by_others, bases_come_from_a_mirror_and_nothing_else_does])
