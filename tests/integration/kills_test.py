"""kill -9 of any process of the local chain, at any moment: nothing is lost and nothing happens twice. A thousand of them: `test long`."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kills
from pushwright import run_tests


def twenty_kills_lose_nothing():
    kills.run(20)


run_tests([twenty_kills_lose_nothing])
