#include "runtime/local/journal.h"

#include "runtime/local/journal_lines.h"
#include "shared/base/clock.h"
#include "shared/base/encode.h"
#include "shared/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>

enum { REWRITE_CHUNK = 256 * 1024 };
static const int64_t remembered_ms = INT64_C(7) * 24 * 3600 * 1000;

/* A thread that waits until its line is on disk. Either it does the waiting for the disk, for all lines written so far, or the thread
 * that does tells it the result. */
struct line_wait {
    uint64_t line; /* number */
    bool over;
    int failed; /* errno */
    struct line_wait *next;
};

struct journal {
    char *path;
    int fd, lock_fd;
    pthread_mutex_t lock;
    pthread_cond_t synced;
    int64_t size, durable_size; /* both up to a whole line */
    uint64_t written;           /* lines */
    struct line_wait *waits;
    bool syncing, broken; /* broken: a half line stands at the end and could not be taken back */
};

void event_key(const struct event *event, char key[static SHA256_HEX_SIZE])
{
    struct sha256 sha;
    uint8_t digest[SHA256_SIZE];
    sha256_init(&sha);
    sha256_update(&sha, event->source, strlen(event->source) + 1); /* the NUL keeps "a"+"bc" and "ab"+"c" apart */
    sha256_update(&sha, event->id, strlen(event->id));
    sha256_final(&sha, digest);
    hex_encode(key, digest, sizeof digest);
}

bool journal_read(const char *path, journal_fn *on_entry, void *context, struct error *err)
{
    AUTO(fclose) FILE *file = fopen(path, "re");
    int64_t whole = 0;
    if (!file)
        return errno == ENOENT || error_set_errno(err, errno, "cannot open '%s'", path);
    return journal_read_lines(file, path, on_entry, context, &whole, err);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* A file of its own: the journal itself may be replaced. */
static int lock_journal(const char *path, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(4096);
    if (!bytes_printf(&name, err, "%s.lock", path))
        return -1;
    int fd = open(bytes_text(&name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        error_set_errno(err, errno, "cannot open '%s'", bytes_text(&name));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (errno == EWOULDBLOCK)
        error_set(err, ERROR_CONFLICT, "'%s' is in use: is another chain running in this directory?", path);
    else
        error_set_errno(err, errno, "cannot lock '%s'", path);
    close(fd);
    return -1;
}

static bool read_and_cut(struct journal *journal, journal_fn *on_entry, void *context, struct error *err)
{
    AUTO(fclose) FILE *file = fopen(journal->path, "re");
    if (!file)
        return error_set_errno(err, errno, "cannot open '%s'", journal->path);
    if (!journal_read_lines(file, journal->path, on_entry, context, &journal->size, err))
        return false;
    journal->durable_size = journal->size;
    return ftruncate(journal->fd, journal->size) == 0 || error_set_errno(err, errno, "cannot cut '%s'", journal->path);
}

struct journal *journal_open(const char *path, journal_fn *on_entry, void *context, struct error *err)
{
    AUTO(journal_free) struct journal *journal = calloc(1, sizeof *journal);
    if (!journal || !(journal->path = strdup(path))) {
        free(TAKE(journal));
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&journal->lock, NULL);
    pthread_cond_init(&journal->synced, NULL);
    journal->fd = -1;
    journal->lock_fd = lock_journal(path, err);
    if (journal->lock_fd < 0)
        return NULL;
    journal->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal->fd < 0) {
        error_set_errno(err, errno, "cannot open '%s'", path);
        return NULL;
    }
    return read_and_cut(journal, on_entry, context, err) ? TAKE(journal) : NULL;
}

void journal_free(struct journal *journal)
{
    if (!journal)
        return;
    if (journal->fd >= 0)
        close(journal->fd);
    if (journal->lock_fd >= 0)
        close(journal->lock_fd);
    pthread_cond_destroy(&journal->synced);
    pthread_mutex_destroy(&journal->lock);
    free(journal->path);
    free(journal);
}

/* --- appending ---------------------------------------------------------------------------------------------------- */

/* A line is there as a whole or not at all: what a full disk cut short is taken back. */
static bool write_line(struct journal *journal, struct span line, struct error *err)
{
    if (journal->broken)
        return error_set(err, ERROR_INTERNAL, "a line that was cut short could not be taken back: restart the chain");
    if (file_write_all(journal->fd, line.data, line.len, err)) {
        journal->size += (int64_t)line.len;
        journal->written++;
        return true;
    }
    journal->broken = ftruncate(journal->fd, journal->size) != 0;
    return false;
}

/* Tell those whose lines are meant. */
static void end_waits(struct journal *journal, uint64_t up_to, int failed)
{
    for (struct line_wait **at = &journal->waits; *at;) {
        struct line_wait *wait = *at;
        if (wait->line > up_to) {
            at = &wait->next;
            continue;
        }
        *at = wait->next;
        wait->over = true;
        wait->failed = failed;
    }
    pthread_cond_broadcast(&journal->synced);
}

/* With the lock, which is given away while the disk works. When it fails, what was written since the last time is taken back:
 * nobody was promised it. */
static void sync_now(struct journal *journal)
{
    uint64_t written = journal->written;
    int64_t size = journal->size;
    journal->syncing = true;
    pthread_mutex_unlock(&journal->lock);
    int failed = fdatasync(journal->fd) == 0 ? 0 : errno;
    pthread_mutex_lock(&journal->lock);
    journal->syncing = false;
    if (failed) {
        journal->broken = ftruncate(journal->fd, journal->durable_size) != 0;
        journal->size = journal->durable_size;
    } else
        journal->durable_size = size;
    end_waits(journal, failed ? UINT64_MAX : written, failed);
}

/* `wait` is in the list of waits until it is over, and never longer. */
static bool wait_for_disk(struct journal *journal, struct line_wait *wait, struct error *err)
{
    *wait = (struct line_wait){ .line = journal->written, .next = journal->waits };
    journal->waits = wait;
    while (!wait->over)
        if (journal->syncing)
            pthread_cond_wait(&journal->synced, &journal->lock);
        else
            sync_now(journal);
    return !wait->failed || error_set_errno(err, wait->failed, "cannot sync");
}

static bool append(struct journal *journal, struct span line, bool durable, struct error *err)
{
    struct line_wait wait;
    pthread_mutex_lock(&journal->lock);
    bool ok = write_line(journal, line, err) && (!durable || wait_for_disk(journal, &wait, err));
    pthread_mutex_unlock(&journal->lock);
    return ok || error_wrap(err, "journal '%s'", journal->path);
}

bool journal_accept(struct journal *journal, const struct event *event, const char *const *to, size_t to_count,
                    struct error *err)
{
    AUTO(bytes_release) struct bytes line = BYTES(JOURNAL_LINE_MAX);
    return journal_write_accepted(&line, event, to, to_count, err) && append(journal, bytes_span(&line), true, err);
}

bool journal_settle(struct journal *journal, const struct journal_entry *entry, struct error *err)
{
    AUTO(bytes_release) struct bytes line = BYTES(JOURNAL_LINE_MAX);
    return journal_write_entry(&line, entry, err) &&
           append(journal, bytes_span(&line), entry->kind == JOURNAL_DEAD, err);
}

int64_t journal_size(struct journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    int64_t size = journal->size;
    pthread_mutex_unlock(&journal->lock);
    return size;
}

/* --- compacting --------------------------------------------------------------------------------------------------- */

struct rewriting {
    const struct keyset *waiting;
    struct arena *arena;
    struct bytes out;
    int fd;
    int64_t size;
    int64_t forget_before_ms;
};

static void release_rewriting(struct rewriting *r)
{
    arena_free(r->arena);
    bytes_release(&r->out);
    if (r->fd >= 0)
        close(r->fd);
}
AUTO_RELEASE(struct rewriting, release_rewriting)

static bool flush_rewriting(struct rewriting *r, struct error *err)
{
    if (!file_write_all(r->fd, r->out.data, r->out.len, err))
        return false;
    r->size += (int64_t)r->out.len;
    bytes_clear(&r->out);
    return true;
}

/* An old line: as it is while its event waits, else only the event's key, for a while. */
static bool shorten(struct rewriting *r, struct span line, struct error *err)
{
    struct journal_entry entry;
    int64_t at = 0;
    arena_reset(r->arena);
    if (!journal_parse_line(r->arena, (struct span){ line.data, line.len - 1 }, &entry, err))
        return false;
    if (keyset_has(r->waiting, entry.key))
        return bytes_append_span(&r->out, line, err);
    if (entry.by || !rfc3339_parse(span_of(entry.at), &at) || at < r->forget_before_ms)
        return true;
    entry.kind = JOURNAL_KNOWN;
    return journal_write_entry(&r->out, &entry, err);
}

static bool rewrite(struct journal *journal, struct rewriting *r, int64_t keep, struct error *err)
{
    AUTO(fclose) FILE *file = fopen(journal->path, "re");
    if (!file)
        return error_set_errno(err, errno, "cannot open");
    AUTO(free) char *line = NULL;
    size_t capacity = 0;
    for (int64_t at = 0; at < journal->size;) {
        ssize_t length = getline(&line, &capacity, file);
        if (length <= 0)
            return error_set(err, ERROR_INTERNAL, "it is shorter than it was");
        struct span text = { line, (size_t)length };
        bool is_old = at < journal->size - keep;
        if (!(is_old ? shorten(r, text, err) : bytes_append_span(&r->out, text, err)) ||
            (r->out.len > REWRITE_CHUNK && !flush_rewriting(r, err)))
            return false;
        at += length;
    }
    return flush_rewriting(r, err) && (fsync(r->fd) == 0 || error_set_errno(err, errno, "cannot sync"));
}

static void sync_directory_of(const char *path)
{
    AUTO(free) char *directory = strdup(path);
    char *slash = directory ? strrchr(directory, '/') : NULL;
    if (!slash)
        return;
    *slash = '\0';
    AUTO(close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd); /* until it is there, a crash brings the old file back: longer, and as good */
}

static bool replace(struct journal *journal, int64_t keep, const struct keyset *waiting, const char *path,
                    struct error *err)
{
    AUTO(release_rewriting)
    struct rewriting r = {
        .waiting = waiting,
        .arena = arena_new(JOURNAL_ARENA_MAX),
        .out = BYTES(REWRITE_CHUNK + 2 * JOURNAL_LINE_MAX),
        .fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600),
        .forget_before_ms = clock_wall_ms() - remembered_ms,
    };
    if (r.fd < 0)
        return error_set_errno(err, errno, "cannot open '%s'", path);
    if (!r.arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!rewrite(journal, &r, keep, err))
        return false;
    if (rename(path, journal->path) != 0)
        return error_set_errno(err, errno, "cannot rename '%s'", path);
    sync_directory_of(journal->path);
    close(journal->fd);
    journal->fd = r.fd;
    r.fd = -1;
    journal->size = journal->durable_size = r.size;
    end_waits(journal, UINT64_MAX, 0);
    return true;
}

bool journal_compact(struct journal *journal, int64_t keep, const struct keyset *waiting, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(4096);
    if (!bytes_printf(&path, err, "%s.new", journal->path))
        return false;
    pthread_mutex_lock(&journal->lock);
    while (journal->syncing)
        pthread_cond_wait(&journal->synced, &journal->lock);
    bool ok = replace(journal, keep, waiting, bytes_text(&path), err);
    if (!ok)
        unlink(bytes_text(&path));
    pthread_mutex_unlock(&journal->lock);
    return ok || error_wrap(err, "shorten journal '%s'", journal->path);
}
