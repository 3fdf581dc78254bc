/* What the cache remembers of a step: which layer it made. One line of text, the same on disk and at a registry. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_RECORD_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_RECORD_H

#include "shared/base/digest.h"
#include "shared/oci/image.h"

enum { CACHE_RECORD_MAX = 1024, CACHE_KEYS_MAX = 2 /* under which one layer is known */ };

struct cache_record {
    char key[SHA256_HEX_SIZE]; /* of the step, see cache_key.h */
    struct image_layer layer;
    char origin[DIGEST_TEXT_SIZE]; /* what the steps above know it by, whatever its times */
    int64_t time_s;                /* that what was made has in it; 0: times do not matter */
    int64_t until_s;               /* a layer of the same made for another time, up to this one, differs from it in that
                                    * alone; 0: for any */
};

/* "pushwright-step 2 KEY TYPE DIGEST SIZE DIFFID ORIGIN TIME UNTIL", appended to *out. */
bool cache_record_write(const struct cache_record *record, struct bytes *out, struct error *err);

/* Exactly such a line, of a layer that images may have: a media type of a layer's archive, 0 < size, whole digests. */
bool cache_record_parse(struct span line, struct cache_record *out);

/* The same with a checksum behind it, as a file holds it: one that was cut off or changed is none. */
bool cache_record_seal(const struct cache_record *record, struct bytes *out, struct error *err);
bool cache_record_unseal(struct span text, struct cache_record *out);

#endif
