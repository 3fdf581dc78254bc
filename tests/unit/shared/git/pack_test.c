/* Packs written by hand, one of them larger than 4 GB, with nothing in most of it. */
#include "shared/git/pack.h"

#include "shared/base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { OBJECTS = 4 };

/* Sorted by name, as an index has them. */
static const struct {
    unsigned char first; /* byte of the name; the others are 7 */
    int64_t offset;
    const char *head; /* type and size, git's gitformat-pack(5) */
    int64_t size;     /* -1: no blob */
} objects[OBJECTS] = {
    { 0x00, 12, "\x35", 5 },
    { 0x41, 40, "\x95\x01", -1 },
    { 0x41 + 1, INT64_C(0x140000000), "\xb5\xb4\x24", 0x12345 },
    { 0xff, 80, "\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -1 }, /* a size that never ends */
};

static char *base;

static const char *at(const char *name)
{
    static char path[2][300];
    static int turn;

    snprintf(path[++turn % 2], sizeof(path[0]), "%s/%s", base, name);
    return path[turn % 2];
}

static void append_number(struct bytes *out, uint32_t n)
{
    struct error err = { 0 };
    const unsigned char number[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                                      (unsigned char)n };

    assert_true(bytes_append(out, number, sizeof(number), &err));
}

static void name_of(size_t i, unsigned char oid[static 20])
{
    memset(oid, 7, 20);
    oid[0] = objects[i].first;
}

static void write_index(void)
{
    struct error err = { 0 };
    unsigned char oid[20];
    AUTO(bytes_release) struct bytes index = BYTES(10000);

    assert_true(bytes_append(&index, "\xfftOc\0\0\0\2", 8, &err));
    for (unsigned first = 0; first < 256; first++) {
        uint32_t count = 0;
        for (size_t i = 0; i < OBJECTS; i++)
            count += objects[i].first <= first;
        append_number(&index, count);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        name_of(i, oid);
        assert_true(bytes_append(&index, oid, sizeof(oid), &err));
    }
    for (size_t i = 0; i < OBJECTS; i++)
        append_number(&index, 0); /* checksums */
    for (size_t i = 0; i < OBJECTS; i++)
        append_number(&index, objects[i].offset >> 31 ? UINT32_C(1) << 31 : (uint32_t)objects[i].offset);
    append_number(&index, (uint32_t)(INT64_C(0x140000000) >> 32));
    append_number(&index, (uint32_t)INT64_C(0x140000000));
    AUTO(close) int fd = open(at("pack/pack-1.idx"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file_write_all(fd, index.data, index.len, &err));
}

static int prepare(void **state)
{
    struct error err = { 0 };

    (void)state;
    base = directory_make_temporary("pack-test", &err);
    if (!base || mkdir(at("pack"), 0700) < 0)
        return -1;
    write_index();
    AUTO(close) int fd = open(at("pack/pack-1.pack"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (size_t i = 0; i < OBJECTS; i++) {
        size_t len = strlen(objects[i].head);
        assert_int_equal(pwrite(fd, objects[i].head, len, objects[i].offset), len);
        assert_int_equal(pwrite(fd, "packed", 6, objects[i].offset + (int64_t)len), 6);
    }
    return 0;
}

static int tidy(void **state)
{
    char command[400];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", base);
    free(base);
    return system(command);
}

/* Six bytes are all it wants. */
static bool take(void *context, const void *data, size_t len, bool *done, struct error *err)
{
    struct bytes *out = context;
    size_t wanted = 6 - out->len;

    *done = len >= wanted;
    return bytes_append(out, data, len < wanted ? len : wanted, err);
}

static void blobs_are_found_wherever_they_lie(void **state)
{
    unsigned char oid[20];

    (void)state;
    for (size_t i = 0; i < OBJECTS; i++) {
        struct error err = { 0 };
        struct pack_place place = { .fd = -1 };
        AUTO(bytes_release) struct bytes out = BYTES(100);

        name_of(i, oid);
        bool found = pack_find(base, oid, &place, &err);
        AUTO(close) int fd = place.fd;
        assert_int_equal(err.kind, ERROR_NONE);
        assert_int_equal(found, objects[i].size >= 0);
        if (!found)
            continue;
        assert_true(fd >= 0);
        assert_int_equal(place.size, objects[i].size);
        assert_true(pack_read(&place, take, &out, &err));
        assert_string_equal(bytes_text(&out), "packed");
    }
}

static void what_is_not_there_is_not_found(void **state)
{
    struct error err = { 0 };
    struct pack_place place;
    unsigned char oid[20];

    (void)state;
    memset(oid, 7, sizeof(oid));
    for (unsigned first = 1; first < 256; first += 2) {
        oid[0] = (unsigned char)first;
        oid[19] = 8;
        assert_false(pack_find(base, oid, &place, &err));
    }
    assert_false(pack_find(at("nowhere"), oid, &place, &err));
    assert_int_equal(err.kind, ERROR_NONE);
}

static void a_pack_that_ends_before_is_told(void **state)
{
    struct error err = { 0 };
    struct pack_place place;
    unsigned char oid[20];
    AUTO(bytes_release) struct bytes out = BYTES(100);

    (void)state;
    name_of(2, oid);
    assert_true(pack_find(base, oid, &place, &err));
    AUTO(close) int fd = place.fd;
    place.offset += 3;
    assert_false(pack_read(&place, take, &out, &err));
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_int_equal(out.len, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blobs_are_found_wherever_they_lie),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(a_pack_that_ends_before_is_told),
    };
    return cmocka_run_group_tests_name("shared/git/pack", tests, prepare, tidy);
}
