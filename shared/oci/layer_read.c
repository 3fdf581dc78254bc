#include "shared/oci/layer_read.h"

#include "shared/base/conveyor.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/oci/compress.h"

#include <string.h>

/* Under way between two stages. What comes behind the inflating waits for disks. */
enum { STORED_BOUND = 256 * 1024, PLAIN_BOUND = 1024 * 1024 };

struct using
{
    http_body_fn *on_plain;
    void *context;
    struct sha256 sha;
};

static bool use(void *context, const void *data, size_t len, struct error *err)
{
    struct using *using = context;
    sha256_update(&using->sha, data, len);
    return using->on_plain(using->context, data, len, err);
}

static bool inflate_stored(void *inflater, const void *data, size_t len, struct error *err)
{
    return inflater_feed(inflater, data, len, err);
}

/* Each stage is ended before the next one, with what it has received: of several that fail it is always the same that is told. */
static bool run_stages(struct store *store, const struct descriptor *blob, struct inflater *inflater,
                       struct conveyor *plain, struct error *err)
{
    struct error failed = { .kind = ERROR_NONE };
    AUTO(conveyor_free) struct conveyor *stored = conveyor_new(STORED_BOUND, inflate_stored, inflater, err);
    if (!stored)
        return false;
    bool fetched = store_get_blob(store, blob, conveyor_put, stored, &failed);
    bool inflated = conveyor_end(stored, err) && (!fetched || inflater_end(inflater, err));
    if (inflated && !fetched)
        *err = failed;
    return conveyor_end(plain, err) && fetched && inflated;
}

static bool check_plain(struct using *using, const char *diff_id, struct error *err)
{
    uint8_t sum[SHA256_SIZE];
    char text[DIGEST_TEXT_SIZE] = "sha256:";
    sha256_final(&using->sha, sum);
    hex_encode(text + strlen(text), sum, sizeof sum);
    return strcmp(text, diff_id) == 0 ||
           error_set(err, ERROR_INVALID, "its content is %s, the image says %s", text, diff_id);
}

bool layer_read(struct store *store, const struct image_layer *layer, int64_t max, http_body_fn *on_plain,
                void *context, struct error *err)
{
    struct using using = { .on_plain = on_plain, .context = context };
    sha256_init(&using.sha);
    AUTO(conveyor_free) struct conveyor *plain = conveyor_new(PLAIN_BOUND, use, &using, err);
    if (!plain)
        return false;
    AUTO(inflater_free) struct inflater *inflater = inflater_new(conveyor_put, plain, max, err);
    return inflater && run_stages(store, &layer->blob, inflater, plain, err) &&
           check_plain(&using, layer->diff_id, err);
}
