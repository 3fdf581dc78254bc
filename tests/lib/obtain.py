"""Peers that are no packages of Debian's: tests/peers/obtain.sh has them, once for all clones."""
import pathlib
import subprocess

from pushwright import Skip

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "peers/obtain.sh"


def obtain(program):
    """Its path, built once for all; what it says about its progress goes to the test's own output, as does the reason of a Skip."""
    result = subprocess.run([SCRIPT, program], stdout=subprocess.PIPE, text=True)
    if result.returncode == 77:
        raise Skip(f"{program} cannot be had here")
    assert result.returncode == 0, program
    return pathlib.Path(result.stdout.strip())
