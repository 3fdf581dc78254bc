#!/usr/bin/env python3
"""A build begins with what a base's name stood for the last time, while the registry is asked. None of it may be seen in the result, nor by others."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from build_test import d, f, http_call, world, write_layout  # noqa: E402
from pushwright import SKOPEO, registry, run_tests, temporary_directory  # noqa: E402
from run_test import image  # noqa: E402


def put(w, name, files, host=None, **config):
    """Another image behind the name; returns how FROM names it."""
    layout, host = w.directory / f"layout-{name}", host or w.host
    write_layout(layout, "x", [[d("etc"), *(f(path, text) for path, text in files.items())]],
                 {"architecture": "amd64", "os": "linux", "config": config, "history": [{}]})
    subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:x", f"docker://{host}/fx/{name}:1"], check=True, capture_output=True)
    return f"{host}/fx/{name}:1"


def digest_of(w, repository, tag="1"):
    answer = http_call("HEAD", f"http://{w.host}/v2/{repository}/manifests/{tag}", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    return answer.headers.get("Docker-Content-Digest")


def commit_of(w, dockerfile, text):
    commit = w.repository("web", {"Dockerfile": dockerfile, "index.html": text})
    w.rule("web")
    return commit


def what_is_built_stands_on_what_the_base_is_now():
    with world() as w:
        base = put(w, "moving", {"etc/version": "one"}, Env=["V=one"])
        dockerfile = f"FROM {base}\nCOPY index.html /$V/\n"
        _, config, tree, _ = w.built("web", commit_of(w, dockerfile, "a"))
        assert tree["etc/version"][4] == "one" and "one/index.html" in tree and config["config"]["Env"][0] == "V=one", (tree, config)
        put(w, "moving", {"etc/version": "two"}, Env=["V=two"], OnBuild=["LABEL told=1"])
        commit = commit_of(w, dockerfile, "b")
        _, config, tree, layers = w.built("web", commit)
        assert tree["etc/version"][4] == "two" and "two/index.html" in tree and "one" not in tree and len(layers) == 2, tree
        assert config["config"]["Env"][0] == "V=two" and config["config"]["Labels"]["told"] == "1", config
        pushed = http_call("GET", f"http://{w.host}/v2/acme/web/manifests/main-{commit[:7]}", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
        assert json.loads(pushed.body)["annotations"]["org.opencontainers.image.base.digest"] == digest_of(w, "fx/moving"), pushed.body


def a_failure_counts_only_on_what_the_base_is_now():
    with world() as w:
        base = put(w, "moving", {"etc/a": "a"})
        w.built("web", commit_of(w, f"FROM scratch\nCOPY --from={base} /etc/a /\n", "a"))
        put(w, "moving", {"etc/b": "b"})
        _, _, tree, _ = w.built("web", commit_of(w, f"FROM scratch\nCOPY --from={base} /etc/b /\n", "b"))
        assert list(tree) == ["b"], tree
        put(w, "moving", {"etc/c": "c"}, OnBuild=["NONSENSE"])
        wrong = commit_of(w, f"FROM {base}\nCOPY index.html /\n", "c")
        _, events, log = w.build("web", wrong)
        assert events["build.finished"]["customData"]["outcome"] == "failure" and "'NONSENSE': unknown instruction" in log, log
        put(w, "moving", {"etc/c": "c"})
        w.rule("web")
        assert "etc/c" in w.built("web", commit_of(w, f"FROM {base}\nCOPY index.html /\n", "d"))[2]


def no_command_runs_on_what_the_base_was():
    with world() as w:
        base = image(w, "base", [f("etc/version", "one ")])
        dockerfile = f"FROM {base}\nCOPY index.html /\nRUN --mount=type=cache,target=/c cat /etc/version >> /c/log && cp /c/log /log\n"
        assert w.built("web", commit_of(w, dockerfile, "a"))[2]["log"][4] == "one "
        image(w, "base", [f("etc/version", "two ")])
        assert w.built("web", commit_of(w, dockerfile, "b"))[2]["log"][4] == "one two "


def a_base_that_cannot_be_asked_for_is_told_and_nothing_is_pushed():
    with world() as w, temporary_directory() as elsewhere:
        with registry(elsewhere / "registry") as host:
            base = put(w, "moving", {"etc/a": "a"}, host)
            dockerfile = f"FROM {base}\nCOPY index.html /\n"
            w.built("web", commit_of(w, dockerfile, "a"))
        commit = commit_of(w, dockerfile, "b")
        code, _, log = w.build("web", commit)
        assert code != 0 and f"line 1: FROM: image '{base}'" in log, (code, log)
        assert digest_of(w, "acme/web", f"main-{commit[:7]}") is None


def a_memory_that_is_broken_is_none():
    with world() as w:
        base = put(w, "moving", {"etc/a": "a"})
        dockerfile = f"FROM {base}\nCOPY index.html /\n"
        w.built("web", commit_of(w, dockerfile, "0"))
        remembered, = (w.directory / "cache/names").iterdir()
        whole = remembered.read_bytes()
        for at, broken in enumerate((b"", whole[:40], whole[:-1], whole.replace(b"sha256:", b"sha256/"), whole + b"x", b"\0" * 300)):
            remembered.write_bytes(broken)
            tree = w.built("web", commit_of(w, dockerfile, f"{at}"))[2]
            assert tree["etc/a"][4] == "a" and tree["index.html"][4] == f"{at}", tree
            assert remembered.read_bytes() == whole, "it is made again"


if __name__ == "__main__":
    run_tests([what_is_built_stands_on_what_the_base_is_now, a_failure_counts_only_on_what_the_base_is_now, no_command_runs_on_what_the_base_was,
               a_base_that_cannot_be_asked_for_is_told_and_nothing_is_pushed, a_memory_that_is_broken_is_none])
