"""An ordinary container of podman's, with the capabilities and the filter that it gives everybody. Machines differ in what podman itself may do on
them: each way here leaves the container as it is and only asks for less of control groups and limits."""
import subprocess

from pushwright import Skip, need

# podman looks for one hierarchy of control groups; where a machine has several, it is shown the one of version 2.
ONE_HIERARCHY = ["unshare", "-m", "--propagation", "private", "sh", "-c",
                 'umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec "$@"', "sh"]
LIMITS = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]


def ordinary_container(directory, archive, image):
    """Loads the archive; returns the command before whose arguments options of `podman run` and the image's name are put."""
    need("podman")
    for driver in ("overlay", "vfs"):  # the first where it can be had
        podman = ["podman", "--root", f"{directory}/podman-{driver}", "--runroot", f"{directory}/podman-run", "--storage-driver", driver,
                  "--cgroup-manager", "cgroupfs"]
        loaded = subprocess.run([*podman, "load", "-q", "-i", str(archive)], capture_output=True, text=True, timeout=120)
        if loaded.returncode == 0:
            break
    assert loaded.returncode == 0, loaded.stderr
    always = ["run", "--rm", "--pull=never", "--network=host"]
    why = []
    for before, between, options in (([], [], []), ([], [], LIMITS), ([], ["--runtime=runc"], LIMITS),
                                     (ONE_HIERARCHY, ["--runtime=crun"], [*LIMITS, "--cgroups=disabled"])):
        command = [*before, *podman, *between, *always, *options]
        tried = subprocess.run([*command, image, "/bin/true"], capture_output=True, text=True, timeout=120)
        if tried.returncode == 0:
            return command
        why.append((tried.stderr.strip().splitlines() or ["?"])[-1][:120])
    raise Skip(f"podman starts no container here: {'; '.join(why)}")
