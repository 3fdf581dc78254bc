/* rpm's lib/backend/ndb/rpmpkg.c: a head, slots that say where each package lies, and the packages. Numbers are little-endian, places are
 * counted in blocks of 16 bytes. */
#include "shared/attest/rpm_reading.h"

#include <string.h>

enum { PAGE = 4096, BLOCK = 16, SLOT = 16, HEAD = 32, PIECE = 4096 };

static bool read_package(struct rpm_reading *reading, uint32_t index, uint64_t at, struct error *err)
{
    uint8_t head[16], piece[PIECE];

    if (!rpm_read_at(reading, at, head, sizeof(head), err))
        return false;
    if (memcmp(head, "BlbS", 4) != 0 || rpm_little32(head + 4) != index)
        return rpm_broken(err, "a package is not where its slot says");
    at += sizeof(head);
    rpm_header_begin(reading);
    for (uint32_t left = rpm_little32(head + 12), n; left > 0 && !rpm_header_enough(reading); left -= n, at += n) {
        n = left < PIECE ? left : PIECE;
        if (!rpm_read_at(reading, at, piece, n, err) || !rpm_header_feed(reading, piece, n, err))
            return false;
    }
    return rpm_header_end(reading, err);
}

static bool read_slots(struct rpm_reading *reading, const uint8_t *slots, size_t len, struct error *err)
{
    for (const uint8_t *slot = slots; slot < slots + len; slot += SLOT) {
        uint32_t index = rpm_little32(slot + 4), block = rpm_little32(slot + 8);

        if (memcmp(slot, "Slot", 4) != 0)
            return rpm_broken(err, "a slot is none");
        if (block && !read_package(reading, index, (uint64_t)block * BLOCK, err))
            return false;
    }
    return true;
}

bool rpm_read_ndb(struct rpm_reading *reading, struct error *err)
{
    uint8_t head[HEAD], page[PAGE];

    if (!rpm_read_at(reading, 0, head, sizeof(head), err))
        return false;
    if (rpm_little32(head + 4) != 0)
        return rpm_broken(err, "its version is not known");
    for (uint32_t i = 0, pages = rpm_little32(head + 12); i < pages; i++) {
        size_t skipped = i == 0 ? HEAD : 0;

        if (!rpm_read_at(reading, (uint64_t)i * PAGE, page, sizeof(page), err) ||
            !read_slots(reading, page + skipped, sizeof(page) - skipped, err))
            return false;
    }
    return true;
}
