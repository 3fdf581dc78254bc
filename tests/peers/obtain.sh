#!/usr/bin/env bash
# `obtain.sh cosign|crane|pyspdxtools|kubernetes|knative|npm-policies|foreign|linux`: what Debian 12 does not package and tests of this folder judge by. Had once from where its
# authors publish it (Go's module proxy, PyPI, npm), at a pinned version, and kept in the cache outside the clone; prints its path (of kubernetes: a folder
# with kube-apiserver, kube-controller-manager, kubectl and etcd; of knative: one with Serving's resource definitions; of foreign: one with Debian's
# busybox for another machine, and the emulator that runs it here, neither of which is installed; of linux: one with Debian's kernel and its module
# overlay.ko). Exit 77, with the reason, where it cannot be had.
set -euo pipefail

UNAVAILABLE=77
COSIGN_VERSION=v3.1.3
CRANE_VERSION=v0.22.1
SPDX_VERSION=0.8.5
SEMVER_VERSION=7.8.6
MINIMATCH_VERSION=9.0.5
KUBERNETES_VERSION=v1.36.3
KNATIVE_VERSION=v0.51.0
cache=${PUSHWRIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pushwright}

unavailable() {
    echo "$1" >&2
    exit "$UNAVAILABLE"
}

# A Go that is not new enough to read the module, nor can fetch one that is, says so.
obtain_go() { # PROGRAM VERSION PACKAGE
    local place=$cache/$1-$2 work
    if [ ! -x "$place/$1" ]; then
        command -v go >/dev/null || unavailable "$1 is built with Go, which is not installed"
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/$1.XXXXXX")
        # shellcheck disable=SC2064
        trap "rm -rf '$work'" EXIT
        GOBIN=$work/bin GOPATH=$work/go GOMODCACHE=${GOMODCACHE:-$work/modules} GOCACHE=${GOCACHE:-$work/objects} CGO_ENABLED=0 \
            GOFLAGS='-modcacherw -buildvcs=false' nice go install -ldflags='-s -w' "$3@$2" >"$work/log" 2>&1 ||
            unavailable "$1 $2 does not build here: $(tail -n 1 "$work/log")"
        mkdir -p "$place"
        mv "$work/bin/$1" "$place/$1"
    fi
    echo "$place/$1"
}

# Some minutes and 3 GB for a while.
obtain_cosign() {
    obtain_go cosign "$COSIGN_VERSION" github.com/sigstore/cosign/v3/cmd/cosign
}

# Debian's own, where it is packaged.
obtain_crane() {
    command -v crane || obtain_go crane "$CRANE_VERSION" github.com/google/go-containerregistry/cmd/crane
}

obtain_pyspdxtools() {
    local place=$cache/spdx-tools-$SPDX_VERSION
    if [ ! -x "$place/bin/pyspdxtools" ]; then
        rm -rf "$place"
        mkdir -p "$cache"
        { python3 -m venv "$place" && "$place/bin/pip" -q install "spdx-tools==$SPDX_VERSION"; } >&2 ||
            { rm -rf "$place" && unavailable "spdx-tools $SPDX_VERSION could not be had from PyPI"; }
    fi
    echo "$place/bin/pyspdxtools"
}

# The folder in whose node_modules they are.
obtain_npm_policies() {
    local place=$cache/npm-semver-$SEMVER_VERSION-minimatch-$MINIMATCH_VERSION
    if [ ! -d "$place/node_modules/semver" ]; then
        command -v npm >/dev/null || unavailable "npm's packages are fetched with npm, which is not installed"
        rm -rf "$place"
        mkdir -p "$place"
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$place" "semver@$SEMVER_VERSION" \
            "minimatch@$MINIMATCH_VERSION" >&2 ||
            { rm -rf "$place" && unavailable "npm's semver $SEMVER_VERSION could not be had"; }
    fi
    echo "$place"
}

# Kubernetes' own go.mod has its staging modules at paths of its own repository, which Go honours in the main module only: a module around it
# names the published ones.
write_module() { # FOLDER
    local published=v0.${KUBERNETES_VERSION#v1.} theirs
    theirs=$(cd "$1" && go mod download -json "k8s.io/kubernetes@$KUBERNETES_VERSION" | sed -nE 's/^\t"GoMod": "(.*)",?$/\1/p')
    [ -f "$theirs" ] || return 1
    {
        printf 'module peers\n\n%s\n\ntool (\n' "$(grep -E '^go [0-9]' "$theirs")"
        printf '\t%s\n' "${KUBERNETES_PACKAGES[@]}"
        printf ')\n\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$KUBERNETES_VERSION"
        sed -nE "s#^[[:space:]](k8s.io/[^ ]+) => \./staging/.*#\t\1 => \1 $published#p" "$theirs"
        printf ')\n'
    } >"$1/go.mod"
}

# Every 15 s, how far the compiler is.
tell_progress() { # LOG
    while sleep 15; do
        echo "  ... $(wc -l <"$1") packages compiled, after $SECONDS s" >&2
    done
}

KUBERNETES_PACKAGES=(k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kubectl go.etcd.io/etcd/server/v3)

build_kubernetes() { # FOLDER
    local names=k8s.io/component-base/version set
    set="-s -w -X $names.gitVersion=$KUBERNETES_VERSION -X k8s.io/client-go/pkg/version.gitVersion=$KUBERNETES_VERSION"
    set+=" -X $names.gitMajor=1 -X $names.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")"
    # What is downloaded lies beside the module: inside, "go mod tidy" would take it for packages of its own.
    mkdir "$1/bin" "$1/module"
    cd "$1/module"
    export GOPATH=$1/go GOMODCACHE=${GOMODCACHE:-$1/modules} GOCACHE=${GOCACHE:-$1/objects} CGO_ENABLED=0 GOFLAGS='-modcacherw -buildvcs=false'
    write_module "$1/module" && go mod tidy && nice go build -v -trimpath -p "$(nproc)" -ldflags "$set" -o ../bin/ "${KUBERNETES_PACKAGES[@]}" &&
        mv ../bin/server ../bin/etcd
}

# Some 6 minutes and 4 GB for a while on two cores; who comes meanwhile waits for it.
obtain_kubernetes() {
    local place=$cache/kubernetes-$KUBERNETES_VERSION work teller
    mkdir -p "$cache"
    exec 8>"$cache/kubernetes.lock"
    flock 8
    if [ ! -x "$place/kube-apiserver" ]; then
        command -v go >/dev/null || unavailable "Kubernetes is built with Go, which is not installed"
        work=$(mktemp -d "$cache/kubernetes.XXXXXX")
        echo "building Kubernetes $KUBERNETES_VERSION and its etcd, once: some minutes" >&2
        touch "$work/log"
        tell_progress "$work/log" 8>&- &
        teller=$!
        # shellcheck disable=SC2064
        trap "kill $teller 2>/dev/null; rm -rf '$work'" EXIT
        (build_kubernetes "$work") >"$work/log" 2>&1 8>&- ||
            unavailable "Kubernetes $KUBERNETES_VERSION does not build here: $(tail -n 1 "$work/log")"
        rm -rf "$place"
        mv "$work/bin" "$place"
        echo "built in $SECONDS s" >&2
    fi
    echo "$place"
}

obtain_knative() {
    local place=$cache/knative-serving-$KNATIVE_VERSION work from
    if [ ! -d "$place" ]; then
        command -v go >/dev/null || unavailable "Knative's definitions are had through Go, which is not installed"
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/knative.XXXXXX")
        # shellcheck disable=SC2064
        trap "rm -rf '$work'" EXIT
        from=$(cd "$work" && GOMODCACHE=${GOMODCACHE:-$work/modules} GOFLAGS=-modcacherw go mod download -json "knative.dev/serving@$KNATIVE_VERSION" |
            sed -nE 's/^\t"Dir": "(.*)",?$/\1/p')
        [ -d "$from/config/core/300-resources" ] || unavailable "Knative Serving $KNATIVE_VERSION cannot be had from Go's module proxy"
        cp -r "$from/config/core/300-resources" "$work/definitions"
        chmod -R u+w "$work/definitions"
        mv -T "$work/definitions" "$place"
    fi
    echo "$place"
}

# Packages of both machines are fetched, and nothing of this one's package lists is touched. Debian 13 has the emulators in another package.
obtain_foreign() {
    local machine other emulator place work package apt
    case $(dpkg --print-architecture 2>/dev/null) in
        amd64) machine=amd64 other=arm64 emulator=qemu-aarch64 ;;
        arm64) machine=arm64 other=amd64 emulator=qemu-x86_64 ;;
        *) unavailable "programs of another machine are had as packages of Debian for amd64 or arm64" ;;
    esac
    place=$cache/foreign-$other
    if [ ! -d "$place" ]; then
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/foreign.XXXXXX")
        # shellcheck disable=SC2064
        trap "rm -rf '$work'" EXIT
        apt=(apt-get -qq -o Dir::State::Lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=)
        mkdir -p "$work"/{lists/partial,made}
        cd "$work"
        "${apt[@]}" -o APT::Architecture="$other" -o APT::Architectures="$other" update >&2 &&
            "${apt[@]}" -o APT::Architecture="$other" -o APT::Architectures="$other" download busybox-static >&2 &&
            dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -xO --wildcards '*bin/busybox' >made/busybox ||
            unavailable "busybox for $other cannot be had from Debian"
        "${apt[@]}" -o APT::Architecture="$machine" -o APT::Architectures="$machine" update >&2
        for package in qemu-user-static qemu-user; do
            "${apt[@]}" -o APT::Architecture="$machine" -o APT::Architectures="$machine" download "$package" >&2 || continue
            dpkg-deb --fsys-tarfile "$package"_*.deb | tar -xO --wildcards "*bin/$emulator-static" "*bin/$emulator" >made/emulator 2>/dev/null || true
            [ ! -s made/emulator ] || break
        done
        [ -s made/emulator ] || unavailable "an emulator for $other cannot be had from Debian"
        chmod 755 made/*
        mv -T made "$place"
    fi
    echo "$place"
}

obtain_linux() {
    local image place work
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || unavailable "only a kernel for amd64 is booted"
    image=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: //p')
    [ -n "$image" ] || unavailable "the package lists know no linux-image-amd64"
    place=$cache/$image
    if [ ! -d "$place" ]; then
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/linux.XXXXXX")
        # shellcheck disable=SC2064
        trap "rm -rf '$work'" EXIT
        cd "$work"
        apt-get -qq -o APT::Sandbox::User= download "$image" >&2 || unavailable "$image cannot be had from Debian"
        mkdir made
        dpkg-deb --fsys-tarfile "$image"_*.deb | tar -x --wildcards './boot/vmlinuz-*' '*/fs/overlayfs/overlay.ko*'
        mv boot/vmlinuz-* made/vmlinuz
        find . -name 'overlay.ko*' -exec mv -t made {} +
        [ ! -e made/overlay.ko.xz ] || xz -d made/overlay.ko.xz
        mv -T made "$place"
    fi
    echo "$place"
}

case ${1:-} in
    linux) obtain_linux ;;
    foreign) obtain_foreign ;;
    cosign) obtain_cosign ;;
    crane) obtain_crane ;;
    pyspdxtools) obtain_pyspdxtools ;;
    npm-policies) obtain_npm_policies ;;
    kubernetes) obtain_kubernetes ;;
    knative) obtain_knative ;;
    *)
        echo "obtain.sh cosign|crane|pyspdxtools|kubernetes|knative|npm-policies|foreign|linux" >&2
        exit 2
        ;;
esac
