"""Malformed HTTP requests from outside ($CONFORMANCE_DATA/http/badhttp.py) against our server: none may be accepted, the controls must be.

The requests carry one fixed body, which no function of ours has a use for, so the server stands here alone: the unit test's program serves it with
a handler that answers 202 to exactly that body. Another server can be named by its command line (HTTP_TEST_SERVER or the arguments; it is
given PORT) and the path to send to (HTTP_TEST_PATH)."""
import os
import pathlib
import re
import shlex
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pushwright

BODY = '{"ref":"x"}'
LINE = re.compile(r"^(?P<name>.*\S)\s+(?P<level>ok|MUST|SHOULD|close)\s+(?P<answer>\S+)(?P<rest>.*)$")


def command():
    if sys.argv[1:]:
        return sys.argv[1:]
    if os.environ.get("HTTP_TEST_SERVER"):
        return shlex.split(os.environ["HTTP_TEST_SERVER"])
    return [pushwright.BIN.parent / "tests/unit/runtime/server_test", "serve", BODY]


def cases(script, port):
    """What the script says about each of its requests: name, level, answer, whether that is as it must be."""
    run = subprocess.run([sys.executable, str(script), str(port), os.environ.get("HTTP_TEST_PATH", "/hooks"), "-v"],
                         capture_output=True, text=True, timeout=300, check=True)
    for line in run.stdout.splitlines():
        match = LINE.match(line)
        if match:
            control = match["level"] == "ok"
            good = match["answer"].startswith("2") if control else "ACCEPTED" not in match["rest"]
            yield match["name"], match["level"], match["answer"], good


def skip(why):
    print(f"1..1\nok 1 - malformed HTTP is refused # SKIP {why}\nhttp: 0 passed, 0 failed, 1 skipped")
    sys.exit(0)


def main():
    script = pushwright.CONFORMANCE / "http/badhttp.py"
    server = command()
    if not script.is_file():
        skip(f"{script} is not there")
    if not pathlib.Path(server[0]).is_file():
        skip(f"{server[0]} is not built")
    port = pushwright.free_port()
    with pushwright.process(server, ready=lambda: pushwright.port_open(port), env={**os.environ, "PORT": str(port)}):
        results = list(cases(script, port))
    failed = 0
    print(f"1..{len(results) + 1}")
    for number, (name, level, answer, good) in enumerate(results, 1):
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name} [{level}]: {answer}")
        if not good:
            print(f"# {'a valid request was refused' if level == 'ok' else 'accepted'}: {name}")
    whole = {level for _, level, _, _ in results} == {"ok", "MUST", "SHOULD", "close"}
    failed += not whole
    print(f"{'ok' if whole else 'not ok'} {len(results) + 1} - requests of every level were sent")
    print(f"http: {len(results) + 1 - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


main()
