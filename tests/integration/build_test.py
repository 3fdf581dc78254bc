#!/usr/bin/env python3
"""The shipped build function against real git over smart HTTP and a real registry; images judged by skopeo and umoci."""
import contextlib
import copy
import gzip
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import git_http
import loopback
from pushwright import BIN, SKOPEO, free_port, git, http as http_call, need, port_open, process, registry, run_tests, temporary_directory

TIME = 1700000000  # of commits
MANIFESTS = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
             "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"]


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_layer(entries):
    """A plain tar of (name, type, mode, uid, gid, content or link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, mode, uid, gid, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, uid, gid, 1500000000
            data = b""
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content
            elif kind == tarfile.REGTYPE:
                data = content.encode() if isinstance(content, str) else content
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def d(name, mode=0o755, uid=0, gid=0):
    return (name, tarfile.DIRTYPE, mode, uid, gid, None)


def f(name, content="", mode=0o644, uid=0, gid=0):
    return (name, tarfile.REGTYPE, mode, uid, gid, content)


def s(name, target):
    return (name, tarfile.SYMTYPE, 0o777, 0, 0, target)


BASE = [
    [d("bin"), f("bin/busybox", "old busybox", 0o755), ("bin/sh", tarfile.LNKTYPE, 0o755, 0, 0, "bin/busybox"),
     d("etc"), f("etc/passwd", "root:x:0:0::/:/bin/sh\nwww:x:33:34::/:/bin/sh\n"), f("etc/group", "root:x:0:\nstaff:x:50:\n"),
     d("usr"), d("usr/lib"), f("usr/lib/a.so", "a"), s("lib", "usr/lib"), d("var"), s("var/run", "/run"), d("run"),
     d("srv", 0o750, 33, 34), d("old"), f("old/gone", "x"), d("opaque"), f("opaque/hidden", "x")],
    [f("old/.wh.gone"), f("opaque/.wh..wh..opq"), f("opaque/new", "n"), d("srv/www", 0o2775, 33, 50)],
]
CONFIG = {"architecture": "amd64", "os": "linux", "created": "2017-07-14T02:40:00Z", "x-kept": {"a": 1},
          "config": {"Env": ["PATH=/bin", "BASE=1"], "Cmd": ["/bin/sh"], "Labels": {"from": "base"},
                     "ExposedPorts": {"80/tcp": {}}, "X-Unknown": "kept"},
          "history": [{"created": "2017-07-14T02:40:00Z", "created_by": "layer 0"},
                      {"created": "2017-07-14T02:40:00Z", "created_by": "layer 1"}]}


def write_layout(directory, tag="base", layers=None, config=CONFIG):
    """An OCI layout of an image; its base is the one that the expectations of this file are about."""
    layers = [make_layer(entries) for entries in (layers or BASE)]
    blobs = pathlib.Path(directory) / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data, media_type):
        (blobs / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    config = dict(config, rootfs={"type": "layers", "diff_ids": [digest(layer) for layer in layers]})
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                "layers": [put(gzip.compress(layer, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")
                           for layer in layers]}
    entry = put(json.dumps(manifest).encode(), manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (pathlib.Path(directory) / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (pathlib.Path(directory) / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


class World:
    """A git server, a registry with the base, and the function in one-shot mode."""
    patience = 120  # seconds for a build

    def __init__(self, directory, host):
        self.directory, self.host = directory, host
        self.server = git_http.start(directory)
        self.sequence = 1700000000000
        write_layout(directory / "base")
        if host:
            subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{directory}/base:base",
                            f"docker://{host}/fx/base:1"], check=True, capture_output=True)
        self.base = f"{host}/fx/base:1" if host else f"oci:{directory}/base:base"
        self.rules, self.token, self.registries = {}, {}, []
        self.pulled = {}  # what built() has seen of an image, by its repository and digest
        self.wrap = []  # what the function is run by

    def url(self, name, prefix=""):
        return f"http://127.0.0.1:{self.server.server_address[1]}/{prefix}{name}.git"

    def repository(self, name, files, branch="main", time=TIME):
        """Commits {path: text, bytes, or ("link", target), ("exec", text)}; returns the commit."""
        work, bare = self.directory / f"work-{name}", self.directory / f"{name}.git"
        if not work.exists():
            git("init", "-q", "-b", branch, work)
            git("init", "-q", "--bare", "-b", branch, bare)
        for path, content in files.items():
            file = work / path
            file.parent.mkdir(parents=True, exist_ok=True)
            kind = ""
            if isinstance(content, tuple):
                kind, content = content
            if kind == "link":
                file.symlink_to(content)
                continue
            file.write_bytes(content.encode() if isinstance(content, str) else content)
            file.chmod(0o755 if kind == "exec" else 0o644)
        git("-C", work, "add", "-A")
        subprocess.run(["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty",
                        "-m", "change"], check=True, env={**os.environ, "GIT_AUTHOR_DATE": f"{time} +0000", "GIT_COMMITTER_DATE": f"{time} +0000"})
        git("-C", work, "push", "-q", bare, f"HEAD:refs/heads/{branch}")
        return git("-C", work, "rev-parse", "HEAD")

    def rule(self, name, **members):
        """A rule for the repository of that name."""
        self.rules[name] = {"name": name, "source": "git", "repository": f"acme/{name}", "clone": self.url(name),
                            "image": f"{self.host}/acme/{name}" if self.host else f"oci:{self.directory}/out-{name}",
                            "tag": "{ref}-{sha:7}", "platforms": ["linux/amd64"], **members}

    def event(self, name, commit=None, ref="refs/heads/main", /, **custom):
        """What webhook would queue; the configuration is written beside it."""
        self.sequence += 1
        (self.directory / "config.json").write_text(json.dumps(
            {"sources": [{"name": "git", "kind": "gitea", "secret": {"env": "NO_SUCH"}, **self.token}],
             "builds": list(self.rules.values()), "triggers": [], "registries": self.registries}))
        subject, kind = f"{name}/{(commit or 'tip')[:7]}-{self.sequence}", "dev.cdevents.build.queued.0.3.0"
        return {"specversion": "1.0", "id": f"queued-{self.sequence}", "source": "/test", "datacontenttype": "application/json",
                "type": kind, "subject": subject,
                "data": {"context": {"specversion": "0.5.1", "id": f"queued-{self.sequence}", "source": "/test", "type": kind,
                                     "timestamp": "2023-11-14T22:13:20Z"},
                         "subject": {"id": subject, "content": {}},
                         "customData": {"build": name, "ref": ref, "sequence": str(self.sequence), "asked": "push",
                                        "repository": {"id": f"acme/{name}", "source": self.url(name)},
                                        "time": "2023-11-14T22:13:20Z", **({"commit": commit} if commit else {}), **custom}}}

    def environment(self):
        (self.directory / "tmp").mkdir(exist_ok=True)
        return {"PATH": os.environ["PATH"], "PUSHWRIGHT_TRUST_PLATFORM": "1", "PUSHWRIGHT_CONFIG": str(self.directory / "config.json"),
                "PUSHWRIGHT_CACHE_DIR": str(self.directory / "cache"), "TMPDIR": str(self.directory / "tmp")}

    def build(self, name, commit=None, /, ref="refs/heads/main", environment=None, token=None, **custom):
        """Returns (exit code, events by type, log)."""
        self.token = {"token": {"env": "GIT_TOKEN"}} if token else {}
        (self.directory / "event.json").write_text(json.dumps(self.event(name, commit, ref, **custom)))
        result = subprocess.run([*self.wrap, str(BIN / "build"), "--event", str(self.directory / "event.json")], capture_output=True, text=True,
                                timeout=self.patience, env={**self.environment(), "GIT_TOKEN": token or "", **(environment or {})})
        events = {}
        for line in result.stdout.splitlines():
            told = json.loads(line)
            events[told["type"].split(".", 2)[2].rsplit(".", 3)[0]] = told["data"]
        assert not list((self.directory / "tmp").iterdir()), "temporary files are left behind"
        return result.returncode, events, result.stderr

    def built(self, name, commit=None, **options):
        """The build must succeed; returns (digest, config, tree as umoci unpacks it, layers' entries)."""
        code, events, log = self.build(name, commit, **options)
        assert code == 0 and "artifact.published" in events, (code, events, log)
        purl = events["artifact.published"]["subject"]["id"]
        tag = events["artifact.published"]["customData"]["tag"]
        told = purl.split("@")[1].split("?")[0].replace("%3A", ":")
        if self.host and (name, told) in self.pulled and self.digest_at(name, tag) == told:
            config, tree, layers = self.pulled[name, told]
            return told, copy.deepcopy(config), dict(tree), list(layers)
        layout = self.directory / f"pulled-{name}-{self.sequence}"
        source = f"docker://{self.host}/acme/{name}:{tag}" if self.host else f"oci:{self.directory}/out-{name}:{tag}"
        subprocess.run([*SKOPEO, "copy", "-q", "--src-tls-verify=false", source, f"oci:{layout}:x"], check=True, capture_output=True)
        index = json.loads((layout / "index.json").read_text())
        manifest = self.blob(layout, index["manifests"][0]["digest"])
        config = self.blob(layout, manifest["config"]["digest"])
        assert told == index["manifests"][0]["digest"], purl
        tree, layers = self.unpack(layout), [self.entries(layout, layer) for layer in manifest["layers"]]
        self.pulled[name, told] = copy.deepcopy(config), dict(tree), list(layers)
        return told, config, tree, layers

    def digest_at(self, name, tag):
        answer = http_call("HEAD", f"http://{self.host}/v2/acme/{name}/manifests/{tag}", headers={"Accept": ", ".join(MANIFESTS)})
        return answer.headers.get("Docker-Content-Digest")

    @staticmethod
    def blob(layout, name):
        return json.loads((layout / "blobs/sha256" / name.partition(":")[2]).read_text())

    @staticmethod
    def entries(layout, layer):
        with tarfile.open(layout / "blobs/sha256" / layer["digest"].partition(":")[2]) as tar:
            return {m.name + ("/" if m.isdir() else ""): m for m in tar}

    def unpack(self, layout):
        """{path: (kind, mode, uid, gid, text or target)}"""
        bundle = self.directory / f"bundle-{self.sequence}"
        rootless = [] if os.getuid() == 0 else ["--rootless"]
        subprocess.run(["umoci", "unpack", *rootless, "--image", f"{layout}:x", bundle], check=True, capture_output=True)
        tree = {}
        for path in sorted((bundle / "rootfs").rglob("*")):
            info = path.lstat()
            if stat.S_ISLNK(info.st_mode):
                kind, content = "link", os.readlink(path)
            elif stat.S_ISDIR(info.st_mode):
                kind, content = "directory", None
            else:
                kind, content = "file", path.read_bytes().decode("latin-1")
            tree[str(path.relative_to(bundle / "rootfs"))] = (kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, content)
        return tree

    def tree_of_base(self):
        if not hasattr(self, "_base_tree"):
            self._base_tree = self.unpack_base()
        return dict(self._base_tree)

    def unpack_base(self):
        self.sequence += 1
        write_layout(self.directory / "base-x", "x")
        return self.unpack(self.directory / "base-x")


@contextlib.contextmanager
def world(with_registry=True):
    for program in ("git", "skopeo", "umoci"):
        need(program)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        host = stack.enter_context(registry(directory)) if with_registry else None
        w = World(directory, host)
        stack.callback(w.server.shutdown)
        yield w


def owned(uid, gid):
    """What owner a file has after unpacking here."""
    return (uid, gid) if os.getuid() == 0 else (os.getuid(), os.getgid())


def added(tree, base):
    return {path: node for path, node in tree.items() if base.get(path) != node}


def hello_world_is_built_and_pushed():
    with world() as w:
        commit = w.repository("hello", {"Dockerfile": f"FROM {w.base}\nMAINTAINER Ann\nADD ./ /www\n", "index.html": "hello world\n",
                                        "run.sh": ("exec", "#!/bin/sh\n"), "link": ("link", "index.html")})
        w.rule("hello", also=["latest"])
        code, events, log = w.build("hello", commit)
        assert code == 0, log
        assert list(events) == ["build.started", "taskrun.started", "taskrun.finished", "artifact.packaged", "artifact.published",
                                "build.finished"], list(events)
        published = events["artifact.published"]
        assert published["customData"]["tags"] == [f"main-{commit[:7]}", "latest"], published
        assert published["customData"]["commit"] == commit and published["customData"]["ref"] == "refs/heads/main"
        assert events["build.finished"]["subject"]["content"]["artifactId"] == published["subject"]["id"]
        assert events["taskrun.finished"]["subject"]["content"]["outcome"] == "success"

        digest1, config, tree, layers = w.built("hello", commit, asked="person")
        root = owned(0, 0)
        assert added(tree, w.tree_of_base()) == {
            "www": ("directory", 0o755, *root, None), "www/Dockerfile": ("file", 0o644, *root, f"FROM {w.base}\nMAINTAINER Ann\nADD ./ /www\n"),
            "www/index.html": ("file", 0o644, *root, "hello world\n"), "www/run.sh": ("file", 0o755, *root, "#!/bin/sh\n"),
            "www/link": ("link", 0o777, *root, "index.html")}, added(tree, w.tree_of_base())
        assert list(layers[2]) == ["www/", "www/Dockerfile", "www/index.html", "www/link", "www/run.sh"], list(layers[2])
        assert config["author"] == "Ann" and config["created"] == "2023-11-14T22:13:20Z"
        assert config["config"]["Env"] == ["PATH=/bin", "BASE=1"] and config["config"]["X-Unknown"] == "kept"
        assert config["x-kept"] == {"a": 1}
        assert [h["created_by"] for h in config["history"]] == ["layer 0", "layer 1", "MAINTAINER Ann", "ADD ./ /www # buildkit"]
        assert [h.get("empty_layer", False) for h in config["history"]] == [False, False, True, False]
        inspect = json.loads(subprocess.run([*SKOPEO, "inspect", "--tls-verify=false", f"docker://{w.host}/acme/hello:latest"],
                                            check=True, capture_output=True).stdout)
        assert inspect["Digest"] == digest1 and inspect["Architecture"] == "amd64" and len(inspect["Layers"]) == 3


def what_a_person_asks_for_and_a_tag_tell_their_commit_too():
    with world() as w:
        commit = w.repository("told", {"Dockerfile": f"FROM {w.base}\n"})
        git("-C", w.directory / "told.git", "tag", "v1", commit)
        w.rule("told")
        for ref, asked in (("refs/tags/v1", "push"), ("refs/heads/main", "person")):
            code, events, log = w.build("told", commit, ref=ref, asked=asked)
            assert code == 0, log
            assert {kind: told["customData"].get("commit") for kind, told in events.items()} == dict.fromkeys(events, commit), events


def with_submodules(w, name, files, modules):
    """A commit with submodules: {path: (URL as .gitmodules says it, commit)}."""
    w.repository(name, {**files, ".gitmodules": "".join(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n' for path, (url, _) in modules.items())})
    work = w.directory / f"work-{name}"
    for path, (_, commit) in modules.items():
        git("-C", work, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    git("-C", work, "commit", "-q", "--amend", "--no-edit")
    git("-C", work, "push", "-qf", w.directory / f"{name}.git", "HEAD:refs/heads/main")
    return git("-C", work, "rev-parse", "HEAD")


def submodules_are_part_of_the_commit():
    with world() as w:
        deep = w.repository("deep", {"deepest": "3"})
        lib = with_submodules(w, "lib", {"f": "2"}, {"in/side": ("./../deep.git", deep)})
        w.repository("lib", {"f": "newer than what is asked for"})
        commit = with_submodules(w, "app", {"Dockerfile": f"FROM {w.base}\nCOPY vendor /v\n"}, {"vendor/lib": ("../lib.git", lib), "vendor/deep": (w.url("deep"), deep)})
        w.rule("app")
        tree = added(w.built("app", commit)[2], w.tree_of_base())
        assert {path: node[4] for path, node in tree.items() if node[0] == "file"} == {
            "v/lib/f": "2", "v/lib/.gitmodules": tree["v/lib/.gitmodules"][4], "v/lib/in/side/deepest": "3", "v/deep/deepest": "3"}, tree
        w.rule("app", submodules=False)
        tree = added(w.built("app", commit, asked="person")[2], w.tree_of_base())
        assert {path: node[0] for path, node in tree.items()} == dict.fromkeys(("v", "v/lib", "v/deep"), "directory"), tree
        w.rule("app", clone=w.url("app", "private/"))
        assert "artifact.published" in w.build("app", commit, token=git_http.TOKEN, asked="person", environment={"PUSHWRIGHT_ADD_PRIVATE": "1"})[1]
        seen = len(git_http.Handler.seen)
        elsewhere = w.url("lib", "private/").replace("127.0.0.1", "localhost")
        for url, why in ((elsewhere, "own network"), ("ssh://git@h/x.git", "https and http only"), ("git@h:x.git", "https and http only"),
                         (f"file://{w.directory}/lib.git", "https and http only"), ("-u./payload", "https and http only"), ("../../../../x", "above the host"),
                         ("https://user:secret@h/x", ""), ("http://127.0.0.1:1/x.git", "own network")):
            commit = with_submodules(w, "app", {"x": url}, {"vendor/lib": (url, lib)})
            code, events, log = w.build("app", commit, token=git_http.TOKEN)
            assert code == 0 and "artifact.published" not in events, (url, code, log)
            told = events["build.finished"]["customData"]["errors"]
            assert "submodule 'vendor/lib'" in told and why in told and git_http.TOKEN not in told + log, (url, told)
        commit = with_submodules(w, "app", {}, {"vendor/lib": (elsewhere, lib)})
        w.build("app", commit, token=git_http.TOKEN, environment={"PUSHWRIGHT_ADD_PRIVATE": "1"})
        assert [said for _, path, said in git_http.Handler.seen[seen:] if "/lib.git" in path and said] == [], "the token went to another host"
        loop = lib
        for i in range(7):
            loop = with_submodules(w, f"loop{i}", {}, {"next": (f"../loop{i - 1}.git" if i else "../lib.git", loop)})
        commit = with_submodules(w, "app", {}, {"vendor/lib": (w.url("loop6"), loop)})
        w.rule("app")
        assert "within each other" in w.build("app", commit)[1]["build.finished"]["customData"]["errors"]


def the_same_input_gives_the_same_digest():
    with world() as w:
        commit = w.repository("same", {"Dockerfile": f"FROM {w.base}\nARG V\nLABEL v=$V\nCOPY . /app/\n", "a": "1", "big": b"x" * 9_000_000})
        w.rule("same", args={"V": "{branch}"})
        first = w.built("same", commit)[0]
        w.rules["same"]["image"] = f"{w.host}/acme/other"
        code, events, log = w.build("same", commit, environment={"PUSHWRIGHT_CACHE_DIR": str(w.directory / "cold")})
        assert code == 0, log
        assert first.replace(":", "%3A") in events["artifact.published"]["subject"]["id"]


def destinations_follow_the_base_image():
    with world() as w:
        dockerfile = f"""FROM {w.base}
COPY a /lib/
COPY a /var/run/deep/er
COPY a /srv/www/
COPY a /bin/sh
COPY --chown=www:staff a /owned/x
COPY --chown=www --chmod=0600 a /owned/y
COPY dir /usr
WORKDIR /srv/www/app
COPY a rel
COPY <<END /etc/motd
hello $BASE
END
"""
        commit = w.repository("dest", {"Dockerfile": dockerfile, "a": "new", "dir/lib/b.so": "b", "dir/sub/c": "c"})
        w.rule("dest")
        _, _, tree, layers = w.built("dest", commit)
        root, www = owned(0, 0), owned(33, 34)
        new = added(tree, w.tree_of_base())
        expected = {
            "usr/lib/a": ("file", 0o644, *root, "new"), "run/deep": ("directory", 0o755, *root, None),
            "run/deep/er": ("file", 0o644, *root, "new"), "srv/www/a": ("file", 0o644, *root, "new"),
            "bin/sh": ("file", 0o644, *root, "new"), "owned": ("directory", 0o755, *owned(33, 50), None),
            "owned/x": ("file", 0o644, *owned(33, 50), "new"), "owned/y": ("file", 0o600, *www, "new"),
            "usr/lib/b.so": ("file", 0o644, *root, "b"), "usr/sub": ("directory", 0o755, *root, None),
            "usr/sub/c": ("file", 0o644, *root, "c"), "srv/www/app": ("directory", 0o2755, *owned(0, 50), None),
            "srv/www/app/rel": ("file", 0o644, *root, "new"), "etc/motd": ("file", 0o644, *root, "hello 1\n")}
        assert new == expected, (set(new) ^ set(expected), {k: (new.get(k), v) for k, v in expected.items() if new.get(k) != v})
        assert tree["lib"][0] == "link" and tree["var/run"][0] == "link"
        if os.getuid() == 0:
            assert tree["srv"][1:4] == (0o750, 33, 34) and tree["srv/www"][1:4] == (0o2775, 33, 50)
        assert list(layers[2]) == ["usr/", "usr/lib/", "usr/lib/a"], list(layers[2])


def metadata_instructions_reach_the_configuration():
    with world() as w:
        commit = w.repository("meta", {"Dockerfile": f"""FROM {w.base}
ENV A=1 B="two words"
LABEL x=1 from=here
EXPOSE 8080 53/udp
VOLUME /data
USER www
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=5s --retries=3 CMD curl -f http://localhost
ENTRYPOINT ["/bin/app"]
CMD run $A
ONBUILD COPY . /app
"""})
        w.rule("meta")
        _, config, tree, layers = w.built("meta", commit)
        got = config["config"]
        assert got["Env"] == ["PATH=/bin", "BASE=1", "A=1", "B=two words"], got
        assert got["Labels"] == {"from": "here", "x": "1"}
        assert got["ExposedPorts"] == {"80/tcp": {}, "8080/tcp": {}, "53/udp": {}} and got["Volumes"] == {"/data": {}}
        assert got["User"] == "www" and got["StopSignal"] == "SIGINT" and got["Shell"] == ["/bin/bash", "-c"]
        assert got["Healthcheck"] == {"Test": ["CMD-SHELL", "curl -f http://localhost"], "Interval": 5000000000, "Retries": 3}
        assert got["Entrypoint"] == ["/bin/app"] and got["Cmd"] == ["/bin/bash", "-c", "run $A"] and got["ArgsEscaped"] is True
        assert got["OnBuild"] == ["COPY . /app"]
        assert len(layers) == 2 and config["created"] == "2017-07-14T02:40:00Z"

        # A base with a trigger: it runs in the child, and is gone from it.
        child = w.repository("child", {"Dockerfile": f"FROM {w.host}/acme/meta:main-{commit[:7]}\nENTRYPOINT [\"/x\"]\n", "f": "1"})
        w.rule("child")
        _, config, tree, layers = w.built("child", child)
        assert tree["app/f"][4] == "1" and "OnBuild" not in config["config"]
        assert "Cmd" not in config["config"] and config["config"]["Entrypoint"] == ["/x"]


def stages_and_images_are_copied_from():
    with world() as w:
        commit = w.repository("stages", {"Dockerfile": f"""ARG B={w.base}
FROM scratch AS files
COPY --chown=7:8 src /out/
COPY src/one /out/bin/tool
FROM $B AS unused
RUN this would fail if it were needed
FROM scratch AS final
COPY --from=files /out /app
COPY --from=0 /out/bin/tool /tool
COPY --from={w.base} /usr/lib /libs/
COPY --from={w.base} /bin /bin
COPY --link --from=files /out/two /linked/here/
""", "src/one": "1", "src/two": "2"})
        w.rule("stages")
        _, config, tree, layers = w.built("stages", commit)
        root, seven = owned(0, 0), owned(7, 8)
        assert tree == {
            "app": ("directory", 0o755, *root, None), "app/one": ("file", 0o644, *seven, "1"), "app/two": ("file", 0o644, *seven, "2"),
            "app/bin": ("directory", 0o755, *root, None), "app/bin/tool": ("file", 0o644, *root, "1"), "tool": ("file", 0o644, *root, "1"),
            "libs": ("directory", 0o755, *root, None), "libs/a.so": ("file", 0o644, *root, "a"), "bin": ("directory", 0o755, *root, None),
            "bin/busybox": ("file", 0o755, *root, "old busybox"), "bin/sh": ("file", 0o755, *root, "old busybox"),
            "linked": ("directory", 0o755, *root, None), "linked/here": ("directory", 0o755, *root, None),
            "linked/here/two": ("file", 0o644, *seven, "2")}, tree
        assert layers[3]["bin/sh"].islnk() and layers[3]["bin/sh"].linkname == "bin/busybox"
        assert config["config"]["WorkingDir"] == "/" and config["config"]["Env"][0].startswith("PATH=")


def sources_are_chosen_as_the_reference_says():
    """Each row: an instruction, and the files (directories end in a slash) that it puts into an image FROM scratch."""
    rows = [("COPY *.txt /d/", "d/ d/a.txt d/b.txt"), ("COPY a?txt /d/", "d/ d/a.txt"), ("COPY [^a].txt x", "x"),
            ("COPY nothing* /d/", ""), ("COPY src /d", "d/ d/m.go d/pkg/ d/pkg/p.go d/pkg/p_test.go"),
            ("COPY src/* /d/", "d/ d/m.go d/p.go d/p_test.go"), ("COPY a.txt b.txt /d/", "d/ d/a.txt d/b.txt"),
            ("COPY ../../a.txt /../../d/e", "d/ d/e"), ("COPY link /d/", "d/ d/link"), ("COPY dlink /d", "d/ d/m.go d/pkg/ d/pkg/p.go d/pkg/p_test.go"),
            ("COPY --parents src/pkg/p.go /d/", "d/ d/src/ d/src/pkg/ d/src/pkg/p.go"),
            ("COPY --parents src/./pkg/*.go /d", "d/ d/pkg/ d/pkg/p.go d/pkg/p_test.go"),
            ("COPY --parents --exclude=**/*_test.go src/**/*.go /d", "d/ d/src/ d/src/m.go d/src/pkg/ d/src/pkg/p.go"),
            ("COPY --exclude=pkg src /d", "d/ d/m.go"), ("COPY --exclude=*/*_test.go src /d", "d/ d/m.go d/pkg/ d/pkg/p.go"),
            ('COPY ["sp ace", "/d/"]', "d/ d/sp ace"), ("WORKDIR /w\nCOPY a.txt .", "w/ w/a.txt"),
            ("COPY <<ONE <<TWO /d/\n1\nONE\n2\nTWO", "d/ d/ONE d/TWO"), ("COPY --link a.txt /d/", "d/ d/a.txt"),
            ("COPY src /d\nCOPY src /d", "d/ d/m.go d/pkg/ d/pkg/p.go d/pkg/p_test.go")]
    with world(with_registry=False) as w:
        w.rule("pick", tag="t", clone=f"file://{w.directory}/pick.git")
        files = {"a.txt": "a", "b.txt": "b", "sp ace": "s", "src/m.go": "m", "src/pkg/p.go": "p", "src/pkg/p_test.go": "t",
                 "link": ("link", "a.txt"), "dlink": ("link", "src")}
        for instruction, expected in rows:
            commit = w.repository("pick", {"Dockerfile": f"FROM scratch\n{instruction}\n", **files})
            files = {}
            code, events, log = w.build("pick", commit)
            assert "artifact.published" in events, (instruction, events, log)
            layout = w.directory / "out-pick"
            manifest = w.blob(layout, json.loads((layout / "index.json").read_text())["manifests"][-1]["digest"])
            paths = {path for layer in manifest["layers"] for path in w.entries(layout, layer)}
            wanted = set(expected.split(" ")) - {""} if "sp ace" not in expected else {"d/", "d/sp ace"}
            assert paths == wanted, (instruction, paths)
        assert not w.entries(layout, manifest["layers"][1]), "what does not change anything is in the layer"


def parents_and_hard_links_go_along():
    """What BuildKit 0.32 makes of these."""
    entries = [d("d", 0o750), f("d/f", "f"), ("d/g", tarfile.LNKTYPE, 0o644, 0, 0, "d/f"), d("d/sub", 0o711), f("d/sub/h", "h")]
    with world() as w:
        commit = w.repository("parents", {"x.tar": make_layer(entries), "Dockerfile": f"""FROM scratch AS s
ADD x.tar /
FROM {w.base}
COPY --from=s --parents --chmod=700 d/sub/h /there/
COPY --from=s --parents --chown=7:7 d/sub/* /there/
COPY --from=s --parents d/* /linked/
COPY --from=s --parents --exclude=d/sub d/* d/su?/h /without/
COPY --from=s --parents --exclude=d d/f* /empty/
COPY --from=s d d/g /apart/
COPY --from=s --parents --chmod=u=rwx,go= d/f d/sub/h d/f /again/
"""})
        w.rule("parents")
        _, _, tree, layers = w.built("parents", commit)
        first, second, linked, without, empty, apart, again = layers[-7:]
        assert [first[f"there/{name}/"].mode for name in ("d", "d/sub")] == [0o700, 0o700], "made by it"
        assert [(m.mode, m.uid) for m in (second["there/d/"], second["there/d/sub/"])] == [(0o750, 0), (0o711, 0)], "there already"
        assert linked["linked/d/g"].islnk() and linked["linked/d/g"].linkname == "linked/d/f"
        assert sorted(without) == ["without/", "without/d/", "without/d/f", "without/d/g"] and list(empty) == ["empty/"], (sorted(without), list(empty))
        assert not apart["apart/f"].islnk() and not apart["apart/g"].islnk(), "copied again, it is a file of its own"
        assert again["again/d/"].mode == 0o750 and again["again/d/f"].mode == 0o700 and again["again/d/sub/"].mode == 0o700
        for source in ("d/sub/h", "d/sub"):
            commit = w.repository("excluded", {"x.tar": make_layer(entries), "Dockerfile": f"FROM scratch AS s\nADD x.tar /\nFROM scratch\nCOPY --from=s --parents --exclude=d/sub {source} /\n"})
            w.rule("excluded")
            errors = w.build("excluded", commit)[1]["build.finished"]["customData"]["errors"]
            assert f'"/{source}": not found' in errors, errors


def dockerignore_is_honoured():
    with world() as w:
        commit = w.repository("ignore", {"app/Dockerfile": "FROM scratch\nCOPY . /\n", "app/.dockerignore": "*.md\n!README.md\nsecret\n!secret/open\nDockerfile\n",
                                         "app/a.md": "", "app/README.md": "r", "app/secret/key": "k", "app/secret/open": "o", "app/x/y.md": "",
                                         "outside": "never"})
        w.rule("ignore", dockerfile="app/Dockerfile", context="app")
        _, _, tree, _ = w.built("ignore", commit)
        assert set(tree) == {".dockerignore", "README.md", "secret", "secret/open", "x", "x/y.md"}, set(tree)


def archives_are_unpacked():
    def packed(entries, mode):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as tar:
            for info, data in entries:
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()

    def entry(name, data=b"", **members):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for key, value in members.items():
            setattr(info, key, value)
        return info, data

    content = [entry("top/", type=tarfile.DIRTYPE, mode=0o700, uid=5, gid=6), entry("top/file", b"data", mode=0o640, uid=5, gid=6),
               entry("top/hard", type=tarfile.LNKTYPE, linkname="top/file", mode=0o640, uid=5, gid=6), entry("esc", type=tarfile.SYMTYPE, linkname="/etc"),
               entry("esc/inside", b"in"), entry("../../up", b"up"), entry("/abs", b"abs")]
    head = b"v7".ljust(100, b"\0") + b"000644 \0" + b"000000 \0" * 2 + b"%011o " % 3 + b"%011o " % 0 + b" " * 8 + b"0"
    head = head.ljust(512, b"\0")
    v7 = head[:148] + b"%06o\0 " % sum(head) + head[156:] + b"old".ljust(512, b"\0") + bytes(1024)
    with world() as w:
        commit = w.repository("archive", {"Dockerfile": "FROM scratch\nADD x.tar.gz y.tar plain.gz z.tar.bz2 z.tar.xz v7.tar not.xz /in/\nADD --unpack=false y.tar /kept/\n"
                                                        "ADD --chmod=640 y.tar plain.gz /new/place/\n",
                                          "x.tar.gz": packed(content, "w:gz"), "y.tar": packed([entry("y", b"y")], "w"),
                                          "plain.gz": gzip.compress(b"no tar at all " * 100, mtime=0), "not.xz": b"\xfd7zXZ\0" + b"x" * 600,
                                          "z.tar.bz2": packed([entry("bz2", b"b" * 100000)], "w:bz2"),
                                          "z.tar.xz": packed([entry("xz", b"x" * 100000)], "w:xz"), "v7.tar": v7})
        w.rule("archive")
        _, _, tree, _ = w.built("archive", commit)
        assert tree["in/top"][:4] == ("directory", 0o700, *owned(5, 6))
        assert tree["in/top/file"] == ("file", 0o640, *owned(5, 6), "data") and tree["in/top/hard"][4] == "data"
        assert tree["in/esc"][4] == "/etc" and tree["in/etc/inside"][4] == "in", sorted(tree)
        assert tree["in/up"][4] == "up" and tree["in/abs"][4] == "abs" and tree["in/y"][4] == "y"
        assert tree["in/plain.gz"][0] == "file" and tree["kept/y.tar"][0] == "file"
        assert tree["in/bz2"][4] == "b" * 100000 and tree["in/xz"][4] == "x" * 100000 and tree["in/v7"][4] == "old"
        assert tree["in/not.xz"][0] == "file" and "etc" not in tree and "up" not in tree
        assert tree["new/place"][1] == 0o755 and tree["new/place/y"][1] == 0o644 and tree["new/place/plain.gz"][1] == 0o640, "modes are for copies"

        for name, file in (("cutgz", packed(content, "w:gz")[:-40]), ("cutxz", packed(content, "w:xz")[:-20])):
            commit = w.repository(name, {"Dockerfile": "FROM scratch\nADD bad /\n", "bad": file})
            w.rule(name)
            code, events, log = w.build(name, commit)
            reason = events["build.finished"]["customData"]["errors"]
            assert code == 0 and reason.startswith("line 2: ADD: ") and "unexpected EOF" in reason, (name, reason)


def downloads_are_added():
    class Files(loopback.Handler):
        def do_GET(self):
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/dir/file.txt?q=1")
                self.end_headers()
                return
            self.send_response(200 if self.path.startswith("/dir/file.txt") else 404)
            self.send_header("Last-Modified", "Fri, 14 Jul 2017 02:40:00 GMT")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"data")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    loopback.start(server)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    private = {"PUSHWRIGHT_ADD_PRIVATE": "1"}
    good, bad = digest(b"data"), digest(b"other")
    try:
        with world() as w:
            commit = w.repository("url", {"Dockerfile": f"FROM scratch\nADD --checksum={good} {url}/dir/file.txt /in/\nADD {url}/moved /at\n"})
            w.rule("url")
            _, _, tree, layers = w.built("url", commit, environment=private)
            assert tree["in/file.txt"] == ("file", 0o600, *owned(0, 0), "data") and tree["at"][4] == "data"
            assert layers[0]["in/file.txt"].mtime == 1500000000
            code, events, _ = w.build("url", commit, asked="person")
            assert "line 2: ADD" in events["build.finished"]["customData"]["errors"], "a private address was connected to"
            for text, reason in ((f"ADD --checksum={bad} {url}/dir/file.txt /", "digest mismatch"), (f"ADD {url}/nothing /", "404")):
                commit = w.repository("url", {"Dockerfile": f"FROM scratch\n{text}\n"})
                code, events, log = w.build("url", commit, environment=private)
                assert code == 0 and reason in events["build.finished"]["customData"]["errors"], (text, events, log)
    finally:
        server.shutdown()


class Origin(http.server.ThreadingHTTPServer):
    """One file whose bytes have a name; says what was asked, and whether it was sent."""

    def __init__(self):
        class Handler(loopback.Handler):
            def do_GET(self):
                origin = self.server
                same = origin.etag is not None and self.headers.get("If-None-Match") == origin.etag
                if self.path == "/elsewhere":
                    status = 302
                elif origin.wanted and self.headers.get("Authorization") != origin.wanted:
                    status = 401
                else:
                    status = 304 if same else 200
                origin.asked.append((self.path, status, self.headers.get("Authorization")))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", origin.leads_to)
                if origin.etag:
                    self.send_header("ETag", origin.etag)
                if origin.modified:
                    self.send_header("Last-Modified", origin.modified)
                body = origin.body if status == 200 else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag, self.modified, self.wanted, self.leads_to, self.asked = b"first", '"1"', None, None, None, []
        loopback.start(self)

    def url(self, path="/f"):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def take(self):
        """The answers since the last time."""
        asked, self.asked = self.asked, []
        return [status for _, status, _ in asked]


def downloads_are_asked_for_again_and_fetched_when_they_have_changed():
    private = {"PUSHWRIGHT_ADD_PRIVATE": "1"}
    with world() as w, Origin() as origin:
        w.rule("url")

        def built(flags="", change="", environment=private):
            commit = w.repository("url", {"Dockerfile": f"FROM scratch\nADD {flags} {origin.url()} /f\n# {change}\n"}, time=TIME + w.sequence % 1000)
            digest_, _, tree, layers = w.built("url", commit, environment=environment)
            return tree["f"][4], layers[0]["f"].mtime, digest_, commit

        assert built()[:2] == ("first", 0) and origin.take() == [200]
        assert built(change="a commit with another time: its layer is made anew, of what is there")[0] == "first" and origin.take() == [304]
        origin.body, origin.etag = b"other", '"2"'
        assert built()[0] == "other" and origin.take() == [200]
        origin.modified = "Fri, 14 Jul 2017 02:40:00 GMT"
        assert built()[1] == 0 and origin.take() == [304], "what the server says of the same bytes"
        shutil.rmtree(w.directory / "cache")
        assert built()[1] == 1500000000 and origin.take() == [200]
        # What a checksum names is known without asking; another one is fetched and found wrong.
        named = f"--checksum={digest(b'other')}"
        assert built(named)[0] == "other" and origin.take() == []
        code, events, _ = w.build("url", w.repository("url", {"Dockerfile": f"FROM scratch\nADD --checksum={digest(b'x')} {origin.url()} /f\n"}), environment=private)
        assert "digest mismatch" in events["build.finished"]["customData"]["errors"] and set(origin.take()) == {304}
        # A weak name does not stand for bytes; damage is fetched anew.
        for path in (w.directory / "cache/steps/blobs/sha256").iterdir():
            path.write_bytes(b"x")
        assert built()[0] == "other" and origin.take() == [200]
        origin.etag, origin.body = 'W/"3"', b"weak"
        assert [built()[0], built()[0]] == ["weak", "weak"] and origin.take() == [200, 200]
        origin.etag, origin.body = None, b"unnamed"
        assert [built()[0], built()[0]] == ["unnamed", "unnamed"] and origin.take() == [200, 200]


def repositories_are_added():
    private = {"PUSHWRIGHT_ADD_PRIVATE": "1"}
    with world() as w:
        old = w.repository("lib", {"a": "old", "sub/b": ("exec", "b"), "l": ("link", "a")})
        new = w.repository("lib", {"a": "new"})
        git("-C", w.directory / "lib.git", "tag", "v1", old)
        url = w.url("lib")
        commit = w.repository("adds", {"Dockerfile": f"FROM scratch\nADD {url} /head\nADD {url}#v1 /tag\nADD {url}#main:sub /sub/\n"
                                                     f"ADD --checksum={new[:12]} {url}?branch=main /checked\nADD {url}#{old} /commit\n"})
        w.rule("adds")
        _, _, tree, _ = w.built("adds", commit, environment=private)
        assert tree["head/a"][4] == "new" and tree["tag/a"][4] == "old" and tree["checked/a"][4] == "new" and tree["commit/a"][4] == "old"
        assert tree["sub/b"][:2] == ("file", 0o755) and tree["head/l"][4] == "a" and "head/.git" not in tree
        for source, environment, text in ((f"--checksum={old} {url}#main /", private, "expected checksum to match"), (f"{url} /", {}, "own network"),
                                          (f"{url}#nope /", private, "does not contain ref nope"), ("git@127.0.0.1:x.git /", private, "by https"),
                                          (f"{url}#main:nope /", private, "not found")):
            code, events, log = w.build("adds", w.repository("adds", {"Dockerfile": f"FROM scratch\nADD {source}\n"}), environment=environment)
            assert text in events["build.finished"]["customData"]["errors"], (source, events)


def mistakes_are_told_by_line():
    rows = [("FROM scratch\nCOPY a /\n\nRUN --security=insecure make\n", "line 4: RUN: security.insecure is not allowed"),
            ("FROM scratch\nCOPPY a /\n", "line 2: unknown instruction: COPPY"),
            ("FROM scratch\nCOPY nothing /\n", 'line 2: COPY: "/nothing": not found in the context'),
            ("FROM scratch\nCOPY up /\n", 'line 2: COPY: "/up": not found in the context'),
            ("FROM scratch\nCOPY loop /\n", "too many links"),
            ("FROM scratch\nCOPY --chown=bob a /\n", "invalid user index: -1"),
            ("FROM {base}\nCOPY a /etc/passwd/x\n", "line 2: COPY: mkdir /etc/passwd: not a directory"),
            ("FROM {base}\nCOPY dir /etc/passwd\n", "cannot copy to non-directory: /etc/passwd"),
            ("FROM {host}/no/such:1\n", "line 1: FROM: image"),
            ("FROM nowhere.invalid/x:1\n", None)]
    with world() as w:
        w.rule("wrong")
        for text, reason in rows:
            text = text.format(base=w.base, host=w.host)
            commit = w.repository("wrong", {"Dockerfile": text, "a": "a", "dir/b": "b"} |
                                  ({} if (w.directory / "work-wrong/up").is_symlink() else
                                   {"up": ("link", "../../etc/passwd"), "loop": ("link", "loop")}))
            code, events, log = w.build("wrong", commit)
            if reason is None:  # a registry that is not there may be there later
                assert code == 1 and "build.finished" not in events, (text, code, events, log)
                continue
            finished = events["build.finished"]
            assert code == 0 and finished["customData"]["outcome"] == "failure", (text, code, events)
            assert reason in finished["customData"]["errors"], (reason, finished["customData"]["errors"])
            assert finished["subject"]["content"] == {} and "artifact.published" not in events
            assert events["taskrun.finished"]["subject"]["content"]["outcome"] == "failure"


def hostile_trees_never_lead_outside():
    with world() as w:
        w.rule("evil")
        bare = w.directory / "evil.git"
        w.repository("evil", {"Dockerfile": "FROM scratch\nCOPY . /\n"})

        def raw(kind, data):
            return subprocess.run(["git", "-C", str(bare), "hash-object", "-t", kind, "--literally", "-w", "--stdin"], input=data,
                                  check=True, capture_output=True).stdout.decode().strip()

        blob, dockerfile = raw("blob", b"evil"), raw("blob", b"FROM scratch\nCOPY . /\n")
        for name in (b"..", b".", b".git", b"a/../../b", b"/etc"):
            entries = sorted([(b"100644 Dockerfile", dockerfile), (b"100644 " + name, blob)], key=lambda e: e[0][7:])
            tree = raw("tree", b"".join(e + b"\0" + bytes.fromhex(o) for e, o in entries))
            commit = subprocess.run(["git", "-C", str(bare), "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", "x", tree],
                                    check=True, capture_output=True).stdout.decode().strip()
            git("-C", bare, "update-ref", "refs/heads/main", commit)
            code, events, log = w.build("evil", commit)
            assert "artifact.published" not in events and events["build.finished"]["customData"]["outcome"] == "failure", (name, events)

        # Names that delete files of the layers below go into the layer as they stand, as with BuildKit.
        commit = w.repository("evil2", {"Dockerfile": "FROM scratch\nCOPY . /\n", "d/.wh.x": ""})
        w.rule("evil2")
        _, _, _, layers = w.built("evil2", commit)
        assert "d/.wh.x" in layers[0], list(layers[0])


def a_branch_that_has_moved_on_is_superseded():
    with world() as w:
        old = w.repository("moved", {"Dockerfile": "FROM scratch\nCOPY . /\n", "v": "1"})
        new = w.repository("moved", {"v": "2"})
        w.rule("moved")
        code, events, log = w.build("moved", old)
        assert code == 0 and set(events) == {"pushwright-decision.skipped"}, events
        assert "has moved on" in json.dumps(events), events
        code, events, log = w.build("moved", new, ref="refs/heads/gone")
        assert code == 0 and set(events) == {"pushwright-decision.skipped"} and "is gone" in json.dumps(events), events
        code, events, log = w.build("moved", None, ref="refs/heads/gone", asked="person")
        assert "has no ref" in events["build.finished"]["customData"]["errors"], events
        assert w.built("moved", old, asked="person")[2]["v"][4] == "1"
        assert w.built("moved", None, asked="person")[2]["v"][4] == "2"
        git("-C", w.directory / "work-moved", "push", "-q", w.directory / "moved.git", f"{old}:refs/tags/v1")
        code, events, log = w.build("moved", old, ref="refs/tags/v1")
        assert events["artifact.published"]["customData"]["tag"] == f"v1-{old[:7]}", (events, log)
        code, events, log = w.build("moved", new, ref="refs/tags/v1")
        assert "is not reachable" in events["build.finished"]["customData"]["errors"], events


def a_newer_push_ends_the_build_of_the_older_one():
    """The function as a server; the older build hangs on a download that never ends."""
    asked, events = threading.Event(), []

    class Slow(loopback.Handler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            asked.set()
            with contextlib.suppress(OSError):
                for _ in range(600):
                    self.wfile.write(b"x")
                    time.sleep(0.05)

        def do_POST(self):
            data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            events.append((data["context"]["type"].split(".", 2)[2].rsplit(".", 3)[0], data))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

    peer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    loopback.start(peer)
    url = f"http://127.0.0.1:{peer.server_address[1]}"
    port = free_port()
    with world() as w:
        old = w.repository("race", {"Dockerfile": f"FROM scratch\nADD {url}/slow /\n"})
        w.rule("race")
        bodies = [w.event("race", old)]
        environment = {**w.environment(), "PUSHWRIGHT_ADD_PRIVATE": "1", "PUSHWRIGHT_SINK": url + "/sink",
                       "PUSHWRIGHT_LISTEN": f"127.0.0.1:{port}"}
        with process([BIN / "build"], ready=lambda: port_open(port), env=environment, stdout=subprocess.DEVNULL):
            post = lambda body: http_call("POST", f"http://127.0.0.1:{port}/", json.dumps(body).encode(),
                                          {"Content-Type": "application/cloudevents+json"})
            answers = []
            older = threading.Thread(target=lambda: answers.append(post(bodies[0])))
            older.start()
            assert asked.wait(10), "the download did not begin"
            new = w.repository("race", {"Dockerfile": "FROM scratch\nCOPY . /\n"})
            answers.append(post(w.event("race", new)))
            older.join(20)
            assert [a.status for a in answers] == [202, 202], [(a.status, a.text) for a in answers]
    peer.shutdown()
    ended = {data["customData"]["commit"]: data["customData"]["outcome"] for kind, data in events if kind == "build.finished"}
    assert ended == {old: "cancel", new: "success"}, ended
    skipped = [data for kind, data in events if kind == "pushwright-decision.skipped"]
    assert len(skipped) == 1 and "newer push" in json.dumps(skipped), skipped


def large_files_do_not_stand_in_memory():
    """Of a file of 96 MB in a pack, and of the layer that it becomes, only pieces are in memory at any time."""
    with world() as w:
        w.repository("large", {"Dockerfile": "FROM scratch\nCOPY large /\n"})
        with open(w.directory / "work-large/large", "wb") as large:
            for _ in range(96):
                large.write(os.urandom(1 << 20))
        commit = w.repository("large", {})
        w.rule("large")
        (w.directory / "event.json").write_text(json.dumps(w.event("large", commit)))
        child = subprocess.Popen([str(BIN / "build"), "--event", str(w.directory / "event.json")], stdout=subprocess.DEVNULL,
                                 env=w.environment())
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0 and usage.ru_maxrss < 64 << 10, (child.returncode, usage.ru_maxrss)  # mostly this interpreter's
        layout = w.directory / "pulled"
        subprocess.run([*SKOPEO, "copy", "-q", "--src-tls-verify=false", f"docker://{w.host}/acme/large:main-{commit[:7]}", f"oci:{layout}:x"],
                       check=True, capture_output=True)
        manifest = w.blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
        assert w.entries(layout, manifest["layers"][0])["large"].size == 96 << 20


def rules_and_tokens_decide():
    with world() as w:
        commit = w.repository("secret", {"Dockerfile": "FROM scratch\nCOPY . /\n"})
        w.rule("secret", clone=w.url("secret", "private/"))
        code, events, log = w.build("secret", commit)
        assert "no token is configured" in events["build.finished"]["customData"]["errors"], events
        code, events, log = w.build("secret", commit, token="wrong-word")
        assert "refuses the configured token" in events["build.finished"]["customData"]["errors"], events
        assert "wrong-word" not in json.dumps(events) + log
        assert "artifact.published" in w.build("secret", commit, token=git_http.TOKEN)[1]
        w.rules["secret"]["enabled"] = False
        code, events, log = w.build("secret", commit, token=git_http.TOKEN)
        assert set(events) == {"pushwright-decision.skipped"} and "switched off" in json.dumps(events)
        code, events, log = w.build("unknown", commit)
        assert code == 1 and not events and "is not in the configuration" in log, (code, log)


def events_that_make_no_sense_are_refused():
    rows = [({"ref": "main"}, "neither a branch nor a tag"), ({"sequence": "soon"}, "is not a number"), ({"time": "yesterday"}, "is not a time"),
            ({"build": None}, "no customData.build"), ({"ref": None}, "no customData.ref"), ({"commit": "HEAD"}, None),
            ({"ref": "refs/heads/a..b"}, None)]
    with world(with_registry=False) as w:
        commit = w.repository("odd", {"Dockerfile": "FROM scratch\n"})
        w.rule("odd")
        for custom, reason in rows:
            code, events, log = w.build("odd", commit, **custom)
            if reason:
                assert code == 42 and not events and reason in log, (custom, code, events, log)
            else:  # the event is one, what it names is not there: no image, and the reason told
                assert code == 0 and "artifact.published" not in events, (custom, code, events, log)


def a_second_delivery_sends_nothing_and_says_the_same():
    with world() as w:
        commit = w.repository("twice", {"Dockerfile": f"FROM {w.base}\nCOPY . /x\n"})
        w.rule("twice")
        first = w.build("twice", commit)[1]
        w.sequence -= 1
        second = w.build("twice", commit)[1]
        ids = [{kind: event["context"]["id"] for kind, event in events.items()} for events in (first, second)]
        assert ids[0] == ids[1] and "build.finished" in ids[0], ids
        assert first["artifact.published"]["subject"] == second["artifact.published"]["subject"]


def layouts_are_bases_and_targets_too():
    with world(with_registry=False) as w:
        commit = w.repository("layout", {"Dockerfile": f"FROM {w.base}\nCOPY index.html /www/\n", "index.html": "hi"})
        w.rule("layout", clone=f"file://{w.directory}/layout.git")
        _, _, tree, _ = w.built("layout", commit)
        assert tree["www/index.html"][4] == "hi" and "bin/sh" in tree


def peers_that_are_down_are_tried_again():
    with world(with_registry=False) as w:
        commit = w.repository("down", {"Dockerfile": "FROM scratch\nCOPY . /\n"})
        w.rule("down", image=f"127.0.0.1:{free_port()}/acme/down")
        code, events, log = w.build("down", commit)
        assert code == 1 and not events, (code, events, log)
        w.rule("down", image=f"127.0.0.1:{free_port()}/acme/down", reconcile=False)
        code, events, log = w.build("down", commit)
        assert code == 1 and set(events) == {"build.started", "taskrun.started"}, (code, events, log)
        w.rule("down", clone=f"http://127.0.0.1:{free_port()}/down.git")
        code, events, log = w.build("down", commit)
        assert code == 1 and not events, (code, events, log)
        w.rule("down")
        assert w.built("down", commit)[2]["Dockerfile"]


def several_platforms_make_an_index():
    with world() as w:
        commit = w.repository("multi", {"Dockerfile": "FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY . /\n"})
        w.rule("multi", platforms=["linux/amd64", "linux/arm64"])
        code, events, log = w.build("multi", commit)
        assert events["artifact.published"]["customData"]["mediaType"] == "application/vnd.oci.image.index.v1+json", (events, log)
        for arch in ("amd64", "arm64"):
            out = subprocess.run([*SKOPEO, "--override-arch", arch, "inspect", "--tls-verify=false",
                                  f"docker://{w.host}/acme/multi:main-{commit[:7]}"], check=True, capture_output=True).stdout
            assert json.loads(out)["Labels"] == {"arch": arch} and json.loads(out)["Architecture"] == arch


def a_base_of_another_platform_is_warned_of_and_its_own_counts_unless_one_was_asked_for():
    with world() as w:
        layout = w.directory / "arm"
        write_layout(layout, "x", config={**CONFIG, "architecture": "arm64", "variant": "v8"})
        subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:x", f"docker://{w.host}/fx/arm:1"], check=True, capture_output=True)
        commit = w.repository("other", {"Dockerfile": f"FROM {w.host}/fx/arm:1\nCOPY Dockerfile /\n"})
        for asked, architecture in (({}, "arm64"), ({"platforms": ["linux/amd64"]}, "amd64"), ({"platforms": ["linux/arm64"]}, "arm64")):
            w.rule("other", image=f"{w.host}/acme/other-{architecture}{len(asked)}", **asked)
            if not asked:
                del w.rules["other"]["platforms"]
            code, events, log = w.build("other", commit)
            assert code == 0 and "artifact.published" in events, log
            said = "InvalidBaseImagePlatform: " in log
            assert said == (asked.get("platforms") != ["linux/arm64"]), log
            image = f"{w.rules['other']['image']}:{events['artifact.published']['customData']['tag']}"
            config = json.loads(subprocess.run([*SKOPEO, "inspect", "--config", "--raw", "--tls-verify=false", f"docker://{image}"],
                                               check=True, capture_output=True).stdout)
            assert (config["architecture"], config.get("variant")) == (architecture, None), config


def raw(w, image):
    return json.loads(subprocess.run([*SKOPEO, "inspect", "--raw", "--tls-verify=false", f"docker://{w.host}/{image}"], check=True,
                                     capture_output=True).stdout)


def an_image_has_the_media_types_that_its_rule_says():
    docker = "application/vnd.docker."
    with world() as w:
        commit = w.repository("types", {"Dockerfile": f"FROM {w.base}\nCOPY x /x\n", "x": "x"})
        w.rule("types", mediaTypes="docker")
        _, events, log = w.build("types", commit)
        assert "artifact.published" in events, log
        manifest = raw(w, f"acme/types:main-{commit[:7]}")
        assert manifest["mediaType"] == docker + "distribution.manifest.v2+json" and "annotations" not in manifest
        assert manifest["config"]["mediaType"] == docker + "container.image.v1+json"
        assert {layer["mediaType"] for layer in manifest["layers"]} == {docker + "image.rootfs.diff.tar.gzip"}
        back = w.repository("back", {"Dockerfile": f"FROM {w.host}/acme/types:main-{commit[:7]}\nCOPY y /y\n", "y": "y"})
        w.rule("back")
        _, _, tree, _ = w.built("back", back)
        assert tree["x"][4] == "x" and tree["y"][4] == "y"
        manifest = raw(w, f"acme/back:main-{back[:7]}")
        assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
        both = w.repository("both", {"Dockerfile": "FROM scratch\nCOPY x /x\n", "x": "x"})
        for types, family in (("docker", docker + "distribution.manifest.list.v2+json"), ("oci", "application/vnd.oci.image.index.v1+json")):
            w.rule("both", platforms=["linux/amd64", "linux/arm64"], mediaTypes=types)
            code, events, log = w.build("both", both, asked="person")
            assert events["artifact.published"]["customData"]["mediaType"] == family, (events, log)
            index = raw(w, f"acme/both:main-{both[:7]}")
            assert index["mediaType"] == family and len({m["mediaType"] for m in index["manifests"]}) == 1
            assert index.get("annotations", {}).get("org.opencontainers.image.revision") == (both if types == "oci" else None)


def file_with_flipped_bit(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    return bytes(data)


def a_broken_cache_is_made_again():
    with world() as w:
        commit = w.repository("cache", {"Dockerfile": f"FROM {w.base}\nCOPY x /lib/\n", "x": "1"})
        w.rule("cache")
        first = w.built("cache", commit)[0]
        files = list((w.directory / "cache/index").iterdir())
        assert len(files) == 2, files
        for file, damage in zip(files, (b"", file_with_flipped_bit(files[1]))):
            file.write_bytes(damage)
        w.rules["cache"]["image"] = f"{w.host}/acme/cache2"
        code, events, log = w.build("cache", commit)
        assert first.replace(":", "%3A") in events["artifact.published"]["subject"]["id"], log


def indexes_are_found_in_the_registry():
    """A runner without a cache does not read the base's layers when the index of each is there and sealed under the chain's key."""
    def environment(key):
        return {"PUSHWRIGHT_CACHE_DIR": str(w.directory / f"cache-{w.sequence}"), "PUSHWRIGHT_CHAIN_KEY": key, "PUSHWRIGHT_REGISTRY_INDEX": "1"}

    def layers_read():
        manifest = w.blob(w.directory / "base", json.loads((w.directory / "base/index.json").read_text())["manifests"][0]["digest"])
        log = (w.directory / "registry.log").read_text()
        return sum(log.count(f'"GET /v2/fx/base/blobs/{layer["digest"]} ') for layer in manifest["layers"])

    with world() as w:
        w.rule("indexed")
        w.built("indexed", w.repository("indexed", {"Dockerfile": f"FROM {w.base}\nCOPY x /lib/\n", "x": "1"}), environment=environment("k" * 32))
        before = layers_read()
        _, _, _, layers = w.built("indexed", w.repository("indexed", {"x": "2"}), environment=environment("k" * 32))
        assert layers_read() == before and list(layers[-1]) == ["usr/", "usr/lib/", "usr/lib/x"], list(layers[-1])
        w.built("indexed", w.repository("indexed", {"x": "3"}), environment=environment("another" * 8))
        assert layers_read() > before, "an index under another key was believed"


def hostile_bases_are_refused():
    rows = [([[f("../x", "1")]], "leads out of the image"), ([[("x", tarfile.LNKTYPE, 0o644, 0, 0, "nothing")]], "hard link")]
    with world(with_registry=False) as w:
        for number, (layers, reason) in enumerate(rows):
            write_layout(w.directory / f"evil{number}", "x", layers)
            commit = w.repository(f"e{number}", {"Dockerfile": f"FROM oci:{w.directory}/evil{number}:x\nCOPY . /a\n"})
            w.rule(f"e{number}")
            code, events, log = w.build(f"e{number}", commit)
            assert reason in events["build.finished"]["customData"]["errors"], events


if __name__ == "__main__":
    run_tests([hello_world_is_built_and_pushed, submodules_are_part_of_the_commit, what_a_person_asks_for_and_a_tag_tell_their_commit_too, the_same_input_gives_the_same_digest, destinations_follow_the_base_image,
               metadata_instructions_reach_the_configuration, stages_and_images_are_copied_from,
               sources_are_chosen_as_the_reference_says, parents_and_hard_links_go_along, dockerignore_is_honoured,
               archives_are_unpacked, downloads_are_added, downloads_are_asked_for_again_and_fetched_when_they_have_changed, repositories_are_added, mistakes_are_told_by_line, hostile_trees_never_lead_outside,
               a_branch_that_has_moved_on_is_superseded,
               a_newer_push_ends_the_build_of_the_older_one, rules_and_tokens_decide,
               events_that_make_no_sense_are_refused,
               a_second_delivery_sends_nothing_and_says_the_same, layouts_are_bases_and_targets_too,
               peers_that_are_down_are_tried_again, large_files_do_not_stand_in_memory,
               several_platforms_make_an_index, a_base_of_another_platform_is_warned_of_and_its_own_counts_unless_one_was_asked_for, an_image_has_the_media_types_that_its_rule_says, a_broken_cache_is_made_again, indexes_are_found_in_the_registry, hostile_bases_are_refused])
