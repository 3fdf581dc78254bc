/* What outlives a store: connections that are still open, and tokens and cloud credentials that are still good. One for
 * a process; any number of threads. */
#ifndef PUSHWRIGHT_OCI_SESSION_H
#define PUSHWRIGHT_OCI_SESSION_H

#include "shared/http/client.h"
#include "shared/secrets/secret.h"

#include <pthread.h>
#include <stdint.h>

struct registry_session;

struct registry_session *registry_session_new(struct error *err);
void registry_session_free(struct registry_session *session); /* after every store that uses it */
AUTO_FREE(struct registry_session, registry_session_free)

/* A place for one secret that several stores share. */
struct session_slot {
    struct session_slot *next;
    char *key;
    unsigned users;
    pthread_mutex_t lock; /* held while a new value is asked for: one asks, the others wait and take what came */
    struct secret *value; /* NULL: none; under the lock, like what follows */
    unsigned generation;  /* grows with every value */
    int64_t expires_ms;   /* monotonic */
};

/* The slot of that key, made when there is none. NULL with *err filled. */
struct session_slot *session_enter(struct registry_session *session, const char *key, struct error *err);
void session_leave(struct registry_session *session, struct session_slot *slot); /* NULL: nothing */

/* With the lock held. A value is left before it expires: what is sent now may be looked at a little later. */
bool slot_is_good(const struct session_slot *slot);
int64_t slot_remaining_s(const struct session_slot *slot);                          /* 0 when it is not good */
void slot_put(struct session_slot *slot, struct secret *value, int64_t lifetime_s); /* takes the value; NULL: forget */

/* A client that is lent and given back with its connections open; told apart by what it trusts and refuses. NULL with
 * *err filled. */
struct http_client *session_borrow(struct registry_session *session, const struct http_client_options *options,
                                   struct error *err);
void session_return(struct registry_session *session, struct http_client *client); /* NULL: nothing */

#endif
