#!/usr/bin/env python3
"""What the shipped build function says beside an image, in a real registry: signatures, provenance and lists of packages. Judged by skopeo's policy engine and openssl."""
import base64
import hashlib
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build_test import d, f, world, write_layout
from inline_test import ask, chain_of, ended
from pushwright import SKOPEO, http as http_call, need, run_tests
from run_test import image as busybox_image

SIMPLE, DSSE, IN_TOTO = ("application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dsse.envelope.v1+json",
                         "application/vnd.in-toto+json")
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MANIFESTS = {"Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"}
DOCKERFILE = "ARG SECRETIVE\nFROM {base}\nCOPY hello /\n"


def keys(directory, name="key", curve="prime256v1"):
    """(private, public) made by openssl."""
    need("openssl")
    private, public = directory / f"{name}.pem", directory / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", private], check=True,
                   capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


def get(w, name, path):
    return http_call("GET", f"http://{w.host}/v2/acme/{name}/{path}", headers=MANIFESTS)


def manifest(w, name, reference):
    answer = get(w, name, f"manifests/{reference}")
    assert answer.status == 200, (reference, answer.status)
    return json.loads(answer.body)


def blob(w, name, digest):
    body = get(w, name, f"blobs/{digest}").body
    assert "sha256:" + hashlib.sha256(body).hexdigest() == digest
    return body


def referrers(w, name, digest):
    """{artifact type: [content of its first blob]}, by the tag that stands for the list where a registry has none."""
    found = {}
    answer = get(w, name, f"manifests/{digest.replace(':', '-')}")
    for entry in json.loads(answer.body)["manifests"] if answer.status == 200 else []:
        it = manifest(w, name, entry["digest"])
        assert it["subject"]["digest"] == digest and it["artifactType"] == entry["artifactType"]
        found.setdefault(entry["artifactType"], []).append(blob(w, name, it["layers"][0]["digest"]))
    return found


def openssl_accepts(directory, public, message, signature):
    (directory / "message").write_bytes(message)
    (directory / "signature").write_bytes(signature)
    return subprocess.run(["openssl", "dgst", "-sha256", "-verify", public, "-signature", directory / "signature", directory / "message"],
                          capture_output=True).returncode == 0


def signed_statement(directory, public, envelope):
    """The statement in a DSSE envelope whose signature openssl accepts."""
    payload = base64.b64decode(envelope["payload"])
    encoded = b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)
    assert envelope["payloadType"] == IN_TOTO
    assert openssl_accepts(directory, public, encoded, base64.b64decode(envelope["signatures"][0]["sig"]))
    return json.loads(payload)


def check_tag_signature(w, name, digest, public):
    """What stands behind sha256-HEX.sig is about this image, and openssl accepts it."""
    (layer,) = manifest(w, name, digest.replace(":", "-") + ".sig")["layers"]
    payload = blob(w, name, layer["digest"])
    assert layer["mediaType"] == SIMPLE and json.loads(payload) == {
        "critical": {"identity": {"docker-reference": f"{w.host}/acme/{name}"}, "image": {"docker-manifest-digest": digest},
                     "type": "cosign container image signature"}, "optional": None}
    assert openssl_accepts(w.directory, public, payload, base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))


def check_by_skopeo(w, image, good, bad=None):
    """containers/image, as podman and CRI-O use it, takes nothing but what the key has signed. Debian 12 compiles it without."""
    result = skopeo(w, image, good)
    if "sigstore disabled" in result.stderr:
        return
    assert result.returncode == 0, result.stderr
    assert bad is None or skopeo(w, image, bad).returncode != 0


def skopeo(w, image, public):
    registries = w.directory / "registries.d"
    registries.mkdir(exist_ok=True)
    (registries / "here.yaml").write_text(f"docker:\n  {w.host}:\n    use-sigstore-attachments: true\n")
    (w.directory / "policy.json").write_text(json.dumps(
        {"default": [{"type": "reject"}],
         "transports": {"docker": {w.host: [{"type": "sigstoreSigned", "keyPath": str(public),
                                             "signedIdentity": {"type": "matchRepository"}}]}}}))
    w.sequence += 1
    return subprocess.run([*SKOPEO, "--policy", w.directory / "policy.json", "--registries.d", registries, "copy", "--all", "-q",
                           "--remove-signatures", "--src-tls-verify=false", f"docker://{w.host}/{image}",
                           f"oci:{w.directory}/verified-{w.sequence}:x"], capture_output=True, text=True)


def nothing_is_said_unless_it_is_asked_for():
    with world() as w:
        commit = w.repository("plain", {"Dockerfile": DOCKERFILE.format(base=w.base), "hello": "hello"})
        w.rule("plain")
        digest, *_ = w.built("plain", commit)
        assert referrers(w, "plain", digest) == {}
        assert get(w, "plain", f"manifests/{digest.replace(':', '-')}.sig").status == 404


def provenance_says_where_an_image_comes_from():
    with world() as w:
        commit = w.repository("told", {"Dockerfile": DOCKERFILE.format(base=w.base), "hello": "hello"})
        w.rule("told", provenance=True, args={"SECRETIVE": "hunter2-{sha}"}, dockerfile="./Dockerfile")
        digest, *_ = w.built("told", commit)
        (text,) = referrers(w, "told", digest)[IN_TOTO]
        said = json.loads(text)
        assert said["_type"] == "https://in-toto.io/Statement/v1" and said["predicateType"] == "https://slsa.dev/provenance/v1"
        assert said["subject"] == [{"name": f"{w.host}/acme/told", "digest": {"sha256": digest[7:]}}], said
        definition, run = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
        assert definition["externalParameters"] == {
            "rule": "told", "repository": w.url("told"), "ref": "refs/heads/main", "dockerfile": "./Dockerfile", "context": ".",
            "args": ["SECRETIVE"], "platforms": ["linux/amd64"]}, definition
        source, base = definition["resolvedDependencies"]
        assert source == {"uri": f"git+{w.url('told')}@refs/heads/main", "digest": {"gitCommit": commit}}
        standing = http_call("GET", f"http://{w.host}/v2/fx/base/manifests/1", headers=MANIFESTS).body
        assert base["digest"]["sha256"] == hashlib.sha256(standing).hexdigest() and base["uri"].startswith("pkg:oci/base@"), base
        assert run["metadata"]["startedOn"] <= run["metadata"]["finishedOn"] and run["metadata"]["invocationId"] and run["builder"]["id"]
        assert b"hunter2" not in text


def an_inline_dockerfile_is_told_by_its_digest():
    with world() as w:
        text = "FROM scratch\nLABEL a=b\nWORKDIR /x\n"
        with chain_of(w, text, provenance=True) as chain:
            assert ask(chain).status == 202
            digest = "sha256:" + hashlib.sha256(http_call("GET", f"http://{w.host}/v2/acme/box/manifests/{ended(chain, 1)['tag']}",
                                                          headers=MANIFESTS).body).hexdigest()
            definition = json.loads(referrers(w, "box", digest)[IN_TOTO][0])["predicate"]["buildDefinition"]
            assert definition["resolvedDependencies"] == [{"digest": {"sha256": hashlib.sha256(text.encode()).hexdigest()}}], definition
            assert "repository" not in definition["externalParameters"] and "dockerfile" not in definition["externalParameters"]


def the_image_is_the_same_however_often_it_is_pushed():
    with world() as w:
        files = {"Dockerfile": DOCKERFILE.format(base=w.base), "hello": "hello"}
        private, public = keys(w.directory)
        first = w.repository("again", files)
        w.rule("again", provenance=True, sign={"key": {"file": str(private)}})
        before, *_ = w.built("again", first)
        said_before = referrers(w, "again", before)
        after, *_ = w.built("again", first, asked="person")
        said = referrers(w, "again", after)
        assert before == after
        assert len(said_before[IN_TOTO]) == 1 and len(said[IN_TOTO]) == 2 and len(set(said[IN_TOTO])) == 2, said
        signatures = manifest(w, "again", before.replace(":", "-") + ".sig")["layers"]
        assert len(signatures) == 1, "the same key signs the same image once"


def signatures_are_accepted_by_others():
    with world() as w:
        private, public = keys(w.directory)
        _, other = keys(w.directory, "other")
        commit = w.repository("signed", {"Dockerfile": DOCKERFILE.format(base=w.base), "hello": "hello"})
        w.rule("signed", provenance=True, platforms=["linux/amd64"], sign={"key": {"file": str(private)}})
        digest, *_ = w.built("signed", commit)
        check_tag_signature(w, "signed", digest, public)
        check_by_skopeo(w, f"acme/signed:main-{commit[:7]}", public, other)
        said = referrers(w, "signed", digest)
        statements = [json.loads(b) for b in said[BUNDLE]]
        predicates = {signed_statement(w.directory, public, b["dsseEnvelope"])["predicateType"] for b in statements}
        assert predicates == {"https://slsa.dev/provenance/v1", "https://sigstore.dev/cosign/sign/v1"}
        (layer,) = manifest(w, "signed", digest.replace(":", "-") + ".att")["layers"]
        assert layer["mediaType"] == DSSE and layer["annotations"]["predicateType"] == "https://slsa.dev/provenance/v1"
        statement = signed_statement(w.directory, public, json.loads(blob(w, "signed", layer["digest"])))
        assert statement == json.loads(said[IN_TOTO][0])
        der = subprocess.run(["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"], check=True, capture_output=True).stdout
        assert {b["verificationMaterial"]["publicKey"]["hint"] for b in statements} == {
            base64.b64encode(hashlib.sha256(der).digest()).decode()}


def every_platform_and_the_index_are_signed():
    with world() as w:
        private, public = keys(w.directory)
        commit = w.repository("many", {"Dockerfile": "FROM scratch\nCOPY . /\nARG TARGETARCH\nLABEL a=$TARGETARCH\n", "hello": "hello"})
        w.rule("many", platforms=["linux/amd64", "linux/arm64"], provenance=True, sign={"key": {"file": str(private)}})
        code, events, log = w.build("many", commit)
        assert code == 0, log
        check_by_skopeo(w, f"acme/many:main-{commit[:7]}", public)
        index = get(w, "many", f"manifests/main-{commit[:7]}").body
        digests = [e["digest"] for e in json.loads(index)["manifests"]] + ["sha256:" + hashlib.sha256(index).hexdigest()]
        for digest in digests:
            statement = json.loads(referrers(w, "many", digest)[IN_TOTO][0])
            assert [s["digest"]["sha256"] for s in statement["subject"]] == [d[7:] for d in digests]
            check_tag_signature(w, "many", digest, public)


def stanza(name, version="1.0-1", status="install ok installed"):
    return f"Package: {name}\nStatus: {status}\nMaintainer: A B <a@b.example>\nArchitecture: amd64\nVersion: {version}\n\n"


def listed(w, name, digest):
    """The SBOM beside the image: (document, {package: (version, purl)})."""
    (text,) = referrers(w, name, digest)["application/spdx+json"]
    document = json.loads(text)
    image, *packages = document["packages"]
    assert image["checksums"] == [{"algorithm": "SHA256", "checksumValue": digest[7:]}]
    assert document["documentNamespace"].endswith(digest) and document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    assert {r["relatedSpdxElement"] for r in document["relationships"]} == {p["SPDXID"] for p in document["packages"]}
    return document, {p["name"]: (p["versionInfo"], p["externalRefs"][0]["referenceLocator"]) for p in packages}


def base_with(w, name, files):
    """Pushes a base whose first layer holds the files, and a second that does not touch them; returns its name."""
    directories = {parent for path in files for parent in map(str, pathlib.PurePosixPath(path).parents) if parent != "."}
    write_layout(w.directory / name, layers=[[d(p) for p in sorted(directories)] + [f(p, c) for p, c in files.items()], [f("later", "x")]])
    subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{w.directory}/{name}:base", f"docker://{w.host}/fx/{name}:1"],
                   check=True, capture_output=True)
    return f"{w.host}/fx/{name}:1"


def packages_of_the_base_are_listed():
    cases = {
        "debian": ({"etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
                    "var/lib/dpkg/status": stanza("hello", "2.10-3") + stanza("gone", status="deinstall ok config-files")},
                   {"hello": ("2.10-3", "pkg:deb/debian/hello@2.10-3?arch=amd64&distro=debian-12")}),
        "distroless": ({"usr/lib/os-release": "ID=debian\n", "var/lib/dpkg/status.d/base": "Package: base-files\nVersion: 12\n",
                        "var/lib/dpkg/status.d/base.md5sums": "Package: sums\nVersion: 1\n"},
                       {"base-files": ("12", "pkg:deb/debian/base-files@12?distro=debian")}),
        "alpine": ({"lib/apk/db/installed": "P:musl\nV:1.2.4-r2\nA:x86_64\n\n"},
                   {"musl": ("1.2.4-r2", "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64")}),
        "fedora": ({"var/lib/rpm/rpmdb.sqlite": "SQLite format 3"}, {}),
        "many": ({"var/lib/dpkg/status": "".join(stanza(f"p{i}", f"{i}") for i in range(10000))},
                 {f"p{i}": (str(i), f"pkg:deb/debian/p{i}@{i}?arch=amd64") for i in range(10000)}),
        "empty": ({"etc/hostname": "x"}, {}),
    }
    with world() as w:
        for name, (files, expected) in cases.items():
            base = base_with(w, f"base-{name}", files)
            commit = w.repository(name, {"Dockerfile": f"FROM {base}\nCOPY hello /\n", "hello": "hello"})
            w.rule(name, sbom=True)
            digest, *_ = w.built(name, commit)
            document, packages = listed(w, name, digest)
            assert packages == expected, (name, packages)
            assert ("rpm" in document.get("comment", "")) == (name == "fedora")
            again, *_ = w.built(name, commit, asked="person")
            assert again == digest and listed(w, name, digest)[0] == document, "one image, one list"


def packages_are_listed_as_the_image_has_them():
    """Whatever laid the database there: COPY, another stage, a file deleted, one too large for an index."""
    with world() as w:
        base = base_with(w, "layered", {"var/lib/dpkg/status": stanza("old")})
        large = base_with(w, "large", {"var/lib/dpkg/status": stanza("first") + "X-Long: " + "x" * (2 << 20) + "\n\n" + stanza("last")})
        for name, dockerfile, expected in (
                ("copied", f"FROM {base}\nCOPY status /var/lib/dpkg/status\n", {"new"}),
                ("stages", f"FROM {base} AS a\nFROM scratch\nCOPY --from=a /var /var\n", {"old"}),
                ("linked", f"FROM {base}\nCOPY --link status /var/lib/dpkg/status\n", {"new"}),
                ("metadata", f"FROM {base}\nLABEL a=b\n", {"old"}),
                ("large", f"FROM {large}\nLABEL a=b\n", {"first", "last"}),
                ("nothing", "FROM scratch\nCOPY status /\n", set())):
            commit = w.repository(name, {"Dockerfile": dockerfile, "status": stanza("new")})
            w.rule(name, sbom=True)
            digest, *_ = w.built(name, commit)
            assert listed(w, name, digest)[1].keys() == expected, name


def what_run_installs_is_listed():
    with world() as w:
        base = busybox_image(w, "apt", [d("var/lib"), d("var/lib/dpkg"), f("var/lib/dpkg/status", stanza("old"))])
        commit = w.repository("run", {"Dockerfile": f"FROM {base}\nRUN echo hello > /hello\nCOPY status /tmp/\n"
                                                    "RUN cat /tmp/status >> /var/lib/dpkg/status\n", "status": stanza("new")})
        w.rule("run", sbom=True)
        digest, *_ = w.built("run", commit)
        assert listed(w, "run", digest)[1].keys() == {"old", "new"}
        w.repository("run", {"hello": "what comes from the build cache is listed, too"})
        again, *_ = w.built("run")
        assert listed(w, "run", again)[1].keys() == {"old", "new"}


def hostile_databases_are_bounded():
    with world() as w:
        loop = base_with(w, "hostile", {"var/lib/dpkg/status": "Package: \x00\n" + "\xff" * 5000 + "\n\n" + stanza("a\"},{", "1\t2"),
                                        "etc/os-release": "ID=" + "x" * 5000 + "\n"})
        commit = w.repository("hostile", {"Dockerfile": f"FROM {loop}\nCOPY links /\n", "links/lib/apk/db/installed": ("link", "installed"),
                                          "links/var/lib/rpm": ("link", "/../../../..")})
        w.rule("hostile", sbom=True)
        digest, *_ = w.built("hostile", commit)
        assert listed(w, "hostile", digest)[1] == {'a"},{': ("1\t2", "pkg:deb/debian/a%22%7D%2C%7B@1%092?arch=amd64")}
        huge = w.repository("huge", {"Dockerfile": "FROM scratch\nCOPY status /var/lib/dpkg/status\n", "status": "x" * (33 << 20)})
        w.rule("huge", sbom=True)
        code, events, log = w.build("huge", huge)
        assert "'/var/lib/dpkg/status'" in events["build.finished"]["customData"]["errors"], (events, log)


def keys_that_cannot_sign_are_told():
    with world() as w:
        _, public = keys(w.directory)
        curve, _ = keys(w.directory, "p384", "secp384r1")
        (w.directory / "junk.pem").write_text("hunter2")
        commit = w.repository("keys", {"Dockerfile": DOCKERFILE.format(base=w.base), "hello": "hello"})
        for path, sentence in ((public, "cannot be read"), (curve, "not an ECDSA key on P-256"), (w.directory / "junk.pem", "cannot be read"),
                               (w.directory / "none.pem", "none.pem")):
            w.rule("keys", sign={"key": {"file": str(path)}})
            code, events, log = w.build("keys", commit, asked="person")
            why = events["build.finished"]["customData"]["errors"]
            assert "'sign' of build 'keys'" in why and sentence in why and "artifact.published" not in events, (why, log)
            assert "hunter2" not in why + log


if __name__ == "__main__":
    run_tests([nothing_is_said_unless_it_is_asked_for, provenance_says_where_an_image_comes_from,
               an_inline_dockerfile_is_told_by_its_digest, the_image_is_the_same_however_often_it_is_pushed, signatures_are_accepted_by_others,
               every_platform_and_the_index_are_signed, packages_of_the_base_are_listed, packages_are_listed_as_the_image_has_them,
               what_run_installs_is_listed, hostile_databases_are_bounded, keys_that_cannot_sign_are_told])
