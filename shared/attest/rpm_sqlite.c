/* sqlite.org/fileformat2.html: the table "Packages" (hnum INTEGER PRIMARY KEY, blob BLOB), found by the schema's, whose tree has page 1 as
 * its root. Numbers are big-endian. */
#include "shared/attest/rpm_reading.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 100, PAGE_MIN = 512, PAGE_MAX = 65536, USABLE_MIN = 480 };
/* SQLite's own limit is 20 (BTCURSOR_MAX_DEPTH); a table of so many levels is none that fits. */
enum { DEPTH_MAX = 12, INTERIOR = 5, LEAF = 13, UTF8 = 1 };

struct sqlite {
    struct rpm_reading *reading;
    uint32_t page_size, usable;
    uint32_t packages; /* root of the table; 0: not found */
    uint8_t *overflow; /* room for a page */
};

struct cell {
    struct span local;  /* of its payload */
    uint32_t elsewhere; /* page where it goes on; 0: nowhere */
};

typedef bool cell_fn(struct sqlite *sqlite, const struct cell *cell, struct error *err);

static bool read_page(struct sqlite *sqlite, uint32_t number, uint8_t *out, struct error *err)
{
    if (number == 0)
        return rpm_broken(err, "no page has the number 0");
    return rpm_read_at(sqlite->reading, (uint64_t)(number - 1) * sqlite->page_size, out, sqlite->page_size, err);
}

static bool take_number(struct span *rest, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < rest->len && i < 9; i++) {
        uint8_t byte = (uint8_t)rest->data[i];

        *out = i == 8 ? *out << 8 | byte : *out << 7 | (byte & 0x7f);
        if (i == 8 || !(byte & 0x80)) {
            *rest = (struct span){ rest->data + i + 1, rest->len - i - 1 };
            return true;
        }
    }
    return false;
}

/* ---- records ---- */

struct record {
    struct span types, values; /* of the columns that were not taken yet; of the last value maybe only its begin */
};

static bool record_open(struct span payload, struct record *out)
{
    struct span rest = payload;
    uint64_t size;

    if (!take_number(&rest, &size) || size > payload.len || size < payload.len - rest.len)
        return false;
    out->types = (struct span){ rest.data, size - (payload.len - rest.len) };
    out->values = (struct span){ payload.data + size, payload.len - size };
    return true;
}

static uint64_t length_of(uint64_t type)
{
    static const uint8_t lengths[12] = { 0, 1, 2, 3, 4, 6, 8, 8 };

    return type < sizeof(lengths) ? lengths[type] : (type - 12) / 2;
}

/* value: as much of it as is there */
static bool record_take(struct record *record, uint64_t *length, struct span *value)
{
    uint64_t type;

    if (!take_number(&record->types, &type))
        return false;
    *length = length_of(type);
    *value = (struct span){ record->values.data, *length < record->values.len ? *length : record->values.len };
    record->values = (struct span){ value->data + value->len, record->values.len - value->len };
    return true;
}

/* ---- trees ---- */

/* "Cell payload overflow": how much of the payload stands on the leaf. */
static uint64_t local_size(uint32_t usable, uint64_t size)
{
    uint64_t most = usable - 35, least = (usable - 12) * 32 / 255 - 23;
    uint64_t local = size <= most ? size : least + (size - least) % (usable - 4);

    return local <= most ? local : least;
}

static bool read_cell(const struct sqlite *sqlite, const uint8_t *page, uint32_t at, struct cell *out)
{
    struct span rest = { (const char *)page + at, at < sqlite->usable ? sqlite->usable - at : 0 };
    uint64_t size, row;

    if (!take_number(&rest, &size) || !take_number(&rest, &row))
        return false;
    uint64_t local = local_size(sqlite->usable, size), behind = local < size ? 4 : 0;
    if (local + behind > rest.len)
        return false;
    *out = (struct cell){ { rest.data, local }, behind ? rpm_big32((const uint8_t *)rest.data + local) : 0 };
    return true;
}

static bool walk(struct sqlite *sqlite, uint32_t number, unsigned depth, cell_fn *on_cell, struct error *err);

static bool on_entry(struct sqlite *sqlite, const uint8_t *page, uint32_t at, unsigned depth, cell_fn *on_cell,
                     struct error *err)
{
    struct cell cell;

    if (depth > 0)
        return at + 4 <= sqlite->usable ? walk(sqlite, rpm_big32(page + at), depth, on_cell, err)
                                        : rpm_broken(err, "a page has no room for its entries");
    return read_cell(sqlite, page, at, &cell) ? on_cell(sqlite, &cell, err) : rpm_broken(err, "a row is cut off");
}

/* All rows below the page, in their order. */
static bool walk(struct sqlite *sqlite, uint32_t number, unsigned depth, cell_fn *on_cell, struct error *err)
{
    AUTO(free) uint8_t *page = malloc(sqlite->page_size);

    if (!page)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (depth == DEPTH_MAX)
        return rpm_broken(err, "a table is too deep");
    if (!read_page(sqlite, number, page, err))
        return false;
    const uint8_t *head = page + (number == 1 ? HEAD : 0), *entries = head + (*head == INTERIOR ? 12 : 8);
    uint32_t count = rpm_big16(head + 3);
    if ((*head != INTERIOR && *head != LEAF) || entries - page + 2 * (int64_t)count > sqlite->usable)
        return rpm_broken(err, "a page is none of a table");
    unsigned below = *head == INTERIOR ? depth + 1 : 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!on_entry(sqlite, page, rpm_big16(entries + 2 * (size_t)i), below, on_cell, err))
            return false;
    }
    return *head == LEAF || walk(sqlite, rpm_big32(head + 8), below, on_cell, err);
}

/* ---- what is looked for ---- */

/* type, name, tbl_name, rootpage, sql */
static bool on_schema(struct sqlite *sqlite, const struct cell *cell, struct error *err)
{
    struct record record;
    struct span type, name, table, root;
    uint64_t length;

    (void)err;
    if (!record_open(cell->local, &record) || !record_take(&record, &length, &type) ||
        !record_take(&record, &length, &name) || !record_take(&record, &length, &table) ||
        !record_take(&record, &length, &root) || !span_is(type, "table") || !span_is(name, "Packages"))
        return true;
    for (size_t i = 0; i < root.len; i++)
        sqlite->packages = sqlite->packages << 8 | (uint8_t)root.data[i];
    return true;
}

static bool feed_overflow(struct sqlite *sqlite, uint32_t number, uint64_t left, struct error *err)
{
    while (left > 0 && !rpm_header_enough(sqlite->reading)) {
        uint64_t n = left < sqlite->usable - 4 ? left : sqlite->usable - 4;

        if (!read_page(sqlite, number, sqlite->overflow, err) ||
            !rpm_header_feed(sqlite->reading, sqlite->overflow + 4, n, err))
            return false;
        number = rpm_big32(sqlite->overflow);
        left -= n;
    }
    return true;
}

/* hnum, which stands in the row's own number, and blob */
static bool on_package(struct sqlite *sqlite, const struct cell *cell, struct error *err)
{
    struct record record;
    struct span value;
    uint64_t length;

    if (!record_open(cell->local, &record) || !record_take(&record, &length, &value) ||
        !record_take(&record, &length, &value))
        return rpm_broken(err, "a row holds no package");
    rpm_header_begin(sqlite->reading);
    return rpm_header_feed(sqlite->reading, value.data, value.len, err) &&
           feed_overflow(sqlite, cell->elsewhere, length - value.len, err) && rpm_header_end(sqlite->reading, err);
}

static bool read_head(struct sqlite *sqlite, struct error *err)
{
    uint8_t head[HEAD];

    if (!rpm_read_at(sqlite->reading, 0, head, sizeof(head), err))
        return false;
    sqlite->page_size = rpm_big16(head + 16) == 1 ? PAGE_MAX : rpm_big16(head + 16);
    sqlite->usable = sqlite->page_size - head[20];
    bool sound = sqlite->page_size >= PAGE_MIN && (sqlite->page_size & (sqlite->page_size - 1)) == 0;
    return (sound && sqlite->usable >= USABLE_MIN && rpm_big32(head + 56) == UTF8) ||
           rpm_broken(err, "its head is not what rpm writes");
}

bool rpm_read_sqlite(struct rpm_reading *reading, struct error *err)
{
    struct sqlite sqlite = { .reading = reading };

    if (!read_head(&sqlite, err))
        return false;
    AUTO(free) uint8_t *overflow = sqlite.overflow = malloc(sqlite.page_size);
    if (!overflow)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return walk(&sqlite, 1, 0, on_schema, err) &&
           (sqlite.packages ? walk(&sqlite, sqlite.packages, 0, on_package, err)
                            : error_set(err, ERROR_INVALID, "it has no table of packages"));
}
