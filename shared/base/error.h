/* Errors: owned by the caller, told once, by kind for the machine and by text for people.
 *
 * `struct error err = {0};` lives on the caller's stack and is passed as the last parameter. A function that fails
 * fills it and returns false or NULL; on success it leaves it alone. The kind decides (HTTP status, retry or not); the
 * text reads "outer: inner", lower case, no full stop, the subject in quotes, and never holds a secret.
 * Mistakes in our own code are assert(), not errors. */
#ifndef PUSHWRIGHT_BASE_ERROR_H
#define PUSHWRIGHT_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>

enum error_kind {
    ERROR_NONE = 0,
    ERROR_INVALID,     /* the input is wrong and stays wrong: 400, never retried                    */
    ERROR_DENIED,      /* a signature, token or permission is missing or wrong: 403                 */
    ERROR_NOT_FOUND,   /* what was named does not exist at its source                               */
    ERROR_TOO_LARGE,   /* a ceiling was exceeded: 413                                               */
    ERROR_UNSUPPORTED, /* a media type or feature that is not understood: 415                       */
    ERROR_CONFLICT,    /* in progress elsewhere, or configuration is still on its way: 409, retried */
    ERROR_BUSY,        /* overload, here or at the peer: 429, retried                               */
    ERROR_UNAVAILABLE, /* a peer is down or answered nonsense; it was not done: 503, retried        */
    ERROR_UNCERTAIN,   /* the request may have arrived, the answer did not: 503, retried            */
    ERROR_INTERNAL,    /* our own fault or this machine's (memory, disk): 500, retried              */
    ERROR_KINDS
};

struct error {
    enum error_kind kind;
    unsigned retry_after_s; /* what the peer asked for; 0: nothing */
    char message[1000];
};

/* Fill *err and return false, so that a caller can `return error_set(...)`. */
__attribute__((format(printf, 3, 4))) bool error_set(struct error *err, enum error_kind kind, const char *format, ...);

/* The same for a failed system call; the text ends in ": " and the system's sentence for errnum. */
__attribute__((format(printf, 3, 4))) bool error_set_errno(struct error *err, int errnum, const char *format, ...);

/* Put "what I was doing: " before the text of an error that is passed on. Returns false. The innermost tail is cut when
 * the whole does not fit. */
__attribute__((format(printf, 2, 3))) bool error_wrap(struct error *err, const char *format, ...);

/* "invalid", "denied", ...: a stable word for logs and metrics. */
const char *error_kind_name(enum error_kind kind);

/* Would the same request have a chance later? */
bool error_is_temporary(const struct error *err);

#endif
