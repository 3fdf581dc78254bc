/* The local chain's memory: one append-only file in which every event stands before its sender is told, and every delivery
 * after its receiver has taken it. Read back at start, what was accepted and not yet taken is carried on; `pushwright history` reads the same file.
 *
 * One JSON object a line, written and fdatasync'ed as a whole; a line that a crash cut short was never acknowledged and is
 * cut off at the next start. Lines:
 *   {"at":"...","accepted":{event},"to":["build",...]}        (the event as a string when its text has line breaks)
 *   {"at":"...","taken":"key","by":"build","status":202,"attempts":1,"ms":12}
 *   {"at":"...","dead":"key","by":"build","status":400,"reason":"...","file":"..."} */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_JOURNAL_H
#define PUSHWRIGHT_RUNTIME_LOCAL_JOURNAL_H

#include "runtime/event.h"
#include "shared/base/digest.h"

#include <stdint.h>

struct journal; /* safe for several threads */

/* An event's identity: a hash of source and id, hexadecimal. */
void event_key(const struct event *event, char key[static SHA256_HEX_SIZE]);

struct journal_entry {
    char key[SHA256_HEX_SIZE];
    const char *at;      /* RFC 3339 */
    struct span event;   /* structured CloudEvent; absent in lines about deliveries */
    const char *by;      /* the function; NULL in "accepted" lines */
    const char **to;     /* receivers of an accepted event */
    size_t to_count;
    bool dead;
    int64_t status, attempts, duration_ms;
    const char *reason, *file;
};

/* Called with each line in order; strings live during the call. False stops with *err. */
typedef bool journal_fn(void *context, const struct journal_entry *entry, struct error *err);

/* Read without writing (history); a missing file is an empty journal. */
bool journal_read(const char *path, journal_fn *on_entry, void *context, struct error *err);

/* Open for appending after handing every line to on_entry; cuts off a torn last line. Holds a lock: a second opener gets ERROR_CONFLICT. */
struct journal *journal_open(const char *path, journal_fn *on_entry, void *context, struct error *err);
void journal_free(struct journal *journal);
AUTO_FREE(struct journal, journal_free)

/* True once the line is on disk. On failure (disk full) the file is as before. */
bool journal_accept(struct journal *journal, const struct event *event, const char *const *to, size_t to_count, struct error *err);
/* Not waited for: a crash before it reaches the disk means one more delivery, which receivers bear. */
bool journal_taken(struct journal *journal, const char *key, const char *by, int status, unsigned attempts, int64_t duration_ms, struct error *err);
bool journal_dead(struct journal *journal, const char *key, const char *by, int status, const char *reason, const char *file, struct error *err);

/* Bytes in the file. */
int64_t journal_size(const struct journal *journal);

#endif
