/* What the API server says when it refuses: objects of kind Status (meta/v1). */
#ifndef PUSHWRIGHT_KUBE_STATUS_H
#define PUSHWRIGHT_KUBE_STATUS_H

#include "shared/kube/kube.h"

/* From an answer's code and body, which need not be a Status; retry_after_s is the header's. Fills both: *refusal for the machine, *err
 * ("403 Forbidden: ... (what to do)") for people. Returns false. */
bool kube_status_error(int code, struct span body, unsigned retry_after_s, struct kube_refusal *refusal,
                       struct error *err);

/* The same of a Status that came as a tree, in a watch. */
bool kube_status_tree_error(int code, const struct json *status, unsigned retry_after_s, struct kube_refusal *refusal,
                            struct error *err);

/* Foreign words in one line, without control characters, as far as there is room: they go into logs and events. */
void kube_copy_line(char *out, size_t size, struct span text);

#endif
