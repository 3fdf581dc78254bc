#!/usr/bin/env python3
"""RUN for a machine that this one is not: Debian's busybox for the other one, and Debian's emulator, which a namespace of the test's own knows (the kernel
keeps a list for each user namespace that mounts one); nothing is registered on the machine."""
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from build_test import BIN, world
from obtain import obtain
from pushwright import need, run_tests, Skip, wait_until

MACHINES = {"x86_64": ("amd64", "aarch64"), "aarch64": ("arm64", "x86_64")}
MAGIC = {"aarch64": (r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00", "arm64"),
         "x86_64": (r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00", "amd64")}
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
REGISTER = r"""
read mapped
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 77
printf '%s' "$1" > /proc/sys/fs/binfmt_misc/register || exit 77
shift
exec "$@"
"""
DOCKERFILE = """FROM scratch
ARG TARGETARCH
COPY $TARGETARCH/busybox /bin/sh
RUN ["/bin/sh", "-c", "exec /bin/sh --install -s /bin"]
RUN uname -m > /machine && echo "runs on $(uname -m)"
USER 1000:50
RUN id -u > /tmp-user 2>/dev/null || echo "user $(id -u):$(id -g)"
"""


def knowing_the_emulator(emulator, machine, argv, **options):
    """Run as root of a user namespace with everybody's ids, in which the emulator is registered."""
    line = f":other:M::{MAGIC[machine][0]}:{MASK}:{emulator}:F"
    process = subprocess.Popen(["unshare", "-U", "sh", "-c", 'read go; exec unshare -m sh -c "$@"', "sh", REGISTER, "sh", line, *map(str, argv)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    ours = os.readlink("/proc/self/ns/user")
    wait_until(lambda: os.readlink(f"/proc/{process.pid}/ns/user") != ours, 30, "the user namespace")
    for name in ("uid_map", "gid_map"):
        pathlib.Path(f"/proc/{process.pid}/{name}").write_text("0 0 4294967295")
    out, err = process.communicate("go\nmapped\n", timeout=300)
    if process.returncode == 77:
        raise Skip("this kernel has no emulators for a namespace of one's own (Linux 6.7 and later have)")
    return process.returncode, out, err


def run_is_for_every_platform_that_is_asked_for():
    need("unshare")
    if os.geteuid() != 0:
        raise Skip("mapping everybody's ids takes root")
    own, machine = MACHINES[os.uname().machine]
    other, foreign = MAGIC[machine][1], obtain("foreign")
    with world() as w:
        place = w.directory / "context"
        for architecture, busybox in ((own, shutil.which("busybox")), (other, foreign / "busybox")):
            (place / architecture).mkdir(parents=True)
            shutil.copy(busybox, place / architecture / "busybox")
        (place / "Dockerfile").write_text(DOCKERFILE)
        image = f"{w.host}/cli/both:1"
        code, out, said = knowing_the_emulator(
            foreign / "emulator", machine,
            [BIN / "pushwright", "build", "--platform", f"linux/{own},linux/{other}", "--push", "-t", image, place],
            env={"PATH": os.environ["PATH"], "HOME": str(w.directory), "PUSHWRIGHT_CACHE_DIR": str(w.directory / "cache")})
        assert code == 0, said
        assert f"runs on {machine}" in said and f"runs on {os.uname().machine}" in said and said.count("user 1000:50") == 2, said
        for architecture, name in ((own, os.uname().machine), (other, machine)):
            oci, unpacked = w.directory / f"oci-{architecture}", w.directory / f"unpacked-{architecture}"
            subprocess.run(["skopeo", "--override-arch", architecture, "copy", "-q", "--src-tls-verify=false", f"docker://{image}", f"oci:{oci}:image"],
                           check=True, capture_output=True)
            subprocess.run(["umoci", "unpack", "--image", f"{oci}:image", unpacked], check=True, capture_output=True)
            assert (unpacked / "rootfs/machine").read_text() == name + "\n", architecture


if __name__ == "__main__":
    run_tests([run_is_for_every_platform_that_is_asked_for])
