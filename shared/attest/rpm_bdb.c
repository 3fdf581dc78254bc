/* Berkeley DB 5.3, src/dbinc/db_page.h: a hash table whose keys are numbers of packages, in the byte order of the machine that made it.
 * Where a bucket begins does not matter to who wants all of them: each page says what it is. */
#include "shared/attest/rpm_reading.h"

#include <stdlib.h>
#include <string.h>

enum { META = 72, PAGE_MIN = 512, PAGE_MAX = 65536, PAGE_HEAD = 26, CHECKSUMMED = 1 };
enum { PAGE_HASH_UNSORTED = 2, PAGE_OVERFLOW = 7, PAGE_HASH = 13 };
enum { ITEM_HERE = 1, ITEM_ELSEWHERE = 3, ITEM_ELSEWHERE_SIZE = 12 };

struct bdb {
    struct rpm_reading *reading;
    uint32_t (*u16)(const uint8_t *at), (*u32)(const uint8_t *at);
    uint32_t page_size;
    uint8_t *page, *overflow;
};

static bool feed_overflow(struct bdb *db, uint32_t number, uint32_t left, struct error *err)
{
    while (left > 0 && !rpm_header_enough(db->reading)) {
        if (!rpm_read_at(db->reading, (uint64_t)number * db->page_size, db->overflow, db->page_size, err))
            return false;
        uint32_t len = db->u16(db->overflow + 22);
        if (db->overflow[25] != PAGE_OVERFLOW || len == 0 || len > left || len > db->page_size - PAGE_HEAD)
            return rpm_broken(err, "a package goes on where there is none");
        if (!rpm_header_feed(db->reading, db->overflow + PAGE_HEAD, len, err))
            return false;
        number = db->u32(db->overflow + 16);
        left -= len;
    }
    return true;
}

static bool read_value(struct bdb *db, const uint8_t *item, uint32_t len, struct error *err)
{
    rpm_header_begin(db->reading);
    if (*item == ITEM_HERE && !rpm_header_feed(db->reading, item + 1, len - 1, err))
        return false;
    if (*item == ITEM_ELSEWHERE && len >= ITEM_ELSEWHERE_SIZE &&
        !feed_overflow(db, db->u32(item + 4), db->u32(item + 8), err))
        return false;
    return rpm_header_end(db->reading, err);
}

/* Number 0 is that of no package: the last number given stands there. */
static bool is_package(const uint8_t *key, uint32_t len)
{
    static const uint8_t counter[5] = { ITEM_HERE };

    return len != sizeof(counter) || memcmp(key, counter, len) != 0;
}

/* Keys and values in turn, from the page's end down; each ends where the one before begins. */
static bool read_pairs(struct bdb *db, struct error *err)
{
    uint32_t count = db->u16(db->page + 20), end = db->page_size, room = PAGE_HEAD + 2 * count;

    for (uint32_t i = 0; i + 1 < count; i += 2) {
        const uint8_t *place = db->page + PAGE_HEAD + 2 * (size_t)i;
        uint32_t key = room <= end ? db->u16(place) : 0, value = room <= end ? db->u16(place + 2) : 0;

        if (value < room || key <= value || key >= end)
            return rpm_broken(err, "what is on a page overlaps");
        if (is_package(db->page + key, end - key) && !read_value(db, db->page + value, key - value, err))
            return false;
        end = value;
    }
    return true;
}

static bool read_page(struct bdb *db, uint64_t at, struct error *err)
{
    uint8_t head[PAGE_HEAD];

    if (!rpm_read_at(db->reading, at, head, sizeof(head), err))
        return false;
    if (head[25] != PAGE_HASH && head[25] != PAGE_HASH_UNSORTED)
        return true;
    return rpm_read_at(db->reading, at, db->page, db->page_size, err) && read_pairs(db, err);
}

static bool read_pages(struct bdb *db, struct error *err)
{
    uint64_t pages = (uint64_t)db->reading->database->size / db->page_size;

    for (uint64_t i = 1; i < pages; i++) {
        if (!read_page(db, i * db->page_size, err))
            return false;
    }
    return true;
}

bool rpm_read_bdb(struct rpm_reading *reading, struct error *err)
{
    uint8_t meta[META];

    if (!rpm_read_at(reading, 0, meta, sizeof(meta), err))
        return false;
    bool big = meta[12] == 0;
    struct bdb db = { .reading = reading,
                      .u16 = big ? rpm_big16 : rpm_little16,
                      .u32 = big ? rpm_big32 : rpm_little32 };
    db.page_size = db.u32(meta + 20);
    if (db.page_size < PAGE_MIN || db.page_size > PAGE_MAX || (db.page_size & (db.page_size - 1)) != 0 ||
        meta[24] != 0 || (meta[26] & CHECKSUMMED) != 0)
        return rpm_broken(err, "its head is not what rpm writes");
    AUTO(free) uint8_t *pages = db.page = malloc(2 * (size_t)db.page_size);
    if (!pages)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    db.overflow = pages + db.page_size;
    return read_pages(&db, err);
}
