#include "runtime/local/journal.h"

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/base/json_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>

enum { LINE_MAX_BYTES = 3 * EVENT_MAX, ENTRY_ARENA_MAX = 8 * EVENT_MAX, RECEIVERS_MAX = 64 };

struct journal {
    int fd;
    int64_t size; /* up to the last whole line */
    pthread_mutex_t lock;
};

void event_key(const struct event *event, char key[static SHA256_HEX_SIZE])
{
    struct sha256 sha;
    uint8_t digest[SHA256_SIZE];
    sha256_init(&sha);
    sha256_update(&sha, event->source, strlen(event->source) + 1); /* the NUL keeps "a"+"bc" and "ab"+"c" apart */
    sha256_update(&sha, event->id, strlen(event->id));
    sha256_final(&sha, digest);
    for (size_t i = 0; i < SHA256_SIZE; i++)
        snprintf(key + 2 * i, 3, "%02x", digest[i]);
}

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
    struct accepted_text text = { .unquoted = BYTES(LINE_MAX_BYTES) };
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
        entry->to[entry->to_count++] = json_string(name);
    return true;
}

static bool read_line(struct arena *arena, struct span line, struct journal_entry *entry, struct error *err)
{
    const struct json *doc = json_parse(arena, line, err);
    if (!doc)
        return false;
    *entry = (struct journal_entry){ .at = json_get_string(doc, "at") };
    if (json_get(doc, "accepted"))
        return read_accepted(arena, line, doc, entry, err);
    const char *dead = json_get_string(doc, "dead");
    const char *key = dead ? dead : json_get_string(doc, "taken");
    if (!key || strlen(key) != SHA256_HEX_SIZE - 1)
        return error_set(err, ERROR_INVALID, "neither an accepted event nor a delivery");
    memcpy(entry->key, key, SHA256_HEX_SIZE);
    entry->dead = dead != NULL;
    entry->by = json_get_string(doc, "by");
    entry->reason = json_get_string(doc, "reason");
    entry->file = json_get_string(doc, "file");
    (void)json_integer(json_get(doc, "status"), &entry->status);
    (void)json_integer(json_get(doc, "attempts"), &entry->attempts);
    (void)json_integer(json_get(doc, "ms"), &entry->duration_ms);
    return entry->by || error_set(err, ERROR_INVALID, "a delivery without a receiver");
}

/* Hands every whole line on; *whole is the offset behind the last one. */
static bool read_lines(FILE *file, const char *path, journal_fn *on_entry, void *context, int64_t *whole,
                       struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ENTRY_ARENA_MAX);
    AUTO(free) char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t length;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    while ((length = getline(&line, &capacity, file)) > 0 && line[length - 1] == '\n') {
        struct journal_entry entry;
        number++;
        arena_reset(arena);
        if (!read_line(arena, (struct span){ line, (size_t)length - 1 }, &entry, err) ||
            !on_entry(context, &entry, err))
            return error_wrap(err, "'%s' line %zu", path, number);
        *whole += length;
    }
    return true;
}

bool journal_read(const char *path, journal_fn *on_entry, void *context, struct error *err)
{
    AUTO(fclose) FILE *file = fopen(path, "re");
    int64_t whole = 0;
    if (!file)
        return errno == ENOENT || error_set_errno(err, errno, "cannot open '%s'", path);
    return read_lines(file, path, on_entry, context, &whole, err);
}

static bool lock_file(int fd, const char *path, struct error *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        return error_set(err, ERROR_CONFLICT, "'%s' is in use: is another chain running in this directory?", path);
    return error_set_errno(err, errno, "cannot lock '%s'", path);
}

struct journal *journal_open(const char *path, journal_fn *on_entry, void *context, struct error *err)
{
    AUTO(close) int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        error_set_errno(err, errno, "cannot open '%s'", path);
        return NULL;
    }
    AUTO(fclose) FILE *file = lock_file(fd, path, err) ? fopen(path, "re") : NULL;
    int64_t whole = 0;
    if (!file || !read_lines(file, path, on_entry, context, &whole, err))
        return NULL;
    struct journal *journal = ftruncate(fd, whole) == 0 ? calloc(1, sizeof *journal) : NULL;
    if (!journal) {
        error_set_errno(err, errno, "cannot prepare '%s'", path);
        return NULL;
    }
    *journal = (struct journal){ .fd = fd, .size = whole, .lock = PTHREAD_MUTEX_INITIALIZER };
    fd = -1;
    return journal;
}

void journal_free(struct journal *journal)
{
    if (!journal)
        return;
    close(journal->fd);
    pthread_mutex_destroy(&journal->lock);
    free(journal);
}

/* A line is there as a whole or not at all: what a full disk cut short is taken back. */
static bool append(struct journal *journal, struct bytes *line, bool durable, struct error *err)
{
    if (!bytes_append_char(line, '\n', err))
        return false;
    pthread_mutex_lock(&journal->lock);
    bool ok = file_write_all(journal->fd, line->data, line->len, err);
    if (ok)
        journal->size += (int64_t)line->len;
    else if (ftruncate(journal->fd, journal->size) != 0)
        error_wrap(err, "the journal could not be restored either");
    pthread_mutex_unlock(&journal->lock);
    /* Outside the lock, so that many senders share one wait of the disk. */
    if (ok && durable && fdatasync(journal->fd) != 0)
        return error_set_errno(err, errno, "cannot sync the journal");
    return ok || error_wrap(err, "journal");
}

static void add_now(struct json_writer *w)
{
    char at[RFC3339_SIZE];
    rfc3339_format(at, clock_wall_ms());
    json_add_string(w, "at", at);
}

bool journal_accept(struct journal *journal, const struct event *event, const char *const *to, size_t to_count,
                    struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(LINE_MAX_BYTES);
    AUTO(bytes_release) struct bytes line = BYTES(LINE_MAX_BYTES);
    if (!event_encode_structured(&text, event, err))
        return false;
    struct json_writer w = json_writer_on(&line);
    json_open_object(&w, NULL);
    add_now(&w);
    /* JSON data may come with line breaks between their tokens, a line of the journal has none: then it is quoted. */
    if (memchr(text.data, '\n', text.len) || memchr(text.data, '\r', text.len))
        json_add_span(&w, "accepted", bytes_span(&text));
    else
        json_add_raw(&w, "accepted", bytes_span(&text));
    json_open_array(&w, "to");
    for (size_t i = 0; i < to_count; i++)
        json_add_string(&w, NULL, to[i]);
    json_close_array(&w);
    json_close_object(&w);
    if (!json_writer_end(&w, err))
        return false;
    return append(journal, &line, true, err);
}

bool journal_taken(struct journal *journal, const char *key, const char *by, int status, unsigned attempts,
                   int64_t duration_ms, struct error *err)
{
    AUTO(bytes_release) struct bytes line = BYTES(LINE_MAX_BYTES);
    struct json_writer w = json_writer_on(&line);
    json_open_object(&w, NULL);
    add_now(&w);
    json_add_string(&w, "taken", key);
    json_add_string(&w, "by", by);
    json_add_integer(&w, "status", status);
    json_add_integer(&w, "attempts", attempts);
    json_add_integer(&w, "ms", duration_ms);
    json_close_object(&w);
    return json_writer_end(&w, err) && append(journal, &line, false, err);
}

bool journal_dead(struct journal *journal, const char *key, const char *by, int status, const char *reason,
                  const char *file, struct error *err)
{
    AUTO(bytes_release) struct bytes line = BYTES(LINE_MAX_BYTES);
    struct json_writer w = json_writer_on(&line);
    json_open_object(&w, NULL);
    add_now(&w);
    json_add_string(&w, "dead", key);
    json_add_string(&w, "by", by);
    json_add_integer(&w, "status", status);
    json_add_string(&w, "reason", reason);
    json_add_string(&w, "file", file);
    json_close_object(&w);
    return json_writer_end(&w, err) && append(journal, &line, true, err);
}

int64_t journal_size(const struct journal *journal)
{
    return journal->size;
}
