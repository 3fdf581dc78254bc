#include "shared/base/json.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/encode.h"
#include "shared/base/json_text.h"

enum { FIRST_ROOM = 1000 };

struct json_writer json_writer_on(struct bytes *out)
{
    return (struct json_writer){ .out = out };
}

static void put(struct json_writer *w, struct span text)
{
    if (!w->err.kind)
        bytes_append_span(w->out, text, &w->err);
}

/* The longest front of `rest` that may stand in a string as it is. */
static size_t plain_length(struct span rest)
{
    size_t len = 0;
    for (;;) {
        len += json_plain_run(rest.data + len, rest.len - len);
        if (len == rest.len)
            break;
        size_t n = (unsigned char)rest.data[len] < 0x80
                       ? 0
                       : span_utf8_sequence((struct span){ rest.data + len, rest.len - len });
        if (n == 0)
            break;
        len += n;
    }
    return len;
}

/* One byte that may not stand there. */
static void put_escaped(struct json_writer *w, unsigned char c)
{
    static const char letters[] = "\"\\bfnrt", meanings[] = "\"\\\b\f\n\r\t";
    const char *known = c == '\0' ? NULL : strchr(meanings, c);
    char text[8] = "\\";
    if (known)
        text[1] = letters[known - meanings];
    else if (c < 0x20)
        snprintf(text, sizeof text, "\\u%04x", c);
    else
        snprintf(text, sizeof text, "\xef\xbf\xbd"); /* U+FFFD */
    put(w, span_of(text));
}

/* A string that needs no escapes, and what stands around it, in one piece. */
static bool put_plain_string(struct json_writer *w, bool comma, struct span text, bool colon)
{
    struct bytes *out = w->out;
    if (w->err.kind || json_plain_run(text.data, text.len) < text.len || text.len + 4 > out->max - out->len ||
        !bytes_reserve(out, text.len + 4, &w->err))
        return false;
    char *at = out->data + out->len;
    if (comma)
        *at++ = ',';
    *at++ = '"';
    if (text.len > 0)
        memcpy(at, text.data, text.len);
    at += text.len;
    *at++ = '"';
    if (colon)
        *at++ = ':';
    *at = '\0';
    out->len = (size_t)(at - out->data);
    return true;
}

static void put_string(struct json_writer *w, struct span text)
{
    if (put_plain_string(w, false, text, false))
        return;
    put(w, SPAN("\""));
    while (text.len > 0 && !w->err.kind) {
        size_t plain = plain_length(text);
        put(w, (struct span){ text.data, plain });
        if (plain < text.len)
            put_escaped(w, (unsigned char)text.data[plain++]);
        text = (struct span){ text.data + plain, text.len - plain };
    }
    put(w, SPAN("\""));
}

/* What stands before every value. */
static void begin(struct json_writer *w, const char *key)
{
    if (w->out->capacity == 0 && !w->err.kind) /* documents are larger than a buffer begins */
        bytes_reserve(w->out, w->out->max < FIRST_ROOM ? w->out->max : FIRST_ROOM, &w->err);
    if (key && put_plain_string(w, w->comma, span_of(key), true)) {
        w->comma = true;
        return;
    }
    if (w->comma)
        put(w, SPAN(","));
    w->comma = true;
    if (!key)
        return;
    put_string(w, span_of(key));
    put(w, SPAN(":"));
}

static void open_with(struct json_writer *w, const char *key, struct span bracket)
{
    begin(w, key);
    put(w, bracket);
    w->comma = false;
}

static void close_with(struct json_writer *w, struct span bracket)
{
    put(w, bracket);
    w->comma = true;
}

void json_open_object(struct json_writer *w, const char *key)
{
    open_with(w, key, SPAN("{"));
}

void json_close_object(struct json_writer *w)
{
    close_with(w, SPAN("}"));
}

void json_open_array(struct json_writer *w, const char *key)
{
    open_with(w, key, SPAN("["));
}

void json_close_array(struct json_writer *w)
{
    close_with(w, SPAN("]"));
}

void json_add_string(struct json_writer *w, const char *key, const char *text)
{
    if (text)
        json_add_span(w, key, span_of(text));
}

void json_add_span(struct json_writer *w, const char *key, struct span text)
{
    begin(w, key);
    put_string(w, text);
}

void json_add_integer(struct json_writer *w, const char *key, int64_t number)
{
    char text[1 + DECIMAL_SIZE] = "-";
    size_t digits = decimal_encode(text + 1, number < 0 ? -(uint64_t)number : (uint64_t)number);
    json_add_raw(w, key, number < 0 ? (struct span){ text, 1 + digits } : (struct span){ text + 1, digits });
}

void json_add_boolean(struct json_writer *w, const char *key, bool value)
{
    json_add_raw(w, key, value ? SPAN("true") : SPAN("false"));
}

void json_add_raw(struct json_writer *w, const char *key, struct span json)
{
    if (!json.data)
        return;
    begin(w, key);
    put(w, json);
}

bool json_writer_end(struct json_writer *w, struct error *err)
{
    if (w->err.kind)
        *err = w->err;
    return !w->err.kind;
}
