#include "shared/builder/sourceauth.h"

#include "shared/base/bytes.h"
#include "shared/base/encode.h"
#include "shared/http/url.h"

#include <string.h>
#include <strings.h>

enum { VALUE_MAX = 2 * SECRET_MAX };

/* "PREFIX HOST", the host in any case. A value ends where its line does. */
static struct span find(const struct sourceauth *auth, const char *prefix, struct span host)
{
    size_t len = strlen(prefix);

    for (size_t i = 0; i < auth->count; i++) {
        const char *id = auth->secrets[i].id;
        if (strncmp(id, prefix, len) == 0 && strlen(id) == len + host.len &&
            strncasecmp(id + len, host.data ? host.data : "", host.len) == 0)
            return span_trim(auth->secrets[i].value);
    }
    return (struct span){ 0 };
}

static struct secret *header(const char *scheme, struct span value, struct error *err)
{
    AUTO(bytes_wipe) struct bytes text = BYTES(VALUE_MAX);

    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.data[i] < ' ') {
            error_set(err, ERROR_INVALID, "a secret for a source holds what no header can");
            return NULL;
        }
    }
    if (!bytes_append_text(&text, scheme, err) || !bytes_append_span(&text, value, err))
        return NULL;
    return secret_new(bytes_span(&text), err);
}

static struct secret *for_http(const struct sourceauth *auth, const char *url, struct error *err)
{
    struct url parts;

    if (!url_parse(span_of(url), &parts, &(struct error){ 0 }))
        return NULL;
    struct span token = find(auth, "HTTP_AUTH_TOKEN_", parts.host);
    if (token.len > 0)
        return header("Bearer ", token, err);
    struct span whole = find(auth, "HTTP_AUTH_HEADER_", parts.host);
    return whole.len > 0 ? header("", whole, err) : NULL;
}

static struct secret *basic(struct span token, struct error *err)
{
    AUTO(bytes_wipe) struct bytes plain = BYTES(VALUE_MAX), text = BYTES(VALUE_MAX);
    const char *user = span_find(token, ':') < 0 ? "x-access-token:" : "";

    if (!bytes_append_text(&plain, user, err) || !bytes_append_span(&plain, token, err) ||
        !base64_encode(&text, bytes_span(&plain), err))
        return NULL;
    return header("Basic ", bytes_span(&text), err);
}

/* By the secrets of these two names, if there are any. */
static bool by_names(const struct sourceauth *auth, const char *header_name, const char *token_name, struct span host,
                     struct secret **out, struct error *err)
{
    struct span said = find(auth, header_name, host), token = find(auth, token_name, host);
    bool bearer = span_is(said, "bearer") || span_is(said, "Bearer"),
         scheme = bearer || span_is(said, "basic") || span_is(said, "Basic");

    *out = NULL;
    if (said.len > 0 && !scheme)
        *out = header("", said, err);
    else if (token.len > 0)
        *out = bearer ? header("Bearer ", token, err) : basic(token, err);
    else
        return false;
    return true;
}

static struct secret *for_git(const struct sourceauth *auth, const char *url, struct error *err)
{
    const char *authority = strstr(url, "://");
    struct secret *out;

    if (!authority)
        return NULL;
    struct span host = { authority + 3, strcspn(authority + 3, "/?#") };
    if (!by_names(auth, "GIT_AUTH_HEADER.", "GIT_AUTH_TOKEN.", host, &out, err))
        by_names(auth, "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN", SPAN(""), &out, err);
    return out;
}

struct sourceauth sourceauth_by(const struct engine_secret *secrets, size_t count)
{
    return (struct sourceauth){ secrets, count, for_http, for_git };
}
