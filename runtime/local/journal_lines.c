#include "runtime/local/journal_lines.h"

#include "shared/base/clock.h"
#include "shared/base/json.h"
#include "shared/base/json_scan.h"

#include <assert.h>
#include <string.h>

static const char *const kind_names[] = {
    [JOURNAL_ACCEPTED] = "accepted", [JOURNAL_KNOWN] = "known", [JOURNAL_TAKEN] = "taken",
    [JOURNAL_FAILED] = "failed",     [JOURNAL_DEAD] = "dead",
};
static_assert(sizeof kind_names / sizeof kind_names[0] == JOURNAL_KINDS, "a name for every kind");

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct accepted_text {
    struct bytes unquoted;
    struct span raw;
};

/* "accepted" is taken as the exact text: what was signed must come out again byte for byte. */
static bool keep_accepted(void *context, int field, enum json_type type, struct span raw, size_t index,
                          struct error *err)
{
    (void)field;
    (void)index;
    struct accepted_text *text = context;
    text->raw = raw;
    if (type != JSON_STRING)
        return true;
    if (!json_unquote(&text->unquoted, raw, err))
        return false;
    text->raw = bytes_span(&text->unquoted);
    return true;
}

static bool read_accepted(struct arena *arena, struct span line, const struct json *doc, struct journal_entry *entry,
                          struct error *err)
{
    static const struct json_path path[] = { { "accepted", 0 } };
    struct accepted_text text = { .unquoted = BYTES(JOURNAL_LINE_MAX) };
    AUTO(bytes_release) struct bytes owned = BYTES(0);
    bool ok = json_scan(line, path, 1, keep_accepted, &text, err);
    owned = text.unquoted;
    char *copy = ok ? arena_dup(arena, text.raw) : NULL;
    if (!copy)
        return ok ? error_set(err, ERROR_INTERNAL, "out of memory") : false;
    struct event event;
    entry->event = (struct span){ copy, text.raw.len };
    if (!event_decode_structured(arena, entry->event, &event, err))
        return false;
    event_key(&event, entry->key);
    const struct json *to = json_get(doc, "to");
    entry->to = arena_take(arena, (json_count(to) + 1) * sizeof *entry->to);
    if (!entry->to)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (const struct json *name = json_first(to); name; name = json_next(name))
        if (json_string(name))
            entry->to[entry->to_count++] = json_string(name);
    return true;
}

static bool read_delivery(const struct json *doc, struct journal_entry *entry, struct error *err)
{
    entry->by = json_get_string(doc, "by");
    entry->reason = json_get_string(doc, "reason");
    entry->file = json_get_string(doc, "file");
    (void)json_integer(json_get(doc, "status"), &entry->status);
    (void)json_integer(json_get(doc, "attempts"), &entry->attempts);
    (void)json_integer(json_get(doc, "ms"), &entry->duration_ms);
    return entry->by || error_set(err, ERROR_INVALID, "a delivery without a receiver");
}

static bool read_key(const struct json *doc, struct journal_entry *entry, struct error *err)
{
    const char *key = NULL;
    for (int kind = JOURNAL_KNOWN; !key && kind < JOURNAL_KINDS; kind++) {
        entry->kind = (enum journal_kind)kind;
        key = json_get_string(doc, kind_names[kind]);
    }
    if (!key || strlen(key) != SHA256_HEX_SIZE - 1)
        return error_set(err, ERROR_INVALID, "neither an accepted event nor a delivery");
    memcpy(entry->key, key, SHA256_HEX_SIZE);
    return true;
}

bool journal_parse_line(struct arena *arena, struct span line, struct journal_entry *entry, struct error *err)
{
    const struct json *doc = json_parse(arena, line, err);
    if (!doc)
        return false;
    *entry = (struct journal_entry){ .kind = JOURNAL_ACCEPTED, .at = json_get_string(doc, "at") };
    if (!entry->at)
        return error_set(err, ERROR_INVALID, "a line without its time");
    if (json_get(doc, kind_names[JOURNAL_ACCEPTED]))
        return read_accepted(arena, line, doc, entry, err);
    return read_key(doc, entry, err) && (entry->kind == JOURNAL_KNOWN || read_delivery(doc, entry, err));
}

bool journal_read_lines(FILE *file, const char *path, journal_fn *on_entry, void *context, int64_t *whole,
                        struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(JOURNAL_ARENA_MAX);
    AUTO(free) char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t length;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    while ((length = getline(&line, &capacity, file)) > 0 && line[length - 1] == '\n') {
        struct journal_entry entry;
        number++;
        arena_reset(arena);
        if (!journal_parse_line(arena, (struct span){ line, (size_t)length - 1 }, &entry, err))
            return error_wrap(err, "'%s' is damaged in line %zu (moved away, it is begun anew, without what waited)",
                              path, number);
        if (!on_entry(context, &entry, err))
            return error_wrap(err, "'%s' line %zu", path, number);
        *whole += length;
    }
    return !ferror(file) || error_set(err, ERROR_INTERNAL, "cannot read '%s'", path);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void begin_line(struct json_writer *w, const char *at)
{
    char now[RFC3339_SIZE];
    rfc3339_format(now, clock_wall_ms());
    json_open_object(w, NULL);
    json_add_string(w, "at", at ? at : now);
}

static bool end_line(struct json_writer *w, struct bytes *line, struct error *err)
{
    json_close_object(w);
    return json_writer_end(w, err) && bytes_append_char(line, '\n', err);
}

bool journal_write_accepted(struct bytes *line, const struct event *event, const char *const *to, size_t to_count,
                            struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(JOURNAL_LINE_MAX);
    if (!event_encode_structured(&text, event, err))
        return false;
    struct json_writer w = json_writer_on(line);
    begin_line(&w, NULL);
    /* JSON data may come with line breaks between their tokens, a line of the journal has none: then it is quoted. */
    if (memchr(text.data, '\n', text.len) || memchr(text.data, '\r', text.len))
        json_add_span(&w, "accepted", bytes_span(&text));
    else
        json_add_raw(&w, "accepted", bytes_span(&text));
    json_open_array(&w, "to");
    for (size_t i = 0; i < to_count; i++)
        json_add_string(&w, NULL, to[i]);
    json_close_array(&w);
    return end_line(&w, line, err);
}

bool journal_write_entry(struct bytes *line, const struct journal_entry *entry, struct error *err)
{
    struct json_writer w = json_writer_on(line);
    begin_line(&w, entry->at);
    json_add_string(&w, kind_names[entry->kind], entry->key);
    if (entry->kind != JOURNAL_KNOWN) {
        json_add_string(&w, "by", entry->by);
        json_add_integer(&w, "status", entry->status);
        json_add_integer(&w, "attempts", entry->attempts);
    }
    if (entry->kind == JOURNAL_TAKEN)
        json_add_integer(&w, "ms", entry->duration_ms);
    if (entry->kind == JOURNAL_FAILED || entry->kind == JOURNAL_DEAD)
        json_add_string(&w, "reason", entry->reason);
    if (entry->kind == JOURNAL_DEAD)
        json_add_string(&w, "file", entry->file);
    return end_line(&w, line, err);
}
