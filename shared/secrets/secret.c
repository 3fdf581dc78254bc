#include "shared/secrets/secret.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "shared/base/file.h"

struct secret {
    size_t len;
    char bytes[]; /* terminated */
};

struct secret *secret_new(struct span bytes, struct error *err)
{
    if (bytes.len == 0) {
        error_set(err, ERROR_INVALID, "empty secret: it would protect nothing");
        return NULL;
    }
    if (bytes.len > SECRET_MAX) {
        error_set(err, ERROR_TOO_LARGE, "secret of more than %d bytes", SECRET_MAX);
        return NULL;
    }
    struct secret *secret = malloc(sizeof *secret + bytes.len + 1);
    if (!secret) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    secret->len = bytes.len;
    memcpy(secret->bytes, bytes.data, bytes.len);
    secret->bytes[bytes.len] = '\0';
    return secret;
}

/* Editors and `echo` end a file with a newline that nobody means to be part of a secret. */
static struct span without_newline(struct span s)
{
    if (span_ends(s, "\r\n"))
        s.len -= 2;
    else if (span_ends(s, "\n"))
        s.len--;
    return s;
}

struct secret *secret_from_file(const char *path, struct error *err)
{
    AUTO(bytes_release) struct bytes content = BYTES(SECRET_MAX + 2);
    struct secret *secret = NULL;
    /* A buffer that grows would leave copies of the secret in freed memory: file_read() takes the room of a file at once,
     * and of anything else so much in one step that a secret fits. */
    if (file_read(&content, path, err))
        secret = secret_new(without_newline(bytes_span(&content)), err);
    if (content.data)
        explicit_bzero(content.data, content.capacity);
    if (!secret)
        error_wrap(err, "secret file '%s'", path);
    return secret;
}

struct secret *secret_from_environment(const char *variable, struct error *err)
{
    const char *value = getenv(variable);
    if (!value) {
        error_set(err, ERROR_NOT_FOUND, "secret variable '%s' is not set", variable);
        return NULL;
    }
    struct secret *secret = secret_new(without_newline(span_of(value)), err);
    if (!secret)
        error_wrap(err, "secret variable '%s'", variable);
    return secret;
}

void secret_free(struct secret *secret)
{
    if (!secret)
        return;
    explicit_bzero(secret, sizeof *secret + secret->len + 1);
    free(secret);
}

struct span secret_reveal(const struct secret *secret)
{
    return (struct span){ secret->bytes, secret->len };
}

bool secret_equal(const struct secret *secret, struct span other)
{
    return secret->len == other.len && constant_time_equal(secret->bytes, other.data, other.len);
}
