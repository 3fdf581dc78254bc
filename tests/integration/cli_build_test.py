#!/usr/bin/env python3
"""`pushwright build` as a person meets it: against a real registry and real git, images judged by skopeo and umoci, a terminal by a pty."""
import base64
import contextlib
import fcntl
import functools
import http.server
import io
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import termios

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from attest_test import check_tag_signature, IN_TOTO, keys, referrers
from build_test import BIN, Origin, world
from containers import ordinary_container
import git_http
import loopback
from pushwright import SKOPEO, Skip, need, registry, run_tests, wait_until
from run_test import image

PUSHWRIGHT = BIN / "pushwright"


def environment(w, **more):
    (w.directory / "home").mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(w.directory / "home"), "PUSHWRIGHT_CACHE_DIR": str(w.directory / "cache"), **more}


def run(w, *arguments, code=0, stdin=None, **more):
    """Standard output and standard error."""
    done = subprocess.run([PUSHWRIGHT, "build", *map(str, arguments)], env=environment(w, **more), input=stdin, capture_output=True, timeout=120,
                          text=not isinstance(stdin, bytes))
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def context(w, dockerfile, files=None, name="context"):
    directory = w.directory / name
    directory.mkdir(exist_ok=True)
    for path, content in {"Dockerfile": dockerfile, **(files or {})}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(content)
    return directory


def skopeo(*arguments):
    return json.loads(subprocess.run([*SKOPEO, *arguments], check=True, capture_output=True).stdout)


# ---- what is built, and where it goes ----

def an_image_is_pushed_with_all_that_was_said_of_it():
    with world() as w:
        place = context(w, f"FROM {w.base}\nARG WHO\nARG FROM_HERE\nARG UNSET=default\nLABEL who=$WHO from=$FROM_HERE unset=$UNSET\nCOPY f /f\n",
                        {"f": "file", ".dockerignore": "secret\n", "secret": "x"})
        out, said = run(w, "--build-arg", "WHO=me", "--build-arg=FROM_HERE", "--build-arg", "UNSET", "--label", "x=y", "--annotation", "manifest:k=v",
                        "--annotation", "org.opencontainers.image.source=mine", "-t", f"{w.host}/cli/one:1", f"-t{w.host}/cli/one:latest",
                        "--tag", f"{w.host}/cli/two", "--push", "--iidfile", w.directory / "iid", "--metadata-file", w.directory / "meta", place,
                        FROM_HERE="env")
        digest = out.strip()
        for name in ("one:1", "one:latest", "two:latest"):
            assert skopeo("inspect", "--tls-verify=false", f"docker://{w.host}/cli/{name}")["Digest"] == digest, name
        config = skopeo("inspect", "--config", "--tls-verify=false", f"docker://{w.host}/cli/one:1")
        assert config["config"]["Labels"] == {"from": "env", "who": "me", "unset": "default", "x": "y"}, config
        manifest = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{w.host}/cli/one:1")
        assert manifest["annotations"]["k"] == "v" and manifest["annotations"]["org.opencontainers.image.source"] == "mine", manifest
        meta = json.loads((w.directory / "meta").read_text())
        assert meta["containerimage.digest"] == digest and meta["containerimage.descriptor"]["digest"] == digest, meta
        assert (w.directory / "iid").read_text() == manifest["config"]["digest"] == meta["containerimage.config.digest"]
        assert re.search(r"^#\d+ \[2/2\] COPY f /f$", said, re.M) and re.search(r"^#\d+ DONE \d+\.\ds$", said, re.M), said
        assert "kept nowhere" not in said and run(w, "-q", place, "--push", "-t", f"{w.host}/cli/one:1")[1] == ""


def every_output_holds_the_same_image():
    with world() as w:
        base = image(w, "base")
        place = context(w, f"FROM {base}\nCOPY --chmod=755 a/b /made/b\nRUN echo ran > /made/c\nCMD [\"/bin/sh\"]\n", {"a/b": "content"})
        out = w.directory / "out"
        digest = run(w, "-t", "localhost/x/y:3", "-o", f"type=oci,dest={out}.oci", "-o", f"type=oci,tar=false,dest={out}.layout",
                     "-o", f"type=docker,dest={out}.docker", "-o", f"type=tar,dest={out}.tar", "-o", out, "-t", f"oci:{out}.named:3", place)[0].strip()
        assert skopeo("inspect", f"oci-archive:{out}.oci")["Digest"] == digest
        assert skopeo("inspect", f"oci:{out}.layout:3")["Digest"] == skopeo("inspect", f"oci:{out}.named:3")["Digest"] == digest
        assert skopeo("inspect", "--config", f"docker-archive:{out}.docker:localhost/x/y:3")["config"]["Cmd"] == ["/bin/sh"]
        assert (out / "made/b").read_text() == "content" and (out / "made/b").stat().st_mode & 0o777 == 0o755 and (out / "made/c").read_text() == "ran\n"
        with tarfile.open(f"{out}.tar") as tar:
            assert tar.extractfile("made/c").read() == b"ran\n" and tar.getmember("made/b").mode == 0o755
        rootless = ["--rootless"] if os.getuid() else []
        subprocess.run(["umoci", "unpack", *rootless, "--image", f"{out}.layout:3", f"{out}.bundle"], check=True, capture_output=True)
        assert (pathlib.Path(f"{out}.bundle") / "rootfs/made/c").read_text() == "ran\n"
        _, said = run(w, "-o", out, place, code=1)
        assert "is not empty" in said, said
        again, said = run(w, "-o", f"{out}.again", place)
        assert again.strip() == digest and len(re.findall(r"^#\d+ CACHED$", said, re.M)) == 2, said
        assert (w.directory / "out.again/made/c").read_text() == "ran\n"
        again, said = run(w, "--no-cache", place)
        assert again.strip() == digest and "CACHED" not in said, said
        assert not list(w.directory.glob("*.new-*")), "no half files"


def count_cached(said):
    return len(re.findall(r"^#\d+ CACHED$", said, re.M))


def the_cache_lies_where_it_is_told_to():
    with world() as w:
        place = context(w, f"FROM {w.base} AS made\nCOPY f /f\nFROM {w.base}\nCOPY --from=made /f /g\nCOPY h /h\n", {"f": "1", "h": "2"})
        machines = iter(range(100))

        def on_an_empty_machine(*arguments, code=0):
            return run(w, *arguments, place, code=code, PUSHWRIGHT_CACHE_DIR=str(w.directory / f"machine{next(machines)}"))

        digest, said = on_an_empty_machine("--cache-to", f"type=registry,ref={w.host}/cli/cache:all,mode=max,image-manifest=true")
        assert f"exporting cache to {w.host}/cli/cache:all" in said and count_cached(said) == 0, said
        assert on_an_empty_machine("-t", f"{w.host}/cli/it:1", "--push", "--cache-to", "type=inline")[0] == digest
        assert on_an_empty_machine("--cache-to", f"type=local,dest={w.directory}/kept")[0] == digest
        for number, place_of_it in ((3, f"{w.host}/cli/cache:all"), (3, f"type=registry,ref={w.host}/cli/cache:all"), (2, f"{w.host}/cli/it:1"),
                                    (2, f"type=local,src={w.directory}/kept"), (0, f"{w.host}/cli/cache:other"), (0, "127.0.0.1:1/unreachable:x")):
            again, said = on_an_empty_machine("--cache-from", place_of_it)
            assert again == digest and count_cached(said) == number, (place_of_it, said)
            assert ("steps: " in said) == ("unreachable" not in place_of_it) and "importing cache from " in said, (place_of_it, said)
        again, said = on_an_empty_machine("--cache-from", f"{w.host}/cli/nothing:x", f"--cache-from=type=local,src={w.directory}/none", "--cache-from",
                                          f"{w.host}/cli/it:1", "--cache-to", f"type=registry,ref={w.host}/cli/copy:1", "-t", f"{w.host}/cli/it:2", "--push")
        assert again == digest and count_cached(said) == 2 and count_cached(on_an_empty_machine("--cache-from", f"{w.host}/cli/copy:1")[1]) == 2, said
        assert skopeo("inspect", "--tls-verify=false", f"docker://{w.host}/cli/it:2")["Digest"] == digest.strip()
        assert "--cache-to" in on_an_empty_machine("--cache-to=type=registry,ref=127.0.0.1:1/unreachable:x", code=1)[1]
        on_an_empty_machine("--cache-to=type=registry,ref=127.0.0.1:1/unreachable:x,ignore-error=true")
        assert "one place" in on_an_empty_machine("--cache-to=type=inline", "--cache-to=type=inline", code=2)[1]


def what_is_said_of_an_image_stands_beside_it():
    with world() as w:
        private, public = keys(w.directory)
        commit = w.repository("source", {"Dockerfile": f"FROM {w.base}\nARG WHO\nLABEL a=b\n"})
        name = f"{w.host}/acme/said"
        what = ("--build-arg", "WHO=hunter2", "--push", w.url("source"))
        plain = run(w, "-t", f"{name}:0", *what)[0].strip()
        assert referrers(w, "said", plain) == {}
        digest = run(w, "-t", f"{name}:1", "--provenance=mode=max", "--attest", "type=sbom", *what)[0].strip()
        found = referrers(w, "said", digest)
        (text,) = found[IN_TOTO]
        statement = json.loads(text)
        source, base = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        assert digest == plain and statement["subject"] == [{"name": name, "digest": {"sha256": digest[7:]}}], statement
        assert source == {"uri": f"git+{w.url('source')}", "digest": {"gitCommit": commit}} and base["uri"].startswith("pkg:oci/base@"), statement
        parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
        assert parameters["args"] == ["WHO"] and "rule" not in parameters and b"hunter2" not in text, statement
        (packages,) = found["application/spdx+json"]
        assert json.loads(packages)["spdxVersion"] == "SPDX-2.3"
        run(w, "-t", f"{name}:2", "--sign", private, *what)
        check_tag_signature(w, "said", digest, public)
        place = context(w, f"FROM {w.base}\nLABEL c=d\n")
        here = run(w, "-t", f"oci:{w.directory}/layout:1", "--attest=type=provenance", "--sbom=true", "--sbom=false", place)[0].strip()
        names = [m["annotations"]["org.opencontainers.image.ref.name"] for m in json.loads((w.directory / "layout/index.json").read_text())["manifests"]]
        assert sorted(names) == ["1", here.replace(":", "-")] and str(place) not in "".join(
            blob.read_text(errors="replace") for blob in (w.directory / "layout/blobs/sha256").iterdir()), names


def podman_loads_what_is_made_for_docker():
    need("podman")
    with world() as w:
        place = context(w, f"FROM {image(w, 'base')}\nRUN echo ran > /ran\n")
        run(w, "-t", "example.com/team/tool:7", "-o", f"type=docker,dest={w.directory}/image.tar", place)
        podman = ["podman", "--root", f"{w.directory}/podman", "--runroot", f"{w.directory}/podman-run", "--storage-driver", "vfs"]
        loaded = subprocess.run([*podman, "load", "-q", "-i", f"{w.directory}/image.tar"], capture_output=True, text=True, timeout=120)
        assert "example.com/team/tool:7" in loaded.stdout, (loaded.stdout, loaded.stderr)


def a_git_repository_is_a_context():
    with world() as w:
        commit = w.repository("source", {"sub/Dockerfile": f"FROM {w.base}\nCOPY f /from-git\n", "sub/f": "1", "Other": f"FROM {w.base}\nLABEL o=1\n"})
        url = w.url("source")
        digests = {run(w, f"{url}#{ref}:sub", "-o", f"type=oci,dest={w.directory}/{i}.tar")[0] for i, ref in enumerate(("main", "refs/heads/main", commit))}
        assert len(digests) == 1, digests
        assert skopeo("inspect", "--raw", f"oci-archive:{w.directory}/0.tar")["annotations"]["org.opencontainers.image.revision"] == commit
        assert run(w, "-f", "Other", url)[0].startswith("sha256:")
        _, said = run(w, f"{url}#nosuch", code=1)
        assert "neither a branch nor a tag 'nosuch'" in said, said


def named_contexts_stand_for_what_they_say():
    with world() as w:
        w.repository("lib", {"sub/from-git": "git", "Dockerfile": "FROM scratch\n"})
        tools = w.directory / "tools"
        tools.mkdir()
        for name in ("tool", "secret", ".dockerignore"):
            (tools / name).write_text("secret\n" if name == ".dockerignore" else name)
        (tools / "out").symlink_to("/etc")
        place = context(w, f"""FROM nowhere.invalid/base:1 AS base
FROM stage.invalid/x AS deps
RUN this is not run
FROM base
COPY --from=tools . /tools/
COPY --from=lib from-git /
COPY --from=deps /etc/passwd /deps
RUN --mount=type=bind,from=tools,target=/m cp /m/tool /bound
""")
        base = image(w, "base")
        layout = f"oci-layout://{w.directory}/named:x"
        subprocess.run([*SKOPEO, "copy", "-q", f"oci:{w.directory}/base:base", f"oci:{w.directory}/named:x"], check=True, capture_output=True)
        url = w.url("lib") + "#main:sub"
        named = ["--build-context", f"nowhere.invalid/base:1=docker-image://{base}", "--build-context", f"tools={tools}",
                 "--build-context", f"lib={url}", "--build-context", f"deps={layout}"]
        run(w, *named, "-o", w.directory / "out", place)
        out = w.directory / "out"
        assert sorted(p.name for p in (out / "tools").iterdir()) == [".dockerignore", "out", "tool"], list((out / "tools").iterdir())
        assert (out / "from-git").read_text() == "git" and "www" in (out / "deps").read_text() and (out / "bound").read_text() == "tool"
        for value, why in ((f"base={tools}", "a stage stands on an image"), ("tools=http://127.0.0.1:1/x.tar", "context 'tools': download"),
                           ("tools=target:x", "is a target"), (f"tools={w.directory}/missing", "context 'tools'")):
            _, said = run(w, *named, "--build-context", value, "-o", w.directory / "no", place, code=1)
            assert why in said, (value, said)


def a_dockerfile_may_come_from_standard_input():
    with world() as w:
        place = context(w, "broken", {"f": "1"})
        text = f"FROM {w.base}\nCOPY f /f\n"
        assert run(w, "-f", "-", place, stdin=text)[0].startswith("sha256:")
        assert run(w, "-", stdin=f"FROM {w.base}\nLABEL a=b\n")[0].startswith("sha256:")
        assert "can't use stdin for both" in run(w, "-f", "-", "-", stdin=text, code=2)[1]


def an_archive_is_a_context():
    with world() as w:
        packed = w.directory / "web/context.tar.gz"
        packed.parent.mkdir()
        place = context(w, f"FROM {w.base}\nCOPY . /all/\n", {"f": "1", "sub/g": "2", "left-out": "3", ".dockerignore": "left-out\nDockerfile\n",
                                                              "Other": f"FROM {w.base}\nCOPY f /f\n"})
        with tarfile.open(packed, "w:gz") as tar:
            tar.add(place, ".")
        run(w, "-o", w.directory / "from-stdin", "-", stdin=packed.read_bytes())
        assert sorted(p.name for p in (w.directory / "from-stdin/all").rglob("*")) == [".dockerignore", "Other", "f", "g", "sub"]
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=packed.parent))
        loopback.start(server)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        run(w, "-o", w.directory / "from-url", "-f", "Other", f"{url}/context.tar.gz")
        assert (w.directory / "from-url/f").read_text() == "1"
        (packed.parent / "Elsewhere").write_text(f"FROM {w.base}\nCOPY sub/g /g\n")
        run(w, "-o", w.directory / "url-file", "-f", f"{url}/Elsewhere", place)
        assert (w.directory / "url-file/g").read_text() == "2"
        (packed.parent / "Alone").write_text(f"FROM {w.base}\nLABEL a=b\n")
        run(w, f"{url}/Alone")
        server.shutdown()
        hostile = w.directory / "hostile.tar"
        with tarfile.open(hostile, "w") as tar:
            for name, kind, target in (("Dockerfile", tarfile.REGTYPE, ""), ("out", tarfile.SYMTYPE, "/etc"), ("../escaped", tarfile.REGTYPE, "")):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = kind, target
                body = f"FROM {w.base}\nCOPY out/passwd /p\n".encode() if name == "Dockerfile" else b""
                entry.size = len(body)
                tar.addfile(entry, io.BytesIO(body))
        said = run(w, "-", stdin=hostile.read_bytes(), code=1)[1]
        assert b"ERROR" in said and not (w.directory / "escaped").exists(), said


def packed(*members, how="w:gz"):
    """A tar of (name, type, text or target)."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode=how) as tar:
        for name, kind, text in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.uid, entry.mode, entry.mtime = kind, 1234, 0o755 if kind == tarfile.DIRTYPE else 0o640, 1500000000
            if kind == tarfile.REGTYPE:
                entry.size = len(text)
            else:
                entry.linkname = text
            tar.addfile(entry, io.BytesIO(text.encode()) if kind == tarfile.REGTYPE else None)
    return whole.getvalue()


def a_download_is_a_named_context():
    with world() as w:
        origin, other = Origin(), Origin()
        name = "HTTP_AUTH_TOKEN_127.0.0.1"
        place = context(w, f"FROM {image(w, 'base')}\nCOPY --from=data . /all/\nCOPY --from=data sub/f /f\nRUN --mount=type=bind,from=data,target=/m cat /m/sub/f > /bound\n")

        def built(*more, url=origin.url("/data.tar.gz"), **options):
            out = w.directory / f"out-{w.sequence}"
            w.sequence += 1
            said = run(w, "--build-context", f"data={url}", "-o", out, *more, place, **options)[1]
            return said if options.get("code") else out

        members = (("sub", tarfile.DIRTYPE, ""), ("sub/f", tarfile.REGTYPE, "data"), ("out", tarfile.SYMTYPE, "/etc"), ("same", tarfile.LNKTYPE, "sub/f"))
        for how in ("w", "w:gz", "w:xz", "w:bz2"):
            origin.body = packed(*members, how=how)
            out = built()
            assert (out / "all/sub/f").read_text() == (out / "all/same").read_text() == (out / "f").read_text() == (out / "bound").read_text() == "data"
            info = (out / "f").stat()
            assert (info.st_mode & 0o777, info.st_mtime) == (0o640, 1500000000) and (os.getuid() != 0 or info.st_uid == 0), info
            assert os.readlink(out / "all/out") == "/etc"
        # Credentials are its own host's; a redirect leads to it all the same.
        other.body, origin.leads_to, origin.wanted = origin.body, other.url("/there.tar"), "Bearer s3cr3t"
        assert (built("--secret", f"id={name},env=S", S="s3cr3t") / "f").read_text() == "data" and origin.take()[-1] == 200
        assert (built("--secret", f"id={name},env=S", url=origin.url("/elsewhere"), S="s3cr3t") / "f").read_text() == "data"
        assert {said for _, _, said in other.asked} == {None}, "a redirect took the secret along"
        assert "401" in built(code=1)
        origin.wanted = None
        # What leads outside ends inside, or is refused.
        secret = w.directory / "secret"
        secret.write_text("secret")
        for hostile in ((("sub", tarfile.SYMTYPE, str(w.directory)), ("f", tarfile.REGTYPE, "x")), (("sub", tarfile.DIRTYPE, ""), ("sub/f", tarfile.SYMTYPE, str(secret))),
                        (("sub", tarfile.DIRTYPE, ""), ("sub/f", tarfile.LNKTYPE, str(secret)))):
            origin.body = packed(*hostile)
            assert "ERROR" in built(code=1), hostile
        origin.body = packed(("../../sub/f", tarfile.REGTYPE, "in"), ("/../escaped", tarfile.REGTYPE, "in"))
        out = built()
        assert (out / "f").read_text() == "in" and (out / "all/escaped").read_text() == "in" and not (w.directory / "escaped").exists()
        origin.body = packed(*members)[:-40]
        assert "unexpected EOF" in built(code=1)
        # What is no archive is one file.
        origin.body, origin.modified = b"plain", "Fri, 14 Jul 2017 02:40:00 GMT"
        place = context(w, "FROM scratch\nCOPY --from=data / /\n")
        out = built()
        assert [(p.name, p.read_bytes(), p.stat().st_mode & 0o777, p.stat().st_mtime) for p in out.iterdir()] == [("context", b"plain", 0o600, 1500000000)]
        origin.shutdown()
        other.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def passwords_of_docker_and_podman_are_used_and_never_shown():
    need("htpasswd")
    with world() as w:
        (w.directory / "auth").mkdir()
        line = subprocess.run(["htpasswd", "-Bbn", "ann", "correct-horse"], check=True, capture_output=True, text=True).stdout.strip()
        (w.directory / "auth/htpasswd").write_text(line + "\n")
        with registry(w.directory / "auth", extra=f"auth: {{ htpasswd: {{ realm: r, path: {w.directory}/auth/htpasswd }} }}\n") as host:
            packed = base64.b64encode(b"ann:correct-horse").decode()
            config = json.dumps({"auths": {host: {"auth": packed}}})
            place = context(w, f"FROM {image(w, 'base')}\nARG P\nRUN echo $P | head -c 12; echo horse\nRUN echo {packed}\n")
            arguments = ["--push", "-t", f"{host}/private/x:1", "--build-arg", "P=correct-horse", place]
            assert "ERROR: failed to build" in run(w, *arguments, code=1)[1], "anonymous"
            (w.directory / "home/.docker").mkdir()
            (w.directory / "home/.docker/config.json").write_text(config)
            said = run(w, *arguments)[1]
            assert packed not in said and "correct-horse" not in said and "***" in said, said
            (w.directory / "home/.docker/config.json").unlink()
            (w.directory / "podman.json").write_text(config)
            run(w, *arguments, REGISTRY_AUTH_FILE=str(w.directory / "podman.json"))
            (w.directory / "podman.json").write_text(json.dumps({"credHelpers": {host: "pass"}}))
            assert "credential helper 'pass'" in run(w, *arguments, code=1, REGISTRY_AUTH_FILE=str(w.directory / "podman.json"))[1]


def secrets_of_known_names_are_for_sources():
    with world() as w, Origin() as origin, Origin() as other:
        place = context(w, f"FROM scratch\nADD {origin.url('/elsewhere')} /led\nADD {origin.url()} /f\n")
        other.body, origin.leads_to = b"other", other.url()
        for secret, wanted in (("HTTP_AUTH_TOKEN_127.0.0.1", "Bearer s3cr3t-t0ken"), ("HTTP_AUTH_HEADER_127.0.0.1", "s3cr3t-t0ken")):
            origin.wanted = wanted
            assert "401" in run(w, place, code=1)[1] and "401" in run(w, "--secret", f"id={secret}.x,env=S", place, code=1, S="s3cr3t-t0ken")[1]
            said = run(w, "--no-cache", "--secret", f"id={secret},env=S", "-o", w.directory / secret, place, S="s3cr3t-t0ken\n")[1]
            assert (w.directory / secret / "f").read_text() == "first" and (w.directory / secret / "led").read_text() == "other"
            assert "s3cr3t" not in said, said
        assert {said for _, _, said in other.asked} == {None}, "a redirect took the secret along"
        origin.wanted = None
        assert "no header" in run(w, "--secret", "id=HTTP_AUTH_HEADER_127.0.0.1,env=S", place, code=1, S="a\r\nb: c")[1]

        w.repository("lib", {"f": "private", "Dockerfile": "FROM scratch\nCOPY f /\n"})
        url = w.url("lib", "private/")
        place, host, token = context(w, f"FROM scratch\nADD {url} /\n", name="git"), url.split("/")[2], git_http.TOKEN
        header = "Basic " + base64.b64encode(f"me:{token}".encode()).decode()
        wrong = {"GIT_AUTH_TOKEN": "wrong"}
        for number, secrets in enumerate(({"GIT_AUTH_TOKEN": token}, {f"GIT_AUTH_TOKEN.{host}": token, **wrong}, {"GIT_AUTH_HEADER": header},
                                          {f"GIT_AUTH_HEADER.{host}": header, **wrong}, {"GIT_AUTH_HEADER": "basic", "GIT_AUTH_TOKEN": f"me:{token}"})):
            said = [f"--secret=id={name},env=S{i}" for i, name in enumerate(secrets)]
            variables = {f"S{i}": value for i, value in enumerate(secrets.values())}
            for kind, what in (("add", place), ("context", url)):
                out = w.directory / f"out-{number}-{kind}"
                printed = run(w, *said, "-o", out, what, **variables)[1]
                assert (out / "f").read_text() == "private" and token not in printed and header not in printed, (secrets, kind)
        for secrets in ({"GIT_AUTH_TOKEN.example.com": token}, wrong, {"GIT_AUTH_HEADER": "bearer", "GIT_AUTH_TOKEN": token}):
            said = [f"--secret=id={name},env=S{i}" for i, name in enumerate(secrets)]
            run(w, *said, place, code=1, **{f"S{i}": value for i, value in enumerate(secrets.values())})


# ---- what is said ----

def a_failure_shows_output_and_place():
    with world() as w:
        base = image(w, "base")
        place = context(w, f"FROM {base} AS one\nRUN true\n\nRUN --mount=type=secret,id=s echo before && \\\n    cat /run/secrets/s && \\\n    exit 3\nLABEL a=b\n")
        _, said = run(w, "--secret", "id=s,env=S", place, code=1, S="top-secret-value")
        assert "top-secret-value" not in said and re.search(r"#\d+ \d\.\d{3} \*\*\*$", said, re.M), said
        assert "------\n > [3/3] RUN --mount=type=secret,id=s" in said, said
        assert ("Dockerfile:4\n--------------------\n" in said and "   4 | >>> RUN --mount" in said and "   6 | >>>     exit 3" in said
                and "   7 |     LABEL a=b" in said), said
        assert said.strip().splitlines()[-1].startswith("ERROR: failed to build: line 4: RUN: process \"/bin/sh -c echo before"), said
        assert "exit code: 3" in said
        _, said = run(w, context(w, f"FROM {base}\nNOSUCH x\n"), code=1)
        assert "   2 | >>> NOSUCH x" in said and "unknown instruction: NOSUCH" in said, said
        _, said = run(w, context(w, f"FROM {base}\nADD https://ann:hunter2@127.0.0.1:1/x /\nNOSUCH y\n"), code=1)
        assert "   2 |     ADD https://ann:***@127.0.0.1:1/x /" in said and "hunter2" not in said, said
        _, said = run(w, w.directory / "nowhere", code=1)
        assert "neither a directory nor a git repository" in said, said


def warnings_are_told_as_buildx_tells_them():
    with world() as w:
        place = context(w, f"FROM {w.base} AS X\nCOPY f /f\n", {"f": "1"})
        out, _ = run(w, "--check", place, code=1)
        assert out.startswith("Check complete, 1 warning has been found!\n\nWARNING: StageNameCasing - https://docs.docker.com/"), out
        assert "Stage name 'X' should be lowercase\nDockerfile:1\n--------------------\n   1 | >>> FROM" in out, out
        _, said = run(w, place)
        assert "\n 1 warning found" in said and " - StageNameCasing: Stage name 'X' should be lowercase (line 1)\n" in said, said
        knows = context(w, f"FROM {image(w, 'base')}\nENV A=$PATH B=$NOWHERE\n", name="knows")
        said = run(w, knows)[1]
        assert "1 warning found" in said and "UndefinedVar: Usage of undefined variable '$NOWHERE' (line 2)" in said, "the base has a PATH"
        strict = f"# check=error=true\nFROM {image(w, 'base')} AS X\nMAINTAINER me\nRUN echo is not run\n"
        said = run(w, context(w, strict, name="strict"), code=1)[1]
        assert said.splitlines()[-1] == "ERROR: failed to build: lint violation found for rules: StageNameCasing, MaintainerDeprecated", said
        assert "2 warnings found" in said and "is not run\n#" not in said and "[2/2]" not in said, said
        for skipped in ("skip=StageNameCasing,MaintainerDeprecated;error=true", "skip=all"):
            assert "warning" not in run(w, context(w, strict.replace("error=true", skipped), name="skipped"))[1]
        above = strict.replace("MAINTAINER", "# check=skip=MaintainerDeprecated\nMAINTAINER").replace(" AS X", "")
        assert "warning" not in run(w, context(w, above, name="above"))[1]
        assert "lint violation" not in run(w, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=false", context(w, strict, name="strict"))[1]
        clean = context(w, "FROM scratch\nCOPY f /f\n", {"f": "1"}, "clean")
        assert run(w, "--call=check", clean)[0] == "Check complete, no warnings found.\n"
        ignored = context(w, "FROM scratch\nCOPY f /f\n", {"f": "1", ".dockerignore": "f\n"}, "ignored")
        assert "CopyIgnoredFile" in run(w, "--check", ignored, code=1)[0]
        out, _ = run(w, "--check", context(w, "FROM scratch\nNOSUCH\n", name="bad"), code=1)
        assert "ERROR: " in out and "   2 | >>> NOSUCH" in out, out
        out, _ = run(w, "--call", "targets", context(w, "# build makes it\nFROM scratch AS build\nFROM scratch\n", name="targets"))
        assert re.search(r"^build +scratch +makes it$", out, re.M) and "(default)" in out, out


def frontends_of_others_are_told_of():
    """Who writes `# syntax=` of another language may mean something else."""
    with world() as w:
        for name, foreign in (("docker/dockerfile:1.7-labs", False), ("mirror.example:5000/hub/docker/dockerfile:1@sha256:" + "a" * 64, False),
                              ("docker.io/docker/dockerfile-upstream:master", False), ("docker/dockerfile-x", True), ("notdocker/dockerfile:1", True)):
            plain, said = context(w, "FROM scratch\nLABEL a=b\n", name="plain"), context(w, f"# syntax={name}\nFROM scratch\nLABEL a=b\n", name="said")
            for told in (run(w, said)[1], run(w, "--build-arg", f"BUILDKIT_SYNTAX={name}", plain)[1]):
                assert (f"WARNING: it is read as one of docker/dockerfile:1, frontends such as '{name}'" in told) == foreign, (name, told)


def what_cannot_be_honoured_is_refused_by_name():
    with world() as w:
        place = context(w, "FROM scratch\nLABEL a=b\n")
        for argument in ("--add-host=a:host-gateway", "--add-host=a:1.2.3", "--shm-size=1x", "--ulimit=nofile=1", "--load", "--cache-to=type=inline", "--cache-to=type=gha,scope=x",
                         "--cache-from=type=s3,bucket=x", "--cache-to=x.example/y,compression=zstd", "--provenance=true", "--sbom=true", "--sbom=generator=x",
                         "--attest=type=other", "--sign=/nosuch", "--memory=1g",
                         "--squash", "--cgroup-parent=x", "--network=bridge", "--pull=false"):
            _, said = run(w, argument, place, code=2)
            assert argument.split("=")[0] in said and "--help" in said, said
        for argument, reason in (("--nosuch", "unknown option --nosuch"), ("-z", "unknown option -z"), ("--push", "--tag"), ("--file", "needs a value"),
                                 ("--secret=src=x", "id=NAME"), ("--output=type=oci", "dest="), ("--output=type=docker", "docker load -i"),
                                 ("--tag=UPPER", "lower case")):
            said = run(w, *([place, argument] if argument == "--file" else [argument, place]), code=2)[1]
            assert reason in said, (argument, said)
        assert "one CONTEXT" in run(w, place, place, code=2)[1] and "no CONTEXT" in run(w, code=2)[1]
        for argument in ("--provenance=false", "--sbom=false", "--rm", "--force-rm", "--pull", "--network=host", "--no-cache", "--squash=false"):
            run(w, argument, place)
        usage = subprocess.run([PUSHWRIGHT, "build", "--help"], capture_output=True, text=True)
        assert usage.returncode == 0 and "--build-arg" in usage.stdout and max(map(len, usage.stdout.splitlines())) <= 120


def what_a_command_is_given_can_be_said():
    with world() as w:
        base = image(w, "base")
        place = context(w, f"FROM {base} AS one\nRUN cat /etc/hosts > /hosts; grep ' /dev/shm ' /proc/self/mounts > /shm; cat /proc/sys/kernel/random/uuid > /id\n"
                           "FROM scratch\nCOPY --from=one /hosts /shm /id /\n")
        how = ("--add-host", "build.example:192.0.2.7", "--add-host=six=[2001:db8::7]", "--shm-size=8m")
        run(w, *how, "-o", w.directory / "first", place)
        hosts = (w.directory / "first/hosts").read_text()
        assert "127.0.0.1\tlocalhost" in hosts and hosts.endswith("192.0.2.7\tbuild.example\n2001:db8::7\tsix\n"), hosts
        assert "size=8192k" in (w.directory / "first/shm").read_text().splitlines()[-1], (w.directory / "first/shm").read_text()
        of = lambda name, *more: (run(w, *more, "-o", w.directory / name, place), (w.directory / name / "id").read_text())[1]
        first = (w.directory / "first/id").read_text()
        assert of("again", *how) == first and of("other-stage", *how, "--no-cache-filter", "two") == first, "from the cache"
        assert of("hosts", *how, "--add-host=more:192.0.2.8") != first and of("fresh", *how, "--no-cache-filter=x,ONE") != first, "made anew"


ASK = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* How many keys the agent has: SSH_AGENTC_REQUEST_IDENTITIES, as often as it is told, over connections at the same time. */
int main(int count, char **arguments)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int ends[64], times = count > 1 ? atoi(arguments[1]) : 1;

    strcpy(name.sun_path, getenv("SSH_AUTH_SOCK"));
    for (int i = 0; i < times; i++) {
        ends[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(ends[i], (struct sockaddr *)&name, sizeof(name)) != 0)
            return perror("connect"), 1;
    }
    for (int i = times; i-- > 0;) {
        unsigned char answer[9];
        if (write(ends[i], "\0\0\0\1\13", 5) != 5 || recv(ends[i], answer, 9, MSG_WAITALL) != 9)
            return perror("ask"), 1;
        printf("%d keys\n", answer[8]);
        close(ends[i]);
    }
    return 0;
}
"""


@contextlib.contextmanager
def ssh_agent(w):
    """A real one, with a key; how to name it."""
    socket = w.directory / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, 10, "the agent")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.directory / "key"], check=True)
        subprocess.run(["ssh-add", "-q", w.directory / "key"], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(socket)})
        yield f"default={socket}"
    finally:
        agent.terminate()
        agent.wait(10)


def an_agent_is_lent_to_whom_its_mount_names():
    with world() as w, ssh_agent(w) as agent:
        base = image(w, "base")
        (w.directory / "ask.c").write_text(ASK)
        subprocess.run(["cc", "-static", "-o", w.directory / "ask", w.directory / "ask.c"], check=True)
        place = context(w, f"""FROM {base} AS asked
COPY --chmod=755 ask /bin/
RUN --mount=type=ssh stat -c '%u:%g %a %F' $SSH_AUTH_SOCK > /root/first && ask 16 >> /root/first; chmod 1777 /tmp
USER alice
RUN --mount=type=ssh,uid=1000,gid=50,mode=0620 stat -c '%u:%g %a' $SSH_AUTH_SOCK > /tmp/o && ask >> /tmp/o
RUN --mount=type=ssh ask > /tmp/denied 2>&1 || true
RUN --mount=type=ssh,uid=1000,target=/tmp/own env | grep SSH_AUTH_SOCK > /tmp/named && for i in $(seq 20); do ask 2; done > /tmp/many
RUN test ! -e /run/buildkit && test ! -e /tmp/own
FROM scratch
COPY --from=asked /root/first /tmp/ /
""")
        shutil.copy(w.directory / "ask", place / "ask")
        for name, *how in (("first",), ("chroot", "--isolation=chroot", "--no-cache")):
            out = w.directory / name
            run(w, "--ssh", agent, *how, "-o", out, place)
            assert (out / "o").read_text() == "1000:50 620\n1 keys\n", (out / "o").read_text()
            assert (out / "first").read_text() == "0:0 600 socket\n" + "1 keys\n" * 16, (out / "first").read_text()
            assert "Permission denied" in (out / "denied").read_text(), (out / "denied").read_text()
            assert (out / "named").read_text() == "SSH_AUTH_SOCK=/tmp/own\n" and (out / "many").read_text() == "1 keys\n" * 40
        assert not list(w.directory.rglob("agent-*")), "sockets are left behind"
        place = context(w, f"FROM {base}\nCOPY --chmod=755 ask /bin/\nRUN --mount=type=ssh,id=other,required ask\n", name="missing")
        shutil.copy(w.directory / "ask", place / "ask")
        assert 'no SSH key "other" forwarded from the client' in run(w, "--ssh", agent, place, code=1)[1]


def a_foreign_machine_needs_an_emulator():
    """A program for arm64 that ends well: mov x8, 93; mov x0, 0; svc 0."""
    code = struct.pack("<III", 0xD2800BA8, 0xD2800000, 0xD4000001)
    elf = (struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 183, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
           + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 120 + len(code), 120 + len(code), 0x1000) + code)
    with world() as w:
        place = context(w, "FROM scratch\nCOPY --chmod=755 well /well\nRUN [\"/well\"]\n")
        (place / "well").write_bytes(elf)
        registered = any(pathlib.Path("/proc/sys/fs/binfmt_misc").glob("*aarch64*")) or os.uname().machine == "aarch64"
        said = run(w, "--platform", "linux/arm64", place, code=0 if registered else 1)[1]
        if not registered:
            assert said.splitlines()[-1].endswith("RUN for linux/arm64 needs qemu-user registered on this machine: apt-get install "
                                                  "qemu-user-static binfmt-support"), said
            raise Skip("no qemu-user for arm64 is registered here: only the refusal was seen")


def progress_is_written_in_whole_lines():
    with world() as w:
        place = context(w, f"FROM {w.base}\nMAINTAINER me\nCOPY f /f\n", {"f": "file"})
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps apart what was written apart
        with ours:
            with theirs:
                subprocess.run([PUSHWRIGHT, "build", place], env=environment(w), stdout=subprocess.DEVNULL, stderr=theirs, timeout=120, check=True)
            written = list(iter(lambda: ours.recv(65536), b""))
        assert b"MaintainerDeprecated" in b"".join(written), written
        assert all(piece.endswith(b"\n") for piece in written), written


def json_is_what_buildkit_writes():
    with world() as w:
        place = context(w, f"FROM {image(w, 'base')}\nRUN echo said\n")
        _, said = run(w, "--progress=rawjson", place)
        statuses = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        vertexes = [v for status in statuses for v in status.get("vertexes", [])]
        run_step = {v["digest"] for v in vertexes if v["name"].startswith("[2/2] RUN")}
        assert len(run_step) == 1 and any(v["digest"] in run_step and "completed" in v for v in vertexes), vertexes
        logs = [entry for status in statuses for entry in status.get("logs", []) if entry["vertex"] in run_step]
        assert b"said\n" in [base64.b64decode(entry["data"]) for entry in logs], logs


def on_a_terminal(w, arguments, columns=80, rows=24, resize=None, **more):
    child, terminal = pty.fork()
    if child == 0:
        os.execve(PUSHWRIGHT, ["pushwright", "build", *map(str, arguments)], environment(w, TERM="xterm", **more))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    seen = b""
    try:
        while True:
            piece = os.read(terminal, 65536)
            if not piece:
                break
            seen += piece
            if resize and b"half" in seen:
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, resize, 0, 0))
                resize = None
    except OSError:
        pass  # the other end is gone
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode()


def screen(seen):
    """What stands there after everything was drawn, for output that fits."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+", seen):
        if token == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif token.endswith("A") and token.startswith("\x1b"):
            row -= int(token[2:-1] or 1)
            assert row >= 0, "drawn above the top"
        elif token == "\x1b[J":
            del lines[row + 1:]
            lines[row] = ""
        elif token[0] not in "\x1b\r":
            lines[row] += token
    return lines


def a_terminal_is_redrawn():
    with world() as w:
        base = image(w, "base")
        place = context(w, f"FROM {base}\nRUN printf 'half\\033[31mred\\033[0m\\r'; echo whole; sleep 0.5; echo {'long ' * 60}\nRUN echo second\n")
        code, seen = on_a_terminal(w, [place, "-o", f"type=oci,dest={w.directory}/x.tar"])
        assert code == 0 and "\x1b[34m" in seen, seen
        assert re.search(r" => \[2/3\] RUN printf.*0\.[2-5]s", seen) and " => => # " in seen, "running, with its time and what it said"
        lines = screen(seen)
        assert [bool(re.match(r" => \[[123]/3\]", line)) for line in lines].count(True) == 3, lines
        assert any(re.match(r"\[\+\] Building \d+\.\ds \((\d+)/\1\) FINISHED", line) for line in lines), lines
        steps = [line for line in lines if line.startswith(" =>")]
        assert all(len(line) == 79 and line.endswith("s") for line in steps), steps
        code, seen = on_a_terminal(w, [place], columns=120, resize=40, NO_COLOR="1")
        assert code == 0 and not re.search(r"\x1b\[\d*m", seen), seen
        code, seen = on_a_terminal(w, [context(w, f"FROM {base}\nRUN echo so; exit 4\n")])
        assert code == 1 and " => ERROR [2/2] RUN echo so" in seen and "FAILED" in seen and ">>> RUN echo so" in seen, seen


def an_interrupt_ends_everything():
    with world() as w:
        place = context(w, f"FROM {image(w, 'base')}\nRUN echo running; sleep 4321\n")
        child = subprocess.Popen([PUSHWRIGHT, "build", place], env=environment(w), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in child.stderr:
            if line.endswith(" running\n"):
                break
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
        assert child.wait(20) == 130 and "interrupted" in rest, rest
        left = [p for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and b"4321" in ((p / "cmdline").read_bytes() if (p / "cmdline").exists() else b"")]
        assert not left and not list((w.directory / "cache/layers").glob("new-*")), left


# ---- where it runs ----

def an_ordinary_user_builds_with_run():
    if os.geteuid() != 0:
        raise Skip("every other test is one of an ordinary user")
    with world() as w:
        base = image(w, "base")
        own = w.directory / "user"
        own.mkdir()
        for path in (w.directory, own):
            path.chmod(0o755)
        place = context(w, f"FROM {base}\nRUN id -u > /id && echo ran\n")
        shutil.copy(PUSHWRIGHT, own / "pushwright")
        os.chown(own, 12345, 12345)
        # By himself, and as the root of a namespace in which there is nobody else.
        for number, wrap in enumerate(([], ["unshare", "-Ur"])):
            done = subprocess.run([*wrap, own / "pushwright", "build", "--no-cache", "-o", own / f"files{number}", place], capture_output=True, text=True,
                                  user=12345, group=12345, extra_groups=[], env={"PATH": os.environ["PATH"], "HOME": str(own)}, timeout=120)
            if done.returncode and "RUN needs" in done.stderr:
                raise Skip("this machine allows ordinary users no namespaces")
            assert done.returncode == 0 and " ran\n" in done.stderr, done.stderr
            assert (own / f"files{number}/id").read_text() == "0\n" and (own / ".cache/pushwright").is_dir()


def root_of_a_podman_container_builds():
    with world() as w:
        place = context(w, f"FROM {image(w, 'base')}\nRUN echo ran > /ran && echo inside\n")
        run(w, "-t", "localhost/tool:1", "-o", f"type=docker,dest={w.directory}/tool.tar", context(w, f"FROM {w.host}/fx/base:1\n", name="tool"))
        start = [*ordinary_container(w.directory, w.directory / "tool.tar", "localhost/tool:1"), "-v", f"{w.directory}:{w.directory}",
                 "-v", f"{PUSHWRIGHT}:/bin/pushwright:ro"]
        done = subprocess.run([*start, "localhost/tool:1", "/bin/pushwright", "build", place], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and " inside" in done.stderr, (done.stdout, done.stderr)


if __name__ == "__main__":
    run_tests([an_image_is_pushed_with_all_that_was_said_of_it, every_output_holds_the_same_image, the_cache_lies_where_it_is_told_to,
               what_is_said_of_an_image_stands_beside_it, podman_loads_what_is_made_for_docker,
               a_git_repository_is_a_context, named_contexts_stand_for_what_they_say, a_download_is_a_named_context, a_dockerfile_may_come_from_standard_input, an_archive_is_a_context, passwords_of_docker_and_podman_are_used_and_never_shown, secrets_of_known_names_are_for_sources,
               a_failure_shows_output_and_place, warnings_are_told_as_buildx_tells_them, frontends_of_others_are_told_of, what_cannot_be_honoured_is_refused_by_name, what_a_command_is_given_can_be_said, an_agent_is_lent_to_whom_its_mount_names,
               a_foreign_machine_needs_an_emulator,
               progress_is_written_in_whole_lines, json_is_what_buildkit_writes, a_terminal_is_redrawn, an_interrupt_ends_everything, an_ordinary_user_builds_with_run,
               root_of_a_podman_container_builds])
