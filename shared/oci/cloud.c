#include "shared/oci/cloud.h"

#include "shared/base/encode.h"
#include "shared/base/file.h"
#include "shared/oci/cloud_ask.h"
#include "shared/oci/registry_auth.h"

#include <string.h>

enum {
    LIFETIME_S_MAX = 60 * 60,
    LIFETIME_S_DEFAULT = 60,
};

static const struct {
    const char *name;
    struct secret *(*login)(struct cloud_asking *asking, struct error *err);
} clouds[CLOUD_KINDS] = {
    [CLOUD_ECR] = { "ecr", cloud_login_ecr },
    [CLOUD_GAR] = { "gar", cloud_login_gar },
    [CLOUD_ACR] = { "acr", cloud_login_acr },
};

struct secret *cloud_login(enum cloud cloud, const char *registry, bool plain_http, struct registry_session *session,
                           int64_t *lifetime_s, struct error *err)
{
    static const struct http_client_options plain = { .ca_file = NULL };
    AUTO(arena_free) struct arena *arena = arena_new(CLOUD_ARENA_MAX);
    struct http_client *client = arena ? session_borrow(session, &plain, err) : NULL;
    struct cloud_asking asking = { .registry = registry, .plain_http = plain_http, .arena = arena, .client = client };
    if (!arena)
        error_set(err, ERROR_INTERNAL, "out of memory for a cloud's credentials");
    struct secret *secret = client ? clouds[cloud].login(&asking, err) : NULL;
    session_return(session, client);
    if (!secret)
        error_wrap(err, "credentials '%s' of registry '%s'", clouds[cloud].name, registry);
    *lifetime_s = asking.lifetime_s;
    return secret;
}

/* ---- asking ---- */

const struct json *cloud_ask(struct cloud_asking *asking, const struct cloud_request *request, struct error *err)
{
    const char *text = cloud_ask_text(asking, request, err);
    const struct json *json = text ? json_parse(asking->arena, span_of(text), err) : NULL;
    if (text && !json) /* the parser's text could quote a secret */
        error_set(err, ERROR_UNAVAILABLE, "a service that gives credentials answered what is no JSON");
    return json;
}

const char *cloud_ask_form(struct cloud_asking *asking, const char *url, const struct cloud_field *fields, size_t count,
                           struct error *err)
{
    static const struct http_header type = { "Content-Type", "application/x-www-form-urlencoded" };
    AUTO(bytes_wipe) struct bytes body = BYTES(CLOUD_BODY_MAX);
    for (size_t i = 0; i < count; i++)
        if (fields[i].value && (!bytes_printf(&body, err, "%s%s=", body.len > 0 ? "&" : "", fields[i].name) ||
                                !percent_encode(&body, span_of(fields[i].value), "", err)))
            return NULL;
    const struct cloud_request request = {
        .method = "POST", .url = url, .headers = &type, .header_count = 1, .body = bytes_span(&body)
    };
    return cloud_ask_text(asking, &request, err);
}

/* ---- what is in an answer ---- */

const char *cloud_member(const struct json *answer, const char *name, const char *what, struct error *err)
{
    const char *value = json_get_string(answer, name);
    if (value && *value)
        return value;
    error_set(err, ERROR_UNAVAILABLE, "the answer of %s holds no '%s'", what, name);
    return NULL;
}

int64_t cloud_expires_in(const struct json *answer)
{
    const struct json *value = json_get(answer, "expires_in");
    const char *text = json_string(value);
    int64_t seconds = 0;
    if (text)
        seconds = strtoll(text, NULL, 10); /* Azure writes it as a text */
    else if (!json_integer(value, &seconds))
        seconds = LIFETIME_S_DEFAULT;
    if (seconds <= 0)
        seconds = LIFETIME_S_DEFAULT;
    return seconds < LIFETIME_S_MAX ? seconds : LIFETIME_S_MAX;
}

const char *cloud_read_file(struct cloud_asking *asking, const char *path, struct error *err)
{
    AUTO(bytes_wipe) struct bytes content = BYTES(SECRET_MAX);
    if (!file_read(&content, path, err)) {
        error_wrap(err, "token file '%s'", path);
        return NULL;
    }
    const char *text = arena_dup(asking->arena, span_trim(bytes_span(&content)));
    if (!text || !*text) {
        error_set(err, ERROR_INVALID, "token file '%s' holds no text", path);
        return NULL;
    }
    return text;
}

const char *cloud_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

struct secret *cloud_basic(const char *user, const char *password, struct error *err)
{
    AUTO(bytes_wipe) struct bytes both = BYTES(SECRET_MAX);
    return bytes_printf(&both, err, "%s:%s", user, password) ? secret_new(bytes_span(&both), err) : NULL;
}
