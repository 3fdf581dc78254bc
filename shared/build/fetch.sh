# Getting what deps.lock names: sourced by deps.sh, which sets
#   LOCK       the lock file
#   DOWNLOADS  folder of verified downloads, shared by all prefixes
#   APT_STATE  folder for a package client of our own: the lock's suites must
#              not become those of the machine
# and holds the cache's lock. Functions here report failure by status and are
# called where "set -e" has no effect: each step that may fail says so itself.
#
# A download is a folder named by the lock's sha256, with the file itself,
# Debian's patches if they came along, and "taken", the line that is printed.
# It appears by rename, so it is complete or absent.

# lock_rows NAME: the rows of a dependency as "version sha256 how where".
lock_rows() {
    awk -v name="$1" '$1 == name { print $2, $3, $4, $5 }' "$LOCK"
}

# lock_setting KEY: the words of a "suites" or "security" line.
lock_setting() {
    awk -v key="$1" '$1 == key { $1 = ""; print }' "$LOCK"
}

# fetch NAME: sets FETCHED to the folder of the first row that can be had.
fetch() {
    local name=$1 version sha256 how where reason failures=()

    while read -r version sha256 how where; do
        FETCHED=$DOWNLOADS/$sha256
        [ "$sha256" != - ] || FETCHED=$DOWNLOADS/$where-$version-$ARCHITECTURE
        if [ -e "$FETCHED/taken" ] || reason=$(download "$FETCHED" "$version" "$sha256" "$how" "$where"); then
            say "$(printf '%-11s %s' "${name%:*}" "$(cat "$FETCHED/taken")")"
            return 0
        fi
        failures+=("  $version ($how $where): ${reason:-failed}")
    done < <(lock_rows "$name")

    {
        echo "No accepted version of $name could be had:"
        if [ "${#failures[@]}" -gt 0 ]; then printf '%s\n' "${failures[@]}"; else echo "  deps.lock has no row for it"; fi
        echo "Add a row with a version that can be had, and its sha256, to $LOCK"
        echo "(shared/build/README.md, \"Adding a version\")."
    } >&2
    return 1
}

# download FOLDER VERSION SHA256 HOW WHERE: prints the reason when it fails.
download() (
    folder=$1 version=$2 sha256=$3 how=$4 where=$5
    partial=$DOWNLOADS/.partial
    rm -rf "$partial" && mkdir "$partial" && cd "$partial" || exit 1

    case $how in
        source) taken=$(get_source "$where" "$sha256") ;;
        deb) taken=$(get_deb "$where" "$version" "$sha256") ;;
        url) taken=$(get_url "$where") ;;
        *) taken="deps.lock knows source, deb and url" && false ;;
    esac || { echo "$taken" && exit 1; }
    [ "$sha256" = - ] || verify "$sha256" || exit 1

    echo "$version, $taken" >taken && rm -rf "$folder" && mv "$partial" "$folder"
)

# verify SHA256: one of the files here must have it.
verify() {
    local sums
    sums=$(sha256sum -- *) || return 1
    grep -q "^$1 " <<<"$sums" && return 0
    echo "the sha256 is not the one in deps.lock, but ${sums%% *}"
    return 1
}

get_url() {
    local error
    error=$(curl -fsSL --connect-timeout 10 --retry 2 --max-time 600 -o file "$1" 2>&1) || {
        echo "${error##*curl: }"
        return 1
    }
    echo "${1%/*}, orig only"
}

# get_deb PACKAGE VERSION SHA256
get_deb() {
    local package=$1 version=$2 sha256=$3 full
    full=$(deb_revision "$package" "$version" "$sha256")
    [ -n "$full" ] || { not_in_suites "$package" "$sha256"; return 1; }
    apt_get download "$package=$full" || { apt_errors; return 1; }
    echo "Debian $package $full"
}

# The Debian version of the .deb with this sha256, or for "-" the newest
# revision of the version. Plain upstream versions only: 1.2.5-3, not 1.2.5+x-3.
deb_revision() {
    apt_cache show "$1" 2>/dev/null | awk -v version="$2" -v sha256="$3" '
        $1 == "Version:" { full = $2 }
        $1 == "SHA256:" && ($2 == sha256 || (sha256 == "-" && full ~ ("^" version "[-+]"))) { print full }
    ' | sort -V | tail -1
}

# get_source PACKAGE SHA256: the newest complete revision, else the tarball.
get_source() {
    local package=$1 sha256=$2 revision revisions=()
    mapfile -t revisions < <(source_revisions "$package" "$sha256")
    [ "${#revisions[@]}" -gt 0 ] || { not_in_suites "$package" "$sha256"; return 1; }

    for revision in "${revisions[@]}"; do
        rm -rf ./*
        apt_get source --download-only "$package=$revision" || continue
        echo "Debian $package $revision, patched"
        return 0
    done
    for revision in "${revisions[@]}"; do
        # An incomplete revision's files must not be taken for patches.
        rm -rf ./*
        apt_get source --download-only --tar-only "$package=$revision" || continue
        echo "Debian $package $revision, orig only (its patches are not in the archive)"
        return 0
    done
    apt_errors
    return 1
}

# The Debian versions built from the tarball with this sha256, newest first.
source_revisions() {
    apt_cache showsrc --only-source "$1" 2>/dev/null | awk -v sha256="$2" '
        $1 == "Version:" { version = $2 }
        $1 == sha256 { print version }
    ' | sort -Vru
}

# not_in_suites PACKAGE SHA256
not_in_suites() {
    echo "$1 is not in Debian's$(lock_setting suites)$(lock_setting security) with sha256 $2"
    sed -n 's/^[EW]: /      apt-get update: /p' "$APT_STATE/update.log" | head -3
}

apt_get() {
    apt_state
    apt-get "${APT_OPTIONS[@]}" -q "$@" >"$APT_STATE/apt.log" 2>&1
}

# Of the last apt_get. The address says nothing about why a file is missing.
apt_errors() {
    sed -n 's/^E: //p' "$APT_STATE/apt.log" | sed -E 's# *\[IP:[^]]*\]##' | head -1
}

apt_cache() {
    apt_state
    apt-cache "${APT_OPTIONS[@]}" "$@"
}

# The lists are fetched when the first download asks for them, once a run;
# deps.sh removes the stamp.
#
# An archive frozen at some day serves expired lists; they are signed all the
# same, and what matters is pinned in the lock.
apt_state() {
    APT_OPTIONS=(
        -o Dir::Etc::sourcelist="$APT_STATE/debian.sources" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$APT_STATE/lists" -o Dir::Cache="$APT_STATE"
        -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
        -o Acquire::Check-Valid-Until=false -o Acquire::Retries=2 -o APT::Sandbox::User="$(id -un)" -o APT::Get::AllowUnauthenticated=false
    )
    [ ! -e "$APT_STATE/updated" ] || return 0

    mkdir -p "$APT_STATE/lists/partial" "$APT_STATE/archives/partial"
    write_sources >"$APT_STATE/debian.sources"
    say "reading Debian's package lists"
    # A suite that cannot be read leaves its rows out; the message about a
    # missing package repeats why.
    apt-get "${APT_OPTIONS[@]}" -qq update >"$APT_STATE/update.log" 2>&1 || true
    touch "$APT_STATE/updated"
}

write_sources() {
    local main security keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    main=$(debian_uri debian) security=$(debian_uri debian-security)
    cat <<END
Types: deb deb-src
URIs: $main
Suites:$(lock_setting suites)
Components: main
Signed-By: $keyring

Types: deb-src
URIs: $security
Suites:$(lock_setting security)
Components: main
Signed-By: $keyring
END
}

# debian_uri debian|debian-security: where this machine has its Debian from.
debian_uri() {
    local configured
    # shellcheck disable=SC2016 # apt's syntax
    configured=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 "/$1/*$" || true)
    echo "${configured:-http://deb.debian.org/$1}"
}

# unpack FETCHED FOLDER
unpack() {
    local fetched=$1 folder=$2 dsc file
    dsc=$(find "$fetched" -name '*.dsc')
    # Some source packages have more tarballs, .orig-COMPONENT.tar.*
    file=$(find "$fetched" -type f ! -name taken ! -name '*.asc' ! -name '*.orig-*' | head -1)
    rm -rf "$folder"

    if [ -n "$dsc" ]; then
        # The signer's key need not be on this machine: apt has checked the
        # .dsc, and dpkg-source checks the other files against it.
        dpkg-source -x "$dsc" "$folder"
    elif [ "$(head -c 7 "$file" | tr -d '\0')" = '!<arch>' ]; then
        dpkg-deb -x "$file" "$folder"
    else
        mkdir -p "$folder"
        tar -xf "$file" -C "$folder" --strip-components=1
    fi
}
