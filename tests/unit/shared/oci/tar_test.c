#include "shared/oci/tar.h"

#include "shared/oci/tar_format.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

enum { LOG_MAX = 64 * 1024 };

/* ---- what a reader tells, as one text ---- */

static bool log_entry(void *context, const struct tar_entry *e, struct error *err)
{
    static const char *const names[] = { "file", "hardlink", "symlink", "character", "block", "directory", "fifo" };
    if (!bytes_printf(context, err, "%s %s %s %o %u:%u %u,%u %lld @%lld", names[e->type], e->path, e->link, e->mode,
                      e->uid, e->gid, e->device_major, e->device_minor, (long long)e->size, (long long)e->mtime_s))
        return false;
    return !e->capability.data || bytes_printf(context, err, " cap=%zu", e->capability.len);
}

static bool log_content(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append_char(context, '[', err) && bytes_append(context, data, len, err) &&
           bytes_append_char(context, ']', err);
}

static bool log_end(void *context, struct error *err)
{
    return bytes_append_text(context, ";", err);
}

static bool read_all(struct span archive, size_t step, struct bytes *log, struct error *err)
{
    const struct tar_events events = { log_entry, log_content, log_end, log };
    AUTO(tar_reader_free) struct tar_reader *reader = tar_reader_new(&events, err);
    assert_non_null(reader);
    for (size_t at = 0; at < archive.len; at += step)
        if (!tar_reader_feed(reader, archive.data + at, archive.len - at < step ? archive.len - at : step, err))
            return false;
    return tar_reader_end(reader, err);
}

static void assert_reads(const struct bytes *archive, const char *want)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes log = BYTES(LOG_MAX);
    if (!read_all(bytes_span(archive), 100000, &log, &err))
        fail_msg("%s", err.message);
    assert_string_equal(bytes_text(&log), want);
}

static void assert_refused(const struct bytes *archive, enum error_kind kind, const char *want)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes log = BYTES(LOG_MAX);
    assert_false(read_all(bytes_span(archive), 100000, &log, &err));
    assert_int_equal(err.kind, kind);
    assert_non_null(strstr(err.message, want));
}

/* ---- archives by hand ---- */

static void seal(struct tar_header *h)
{
    snprintf(h->checksum, sizeof h->checksum, "%06o", tar_checksum(h));
    h->checksum[7] = ' ';
}

static struct tar_header header(const char *name, char flag, const char *size)
{
    struct tar_header h = { .typeflag = flag };
    memcpy(h.name, name, strnlen(name, sizeof h.name));
    memcpy(h.mode, "0000644", 8);
    memcpy(h.uid, "0000001", 8);
    memcpy(h.gid, "0000002", 8);
    memcpy(h.size, size, strlen(size));
    memcpy(h.mtime, "00000000007", 12);
    memcpy(h.magic, "ustar", 6);
    memcpy(h.version, "00", 2);
    seal(&h);
    return h;
}

static void put(struct bytes *archive, struct tar_header h, const char *content, size_t len)
{
    static const char zeros[TAR_BLOCK_SIZE];
    struct error err = { 0 };
    assert_true(bytes_append(archive, &h, sizeof h, &err));
    assert_true(bytes_append(archive, content, len, &err));
    assert_true(bytes_append(archive, zeros, tar_padding((int64_t)len), &err));
}

static void put_sized(struct bytes *archive, const char *name, char flag, const char *content)
{
    char size[24];
    snprintf(size, sizeof size, "%011zo", strlen(content));
    put(archive, header(name, flag, size), content, strlen(content));
}

/* A pax header with these "key=value" records. */
static void put_pax(struct bytes *archive, const char *const *pairs)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes records = BYTES(LOG_MAX);
    for (; *pairs; pairs++) {
        size_t len = strlen(*pairs) + 3; /* one digit, blank, newline */
        len += len >= 10;
        assert_true(bytes_printf(&records, &err, "%zu %s\n", len, *pairs));
    }
    put_sized(archive, "x", 'x', bytes_text(&records));
}
#define PAX(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- reading ---- */

static void any_pieces_give_the_same_entries(void **state)
{
    (void)state;
    static const size_t steps[] = { 1, 7, 511, 512, 513, 5000 };
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes archive = BYTES(LOG_MAX);
    put_sized(&archive, "a", '0', "content");
    put_sized(&archive, "dir/", '5', "");
    put_pax(&archive, PAX("uid=100", "path=longer/name"));
    put_sized(&archive, "short", '0', "more");
    assert_true(tar_write_end(&archive, &err));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        AUTO(bytes_release) struct bytes log = BYTES(LOG_MAX);
        assert_true(read_all(bytes_span(&archive), steps[i], &log, &err));
        size_t kept = 0;
        for (size_t k = 0; k < log.len; k++) /* pieces of content are cut elsewhere: join them */
            if (log.data[k] == ']' && log.data[k + 1] == '[')
                k++;
            else
                log.data[kept++] = log.data[k];
        log.data[kept] = '\0';
        assert_string_equal(log.data, "file a  644 1:2 0,0 7 @7[content];directory dir/  644 1:2 0,0 0 @7;"
                                      "file longer/name  644 100:2 0,0 4 @7[more];");
    }
}

static void pax_speaks_about_the_next_entry_only(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes archive = BYTES(LOG_MAX);
    put_sized(&archive, "g", 'g', "52 comment=0123456789012345678901234567890123456789\n");
    put_pax(&archive, PAX("linkpath=target", "mtime=-12.5000", "uid=4294967295", "hdrcharset=utf8", "atime=1.5e90"));
    put_sized(&archive, "link", '2', "");
    put_pax(&archive, PAX("SCHILY.xattr.security.capability=caps!!", "SCHILY.xattr.user.other=ignored", "mtime=99.9",
                          "path=b", "path="));
    put_sized(&archive, "plain", '0', "");
    put_sized(&archive, "next", '0', "");
    assert_reads(&archive, "symlink link target 644 4294967295:2 0,0 0 @-13;file plain  644 1:2 0,0 0 @99 cap=6;"
                           "file next  644 1:2 0,0 0 @7;");
}

static void gnu_and_old_forms_are_read(void **state)
{
    (void)state;
    AUTO(bytes_release) struct bytes archive = BYTES(LOG_MAX);
    struct error err = { 0 };
    put(&archive, header("././@LongLink", 'L', "00000000005"), "name\0", 5);
    put(&archive, header("././@LongLink", 'K', "00000000004"), "link", 4);
    put_sized(&archive, "cut", '2', "");
    struct tar_header h = header("base256", '0', "");
    memcpy(h.size, "\x80\0\0\0\0\0\0\0\0\0\0\x02", 12);
    memcpy(h.uid, "\x80\0\0\0\0\x0f\x42\x40", 8);
    memcpy(h.mtime, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
    seal(&h);
    put(&archive, h, "ok", 2);
    h = header("v7dir/", '\0', "");
    memset(h.magic, 0, sizeof h.magic + sizeof h.version);
    seal(&h);
    put(&archive, h, "", 0);
    h = header("name", '0', "          5");
    memcpy(h.prefix, "pre/fix", 7);
    seal(&h);
    put(&archive, h, "five!", 5);
    h = header("gnu", '0', "0");
    memcpy(h.magic, "ustar ", 6);
    memcpy(h.version, " ", 2);
    memcpy(h.prefix, "13371337", 8); /* GNU: atime, not a prefix */
    seal(&h);
    put(&archive, h, "", 0);
    h = header("dev", '3', "0");
    memcpy(h.devmajor, "0000005", 8);
    memcpy(h.devminor, "0000001", 8);
    seal(&h);
    put(&archive, h, "", 0);
    put(&archive, header("hard", '1', "00000000777"), "", 0);
    put_sized(&archive, "contiguous", '7', "x");
    assert_reads(&archive, "symlink name link 644 1:2 0,0 0 @7;file base256  644 1000000:2 0,0 2 @-1[ok];"
                           "directory v7dir/  644 1:2 0,0 0 @7;file pre/fix/name  644 1:2 0,0 5 @7[five!];"
                           "file gnu  644 1:2 0,0 0 @7;character dev  644 1:2 5,1 0 @7;hardlink hard  644 1:2 0,0 0 @7;"
                           "file contiguous  644 1:2 0,0 1 @7[x];");
    (void)err;
}

static void what_follows_the_end_is_filling(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes archive = BYTES(LOG_MAX);
    put_sized(&archive, "a", '0', "");
    assert_true(tar_write_end(&archive, &err));
    put_sized(&archive, "b", '0', "");
    assert_reads(&archive, "file a  644 1:2 0,0 0 @7;");
    bytes_clear(&archive);
    assert_reads(&archive, "");
}

static void hostile_archives_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *size, *content;
        enum error_kind kind;
        char flag;
        const char *want;
    } rows[] = {
        { "x", NULL, "9 path", ERROR_INVALID, 'x', "malformed pax record" },
        { "x", NULL, "9 path=x\n", ERROR_INVALID, 'x', "tar: truncated" },
        { "x", NULL, "10 path=xx", ERROR_INVALID, 'x', "malformed pax record" },
        { "x", NULL, "99 path=x\n", ERROR_INVALID, 'x', "malformed pax record" },
        { "x", NULL, "-1 path=x\n", ERROR_INVALID, 'x', "malformed pax record" },
        { "x", NULL, "0 path=xx\n", ERROR_INVALID, 'x', "malformed pax record" },
        { "x", NULL, "11 size=1x\n", ERROR_INVALID, 'x', "'size' is not a number" },
        { "x", NULL, "12 mtime=1e\n", ERROR_INVALID, 'x', "'mtime' is not a time" },
        { "x", NULL, "22 GNU.sparse.major=1\n", ERROR_UNSUPPORTED, 'x', "sparse" },
        { "x", "00004000001", "", ERROR_INVALID, 'x', "extended header is longer than" },
        { "L", "77777777777", "", ERROR_INVALID, 'L', "extended header is longer than" },
        { "s", "00000000000", "", ERROR_UNSUPPORTED, 'S', "sparse" },
        { "q", "00000000000", "", ERROR_UNSUPPORTED, 'Q', "unknown type 0x51" },
        { "n", "0000000000x", "", ERROR_INVALID, '0', "malformed number" },
        { "n", "12 34567890", "", ERROR_INVALID, '0', "malformed number" },
        { "n", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "", ERROR_INVALID, '0', "negative or absurd size" },
        { "n", "\x80\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", "", ERROR_INVALID, '0', "malformed number" },
        { "t", "00000000010", "", ERROR_INVALID, '0', "tar: truncated" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(bytes_release) struct bytes archive = BYTES(LOG_MAX);
        if (rows[i].size)
            put(&archive, header(rows[i].name, rows[i].flag, rows[i].size), "", 0);
        else
            put_sized(&archive, rows[i].name, rows[i].flag, rows[i].content);
        assert_refused(&archive, rows[i].kind, rows[i].want);
    }
}

static void sums_owners_and_long_names_are_checked(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes archive = BYTES(LOG_MAX);
    struct tar_header h = header("a", '0', "0");
    h.name[1] = 'b';
    put(&archive, h, "", 0);
    assert_refused(&archive, ERROR_INVALID, "bad checksum");
    bytes_clear(&archive);
    put_pax(&archive, PAX("uid=4294967296"));
    put_sized(&archive, "a", '0', "");
    assert_refused(&archive, ERROR_INVALID, "owner out of range");
    bytes_clear(&archive);
    put_pax(&archive, PAX("path=a"));
    assert_refused(&archive, ERROR_INVALID, "truncated");
    bytes_clear(&archive);
    AUTO(bytes_release) struct bytes name = BYTES(LOG_MAX);
    for (int i = 0; i <= TAR_PATH_MAX; i++)
        assert_true(bytes_append_char(&name, 'a', &err));
    put_sized(&archive, "L", 'L', bytes_text(&name));
    assert_refused(&archive, ERROR_INVALID, "path is longer than 4096 bytes");
    bytes_clear(&archive);
    put(&archive, header("L", 'L', "00000000003"), "a\0b", 3);
    assert_refused(&archive, ERROR_INVALID, "path holds a NUL");
}

/* ---- writing ---- */

static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct error err = { 0 };
    char deep[300], flat[300];
    memset(deep, 'd', sizeof deep);
    deep[150] = deep[20] = '/';
    deep[240] = '\0';
    memset(flat, 'f', sizeof flat);
    flat[299] = '\0';
    const struct tar_entry entries[] = {
        { TAR_FILE, "file", "", 0644, 0, 0, 0, 0, 3, 1700000000, { NULL, 0 } },
        { TAR_DIRECTORY, "dir/", "", 01777, 5, 6, 0, 0, 0, 0, { NULL, 0 } },
        { TAR_SYMLINK, "link", "../target", 0777, 0, 0, 0, 0, 0, -5, { NULL, 0 } },
        { TAR_SYMLINK, "longlink", flat, 0777, 0, 0, 0, 0, 0, 0, { NULL, 0 } },
        { TAR_HARDLINK, "hard", "file", 0644, 0, 0, 0, 0, 0, 0, { NULL, 0 } },
        { TAR_CHARACTER, "null", "", 0666, 0, 0, 1, 3, 0, 0, { NULL, 0 } },
        { TAR_BLOCK, "sda", "", 0660, 0, 6, 8, 0, 0, 0, { NULL, 0 } },
        { TAR_FIFO, "fifo", "", 0600, 0, 0, 0, 0, 0, 0, { NULL, 0 } },
        { TAR_FILE, deep, "", 04755, 0, 0, 0, 0, 0, 0, { NULL, 0 } },
        { TAR_FILE, flat, "", 0644, 4294967295u, 3000000, 0, 0, 0, 0, SPAN("cap\0\n=!") },
        { TAR_FILE, "d\xc3\xa9j\xc3\xa0", "", 0644, 0, 0, 0, 0, 0, 0, { NULL, 0 } },
    };
    AUTO(bytes_release) struct bytes archive = BYTES(LOG_MAX);
    AUTO(bytes_release) struct bytes want = BYTES(LOG_MAX);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        assert_true(tar_write_header(&archive, &entries[i], &err));
        if (i == 0)
            assert_true(bytes_append(&archive, "abc", 3, &err) && bytes_reserve(&archive, tar_padding(3), &err));
        for (size_t pad = i == 0 ? tar_padding(3) : 0; pad > 0; pad--)
            assert_true(bytes_append_char(&archive, '\0', &err));
        assert_true(log_entry(&want, &entries[i], &err));
        assert_true(bytes_append_text(&want, i == 0 ? "[abc];" : ";", &err));
    }
    assert_true(tar_write_end(&archive, &err));
    assert_int_equal(archive.len % 512, 0);
    assert_reads(&archive, bytes_text(&want));
}

static void plain_entries_take_one_block_and_hold_no_names(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes a = BYTES(LOG_MAX);
    AUTO(bytes_release) struct bytes b = BYTES(LOG_MAX);
    const struct tar_entry entry = { TAR_FILE, "usr/share/file", "", 0644, 0, 0, 0, 0, 11, 1700000000, { NULL, 0 } };
    assert_true(tar_write_header(&a, &entry, &err));
    assert_true(tar_write_header(&b, &entry, &err));
    assert_int_equal(a.len, 512);
    assert_memory_equal(a.data, b.data, 512);
    assert_memory_equal(a.data + 257, "ustar\00000", 8);
    assert_memory_equal(a.data + 265, (char[64]){ 0 }, 64);
    assert_memory_equal(a.data + 124, "00000000013", 12);
}

static void what_cannot_be_written_is_refused(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes out = BYTES(LOG_MAX);
    const struct tar_entry rows[] = {
        { .type = TAR_FILE, .path = "" },
        { .type = TAR_FILE, .path = "x", .size = -1 },
        { .type = TAR_SYMLINK, .path = "x", .link = "y", .size = 1 },
        { .type = TAR_BLOCK, .path = "x", .device_major = 4000000 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_false(tar_write_header(&out, &rows[i], &err));
        assert_int_equal(err.kind, ERROR_INVALID);
    }
    assert_int_equal(out.len, 0);
    assert_int_equal(tar_padding(0), 0);
    assert_int_equal(tar_padding(1), 511);
    assert_int_equal(tar_padding(512), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces_give_the_same_entries),
        cmocka_unit_test(pax_speaks_about_the_next_entry_only),
        cmocka_unit_test(gnu_and_old_forms_are_read),
        cmocka_unit_test(what_follows_the_end_is_filling),
        cmocka_unit_test(hostile_archives_are_refused),
        cmocka_unit_test(sums_owners_and_long_names_are_checked),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(plain_entries_take_one_block_and_hold_no_names),
        cmocka_unit_test(what_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests_name("shared/oci/tar", tests, NULL, NULL);
}
