#!/usr/bin/env python3
"""Layers of base images that are made to hurt: what they may cost in memory, and what is said of them. Read for their headers only, and unpacked
for RUN."""
import gzip
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from pushwright import BIN, Skip, run_tests, temporary_directory

HELLO = "FROM oci:{base}:x\nCOPY Dockerfile /www/\n"
RUN = HELLO + 'RUN ["/bin/busybox", "true"]\n'
HELLO_PEAK, RUN_PEAK = 8_000_000, 24_000_000  # the budgets of any base, a layer of 1 GB too
BUSYBOX = pathlib.Path("/bin/busybox")


def executable(block):
    return seal(block[:100] + b"0000755\0" + block[108:])


def seal(block):
    """With the sum of it."""
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def header(name, size=0, kind=b"0", number=None):
    """A tar header, its size also as what no number could be."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = number or b"%011o\0" % size
    block[156:157] = kind
    return seal(bytes(block))


def padded(data):
    return data + bytes(-len(data) % 512)


def record(key, value):
    text = f" {key}={value}\n"
    return f"{len(text) + len(str(len(text) + 2))}{text}".encode()


def pax(records):
    return header("pax", len(records), b"x") + padded(records)


def usable():
    """What a layer needs so that RUN has something to run."""
    program = BUSYBOX.read_bytes()
    return executable(header("bin/busybox", len(program))) + padded(program)


def peak_of(argv, directory, patience):
    """Exit code, peak memory in bytes and everything that was said. Measured by a program that is small itself."""
    note = directory / "peak"
    done = subprocess.run(["/usr/bin/time", "-o", note, "-f", "%M", *map(str, argv)], capture_output=True, text=True, timeout=patience,
                          env={"PATH": os.environ["PATH"], "PUSHWRIGHT_CACHE_DIR": str(directory / "cache")})
    return done.returncode, int(note.read_text().split()[-1]) * 1024, done.stdout + done.stderr


def build(stored, plain=None, diff_id=None, dockerfile=HELLO, below=None, patience=300):
    """Of a base whose layer is stored so, which is `plain` inflated; the only one, or on another."""
    if not pathlib.Path("/usr/bin/time").exists():
        raise Skip("Debian's package time is not installed")
    with temporary_directory() as directory:
        base, context = directory / "base", directory / "context"
        (base / "blobs/sha256").mkdir(parents=True)
        context.mkdir()

        def put(data, media_type):
            name = hashlib.sha256(data).hexdigest()
            (base / "blobs/sha256" / name).write_bytes(data)
            return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{name}", "size": len(data)}
        diff_id = diff_id or "sha256:" + hashlib.sha256(plain).hexdigest()
        layers = [put(data, "layer.v1.tar+gzip") for data in ([packed(below)] if below else []) + [stored]]
        diff_ids = ["sha256:" + hashlib.sha256(data).hexdigest() for data in ([below] if below else [])] + [diff_id]
        config = put(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode(), "config.v1+json")
        manifest = put(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode(), "manifest.v1+json")
        manifest["annotations"] = {"org.opencontainers.image.ref.name": "x"}
        (base / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (base / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
        (context / "Dockerfile").write_text(dockerfile.format(base=base))
        try:
            return peak_of([BIN / "pushwright", "build", "--progress=plain", "--platform=linux/amd64", "-t", f"oci:{directory}/out:x", "--push", context], directory,
                           patience)
        finally:
            subprocess.run(["rm", "-rf", directory / "cache"])  # shutil gives up at a depth of a thousand


def packed(plain):
    return gzip.compress(plain, 1, mtime=0)


def archives_that_lie_are_refused_with_little_memory():
    rows = [
        ("size of 2^62", header("a", number=b"\x80" + bytes(3) + struct.pack(">Q", 1 << 62)), "truncated"),
        ("size of 2^63", header("a", number=b"\x80" + bytes(3) + struct.pack(">Q", 1 << 63)), "malformed number"),
        ("negative size", header("a", number=b"\xff" * 12), "negative"),
        ("no number", header("a", number=b"99999999999\0"), "malformed number"),
        ("pax header of 1 GB", header("pax", 1 << 30, b"x"), "extended header is longer than"),
        ("long name of 1 GB", header("././@LongLink", 1 << 30, b"L"), "extended header is longer than"),
        ("pax size of 2^70", pax(record("size", 1 << 70)) + header("a"), "size"),
        ("path of 5000", pax(record("path", "x/" * 2500)) + header("a"), "longer than 4096"),
        ("records without end", pax(b"99999999 path=x\n") + header("a"), "malformed pax record"),
        ("sparse by GNU", header("a", 0, b"S"), "sparse files are not supported"),
        ("sparse by pax", pax(record("GNU.sparse.major", 1)) + header("a"), "sparse files are not supported"),
        ("unknown type", header("a", 0, b"Z"), "unknown type"),
        ("bad checksum", b"x" + header("a")[1:], "bad checksum"),
        ("no archive", os.urandom(4096), "bad checksum"),
    ]
    for dockerfile in (HELLO, RUN):
        for name, plain, reason in rows:
            code, peak, said = build(packed(plain), plain, dockerfile=dockerfile)
            assert code != 0 and reason in said, (name, said)
            assert peak < HELLO_PEAK, (name, peak)


def streams_that_lie_are_refused_with_little_memory():
    plain = usable()
    good = packed(plain)
    rows = [
        ("cut", good[:-20], "truncated"),
        ("wrong checksum", good[:-8] + b"\0\0\0\0" + good[-4:], "malformed gzip"),
        ("wrong length", good[:-4] + b"\0\0\0\1", "malformed gzip"),
        ("garbage behind", good + b"garbage behind it", "malformed gzip"),
        ("no codes", good[:10] + b"\x06" + good[11:], "malformed gzip"),
        ("a header without end", b"\x1f\x8b\x08\x08" + bytes(6) + b"name" * 1_000_000, "truncated"),
    ]
    for dockerfile in (HELLO, RUN):
        for name, stored, reason in rows:
            code, peak, said = build(stored, plain, dockerfile=dockerfile)
            assert code != 0 and reason in said, (name, said)
            assert peak < HELLO_PEAK, (name, peak)
        code, peak, said = build(good, plain, "sha256:" + "0" * 64, dockerfile)
        assert code != 0 and "the image says sha256:000" in said, said


def a_gigabyte_of_nothing_costs_no_memory():
    """1 MB on the wire, a thousand times as much as a file; no sum of it is known beforehand."""
    size = 1 << 30
    compressor, sum_of = zlib.compressobj(9, zlib.DEFLATED, 31), hashlib.sha256()
    stored = []
    for piece in (usable(), header("large", size), *[bytes(1 << 20)] * (size >> 20), bytes(1024)):
        sum_of.update(piece)
        stored.append(compressor.compress(piece))
    stored = b"".join(stored) + compressor.flush()
    for dockerfile, limit in ((HELLO, HELLO_PEAK), (RUN, RUN_PEAK)):
        code, peak, said = build(stored, diff_id="sha256:" + sum_of.hexdigest(), dockerfile=dockerfile)
        assert code == 0 and peak < limit, (code, peak, said)


def many_empty_members_are_one_stream():
    plain = usable() + bytes(1024)
    empty, half = gzip.compress(b"", mtime=0), len(plain) // 2
    stored = empty * 100_000 + packed(plain[:half]) + empty * 100_000 + packed(plain[half:]) + empty * 1000
    code, peak, said = build(stored, plain, dockerfile=RUN)
    assert code == 0 and peak < RUN_PEAK, (code, peak, said)


def many_entries_cost_what_their_names_do():
    """Half a million files without content: 256 MB on the wire before gzip. What is known of each stands in memory, and nothing else."""
    count = 500_000
    compressor, sum_of = zlib.compressobj(1, zlib.DEFLATED, 31), hashlib.sha256()
    stored = []
    for number in range(count):
        block = header(f"files/{number:07}") if number % 1000 == 0 else bytes_of(block, number)
        sum_of.update(block)
        stored.append(compressor.compress(block))
    sum_of.update(bytes(1024))
    stored = b"".join(stored) + compressor.compress(bytes(1024)) + compressor.flush()
    code, peak, said = build(stored, diff_id="sha256:" + sum_of.hexdigest())
    assert code == 0 and peak < count * 600, (code, peak, said)


def bytes_of(block, number):
    """The same header with another number in its name: digits change the sum by what they differ."""
    name = b"%07d" % number
    digits = sum(name) - sum(block[6:13])
    total = int(block[148:154], 8) + digits
    return block[:6] + name + block[13:148] + b"%06o\0 " % total + block[156:]


def deep_directories_are_bounded():
    plain = b"".join(pax(record("path", f"{number}/" + "d/" * 2000)) + header("d", 0, b"5") for number in range(2000))
    code, peak, said = build(packed(plain), plain, dockerfile=RUN)
    assert code != 0 and peak < 120_000_000, (code, peak, said)  # their names alone are 8 MB; 64 MB of them are let pass


def a_deep_path_costs_what_its_length_does():
    """Directories that no entry of the layer is about, thousands below each other."""
    plain = b"".join(pax(record("path", f"{number}/" + "d/" * 1900 + "f")) + header("f") for number in range(4)) + bytes(1024)
    code, peak, said = build(packed(plain), plain, dockerfile=RUN, below=usable() + bytes(1024), patience=60)
    assert code == 0 and peak < RUN_PEAK, (code, peak, said)


if __name__ == "__main__":
    run_tests([archives_that_lie_are_refused_with_little_memory, streams_that_lie_are_refused_with_little_memory, a_gigabyte_of_nothing_costs_no_memory,
               many_empty_members_are_one_stream, many_entries_cost_what_their_names_do, deep_directories_are_bounded,
               a_deep_path_costs_what_its_length_does])
