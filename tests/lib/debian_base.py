"""A Debian base image made here with debootstrap, once, as an OCI layout in the cache of what is built; and what this machine says about
package registries, as files of an image."""
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from pushwright import Skip, need

CACHE = pathlib.Path(os.environ.get("PUSHWRIGHT_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "pushwright")
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
LEFT_OUT = ("dev/*", "proc/*", "sys/*", "var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*", "debootstrap", "etc/hostname", "etc/resolv.conf")
INCLUDED = "adduser,ca-certificates,netbase"
# What Debian's own images have too: nobody needs what apt and dpkg do for a machine that goes on after a power cut, or in every language.
OF_DEBIAN_S_IMAGES = {"etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "force-unsafe-io\n",
                      "etc/apt/apt.conf.d/docker-no-languages": 'Acquire::Languages "none";\n'}


def codename():
    return re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(), re.M).group(1)


def architecture():
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def mirror():
    """Where this machine has its own system from; [] leaves it to debootstrap."""
    asked = ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(SITE)"]
    for line in subprocess.run(asked, capture_output=True, text=True).stdout.splitlines():
        if line.startswith(f"{codename()} main "):
            return [line.split()[2]]
    return []


def debian_base():
    """The layout, with the image as tag "base": one layer of 50 to 60 MB. Made once, and again when something else is to be in it; what was
    interrupted is swept."""
    need("debootstrap")
    if os.getuid() != 0:
        raise Skip("debootstrap wants root")
    content = hashlib.sha256(repr((INCLUDED, LEFT_OUT)).encode()).hexdigest()[:8]
    layout = CACHE / "bases" / f"debian-{codename()}-{architecture()}-{content}"
    if not (layout / "index.json").exists():
        layout.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new-", dir=layout.parent) as work:
            make_base(pathlib.Path(work))
            if not layout.exists():  # by somebody else meanwhile
                os.rename(pathlib.Path(work) / "layout", layout)
    return layout


def make_base(work):
    root, layout = work / "root", work / "layout"
    made = subprocess.run(["debootstrap", "--variant=minbase", f"--include={INCLUDED}", codename(), root, *mirror()], capture_output=True, text=True)
    if made.returncode != 0:
        shutil.copy(root / "debootstrap/debootstrap.log", CACHE / "bases/debootstrap.log")
        absent(f"debootstrap failed: {made.stdout[-300:]} (see {CACHE}/bases/debootstrap.log)")
    tar = subprocess.run(["tar", "-C", root, "--sort=name", "--numeric-owner", "--anchored", *(f"--exclude=./{name}" for name in LEFT_OUT), "-c", "."],
                         check=True, capture_output=True).stdout
    write_image(layout, tar, {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]})


def absent(why):
    """What may be out of reach of whoever runs the tests, but not of what decides whether a change lands."""
    raise (AssertionError if os.environ.get("CI") else Skip)(why)


def write_image(layout, tar, config):
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data, media_type):
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{name}", "size": len(data)}
    layer = put(gzip.compress(tar, 6, mtime=0), "layer.v1.tar+gzip")
    config = put(json.dumps({"architecture": architecture(), "os": "linux", "created": "1970-01-01T00:00:00Z", "config": config,
                             "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
                             "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "debootstrap"}]}).encode(), "config.v1+json")
    manifest = put(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                               "layers": [layer]}).encode(), "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "base"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))


# ---- what this machine says about registries ----

def output(*argv):
    return subprocess.run(argv, capture_output=True, text=True).stdout if shutil.which(argv[0]) else ""


def apt_settings():
    return "".join(line + "\n" for line in output("apt-config", "dump").splitlines() if re.match(r"Acquire::(http|https|Retries|Check)", line))


def pip_settings():
    """Of its files, and of its environment variables as well."""
    said = dict(re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", output("python3", "-m", "pip", "config", "list"), re.M))
    elsewhere = ("find-links", "cache-dir")  # places of this machine
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in said.items() if name not in elsewhere)


def npm_settings():
    lines = []
    for name in ("registry", "cafile", "proxy", "https-proxy", "noproxy", "strict-ssl"):
        value = output("npm", "config", "get", name).strip()
        if value not in ("", "null", "undefined"):
            lines.append(f"{name}={value}")
    return "\n".join(lines) + "\n"


def machine_files():
    """{path: content}, for an image in which apt, pip and npm are to find what they find here."""
    files = {"etc/apt/apt.conf.d/99machine": apt_settings(), "etc/pip.conf": pip_settings(), "root/.npmrc": npm_settings(), **OF_DEBIAN_S_IMAGES}
    if CERTIFICATES.exists():
        files[str(CERTIFICATES).lstrip("/")] = CERTIFICATES.read_text()
    return files
