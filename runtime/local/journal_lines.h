/* Private to the journal: its lines, one by one. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_JOURNAL_LINES_H
#define PUSHWRIGHT_RUNTIME_LOCAL_JOURNAL_LINES_H

#include "runtime/local/journal.h"

enum { JOURNAL_LINE_MAX = 3 * EVENT_MAX, JOURNAL_ARENA_MAX = 8 * EVENT_MAX };

/* A line without its end; strings are made in the arena. */
bool journal_parse_line(struct arena *arena, struct span line, struct journal_entry *entry, struct error *err);

/* Hands every whole line on; *whole is the offset behind the last one. */
bool journal_read_lines(FILE *file, const char *path, journal_fn *on_entry, void *context, int64_t *whole,
                        struct error *err);

/* Append the line, its end included. ACCEPTED is written from an event, the others from their entry. */
bool journal_write_accepted(struct bytes *line, const struct event *event, const char *const *to, size_t to_count,
                            struct error *err);
bool journal_write_entry(struct bytes *line, const struct journal_entry *entry, struct error *err);

#endif
