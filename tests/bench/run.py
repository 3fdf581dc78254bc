"""`./build.sh bench [PART...] [write]`: measures, prints the table, and with "write" puts it into README.md."""
import pathlib
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from clusters import clusters
from images import images
from pages import pages
from receiving import receiving, starts
from table import Table, machine
from pushwright import temporary_directory
from tools import BIN, configuration, debian_webhook, function, resident_bytes, stripped_size, wait_for_quiet

README = pathlib.Path(__file__).with_name("README.md")
BEGIN, END = "<!-- the table: ./build.sh bench write -->", "<!-- end of the table -->"
FUNCTIONS = {"webhook": (1.0, 1.0), "build": (2.2, 1.5), "trigger": (1.0, 1.0), "deploy": (1.0, 1.0)}  # MB of file, of memory


def sizes(table, directory):
    for name, (limit, _) in FUNCTIONS.items():
        table.at_most(f"`{name}`, stripped", stripped_size(BIN / name, directory) / 1e6, limit, "MB", 3)
    table.add("`pushwright`, the command line", f"{stripped_size(BIN / 'pushwright', directory) / 1e6:.3f} MB")


def memory(table, directory):
    config = configuration(directory)
    for name, (_, limit) in FUNCTIONS.items():
        with function(name, config) as (_, pid):
            time.sleep(1)
            table.at_most(f"`{name}`, idle, resident", resident_bytes(pid) / 1e6, limit, "MB", 2)
    with debian_webhook(directory) as (_, pid):
        time.sleep(1)
        table.add("Debian's `webhook`, idle, resident", "", f"{resident_bytes(pid) / 1e6:.2f} MB")


PARTS = (("size", "Size", sizes), ("start", "Start", starts), ("memory", "Memory", memory),
         ("webhook", "`webhook`: a signed GitHub push, its two events accepted by the next hop before the answer", receiving),
         ("pages", "From `git push` to the page, local chain", pages), ("images", "Images: process start, build and push, registry on the same machine", images),
         ("clusters", "Triggers and deployments: a real Kubernetes API server on the same machine", clusters))


def write(table, where):
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\nMeasured {where}.\n\n{table.markdown()}\n{END}{after}")


def main(words):
    known = {name for name, _, _ in PARTS}
    if set(words) - known - {"write"}:
        sys.exit(f"the parts are {', '.join(sorted(known))}; and write")
    wanted = set(words) & known or known
    table, where, busiest = Table(), machine(), 0.0
    for name, title, measure in PARTS:
        if name not in wanted:
            continue
        busiest = max(busiest, wait_for_quiet())
        print(title, flush=True)
        table.part(title)
        try:
            with temporary_directory() as directory:
                measure(table, directory)
        except Exception as why:  # one part that cannot be measured must not hide the others
            traceback.print_exc()
            table.missing(name, why)
    where += f"; before each part, others used at most {busiest:.0%} of the processors"
    print(f"\nMeasured {where}.\n\n{table.markdown()}\n")
    if "write" in words:
        write(table, where)
    if table.unmeasured:
        sys.exit(f"could not be measured: {', '.join(table.unmeasured)}")


main(sys.argv[1:])
