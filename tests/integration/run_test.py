#!/usr/bin/env python3
"""RUN in the shipped build function: what a command sees, what it cannot reach, what is left when it is killed. Bases are busybox images in a real
registry; what BuildKit makes of hundreds of Dockerfiles with RUN is in tests/conformance/dockerfile_builds_test.py."""
import concurrent.futures
import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from build_test import BIN, d, f, s, world, write_layout
from containers import ordinary_container
from debian_base import debian_base
from pushwright import SKOPEO, need, run_tests, wait_until

BUSYBOX = pathlib.Path("/bin/busybox")
APPLETS = ("sh cat chmod chown chroot cp dd echo env find grep head id ip kill ln ls mkdir mknod mount mv pwd readlink rm sleep sort stat "
           "touch true umount unshare wc setsid seq nsenter chgrp su tar").split()


def image(w, name, extra=(), replace=()):
    """A busybox base in the registry, with further entries; returns how FROM names it."""
    if not BUSYBOX.exists() or b"/ld-linux" in BUSYBOX.read_bytes():  # which names what it is linked by
        need("busybox-static")
    gone = {entry[0] for entry in replace}
    entries = [d(name) for name in ("bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var") if name not in gone]
    entries += [f("bin/busybox", BUSYBOX.read_bytes(), 0o755)] + [s(f"bin/{applet}", "busybox") for applet in APPLETS]
    entries += [f("etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"),
                f("etc/group", "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n"), *replace, *extra]
    layout = w.directory / f"layout-{name}"
    write_layout(layout, "x", [entries], {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}, "history": [{}]})
    subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:x", f"docker://{w.host}/fx/{name}:1"], check=True,
                   capture_output=True)
    return f"{w.host}/fx/{name}:1"


def built(w, name, dockerfile, files=None, **rule):
    commit = w.repository(name, {"Dockerfile": dockerfile, **(files or {})})
    w.rule(name, **rule)
    return w.built(name, commit)


def digest_of_another(w, name, commit):
    """The same build for another repository, where it does not count as done."""
    w.rules[name]["image"] += "-again"
    code, events, log = w.build(name, commit)
    assert code == 0 and "artifact.published" in events, (code, events, log)
    return events["artifact.published"]["subject"]["id"].split("@")[1].split("?")[0].replace("%3A", ":")


def text(tree, path):
    return tree[path][4]


def refused(w, name, dockerfile, **rule):
    commit = w.repository(name, {"Dockerfile": dockerfile})
    w.rule(name, **rule)
    code, events, log = w.build(name, commit)
    assert "build.finished" in events and "artifact.published" not in events, (code, events, log)
    return events["build.finished"]["customData"]["errors"], log


def processes_with(mark):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                pass
    return found


def mounts_below(directory):
    return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]


def unfinished(w):
    return [entry for entry in (w.directory / "cache/layers").glob("*") if entry.name.startswith(("new-", "dead-"))]


# ---- what is seen ----

def the_same_commit_gives_the_same_digest_whatever_is_cached():
    with world() as w:
        base = image(w, "base")
        dockerfile = (f"FROM {base} AS one\nRUN mkdir -p /out/sub && echo 1 > /out/sub/f && ln /out/sub/f /out/h && touch -t 203001010000 /out/late\n"
                      f"FROM {base}\nCOPY --from=one /out /out\nRUN --mount=type=tmpfs,target=/scratch rm /out/h && chown 1000:50 /out && ls /out\n")
        commit = w.repository("same", {"Dockerfile": dockerfile})
        w.rule("same")
        first, _, tree, layers = w.built("same", commit)
        assert tree["out"][2:4] == (1000, 50) and "out/h" not in tree and "scratch" not in tree, tree
        assert all(member.mtime <= 1700000000 for layer in layers[1:] for member in layer.values()), "times are clamped to the commit"
        shutil.rmtree(w.directory / "cache")
        assert digest_of_another(w, "same", commit) == first, "cold"
        assert digest_of_another(w, "same", commit) == first, "warm"
        assert not unfinished(w), unfinished(w)


def output_and_failures_are_told():
    with world() as w:
        base = image(w, "base")
        errors, log = refused(w, "fails", f"FROM {base}\nRUN echo the-first-line && echo no-end-of-line | head -c 5 && exit 3\n")
        assert 'line 2: RUN: process "/bin/sh -c echo the-first-line' in errors and errors.endswith("did not complete successfully: exit code: 3"), errors
        told = [json.loads(line)["message"] for line in log.splitlines()]
        assert any(line.endswith(" the-first-line") for line in told) and any(line.endswith(" no-en") for line in told), told
        errors, log = refused(w, "loud", f"FROM {base}\nRUN while true; do echo {'x' * 1000}; done\n", timeoutSeconds=4)
        assert "took longer than" in errors, errors
        assert log.count("x" * 1000) < 3000 and "log limit 2MiB reached" in log, len(log)


def a_command_sees_what_buildkit_shows():
    with world() as w:
        base = image(w, "base")
        tree = built(w, "sees", f"""FROM {base}
WORKDIR /work
RUN mkdir -m 777 /o
USER alice
RUN id > /o/id; pwd >> /o/id; umask >> /o/id; echo $HOME >> /o/id; grep Groups /proc/self/status >> /o/id
RUN ls -l /proc/self/fd | wc -l > /o/fds; readlink /proc/self/fd/0 > /o/stdin; cat /proc/1/comm >> /o/stdin
USER root
RUN --network=none ip -o link | grep -v lo: > /o/links; true
RUN cat /etc/hosts > /o/hosts; echo x 2>/dev/null >> /etc/hosts || echo read-only >> /o/hosts
RUN chmod u+s /bin/busybox; grep NoNewPrivs /proc/self/status > /o/nnp
""")[2]
        lines = text(tree, "o/id").splitlines()
        assert lines[0].startswith("uid=1000(alice) gid=1000(alice) groups=50(staff),1000(alice)"), lines
        assert lines[1:4] == ["/work", "0022", "/home/alice"] and "1000" in lines[4] and "50" in lines[4], lines
        assert text(tree, "o/fds").strip() == "5", "0, 1, 2 and ls's own, below a line that counts"
        assert text(tree, "o/stdin") == "/dev/null\nls\n" or text(tree, "o/stdin").startswith("/dev/null\n"), text(tree, "o/stdin")
        assert text(tree, "o/links") == "", "no network but the loopback interface"
        assert "buildkitsandbox" in text(tree, "o/hosts") and "read-only" in text(tree, "o/hosts")
        assert tree["bin/busybox"][1] == 0o4755 and text(tree, "o/nnp").split()[1] == "0"
        assert tree["o/id"][2:4] == (1000, 1000)


# ---- who we are makes no difference ----

OWNERS = """FROM {base}
RUN mkdir -p /o/mine && touch /o/mine/f && chown -R 1000:50 /o/mine && chown 65534:65534 /o && chmod 600 /o/mine/f
USER alice
RUN id -u > /o/mine/id && ls -n /o/mine/f >> /o/mine/id && ln /o/mine/f /o/mine/g
USER root
RUN --mount=type=cache,target=/c,uid=1000,mode=700 stat -c '%u %g %a' /c > /seen && rm /o/mine/f && chmod u+s /bin/busybox && mkdir -p /etc/x && rm -r /home
COPY --chown=1000:50 a /o/a
RUN stat -c '%n %u %g %a' /o/* > /list; rm /o/a
"""


def as_ordinary(w, uid, subordinate, first="true"):
    """Run by somebody who has these ids set aside, after a command of root's; the machine's own files stay as they are."""
    for name in ("passwd", "group", "subuid", "subgid"):
        was = pathlib.Path("/etc", name)
        (w.directory / f"etc-{name}").write_text(was.read_text() if was.exists() else "")
    with (w.directory / "etc-passwd").open("a") as passwd:
        passwd.write(f"somebody:x:{uid}:{uid}::/nonexistent:/bin/sh\n")
    for name in ("subuid", "subgid"):
        (w.directory / f"etc-{name}").write_text(subordinate)
    w.directory.chmod(0o755)
    for name in ("tmp", "cache"):
        (w.directory / name).mkdir(exist_ok=True)
        os.chown(w.directory / name, uid, uid)
    binds = "".join(f"mount --bind {w.directory}/etc-{name} /etc/{name} && " for name in ("passwd", "subuid", "subgid"))
    w.wrap = ["unshare", "-m", "--propagation", "private", "sh", "-c",
              f'{binds} {first} && exec setpriv --reuid {uid} --regid {uid} --clear-groups "$@"', "sh"]


def an_ordinary_user_with_subordinate_ids_makes_the_same_image():
    need("newuidmap")
    with world() as w:
        base = image(w, "base", [d("srv/theirs", 0o700, 33, 34), f("srv/theirs/f", "x", 0o600, 33, 34)])
        commit = w.repository("owners", {"a": "a", "Dockerfile": OWNERS.format(base=base)})
        w.rule("owners")
        first, _, tree, _ = w.built("owners", commit)
        assert tree["o"][2:4] == (65534, 65534) and tree["o/mine/g"][1:4] == (0o600, 1000, 50), tree
        shutil.rmtree(w.directory / "cache")
        as_ordinary(w, 54321, "nobody-else:100000:65536\nsomebody:500000:65536\n")
        assert digest_of_another(w, "owners", commit) == first, "subordinate ids"
        assert not [entry for entry in (w.directory / "cache/layers-ids").iterdir() if entry.name.startswith(("new-", "dead-"))]
        errors = refused(w, "beyond", f"FROM {base}\nRUN touch /f; chown 70000 /f\n")[0]
        assert "exit code: 1" in errors, errors


# Each line's changes of owners are to be in its layer as root makes them, and what the next lines see of them is, too.
ALONE = """FROM {base}
COPY --chown=33:34 a /c/a
RUN chown -R 1000:50 /srv/theirs && mkdir -p /o/n/x && touch /o/n/x/f && chown -R alice:staff /o/n && mv /o/n/x/f /o/n/g
RUN touch /o/a && chown 5:6 /o/a && rm /o/a && touch /o/a; ln -s a /o/l; chown -h 7:8 /o/l; chgrp staff /o/a; touch /o/h && ln /o/h /o/h2 && chown 9 /o/h2
RUN mkdir /o/f; for i in $(seq 100); do touch /o/f/$i; chown $i /o/f/$i; rm /o/f/$i; touch /o/f/$i; done; stat -c '%n %u %g' /o/* /srv/* /c/* > /list
RUN echo x >> /c/a; echo y >> /srv/keep/w; chmod 600 /srv/keep/m; mv /srv/keep/r /srv/keep/r2; rm /srv/keep/d; touch /srv/keep/d; ln /srv/keep/k /srv/keep/k2
RUN mv /srv/keep/l /srv/keep/l2; mv /srv/keep/s /srv/keep/s2; rm -rf /srv/keep/sub; mkdir /srv/keep/sub; echo z >> /srv/keep/h1
RUN tar xf /t.tar -C /o; chmod u+s,g+s /o/h; chown 13 /o/h; stat -c '%n %a' /o/h >> /list
RUN cp -p /c/a /o/cp; cp -a /srv/theirs /o/theirs; chroot /srv chown 21 keep/w; chroot /srv chown 22 /keep/../../keep/m; cd /srv; chown 23 keep/../keep/k
RUN exec 5<> /o/g2; chown 24 /o/g2; chown 24 /dev/stdout /proc/self/fd/5 /dev/null; chown 1 /missing || chown 1 /o/a/x || echo no >> /list
RUN touch /srv/keep/dir/new; mkdir -p /srv/keep/dir/d/e; echo x > /srv/keep/dir/d/e/f; chmod g-s /srv/keep/dir; touch /srv/keep/dir/later; ln -sfn y /srv/theirs/l
RUN chmod 1777 /tmp && su alice -c 'id -u; touch /tmp/a; mkdir -p /tmp/d/d; ln -s x /tmp/l; (umask 77; echo x > /tmp/d/f; echo y >> /tmp/d/f); set -C; echo n > /tmp/d/new' > /su
RUN su alice -c 'mknod /tmp/d/p p; stat -c %u /tmp/d/p > /tmp/d/owner; rm /tmp/d/p; chown 0 /tmp/a || chgrp 0 /tmp/a || echo no > /tmp/no; cp -p /etc/passwd /tmp/p; su root -c true || echo no >> /tmp/no; exec 3< /tmp/d; echo > /proc/self/fd/3/through' 2> /dev/null; id -u >> /su; rm -f /tmp/d/through
RUN stat -c '%n %u %g' /o/* /srv/keep/* /srv/keep /c/* >> /list; chroot /srv stat -c '%n %u' /keep/w 2>> /list >> /list || true
USER alice
RUN cp -p /c/a /home/alice/x; touch /home/alice/y; chgrp staff /home/alice/y; (chown 0 /home/alice/y || chgrp 0 /home/alice/y || chown alice /c/a) 2> /dev/null || echo no > /home/alice/no
RUN stat -c '%n %u %g' / /home /home/alice/* /c/* > /home/alice/list; ls -n /home/alice | grep -v list >> /home/alice/list; test -O /home/alice/x
"""


def alone_base(w):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, uid, gid in (("tt/a", 40, 41), ("tt/b", 0, 0), ("tt/c", 42, 0)):
            member = tarfile.TarInfo(name)
            member.uid, member.gid, member.mtime = uid, gid, 1000
            archive.addfile(member)
    keep = [f(f"srv/keep/{name}", "x", 0o4755 if name == "s" else 0o644, 33, 34) for name in ("w", "m", "r", "d", "k", "s", "h1")]
    return image(w, "alone", [d("srv", 0o755), d("srv/theirs", 0o755, 33, 34), f("srv/theirs/f", "x", 0o600, 33, 34), s("srv/theirs/l", "f"),
                              d("srv/keep", 0o755, 33, 34), *keep, s("srv/keep/l", "w"), d("srv/keep/sub", 0o755, 33, 34), f("srv/keep/sub/x", "x"),
                              d("srv/keep/dir", 0o2775, 33, 34), d("srv/bin"), f("srv/bin/chown", BUSYBOX.read_bytes(), 0o755), s("srv/bin/stat", "chown"),
                              d("home/alice", 0o755, 1000, 1000), f("t.tar", packed.getvalue())])


def differences(layers, others):
    def looks(member):
        return member and (member.type, oct(member.mode), member.uid, member.gid, member.mtime, member.size, member.linkname, member.pax_headers)
    return [(number, path, looks(a.get(path)), looks(b.get(path))) for number, (a, b) in enumerate(zip(layers, others))
            for path in sorted({*a, *b}) if looks(a.get(path)) != looks(b.get(path))]


def an_ordinary_user_alone_makes_the_same_image():
    with world() as w:
        base = alone_base(w)
        files = {"a": "a", "Dockerfile": ALONE.format(base=base)}
        commit = w.repository("owners", files)
        w.rule("owners")
        first, _, tree, layers = w.built("owners", commit)
        assert tree["o/n/g"][2:4] == (1000, 50) and tree["srv/keep/r2"][2:4] == (33, 34) and tree["home/alice/no"][4] == "no\n", tree
        shutil.rmtree(w.directory / "cache")
        as_ordinary(w, 54321, "nobody-else:100000:65536\n")
        _, _, other, others = built(w, "alone", files.pop("Dockerfile"), files)
        assert not differences(layers, others), (differences(layers, others), text(tree, "list"), text(other, "list"))
        assert digest_of_another(w, "owners", commit) == first, "one id"
        assert list((w.directory / "cache/layers-user").iterdir()), "by one who has no ids"
        # A container shows parts of /proc only, and lets nobody mount another one.
        as_ordinary(w, 54321, "", "mount --bind /dev/null /proc/version")
        shutil.rmtree(w.directory / "cache")
        (w.directory / "cache").mkdir()
        os.chown(w.directory / "cache", 54321, 54321)
        w.rules["owners"]["image"] += "-or"
        code, events, log = w.build("owners", commit)
        assert code == 0 and "not recorded" not in log, log
        assert first.partition(":")[2] in events["artifact.published"]["subject"]["id"], "in a container"
        stack = [w.directory / name for name in ("lower", "upper", "stacked")]
        for place in stack:
            place.mkdir()
            os.chown(place, 54321, 54321)
        as_ordinary(w, 54321, "", "mount -t overlay overlay -o lowerdir={},upperdir={},workdir={} ".format(*stack) + f"{w.directory}/cache")
        w.rules["owners"]["image"] += "-and"
        code, events, log = w.build("owners", commit)
        assert code == 0 and "works on a copy" in log, log
        assert first.partition(":")[2] in events["artifact.published"]["subject"]["id"], "on a copy"


def what_its_owner_may_not_read_is_kept_by_whom_ever():
    """As /etc/shadow and sudo are in images of some distributions."""
    with world() as w:
        base = image(w, "base", [f("etc/shadow", "root:*:::::::\n", 0), f("bin/hidden", "x", 0o4111)])
        commit = w.repository("modes", {"Dockerfile": f"""FROM {base} AS one
RUN echo x >> /etc/shadow && touch /bin/hidden && mkdir -p /q/r/s && echo f > /q/r/s/f && chmod 0 /q/r/s/f && chmod 311 /q/r/s && chmod 0 /q/r
RUN cat /q/r/s/f /etc/shadow > /seen && rm -r /q/r/s && echo again > /q/r/g && chmod 0 /q
FROM {base}
COPY --from=one /q /q
RUN --mount=from=one,source=/q,target=/m cat /m/r/g > /g
"""})
        w.rule("modes")
        first, _, tree, _ = w.built("modes", commit)
        assert tree["q/r"][1] == 0 and tree["q/r/g"][4] == "again\n" and tree["g"][4] == "again\n", tree
        ways = ["nobody-else:100000:65536\n"] + (["somebody:500000:65536\n"] if shutil.which("newuidmap") else [])
        for subordinate in ways:
            shutil.rmtree(w.directory / "cache")
            as_ordinary(w, 54321, subordinate)
            assert digest_of_another(w, "modes", commit) == first, subordinate


# What Debian's own programs ask and check: passwd's files belong to a group of their own, dpkg, setpriv and su become somebody else.
DEBIAN = """FROM {base}
RUN useradd -m -u 1234 bob && adduser --disabled-password --gecos "" carl && groupadd -r grp && usermod -a -G grp bob && passwd -d man && ls -ln /etc/*shadow* > /list
RUN mkdir -p /var/lib/x && chown bob:grp /var/lib/x && sed -i s/bob/bob/ /etc/shadow && su bob -c 'id -u; touch ~/mine; mkdir ~/d; ln -s x ~/d/l; mkfifo ~/f; python3 -V || true' >> /list && rm ~bob/f
RUN setpriv --reuid man --regid mail --clear-groups sh -c 'id -u; touch /tmp/by-man; umask 077; mkdir -p /tmp/m/m; echo > /tmp/m/m/f' && chgrp staff /var/local && touch /var/local/x /var/mail/y
RUN install -d -o man -g mail -m 2775 /i && install -o man -m 4711 /bin/true /i/x && install -g mail /bin/true /i/y && cp -a /bin/true /i/z && tar cf - /i | tar xf - -C /tmp && cp -a /i /i2 && mv /i2 /i3
RUN mkdir -p /p/DEBIAN /p/opt/p && printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n' > /p/DEBIAN/control && touch /p/opt/p/a /p/opt/p/b \
    && printf '#!/bin/sh\\nchown -R man: /opt/p; dpkg-statoverride --add bob grp 2750 /opt/p/b' > /p/DEBIAN/postinst && chmod 755 /p/DEBIAN/postinst && chown bob /p/opt/p/b && chmod 4755 /p/opt/p/b \
    && dpkg-deb -b /p /p.deb && dpkg -i /p.deb && dpkg --configure -a && dpkg-statoverride --update --force-statoverride-add --add man mail 6755 /opt/p/a && rm -r /p.deb /var/log
RUN --mount=type=tmpfs,target=/t touch /t/a && chown man /t/a && cp -a /t /t2 && ln -s /dev/stdout /ll && chown man /ll /dev/null && dpkg -r p && rm -r /var/log; test ! -e /opt/p/a
USER bob
RUN cp -p /etc/passwd ~/passwd; touch ~/y && chgrp grp ~/y; ! chown root ~/y && ls -ln /etc/shadow ~ > /tmp/ls && sed 's/ [A-Z][a-z][a-z] .*:.. / /' /tmp/ls > ~/list && rm /tmp/ls
"""


def own_layers(w, name, dockerfile):
    """What a build adds to its base."""
    commit = w.repository(name, {"Dockerfile": dockerfile})
    w.rule(name)
    code, events, log = w.build(name, commit)
    assert code == 0 and "artifact.published" in events, log
    layout = w.directory / f"pulled-{name}"
    subprocess.run([*SKOPEO, "copy", "-q", "--src-tls-verify=false", f"docker://{w.host}/acme/{name}:main-{commit[:7]}", f"oci:{layout}:x"],
                   check=True, capture_output=True)
    manifest = w.blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
    return [w.entries(layout, layer) for layer in manifest["layers"][1:]]


def debians_programs_make_the_same_image_alone():
    with world() as w:
        subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{debian_base()}:base", f"docker://{w.host}/fx/debian:1"], check=True)
        dockerfile = DEBIAN.format(base=f"{w.host}/fx/debian:1")
        layers = own_layers(w, "rooted", dockerfile)
        assert layers[1]["home/bob/mine"].uid == 1234 and layers[2]["var/local/x"].gid == 50 and layers[5]["t2/a"].uid == 6, layers
        shutil.rmtree(w.directory / "cache")
        as_ordinary(w, 54321, "")
        found = differences(layers, own_layers(w, "alone", dockerfile))
        assert not found, found


THREADS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
static void on_alarm(int number) { (void)number; }
static void *work(void *opaque)
{
    unsigned number = (unsigned)(long)opaque;
    for (unsigned i = 0; i < 200; i++) {
        char path[64], other[64];
        struct stat is;
        snprintf(path, sizeof path, "/t/%u-%u", number, i);
        snprintf(other, sizeof other, "/t/renamed-%u-%u", number, i);
        int fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0644);
        if (fd < 0 || fchown(fd, number * 1000 + i, 7) < 0 || rename(path, other) < 0 || stat(other, &is) < 0 || is.st_uid != number * 1000 + i)
            exit(1);
        close(fd);
    }
    return NULL;
}
int main(void)
{
    pthread_t threads[6];
    sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_alarm, .sa_flags = SA_RESTART }, NULL);
    ualarm(500, 500);
    mkdir("/t", 0777);
    for (long i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    return setgid(50) < 0 || setuid(1000) < 0 || getuid() != 1000 || getegid() != 50 || setuid(0) == 0;
}
"""


def each_thread_has_its_owners_recorded():
    """However often a signal comes in between, and whichever /proc the supervisor looks into."""
    with world() as w:
        (w.directory / "threads.c").write_text(THREADS)
        subprocess.run(["cc", "-static", "-pthread", "-o", w.directory / "threads", w.directory / "threads.c"], check=True)
        dockerfile = f"FROM {image(w, 'base', [f('bin/threads', (w.directory / 'threads').read_bytes(), 0o755)])}\nRUN threads\n"
        layers = own_layers(w, "rooted", dockerfile)
        assert layers[0]["t/renamed-6-199"].uid == 6199, layers
        for name, first in (("alone", "true"), ("masked", "mount --bind /dev/null /proc/version")):
            shutil.rmtree(w.directory / "cache")
            as_ordinary(w, 54321, "", first)
            found = differences(layers, own_layers(w, name, dockerfile))
            assert not found, (name, found[:9])


HOSTILE = """FROM {base}
RUN mkdir /r && cd /r && for i in $(seq 8); do (for n in $(seq 300); do touch $i; chown $n:$i $i; mv $i $i-; ln -s {outside} $i; chown -h 5 $i; chown 6 $i/victim; rm $i; mv $i- $i; done) & done 2> /dev/null; wait
RUN cd /r; for i in $(seq 30); do (while true; do touch x$i; chown $i x$i; rm x$i; done) & done 2> /dev/null; sleep 1; kill -9 $(seq 2 200) 2> /dev/null; true
RUN ln -s {far} /far; for f in {outside}/victim /far/victim {far}/victim /proc/1/root{outside}/victim /proc/1/cwd/victim /proc/self/root/../../..{outside}/victim; do chown 7 $f; chown -h 7 $f; chgrp 7 $f; done 2> /dev/null; true
RUN for n in $(seq 0 40); do chown 8 /proc/self/fd/$n /proc/self/fd/$n/..{outside}/victim /proc/1/fd/$n/victim /proc/self/../1/fd/$n/victim; done 2> /dev/null; true
RUN mkdir -p /jail{outside} && touch /jail{outside}/victim && cp /bin/busybox /jail/chown && chroot /jail /chown 9 {outside}/victim && chroot /jail /chown -R 9 /../../../../..{outside}; stat -c '%u' /jail{outside}/victim > /jailed
"""


def hostile_changes_of_owners_stay_inside():
    with world() as w:
        base = image(w, "base")
        as_ordinary(w, 54321, "")
        outside = w.directory / "outside"
        outside.mkdir()
        victim = outside / "victim"
        victim.write_text("kept")
        for path in (outside, victim):
            os.chown(path, 54321, 54321)
        victim.chmod(0o4755)  # which a change of owner would take away
        was = victim.stat()
        tree = built(w, "hostile", HOSTILE.format(base=base, outside=outside, far="../" * 20 + str(outside)[1:]))[2]
        assert text(tree, "jailed") == "9\n", tree
        assert {tree[f"r/{number}"][2:4] for number in range(1, 9)} <= {(300, number) for number in range(1, 9)}, tree
        assert (victim.stat().st_mode, victim.stat().st_ctime_ns) == (was.st_mode, was.st_ctime_ns)
        errors, _ = refused(w, "killed", f"FROM {base}\nRUN touch f; sh -c 'for i in $(seq 1000); do chown $i f; [ $i -lt 500 ] || kill -9 $$; done'; exit $?\n")
        assert "exit code: 137" in errors, errors
        errors, _ = refused(w, "endless", f"FROM {base}\nRUN touch f; while true; do chown 1 f; done & while true; do chown 2 f; done\n", timeoutSeconds=2)
        assert "took longer than the 2 s" in errors and not mounts_below(w.directory), errors


def where_nobody_may_answer_for_the_kernel_owners_are_lost_and_it_is_said():
    with world() as w:
        base = image(w, "base", [f("etc/theirs", "x", 0o600, 33, 34)])
        as_ordinary(w, 54321, "")
        without_seccomp = re.sub(r"\[155.*?\]", "[317]", re.sub(r"\[39,.*?\]", "[277]", CONTAINER.partition("kept =")[0])).replace("0x7e020000", "0")
        w.wrap = [sys.executable, "-c", without_seccomp + "os.execvp(sys.argv[1], sys.argv[1:])", *w.wrap]
        commit = w.repository("lost", {"Dockerfile": f"FROM {base}\nRUN touch /f && chown 5 /f && echo x >> /etc/theirs\nRUN chown 6 /f\n"})
        w.rule("lost")
        code, events, log = w.build("lost", commit)
        assert code == 0 and "artifact.published" in events, log
        assert log.count("is not recorded here: ") == 1, log


# An ordinary container: Docker's capabilities, and a filter that refuses namespaces and mounts. By number, for x86-64 and aarch64.
CONTAINER = """
import ctypes, os, platform, struct, sys
calls = {"x86_64": (0xc000003e, 56, [155, 165, 166, 272, 308, 428, 429, 430, 442, 435]),
         "aarch64": (0xc00000b7, 220, [39, 40, 41, 97, 268, 428, 429, 430, 442, 435])}
arch, clone, refused = calls[platform.machine()]
step = lambda code, yes, no, k: struct.pack("HBBI", code, yes, no, k)
program = step(0x20, 0, 0, 0)
for number in refused:
    program += step(0x15, 0, 1, number) + step(0x06, 0, 0, 0x50000 | (38 if number == 435 else 1))
program += step(0x15, 0, 3, clone) + step(0x20, 0, 0, 16) + step(0x45, 0, 1, 0x7e020000) + step(0x06, 0, 0, 0x50001) + step(0x06, 0, 0, 0x7fff0000)
held = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(22, 2, struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(held)), 0, 0) == 0, ctypes.get_errno()
kept = "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap"
os.execvp("setpriv", ["setpriv", "--bounding-set", "-all,+" + ",+".join(kept.split()), *sys.argv[1:]])
"""


def a_container_without_namespaces_makes_the_same_image_in_a_chroot():
    mark = f"sleep 96{os.getpid()}"
    with world() as w:
        base = image(w, "base", [d("srv/theirs", 0o700, 33, 34), f("srv/theirs/f", "x", 0o600, 33, 34)])
        dockerfile = (OWNERS.format(base=base) + f"RUN --mount=source=a,target=/m/a --mount=type=tmpfs,target=/t cat /m/a > /t/x; cp /t/x /copied; ({mark} &)\n"
                      "RUN --mount=type=cache,target=/c,sharing=shared ls /c >> /copied; touch /c/kept; echo x > /dev/null; echo x > /dev/shm/x\n"
                      "RUN <<EOF\ntouch -d '2001-01-01 00:00:00' /etc/passwd\nchmod 700 /etc /root\nmkdir -p /deep/er\nln -s x /deep/link\nEOF\n")
        commit = w.repository("owners", {"a": "a", "Dockerfile": dockerfile})
        w.rule("owners")
        first = w.built("owners", commit)[0]
        shutil.rmtree(w.directory / "cache")
        w.wrap = [sys.executable, "-c", CONTAINER]
        errors, _ = refused(w, "untrusted", f"FROM {base}\nRUN true\n")
        assert "does not let us isolate" in errors and '"isolation": "chroot"' in errors, errors
        w.rules["owners"]["isolation"] = "chroot"
        assert digest_of_another(w, "owners", commit) == first, "in a chroot"
        assert not processes_with(mark), "the command's processes are ended"
        assert list((w.directory / "cache/mounts").glob("*/data/kept")), "a cache mount is given back"
        errors, _ = refused(w, "endless", f"FROM {base}\nRUN (setsid {mark} &); for i in $(seq 30); do (setsid {mark} &) done; {mark}\n",
                            isolation="chroot", timeoutSeconds=3)
        assert "took longer than the 3 s" in errors and not processes_with(mark), errors


def times_and_links_are_those_of_elsewhere_in_a_chroot():
    """What is mounted where nothing was makes its directory newer; of links no mode counts."""
    with world() as w:
        base = image(w, "base", [("etc/link", tarfile.SYMTYPE, 0o755, 0, 0, "passwd")])
        commit = w.repository("times", {"a": "a", "Dockerfile": f"FROM {base}\nRUN echo x >> /etc/group\nRUN chown -h 0:0 /etc/link\n"
                                                               "RUN --mount=source=a,target=/usr/a echo y > /usr/b\n"})
        w.rule("times")
        first, _, _, layers = w.built("times", commit)
        assert sorted(layers[1]) == ["etc/", "etc/group"] and list(layers[2]) == [], (sorted(layers[1]), sorted(layers[2]))
        shutil.rmtree(w.directory / "cache")
        w.wrap = [sys.executable, "-c", CONTAINER]
        w.rules["times"]["isolation"] = "chroot"
        assert digest_of_another(w, "times", commit) == first


def an_ordinary_container_makes_the_same_image():
    """Root of a container as podman starts it for everybody: with the cache on a volume, where changes are stacked, and without one."""
    with world() as w:
        base = image(w, "base", [d("srv/theirs", 0o700, 33, 34), f("srv/theirs/f", "x", 0o600, 33, 34)])
        subprocess.run([*SKOPEO, "copy", "-q", "--src-tls-verify=false", f"docker://{base}", f"docker-archive:{w.directory}/base.tar:localhost/base:1"],
                       check=True, capture_output=True)
        start = ordinary_container(w.directory, w.directory / "base.tar", "localhost/base:1")
        commit = w.repository("owners", {"a": "a", "Dockerfile": OWNERS.format(base=base)})
        w.rule("owners")
        first = w.built("owners", commit)[0]
        shutil.rmtree(w.directory / "cache")
        (w.directory / "cache").mkdir()
        w.wrap = [*start, "--env-host", "-v", f"{w.directory}:{w.directory}", "-v", f"{BIN}:{BIN}:ro", "localhost/base:1"]
        assert digest_of_another(w, "owners", commit) == first, "on a volume"
        assert list((w.directory / "cache/layers-ids").iterdir()), "layers were stacked"
        w.rules["owners"]["image"] += "-more"
        code, events, log = w.build("owners", commit, environment={"PUSHWRIGHT_CACHE_DIR": "/cache"})
        assert code == 0 and ("works on a copy" in log or "overlay" not in start), log
        assert first.partition(":")[2] in events["artifact.published"]["subject"]["id"], "on the container's own file system"


def the_command_line_builds_the_same_in_every_place():
    need("newuidmap")
    container = [sys.executable, "-c", CONTAINER]
    with world() as w:
        base = image(w, "base")
        (w.directory / "context").mkdir()
        (w.directory / "context/Dockerfile").write_text(f"FROM {base}\nRUN touch /x; chown 1000:50 /x\n")

        def build(*options):
            shutil.rmtree(w.directory / "cache", ignore_errors=True)
            out = w.directory / f"out{len(list(w.directory.glob('out*')))}"
            for place in (w.directory / "cache", out):
                place.mkdir()
                place.chmod(0o777)
            return subprocess.run([*w.wrap, str(BIN / "pushwright"), "build", "-q", "-o", f"type=oci,dest={out}/o.tar", *options,
                                   str(w.directory / "context")], env=w.environment(), capture_output=True, text=True, timeout=60)

        first = build()
        assert first.returncode == 0 and first.stdout.startswith("sha256:"), first
        w.wrap = container
        told = build()
        assert told.returncode == 1 and "--isolation=chroot" in told.stderr, told
        assert build("--isolation=chroot").stdout == first.stdout
        as_ordinary(w, 54321, "somebody:500000:65536\n")
        shutil.rmtree(w.directory / "cache")
        assert build().stdout == first.stdout


def a_chroot_is_not_left_and_shows_nothing_of_ours():
    mark = "visible-secret-7f3b"
    attempts = ["mount -t tmpfs none /tmp", "unshare -m true", "unshare -r true", "chroot / true", "mknod /disk b 8 0", "nsenter -t 1 -m true",
                f"grep -r {mark} /proc /dev/fd /sys", f"ls {pathlib.Path('/').resolve()}work-of-the-host", "ls /proc/1"]
    script = "".join(f"RUN {attempt} 2>/dev/null && echo '{attempt}' >> /o || true\n" for attempt in attempts)
    with world() as w:
        base = image(w, "traps", [s("far", "../" * 20 + str(w.directory)[1:]), s("resolv", "/etc/resolv.conf")])
        commit = w.repository("chroot", {"a": "a", "Dockerfile": f"""FROM {base}
RUN touch /o; env > /env; ls -l /far/ > /listed 2>/dev/null; mkdir -p {w.directory}/tmp; echo x > /far/tmp/escaped; true
RUN --mount=source=a,target=/far/cache/x cat /far/cache/x; rm -rf /etc; ln -s /far /etc
RUN touch /etc/here
{script}"""})
        w.rule("chroot", isolation="chroot")
        w.wrap = [sys.executable, "-c", CONTAINER]
        code, events, log = w.build("chroot", commit, token=mark, environment={"DOCKER_AUTH": mark})
        assert code == 0 and "artifact.published" in events, (events, log)
        w.wrap = []
        assert not list(w.directory.rglob("escaped")) and not (w.directory / "here").exists()
        commit = w.repository("look", {"Dockerfile": f"FROM {w.host}/acme/chroot:main-{commit[:7]}\nRUN true\n"})
        w.rule("look")
        tree = w.built("look", commit)[2]
        assert text(tree, "o") == "" and mark not in text(tree, "env") and text(tree, "listed") == "", (text(tree, "o"), text(tree, "env"))


# ---- what is not reached ----

def nothing_of_ours_is_visible_inside():
    mark = "visible-secret-7f3a"
    with world() as w:
        base = image(w, "base")
        commit = w.repository("hidden", {"Dockerfile": f"""FROM {base}
RUN mkdir /o; env > /o/env; cat /proc/*/environ > /o/environ 2>/dev/null; cat /proc/*/cmdline > /o/cmdline 2>/dev/null; true
RUN ls /proc | grep -c '^[0-9]' > /o/processes; find / -name '{mark}*' > /o/found 2>/dev/null; ls /proc/1/root /proc/self/cwd > /o/root; true
RUN for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do ls /proc/self/fd/$n/.. 2>/dev/null; done > /o/descriptors; true
"""})
        (w.directory / f"{mark}.json").write_text(mark)
        w.rule("hidden")
        _, _, tree, _ = w.built("hidden", commit, token=mark, environment={"DOCKER_AUTH": mark, "AWS_SECRET_ACCESS_KEY": mark})
        for name in ("env", "environ", "cmdline", "found", "descriptors"):
            assert mark not in text(tree, f"o/{name}"), (name, text(tree, f"o/{name}"))
        assert int(text(tree, "o/processes")) < 6, text(tree, "o/processes")
        assert str(w.directory) not in text(tree, "o/cmdline")


def the_machine_cannot_be_reached():
    with world() as w:
        base = image(w, "base")
        attempts = ["mount -t tmpfs none /tmp", "mount -o bind / /tmp", "umount /etc/hosts", "umount /proc", "unshare -m true", "unshare -r true",
                    "nsenter -t 1 -m true", "dd if=/disk of=/dev/null count=1", "dd if=/dev/mine of=/dev/null count=1",
                    "echo 1 > /proc/sys/kernel/core_pattern", "echo b > /proc/sysrq-trigger", "dd if=/proc/kcore of=/dev/null count=1",
                    "touch /sys/kernel/x", "chroot /proc/1/root/../../.. ls /work-of-the-host"]
        script = "".join(f"RUN {attempt} 2>/dev/null && echo '{attempt}' >> /o || true\n" for attempt in attempts)
        tree = built(w, "reach", f"FROM {base}\nRUN touch /o; mknod /disk b 8 0; mknod /dev/mine b 8 0; mknod /zero c 0 0; true\n{script}RUN rm -f /disk\n")[2]
        assert text(tree, "o") == "", text(tree, "o")
        assert "zero" not in tree, "a device 0:0 would be a deletion"


def links_of_an_image_lead_nowhere_but_inside():
    with world() as w:
        outside = w.directory / "outside"
        outside.mkdir()
        (outside / "kept").write_text("kept")
        far = "../" * 20 + str(outside)[1:]
        base = image(w, "traps", [s("away", str(outside)), s("far", far), s("w", far)],
                     [s("dev", far), s("proc", str(outside)), s("sys", far), s("run", far), s("etc", "usr"), f("usr/passwd", "root:x:0:0::/root:/bin/sh\n"),
                      s("usr/hosts", f"{outside}/hosts"), s("usr/resolv.conf", far + "/resolv.conf")])
        commit = w.repository("traps", {"a": "a", "Dockerfile": f"""FROM {base}
WORKDIR /w/x
RUN touch here; mkdir -p {outside}; ls {outside} > {outside}/list
RUN --mount=type=cache,target=/far/cache --mount=type=tmpfs,target=/away/deep/er touch /far/cache/c /away/deep/er/t
RUN --mount=type=bind,source=a,target=/run/x/y cat /run/x/y; rm -rf /away /far; ln -s / /away
COPY a /away/tmp/
"""})
        w.rule("traps")
        w.build("traps", commit)  # whether or not such an image runs: nothing of it may be seen outside
        assert sorted(p.name for p in outside.iterdir()) == ["kept"], list(outside.iterdir())


def mounts_and_their_stubs_stay_inside():
    with world() as w:
        base = image(w, "base")
        files = {"data/f": "f\n", "out": ("link", "../../../../../etc/passwd")}
        tree = built(w, "stubs", f"""FROM {base}
RUN --mount=source=data,target=/n1/n2/n3 --mount=type=tmpfs,target=/t/u cat /n1/n2/n3/f > /o
RUN --mount=source=data,target=/m/x mv /m /moved; ln -s /etc /m
RUN --mount=source=data,target=/q/r/s rm -rf /q/r; touch /q/kept
RUN --mount=type=cache,id=../../../../escaped,target=/c --mount=type=cache,target=/c2,id=/etc echo x > /c/x; ln -s / /c/root
RUN --mount=type=cache,id=../../../../escaped,target=/c/root/inner/deeper ls /c >> /o 2>&1; true
RUN --mount=source=data,target=/rw,rw echo changed > /rw/f && echo thrown > /rw/new
RUN --mount=source=data,target=/rw cat /rw/f >> /o; ls /rw >> /o
""", files)[2]
        for path in ("n1", "t", "c", "c2", "rw"):
            assert path not in tree, (path, sorted(tree))
        assert tree["m"][0] == "link" and "q/kept" in tree and "etc/passwd" in tree and "etc/x" not in tree, sorted(tree)
        assert text(tree, "o").startswith("f\n") and text(tree, "o").endswith("f\nf\n"), text(tree, "o")
        assert not list(w.directory.rglob("escaped*")), "ids of caches are no paths"
        commit = w.repository("leads-out", {"Dockerfile": f"FROM {base}\nRUN --mount=source=out,target=/p cat /p\n", **files})
        w.rule("leads-out")
        errors = w.build("leads-out", commit)[1]["build.finished"]["customData"]["errors"]
        assert "not found" in errors, errors


def no_mount_hides_another_that_lies_below_it():
    """In whatever order they are written."""
    with world() as w:
        base = image(w, "base")
        tree = built(w, "order", f"""FROM {base}
RUN --mount=source=data,target=/c/d --mount=type=cache,target=/c ls /c /c/d > /o
RUN --mount=source=data/f,target=/same --mount=source=data/g,target=/same cat /same >> /o
""", {"data/f": "f", "data/g": "g"})[2]
        assert text(tree, "o").split() == ["/c:", "d", "/c/d:", "f", "g", "g"], text(tree, "o")


@contextlib.contextmanager
def held(w, name, commit, said):
    """A build whose last command has said this and goes on; killed afterwards."""
    (w.directory / "event.json").write_text(json.dumps(w.event(name, commit)))
    log = w.directory / "log"
    builder = subprocess.Popen([str(BIN / "build"), "--event", str(w.directory / "event.json")], stdout=subprocess.DEVNULL, stderr=log.open("w"),
                               env=w.environment())
    try:
        wait_until(lambda: said in log.read_text(), 60, "the last command")
        yield
    finally:
        builder.kill()
        builder.wait()
    shutil.rmtree(w.directory / "tmp")


def large_files(w, name):
    """Of that name in the store of layers, each counted once."""
    return len({path.stat().st_ino for path in (w.directory / "cache/layers").rglob(name) if path.stat().st_size >= 8000000})


def memory_has_the_mode_of_what_it_is_mounted_on():
    """Whatever isolates the command; a directory that is made for it is everybody's."""
    with world() as w:
        base = image(w, "base", [d("srv", 0o2751, 33, 34), d("secret", 0o700)])
        commit = w.repository("memory", {"Dockerfile": f"""FROM {base}
RUN --mount=type=tmpfs,target=/srv,size=1m --mount=type=tmpfs,target=/secret --mount=type=tmpfs,target=/new/er stat -c '%n %a %u %g' /srv /secret /new/er > /o
"""})
        w.rule("memory", isolation="chroot")
        first, _, tree, _ = w.built("memory", commit)
        assert text(tree, "o").splitlines() == ["/srv 2751 0 0", "/secret 700 0 0", "/new/er 1777 0 0"], text(tree, "o")
        shutil.rmtree(w.directory / "cache")
        w.wrap = [sys.executable, "-c", CONTAINER]
        assert digest_of_another(w, "memory", commit) == first, "in a chroot"


def a_source_that_is_bound_lies_on_the_disk_once():
    """Whatever number of commands reads it; what one writes to it, the next does not see, nor does the source change its looks."""
    mark = f"94{os.getpid()}"
    with world() as w:
        base = image(w, "base")
        run = "RUN --mount=source=big,target=/b{0} "
        commit = w.repository("bound", {"big/f": "x" * 8000000, "big/sub/g": "g", "Dockerfile": f"""FROM {base} AS made
RUN mkdir -m 2770 /m && echo m > /m/f && chown -R 1000:50 /m
FROM {base}
{run.format("")}wc -c < /b/f > /o; (echo x >> /b/f) 2>/dev/null || echo read-only >> /o
{run.format(",rw")}echo more >> /b/f && rm -r /b/sub && echo new > /b/new && wc -l < /b/f >> /o
{run.format(",rw")}wc -l < /b/f >> /o; ls /b >> /o
RUN --mount=from=made,source=/m,target=/m,rw stat -c '%a %u %g' /m /m/f >> /o; chmod 700 /m; echo n >> /m/f
RUN --mount=from=made,source=/m,target=/m stat -c '%a %u %g' /m >> /o; stat -c '%a %u %g %s' /m/f >> /o
{run.format(",rw")}{run.format("")[4:].replace("/b", "/c")}du -s {w.directory} 2>/dev/null; wc -c < /c/f >> /o; echo o''ver; sleep {mark}; exit 3
"""})
        w.rule("bound", timeoutSeconds=60)
        with held(w, "bound", commit, " over"):
            assert large_files(w, "f") == 2  # one is what the second command made of it
        commit = w.repository("bound", {"Dockerfile": (w.directory / "work-bound/Dockerfile").read_text().replace(f"sleep {mark}; exit 3", "true")})
        tree = w.built("bound", commit)[2]
        assert text(tree, "o").split() == ["8000000", "read-only", "1", "0", "f", "sub", "2770", "1000", "50", "644", "1000", "50",
                                           "2770", "1000", "50", "644", "1000", "50", "2", "8000000"], text(tree, "o")


MOUNTED = """FROM {base} AS made
RUN mkdir -m 2770 /m && head -c 8000000 /dev/zero > /m/f && rm /etc/group && : {change}
FROM {base}
RUN --mount=from={tools},target=/t ls /t /t/opt /t/opt/sub > /o; stat -c %a /t/opt >> /o; (echo x > /t/opt/new) 2>/dev/null || echo read-only >> /o; echo {change} > /c
RUN --mount=from={tools},source=/link,target=/t,rw echo more >> /t/big; rm -r /t/sub; wc -c < /t/big >> /o; ls /t >> /o
RUN --mount=from={tools},source=/opt/big,target=/one --mount=from=made,source=/m/f,target=/two,rw wc -c < /one >> /o; echo y >> /two; wc -c < /two >> /o
RUN --mount=from=made,target=/made ls /made/etc >> /o; stat -c %a /made/m >> /o; wc -c < /made/m/f >> /o; echo o''ver; {wait}
"""


def what_is_mounted_of_images_and_stages_is_unpacked_once_for_all_builds():
    need("newuidmap")
    mark = f"sleep 93{os.getpid()}"
    with world() as w:
        tools = f"{w.host}/fx/tools:1"
        layers = [[d("opt", 0o750), f("opt/big", "x" * 8000000), f("opt/gone", "x"), d("opt/sub"), f("opt/sub/old", "x")],
                  [f("opt/.wh.gone"), f("opt/sub/.wh..wh..opq"), f("opt/sub/new", "n"), s("link", "opt")]]
        write_layout(w.directory / "tools", "x", layers, {"architecture": "amd64", "os": "linux", "config": {}, "history": [{}, {}]})
        subprocess.run([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{w.directory}/tools:x", f"docker://{tools}"], check=True, capture_output=True)
        names = {"base": image(w, "base"), "tools": tools}
        commit = w.repository("mounted", {"Dockerfile": MOUNTED.format(change=1, wait="true", **names)})
        w.rule("mounted", timeoutSeconds=60)
        first, _, tree, _ = w.built("mounted", commit)
        text_of_o = text(tree, "o").split()
        assert text_of_o == ["/t:", "link", "opt", "/t/opt:", "big", "sub", "/t/opt/sub:", "new", "750", "read-only", "8000005", "big",
                             "8000000", "8000002", "passwd", "2770", "8000000"], text_of_o
        for who, subordinate in (("with ids", "somebody:500000:65536\n"), ("alone", "nobody-else:100000:65536\n")):
            shutil.rmtree(w.directory / "cache")
            as_ordinary(w, 54321, subordinate)
            assert digest_of_another(w, "mounted", commit) == first, who
        shutil.rmtree(w.directory / "cache")
        w.wrap = []
        assert digest_of_another(w, "mounted", commit) == first, "nothing is cached"
        store = sorted((path.parent.name, path.stat().st_ino) for path in (w.directory / "cache/layers").glob("*/fs"))
        asked = len((w.directory / "registry.log").read_text())
        commit = w.repository("mounted", {"Dockerfile": MOUNTED.format(change=2, wait=mark, **names)})
        with held(w, "mounted", commit, " over"):
            assert (large_files(w, "big"), large_files(w, "f")) == (2, 2)  # what lies there, and what a command made of it
            assert sorted((path.parent.name, path.stat().st_ino) for path in (w.directory / "cache/layers").glob("*/fs")) == store
        assert "GET /v2/fx/tools/blobs" not in (w.directory / "registry.log").read_text()[asked:]


def privileges_are_not_to_be_had():
    with world() as w:
        base = image(w, "base")
        for flag, reason in (("--security=insecure", "security.insecure is not allowed"), ("--network=host", "network.host is not allowed")):
            errors, _ = refused(w, "entitled", f"FROM {base}\nRUN {flag} true\n")
            assert reason in errors, errors


def what_the_builder_has_more_than_others_is_not_handed_on():
    with world() as w:
        base = image(w, "base")
        commit = w.repository("more", {"Dockerfile": f"""FROM {base}
RUN mkdir -m 777 /o; grep -E '^(Cap(Inh|Eff|Bnd|Amb)|Groups)' /proc/self/status > /o/root
USER alice
RUN grep -E '^(Cap(Inh|Prm|Eff|Amb)|Groups)' /proc/self/status > /o/alice
USER 1234
RUN grep Groups /proc/self/status > /o/number
"""})
        w.rule("more")
        w.wrap = ["setpriv", "--groups", "4,27,50", "--inh-caps", "+sys_admin,+net_admin", "--ambient-caps", "+sys_admin,+net_admin"]
        tree = w.built("more", commit)[2]
        root, alice = (dict(line.split(":", 1) for line in text(tree, f"o/{who}").splitlines()) for who in ("root", "alice"))
        dockers = 0xa80425fb
        assert int(root["CapBnd"], 16) == int(root["CapEff"], 16) == dockers, root
        assert int(root["CapInh"], 16) == int(root["CapAmb"], 16) == 0 and root["Groups"].split() == ["0"], root
        assert all(int(alice[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")), alice
        assert sorted(alice["Groups"].split()) == ["1000", "50"] and text(tree, "o/number").split()[1:] == ["0"], (alice, text(tree, "o/number"))


def a_working_directory_leads_nowhere_else():
    mark = "working-secret-5d2c"
    with world() as w:
        (w.directory / "secret").write_text(mark)
        far = "../" * 20 + str(w.directory)[1:]
        base = image(w, "base", [s("fd", "/proc/self/fd"), s("away", far), s("one", "/proc/1/root")])
        places = [f"/proc/self/fd/{number}" for number in range(3, 10)] + ["/fd/5", "/fd/6", "/away", "/one", "/proc/1/cwd", "/proc/self/../1/root"]
        for place in places:
            commit = w.repository("work", {"Dockerfile": f"FROM {base}\nWORKDIR {place}\nRUN cat secret ./../../../../../../..{w.directory}/secret; pwd -P\n"})
            w.rule("work")
            log = w.build("work", commit)[2]  # whether or not it builds
            assert mark not in log, (place, log)


def the_kernel_shows_and_takes_little():
    """Whoever the builder is."""
    masked = "acpi asound kcore keys latency_stats timer_list scsi interrupts"
    with world() as w:
        base = image(w, "base")
        modes = {"root": lambda: None, "single": lambda: as_ordinary(w, 54321, "nobody-else:100000:65536\n")}
        if shutil.which("newuidmap"):
            modes["ids"] = lambda: as_ordinary(w, 54321, "somebody:500000:65536\n")
        for mode, become in modes.items():
            shutil.rmtree(w.directory / "cache", ignore_errors=True)
            become()
            tree = built(w, f"kernel-{mode}", f"""FROM {base}
RUN mkdir /o; for f in {masked}; do [ -d /proc/$f ] && ls -A /proc/$f; [ -f /proc/$f ] && head -c 1 /proc/$f; done > /o/seen 2>/dev/null; ls -A /sys/firmware >> /o/seen; true
RUN for f in sys/kernel/hostname sys/vm/drop_caches sysrq-trigger bus/x fs/x irq/x; do (echo 1 > /proc/$f) 2>/dev/null && echo $f; done > /o/taken; true
RUN (echo 1 > /sys/kernel/uevent_helper) 2>/dev/null && echo uevent >> /o/taken; touch /sys/fs/cgroup/x 2>/dev/null && echo cgroup >> /o/taken; true
RUN grep ' /sys[^ ]* ' /proc/self/mounts | grep -v '^[^ ]* [^ ]* [^ ]* ro' >> /o/taken; grep Seccomp: /proc/self/status > /o/filter; true
""")[2]
            assert text(tree, "o/seen") == "" and text(tree, "o/taken") == "", (mode, text(tree, "o/seen"), text(tree, "o/taken"))
            assert text(tree, "o/filter").split() == ["Seccomp:", "2"], (mode, text(tree, "o/filter"))


# ---- what is left ----

def a_command_that_does_not_end_is_killed_whole():
    mark = f"sleep 98{os.getpid()}"
    with world() as w:
        base = image(w, "base")
        began = time.monotonic()
        errors, _ = refused(w, "endless", f"FROM {base}\nRUN (setsid {mark} &) ; f() {{ {mark} & f; }}; for i in $(seq 50); do {mark} & done; {mark}\n",
                            timeoutSeconds=3)
        assert "took longer than the 3 s" in errors and time.monotonic() - began < 30, errors
        wait_until(lambda: not processes_with(mark), what="the end of every process")
        assert not mounts_below(w.directory)
        built(w, "endless2", f"FROM {base}\nRUN true\n")
        assert not unfinished(w), unfinished(w)


def a_killed_builder_leaves_nothing():
    mark = f"sleep 97{os.getpid()}"
    with world() as w:
        base = image(w, "base", [f(f"big/{number}", os.urandom(200000)) for number in range(60)])
        dockerfile = f"FROM {base}\nRUN echo started; {mark} & sleep $NAP\n"
        commit = w.repository("killed", {"Dockerfile": dockerfile.replace("$NAP", "60")})
        w.rule("killed")
        (w.directory / "event.json").write_text(json.dumps(w.event("killed", commit)))
        for wait in (0.02, 0.05, 0.1, 0.2, 0.4, 1.5):
            child = subprocess.Popen([str(BIN / "build"), "--event", str(w.directory / "event.json")], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, env=w.environment())
            time.sleep(wait)
            child.kill()
            child.wait()
            wait_until(lambda: not processes_with(mark), what="the end of every process")
            assert not mounts_below(w.directory)
        shutil.rmtree(w.directory / "tmp")  # of git, which is killed as well
        commit = w.repository("after", {"Dockerfile": dockerfile.replace("$NAP", "0")})
        w.rule("after")
        first = w.built("after", commit)[0]
        assert not unfinished(w), unfinished(w)
        shutil.rmtree(w.directory / "cache")
        assert digest_of_another(w, "after", commit) == first, "what was left behind changed nothing"


def builds_at_the_same_time_share_what_they_unpack():
    with world() as w:
        base = image(w, "base", [f(f"many/{number}", f"{number}") for number in range(2000)])
        rules = [f"side{number}" for number in range(4)]
        for name in rules:
            commit = w.repository(name, {"Dockerfile": f"FROM {base}\nRUN --mount=type=cache,target=/c,sharing=locked ls /many | wc -l > /o\n"})
            w.rule(name)
            (w.directory / f"{name}.json").write_text(json.dumps(w.event(name, commit)))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda name: subprocess.run([str(BIN / "build"), "--event", str(w.directory / f"{name}.json")],
                                                                capture_output=True, text=True, env=w.environment(), timeout=120), rules))
        for result in results:
            assert result.returncode == 0 and "artifact.published" in result.stdout, result.stderr
        whole = [entry for entry in (w.directory / "cache/layers").iterdir() if len(entry.name) == 64]
        assert len(whole) == 1 and not unfinished(w), list((w.directory / "cache/layers").iterdir())


def cache_mounts_give_way_to_those_that_are_used():
    bound = 700000
    with world() as w:
        base = image(w, "base")

        def fill(name, then="true", kilobytes=300):
            commit = w.repository(name, {"Dockerfile": f"FROM {base}\nRUN --mount=type=cache,target=/c,id={name} dd if=/dev/urandom of=/c/{name} bs=1000 "
                                         f"count={kilobytes} && {then}\n"})
            w.rule(name)
            return commit

        def build(name, commit):
            code, events, log = w.build(name, commit, environment={"PUSHWRIGHT_CACHE_BYTES": str(bound)})
            assert code == 0 and "artifact.published" in events, (events, log)

        def kept():
            return sorted(entry.name for entry in (w.directory / "cache/mounts").glob("*/data/*"))
        for name in ("one", "two"):
            build(name, fill(name))
        assert kept() == ["one", "two"]
        build("one", fill("one", "echo again"))
        build("three", fill("three"))
        assert kept() == ["one", "three"], "the longest unused one went"
        build("large", fill("large", kilobytes=1000))
        assert kept() == [], "the bound is one"

        (w.directory / "elsewhere").mkdir()
        mark = f"sleep 95{os.getpid()}"  # a builder is killed over its command, and one goes on while others build
        for name in ("killed", "held"):
            commit = fill(name, f"echo o''ver; {mark}", 600)
            (w.directory / f"{name}.json").write_text(json.dumps(w.event(name, commit)))
        held, killed = (subprocess.Popen([str(BIN / "build"), "--event", str(w.directory / f"{name}.json")], stdout=subprocess.DEVNULL,
                                         stderr=(w.directory / f"{name}.log").open("w"), env={**w.environment(), "TMPDIR": f"{w.directory}/elsewhere"}) for name in ("held", "killed"))
        try:
            wait_until(lambda: all("over" in (w.directory / f"{name}.log").read_text() for name in ("held", "killed")), 60, "both commands")
            killed.kill()
            killed.wait()
            wait_until(lambda: len(processes_with(mark)) < 4, what="the end of its processes")
            build("four", fill("four"))
            assert "held" in kept() and "killed" not in kept(), kept()
        finally:
            for builder in (held, killed):
                builder.kill()
                builder.wait()
        wait_until(lambda: not processes_with(mark), what="the end of every process")
        build("five", fill("five"))
        assert kept() == ["five"] or kept() == ["five", "four"], kept()
        assert not [entry for entry in (w.directory / "cache/mounts").iterdir() if len(entry.name) != 64], "nothing half is left"


if __name__ == "__main__":
    if os.getuid() != 0:
        print("1..1\nok 1 - RUN # SKIP as root; as an ordinary user the sandbox has its unit tests")
        sys.exit(0)
    run_tests([the_same_commit_gives_the_same_digest_whatever_is_cached, output_and_failures_are_told, a_command_sees_what_buildkit_shows,
               an_ordinary_user_with_subordinate_ids_makes_the_same_image, an_ordinary_user_alone_makes_the_same_image,
               debians_programs_make_the_same_image_alone, each_thread_has_its_owners_recorded, what_its_owner_may_not_read_is_kept_by_whom_ever, hostile_changes_of_owners_stay_inside, where_nobody_may_answer_for_the_kernel_owners_are_lost_and_it_is_said, a_container_without_namespaces_makes_the_same_image_in_a_chroot, times_and_links_are_those_of_elsewhere_in_a_chroot,
               an_ordinary_container_makes_the_same_image,                the_command_line_builds_the_same_in_every_place, a_chroot_is_not_left_and_shows_nothing_of_ours, nothing_of_ours_is_visible_inside, the_machine_cannot_be_reached, links_of_an_image_lead_nowhere_but_inside,
               mounts_and_their_stubs_stay_inside, no_mount_hides_another_that_lies_below_it, memory_has_the_mode_of_what_it_is_mounted_on, a_source_that_is_bound_lies_on_the_disk_once,
               what_is_mounted_of_images_and_stages_is_unpacked_once_for_all_builds, what_the_builder_has_more_than_others_is_not_handed_on,
               a_working_directory_leads_nowhere_else, the_kernel_shows_and_takes_little, privileges_are_not_to_be_had, a_command_that_does_not_end_is_killed_whole,
               a_killed_builder_leaves_nothing, cache_mounts_give_way_to_those_that_are_used, builds_at_the_same_time_share_what_they_unpack])
