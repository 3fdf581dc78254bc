#include "shared/oci/registry_token.h"

#include "shared/base/encode.h"
#include "shared/http/url.h"
#include "shared/oci/cloud.h"

#include <string.h>

enum { ANSWER_MAX = 1024 * 1024, FORM_MAX = WIRE_URL_MAX + 3 * SECRET_MAX };

/* Basic credentials are good until they are refused. */
static const int64_t forever_s = INT64_C(100) * 365 * 24 * 60 * 60;

/* ---- what the session holds for us ---- */

static void forget(struct registry *registry)
{
    session_leave(registry->session, TAKE(registry->slot));
    secret_free(TAKE(registry->authorization));
    registry->generation = 0;
}

void token_release(struct registry *registry)
{
    forget(registry);
    bytes_release(&registry->mounts);
}

static bool enter(struct registry *registry, struct error *err)
{
    AUTO(bytes_release) struct bytes key = BYTES(WIRE_URL_MAX);
    if (registry->slot)
        return true;
    if (!bytes_printf(&key, err, "token %s %s %s %s", registry->host, registry->repository,
                      registry->push ? "push" : "pull", bytes_text(&registry->mounts)))
        return false;
    registry->slot = session_enter(registry->session, bytes_text(&key), err);
    return registry->slot != NULL;
}

/* Our copy of the slot's value; the lock is held. */
static bool take_over(struct registry *registry, struct error *err)
{
    const struct session_slot *slot = registry->slot;
    secret_free(registry->authorization);
    registry->authorization = secret_new(secret_reveal(slot->value), err);
    registry->generation = slot->generation;
    return registry->authorization != NULL;
}

void token_want_push(struct registry *registry)
{
    if (registry->push)
        return;
    registry->push = true;
    forget(registry);
}

bool token_want_mount(struct registry *registry, const char *repository, struct error *err)
{
    struct span rest = bytes_span(&registry->mounts);
    if (strcmp(repository, registry->repository) == 0)
        return true;
    while (rest.len > 0)
        if (span_is(span_cut(&rest, '\n'), repository))
            return true;
    if (!bytes_printf(&registry->mounts, err, "%s\n", repository))
        return false;
    forget(registry);
    return true;
}

/* ---- credentials ---- */

/* Those of the login, or of its cloud: kept by the session until they are about to expire. */
static bool find_credentials(struct registry *registry, bool renew, struct credentials *out, int64_t *lifetime_s,
                             struct error *err)
{
    enum cloud cloud = registry->login ? registry->login->cloud : CLOUD_NONE;
    AUTO(bytes_release) struct bytes key = BYTES(WIRE_URL_MAX);
    *out = (struct credentials){ .basic = NULL };
    *lifetime_s = forever_s;
    if (cloud == CLOUD_NONE)
        return credentials_for(registry->login, registry->host, registry->repository, out, err);
    if (!bytes_printf(&key, err, "cloud %d %s", cloud, registry->host))
        return false;
    struct session_slot *slot = session_enter(registry->session, bytes_text(&key), err);
    if (!slot)
        return false;
    pthread_mutex_lock(&slot->lock);
    struct secret *fresh = NULL;
    if (renew || !slot_is_good(slot))
        fresh = cloud_login(cloud, registry->host, registry->plain_http, registry->session, lifetime_s, err);
    if (fresh)
        slot_put(slot, fresh, *lifetime_s);
    struct secret **into = cloud == CLOUD_ACR ? &out->identity : &out->basic;
    if (fresh || (!renew && slot_is_good(slot)))
        *into = secret_new(secret_reveal(slot->value), err);
    *lifetime_s = slot_remaining_s(slot);
    pthread_mutex_unlock(&slot->lock);
    session_leave(registry->session, slot);
    return *into != NULL;
}

/* ---- the token service ---- */

static bool check_realm(const struct registry *registry, struct url *realm, struct error *err)
{
    if (!url_parse(bytes_span(&registry->challenge.realm), realm, err))
        return error_wrap(err, "the token service's address");
    if (!wire_is_https(realm) && !registry->plain_http)
        return error_set(err, ERROR_DENIED, "the token service '%.*s' is not asked: it is not https",
                         SPAN_ARGS(realm->host));
    if (registry->login && registry->login->cloud != CLOUD_NONE && !wire_is_own(registry, realm))
        return error_set(err, ERROR_DENIED,
                         "the token service '%.*s' is not asked: the cloud's credentials are for '%s' alone",
                         SPAN_ARGS(realm->host), registry->host);
    return true;
}

/* GET with the scopes in the query, or for an OAuth2 refresh token POST with them in the body. */
static bool ask(struct registry *registry, const struct credentials *c, struct http_client *client,
                struct http_response *response, struct error *err)
{
    AUTO(bytes_release) struct bytes url = BYTES(WIRE_URL_MAX);
    AUTO(bytes_wipe) struct bytes form = BYTES(FORM_MAX);
    AUTO(secret_free) struct secret *basic = c->basic ? basic_authorization(c, err) : NULL;
    struct span realm = bytes_span(&registry->challenge.realm);
    if ((c->basic && !basic) || !bytes_append_span(&url, realm, err) ||
        !token_query(&form, &registry->challenge, registry->repository, registry->push, bytes_span(&registry->mounts),
                     c->identity != NULL, err))
        return false;
    if (c->identity &&
        (!bytes_append_text(&form, "&grant_type=refresh_token&client_id=pushwright&refresh_token=", err) ||
         !percent_encode(&form, secret_reveal(c->identity), "", err)))
        return false;
    if (!c->identity && (!bytes_append_char(&url, span_find(realm, '?') < 0 ? '?' : '&', err) ||
                         !bytes_append_span(&url, bytes_span(&form), err)))
        return false;
    const struct http_header authorization = { "Authorization", basic ? secret_reveal(basic).data : "" };
    const struct http_header form_type = { "Content-Type", "application/x-www-form-urlencoded" };
    const struct http_request request = {
        .method = c->identity ? "POST" : "GET",
        .url = bytes_text(&url),
        .headers = c->identity ? &form_type : &authorization,
        .header_count = c->identity || basic ? 1 : 0,
        .body = c->identity ? bytes_span(&form) : (struct span){ NULL, 0 },
        .body_max = ANSWER_MAX,
        .timeout_ms = wire_short_ms(registry),
    };
    if (!http_call(client, &request, response, err))
        return false;
    return response->status == 200 || wire_status_error(&request, response, err);
}

/* A scope that is refused must not spoil the token: then nothing is mounted. */
static bool ask_for_scopes(struct registry *registry, const struct credentials *credentials, struct http_client *client,
                           struct http_response *response, struct error *err)
{
    struct error why = { .kind = ERROR_NONE };
    if (ask(registry, credentials, client, response, &why))
        return true;
    if (registry->mounts.len == 0 || error_is_temporary(&why)) {
        *err = why;
        return false;
    }
    bytes_clear(&registry->mounts);
    registry->mounts_refused = true;
    return ask(registry, credentials, client, response, err);
}

static struct secret *ask_with_credentials(struct registry *registry, bool renew, int64_t *lifetime_s,
                                           struct error *err)
{
    AUTO(http_response_release) struct http_response response = { .status = 0 };
    AUTO(credentials_release) struct credentials credentials = { .basic = NULL };
    struct http_client *client = NULL;
    struct url realm;
    if (!check_realm(registry, &realm, err) || !find_credentials(registry, renew, &credentials, lifetime_s, err) ||
        !wire_client_for(registry, &realm, &client, err) ||
        !ask_for_scopes(registry, &credentials, client, &response, err))
        return NULL;
    struct secret *value = bearer_authorization(bytes_span(&response.body), lifetime_s, err);
    if (response.body.data)
        explicit_bzero(response.body.data, response.body.capacity);
    return value;
}

/* Into the slot, whose lock is held. A cloud's credentials may have been taken back before their time: then there are
 * new ones. */
static bool fetch_token(struct registry *registry, struct error *err)
{
    struct error why = { .kind = ERROR_NONE };
    int64_t lifetime_s = 0;
    struct secret *value = ask_with_credentials(registry, false, &lifetime_s, &why);
    bool again = !value && why.kind == ERROR_DENIED && registry->login && registry->login->cloud != CLOUD_NONE;
    if (again)
        value = ask_with_credentials(registry, true, &lifetime_s, &why);
    if (!value) {
        *err = why;
        return error_wrap(err, "token for '%s'", registry->repository);
    }
    slot_put(registry->slot, value, lifetime_s);
    return take_over(registry, err);
}

/* ---- before a request, and after a 401 ---- */

/* A challenge that was met once is answered in advance. */
static bool settle(struct registry *registry, struct error *err)
{
    const struct session_slot *slot = registry->slot;
    if (slot_is_good(slot))
        return slot->generation == registry->generation || take_over(registry, err);
    return !registry->challenge.bearer || fetch_token(registry, err);
}

bool token_ready(struct registry *registry, struct error *err)
{
    if (!enter(registry, err))
        return false;
    struct session_slot *slot = registry->slot;
    pthread_mutex_lock(&slot->lock);
    bool ready = settle(registry, err);
    pthread_mutex_unlock(&slot->lock);
    return ready;
}

static bool answer_basic(struct registry *registry, struct error *err)
{
    bool cloud = registry->login && registry->login->cloud != CLOUD_NONE, refused = registry->authorization != NULL;
    AUTO(credentials_release) struct credentials credentials = { .basic = NULL };
    int64_t lifetime_s;
    if (!find_credentials(registry, cloud && refused, &credentials, &lifetime_s, err))
        return false;
    if (!credentials.basic)
        return error_set(err, ERROR_DENIED, "a user name and password are wanted, and none are configured for '%s'",
                         registry->host);
    if (refused && !cloud)
        return error_set(err, ERROR_DENIED, "user name or password refused");
    struct secret *value = basic_authorization(&credentials, err);
    if (!value)
        return false;
    slot_put(registry->slot, value, lifetime_s);
    return take_over(registry, err);
}

/* Somebody else may have found a newer answer while we were told that ours is no good. */
static bool answer(struct registry *registry, const struct http_response *response, struct error *err)
{
    if (slot_is_good(registry->slot) && registry->slot->generation != registry->generation)
        return take_over(registry, err);
    if (!challenge_parse(response, &registry->challenge, err))
        return false;
    if (registry->challenge.bearer && registry->challenge.realm.len > 0)
        return fetch_token(registry, err);
    registry->challenge.bearer = false;
    return registry->challenge.basic ? answer_basic(registry, err)
                                     : error_set(err, ERROR_DENIED, "401 without a challenge that is understood");
}

bool token_answer(struct registry *registry, const struct http_response *response, struct error *err)
{
    struct session_slot *slot = registry->slot;
    pthread_mutex_lock(&slot->lock);
    bool answered = answer(registry, response, err);
    pthread_mutex_unlock(&slot->lock);
    return answered;
}
