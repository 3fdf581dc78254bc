#include "shared/oci/registry_auth.h"

#include "shared/base/encode.h"
#include "shared/base/json.h"

#include <string.h>
#include <strings.h>

enum {
    ARENA_MAX = 4 * 1024 * 1024,
    PARAMETER_MAX = 8192,
    KEY_MAX = 1024,
    LIFETIME_S_DEFAULT = 60,
    LIFETIME_S_MAX = 24 * 60 * 60,
};

void credentials_release(struct credentials *credentials)
{
    secret_free(credentials->basic);
    secret_free(credentials->identity);
    *credentials = (struct credentials){ .basic = NULL };
}

void challenge_release(struct challenge *challenge)
{
    bytes_release(&challenge->realm);
    bytes_release(&challenge->service);
    bytes_release(&challenge->scope);
}

/* ---- credentials ---- */

static bool join_basic(struct secret **out, struct span user, struct span password, struct error *err)
{
    AUTO(bytes_wipe) struct bytes both = BYTES(SECRET_MAX);
    if (!bytes_append_span(&both, user, err) || !bytes_append_char(&both, ':', err) ||
        !bytes_append_span(&both, password, err))
        return false;
    *out = secret_new(bytes_span(&both), err);
    return *out != NULL;
}

/* "https://index.docker.io/v1/" and "registry.example.com/team/" as docker and podman write them, without what is
 * noise. */
static struct span normal_key(struct span key)
{
    static const char *const noise[] = { "https://", "http://" };
    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++)
        if (span_starts(key, noise[i]))
            key = (struct span){ key.data + strlen(noise[i]), key.len - strlen(noise[i]) };
    while (span_ends(key, "/"))
        key.len--;
    if (span_ends(key, "/v1") || span_ends(key, "/v2"))
        key.len -= 3;
    if (span_is(key, "index.docker.io") || span_is(key, "registry-1.docker.io"))
        return span_of("docker.io");
    return key;
}

/* How much of "host/path" the key covers, whole path parts only; 0: not at all. */
static size_t key_covers(struct span key, struct span name)
{
    if (key.len == 0 || key.len > name.len || memcmp(key.data, name.data, key.len) != 0)
        return 0;
    return key.len == name.len || name.data[key.len] == '/' ? key.len : 0;
}

/* The member of "auths" or "credHelpers" that speaks most exactly about the repository; NULL: none. */
static const struct json *best_member(const struct json *object, struct span name)
{
    const struct json *best = NULL;
    size_t most = 0;
    for (const struct json *m = json_first(object); m; m = json_next(m)) {
        size_t n = key_covers(normal_key(span_of(json_key(m))), name);
        best = n > most ? m : best;
        most = n > most ? n : most;
    }
    return best;
}

static bool read_auth_member(const struct json *member, struct credentials *out, struct error *err)
{
    const char *identity = json_get_string(member, "identitytoken");
    const char *packed = json_get_string(member, "auth");
    const char *user = json_get_string(member, "username"), *password = json_get_string(member, "password");
    if (identity && *identity) {
        out->identity = secret_new(span_of(identity), err);
        return out->identity != NULL;
    }
    if (packed && *packed) {
        AUTO(bytes_wipe) struct bytes plain = BYTES(SECRET_MAX);
        if (!base64_decode(&plain, span_of(packed), err) || span_find(bytes_span(&plain), ':') < 0)
            return error_set(err, ERROR_INVALID, "docker configuration: 'auth' is not the base64 of USER:PASSWORD");
        while (plain.len > 0 && plain.data[plain.len - 1] == '\0')
            plain.len--; /* docker trims these, too */
        out->basic = secret_new(bytes_span(&plain), err);
        return out->basic != NULL;
    }
    return !user || !password || join_basic(&out->basic, span_of(user), span_of(password), err);
}

static bool refuse_helper(const char *helper, const char *registry, struct error *err)
{
    return error_set(err, ERROR_UNSUPPORTED,
                     "docker configuration leaves '%s' to the credential helper '%.64s', which is not supported: put a "
                     "token there, or "
                     "for a cloud's registry set 'credentials' to ecr, gar or acr",
                     registry, helper);
}

static bool from_docker_config(const struct json *config, const char *registry, const char *repository,
                               struct credentials *out, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(KEY_MAX);
    if (!bytes_printf(&name, err, "%s/%s", span_is(normal_key(span_of(registry)), "docker.io") ? "docker.io" : registry,
                      repository))
        return false;
    const char *helper = json_string(best_member(json_get(config, "credHelpers"), bytes_span(&name)));
    if (helper)
        return refuse_helper(helper, registry, err);
    const struct json *member = best_member(json_get(config, "auths"), bytes_span(&name));
    const char *keeper = json_get_string(config, "credsStore");
    AUTO(credentials_release) struct credentials found = { .basic = NULL };
    if (member && !read_auth_member(member, &found, err))
        return false;
    if (member && keeper && *keeper && !found.basic && !found.identity)
        return refuse_helper(keeper, registry, err);
    *out = found;
    found = (struct credentials){ .basic = NULL };
    return true;
}

bool credentials_for(const struct registry_login *login, const char *registry, const char *repository,
                     struct credentials *out, struct error *err)
{
    *out = (struct credentials){ .basic = NULL };
    if (login && login->username && login->password)
        return join_basic(&out->basic, span_of(login->username), secret_reveal(login->password), err);
    if (!login || !login->docker_config)
        return true;
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory for a docker configuration");
    const struct json *config = json_parse(arena, secret_reveal(login->docker_config), err);
    if (!config) /* the parser's text could quote what it stumbled over */
        return error_set(err, ERROR_INVALID, "docker configuration is not valid JSON");
    return from_docker_config(config, registry, repository, out, err);
}

struct secret *basic_authorization(const struct credentials *credentials, struct error *err)
{
    AUTO(bytes_wipe) struct bytes value = BYTES(2 * SECRET_MAX);
    if (!bytes_append_text(&value, "Basic ", err) || !base64_encode(&value, secret_reveal(credentials->basic), err))
        return NULL;
    return secret_new(bytes_span(&value), err);
}

/* ---- challenges (RFC 7235 section 4.1) ---- */

static bool is_token_char(char c)
{
    return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?={}", c);
}

static void skip(struct span *rest, const char *chars)
{
    while (rest->len > 0 && rest->data[0] != '\0' && strchr(chars, rest->data[0]))
        *rest = (struct span){ rest->data + 1, rest->len - 1 };
}

static struct span cut_token(struct span *rest)
{
    size_t n = 0;
    while (n < rest->len && is_token_char(rest->data[n]))
        n++;
    struct span token = { rest->data, n };
    *rest = (struct span){ rest->data + n, rest->len - n };
    return token;
}

static bool cut_quoted(struct span *rest, struct bytes *out, struct error *err)
{
    size_t i = 1;
    for (; i < rest->len && rest->data[i] != '"'; i++) {
        if (rest->data[i] == '\\' && i + 1 < rest->len)
            i++;
        if (!bytes_append_char(out, rest->data[i], err))
            return false;
    }
    if (i >= rest->len)
        return error_set(err, ERROR_INVALID, "challenge with an open quote");
    *rest = (struct span){ rest->data + i + 1, rest->len - i - 1 };
    return true;
}

static bool is_word(struct span token, const char *word)
{
    return token.len == strlen(word) && strncasecmp(token.data, word, token.len) == 0;
}

static bool keep_parameter(struct challenge *out, struct span scheme, struct span name, const struct bytes *value,
                           struct error *err)
{
    const struct {
        const char *name;
        struct bytes *into;
    } rows[] = { { "realm", &out->realm }, { "service", &out->service }, { "scope", &out->scope } };
    for (size_t i = 0; is_word(scheme, "Bearer") && i < sizeof rows / sizeof rows[0]; i++)
        if (is_word(name, rows[i].name) && rows[i].into->len == 0)
            return bytes_append_span(rows[i].into, bytes_span(value), err);
    return true;
}

static bool parse_parameter(struct challenge *out, struct span scheme, struct span name, struct span *rest,
                            struct error *err)
{
    AUTO(bytes_release) struct bytes value = BYTES(PARAMETER_MAX);
    skip(rest, "= \t");
    if (rest->len > 0 && rest->data[0] == '"') {
        if (!cut_quoted(rest, &value, err))
            return false;
    } else if (!bytes_append_span(&value, cut_token(rest), err)) {
        return false;
    }
    return keep_parameter(out, scheme, name, &value, err);
}

/* A token with an equals sign behind it is a parameter, one without starts the next scheme. */
static bool parse_value(struct challenge *out, struct span rest, struct error *err)
{
    struct span scheme = { NULL, 0 };
    for (skip(&rest, ", \t"); rest.len > 0; skip(&rest, ", \t")) {
        struct span token = cut_token(&rest);
        if (token.len == 0)
            return error_set(err, ERROR_INVALID, "malformed challenge");
        struct span after = rest;
        skip(&after, " \t");
        if (after.len > 0 && after.data[0] == '=') {
            if (!parse_parameter(out, scheme, token, &after, err))
                return false;
            rest = after;
            continue;
        }
        scheme = token;
        out->basic = out->basic || is_word(token, "Basic");
        out->bearer = out->bearer || is_word(token, "Bearer");
    }
    return true;
}

bool challenge_parse(const struct http_response *response, struct challenge *out, struct error *err)
{
    AUTO(challenge_release)
    struct challenge parsed = { false, false, BYTES(PARAMETER_MAX), BYTES(PARAMETER_MAX), BYTES(PARAMETER_MAX) };
    struct span rest = bytes_span(&response->headers);
    while (rest.data) {
        struct span value = span_trim(span_cut(&rest, '\n'));
        struct span name = span_cut(&value, ':');
        if (value.data && is_word(name, "WWW-Authenticate") && !parse_value(&parsed, value, err))
            return false;
    }
    challenge_release(out);
    *out = parsed;
    parsed = (struct challenge){ .basic = false };
    return true;
}

/* ---- tokens ---- */

struct scopes {
    struct bytes *out;
    const char *before; /* the next one */
    bool is_body;
};

static bool add_scope(struct scopes *scopes, struct span scope, struct error *err)
{
    const char *before = scopes->before;
    if (scopes->is_body)
        scopes->before = "%20";
    return bytes_append_text(scopes->out, before, err) && percent_encode(scopes->out, scope, ":/,", err);
}

static bool add_pull_scope(struct scopes *scopes, struct span repository, struct span asked, bool *same,
                           struct error *err)
{
    AUTO(bytes_release) struct bytes scope = BYTES(KEY_MAX);
    if (!bytes_printf(&scope, err, "repository:%.*s:pull", SPAN_ARGS(repository)))
        return false;
    *same = *same || span_equal(asked, bytes_span(&scope));
    return add_scope(scopes, bytes_span(&scope), err);
}

bool token_query(struct bytes *out, const struct challenge *challenge, const char *repository, bool push,
                 struct span mounts, bool is_body, struct error *err)
{
    AUTO(bytes_release) struct bytes own = BYTES(KEY_MAX);
    struct scopes scopes = { out, "&scope=", is_body };
    struct span asked = bytes_span(&challenge->scope);
    if (!bytes_printf(&own, err, "repository:%s:%s", repository, push ? "pull,push" : "pull") ||
        !bytes_append_text(out, "service=", err) || !percent_encode(out, bytes_span(&challenge->service), "", err) ||
        !add_scope(&scopes, bytes_span(&own), err))
        return false;
    bool same = asked.len == 0 || span_equal(asked, bytes_span(&own));
    while (mounts.len > 0)
        if (!add_pull_scope(&scopes, span_cut(&mounts, '\n'), asked, &same, err))
            return false;
    return same || add_scope(&scopes, asked, err);
}

/* The token specification's default is 60 seconds. */
static int64_t lifetime_of(const struct json *answer)
{
    int64_t seconds = 0;
    return json_integer(json_get(answer, "expires_in"), &seconds) && seconds > 0 && seconds < LIFETIME_S_MAX
               ? seconds
               : LIFETIME_S_DEFAULT;
}

struct secret *bearer_authorization(struct span answer, int64_t *lifetime_s, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    const struct json *json = arena ? json_parse(arena, answer, err) : NULL;
    const char *token = json_get_string(json, "token");
    if (!token || !*token)
        token = json_get_string(json, "access_token");
    AUTO(bytes_wipe) struct bytes value = BYTES(SECRET_MAX);
    if (!token || !*token) {
        error_set(err, ERROR_UNAVAILABLE, "the token service's answer holds no token");
        return NULL;
    }
    if (!bytes_printf(&value, err, "Bearer %s", token))
        return NULL;
    *lifetime_s = lifetime_of(json);
    return secret_new(bytes_span(&value), err);
}
