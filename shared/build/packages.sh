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
    local missing as_root=()
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0

    if ! command -v apt-get >/dev/null; then
        echo "These packages are needed, and this system has no apt-get to install them: ${missing[*]}" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "These packages are needed; install them as root, then run this again:" >&2
            echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi

    echo "installing ${missing[*]}" >&2
    install_packages "${missing[@]}" >&2 && return 0
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
}

# A machine that has never run "apt-get update" knows no package at all, and an
# old list names versions the archive no longer has: when the first try fails,
# refresh the list once and try again.
install_packages() {
    local apt=(${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120)
    "${apt[@]}" install -y --no-install-recommends "$@" 2>/dev/null && return 0
    # An unreachable third-party source must not keep Debian's from being used.
    "${apt[@]}" update || true
    "${apt[@]}" install -y --no-install-recommends "$@"
}
