"""`pushwright up` when things go wrong: receivers that are down or refuse, functions that crash, ports that are taken, a second chain; and what is
left when it ends."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from pushwright import BIN, Chain, free_port, http, run_tests, wait_until, with_chain

STUB = pathlib.Path(__file__).resolve().parents[1] / "lib/stub.py"
PUBLISHED = "dev.cdevents.artifact.published.0.3.0"


class Place:
    """A chain whose `trigger` is a stub."""

    def __init__(self, directory, config=None):
        self.directory = pathlib.Path(directory)
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        for name in ["pushwright", "webhook", "build", "deploy"]:
            shutil.copy(BIN / name, self.bin / name)
        manifest = subprocess.run([BIN / "trigger", "--manifest"], check=True, capture_output=True, text=True).stdout
        self.beside(".json").write_text(manifest)
        shutil.copy(STUB, self.bin / "trigger")
        (self.bin / "trigger").chmod(0o755)
        self.chain = Chain(directory, config or {"triggers": []}, self.bin)

    def beside(self, suffix):
        return self.bin / f"trigger{suffix}"

    def answers(self, text):
        staged = self.beside(".staged")
        staged.write_text(text)
        staged.rename(self.beside(".answer"))

    def start(self):
        before = self.chain.said().count("the chain is up")
        self.chain.start()
        wait_until(lambda: self.chain.said().count("the chain is up") > before, 10, "the chain to be up")

    def run(self, *arguments, code=0, **options):
        done = subprocess.run([str(self.bin / "pushwright"), *map(str, arguments)], capture_output=True, text=True, timeout=60, **options)
        assert done.returncode == code, f"exit {done.returncode} instead of {code}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def send(self, identity):
        return self.run("send", "--state", self.chain.state, "--type", PUBLISHED, "--id", identity)

    def history(self, *arguments):
        return self.run("history", "--state", self.chain.state, *arguments)

    def got(self):
        text = self.beside(".got").read_text() if self.beside(".got").exists() else ""
        return [json.loads(line)["id"] for line in text.splitlines()]

    def dead(self):
        return sorted((self.chain.state / "dead").iterdir())

    def up_fails(self, code, *more, seconds=8):
        """What `up` says when it cannot start; nothing may be left of it."""
        began = time.monotonic()
        said = self.run("up", "--config", self.chain.config, "--state", self.chain.state, "--listen", f"127.0.0.1:{self.chain.port}", *more,
                        code=code)
        took = time.monotonic() - began
        assert took < seconds, f"{took:.1f} s to say: {said}"
        return said


with_place = with_chain(Place)


@with_place
def a_receiver_that_is_down_gets_it_when_it_is_back(place):
    place.answers("503 the registry is away")
    place.start()
    place.send("one")
    wait_until(lambda: len(place.got()) >= 2, 5, "a second attempt")
    assert place.dead() == []
    told = place.history()
    assert "attempt 1 at " + PUBLISHED in told and "status 503, to be tried again: the registry is away" in told, told
    assert told.count("the registry is away") == 1, "an outage is told once: " + told
    place.answers("202")
    wait_until(lambda: any("taken" in entry for entry in place.chain.journal()), 10, "the delivery")
    assert f"took {PUBLISHED}" in place.history("--deliveries")
    assert set(place.got()) == {"one"}


@with_place
def a_dead_letter_is_told_mended_and_replayed(place):
    place.answers("400 this is \x1b[31m nonsense\nreally")
    place.start()
    place.send("one")
    wait_until(place.dead, 5, "the dead letter")
    wait_until(lambda: "given up" in place.history(), 5, "the history of it")
    told = place.history()
    assert "attempt 1" in told and "status 400, given up" in told and f"'pushwright replay {place.dead()[0]}'" in told, told
    assert "\x1b" not in told and "\x1b" not in place.chain.said() and "nonsense really" in told, "nobody writes to the terminal"
    place.answers("202")
    letter = place.dead()[0]
    place.run("replay", "--state", place.chain.state, letter)
    wait_until(lambda: len(place.got()) == 2, 5, "the second delivery")
    assert place.dead() == [], "the letter was taken and is gone"
    lines = place.beside(".got").read_text().splitlines()
    assert lines[0] == lines[1], "it arrives as it was"
    place.answers("403 still nonsense")
    place.run("replay", "--state", place.chain.state, "-", input=lines[0])
    wait_until(lambda: place.dead() == [letter], 5, "the letter to be back")


@with_place
def what_waits_is_delivered_by_the_next_start(place):
    place.answers("503 away")
    place.start()
    for name in ["one", "two", "three"]:
        place.send(name)
    wait_until(lambda: len(set(place.got())) == 3, 5, "an attempt each")
    place.chain.kill()
    place.answers("202")
    place.beside(".got").unlink()
    place.start()
    wait_until(lambda: sorted(place.got()) == ["one", "three", "two"], 5, "the deliveries")
    wait_until(lambda: sum("taken" in entry for entry in place.chain.journal()) == 6, 5, "them to be noted as taken, by webhook too")
    place.chain.stop()
    place.start()
    time.sleep(0.3)
    assert len(place.got()) == 3, "what was taken is not delivered again"


@with_place
def the_same_event_twice_is_one_across_a_restart(place):
    place.start()
    place.send("one")
    wait_until(lambda: place.got() == ["one"], 5, "the delivery")
    place.send("one")
    place.chain.stop()
    place.start()
    place.send("one")
    place.send("two")
    wait_until(lambda: "two" in place.got(), 5, "the other")
    assert place.got() == ["one", "two"]


@with_place
def a_second_chain_in_the_same_state_is_refused(place):
    place.start()
    said = place.run("up", "--config", place.chain.config, "--state", place.chain.state, "--listen", f"127.0.0.1:{free_port()}", code=1)
    assert "is another chain running in this directory?" in said, said
    place.send("one")
    wait_until(lambda: place.got() == ["one"], 5, "the first chain to work on")


@with_place
def a_port_that_is_taken_is_said_at_once(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", place.chain.port))
        taken.listen()
        said = place.up_fails(1, seconds=3)
    assert "--listen" in said and f"cannot listen on '127.0.0.1:{place.chain.port}'" in said and "in use" in said, said
    assert place.chain.children() == {}


@with_place
def addresses_that_are_none_are_refused(place):
    for address in ["nonsense", "127.0.0.1:99999", "127.0.0.1:0"]:
        said = place.run("up", "--config", place.chain.config, "--state", place.chain.state, "--listen", address, code=3)
        assert address in said, said


@with_place
def a_function_that_cannot_start_is_named_with_its_words(place):
    place.beside(".crash").write_text("the secret '/secrets/registry' is missing")
    said = place.up_fails(1, seconds=4)
    assert "trigger ended with 1: the secret '/secrets/registry' is missing" in said, said
    assert place.chain.children() == {}


@with_place
def a_function_that_is_not_there_is_named_with_its_place(place):
    (place.bin / "build").unlink()
    said = place.up_fails(3)
    assert f"'{place.bin}/build'" in said and "No such file" in said, said
    (place.bin / "build").write_text("#!/bin/sh\necho nonsense\n")
    (place.bin / "build").chmod(0o755)
    said = place.up_fails(3)
    assert f"'{place.bin}/build'" in said and "manifest" in said, said


@with_place
def a_state_that_cannot_be_made_is_named(place):
    place.chain.state.write_text("a file")
    said = place.run("up", "--config", place.chain.config, "--state", place.chain.state / "below", "--listen", "127.0.0.1:1", code=3)
    assert str(place.chain.state) in said, said
    long = place.directory / ("x" * 120)
    said = place.run("up", "--config", place.chain.config, "--state", long, "--listen", "127.0.0.1:1", code=3)
    assert "too long" in said and "shorter" in said, said


@with_place
def mistakes_of_the_configuration_are_told_all_at_once(place):
    place.chain.config.write_text('{\n  "triggers": [{ "name": "a b" }],\n  "bilds": []\n}\n')
    said = place.up_fails(3)
    assert f"{place.chain.config}:2:" in said and f"{place.chain.config}:3:3: " in said, said
    assert not place.chain.state.exists(), "nothing was begun"
    place.chain.config.unlink()
    said = place.up_fails(3)
    assert str(place.chain.config) in said and "No such file" in said, said


@with_place
def a_damaged_journal_is_named(place):
    place.chain.state.mkdir()
    (place.chain.state / "journal.jsonl").write_text("rubbish\n")
    said = place.up_fails(3)
    assert "journal.jsonl' is damaged in line 1" in said and "moved away" in said, said


@with_place
def a_function_that_crashes_is_started_again(place):
    place.start()
    before = place.chain.children()["webhook"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: place.chain.children().get("webhook") not in (None, before), 5, "a new webhook")
    wait_until(lambda: http("GET", place.chain.url + "/healthz", seconds=1).status == 200, 5, "its answer")
    assert "webhook was ended by signal 9" in place.chain.said(), place.chain.said()


@with_place
def functions_are_told_what_they_need_and_nothing_else(place):
    environment = {"PUSHWRIGHT_CHAIN_KEY": "x" * 32, "PUSHWRIGHT_TRUST_PLATFORM": "1", "K_SINK": "http://a.example", "PORT": "1",
                   "PUSHWRIGHT_TOKEN_OF_MINE": "kept", "HTTPS_PROXY": "http://proxy.example"}
    os.environ.update(environment)
    try:
        place.start()
    finally:
        for name in environment:
            del os.environ[name]
    told = dict(line.split("=", 1) for line in place.beside(".environment").read_text().splitlines() if "=" in line)
    assert told["PUSHWRIGHT_TOKEN_OF_MINE"] == "kept" and told["HTTPS_PROXY"] == "http://proxy.example"
    for name in ["PUSHWRIGHT_CHAIN_KEY", "PUSHWRIGHT_TRUST_PLATFORM", "K_SINK", "PORT"]:
        assert name not in told, name
    assert told["PUSHWRIGHT_CONFIG"] == str(place.chain.config)
    assert (place.chain.state / "chain.key").stat().st_mode & 0o777 == 0o600
    assert place.chain.state.stat().st_mode & 0o777 == 0o700


def ends_and_leaves_nothing(how):
    @with_place
    def test(place):
        place.start()
        wait_until(lambda: len(place.chain.children()) == 4, 20, "every function to be started")
        children = place.chain.children()
        place.chain.process.send_signal(how)
        code = place.chain.process.wait(15)
        assert code == (0 if how != signal.SIGKILL else -9), code
        wait_until(lambda: place.chain.children() == {}, 5, "the functions to be gone")
        assert not http_answers(place.chain.url)
    test.__name__ = f"{how.name} ends it and leaves nothing"
    return test


def http_answers(url):
    try:
        return http("GET", url + "/healthz", seconds=1)
    except OSError:
        return None


@with_place
def every_form_of_address_is_waited_for(place):
    for address in [str(place.chain.port), f"[::1]:{place.chain.port}", f"0.0.0.0:{place.chain.port}", f"unix:{place.directory}/hook.sock"]:
        if "::1" in address and not socket.has_ipv6:
            continue
        with subprocess.Popen([str(place.bin / "pushwright"), "up", "--config", str(place.chain.config), "--state", str(place.chain.state),
                               "--listen", address], stdout=subprocess.PIPE, text=True) as up:
            said = next(line for line in up.stdout if "namespaces" not in line)
            up.send_signal(signal.SIGINT)
            up.communicate(timeout=15)
        assert "the chain is up" in said and up.returncode == 0, (address, said, up.returncode)


if __name__ == "__main__":
    run_tests([
        a_receiver_that_is_down_gets_it_when_it_is_back,
        a_dead_letter_is_told_mended_and_replayed,
        what_waits_is_delivered_by_the_next_start,
        the_same_event_twice_is_one_across_a_restart,
        a_second_chain_in_the_same_state_is_refused,
        a_port_that_is_taken_is_said_at_once,
        addresses_that_are_none_are_refused,
        a_function_that_cannot_start_is_named_with_its_words,
        a_function_that_is_not_there_is_named_with_its_place,
        a_state_that_cannot_be_made_is_named,
        mistakes_of_the_configuration_are_told_all_at_once,
        a_damaged_journal_is_named,
        a_function_that_crashes_is_started_again,
        functions_are_told_what_they_need_and_nothing_else,
        ends_and_leaves_nothing(signal.SIGTERM),
        ends_and_leaves_nothing(signal.SIGINT),
        ends_and_leaves_nothing(signal.SIGHUP),
        ends_and_leaves_nothing(signal.SIGKILL),
        every_form_of_address_is_waited_for,
    ])
