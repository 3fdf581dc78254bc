/* Any bytes as an archive: read whole and in odd pieces with the same result, and what was read can be written and read again. */
#include "shared/oci/tar.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LOG_MAX = 8 * 1024 * 1024 };

struct log {
    struct bytes text;
    int64_t promised, received;
    bool rewrite; /* check each entry by writing it */
};

static bool describe(struct bytes *out, const struct tar_entry *e, struct error *err)
{
    return bytes_printf(out, err, "%d %s>%s %o %u:%u %u,%u %lld %lld ", e->type, e->path, e->link, e->mode, e->uid,
                        e->gid, e->device_major, e->device_minor, (long long)e->size, (long long)e->mtime_s) &&
           bytes_append_span(out, e->capability, err);
}

static bool on_entry(void *context, const struct tar_entry *e, struct error *err);

static bool ignore_content(void *context, const void *data, size_t len, struct error *err)
{
    (void)context, (void)data, (void)len, (void)err;
    return true;
}

static void check_rewrite(const struct tar_entry *e)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes archive = BYTES(LOG_MAX);
    AUTO(bytes_release) struct bytes want = BYTES(LOG_MAX);
    struct log again = { .text = BYTES(LOG_MAX) };
    const struct tar_events events = { on_entry, ignore_content, NULL, &again };
    if (!tar_write_header(&archive, e, &err))
        return; /* device numbers beyond ustar */
    AUTO(tar_reader_free) struct tar_reader *reader = tar_reader_new(&events, &err);
    assert(tar_reader_feed(reader, archive.data, archive.len, &err));
    assert(describe(&want, e, &err));
    assert(span_equal(bytes_span(&want), bytes_span(&again.text)));
    bytes_release(&again.text);
}

static bool on_entry(void *context, const struct tar_entry *e, struct error *err)
{
    struct log *log = context;
    log->promised += e->size;
    if (log->rewrite)
        check_rewrite(e);
    return describe(&log->text, e, err);
}

static bool on_content(void *context, const void *data, size_t len, struct error *err)
{
    (void)data, (void)err;
    ((struct log *)context)->received += (int64_t)len;
    return true;
}

static bool on_end(void *context, struct error *err)
{
    (void)err;
    const struct log *log = context;
    assert(log->promised == log->received);
    return true;
}

static bool read_in(struct log *log, const uint8_t *data, size_t size, size_t step, struct error *err)
{
    const struct tar_events events = { on_entry, on_content, on_end, log };
    AUTO(tar_reader_free) struct tar_reader *reader = tar_reader_new(&events, err);
    for (size_t at = 0; at < size; at += step)
        if (!tar_reader_feed(reader, data + at, size - at < step ? size - at : step, err))
            return false;
    return tar_reader_end(reader, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log whole = { .text = BYTES(LOG_MAX), .rewrite = true }, pieces = { .text = BYTES(LOG_MAX) };
    struct error first = { 0 }, second = { 0 };
    bool a = read_in(&whole, data, size, size > 0 ? size : 1, &first);
    bool b = read_in(&pieces, data, size, 97, &second);
    assert(a == b && first.kind == second.kind && strcmp(first.message, second.message) == 0);
    assert(span_equal(bytes_span(&whole.text), bytes_span(&pieces.text)));
    bytes_release(&whole.text);
    bytes_release(&pieces.text);
    return 0;
}
