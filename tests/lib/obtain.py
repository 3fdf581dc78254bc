"""Peers that are no packages of Debian's: tests/peers/obtain.sh has them, once for all clones."""
import pathlib
import subprocess

from pushwright import Skip

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "peers/obtain.sh"


def obtain(program):
    """Its path; Skip says why it cannot be had."""
    result = subprocess.run([SCRIPT, program], capture_output=True, text=True)
    if result.returncode == 77:
        raise Skip(result.stderr.strip().splitlines()[-1])
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
