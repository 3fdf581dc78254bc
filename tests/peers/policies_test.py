#!/usr/bin/env python3
"""Ranges of versions and globs, judged by the packages whose rules they follow: npm's semver and minimatch."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pushwright
from obtain import obtain

DRIVER = pushwright.BIN.parent / "tests/conformance/tag_policies"
PAIRS = 20000


def pairs():
    script = pathlib.Path(__file__).parent / "policies.js"
    answers = subprocess.run(["node", script, obtain("npm-policies"), str(PAIRS), "20261129"], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in answers.stdout.splitlines()]


def check(kind):
    rows = [row for row in pairs() if row[0].startswith(kind)]
    assert len(rows) == PAIRS, len(rows)
    ours = subprocess.run([DRIVER], input="".join(f"{a}\t{b}\n" for a, b, _ in rows), capture_output=True, text=True, check=True)
    answers = ours.stdout.splitlines()
    assert len(answers) == len(rows)
    differences = [f"{row}: we say {answer}" for row, answer in zip(rows, answers) if row[2] != answer]
    assert not differences, f"{len(differences)} differences, such as\n" + "\n".join(differences[:20])
    kinds = {row[2] for row in rows}
    assert {"0", "1"} <= kinds, kinds


def ranges_accept_what_npm_accepts():
    check("semver")


def globs_match_what_minimatch_matches():
    check("glob")


if __name__ == "__main__":
    pushwright.run_tests([ranges_accept_what_npm_accepts, globs_match_what_minimatch_matches])
