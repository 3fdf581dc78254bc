#include "shared/oci/session.h"

#include "shared/base/clock.h"

#include <string.h>

enum {
    SLOTS_MAX = 256,  /* kept though nobody uses them */
    CLIENTS_MAX = 16, /* idle ones that are kept */
    MARGIN_S_MAX = 300,
};

/* A client, idle or lent. */
struct client_row {
    struct http_client *client;
    char *trust; /* ca_file and extra_ca_pem in one text */
    bool refuse_private, lent;
};

struct registry_session {
    pthread_mutex_t lock;
    struct session_slot *slots; /* latest first */
    size_t slot_count;
    struct client_row clients[CLIENTS_MAX];
};

struct registry_session *registry_session_new(struct error *err)
{
    struct registry_session *session = calloc(1, sizeof *session);
    if (!session) {
        error_set(err, ERROR_INTERNAL, "out of memory for a registry session");
        return NULL;
    }
    pthread_mutex_init(&session->lock, NULL);
    return session;
}

static void slot_free(struct session_slot *slot)
{
    if (!slot)
        return;
    pthread_mutex_destroy(&slot->lock);
    secret_free(slot->value);
    free(slot->key);
    free(slot);
}

void registry_session_free(struct registry_session *session)
{
    if (!session)
        return;
    for (struct session_slot *slot = session->slots, *next; slot; slot = next) {
        next = slot->next;
        slot_free(slot);
    }
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        http_client_free(session->clients[i].client);
        free(session->clients[i].trust);
    }
    pthread_mutex_destroy(&session->lock);
    free(session);
}

/* ---- slots ---- */

static struct session_slot *slot_new(const char *key)
{
    struct session_slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return NULL;
    pthread_mutex_init(&slot->lock, NULL);
    slot->key = strdup(key);
    if (slot->key)
        return slot;
    slot_free(slot);
    return NULL;
}

/* The oldest that nobody uses makes room. */
static void drop_oldest(struct registry_session *session)
{
    struct session_slot **oldest = NULL;
    for (struct session_slot **at = &session->slots; *at; at = &(*at)->next)
        oldest = (*at)->users == 0 ? at : oldest;
    if (!oldest)
        return;
    struct session_slot *slot = *oldest;
    *oldest = slot->next;
    session->slot_count--;
    slot_free(slot);
}

static struct session_slot *find_or_make(struct registry_session *session, const char *key)
{
    for (struct session_slot *slot = session->slots; slot; slot = slot->next)
        if (strcmp(slot->key, key) == 0)
            return slot;
    if (session->slot_count >= SLOTS_MAX)
        drop_oldest(session);
    struct session_slot *slot = slot_new(key);
    if (!slot)
        return NULL;
    slot->next = session->slots;
    session->slots = slot;
    session->slot_count++;
    return slot;
}

struct session_slot *session_enter(struct registry_session *session, const char *key, struct error *err)
{
    pthread_mutex_lock(&session->lock);
    struct session_slot *slot = find_or_make(session, key);
    if (slot)
        slot->users++;
    pthread_mutex_unlock(&session->lock);
    if (!slot)
        error_set(err, ERROR_INTERNAL, "out of memory for a registry session");
    return slot;
}

void session_leave(struct registry_session *session, struct session_slot *slot)
{
    if (!slot)
        return;
    pthread_mutex_lock(&session->lock);
    slot->users--;
    pthread_mutex_unlock(&session->lock);
}

bool slot_is_good(const struct session_slot *slot)
{
    return slot->value && clock_monotonic_ms() < slot->expires_ms;
}

int64_t slot_remaining_s(const struct session_slot *slot)
{
    return slot_is_good(slot) ? (slot->expires_ms - clock_monotonic_ms()) / 1000 : 0;
}

void slot_put(struct session_slot *slot, struct secret *value, int64_t lifetime_s)
{
    int64_t margin_s = lifetime_s / 10 < MARGIN_S_MAX ? lifetime_s / 10 : MARGIN_S_MAX;
    secret_free(slot->value);
    slot->value = value;
    slot->generation++;
    slot->expires_ms = clock_monotonic_ms() + (lifetime_s - margin_s) * 1000;
}

/* ---- clients ---- */

static char *trust_of(const struct http_client_options *options)
{
    const char *file = options->ca_file ? options->ca_file : "", *pem = options->extra_ca_pem;
    size_t size = strlen(file) + (pem ? strlen(pem) : 0) + 2;
    char *text = malloc(size);
    if (text)
        snprintf(text, size, "%s\n%s", file, pem ? pem : "");
    return text;
}

static struct http_client *take_idle(struct registry_session *session, const char *trust, bool refuse_private)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct client_row *row = &session->clients[i];
        if (row->client && !row->lent && row->refuse_private == refuse_private && strcmp(row->trust, trust) == 0) {
            row->lent = true;
            return row->client;
        }
    }
    return NULL;
}

/* A place for a lent client: a free one, or an idle one's; NULL when all are lent. */
static struct client_row *free_row(struct registry_session *session)
{
    struct client_row *idle = NULL;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        struct client_row *row = &session->clients[i];
        if (!row->client)
            return row;
        idle = row->lent ? idle : row;
    }
    if (idle) {
        http_client_free(idle->client);
        free(idle->trust);
        *idle = (struct client_row){ .client = NULL };
    }
    return idle;
}

static void note_lent(struct registry_session *session, struct http_client *client, char *trust, bool refuse_private)
{
    struct client_row *row = free_row(session);
    if (row)
        *row = (struct client_row){ client, trust, refuse_private, true };
    else
        free(trust); /* one too many: it is not kept afterwards */
}

struct http_client *session_borrow(struct registry_session *session, const struct http_client_options *options,
                                   struct error *err)
{
    char *trust = trust_of(options);
    if (!trust) {
        error_set(err, ERROR_INTERNAL, "out of memory for an HTTP client");
        return NULL;
    }
    pthread_mutex_lock(&session->lock);
    struct http_client *client = take_idle(session, trust, options->refuse_private);
    pthread_mutex_unlock(&session->lock);
    if (client) {
        free(trust);
        return client;
    }
    client = http_client_new(options, err);
    if (!client) {
        free(trust);
        return NULL;
    }
    pthread_mutex_lock(&session->lock);
    note_lent(session, client, trust, options->refuse_private);
    pthread_mutex_unlock(&session->lock);
    return client;
}

void session_return(struct registry_session *session, struct http_client *client)
{
    bool kept = false;
    if (!client)
        return;
    pthread_mutex_lock(&session->lock);
    for (size_t i = 0; i < CLIENTS_MAX && !kept; i++)
        if (session->clients[i].client == client) {
            session->clients[i].lent = false;
            kept = true;
        }
    pthread_mutex_unlock(&session->lock);
    if (!kept)
        http_client_free(client);
}
