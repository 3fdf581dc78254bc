#!/usr/bin/env python3
"""Packages of images that rpm was at work in, in each format of its database: as rpm itself lists them. Made by rpm, SQLite and Berkeley DB; only
ndb, which Debian's rpm cannot write, is written here, but for one that is of rpm's own code for it: tests/fuzz/shared/attest/corpus/rpm/ndb."""
import json
import pathlib
import re
import sqlite3
import struct
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from attest_test import base_with, listed
from build_test import d, f, s, world, write_layout
from pushwright import BIN, need, run_tests
from requests_test import Requests
from run_test import image as busybox_image

FEW = """Name: few
Epoch: 3
Version: 2.0~rc1
Release: 4.el9
Summary: few
License: GPL-2.0-or-later AND (MIT OR BSD)
Vendor: SUSE LLC <https://www.suse.com/>
%description
%package -n long++
Epoch: 0
Summary: long
%description -n long++
%{lua: for i = 1, 2000 do print("line " .. i .. " of a description that no page holds\\n") end}
%files
%files -n long++
"""
MANY = """Name: many
Version: 1.0
Release: 1
Summary: many
License: MIT
Vendor: Example, Inc. (Testers)
BuildArch: noarch
%description
%{lua:
for i = 1, 1000 do
  print(string.format("%%package -n p%04d\\nSummary: s\\n%%description -n p%04d\\nd%d\\n%%files -n p%04d\\n", i, i, i, i))
end
}
%files
"""
ROWS = r"%{NAME}\t%{EPOCH}\t%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%{VENDOR}\t%{LICENSE}\n"
FEDORA = "ID=fedora\nVERSION_ID=39\n"


def rpm(database, *arguments, backend="sqlite"):
    return subprocess.run(["rpm", "--dbpath", database, "--define", f"_db_backend {backend}", *arguments], check=True, capture_output=True, text=True).stdout


def installed(directory, *specs):
    """A database that rpm has made of the packages of these."""
    need("rpmbuild")
    for spec in specs:
        (directory / "x.spec").write_text(spec)
        subprocess.run(["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {directory}/top", "--define", "_binary_payload w0.gzdio",
                        directory / "x.spec"], check=True, capture_output=True)
    rpm(directory / "made", "-i", "--justdb", "--nodeps", "--ignorearch", *map(str, (directory / "top").rglob("*.rpm")))
    return directory / "made"


def headers(database):
    with sqlite3.connect(database / "rpmdb.sqlite") as connection:
        return connection.execute("SELECT hnum, blob FROM Packages ORDER BY hnum").fetchall()


def rewritten(database, directory, page_size):
    """The same by SQLite, on pages of another size, some of which say where others are."""
    directory.mkdir()
    copy = directory / "rpmdb.sqlite"
    copy.write_bytes((database / "rpmdb.sqlite").read_bytes())
    connection = sqlite3.connect(copy, isolation_level=None)
    for statement in ("PRAGMA journal_mode = DELETE", f"PRAGMA page_size = {page_size}", "PRAGMA auto_vacuum = 1", "VACUUM"):
        connection.execute(statement)
    connection.close()
    return copy


def berkeley(rows, directory, page_size, big_endian):
    """By Berkeley DB's own loader; rpm keeps the number that was given last under 0."""
    need("db5.3_load")
    directory.mkdir()
    order = "big" if big_endian else "little"
    pairs = [(0, max(number for number, _ in rows).to_bytes(4, order)), *rows]
    text = f"VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize={page_size}\ndb_lorder={4321 if big_endian else 1234}\nHEADER=END\n"
    text += "".join(f" {number.to_bytes(4, order).hex()}\n {value.hex()}\n" for number, value in pairs) + "DATA=END\n"
    subprocess.run(["db5.3_load", directory / "Packages"], input=text.encode(), check=True)
    return directory / "Packages"


def header(name, size):
    """A package's header with a description of so many bytes, before what is read last."""
    values = ((1000, 6, name), (1001, 6, "1"), (1002, 6, "2"), (1005, 9, "x" * size), (1044, 6, "s-1-2.src.rpm"))
    index, data = b"", b""
    for tag, kind, value in values:
        index += struct.pack(">IIII", tag, kind, len(data), 1)
        data += value.encode() + b"\0"
    return struct.pack(">II", len(values), len(data)) + index + data


def ndb(rows):
    """As rpm's lib/backend/ndb/rpmpkg.c; every fifth slot was given up."""
    slots, packages = [], b""
    pages = len(rows) * 5 // 4 // 250 + 1
    for number, value in rows:
        if len(slots) % 5 == 3:
            slots.append((0, 0, 0))
        blocks = (16 + len(value) + 12 + 15) // 16
        slots.append((number, pages * 256 + len(packages) // 16, blocks))
        head = struct.pack("<4sIII", b"BlbS", number, 1, len(value))
        packages += (head + value).ljust(16 * blocks - 12, b"\0") + struct.pack("<II4s", 0, len(value), b"BlbE")
    slots += [(0, 0, 0)] * (pages * 256 - 2 - len(slots))
    return struct.pack("<4sIIII12x", b"RpmP", 0, 1, pages, len(rows) + 1) + b"".join(struct.pack("<4sIII", b"Slot", *slot) for slot in slots) + packages


def expected(told, vendor, distro):
    """{name: (version, purl)} of what rpm tells."""
    quote = lambda text: urllib.parse.quote(text, safe="")
    packages = {}
    for line in told.splitlines():
        name, epoch, version, arch, source, *_ = line.split("\t")
        epoch = "" if epoch == "(none)" else epoch
        packages[name] = (f"{epoch}:{version}" if epoch else version,
                          f"pkg:rpm/{vendor}/{quote(name)}@{quote(version)}?arch={arch}&distro={distro}" + (f"&epoch={epoch}" if epoch else "")
                          + f"&upstream={quote(source)}")
    return packages


def listed_of(w, name, files):
    """What is listed of an image that is built: (document, {package: (version, purl)})."""
    commit = w.repository(name, files)
    w.rule(name, sbom=True)
    code, events, log = w.build(name, commit)
    assert code == 0, log
    return listed(w, name, digest_of(events["artifact.published"]))


def digest_of(published):
    return published["subject"]["id"].split("@")[1].split("?")[0].replace("%3A", ":")


def rpms_own_list_is_listed():
    with world() as w:
        # A tree of several levels, pages that are free again, values on overflow pages.
        database = installed(w.directory, FEW, MANY)
        rpm(database, "-e", "--justdb", "--nodeps", *(f"p{i:04}" for i in range(100, 900, 3)))
        assert (database / "rpmdb.sqlite-wal").stat().st_size == 0, "rpm leaves an empty log"
        told, rows = rpm(database, "-qa", "--qf", ROWS), headers(database)
        small = rewritten(database, w.directory / "small", 512)
        little = berkeley(rows, w.directory / "little", 4096, False)
        big = berkeley(rows, w.directory / "big", 512, True)
        for directory, backend in ((small.parent, "sqlite"), (little.parent, "bdb_ro"), (big.parent, "bdb_ro")):
            assert sorted(rpm(directory, "-qa", "--qf", ROWS, backend=backend).splitlines()) == sorted(told.splitlines())
        sqlite = (database / "rpmdb.sqlite").read_bytes()
        cases = {
            "fedora": (FEDORA, {"usr/lib/sysimage/rpm/rpmdb.sqlite": sqlite, "usr/lib/sysimage/rpm/rpmdb.sqlite-wal": ""}, "fedora", "fedora-39"),
            "rhel": ('ID="rhel"\nVERSION_ID="9.4"\n', {"var/lib/rpm/rpmdb.sqlite": small.read_bytes()}, "redhat", "rhel-9.4"),
            "suse": ('ID="opensuse-leap"\nVERSION_ID="15.6"\n', {"usr/lib/sysimage/rpm/Packages.db": ndb(rows)}, "opensuse", "opensuse-leap-15.6"),
            "amazon": ('ID="amzn"\nVERSION_ID="2"\n', {"var/lib/rpm/Packages": little.read_bytes()}, "amzn", "amzn-2"),
            "centos": ('ID="centos"\nVERSION_ID="7"\n', {"var/lib/rpm/Packages": big.read_bytes()}, "centos", "centos-7"),
        }
        for name, (os_release, files, vendor, distro) in cases.items():
            base = base_with(w, f"base-{name}", {"etc/os-release": os_release, **files})
            document, packages = listed_of(w, name, {"Dockerfile": f"FROM {base}\nLABEL a=b\n"})
            assert packages == expected(told, vendor, distro) and len(packages) > 700, (name, len(packages))
            assert "comment" not in document, document["comment"]
            by_name = {p["name"]: p for p in document["packages"]}
            assert by_name["few"]["supplier"] == "Organization: SUSE LLC" and by_name["p0001"]["supplier"] == "Organization: Example, Inc."
            assert by_name["few"]["licenseComments"] == "GPL-2.0-or-later AND (MIT OR BSD)"


def rpms_own_ndb_is_listed():
    with world() as w:
        corpus = pathlib.Path(__file__).resolve().parents[1] / "fuzz/shared/attest/corpus/rpm"
        base = base_with(w, "ndb", {"var/lib/rpm/Packages.db": (corpus / "ndb").read_bytes()})
        packages = listed_of(w, "ndb", {"Dockerfile": f"FROM {base}\nLABEL a=b\n"})[1]
        assert packages == {name: (f"{epoch}1.0-2.el9", f"pkg:rpm/{name}@1.0-2.el9?arch=noarch{qualifier}&upstream=s.src.rpm")
                            for name, epoch, qualifier in (("a", "3:", "&epoch=3"), ("b", "", ""), ("c", "", ""))}, packages


def databases_are_found_where_they_lie():
    """What COPY or RUN has laid there, and behind the link that is left where they have moved from: once."""
    with world() as w:
        database = installed(w.directory, FEW)
        names = dict(line.split() for line in rpm(database, "-qa", "--qf", "%{DBINSTANCE} %{NAME}\n").splitlines())
        (one, two) = ((names[str(row[0])], ndb([row])) for row in headers(database))
        moved = [d("usr"), d("usr/lib"), d("usr/lib/sysimage"), d("usr/lib/sysimage/rpm"), d("var"), d("var/lib"), s("var/lib/rpm", "../../usr/lib/sysimage/rpm")]
        base = busybox_image(w, "moved", [*moved, f("usr/lib/sysimage/rpm/Packages.db", one[1])])
        for name, dockerfile, found in (
                ("base", "LABEL a=b\n", {one[0]}),
                ("copied", "COPY Packages.db /var/lib/rpm/\n", {two[0]}),
                ("run", "COPY Packages.db /tmp/\nRUN cat /tmp/Packages.db > /var/lib/rpm/Packages.db\n", {two[0]}),
                ("gone", "RUN rm /var/lib/rpm/Packages.db\n", set())):
            document, packages = listed_of(w, name, {"Dockerfile": f"FROM {base}\n{dockerfile}", "Packages.db": two[1]})
            assert packages.keys() == found and len(document["packages"]) == len(found) + 1, (name, packages)


def what_cannot_be_read_is_told():
    """The image is built, lists what could be read, and says what may be missing."""
    with world() as w:
        database = installed(w.directory, FEW)
        sqlite, rows = (database / "rpmdb.sqlite").read_bytes(), headers(database)
        both, first = {"few", "long++"}, {name for name in ("few", "long++") if name.encode() + b"\0" in rows[0][1]}
        for name, files, found, why in (
                ("log", {"rpmdb.sqlite": sqlite, "rpmdb.sqlite-wal": "x"}, both, "'/var/lib/rpm/rpmdb.sqlite-wal', may be missing: it holds what is not"),
                ("cut", {"Packages.db": ndb(rows)[:4096 + 16 + len(rows[0][1]) + 100]}, first, "'/var/lib/rpm/Packages.db', may be missing: the database is broken: it ends"),
                ("other", {"Packages": "x" * 5000}, set(), "'/var/lib/rpm/Packages', may be missing: it is in no format that rpm has"),
                ("nothing", {"Packages": ""}, set(), None)):
            base = base_with(w, f"base-{name}", {f"var/lib/rpm/{path}": content for path, content in files.items()})
            document, packages = listed_of(w, name, {"Dockerfile": f"FROM {base}\nLABEL a=b\n"})
            assert packages.keys() == found, (name, packages)
            assert why in document["comment"] if why else "comment" not in document, (name, document.get("comment"))


def large_databases_take_no_memory():
    with world() as w:
        rows = [(number, header("n" * number, 1 << 20)) for number in range(1, 33)]
        write_layout(w.directory / "large", "x", [[d("var"), d("var/lib"), d("var/lib/rpm"), f("var/lib/rpm/Packages.db", ndb(rows))]])
        commit = w.repository("large", {"Dockerfile": f"FROM oci:{w.directory}/large:x\nLABEL a=b\n"})
        w.rule("large", sbom=True)
        (w.directory / "event.json").write_text(json.dumps(w.event("large", commit)))
        child = subprocess.Popen([BIN / "build", "--event", w.directory / "event.json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=w.environment())
        most = 0
        while child.poll() is None:  # rusage tells what this interpreter takes
            most = max([most, *map(int, re.findall(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{child.pid}/status").read_text()))])
            time.sleep(0.005)
        assert child.returncode == 0 and 0 < most <= 16 * 1024, (child.returncode, most)
        told = [json.loads(line) for line in child.stdout]
        (digest,) = {digest_of(event["data"]) for event in told if "artifact.published" in event["type"]}
        assert len(listed(w, "large", digest)[1]) == 32


def a_base_is_not_fetched_for_what_it_said_before():
    with world() as w:
        base = base_with(w, "base", {"var/lib/rpm/Packages.db": ndb([(number, header("n" * number, 1 << 20)) for number in range(1, 4)])})
        requests = Requests(w)
        before = None
        for content in ("one", "two"):
            packages = listed_of(w, "once", {"Dockerfile": f"FROM {base}\nCOPY file /\n", "file": content})[1]
            fetched = requests.take("PUT /v2/acme/once/manifests/main-").count("GET fx/base/blobs 200")
            assert len(packages) == 3 and before in (None, packages)
            assert fetched > 0 if content == "one" else fetched == 0, (content, fetched)
            before = packages


if __name__ == "__main__":
    run_tests([rpms_own_list_is_listed, rpms_own_ndb_is_listed, databases_are_found_where_they_lie, what_cannot_be_read_is_told, large_databases_take_no_memory,
               a_base_is_not_fetched_for_what_it_said_before])
