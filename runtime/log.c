#include "runtime/log.h"

#include "shared/base/clock.h"
#include "shared/base/encode.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_MAX = 8 * 1024, NAME_MAX_LEN = 16, REST_MAX = 256 };

static const char *const severities[] = { "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL" };
static_assert(sizeof severities / sizeof severities[0] == SEVERITIES, "a name for every severity");

static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    { "logger", offsetof(struct log_fields, logger) },       { "platform", offsetof(struct log_fields, platform) },
    { "trace_id", offsetof(struct log_fields, trace_id) },   { "span_id", offsetof(struct log_fields, span_id) },
    { "ce_id", offsetof(struct log_fields, ce_id) },         { "ce_type", offsetof(struct log_fields, ce_type) },
    { "ce_source", offsetof(struct log_fields, ce_source) }, { "ce_subject", offsetof(struct log_fields, ce_subject) },
    { "chain_id", offsetof(struct log_fields, chain_id) },   { "rule", offsetof(struct log_fields, rule) },
    { "outcome", offsetof(struct log_fields, outcome) },     { "error_type", offsetof(struct log_fields, error_type) },
};
enum { TEXTS = sizeof texts / sizeof texts[0] };
static_assert(MESSAGE_MAX + TEXTS * (LOG_FIELD_MAX + NAME_MAX_LEN) + REST_MAX <= LOG_LINE_MAX, "no line is too long");

/* The room was counted above: nothing is checked while writing. */
struct line {
    char *data;
    size_t len;
};

static void add(struct line *line, const char *text, size_t len)
{
    memcpy(line->data + line->len, text, len);
    line->len += len;
}

static void add_name(struct line *line, const char *name)
{
    add(line, line->len == 1 ? "\"" : ",\"", line->len == 1 ? 1 : 2);
    add(line, name, strlen(name));
    add(line, "\":", 2);
}

static size_t escape_unit(char out[static 8], unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

/* The next character of a text, as JSON writes it. Returns how many bytes of the text it took. */
static size_t escape_next(struct span text, char out[static 8], size_t *len)
{
    unsigned char c = (unsigned char)text.data[0];
    size_t width = 1;
    if (c >= 0x80) {
        for (width = 2; width <= 4 && width <= text.len; width++)
            if (span_is_utf8((struct span){ text.data, width }))
                break;
        if (width > 4 || width > text.len)
            return memcpy(out, "\\ufffd", *len = 6), 1;
        if (c == 0xc2 && (unsigned char)text.data[1] < 0xa0) /* C1 controls move terminals */
            return *len = escape_unit(out, (unsigned char)text.data[1]), 2;
    } else if (c < 0x20 || c == 0x7f) {
        return *len = escape_unit(out, c), 1;
    } else if (c == '"' || c == '\\') {
        out[0] = '\\', out[1] = (char)c;
        return *len = 2, 1;
    }
    memcpy(out, text.data, width);
    *len = width;
    return width;
}

/* Characters at the beginning that are written as they are. */
static size_t plain_run(struct span text)
{
    size_t n = 0;
    while (n < text.len && text.data[n] >= ' ' && text.data[n] < 0x7f && text.data[n] != '"' && text.data[n] != '\\')
        n++;
    return n;
}

static void add_text(struct line *line, struct span text, size_t max)
{
    static const char cut[] = "...";
    const size_t end = line->len + max - 1;
    size_t cut_at = line->len + 1; /* the last place where the mark still fits */
    add(line, "\"", 1);
    while (text.len > 0) {
        char unit[8];
        size_t run = plain_run(text);
        if (run > 0 && line->len + run + sizeof cut - 1 <= end) {
            add(line, text.data, run);
            text.data += run;
            text.len -= run;
            cut_at = line->len;
            continue;
        }
        size_t len, took = escape_next(text, unit, &len);
        if (line->len + len > end) {
            line->len = cut_at;
            add(line, cut, sizeof cut - 1);
            break;
        }
        add(line, unit, len);
        if (line->len + sizeof cut - 1 <= end)
            cut_at = line->len;
        text.data += took;
        text.len -= took;
    }
    add(line, "\"", 1);
}

static void add_numbers(struct line *line, const struct log_fields *fields)
{
    char text[DECIMAL_SIZE];
    if (fields->status > 0) {
        add_name(line, "status");
        add(line, text, decimal_encode(text, (uint64_t)fields->status));
    }
    if (fields->duration_us > 0) {
        add_name(line, "duration_ms");
        add(line, text, decimal_encode(text, (uint64_t)fields->duration_us / 1000));
        decimal_encode(text, 1000 + (uint64_t)fields->duration_us % 1000);
        text[0] = '.';
        add(line, text, 4);
    }
}

size_t log_format(char out[static LOG_LINE_MAX], int64_t wall_ms, enum log_severity severity,
                  const struct log_fields *fields, struct span message)
{
    struct line line = { out, 0 };
    char time[RFC3339_SIZE];
    rfc3339_format(time, wall_ms);
    add(&line, "{", 1);
    add_name(&line, "time");
    add_text(&line, span_of(time), sizeof time + 2);
    add_name(&line, "severity");
    add_text(&line, span_of(severities[severity]), NAME_MAX_LEN);
    add_name(&line, "message");
    add_text(&line, message, MESSAGE_MAX);
    for (size_t i = 0; fields && i < TEXTS; i++) {
        const char *text = *(const char *const *)((const char *)fields + texts[i].offset);
        if (!text)
            continue;
        add_name(&line, texts[i].name);
        add_text(&line, span_of(text), LOG_FIELD_MAX);
    }
    if (fields)
        add_numbers(&line, fields);
    add(&line, "}\n", 2);
    return line.len;
}

static _Atomic int patience_ms = LOG_PATIENCE_MS;

void log_set_patience(int ms)
{
    atomic_store(&patience_ms, ms);
}

/* Standard output is one for the process, and so is this: a line on the stack of each of hundreds of threads that wait would be most of
 * their memory. */
static struct {
    pthread_mutex_t lock;
    char message[MESSAGE_MAX], line[LOG_LINE_MAX];
    bool stalled; /* the last line found no reader within the patience */
    unsigned long long left_out;
    char rest[LOG_LINE_MAX]; /* of a line that was begun, so that none is torn */
    size_t rest_len;
} output = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_writable(int64_t until_ms)
{
    struct pollfd wanted = { .fd = STDOUT_FILENO, .events = POLLOUT };
    int ready;
    do {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        ready = poll(&wanted, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* A pipe that is writable takes PIPE_BUF bytes without blocking, whoever else has it. Returns how many went; that logging
 * failed can be told to nobody, so they went, too. */
static size_t write_within(const char *data, size_t len, int64_t until_ms)
{
    size_t done = 0;
    while (done < len && is_writable(until_ms)) {
        size_t piece = len - done < PIPE_BUF ? len - done : PIPE_BUF;
        ssize_t n = write(STDOUT_FILENO, data + done, piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return len;
        done += n > 0 ? (size_t)n : 0;
    }
    return done;
}

/* The rest of what was begun; true: nothing of it is left. */
static bool write_rest(int64_t until_ms)
{
    size_t done = write_within(output.rest, output.rest_len, until_ms);
    output.rest_len -= done;
    memmove(output.rest, output.rest + done, output.rest_len);
    return output.rest_len == 0;
}

static void tell_left_out(void)
{
    char message[128];
    int n = snprintf(message, sizeof message, "%llu lines were left out here: nobody read standard output",
                     output.left_out);
    output.rest_len =
        log_format(output.rest, clock_wall_ms(), SEVERITY_WARNING, NULL, (struct span){ message, (size_t)n });
    output.left_out = 0;
}

/* With the lock held. */
static void write_line(const char *data, size_t len)
{
    int64_t until_ms = clock_monotonic_ms() + (output.stalled ? 0 : atomic_load(&patience_ms));
    bool goes = write_rest(until_ms);
    if (goes && output.left_out > 0 && is_writable(until_ms)) {
        tell_left_out();
        goes = write_rest(until_ms);
    }
    size_t done = goes && output.left_out == 0 ? write_within(data, len, until_ms) : 0;
    if (done == 0) {
        output.left_out++;
    } else if (done < len) {
        output.rest_len = len - done;
        memcpy(output.rest, data + done, output.rest_len);
    }
    output.stalled = done < len;
}

void log_event(enum log_severity severity, const struct log_fields *fields, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&output.lock);
    int n = vsnprintf(output.message, sizeof output.message, format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof output.message ? (size_t)n : sizeof output.message - 1;
    if (n >= 0)
        write_line(output.line,
                   log_format(output.line, clock_wall_ms(), severity, fields, (struct span){ output.message, len }));
    pthread_mutex_unlock(&output.lock);
    va_end(args);
}
