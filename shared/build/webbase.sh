# A web server's base image, made on this machine from Debian's busybox-static, as an OCI layout; to be sourced.

# sha256 of a file, and the blob put in its place. Prints the digest.
put_blob() {
    local layout=$1 file=$2 digest
    digest=$(sha256sum "$file" | cut -d' ' -f1)
    mv "$file" "$layout/blobs/sha256/$digest"
    printf '%s' "$digest"
}

fill_web_root() {
    local root=$1 work=$2
    (cd "$work" && apt-get download -qq busybox-static 2>/dev/null) || {
        need_packages busybox-static
        mkdir -p "$root/bin" && cp /bin/busybox "$root/bin/busybox"
    }
    [ -x "$root/bin/busybox" ] || dpkg-deb -x "$work"/busybox-static_*.deb "$work/package"
    mkdir -p "$root"/{bin,etc,tmp,var/www/html}
    [ -x "$root/bin/busybox" ] || cp "$(find "$work/package" -path "*/bin/busybox" -type f | head -n 1)" "$root/bin/busybox"
    ln -sf busybox "$root/bin/httpd"
    ln -sf busybox "$root/bin/sh"
    chmod 1777 "$root/tmp"
    printf 'root:x:0:0:root:/:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nwww-data:x:33:\n' >"$root/etc/group"
}

architecture() {
    case $(dpkg --print-architecture) in
        amd64) echo amd64 ;;
        arm64) echo arm64 ;;
        *) dpkg --print-architecture ;;
    esac
}

# make_web_base LAYOUT: does nothing when it is there.
make_web_base() {
    local layout=$1 work tar_digest layer layer_size config config_size manifest manifest_size
    [ -e "$layout/index.json" ] && return
    echo "making the web server's base image from Debian's busybox-static"
    mkdir -p "$(dirname "$layout")"
    rm -rf "$layout".?????? # what was interrupted
    work=$(mktemp -d "$layout.XXXXXX")
    mkdir -p "$work/root" "$work/layout/blobs/sha256"
    fill_web_root "$work/root" "$work"
    tar -C "$work/root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=pax \
        --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -cf "$work/layer.tar" .
    tar_digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
    gzip -n "$work/layer.tar"
    layer_size=$(stat -c %s "$work/layer.tar.gz")
    layer=$(put_blob "$work/layout" "$work/layer.tar.gz")
    cat >"$work/config" <<TEXT
{"architecture":"$(architecture)","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Env":["PATH=/bin"],"Cmd":["/bin/httpd","-f","-p","80","-h","/var/www/html"],"ExposedPorts":{"80/tcp":{}}},"rootfs":{"type":"layers","diff_ids":["sha256:$tar_digest"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"busybox-static"}]}
TEXT
    config_size=$(stat -c %s "$work/config")
    config=$(put_blob "$work/layout" "$work/config")
    cat >"$work/manifest" <<TEXT
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$config_size},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:$layer","size":$layer_size}]}
TEXT
    manifest_size=$(stat -c %s "$work/manifest")
    manifest=$(put_blob "$work/layout" "$work/manifest")
    echo '{"imageLayoutVersion":"1.0.0"}' >"$work/layout/oci-layout"
    cat >"$work/layout/index.json" <<TEXT
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$manifest","size":$manifest_size,"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}
TEXT
    mv "$work/layout" "$layout"
    rm -rf "$work"
}
