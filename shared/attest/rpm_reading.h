/* What the readers of rpm's three formats share: the bytes of the database, and the headers of packages, which they find in it in pieces. */
#ifndef PUSHWRIGHT_ATTEST_RPM_READING_H
#define PUSHWRIGHT_ATTEST_RPM_READING_H

#include "shared/attest/rpm.h"

enum { RPM_FIELDS = 8, RPM_INDEX_ENTRY = 16 };

struct rpm_field {
    uint64_t from; /* where in the header it begins; 0: it has none */
    size_t want, got;
    bool done;
    char value[PACKAGE_FIELD_MAX + 1];
};

struct rpm_header { /* of one package, as far as it was read */
    uint64_t at;
    uint32_t entries_left;
    bool begun; /* how many entries it has is known */
    uint64_t data_from;
    size_t filled;
    uint8_t entry[RPM_INDEX_ENTRY];
    struct rpm_field fields[RPM_FIELDS];
};

struct rpm_reading {
    const struct rpm_database *database;
    struct packages *packages;
    int64_t
        left; /* bytes that may still be read and looked at: a sound database has none that is needed again and again */
    struct rpm_header header;
};

/* ERROR_INVALID outside of the database, and when more is read than it can hold. */
bool rpm_read_at(struct rpm_reading *reading, uint64_t at, void *out, size_t len, struct error *err);

/* A header: begun, fed in order until it is enough, ended; then its package is in the list. */
void rpm_header_begin(struct rpm_reading *reading);
bool rpm_header_feed(struct rpm_reading *reading, const void *data, size_t len, struct error *err);
bool rpm_header_enough(const struct rpm_reading *reading);
bool rpm_header_end(struct rpm_reading *reading, struct error *err);

/* ERROR_INVALID, "the database is broken: <what>". */
bool rpm_broken(struct error *err, const char *what);

bool rpm_read_sqlite(struct rpm_reading *reading, struct error *err);
bool rpm_read_ndb(struct rpm_reading *reading, struct error *err);
bool rpm_read_bdb(struct rpm_reading *reading, struct error *err);

/* Numbers as they lie, unaligned. */
uint32_t rpm_big16(const uint8_t *at);
uint32_t rpm_big32(const uint8_t *at);
uint32_t rpm_little16(const uint8_t *at);
uint32_t rpm_little32(const uint8_t *at);

#endif
