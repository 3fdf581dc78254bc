# Debian packages a script of this project needs; to be sourced.
#
#   . shared/build/packages.sh
#   need_packages gcc make
#
# Installs only what is missing, as root or through sudo. Without either it
# names the packages and returns 1, so that the caller stops with a message a
# person can act on.

# Prints those of the given packages that are not installed, one a line.
missing_packages() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s\n' "$package"
    done
}

need_packages() {
    local missing said apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120)
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0

    if ! command -v apt-get >/dev/null; then
        echo "These packages are needed, and this system has no apt-get to install them: ${missing[*]}" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -v; then
            echo "These packages are needed; install them as root, then run this again:" >&2
            echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
        apt=(sudo "${apt[@]}")
    fi

    echo "installing ${missing[*]}" >&2
    # A machine that has never run "apt-get update" knows no package at all, and
    # an old list names versions the archive no longer has: refresh the list
    # when the first try fails. An update may fail for a third party's source
    # only; whether the packages can be had now is what counts. What apt-get
    # says is shown when all of it was in vain.
    said=$("${apt[@]}" install -y --no-install-recommends "${missing[@]}" 2>&1) && return 0
    said=$("${apt[@]}" update 2>&1) || true
    said+=$'\n'$("${apt[@]}" install -y --no-install-recommends "${missing[@]}" 2>&1) && return 0
    printf '%s\n' "$said" >&2
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
}
