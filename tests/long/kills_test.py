"""A thousand kills -9 of random processes of the local chain at random moments, in ten chains."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import kills
from pushwright import run_tests


def a_thousand_kills_lose_nothing():
    for _ in range(10):
        kills.run(100)


run_tests([a_thousand_kills_lose_nothing])
