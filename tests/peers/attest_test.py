#!/usr/bin/env python3
"""What is said beside images, judged by those who read it: Sigstore's cosign and the SPDX project's own validator."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from attest_test import base_with, keys, referrers, stanza
from build_test import world
from obtain import obtain
from pushwright import SKOPEO, run_tests
from rpm_test import FEW, installed

# Without a transparency log, at a registry without TLS; in cosign's present format, and in the one before.
HERE = ["--insecure-ignore-tlog", "--allow-insecure-registry", "--allow-http-registry"]
FORMATS = ["--new-bundle-format=true", "--new-bundle-format=false"]


def cosign(program, w, *arguments, password=""):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=w.directory,
                          env={**os.environ, "HOME": str(w.directory), "COSIGN_PASSWORD": password})


def signed_image(w, name, key, password=None, **members):
    commit = w.repository(name, {"Dockerfile": "FROM scratch\nCOPY . /\nARG TARGETARCH\nLABEL arch=$TARGETARCH\n",
                                 "var/lib/dpkg/status": stanza("hello")})
    w.rule(name, provenance=True, sbom=True, sign={"key": {"file": str(key)}, **({"password": {"file": str(password)}} if password else {})},
           **members)
    _, events, log = w.build(name, commit)
    assert "artifact.published" in events, log
    return f"{w.host}/acme/{name}:main-{commit[:7]}"


def cosign_verifies_what_is_signed():
    program = obtain("cosign")
    with world() as w:
        private, public = keys(w.directory)
        _, other = keys(w.directory, "other")
        image = signed_image(w, "signed", private)
        for form in FORMATS:
            for words in (["verify"], ["verify-attestation", "--type", "slsaprovenance1"], ["verify-attestation", "--type", "spdxjson"]):
                result = cosign(program, w, *words, "--key", public, form, *HERE, image)
                assert result.returncode == 0 and "signatures were verified against the specified public key" in result.stderr, result.stderr
                assert cosign(program, w, *words, "--key", other, form, *HERE, image).returncode != 0
            missing = cosign(program, w, "verify-attestation", "--type", "vuln", "--key", public, form, *HERE, image)
            assert missing.returncode != 0, missing.stdout


def cosign_verifies_indexes_and_their_manifests():
    program = obtain("cosign")
    with world() as w:
        private, public = keys(w.directory)
        image = signed_image(w, "many", private, platforms=["linux/amd64", "linux/arm64"])
        inspected = subprocess.run([*SKOPEO, "inspect", "--raw", "--tls-verify=false", f"docker://{image}"], check=True, capture_output=True)
        names = [image] + [image.rpartition(":")[0] + "@" + m["digest"] for m in json.loads(inspected.stdout)["manifests"]]
        for form in FORMATS:
            for name in names:
                result = cosign(program, w, "verify", "--key", public, form, *HERE, name)
                assert result.returncode == 0, result.stderr


def cosigns_own_keys_sign():
    program = obtain("cosign")
    with world() as w:
        assert cosign(program, w, "generate-key-pair", password="correct horse").returncode == 0
        (w.directory / "password").write_text("correct horse\n")
        image = signed_image(w, "locked", w.directory / "cosign.key", password=w.directory / "password")
        for form in FORMATS:
            result = cosign(program, w, "verify", "--key", w.directory / "cosign.pub", form, *HERE, image)
            assert result.returncode == 0, result.stderr


def cosign_adds_its_own_signature_to_ours():
    program = obtain("cosign")
    with world() as w:
        private, public = keys(w.directory)
        image = signed_image(w, "both", private)
        cosign(program, w, "generate-key-pair")
        added = cosign(program, w, "sign", "--yes", "--key", w.directory / "cosign.key", "--new-bundle-format=false", "--use-signing-config=false",
                       "--tlog-upload=false", "--allow-insecure-registry", "--allow-http-registry", image)
        assert added.returncode == 0, added.stderr
        for key in (public, w.directory / "cosign.pub"):
            result = cosign(program, w, "verify", "--key", key, FORMATS[1], *HERE, image)
            assert result.returncode == 0, result.stderr


def accept_list_of(w, program, name, base):
    commit = w.repository(name, {"Dockerfile": f"FROM {base}\nCOPY hello /\n", "hello": "hello"})
    w.rule(name, sbom=True)
    digest, *_ = w.built(name, commit)
    (document,) = referrers(w, name, digest)["application/spdx+json"]
    (w.directory / "x.spdx.json").write_bytes(document)
    result = subprocess.run([program, "-i", w.directory / "x.spdx.json"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(document)


def lists_of_packages_are_valid_spdx():
    program = obtain("pyspdxtools")
    with world() as w:
        base = base_with(w, "base-spdx", {"etc/os-release": "ID=debian\nVERSION_ID=12\n",
                                          "var/lib/dpkg/status": stanza("hello", "1:2.10~rc1+b1") + stanza("g++-12"),
                                          "lib/apk/db/installed": "P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT AND (BSD)\nm:T <t@iki.fi>\n\n"})
        accept_list_of(w, program, "spdx", base)
        database = installed(w.directory, FEW)
        base = base_with(w, "base-rpm", {"etc/os-release": "ID=fedora\nVERSION_ID=39\n", "var/lib/rpm/rpmdb.sqlite": (database / "rpmdb.sqlite").read_bytes()})
        assert len(accept_list_of(w, program, "rpm", base)["packages"]) == 3


if __name__ == "__main__":
    run_tests([cosign_verifies_what_is_signed, cosign_verifies_indexes_and_their_manifests, cosigns_own_keys_sign, cosign_adds_its_own_signature_to_ours,
               lists_of_packages_are_valid_spdx])
