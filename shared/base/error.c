#include "shared/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    bool temporary;
} kinds[] = {
    [ERROR_NONE] = { "none", false },
    [ERROR_INVALID] = { "invalid", false },
    [ERROR_DENIED] = { "denied", false },
    [ERROR_NOT_FOUND] = { "not-found", false },
    [ERROR_TOO_LARGE] = { "too-large", false },
    [ERROR_UNSUPPORTED] = { "unsupported", false },
    [ERROR_CONFLICT] = { "conflict", true },
    [ERROR_BUSY] = { "busy", true },
    [ERROR_UNAVAILABLE] = { "unavailable", true },
    [ERROR_UNCERTAIN] = { "uncertain", true },
    [ERROR_INTERNAL] = { "internal", true },
};
static_assert(sizeof kinds / sizeof kinds[0] == ERROR_KINDS, "a row for every kind");

bool error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    err->kind = kind;
    err->retry_after_s = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return false;
}

/* ": text" behind the `written` characters of the message, as much as fits. */
static void append(struct error *err, int written, const char *text)
{
    size_t at = written < 0 ? 0 : (size_t)written;
    const char *const parts[] = { ": ", text };
    for (size_t i = 0; i < 2 && at < sizeof err->message - 1; i++) {
        size_t len = strnlen(parts[i], sizeof err->message - 1 - at);
        memcpy(err->message + at, parts[i], len);
        at += len;
        err->message[at] = '\0';
    }
}

/* What the machine says decides who tries again: a missing file stays missing, a full disk may be emptied. */
static enum error_kind kind_of_errno(int errnum)
{
    static const struct {
        int errnum;
        enum error_kind kind;
    } rows[] = {
        { ENOENT, ERROR_NOT_FOUND },
        { ENOTDIR, ERROR_NOT_FOUND },
        { EACCES, ERROR_DENIED },
        { EPERM, ERROR_DENIED },
        { ECONNREFUSED, ERROR_UNAVAILABLE },
        { ECONNRESET, ERROR_UNAVAILABLE },
        { ETIMEDOUT, ERROR_UNAVAILABLE },
        { EHOSTUNREACH, ERROR_UNAVAILABLE },
        { ENETUNREACH, ERROR_UNAVAILABLE },
        { ENAMETOOLONG, ERROR_INVALID },
        { ELOOP, ERROR_INVALID },
        { EFBIG, ERROR_TOO_LARGE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].errnum == errnum)
            return rows[i].kind;
    return ERROR_INTERNAL;
}

bool error_set_errno(struct error *err, int errnum, const char *format, ...)
{
    err->kind = kind_of_errno(errnum);
    err->retry_after_s = 0;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    append(err, n, strerror(errnum));
    return false;
}

bool error_wrap(struct error *err, const char *format, ...)
{
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    append(err, n, inner);
    return false;
}

const char *error_kind_name(enum error_kind kind)
{
    assert(kind < ERROR_KINDS);
    return kinds[kind].name;
}

bool error_is_temporary(const struct error *err)
{
    return kinds[err->kind].temporary;
}
