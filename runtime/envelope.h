/* Platforms that put a request into one of their own, or read an answer's fate off a header: what lies between their HTTP and ours. */
#ifndef PUSHWRIGHT_RUNTIME_ENVELOPE_H
#define PUSHWRIGHT_RUNTIME_ENVELOPE_H

#include "runtime/function.h"

struct envelope {
    /* *out: the request that was meant; it borrows from `in` and the arena. ERROR_INVALID. NULL: requests come as they are. */
    bool (*open)(struct arena *arena, const struct request *in, struct request *out, struct error *err);
    /* The answer to `in`, in the platform's words. */
    void (*close)(const struct request *in, struct reply *reply);
};

/* Fn and Oracle Functions (fnproject/docs fn-format, "http-stream"). What came by an HTTP trigger has its method, URL and headers in Fn-Http-Method,
 * Fn-Http-Request-Url (whose path begins with "/t/APP") and Fn-Http-H-NAME, and the answer's go the same way, in a 200. A plain invocation, such as one
 * that carries an event, failed when it is answered 502. */
extern const struct envelope envelope_fn;

/* Alibaba Function Compute: a failure counts as one when the header x-fc-status says so. */
extern const struct envelope envelope_fc;

#endif
