#include "shared/oci/destination.h"

#include <pthread.h>

enum state { STATE_UNKNOWN, STATE_ASKED, STATE_OPEN, STATE_CLOSED };

struct expected {
    char digest[DIGEST_TEXT_SIZE];
    bool there;
};

struct destination {
    const struct reference *reference;
    const struct registry_options *options;
    struct store *(*open)(const struct destination *destination, struct error *err);
    struct reference from; /* of the first that was expected */
    pthread_mutex_t lock;  /* of: */
    pthread_cond_t answered;
    enum state state;
    struct expected *expected;
    size_t count;
};

/* Known to destination_new() alone, so that who only reads links nothing that writes. */
static struct store *open_for_sending(const struct destination *destination, struct error *err)
{
    AUTO(store_free) struct store *store = store_open(destination->reference, destination->options, err);
    return store && store_will_mount(store, &destination->from, err) ? TAKE(store) : NULL;
}

struct destination *destination_new(const struct reference *reference, const struct registry_options *options,
                                    struct error *err)
{
    struct destination *destination = calloc(1, sizeof *destination);
    if (!destination) {
        error_set(err, ERROR_INTERNAL, "out of memory for a destination");
        return NULL;
    }
    destination->reference = reference;
    destination->options = options;
    destination->open = open_for_sending;
    pthread_mutex_init(&destination->lock, NULL);
    pthread_cond_init(&destination->answered, NULL);
    return destination;
}

void destination_free(struct destination *destination)
{
    if (!destination)
        return;
    pthread_cond_destroy(&destination->answered);
    pthread_mutex_destroy(&destination->lock);
    reference_release(&destination->from);
    free(destination->expected);
    free(destination);
}

/* ---- what is expected ---- */

static struct expected *find(const struct destination *destination, const char *digest)
{
    for (size_t i = 0; i < destination->count; i++)
        if (strcmp(destination->expected[i].digest, digest) == 0)
            return &destination->expected[i];
    return NULL;
}

static bool add(struct destination *destination, const struct reference *from, const char *digest, struct error *err)
{
    struct expected *more = reallocarray(destination->expected, destination->count + 1, sizeof *more);
    if (more)
        destination->expected = more;
    bool good = more && (destination->from.repository || reference_copy_place(from, &destination->from));
    if (!good)
        return error_set(err, ERROR_INTERNAL, "out of memory for a destination");
    struct expected *last = &destination->expected[destination->count++];
    snprintf(last->digest, sizeof last->digest, "%s", digest);
    last->there = false;
    return true;
}

bool destination_expect(struct destination *destination, const struct reference *from, const char *digest,
                        struct error *err)
{
    if (!destination)
        return true;
    pthread_mutex_lock(&destination->lock);
    bool good = find(destination, digest) || add(destination, from, digest, err);
    pthread_mutex_unlock(&destination->lock);
    return good;
}

static bool look(struct destination *destination, const char *digest, bool there)
{
    if (!destination)
        return false;
    pthread_mutex_lock(&destination->lock);
    const struct expected *expected = find(destination, digest);
    bool found = expected && (expected->there || !there);
    pthread_mutex_unlock(&destination->lock);
    return found;
}

bool destination_expects(struct destination *destination, const char *digest)
{
    return look(destination, digest, false);
}

bool destination_has(struct destination *destination, const char *digest)
{
    return look(destination, digest, true);
}

/* ---- asking ---- */

bool destination_ask(struct destination *destination, const char *digest)
{
    if (!destination)
        return false;
    pthread_mutex_lock(&destination->lock);
    bool expected = find(destination, digest) != NULL;
    while (expected && destination->state == STATE_ASKED)
        pthread_cond_wait(&destination->answered, &destination->lock);
    bool asks = expected && destination->state != STATE_CLOSED;
    if (asks && destination->state == STATE_UNKNOWN)
        destination->state = STATE_ASKED;
    pthread_mutex_unlock(&destination->lock);
    return asks;
}

/* With the lock held. Once closed it stays so. */
static void settle(struct destination *destination, enum state state)
{
    if (destination->state != STATE_CLOSED)
        destination->state = state;
    pthread_cond_broadcast(&destination->answered);
}

void destination_opens(struct destination *destination)
{
    pthread_mutex_lock(&destination->lock);
    settle(destination, STATE_OPEN);
    pthread_mutex_unlock(&destination->lock);
}

void destination_tell(struct destination *destination, const char *digest, bool has)
{
    pthread_mutex_lock(&destination->lock);
    struct expected *expected = find(destination, digest);
    if (expected)
        expected->there = has;
    settle(destination, has ? STATE_OPEN : STATE_CLOSED);
    pthread_mutex_unlock(&destination->lock);
}

struct store *destination_open(const struct destination *destination, struct error *err)
{
    return destination->open(destination, err);
}
