/* Databases as small as they can be, and what is wrong with those of people who mean no good. What rpm, SQLite and Berkeley DB write is
 * read in tests/integration/rpm_test.py. */
#include "shared/attest/rpm.h"

#include "shared/base/file.h"
#include "tests/unit/shared/base/test.h"

#include <sys/mman.h>
#include <unistd.h>

enum { FILE_MAX = 12 * 1024, PAGE = 512, NONE = 0xffffffff };

/* ---- what makes a database ---- */

static void put(uint8_t *at, uint64_t number, size_t len, bool big)
{
    for (size_t i = 0; i < len; i++)
        at[big ? len - 1 - i : i] = (uint8_t)(number >> 8 * i);
}

static void put16(uint8_t *at, uint64_t number)
{
    put(at, number, 2, true);
}

static void put32(uint8_t *at, uint64_t number)
{
    put(at, number, 4, true);
}

struct header {
    uint8_t bytes[FILE_MAX];
    size_t len;
};

struct tag {
    uint32_t tag, type;
    const char *value; /* of a number, four bytes */
};

enum { INT32 = 4, TEXT = 6, I18N = 9, NAME = 1000, VERSION, RELEASE, EPOCH };
enum { DESCRIPTION = 1005, VENDOR = 1011, LICENSE = 1014, ARCH = 1022, SOURCE = 1044 };

static size_t size_of(const struct tag *tag)
{
    return tag->type == INT32 ? 4 : strlen(tag->value) + 1;
}

static struct header header_of(const struct tag *tags, size_t count)
{
    struct header header = { .len = 8 + 16 * count };
    size_t data = header.len;

    put32(header.bytes, count);
    for (size_t i = 0; i < count; i++) {
        uint8_t *entry = header.bytes + 8 + 16 * i;

        put32(entry, tags[i].tag);
        put32(entry + 4, tags[i].type);
        put32(entry + 8, header.len - data);
        put32(entry + 12, 1);
        memcpy(header.bytes + header.len, tags[i].value, size_of(&tags[i]));
        header.len += size_of(&tags[i]);
    }
    put32(header.bytes + 4, header.len - data);
    return header;
}

/* One package, with a description of that length before what is read last. */
static struct header package(const char *name, size_t description)
{
    static char long_text[FILE_MAX];
    struct tag tags[] = { { NAME, TEXT, name },
                          { VERSION, TEXT, "1.0" },
                          { RELEASE, TEXT, "2.el9" },
                          { DESCRIPTION, I18N, long_text },
                          { SOURCE, TEXT, "all-1.0-2.el9.src.rpm" } };

    memset(long_text, 'x', description);
    long_text[description] = '\0';
    return header_of(tags, COUNT(tags));
}

struct file {
    uint8_t bytes[FILE_MAX];
    size_t len;
};

/* Slots of one page, and behind them the header. */
static struct file ndb(const struct header *header)
{
    struct file file = { .len = 4096 + 16 + header->len };
    uint8_t *package_at = file.bytes + 4096;

    memcpy(file.bytes, "RpmP", 4);
    put(file.bytes + 12, 1, 4, false);
    for (size_t at = 32; at < 4096; at += 16)
        memcpy(file.bytes + at, "Slot", 4);
    put(file.bytes + 48 + 4, 7, 4, false);
    put(file.bytes + 48 + 8, 256, 4, false);
    memcpy(package_at, "BlbS", 4);
    put(package_at + 4, 7, 4, false);
    put(package_at + 12, header->len, 4, false);
    memcpy(package_at + 16, header->bytes, header->len);
    return file;
}

static uint8_t *put_varint(uint8_t *at, uint64_t number)
{
    *at++ = (uint8_t)(0x80 | number >> 14);
    *at++ = (uint8_t)(0x80 | (number >> 7 & 0x7f));
    *at++ = number & 0x7f;
    return at;
}

/* Page 2 is the table's root, which leads to page 3; a row there goes on from page 4. */
static struct file sqlite(const struct header *header)
{
    static const uint8_t schema[] = "\x23\x01\x06\x17\x1d\x1d\x01\x0dtablePackagesPackages\x02";
    struct file file = { .len = 3 * PAGE };
    uint8_t *first = file.bytes, *root = first + PAGE, *leaf = root + PAGE, *row = leaf + 16, *at;
    size_t payload = header->len + 5, local = payload;

    memcpy(first, "SQLite format 3", 16);
    put16(first + 16, PAGE);
    put32(first + 56, 1);
    first[100] = 13;
    put16(first + 103, 1);
    put16(first + 108, 400);
    memcpy(first + 400, schema, sizeof(schema) - 1);
    root[0] = 5;
    put32(root + 8, 3);
    leaf[0] = 13;
    put16(leaf + 3, 1);
    put16(leaf + 8, 16);
    if (payload > PAGE - 35) {
        local = 39 + (payload - 39) % (PAGE - 4);
        local = local <= PAGE - 35 ? local : 39;
    }
    at = put_varint(row, payload);
    *at++ = 1;
    *at++ = 5;
    *at++ = 0;
    at = put_varint(at, 12 + 2 * header->len);
    memcpy(at, header->bytes, local - 5);
    if (local < payload)
        put32(at + local - 5, 4);
    for (size_t done = local - 5; done < header->len; done += PAGE - 4) {
        size_t n = header->len - done < PAGE - 4 ? header->len - done : PAGE - 4;

        memcpy(file.bytes + file.len + 4, header->bytes + done, n);
        file.len += PAGE;
        put32(file.bytes + file.len - PAGE, done + n < header->len ? file.len / PAGE + 1 : 0);
    }
    return file;
}

/* Page 1 has the counter, and the package, which begins on page 2. */
static struct file bdb(const struct header *header, bool big)
{
    struct file file = { .len = 2 * PAGE };
    uint8_t *meta = file.bytes, *page = meta + PAGE;

    put(meta + 12, 0x00061561, 4, big);
    put(meta + 20, PAGE, 4, big);
    put(page + 20, 4, 2, big);
    page[25] = 13;
    put(page + 26, PAGE - 5, 2, big);
    page[PAGE - 5] = 1;
    put(page + 28, PAGE - 10, 2, big);
    page[PAGE - 10] = 1;
    put(page + 30, PAGE - 15, 2, big);
    put(page + PAGE - 15, 1 | UINT64_C(3) << 8, 5, false);
    put(page + 32, PAGE - 27, 2, big);
    page[PAGE - 27] = 3;
    put(page + PAGE - 23, 2, 4, big);
    put(page + PAGE - 19, header->len, 4, big);
    for (size_t done = 0; done < header->len; done += PAGE - 26) {
        size_t n = header->len - done < PAGE - 26 ? header->len - done : PAGE - 26;
        uint8_t *overflow = file.bytes + file.len;

        file.len += PAGE;
        put(overflow + 16, done + n < header->len ? file.len / PAGE : 0, 4, big);
        put(overflow + 22, n, 2, big);
        overflow[25] = 7;
        memcpy(overflow + 26, header->bytes + done, n);
    }
    return file;
}

/* ---- what is read of it ---- */

/* As a part of a file: what stands around it is not read. */
static bool read_file(const struct file *file, struct packages *packages, struct error *err)
{
    AUTO(close) int fd = memfd_create("rpm", MFD_CLOEXEC);

    assert_true(fd >= 0 && packages_init(packages, err));
    assert_true(file_write_all(fd, "before", 6, err) && file_write_all(fd, file->bytes, file->len, err) &&
                file_write_all(fd, file->bytes, file->len, err));
    return packages_read_rpm(packages, &(struct rpm_database){ fd, 6, (int64_t)file->len }, err);
}

static void assert_read(const struct file *file, const char *expected)
{
    struct error err = { 0 };
    AUTO(packages_release) struct packages packages = { 0 };
    AUTO(bytes_release) struct bytes text = BYTES(4096);

    if (!read_file(file, &packages, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < packages.count; i++) {
        const struct package *p = &packages.items[i];
        const char *const fields[] = { p->name, p->version, p->architecture, p->source, p->maintainer, p->license };

        for (size_t k = 0; k < COUNT(fields); k++)
            assert_true(bytes_printf(&text, &err, "%s%s", k ? " " : "", fields[k] ? fields[k] : "-"));
    }
    assert_string_equal(bytes_text(&text), expected);
}

static void each_format_is_read(void **state)
{
    (void)state;
    for (size_t description = 0; description < 5000; description += 311) {
        const struct header header = package("all", description);
        const struct file files[] = { ndb(&header), sqlite(&header), bdb(&header, false), bdb(&header, true) };

        for (size_t i = 0; i < COUNT(files); i++)
            assert_read(&files[i], "all 1.0-2.el9 - all-1.0-2.el9.src.rpm - -");
    }
}

static void headers_tell_what_rpm_tells(void **state)
{
    (void)state;
    static const char numbered[] = "\x00\x00\x00\x03", zero[] = "\x00\x00\x00\x00";
    static char long_text[PACKAGE_FIELD_MAX + 2];
    memset(long_text, 'x', sizeof(long_text) - 1);
    const struct {
        struct tag tags[8];
        const char *expected;
    } rows[] = {
        { { { NAME, TEXT, "a" },
            { VERSION, TEXT, "1" },
            { RELEASE, TEXT, "2" },
            { EPOCH, INT32, numbered },
            { VENDOR, TEXT, "V" },
            { LICENSE, TEXT, "MIT" },
            { ARCH, TEXT, "noarch" },
            { SOURCE, TEXT, "a.src.rpm" } },
          "a 3:1-2 noarch a.src.rpm V MIT" },
        { { { NAME, TEXT, "a" }, { VERSION, TEXT, "1" }, { RELEASE, TEXT, "2" }, { EPOCH, INT32, zero } },
          "a 0:1-2 - - - -" },
        { { { NAME, TEXT, "gpg-pubkey" }, { VERSION, TEXT, "1" }, { RELEASE, TEXT, "2" }, { SOURCE, TEXT, "(none)" } },
          "gpg-pubkey 1-2 - - - -" },
        { { { NAME, TEXT, "a" },
            { VERSION, TEXT, "1" },
            { RELEASE, TEXT, "2" },
            { ARCH, TEXT, "old" },
            { ARCH, TEXT, "new" } },
          "a 1-2 new - - -" },
        { { { NAME, TEXT, "a" },
            { VERSION, TEXT, "1" },
            { RELEASE, TEXT, "2" },
            { VENDOR, TEXT, long_text },
            { ARCH, INT32, "abcd" } },
          "a 1-2 - - - -" },
        { { { NAME, TEXT, "a" }, { VERSION, TEXT, "1" } }, "" },
        { { { VERSION, TEXT, "1" }, { RELEASE, TEXT, "2" } }, "" },
        { { { NAME, TEXT, "" }, { VERSION, TEXT, "1" }, { RELEASE, TEXT, "2" } }, "" },
        { { { NAME, TEXT, "a" }, { VERSION, TEXT, long_text + 1 }, { RELEASE, TEXT, "2" } }, "" },
        { { { 0 } }, "" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t count = 0;

        while (count < COUNT(rows[i].tags) && rows[i].tags[count].tag)
            count++;
        const struct header header = header_of(rows[i].tags, count);
        const struct file file = ndb(&header);
        assert_read(&file, rows[i].expected);
    }
}

/* One number of a sound database is another one. */
static void broken_databases_end(void **state)
{
    (void)state;
    const struct header header = package("all", 3000);
    const struct {
        struct file file;
        uint32_t at, len, value;
        const char *says;
    } rows[] = {
        { ndb(&header), 0, 4, 0, "no format that rpm has" },
        { ndb(&header), 7, 1, 1, "version" },
        { ndb(&header), 12, 4, NONE, "ends too early" },
        { ndb(&header), 60, 1, 0, NULL },
        { ndb(&header), 64, 1, 0, "a slot is none" },
        { ndb(&header), 48 + 8, 4, NONE, "ends too early" },
        { ndb(&header), 48 + 4, 4, 8, "not where its slot says" },
        { ndb(&header), 4096 + 15, 1, 1, "ends too early" },
        { ndb(&header), 4096 + 16, 4, 65536, "too many tags" },
        { sqlite(&header), 16, 2, 256, "its head" },
        { sqlite(&header), 16, 2, 768, "its head" },
        { sqlite(&header), 20, 1, 33, "its head" },
        { sqlite(&header), 59, 1, 2, "its head" },
        { sqlite(&header), 100, 1, 10, "none of a table" },
        { sqlite(&header), 103, 2, 300, "none of a table" },
        { sqlite(&header), 108, 2, 0, "no table of packages" },
        { sqlite(&header), 108, 2, 511, "a row is cut off" },
        { sqlite(&header), 408, 1, 't' + 1, "no table of packages" },
        { sqlite(&header), PAGE + 8, 4, 2, "too deep" },
        { sqlite(&header), PAGE + 8, 4, 0, "number 0" },
        { sqlite(&header), PAGE + 8, 4, NONE, "ends too early" },
        { sqlite(&header), PAGE + 3, 2, 1, "ends too early" },
        { sqlite(&header), 2 * PAGE + 16, 3, 0x808010, "number 0" },
        { sqlite(&header), 2 * PAGE + 20, 1, 200, "a row holds no package" },
        { sqlite(&header), 3 * PAGE, 4, 4, NULL },
        { sqlite(&header), 3 * PAGE, 4, 0, "number 0" },
        { bdb(&header, true), 20, 4, 768, "its head" },
        { bdb(&header, true), 20, 4, 131072, "its head" },
        { bdb(&header, true), 24, 1, 1, "its head" },
        { bdb(&header, true), 26, 1, 1, "its head" },
        { bdb(&header, true), PAGE + 20, 2, 65535, "overlaps" },
        { bdb(&header, true), PAGE + 26, 2, PAGE, "overlaps" },
        { bdb(&header, true), PAGE + 32, 2, PAGE - 10, "overlaps" },
        { bdb(&header, true), PAGE + 32, 2, 33, "overlaps" },
        { bdb(&header, true), 2 * PAGE - 23, 4, NONE, "ends too early" },
        { bdb(&header, true), 2 * PAGE - 23, 4, 1, "goes on where there is none" },
        { bdb(&header, true), 2 * PAGE + 16, 4, 0, "goes on where there is none" },
        { bdb(&header, true), 2 * PAGE + 22, 2, 0, "goes on where there is none" },
        { bdb(&header, true), 2 * PAGE + 22, 2, 487, "goes on where there is none" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct file file = rows[i].file;
        struct error err = { 0 };
        AUTO(packages_release) struct packages packages = { 0 };

        put(file.bytes + rows[i].at, rows[i].value, rows[i].len, true);
        bool read = read_file(&file, &packages, &err);
        if (read != !rows[i].says)
            fail_msg("row %zu: %s", i, err.message);
        if (rows[i].says)
            assert_error(err, ERROR_INVALID, rows[i].says);
    }
}

/* A chain that leads to itself, for a value that needs more of it than there can be: a header of which all is index. */
static void what_is_read_is_bounded(void **state)
{
    (void)state;
    const struct header header = package("all", 3000);
    struct file files[] = { sqlite(&header), bdb(&header, true) };

    size_t seems = header.len + 1000 * (PAGE - 4);

    put_varint(files[0].bytes + 2 * PAGE + 16, 5 + seems);
    put_varint(files[0].bytes + 2 * PAGE + 22, 12 + 2 * seems);
    put32(files[0].bytes + 2 * PAGE + 25, 65535);
    put32(files[0].bytes + 3 * PAGE, 4);
    put32(files[1].bytes + 2 * PAGE - 19, 0x7fffffff);
    put32(files[1].bytes + 2 * PAGE + 16, 2);
    put32(files[1].bytes + 2 * PAGE + 26, 65535);
    for (size_t i = 0; i < COUNT(files); i++) {
        struct error err = { 0 };
        AUTO(packages_release) struct packages packages = { 0 };

        assert_false(read_file(&files[i], &packages, &err));
        assert_error(err, ERROR_INVALID, "several places");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_is_read),
        cmocka_unit_test(headers_tell_what_rpm_tells),
        cmocka_unit_test(broken_databases_end),
        cmocka_unit_test(what_is_read_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
