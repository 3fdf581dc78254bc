"""The JSON format's test vectors of the CloudEvents project against a shipped function: by its decoder (--check-event) and over HTTP.

The vectors name a golden event in words only; here an accepted event must come back with what the file says, and all vectors of one golden event
must come back the same. No case is known by name."""
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pushwright

VECTORS = pushwright.CONFORMANCE / "cloudevents/conformance-format/format/json"
FUNCTION = pushwright.BIN / "trigger"
CONFIG = {"triggers": [{"name": "t", "image": "registry.invalid/acme/web", "when": {"tags": "all"},
                        "deploy": [{"cluster": "local", "workload": "web"}]}]}


def cases():
    for path in sorted(VECTORS.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        for test in document["tests"]:
            kind = test.get("testType", document["testType"])
            yield test["id"], kind, test.get("sampleId"), test["batch"] if kind.endswith("Batch") else test["event"]


def instant(text):
    """A timestamp as the moment it names, to the millisecond."""
    cut = re.sub(r"(\.\d{1,3})\d*", r"\1", text).replace("Z", "+00:00")
    cut = re.sub(r"\.(\d+)", lambda m: "." + m[1].ljust(3, "0"), cut)
    return datetime.datetime.fromisoformat(cut).astimezone(datetime.timezone.utc).isoformat()


def meaning(event):
    known = {name: value for name, value in event.items() if value is not None or name == "data"}
    if "time" in known:
        known["time"] = instant(known["time"])
    return known


def meaning_of_all(content):
    return [meaning(e) for e in content] if isinstance(content, list) else meaning(content)


def check(directory, content):
    """Exit code, what was printed, and the error's text."""
    path = directory / "event.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    run = subprocess.run([FUNCTION, "--check-event", path], capture_output=True, text=True, timeout=60)
    return run.returncode, run.stdout, run.stderr.strip()


def reason_of_decoder(directory, golden, kind, sample, content):
    """Why the case fails, or None."""
    code, output, error = check(directory, content)
    if kind.startswith("Invalid"):
        return None if code == 42 and error else f"accepted with exit code {code}: {output.strip()}"
    if code != 0:
        return f"refused: {error}"
    understood = meaning_of_all(json.loads(output))
    if understood != meaning_of_all(content):
        return f"came back as {output.strip()}"
    comparable = json.dumps([{k: v for k, v in e.items() if k != "id"} for e in (understood if isinstance(understood, list) else [understood])],
                            sort_keys=True)
    if golden.setdefault((kind, sample), comparable) != comparable:
        return f"differs from another vector of '{sample}'"
    return None


def reason_over_http(port, kind, content):
    batch = "-batch" if kind.endswith("Batch") else ""
    answer = pushwright.http("POST", f"http://127.0.0.1:{port}/", json.dumps(content).encode(),
                             {"Content-Type": f"application/cloudevents{batch}+json; charset=UTF-8"})
    wanted = 400 if kind.startswith("Invalid") else 202
    return None if answer.status == wanted else f"HTTP {answer.status} instead of {wanted}: {answer.text}"


def skip(why):
    print(f"1..1\nok 1 - CloudEvents vectors # SKIP {why}\ncloudevents: 0 passed, 0 failed, 1 skipped")
    sys.exit(0)


def main():
    if not VECTORS.is_dir():
        skip(f"{VECTORS} is not there")
    if not FUNCTION.is_file():
        skip(f"{FUNCTION} is not built")
    all_cases = list(cases())
    failed, golden = 0, {}
    print(f"1..{len(all_cases)}")
    with pushwright.temporary_directory() as directory:
        port = pushwright.free_port()
        (directory / "pushwright.json").write_text(json.dumps(CONFIG))
        environment = {**os.environ, "PUSHWRIGHT_LISTEN": f"127.0.0.1:{port}", "PUSHWRIGHT_TRUST_PLATFORM": "1",
                       "PUSHWRIGHT_CONFIG": str(directory / "pushwright.json")}
        with pushwright.process([FUNCTION], ready=lambda: pushwright.port_open(port), env=environment, stdout=subprocess.DEVNULL):
            for number, (name, kind, sample, content) in enumerate(all_cases, 1):
                reason = reason_of_decoder(directory, golden, kind, sample, content) or reason_over_http(port, kind, content)
                failed += reason is not None
                print(f"{'not ok' if reason else 'ok'} {number} - {name}")
                if reason:
                    print(f"# {name}: {reason}")
    print(f"cloudevents: {len(all_cases) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed or not all_cases else 0)


main()
