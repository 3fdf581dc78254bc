/* One line of a watch: {"type": "MODIFIED", "object": {...}}. */
#ifndef PUSHWRIGHT_KUBE_LINE_H
#define PUSHWRIGHT_KUBE_LINE_H

#include "shared/base/json.h"

enum kube_line_kind { KUBE_LINE_ADDED, KUBE_LINE_MODIFIED, KUBE_LINE_DELETED, KUBE_LINE_BOOKMARK, KUBE_LINE_ERROR };

struct kube_line {
    enum kube_line_kind kind;
    const struct json *object;    /* of ERROR: a Status */
    const char *resource_version; /* where the watch goes on; NULL with ERROR */
    int code;                     /* of ERROR; else 0 */
};

/* Trees live in the arena. ERROR_UNAVAILABLE: it is none (a proxy's own words, a line that was cut). */
bool kube_line_read(struct arena *arena, struct span text, struct kube_line *out, struct error *err);

#endif
