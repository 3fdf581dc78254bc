"""Images at registries: the library's test programs against docker-registry (open, with passwords, over TLS), skopeo as an
outside reader and writer, and a registry that lies and breaks."""
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from faulty_registry import LOGIN, faulty_registry  # noqa: E402
from pushwright import BIN, SKOPEO, Skip, free_port, need, port_open, process, registry, run_tests, temporary_directory, wait_until  # noqa: E402

PROGRAMS = BIN.parent / "tests/unit/shared/oci"
EXPECTED = re.compile(r"\[  PASSED  \] (\d+) test")


def run_program(name, **variables):
    """Runs one test program; returns how many tests it passed. Those it skipped do not count."""
    program = PROGRAMS / name
    if not program.exists():
        raise Skip(f"{program} is not built")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PUSHWRIGHT_TEST_") and "proxy" not in k.lower()}
    done = subprocess.run([program], env={**environment, "CMOCKA_MESSAGE_OUTPUT": "STDOUT", **variables}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    passed = EXPECTED.search(done.stdout + done.stderr)
    assert passed, done.stdout + done.stderr
    return int(passed.group(1))


def skopeo(*arguments, **options):
    need("skopeo")
    return subprocess.run([*SKOPEO, "--insecure-policy", *map(str, arguments)], check=True, capture_output=True, text=True,
                          timeout=60, **options).stdout


def htpasswd_file(directory):
    need("htpasswd")
    line = subprocess.run(["htpasswd", "-nbB", "ann", "open sesame"], check=True, capture_output=True, text=True).stdout
    path = directory / "htpasswd"
    path.write_text(line)
    return path


def an_open_registry():
    with temporary_directory() as directory, registry(directory) as address:
        assert run_program("registry_peer_test", PUSHWRIGHT_TEST_REGISTRY=address) == 8


def a_registry_with_passwords():
    with temporary_directory() as directory:
        basic = f"auth: {{ htpasswd: {{ realm: test, path: {htpasswd_file(directory)} }} }}\n"
        with registry(directory, extra=basic) as address:
            variables = {"PUSHWRIGHT_TEST_REGISTRY": address}
            assert run_program("registry_peer_test", **variables, PUSHWRIGHT_TEST_USER="ann",
                               PUSHWRIGHT_TEST_PASSWORD="open sesame") == 9
            config = directory / "config.json"
            packed = LOGIN.removeprefix("Basic ")
            config.write_text(json.dumps({"auths": {f"https://{address}/v2/": {"auth": packed}, "other": {}}}))
            assert run_program("registry_peer_test", **variables, PUSHWRIGHT_TEST_DOCKER_CONFIG=str(config)) == 9


def make_certificate(directory, name):
    need("openssl")
    key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return key, certificate


def a_registry_over_tls():
    with temporary_directory() as directory:
        key, certificate = make_certificate(directory, "registry")
        _, other = make_certificate(directory, "other")
        port = free_port()
        config = directory / "tls.yml"
        (directory / "data").mkdir()
        config.write_text("version: 0.1\nlog: { level: error }\n"
                          f"storage: {{ filesystem: {{ rootdirectory: {directory}/data }} }}\n"
                          f"http: {{ addr: '127.0.0.1:{port}', tls: {{ certificate: {certificate}, key: {key} }} }}\n")
        need("docker-registry")
        with process(["docker-registry", "serve", config], ready=lambda: port_open(port), stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL):
            assert run_program("registry_peer_test", PUSHWRIGHT_TEST_REGISTRY=f"127.0.0.1:{port}",
                               PUSHWRIGHT_TEST_CA=str(certificate), PUSHWRIGHT_TEST_OTHER_CA=str(other)) == 9


def other_tools_read_what_was_pushed():
    with temporary_directory() as directory, registry(directory) as address:
        run_program("registry_peer_test", PUSHWRIGHT_TEST_REGISTRY=address, PUSHWRIGHT_TEST_ONLY="an_image_is_left_for_others")
        seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{address}/live/left:latest"))
        assert (seen["Os"], seen["Architecture"], len(seen["Layers"])) == ("linux", "amd64", 1), seen
        skopeo("copy", "--src-tls-verify=false", f"docker://{address}/live/left:latest", f"dir:{directory}/copy")
        layer = directory / "copy" / seen["Layers"][0].removeprefix("sha256:")
        text = subprocess.run(["tar", "-xzOf", layer, "index.html"], check=True, capture_output=True, text=True).stdout
        assert text == "hello world", text


def what_other_tools_pushed_is_read():
    with temporary_directory() as directory, registry(directory) as address:
        run_program("registry_peer_test", PUSHWRIGHT_TEST_REGISTRY=address, PUSHWRIGHT_TEST_ONLY="an_image_is_left_for_others")
        for form in ("oci", "v2s2"):
            skopeo("copy", f"--format={form}", "--src-tls-verify=false", "--dest-tls-verify=false",
                   f"docker://{address}/live/left:latest", f"docker://{address}/live/{form}:latest")
            assert run_program("registry_peer_test", PUSHWRIGHT_TEST_REGISTRY=address,
                               PUSHWRIGHT_TEST_IMAGE=f"{address}/live/{form}:latest",
                               PUSHWRIGHT_TEST_ONLY="an_image_of_others_is_read") == 1


def layouts_are_shared_with_other_tools():
    with temporary_directory() as directory:
        variables = {"PUSHWRIGHT_TEST_REGISTRY": "registry.local", "PUSHWRIGHT_TEST_LAYOUT": str(directory)}
        run_program("registry_peer_test", **variables, PUSHWRIGHT_TEST_ONLY="an_image_is_left_for_others")
        skopeo("copy", f"oci:{directory}/live/left:latest", f"oci:{directory}/live/copy:v2")
        skopeo("copy", f"oci:{directory}/live/left:latest", f"oci:{directory}/live/left:again")
        for name in ("copy:v2", "left:again", "left:latest"):
            assert run_program("registry_peer_test", **variables, PUSHWRIGHT_TEST_IMAGE=f"registry.local/live/{name}",
                               PUSHWRIGHT_TEST_ONLY="an_image_of_others_is_read") == 1


def requests_in(log):
    return len(re.findall(r'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /v2/', log.read_text()))


def a_push_takes_five_requests_and_a_repetition_three():
    with temporary_directory() as directory, registry(directory) as address:
        log = directory / "registry.log"
        counts = []
        for _ in range(2):
            before = requests_in(log)
            run_program("registry_peer_test", PUSHWRIGHT_TEST_REGISTRY=address,
                        PUSHWRIGHT_TEST_ONLY="an_image_is_left_for_others")
            wait_until(lambda: requests_in(log) >= before + 3, 5, "the registry's log")
            counts.append(requests_in(log) - before)
        assert counts == [5, 3], counts


def referrers_with_and_without_a_list_of_the_registry():
    with temporary_directory() as directory, registry(directory) as address:
        assert run_program("referrers_test", PUSHWRIGHT_TEST_REGISTRY=address, PUSHWRIGHT_TEST_REPOSITORY="fx") == 3
        tags = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{address}/fx/web"))["Tags"]
        assert len([tag for tag in tags if re.fullmatch("sha256-[0-9a-f]{64}", tag)]) == 3, tags
    with faulty_registry() as fake:
        for repository in ("referrers", "referrers-unknown"):
            assert run_program("referrers_test", PUSHWRIGHT_TEST_REGISTRY=fake.address, PUSHWRIGHT_TEST_REPOSITORY=repository) == 3
        tagged = {repository for repository, name in fake.manifests if name.startswith("sha256-")}
        assert tagged == {"referrers-unknown/web"}, tagged


def a_registry_that_lies_and_breaks():
    with temporary_directory() as directory, faulty_registry() as fake:
        key, certificate = make_certificate(directory, "registry")
        with faulty_registry((key, certificate)) as secure:
            assert run_program("faults_peer_test", PUSHWRIGHT_TEST_FAKE=fake.address,
                               PUSHWRIGHT_TEST_FAKE_TLS=secure.address, PUSHWRIGHT_TEST_CA=str(certificate)) == 3
            assert not secure.other.seen, secure.other.seen
        check_no_partial_tag(fake)
        check_credentials_stayed_home(fake)
        check_tokens(fake)
        check_mirrors(fake)
        check_destinations(fake)


def check_no_partial_tag(fake):
    put = {path.split("/")[2] for method, path, _ in fake.seen if method == "PUT" and "/manifests/" in path}
    failed = {"denied", "token-refused", "token-missing", "token-break", "upload-broken", "upload-refused", "upload-nowhere",
              "upload-parts-broken"}
    assert not put & failed, put & failed
    assert {"basic", "token", "token-expires", "upload-relative", "upload-elsewhere", "upload-broken-once",
            "upload-no-mount", "upload-parts", "upload-parts-lost", "upload-parts-refused", "put-down-once"} <= put, put
    assert not {name for repository, name in fake.manifests if repository.startswith("put-refused")}


def check_mirrors(fake):
    def asked(prefix):
        return [f"{method} {path}" for method, path, _ in fake.seen if path.startswith(f"/v2/{prefix}")]
    assert asked("mirror-fine/blob-behind-mirror-fine/") and not asked("blob-behind-mirror-fine/")
    for mood in ("mirror-empty", "down", "denied", "blob-broken", "blob-other"):
        assert asked(f"{mood}/blob-behind-{mood}/") and asked(f"blob-behind-{mood}/"), mood
    # One that is down is not asked again and again.
    assert len(asked("down/blob-behind-down/")) == 2, asked("down/blob-behind-down/")


def check_destinations(fake):
    """How often each was asked, and what it goes to."""
    def asked(prefix):
        return len([path for method, path, _ in fake.seen if method == "GET" and path.startswith(f"/v2/{prefix}/blobs/")])
    counts = {mood: (asked(f"{mood}/destination/web"), asked(f"blob-good/goes-to-{mood}/web"))
              for mood in ("mirror-fine", "mirror-empty", "denied", "basic", "down", "blob-broken")}
    assert counts == {"mirror-fine": (2, 0), "mirror-empty": (1, 2), "denied": (1, 2), "basic": (1, 2), "down": (2, 2), "blob-broken": (2, 2)}, counts


def check_credentials_stayed_home(fake):
    strangers = [(path, value) for _, path, value in fake.other.seen if value and not path.startswith("/token")]
    assert not strangers, strangers
    assert {path.split("?")[0] for _, path, _ in fake.other.seen} >= {
        "/elsewhere/blob", "/elsewhere/manifest", "/elsewhere/upload", "/elsewhere/parts", "/token/challenge-elsewhere"}


def check_tokens(fake):
    asked = [(path, value) for _, path, value in fake.seen if path.startswith("/token/challenge-loop")]
    assert len(asked) == 1, asked
    scopes = [path for _, path, _ in fake.seen if path.startswith("/token/token?")]
    assert scopes == ["/token/token?service=fake&scope=repository:token/web:pull,push"], scopes
    scopes = [path for _, path, _ in fake.seen if path.startswith("/token/token-mount?")]
    assert len(scopes) == 2 and scopes[1].endswith("&scope=repository:token-mount/own:pull"), scopes
    scopes = [path for _, path, _ in fake.seen if path.startswith("/token/token-announced?")]
    assert len(scopes) == 1 and scopes[0].endswith(":pull,push&scope=repository:token-announced/own:pull"), scopes
    assert all(value == LOGIN for _, path, value in fake.seen if path.startswith("/token/"))


if __name__ == "__main__":
    run_tests([an_open_registry, a_registry_with_passwords, a_registry_over_tls, other_tools_read_what_was_pushed,
               what_other_tools_pushed_is_read, layouts_are_shared_with_other_tools,
               a_push_takes_five_requests_and_a_repetition_three, referrers_with_and_without_a_list_of_the_registry, a_registry_that_lies_and_breaks])
