"""The closing table: what was measured, against what, and whether it holds."""
import datetime
import os
import pathlib
import platform
import statistics

HEAD = ("measure", "Pushwright", "peer", "limit", "")


def median(values):
    return statistics.median(values)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


class Table:
    def __init__(self):
        self.rows = []
        self.unmeasured = []

    def part(self, title):
        self.rows.append((f"**{title}**", "", "", "", ""))

    def add(self, measure, ours, peer="", limit="", holds=None):
        self.rows.append((measure, ours, peer, limit, "" if holds is None else "ok" if holds else "**over**"))
        print("  " + "  ".join(cell for cell in self.rows[-1] if cell), flush=True)

    def at_most(self, measure, value, limit, unit, digits=0):
        self.add(measure, f"{value:.{digits}f} {unit}", limit=f"≤ {limit:.{digits}f} {unit}", holds=value <= limit)

    def share(self, measure, ours, peer, parts, unit, digits=0):
        """Ours is to be at most 1/parts of the peer's."""
        self.add(measure, f"{ours:.{digits}f} {unit}", f"{peer:.{digits}f} {unit}, {peer / ours:.1f} times ours",
                 f"≤ 1/{parts}", ours * parts <= peer)

    def share_of_faster(self, measure, ours, peers, parts, unit, digits=0):
        """Ours is to be at most 1/parts of the fastest peer's."""
        faster = min(peers.values())
        said = ", ".join(f"{name} {value:.0f} {unit}" for name, value in peers.items())
        self.add(measure, f"{ours:.{digits}f} {unit}", f"{said}: {faster / ours:.1f} times ours", f"≤ 1/{parts}", ours * parts <= faster)

    def missing(self, part, why):
        self.unmeasured.append(part)
        self.add(part, "not measured: " + " ".join(str(why).split()).replace("|", "/")[:300])

    def markdown(self):
        lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in self.rows])


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine():
    system = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{datetime.date.today()}, {os.cpu_count()} cores of {processor()}, {memory:.0f} GB, "
            f"{system['PRETTY_NAME'].strip(chr(34))}, kernel {platform.release()}")
