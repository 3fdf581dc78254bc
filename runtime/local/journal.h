/* The local chain's memory: one append-only file in which every event stands before its sender is told, and every delivery
 * after its receiver has taken it. Read back at start, what was accepted and not yet taken is carried on; `pushwright history` reads the same file.
 *
 * One JSON object a line, written and fdatasync'ed as a whole; a line that a crash cut short was never acknowledged and is
 * cut off at the next start. Lines:
 *   {"at":"...","accepted":{event},"to":["build",...]}        (the event as a string when its text has line breaks)
 *   {"at":"...","taken":"key","by":"build","status":202,"attempts":1,"ms":12}
 *   {"at":"...","failed":"key","by":"build","status":503,"attempts":1,"reason":"..."}         (it is tried again)
 *   {"at":"...","dead":"key","by":"build","status":400,"attempts":1,"reason":"...","file":"..."}
 *   {"at":"...","known":"key"}                                (what journal_compact leaves of an old event) */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_JOURNAL_H
#define PUSHWRIGHT_RUNTIME_LOCAL_JOURNAL_H

#include "runtime/event.h"
#include "runtime/local/keyset.h"
#include "shared/base/digest.h"

#include <stdint.h>

struct journal; /* safe for several threads */

/* An event's identity: a hash of source and id, hexadecimal. */
void event_key(const struct event *event, char key[static SHA256_HEX_SIZE]);

enum journal_kind { JOURNAL_ACCEPTED, JOURNAL_KNOWN, JOURNAL_TAKEN, JOURNAL_FAILED, JOURNAL_DEAD, JOURNAL_KINDS };

struct journal_entry {
    enum journal_kind kind;
    char key[SHA256_HEX_SIZE];
    const char *at;    /* RFC 3339 */
    struct span event; /* ACCEPTED: structured CloudEvent */
    const char **to;   /* ACCEPTED: its receivers */
    size_t to_count;
    const char *by; /* TAKEN, FAILED, DEAD: the function; else NULL */
    int64_t status, attempts, duration_ms;
    const char *reason, *file; /* FAILED, DEAD */
};

/* Called with each line in order; strings live during the call. False stops with *err. */
typedef bool journal_fn(void *context, const struct journal_entry *entry, struct error *err);

/* Read without writing (history); a missing file is an empty journal. */
bool journal_read(const char *path, journal_fn *on_entry, void *context, struct error *err);

/* Open for appending after handing every line to on_entry; cuts off a torn last line. Holds a lock (the file PATH.lock): a second opener
 * gets ERROR_CONFLICT. */
struct journal *journal_open(const char *path, journal_fn *on_entry, void *context, struct error *err);
void journal_free(struct journal *journal);
AUTO_FREE(struct journal, journal_free)

/* True once the line is on disk; threads that come together share one wait of the disk. On failure (disk full) the line is not
 * there, and nobody else's that was promised is lost. */
bool journal_accept(struct journal *journal, const struct event *event, const char *const *to, size_t to_count,
                    struct error *err);

/* How a delivery went. TAKEN and FAILED are not waited for: a crash before they reach the disk means one more delivery, which receivers
 * bear. Members of *entry that do not belong to its kind are left out. */
bool journal_settle(struct journal *journal, const struct journal_entry *entry, struct error *err);

/* Bytes in the file. */
int64_t journal_size(struct journal *journal);

/* Write the file anew, shorter: its newest `keep` bytes stay as they are, and so does everything about the events in `waiting`. Of older
 * events the key stays for a week, so that a late redelivery is still known; history forgets them. The new file replaces the
 * old one in one step: a crash leaves one or the other. */
bool journal_compact(struct journal *journal, int64_t keep, const struct keyset *waiting, struct error *err);

#endif
