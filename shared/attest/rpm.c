#include "shared/attest/rpm.h"

#include "shared/attest/rpm_reading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How often a sound database may be read: its pages' heads while looking for those of a kind, each page, and the headers on it. */
enum { READINGS = 3, MAGIC_MAX = 16 };

static const struct {
    uint8_t at, len;
    const char *magic;
    bool (*read)(struct rpm_reading *reading, struct error *err);
} formats[] = {
    { 0, 16, "SQLite format 3", rpm_read_sqlite },
    { 0, 4, "RpmP", rpm_read_ndb },
    { 12, 4, "\x61\x15\x06", rpm_read_bdb }, /* of a little-endian machine, and of a big-endian one */
    { 12, 4, "\x00\x06\x15\x61", rpm_read_bdb },
};

bool packages_read_rpm(struct packages *packages, const struct rpm_database *database, struct error *err)
{
    AUTO(free) struct rpm_reading *reading = calloc(1, sizeof(*reading));
    char head[MAGIC_MAX];

    if (!reading)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    reading->database = database;
    reading->packages = packages;
    reading->left = READINGS * database->size;
    if (!rpm_read_at(reading, 0, head, sizeof(head), err))
        return false;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (memcmp(head + formats[i].at, formats[i].magic, formats[i].len) == 0)
            return formats[i].read(reading, err);
    }
    return error_set(err, ERROR_INVALID, "it is in no format that rpm has");
}

bool rpm_broken(struct error *err, const char *what)
{
    return error_set(err, ERROR_INVALID, "the database is broken: %s", what);
}

/* ---- bytes ---- */

static bool charge(struct rpm_reading *reading, size_t len, struct error *err)
{
    reading->left -= (int64_t)len;
    return reading->left >= 0 || rpm_broken(err, "parts of it stand in several places");
}

bool rpm_read_at(struct rpm_reading *reading, uint64_t at, void *out, size_t len, struct error *err)
{
    const struct rpm_database *database = reading->database;

    if (at > (uint64_t)database->size || len > (uint64_t)database->size - at)
        return rpm_broken(err, "it ends too early");
    if (!charge(reading, len, err))
        return false;
    for (size_t got = 0; got < len;) {
        ssize_t n = pread(database->fd, (char *)out + got, len - got, database->offset + (int64_t)(at + got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set_errno(err, n < 0 ? errno : ENODATA, "cannot read the database");
        got += (size_t)n;
    }
    return true;
}

uint32_t rpm_big16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

uint32_t rpm_big32(const uint8_t *at)
{
    return rpm_big16(at) << 16 | rpm_big16(at + 2);
}

uint32_t rpm_little16(const uint8_t *at)
{
    return (uint32_t)at[1] << 8 | at[0];
}

uint32_t rpm_little32(const uint8_t *at)
{
    return rpm_little16(at + 2) << 16 | rpm_little16(at);
}

/* ---- headers ---- */

/* As many index entries as there may be, by rpm's lib/header.c. */
enum { ENTRIES_MAX = 65535, INTRO = 8 };

enum { TYPE_INT32 = 4, TYPE_STRING = 6, TYPE_I18N_STRING = 9 };
enum { NAME, VERSION, RELEASE, EPOCH, VENDOR, LICENSE, ARCH, SOURCE };
static const uint16_t tags[RPM_FIELDS] = { [NAME] = 1000,   [VERSION] = 1001, [RELEASE] = 1002, [EPOCH] = 1003,
                                           [VENDOR] = 1011, [LICENSE] = 1014, [ARCH] = 1022,    [SOURCE] = 1044 };

void rpm_header_begin(struct rpm_reading *reading)
{
    memset(&reading->header, 0, sizeof(reading->header));
}

static bool read_intro(struct rpm_header *header, struct error *err)
{
    header->begun = true;
    header->entries_left = rpm_big32(header->entry);
    header->data_from = INTRO + (uint64_t)header->entries_left * RPM_INDEX_ENTRY;
    return header->entries_left <= ENTRIES_MAX || rpm_broken(err, "a package has too many tags");
}

/* Tag, type, offset, count. What was added after the package was made comes last, and replaces what has the same tag. */
static void read_entry(struct rpm_header *header)
{
    uint32_t tag = rpm_big32(header->entry), type = rpm_big32(header->entry + 4);

    header->entries_left--;
    for (size_t i = 0; i < RPM_FIELDS; i++) {
        struct rpm_field *field = &header->fields[i];

        if (tag != tags[i] || (i == EPOCH ? type != TYPE_INT32 : type != TYPE_STRING && type != TYPE_I18N_STRING))
            continue;
        field->from = header->data_from + rpm_big32(header->entry + 8);
        field->want = type == TYPE_INT32 ? sizeof(uint32_t) : sizeof(field->value);
    }
}

/* Returns how much of the data was index; the rest is values. */
static bool read_index(struct rpm_header *header, struct span *rest, struct error *err)
{
    while (rest->len > 0 && (!header->begun || header->entries_left > 0)) {
        size_t unit = header->begun ? RPM_INDEX_ENTRY : INTRO, want = unit - header->filled;
        size_t n = rest->len < want ? rest->len : want;

        memcpy(header->entry + header->filled, rest->data, n);
        *rest = (struct span){ rest->data + n, rest->len - n };
        header->at += n;
        header->filled += n;
        if (header->filled < unit)
            return true;
        header->filled = 0;
        if (header->begun)
            read_entry(header);
        else if (!read_intro(header, err))
            return false;
    }
    return true;
}

static void read_value(struct rpm_field *field, uint64_t at, struct span data, bool text)
{
    uint64_t next = field->from + field->got;

    if (!field->from || field->done || next < at || next - at >= data.len)
        return;
    size_t skipped = (size_t)(next - at), want = field->want - field->got, have = data.len - skipped;
    size_t n = have < want ? have : want;
    memcpy(field->value + field->got, data.data + skipped, n);
    field->got += n;
    field->done = field->got == field->want || (text && memchr(field->value + field->got - n, '\0', n));
}

bool rpm_header_feed(struct rpm_reading *reading, const void *data, size_t len, struct error *err)
{
    struct rpm_header *header = &reading->header;
    struct span rest = { data, len };

    if (!charge(reading, len, err) || !read_index(header, &rest, err))
        return false;
    for (size_t i = 0; i < RPM_FIELDS; i++)
        read_value(&header->fields[i], header->at, rest, i != EPOCH);
    header->at += rest.len;
    return true;
}

bool rpm_header_enough(const struct rpm_reading *reading)
{
    const struct rpm_header *header = &reading->header;
    bool enough = header->begun && header->entries_left == 0;

    for (size_t i = 0; i < RPM_FIELDS; i++)
        enough = enough && (!header->fields[i].from || header->fields[i].done);
    return enough;
}

/* NULL: not told. What rpm writes into a field that it must have, and has nothing to say in, is "(none)". */
static const char *text_of(const struct rpm_field *field)
{
    bool told = field->done && field->value[0] && memchr(field->value, '\0', field->got);

    return told && strcmp(field->value, "(none)") != 0 ? field->value : NULL;
}

static bool keep(struct packages *packages, const char *text, const char **out, struct error *err)
{
    *out = text ? arena_dup(packages->arena, span_of(text)) : NULL;
    return !text || *out || arena_no_room(packages->arena, "the list of packages", err);
}

bool rpm_header_end(struct rpm_reading *reading, struct error *err)
{
    const struct rpm_field *fields = reading->header.fields;
    const char *name = text_of(&fields[NAME]), *version = text_of(&fields[VERSION]),
               *release = text_of(&fields[RELEASE]);
    struct packages *packages = reading->packages;
    struct package package = { .kind = PACKAGE_RPM };
    char epoch[16] = "", full[PACKAGE_FIELD_MAX + 1];

    if (fields[EPOCH].done)
        snprintf(epoch, sizeof(epoch), "%u:", rpm_big32((const uint8_t *)fields[EPOCH].value));
    if (!name || !version || !release ||
        snprintf(full, sizeof(full), "%s%s-%s", epoch, version, release) > PACKAGE_FIELD_MAX)
        return true;
    return keep(packages, name, &package.name, err) && keep(packages, full, &package.version, err) &&
           keep(packages, text_of(&fields[ARCH]), &package.architecture, err) &&
           keep(packages, text_of(&fields[SOURCE]), &package.source, err) &&
           keep(packages, text_of(&fields[VENDOR]), &package.maintainer, err) &&
           keep(packages, text_of(&fields[LICENSE]), &package.license, err) && packages_add(packages, &package, err);
}
