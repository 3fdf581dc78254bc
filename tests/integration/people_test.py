"""What people do by hand with services of a running chain: `pushwright plan`, `deploy` and `rollback`; they win over what events say, before and after."""
import subprocess
import time

from deploy_test import ALWAYS, BIN, also, kinds, reason, rules, with_place
from pushwright import run_tests, wait_until

DONE, FAILED, REFUSED = 0, 1, 3


def person(place, command, *arguments, code=DONE):
    """What is said on standard output, or as complaint."""
    options = ["--state", str(place.chain.state)] + (["--as", "ann"] if command != "plan" else [])
    run = subprocess.run([BIN / "pushwright", command, *options, str(place.chain.config), *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode == code, f"{command} {arguments}: exit {run.returncode}: {run.stdout}{run.stderr}"
    return run.stdout if code == DONE else run.stderr


def now_ms():
    return int(time.time() * 1000)


def history(place):
    return subprocess.run([BIN / "pushwright", "history", "--state", place.chain.state], capture_output=True, text=True, check=True).stdout


@with_place
def a_plan_changes_nothing(place):
    digest = place.image("v1")
    said = person(place, "plan", "localhost/shop:v1")
    assert "trigger 'shop' asks for it: tag 'v1' matches the glob 'v*'" in said and "shop 0: local/default/shop" in said, said
    assert "now:  nothing" in said and f"then: localhost/shop:v1@{digest}" in said, said
    place.deploy("e1", "v1", digest, "100")
    assert "then: the same" in person(place, "plan", "localhost/shop:v1")
    place.image("latest")
    rules(place, freeze=ALWAYS)
    said = person(place, "plan", "localhost/shop:latest")
    assert "passes over it" in said and "now:  runs, localhost/shop:v1" in said and "frozen by the trigger until" in said, said
    assert "puts 'localhost/web' into service" in person(place, "plan", "localhost/web:latest", code=REFUSED)
    assert "neither tag nor digest" in person(place, "plan", "localhost/shop", code=REFUSED)
    assert place.page() == "page v1"


@with_place
def who_asks_by_hand_is_obeyed(place):
    first, second = place.image("v1"), place.image("v2")
    place.deploy("e2", "v2", second, "200")
    rules(place, freeze=ALWAYS)
    said = person(place, "deploy", "--wait", "shop", "localhost/shop:v1")
    assert "frozen until" in said and "local/default/shop runs it, it answers at" in said and place.page() == "page v1", said
    wait_until(lambda: "local/default/shop runs localhost/shop:v1" in history(place), 10, "the chain to tell of it")
    assert ", as asked by ann, it answers at" in history(place), history(place)
    rules(place, freeze=[])
    assert "since then ann has decided by hand" in reason(place.deploy("e2", "v2", second, "200")), "a redelivery"
    assert "runs it already" in person(place, "deploy", "shop", f"@{first}")
    later = f"{now_ms() + 1000:015}"
    assert kinds(place.deploy("e3", "v3", place.image("v3"), later)) == ["service.upgraded"], "a push that came later"


@with_place
def what_is_rolled_back_stays_away(place):
    digests = {tag: place.image(tag) for tag in ("v1", "v2", "v3")}
    assert "nothing runs there" in person(place, "rollback", "shop", code=REFUSED)
    place.deploy("e1", "v1", digests["v1"], "100")
    assert "nothing is known to have run well before" in person(place, "rollback", "shop", code=REFUSED)
    place.deploy("e2", "v2", digests["v2"], "200")
    said = person(place, "rollback", "--wait", "shop")
    assert "shall not run localhost/shop:v2" in said and "is back at localhost/shop:v1" in said and place.page() == "page v1", said
    wait_until(lambda: "rolled back by ann" in history(place), 10, "the chain to tell of it")
    assert "local/default/shop is back at localhost/shop:v1" in history(place) and not place.chain.events("incident"), history(place)
    assert "failed here before" in reason(place.deploy("e2", "v2", digests["v2"], "200")), "a redelivery"
    assert "failed here before" in reason(place.deploy("e2b", "v2", digests["v2"], time="2036-01-01T00:00:00Z")), "the same by hand-made event"
    assert "is back already" in person(place, "rollback", "shop") and place.tick() == []
    place.deploy("e3", "v3", digests["v3"], f"{now_ms() + 1000:015}")
    assert place.page() == "page v3"
    assert "is back at localhost/shop@" in person(place, "rollback", "--wait", "--to", digests["v2"], "shop")
    assert "what shall be taken back" in person(place, "rollback", "--to", digests["v3"], "shop", code=REFUSED)
    assert place.page() == "page v2" and kinds(place.tick()) == ["service.rolledback"]


@with_place
def what_a_person_asks_for_may_fail_as_well(place):
    place.deploy("e1", "v1", place.image("v1"), "100")
    place.image("v2", Entrypoint=["/no/such/program"], Cmd=None)
    said = person(place, "deploy", "--wait", "shop", "localhost/shop:v2", code=FAILED)
    assert "does not run" in said and "/no/such/program" in said and "it is at localhost/shop:v1" in said, said
    wait_until(lambda: place.chain.events("incident"), 10, "the chain to tell of it")
    assert place.page() == "page v1"
    for arguments, says in [(["nothing", "localhost/shop:v1"], "has no trigger 'nothing'"), (["shop", "localhost/shop:v9"], "v9"),
                            (["shop", "localhost/web:latest"], "is about 'localhost/shop', not about 'localhost/web'"), (["--target", "7", "shop", "localhost/shop:v1"], "has no target '7'")]:
        assert says in person(place, "deploy", *arguments, code=REFUSED), arguments
    place.chain.stop()
    assert "local platform" in person(place, "deploy", "shop", "localhost/shop:v1", code=FAILED)


@with_place
def several_targets_go_in_their_order(place):
    (live,) = also(place, "ordered", "live")
    for tag in ("v1", "v2", "v3"):
        place.image(tag)
    said = person(place, "deploy", "shop", "localhost/shop:v1")
    assert "local/default/shop shall run" in said and "turn is when it runs there" in said and "live" not in said, said
    wait_until(lambda: place.page() == "page v1", 10, "the first to run")
    place.chain.stop()
    place.chain.start()  # with the configuration of two targets
    person(place, "deploy", "shop", "localhost/shop:v3")
    wait_until(lambda: place.page(live) == "page v3", 10, "the chain to go on with the order")
    # Of v1, too, where deploy had not read the configuration yet when the second target came into it.
    asked = [event["data"]["customData"] for event in place.chain.events("deploy.requested")]
    assert asked and ":v3@" in asked[-1]["image"] and {custom["person"] for custom in asked} == {"ann"}, asked
    said = person(place, "deploy", "--wait", "shop", "localhost/shop:v2")
    assert said.count("runs it") == 2 and [place.page(port) for port in (None, live)] == ["page v2"] * 2, said
    person(place, "deploy", "--wait", "--target", "live", "shop", "localhost/shop:v1")
    assert [place.page(port) for port in (None, live)] == ["page v2", "page v1"]
    person(place, "rollback", "--wait", "--target", "1", "shop")
    assert [place.page(port) for port in (None, live)] == ["page v2"] * 2


if __name__ == "__main__":
    run_tests([a_plan_changes_nothing, who_asks_by_hand_is_obeyed, what_is_rolled_back_stays_away, what_a_person_asks_for_may_fail_as_well,
               several_targets_go_in_their_order])
