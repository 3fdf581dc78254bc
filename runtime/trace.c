#include "runtime/trace.h"

#include "shared/base/encode.h"
#include "shared/base/random.h"

#include <string.h>

/* 00-<32 trace id>-<16 span id>-<2 flags> */
enum { TRACE_AT = 3, TRACE_LEN = 32, SPAN_AT = 36, SPAN_LEN = 16, FLAGS_AT = 53, FLAGS_LEN = 2, LENGTH = 55 };

static bool is_lower_hex(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

static bool is_zero(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '0')
            return false;
    return true;
}

bool traceparent_is_valid(struct span text)
{
    if (text.len < LENGTH)
        return false;
    const char *p = text.data;
    bool later = strncmp(p, "00", 2) != 0;
    if (!is_lower_hex(p, 2) || strncmp(p, "ff", 2) == 0 || p[2] != '-' || p[SPAN_AT - 1] != '-' ||
        p[FLAGS_AT - 1] != '-')
        return false;
    if (later ? text.len > LENGTH && p[LENGTH] != '-' : text.len != LENGTH)
        return false;
    return is_lower_hex(p + TRACE_AT, TRACE_LEN) && !is_zero(p + TRACE_AT, TRACE_LEN) &&
           is_lower_hex(p + SPAN_AT, SPAN_LEN) && !is_zero(p + SPAN_AT, SPAN_LEN) &&
           is_lower_hex(p + FLAGS_AT, FLAGS_LEN);
}

/* Several ids are needed for each event: the system is asked for many at once. */
static void take_random(uint8_t *out, size_t len)
{
    static _Thread_local uint8_t pool[512];
    static _Thread_local size_t left;
    if (left < len) {
        random_bytes(pool, sizeof pool);
        left = sizeof pool;
    }
    memcpy(out, pool + sizeof pool - left, len);
    left -= len;
}

static void random_id(char *out, size_t bytes)
{
    uint8_t id[16];
    do {
        take_random(id, bytes);
        hex_encode(out, id, bytes);
    } while (is_zero(out, 2 * bytes));
}

void traceparent_child(char out[static TRACEPARENT_SIZE], struct span parent)
{
    memcpy(out, "00-", 3);
    if (traceparent_is_valid(parent)) {
        memcpy(out + TRACE_AT, parent.data + TRACE_AT, TRACE_LEN);
        memcpy(out + FLAGS_AT, parent.data + FLAGS_AT, FLAGS_LEN);
    } else {
        random_id(out + TRACE_AT, TRACE_LEN / 2);
        memcpy(out + FLAGS_AT, "01", FLAGS_LEN);
    }
    char span[SPAN_LEN + 1];
    random_id(span, SPAN_LEN / 2);
    memcpy(out + SPAN_AT, span, SPAN_LEN);
    out[SPAN_AT - 1] = out[FLAGS_AT - 1] = '-';
    out[LENGTH] = '\0';
}
