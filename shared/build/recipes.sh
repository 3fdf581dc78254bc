# How each dependency is built: sourced by deps.sh, which sets
#   CC AR RANLIB     the compiler and its archive tools
#   TINY SMALL FAST  flags for code that waits for the network, that need not be large, whose speed matters
#   STAGE            where include/ and lib/ of this dependency go
#   PREFIX           what was built before it
#   WORK             folder for objects
#   MACHINE JOBS VARIANT HERE
#
# A recipe build_NAME runs in a shell of its own, in the unpacked source.
# Most libraries are compiled without their build systems: a list of files and
# two or three definitions take seconds where "configure" takes longer than the
# compiler.

# compile GROUP "FLAGS" FILE...: objects for a later "archive".
compile() {
    local objects=$WORK/$1 source
    export CC FLAGS=$2
    shift 2
    # shellcheck disable=SC2016 # expanded by the inner shell
    mkdir -p "$objects"
    for source in "$@"; do
        printf '%s\0%s\0' "$source" "$objects/${source//[\/.]/_}.o"
    done | xargs -0 -n 2 -P "$JOBS" sh -c 'exec "$CC" $FLAGS -c "$1" -o "$2"' sh
}

# assemble GROUP FILE...: the same of nasm's files.
assemble() {
    local objects=$WORK/$1 source
    mkdir -p "$objects"
    for source in "${@:2}"; do
        nasm -f elf64 -I include/ -I "$(dirname "$source")/" -o "$objects/${source//[\/.]/_}.o" "$source"
    done
}

# archive LIBRARY: from the objects compiled under that name.
archive() {
    mkdir -p "$STAGE/lib"
    "$AR" rcs "$STAGE/lib/lib$1.a" "$WORK/$1"/*.o
}

# headers SUBFOLDER FILE...
headers() {
    mkdir -p "$STAGE/include/$1"
    cp -r "${@:2}" "$STAGE/include/$1/"
}

build_zlib() {
    local sources=(adler32 compress crc32 deflate gzclose gzlib gzread gzwrite infback
        inffast inflate inftrees trees uncompr zutil)
    compile z "$FAST -DHAVE_UNISTD_H -DHAVE_STDARG_H -D_LARGEFILE64_SOURCE=1" "${sources[@]/%/.c}"
    archive z
    headers . zlib.h zconf.h
}

build_cjson() {
    compile cjson "$FAST" cJSON.c
    archive cjson
    headers cjson cJSON.h
}

# Without the levels above 9, which gzip does not know; checksums by the carry-less multiplication that processors have had since 2010, or
# byte by byte, without its wider forms and without the table for eight bytes at a time: 23 KB.
build_libdeflate() {
    sed -i 's/DEFAULT_IMPL crc32_slice8$/DEFAULT_IMPL crc32_slice1/' lib/crc32.c
    sed -i 's/\(define SUPPORT_NEAR_OPTIMAL_PARSING\)[ \t]*1$/\1 0/' lib/deflate_compress.c
    grep -q 'DEFAULT_IMPL crc32_slice1' lib/crc32.c && grep -q 'OPTIMAL_PARSING 0' lib/deflate_compress.c
    compile deflate "$FAST -DLIBDEFLATE_ASSEMBLER_DOES_NOT_SUPPORT_VPCLMULQDQ" lib/*.c lib/x86/*.c lib/arm/*.c
    archive deflate
    headers . libdeflate.h
}

# What reads gzip, with the two functions of the writing half that it calls. The checksum is libdeflate's, which is linked anyway; that of
# zlib streams is left out, and so they all fail. Without 42 KB of tables for what the library's own writer makes at its fastest.
build_libisal() {
    local name code=(-Ddecode_huffman_code_block_stateless=decode_huffman_code_block_stateless_base)
    printf '#include <%s>\n' stddef.h igzip_lib.h >igzip/headers.c
    for name in isal_gzip_header_init isal_zlib_header_init; do
        printf '\nvoid\n' && sed -n "/^$name(/,/^}/p" igzip/igzip.c
    done >>igzip/headers.c
    sed -i '/= isal_adler32_bam1(/d' igzip/igzip_inflate.c
    if [ "$MACHINE" = x86_64 ]; then
        code=()
        assemble isal igzip/{igzip_inflate_multibinary,igzip_decode_block_stateless_01,igzip_decode_block_stateless_04,rfc1951_lookup}.asm
    fi
    compile isal "$SMALL -DNO_STATIC_INFLATE_H -Iinclude -Iigzip -Dcrc32_gzip_refl=libdeflate_crc32 ${code[*]}" igzip/{headers,igzip_inflate}.c
    archive isal
    headers . include/igzip_lib.h
}

# Reading for speed, writing for size. Of the ways to compress those that are fast (levels 1 to 4) and those that are small (16 to 22) are
# there; what lies between is 200 KB of code, and is compressed as by level 4.
build_libzstd() {
    local reading=(lib/common/*.c lib/decompress/*.c) strategy
    local flags="-DZSTD_LEGACY_SUPPORT=0 -DXXH_NAMESPACE=ZSTD_ -DZSTDLIB_VISIBLE= -DZSTDERRORLIB_VISIBLE="
    for strategy in GREEDY LAZY LAZY2 BTLAZY2; do
        flags+=" -DZSTD_EXCLUDE_${strategy}_BLOCK_COMPRESSOR"
    done
    [ "$MACHINE" != x86_64 ] || reading+=(lib/decompress/huf_decompress_amd64.S)
    compile zstd "$FAST $flags" "${reading[@]}"
    compile zstd "$SMALL $flags" lib/compress/*.c
    archive zstd
    headers . lib/zstd.h lib/zstd_errors.h
}

# Without standard input and output: who links it defines bz_internal_error().
build_bzip2() {
    compile bz2 "$SMALL -DBZ_NO_STDIO" blocksort.c huffman.c crctable.c randtable.c compress.c decompress.c bzlib.c
    archive bz2
    headers . bzlib.h
}

# The decoder of .xz files with LZMA2, which is what "xz" writes when it is not told otherwise.
build_xz() {
    local sources=(common/{block_decoder,block_header_decoder,block_util,common,filter_common,filter_decoder,filter_flags_decoder}.c
        common/{index_hash,stream_decoder,stream_flags_common,stream_flags_decoder,vli_decoder,vli_size}.c
        check/{check,crc32_fast,crc64_fast,sha256}.c lz/lz_decoder.c lzma/{lzma_decoder,lzma2_decoder}.c)
    local definitions="-DHAVE_STDBOOL_H -DHAVE_STDINT_H -DHAVE_INTTYPES_H -DHAVE_VISIBILITY=0 -DASSUME_RAM=128
        -DTUKLIB_SYMBOL_PREFIX=lzma_ -DTUKLIB_FAST_UNALIGNED_ACCESS -DHAVE_DECODERS -DHAVE_DECODER_LZMA1
        -DHAVE_DECODER_LZMA2 -DHAVE_CHECK_CRC32 -DHAVE_CHECK_CRC64 -DHAVE_CHECK_SHA256 -DNDEBUG"
    cd src/liblzma
    compile lzma "$SMALL $definitions -Iapi -Icommon -Icheck -Ilz -Ilzma -Irangecoder -Isimple -Idelta -I../common" "${sources[@]}"
    archive lzma
    headers . api/lzma.h api/lzma
    cd ../..
}

build_llhttp() {
    local source
    # Debian's llhttp package, or the copy inside nodejs.
    source=$(find . -path '*/llhttp/src/llhttp.c')
    source=${source%/src/llhttp.c}
    compile llhttp "$SMALL -I$source/include" "$source"/src/*.c
    archive llhttp
    headers . "$source/include/llhttp.h"
}

# Without Unicode: its property tables alone are an eighth of a function's size, and what is matched is tags (ASCII by their
# grammar) and names of refs and paths, which are matched as the bytes they are.
build_pcre2() {
    local source sources=()
    cp src/config.h.generic src/config.h
    cp src/pcre2.h.generic src/pcre2.h
    cp src/pcre2_chartables.c.dist src/pcre2_chartables.c
    # Texts for what goes wrong while matching: nobody asks for them.
    sed -i 's/^else if (enumber < 0) /else if (0) /' src/pcre2_error.c
    for source in src/pcre2_*.c; do
        case ${source#src/pcre2_} in
            dftables.c | fuzzsupport.c | jit_test.c) ;;             # programs
            jit_match.c | jit_misc.c | printint.c | ucptables.c) ;; # included by others
            *) sources+=("$source") ;;
        esac
    done
    compile pcre2-8 "$TINY -DHAVE_CONFIG_H -DPCRE2_CODE_UNIT_WIDTH=8 -DPCRE2_STATIC -Isrc" "${sources[@]}"
    archive pcre2-8
    headers . src/pcre2.h
}

# The reading half.
build_libyaml() {
    local version=0.2.5
    cp "$HERE/libyaml_calls.h" src/
    sed -i '0,/^YAML_DECLARE(int)$/s//#include "libyaml_calls.h"\n\n&/' src/scanner.c
    grep -q libyaml_calls src/scanner.c
    compile yaml "$TINY -Iinclude -DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5 -DYAML_VERSION_STRING=\"$version\"" \
        src/{api,reader,scanner,parser}.c
    archive yaml
    headers . include/yaml.h
}

build_mbedtls() {
    local flags="-std=c11 -D_GNU_SOURCE -Iinclude -Ilibrary" tls x509 crypto hot
    cat "$HERE/mbedtls_config.h" >>include/mbedtls/mbedtls_config.h
    cp "$HERE"/mbedtls_{entropy.c,sha1_small.c,sha256_ni.c,sha256_ni.h,selfcheck.c} library/
    # Of the error texts those that a peer, a certificate or a key can cause; and no names in prose for what OIDs stand for.
    sed -i -E '/^ *case -\(MBEDTLS_ERR_/{
        /_(SSL|X509|PK|PEM|ASN1)_/!{N;d}
        /_(ASYNC|CACHE|CID|CLIENT_RECONNECT|CONTINUE|COUNTER|EARLY|HELLO|HW_ACCEL|IDENTITY|NON_FATAL|PROGRESS|RENEGO|TICKET|TIMEOUT|WANT)/{N;d}
    }' library/error.c
    sed -i 's/\(define OID_DESCRIPTOR.*\) name, description }/\1 "", "" }/' library/oid.c
    # Without the table for the one curve that no public certificate has.
    sed -i '/^#if defined(MBEDTLS_ECP_DP_SECP521R1_ENABLED)$/,/^#endif \/\* /s/^#if MBEDTLS_ECP_FIXED_POINT_OPTIM == 1/#if 0/' library/ecp_curves.c

    tls=(library/{debug,mps_reader,mps_trace,net_sockets}.c library/ssl_*.c)
    x509=(library/pkcs7.c library/x509*.c)
    # What webhooks, digests of downloads, TLS records and handshakes spend their time in.
    hot=(library/{sha256,aes,aesni,aesce,gcm,chacha20,poly1305,bignum,bignum_core,constant_time,ecp,ecp_curves}.c)
    [ "$MACHINE" != x86_64 ] || hot+=(library/mbedtls_sha256_ni.c)
    mapfile -t crypto < <(
        find library -name '*.c' ! -name mbedtls_sha256_ni.c ! -name mbedtls_selfcheck.c |
            grep -vxF -f <(printf '%s\n' "${tls[@]}" "${x509[@]}" "${hot[@]}") | sort
    )

    compile mbedtls "$TINY $flags" "${tls[@]}"
    compile mbedx509 "$TINY $flags" "${x509[@]}"
    compile mbedcrypto "$TINY $flags" "${crypto[@]}"
    compile mbedcrypto "$FAST $flags" "${hot[@]}"
    archive mbedtls
    archive mbedx509
    archive mbedcrypto
    headers . include/mbedtls include/psa

    # shellcheck disable=SC2086 # lists of flags
    "$CC" $SMALL $flags $LINK -o "$WORK/selfcheck" library/mbedtls_selfcheck.c "$STAGE/lib/libmbedcrypto.a" -lpthread
    "$WORK/selfcheck"
}

build_cmocka() {
    local have flags="-std=gnu99 -D_GNU_SOURCE -DCMOCKA_STATIC -Iinclude"
    for have in INTTYPES_H MALLOC_H SIGNAL_H STRINGS_H CLOCK_REALTIME GCC_THREAD_LOCAL_STORAGE \
        SIGLONGJMP SNPRINTF VSNPRINTF STRSIGNAL STRUCT_TIMESPEC UINTPTR_T; do
        flags+=" -DHAVE_$have=1"
    done
    [ ! -e include/cmocka_version.h.cmake ] || write_cmocka_version
    compile cmocka "$SMALL $flags" src/cmocka.c
    archive cmocka
    headers . include/cmocka*.h
    rm "$STAGE/include/cmocka_private.h"
}

# Since 2.0 a header that cmake would write.
write_cmocka_version() {
    local major minor patch
    IFS=. read -r major minor patch < <(sed -nE 's/^project\(cmocka VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
    sed "s/@cmocka_VERSION_MAJOR@/$major/; s/@cmocka_VERSION_MINOR@/$minor/; s/@cmocka_VERSION_PATCH@/$patch/" \
        include/cmocka_version.h.cmake >include/cmocka_version.h
}

# Some options have no switch of their own: as the project leaves them unset, the conditions on them are made constants, and what only
# they lead to is not linked. Setting one of them has no effect; README.md names them.
build_curl() {
    local option off=(ALTSVC AWS BEARER_AUTH BINDLOCAL COOKIES DIGEST_AUTH DOH FORM_API GETOPTIONS HEADERS_API HSTS HTTPSIG IPFS
        KERBEROS_AUTH LIBCURL_OPTION MIME NEGOTIATE_AUTH NETRC NTLM PROGRESS_METER SHA512_256 SHUFFLE_DNS SRP VERBOSE_STRINGS WEBSOCKETS)
    local options=()
    sed -i 's/if(data->set\.ssl\.certinfo)/if(0)/
        s/if(conn_config->cipher_list || conn_config->cipher_list13)/if(0)/
        /^ *mbed_cipher_suite_get_str(cipher_id/d
        /define HAVE_PINNED_PUBKEY/d' lib/vtls/mbedtls.c
    sed -i 's/if(!result && data->state.resolve)/if(0)/' lib/transfer.c
    sed -i 's/if(data->set.haproxyprotocol)/if(0)/' lib/cf-setup.c
    for option in "${off[@]}"; do options+=("-DCURL_DISABLE_$option=ON"); done

    cmake_install . "$TINY" "${options[@]}" -DHTTP_ONLY=ON -DCURL_USE_MBEDTLS=ON -DCURL_USE_OPENSSL=OFF \
        -DUSE_NGHTTP2=OFF -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF -DUSE_LIBIDN2=OFF \
        -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DCURL_ZLIB=OFF -DENABLE_THREADED_RESOLVER=ON \
        -DCMAKE_UNITY_BUILD=ON -DENABLE_IPV6=ON -DENABLE_UNIX_SOCKETS=ON -DBUILD_CURL_EXE=OFF -DBUILD_TESTING=OFF \
        -DBUILD_EXAMPLES=OFF -DBUILD_LIBCURL_DOCS=OFF -DBUILD_MISC_DOCS=OFF -DENABLE_CURL_MANUAL=OFF \
        -DCURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt -DCURL_CA_PATH=none \
        -DMBEDTLS_INCLUDE_DIR="$PREFIX/include" -DMBEDTLS_LIBRARY="$PREFIX/lib/libmbedtls.a" \
        -DMBEDX509_LIBRARY="$PREFIX/lib/libmbedx509.a" -DMBEDCRYPTO_LIBRARY="$PREFIX/lib/libmbedcrypto.a"
}

build_libgit2() {
    # The checksum over a received file maps all of it, for the limit of mapped windows knows only packs that are complete: let go of
    # each window.
    sed -i '/^static int crc_object/,/^}/s/git_mwindow_close(&w);/& git_mwindow_free_all(mwf);/' src/libgit2/indexer.c
    grep -q 'close(&w); git_mwindow_free_all(mwf);' src/libgit2/indexer.c
    # A real CERT_LOCATION would be parsed in git_libgit2_init(), which costs
    # every cold start 5 ms; the project sets the bundle before a first fetch.
    cmake_install . "$SMALL" -DBUILD_CLI=OFF -DBUILD_TESTS=OFF -DUSE_SSH=OFF -DUSE_HTTPS=mbedTLS \
        -DUSE_SHA1=CollisionDetection -DUSE_SHA256=mbedTLS -DUSE_HTTP_PARSER=llhttp \
        -DREGEX_BACKEND=regcomp -DUSE_BUNDLED_ZLIB=OFF -DUSE_GSSAPI=OFF -DUSE_NTLMCLIENT=OFF \
        -DUSE_THREADS=ON -DDEPRECATE_HARD=ON -DCERT_LOCATION=/dev/null \
        -DLLHTTP_INCLUDE_DIR="$PREFIX/include" -DLLHTTP_LIBRARY="$PREFIX/lib/libllhttp.a" \
        -DMBEDTLS_ROOT_DIR="$PREFIX" -DZLIB_INCLUDE_DIR="$PREFIX/include" -DZLIB_LIBRARY="$PREFIX/lib/libz.a"
}

# cmake_install SOURCE FLAGS OPTION...
#
# Told to be a cross build even for the host, so that nothing is found outside
# the prefix. The archive tools must be absolute paths, or cmake's checks that
# build a static library all fail.
cmake_install() {
    local source=$1 flags=$2 option
    local where=()
    for option in LIBRARY INCLUDE PACKAGE; do where+=("-DCMAKE_FIND_ROOT_PATH_MODE_$option=ONLY"); done
    export PKG_CONFIG_LIBDIR=$PREFIX/lib/pkgconfig PKG_CONFIG_PATH=

    cmake -G Ninja -Wno-dev -S "$source" -B "$WORK/cmake" "${where[@]}" \
        -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$MACHINE" \
        -DCMAKE_C_COMPILER="$CC" -DCMAKE_AR="$AR" -DCMAKE_RANLIB="$RANLIB" \
        -DCMAKE_C_COMPILER_AR="$AR" -DCMAKE_C_COMPILER_RANLIB="$RANLIB" \
        -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$flags" -DCMAKE_EXE_LINKER_FLAGS="$LINK" \
        -DCMAKE_INSTALL_PREFIX="$STAGE" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_PREFIX_PATH="$PREFIX" \
        -DCMAKE_FIND_ROOT_PATH="$PREFIX" -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER \
        -DBUILD_SHARED_LIBS=OFF "${@:3}"
    cmake --build "$WORK/cmake" -j "$JOBS"
    cmake --install "$WORK/cmake"
    # These name the staging folder, and nothing here asks for them.
    rm -rf "$STAGE/lib/pkgconfig" "$STAGE/lib/cmake"
}
