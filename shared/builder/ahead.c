#include "shared/builder/ahead.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Connections, each with a thread; as many as other clients open to one registry. */
enum { LANES = 4 };

enum kind { KIND_NONE, KIND_BEGIN, KIND_MOUNT, KIND_LAYER, KIND_CONFIG };

struct parcel {
    enum kind kind;
    struct descriptor blob;
    struct reference from; /* of a mount */
    int fd;                /* of a layer */
    struct span data;      /* of a configuration */
    struct parcel *next;   /* on its lane */
    bool sent;
};

struct lane {
    struct ahead *ahead;
    struct store *store;
    pthread_t thread;
    bool running;
    struct parcel *first, *at; /* all of it; the next to be sent */
    unsigned waiting;          /* those that have not ended */
    enum kind begun_for;       /* an upload begins here, and nothing has come for it yet */
};

struct ahead {
    struct reference reference;
    struct registry_options registries;
    struct destination *destination; /* NULL: nothing goes ahead */
    bool begun;
    struct lane lanes[LANES];
    pthread_mutex_t lock; /* for the lanes' lists */
    pthread_cond_t changed;
    atomic_bool closing;
};

static bool cancelled(void *context)
{
    return atomic_load(&((struct ahead *)context)->closing);
}

struct ahead *ahead_new(const char *image, const struct registry_options *registries, struct error *err)
{
    AUTO(ahead_free) struct ahead *ahead = calloc(1, sizeof(*ahead));

    if (!ahead) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    if (registries)
        ahead->registries = *registries;
    ahead->registries.push = ahead->registries.hasty = true;
    ahead->registries.cancelled = cancelled;
    ahead->registries.cancelled_context = ahead;
    if (!reference_parse(span_of(image), &ahead->reference, err))
        return NULL;
    ahead->lanes[0].store = store_open(&ahead->reference, &ahead->registries, err);
    if (!ahead->lanes[0].store)
        return NULL;
    if (!ahead->registries.session || !store_is_remote(ahead->lanes[0].store))
        return TAKE(ahead);
    ahead->destination = destination_new(&ahead->reference, &ahead->registries, err);
    return ahead->destination ? TAKE(ahead) : NULL;
}

static void parcel_free(struct parcel *parcel)
{
    reference_release(&parcel->from);
    if (parcel->fd >= 0)
        close(parcel->fd);
    free(parcel);
}

static void lane_release(struct lane *lane)
{
    if (lane->running)
        pthread_join(lane->thread, NULL);
    store_free(lane->store);
    for (struct parcel *parcel = lane->first, *next; parcel; parcel = next) {
        next = parcel->next;
        parcel_free(parcel);
    }
}

void ahead_free(struct ahead *ahead)
{
    if (!ahead)
        return;
    pthread_mutex_lock(&ahead->lock);
    atomic_store(&ahead->closing, true);
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
    for (size_t i = 0; i < LANES; i++)
        lane_release(&ahead->lanes[i]);
    destination_free(ahead->destination);
    reference_release(&ahead->reference);
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

bool ahead_has_begun(const struct ahead *ahead)
{
    return ahead->begun;
}

struct store *ahead_store(struct ahead *ahead)
{
    return ahead->lanes[0].store;
}

/* ---- a lane ---- */

static bool deliver(struct store *store, const struct parcel *parcel, struct error *err)
{
    bool done = true;

    switch (parcel->kind) {
    case KIND_BEGIN:
        return store_begin_upload(store, err);
    case KIND_MOUNT:
        return store_mount_blob(store, &parcel->blob, &parcel->from, &done, err) && done;
    case KIND_LAYER:
        return store_put_blob_file(store, &parcel->blob, parcel->fd, err);
    default:
        return store_put_blob(store, &parcel->blob, parcel->data, err);
    }
}

/* With the lock held. NULL: there will be none. */
static struct parcel *next_parcel(struct lane *lane)
{
    struct ahead *ahead = lane->ahead;

    while (!lane->at && !atomic_load(&ahead->closing))
        pthread_cond_wait(&ahead->changed, &ahead->lock);
    struct parcel *parcel = atomic_load(&ahead->closing) ? NULL : lane->at;
    if (parcel)
        lane->at = parcel->next;
    return parcel;
}

static void *run(void *opaque)
{
    struct lane *lane = opaque;
    struct ahead *ahead = lane->ahead;
    struct error ignored;

    pthread_mutex_lock(&ahead->lock);
    for (struct parcel *parcel = next_parcel(lane); parcel; parcel = next_parcel(lane)) {
        pthread_mutex_unlock(&ahead->lock);
        ignored = (struct error){ 0 };
        bool sent = deliver(lane->store, parcel, &ignored);
        pthread_mutex_lock(&ahead->lock);
        parcel->sent = sent;
        lane->waiting--;
        pthread_cond_broadcast(&ahead->changed);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

/* With the lock held; what a thread that cannot be had would send stays for publish.h. */
static void append(struct lane *lane, struct parcel *parcel)
{
    struct parcel **end = &lane->first;

    while (*end)
        end = &(*end)->next;
    *end = parcel;
    if (!lane->running)
        lane->running = pthread_create(&lane->thread, NULL, run, lane) == 0;
    if (!lane->running)
        return;
    lane->waiting++;
    if (!lane->at)
        lane->at = parcel;
    pthread_cond_broadcast(&lane->ahead->changed);
}

/* Where an upload has begun for it, or where the least is to be done: a connection more costs less than to wait for an answer. */
static struct lane *choose(struct ahead *ahead, enum kind kind)
{
    struct lane *best = NULL;

    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &ahead->lanes[i];

        if (kind != KIND_BEGIN && lane->begun_for == kind)
            return lane;
        if (kind == KIND_BEGIN && lane->begun_for != KIND_NONE)
            continue;
        if (!best || lane->waiting < best->waiting)
            best = lane;
    }
    return best ? best : ahead->lanes; /* of the four one has no beginning: there are two kinds of them */
}

/* Takes the descriptor and the reference. */
static void send(struct ahead *ahead, const struct parcel *what, enum kind begins_for)
{
    struct parcel *parcel = malloc(sizeof(*parcel));

    if (!parcel) {
        struct reference from = what->from;
        reference_release(&from);
        if (what->fd >= 0)
            close(what->fd);
        return;
    }
    *parcel = *what;
    pthread_mutex_lock(&ahead->lock);
    struct lane *lane = choose(ahead, what->kind);
    if (what->kind == KIND_BEGIN)
        lane->begun_for = begins_for;
    else if (lane->begun_for == what->kind)
        lane->begun_for = KIND_NONE;
    append(lane, parcel);
    pthread_mutex_unlock(&ahead->lock);
}

/* ---- what the engine tells ---- */

/* One token for all that is to come, where tokens are asked for. */
static bool open_lanes(struct ahead *ahead, const struct built_layer *below, size_t count)
{
    struct error ignored;

    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &ahead->lanes[i];

        lane->ahead = ahead;
        if (!lane->store)
            lane->store = store_open(&ahead->reference, &ahead->registries, &ignored);
        if (!lane->store)
            return false;
        for (size_t k = 0; k < count; k++) {
            if (!below[k].layer && !store_will_mount(lane->store, &below[k].base->reference, &ignored))
                return false;
        }
    }
    return true;
}

static void mount(struct ahead *ahead, const struct built_layer *layer)
{
    struct parcel parcel = { .kind = KIND_MOUNT, .blob = layer->blob, .fd = -1 };

    if (!retiming_is_none(layer->base->times))
        return; /* the image will have another in its place */

    /* The base may be gone before the parcel is. */
    if (reference_copy_place(&layer->base->reference, &parcel.from))
        send(ahead, &parcel, KIND_NONE);
}

static void made(void *context, const struct built_layer *layer)
{
    struct ahead *ahead = context;

    if (!ahead->begun)
        return;
    if (!layer->layer) {
        if (!destination_expects(ahead->destination, layer->blob.digest))
            mount(ahead, layer);
        return;
    }
    struct parcel parcel = { .kind = KIND_LAYER,
                             .blob = layer->blob,
                             .fd = fcntl(spool_fd(layer->layer->spool), F_DUPFD_CLOEXEC, 3) };
    if (parcel.fd >= 0)
        send(ahead, &parcel, KIND_NONE);
}

static bool has_begun_for(const struct ahead *ahead, enum kind kind)
{
    for (size_t i = 0; i < LANES; i++) {
        if (ahead->lanes[i].begun_for == kind)
            return true;
    }
    return false;
}

static void making(void *context, const struct built_layer *below, size_t count)
{
    const struct parcel begin = { .kind = KIND_BEGIN, .fd = -1 };
    struct ahead *ahead = context;
    bool first = !ahead->begun;

    if (first && (!ahead->destination || !open_lanes(ahead, below, count)))
        return;
    ahead->begun = true;
    if (!has_begun_for(ahead, KIND_LAYER))
        send(ahead, &begin, KIND_LAYER);
    if (!first)
        return;
    send(ahead, &begin, KIND_CONFIG);
    for (size_t i = 0; i < count; i++)
        made(ahead, &below[i]);
}

struct engine_watch ahead_watch(struct ahead *ahead)
{
    return (struct engine_watch){ making, made, ahead, ahead->destination };
}

/* ---- the end ---- */

void ahead_send(struct ahead *ahead, const struct descriptor *blob, struct span data)
{
    const struct parcel parcel = { .kind = KIND_CONFIG, .blob = *blob, .fd = -1, .data = data };

    send(ahead, &parcel, KIND_NONE);
}

void ahead_send_expected(struct ahead *ahead, const struct built_layer *layer)
{
    if (destination_expects(ahead->destination, layer->blob.digest) &&
        !destination_has(ahead->destination, layer->blob.digest))
        mount(ahead, layer);
}

void ahead_wait(struct ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    for (size_t i = 0; i < LANES;) {
        if (ahead->lanes[i].waiting == 0)
            i++;
        else
            pthread_cond_wait(&ahead->changed, &ahead->lock);
    }
    ahead->registries.hasty = false; /* what comes now comes once */
    pthread_mutex_unlock(&ahead->lock);
}

bool ahead_has_sent(const struct ahead *ahead, const char *digest)
{
    for (size_t i = 0; i < LANES; i++) {
        for (const struct parcel *parcel = ahead->lanes[i].first; parcel; parcel = parcel->next) {
            if (parcel->sent && parcel->kind != KIND_BEGIN && strcmp(parcel->blob.digest, digest) == 0)
                return true;
        }
    }
    return destination_has(ahead->destination, digest);
}
