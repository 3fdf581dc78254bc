"""A machine of its own, for what the kernel of this one need not have: Debian's kernel, with nothing but busybox and what a test puts there, in an emulator."""
import os
import pathlib
import shutil
import subprocess

from obtain import obtain
from pushwright import need

# What a kernel starts with is no file system whose root can be changed, as that of every machine can: all of it moves into one that is.
INIT = """#!/bin/busybox sh
if [ ! -e /moved ]; then
    /bin/busybox --install -s /bin
    mkdir /new && mount -t tmpfs -o mode=755 new /new && cp -a /bin /overlay.ko /init /etc /w /new && mkdir -p /new/proc /new/sys /new/dev /new/tmp
    touch /new/moved
    exec switch_root /new /init
fi
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs -o mode=1777 tmp /tmp; mount -t cgroup2 none /sys/fs/cgroup
insmod /overlay.ko
echo 'root:x:0:0::/root:/bin/sh' > /etc/passwd; echo 'ann:x:1000:1000::/tmp:/bin/sh' >> /etc/passwd
cd /w
%s
poweroff -f
"""


def boot(directory, script, files, memory="512M", seconds=300):
    """What the console shows of `script`, run as root of the machine in /w, where `files` lie: {name: path of a file or folder here}."""
    need("qemu-system-x86_64")
    need("busybox")
    kernel, root = obtain("linux"), pathlib.Path(directory) / "machine"
    for name in ("bin", "proc", "sys", "dev", "tmp", "etc", "w"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    shutil.copy(kernel / "overlay.ko", root / "overlay.ko")
    for name, source in files.items():
        (shutil.copytree if pathlib.Path(source).is_dir() else shutil.copy)(source, root / "w" / name)
    (root / "init").write_text(INIT % script)
    (root / "init").chmod(0o755)
    archive = pathlib.Path(directory) / "machine.cpio"
    with archive.open("wb") as out:
        names = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=root, input=names, stdout=out, stderr=subprocess.DEVNULL, check=True)
    done = subprocess.run(["qemu-system-x86_64", "-M", "q35,accel=tcg", "-cpu", "max", "-m", memory, "-nodefaults", "-display", "none", "-no-reboot",
                           "-serial", "stdio", "-kernel", str(kernel / "vmlinuz"), "-initrd", str(archive),
                           "-append", "console=ttyS0 quiet panic=-1"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                          timeout=seconds, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.replace("\r", "")
