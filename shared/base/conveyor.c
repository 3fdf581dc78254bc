#include "shared/base/conveyor.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_SIZE = 64 * 1024, PIECES_MIN = 2 };

struct piece {
    size_t len;
    char data[PIECE_SIZE];
};

struct conveyor {
    conveyor_fn *on_data;
    void *context;
    pthread_t thread;
    size_t fill; /* of the piece that is being filled */
    bool joined;
    pthread_mutex_t lock; /* of: */
    pthread_cond_t moved;
    unsigned filled, emptied; /* counted up; they lie in [n % count] */
    bool over;                /* nothing more comes */
    bool dropped;             /* and what is there is not wanted */
    bool broken;              /* on_data has failed, with: */
    struct error failure;
    unsigned count;
    struct piece pieces[];
};

/* NULL: there is no more. */
static struct piece *next_piece(struct conveyor *conveyor)
{
    pthread_mutex_lock(&conveyor->lock);
    while (conveyor->filled == conveyor->emptied && !conveyor->over)
        pthread_cond_wait(&conveyor->moved, &conveyor->lock);
    bool more = conveyor->filled != conveyor->emptied && !conveyor->dropped;
    struct piece *piece = &conveyor->pieces[conveyor->emptied % conveyor->count];
    pthread_mutex_unlock(&conveyor->lock);
    return more ? piece : NULL;
}

static void piece_is_used(struct conveyor *conveyor, const struct error *failure)
{
    pthread_mutex_lock(&conveyor->lock);
    conveyor->emptied++;
    if (failure) {
        conveyor->broken = true;
        conveyor->failure = *failure;
    }
    pthread_cond_signal(&conveyor->moved);
    pthread_mutex_unlock(&conveyor->lock);
}

static void *work(void *context)
{
    struct conveyor *conveyor = context;
    struct error err = { .kind = ERROR_NONE };
    bool good = true;
    for (struct piece *piece = next_piece(conveyor); piece && good; piece = good ? next_piece(conveyor) : NULL) {
        good = conveyor->on_data(conveyor->context, piece->data, piece->len, &err);
        piece_is_used(conveyor, good ? NULL : &err);
    }
    return NULL;
}

struct conveyor *conveyor_new(size_t bound, conveyor_fn *on_data, void *context, struct error *err)
{
    size_t count = bound / PIECE_SIZE > PIECES_MIN ? bound / PIECE_SIZE : PIECES_MIN;
    AUTO(free) struct conveyor *conveyor = malloc(sizeof *conveyor + count * sizeof(struct piece));
    if (!conveyor) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    *conveyor = (struct conveyor){ .on_data = on_data, .context = context, .count = (unsigned)count };
    pthread_mutex_init(&conveyor->lock, NULL);
    pthread_cond_init(&conveyor->moved, NULL);
    int failed = pthread_create(&conveyor->thread, NULL, work, conveyor);
    if (!failed)
        return TAKE(conveyor);
    error_set_errno(err, failed, "start a thread");
    return NULL;
}

static bool wait_for_room(struct conveyor *conveyor)
{
    pthread_mutex_lock(&conveyor->lock);
    while (!conveyor->broken && conveyor->filled - conveyor->emptied == conveyor->count)
        pthread_cond_wait(&conveyor->moved, &conveyor->lock);
    bool good = !conveyor->broken;
    pthread_mutex_unlock(&conveyor->lock);
    return good;
}

static void hand_over(struct conveyor *conveyor, bool over, bool dropped)
{
    pthread_mutex_lock(&conveyor->lock);
    if (conveyor->fill > 0)
        conveyor->pieces[conveyor->filled++ % conveyor->count].len = conveyor->fill;
    conveyor->fill = 0;
    conveyor->over = over;
    conveyor->dropped = dropped;
    pthread_cond_signal(&conveyor->moved);
    pthread_mutex_unlock(&conveyor->lock);
}

static bool tell_failure(const struct conveyor *conveyor, struct error *err)
{
    *err = conveyor->failure;
    return false;
}

bool conveyor_put(void *context, const void *data, size_t len, struct error *err)
{
    struct conveyor *conveyor = context;
    for (const char *from = data; len > 0;) {
        if (conveyor->fill == 0 && !wait_for_room(conveyor))
            return tell_failure(conveyor, err);
        size_t room = PIECE_SIZE - conveyor->fill, n = len < room ? len : room;
        memcpy(conveyor->pieces[conveyor->filled % conveyor->count].data + conveyor->fill, from, n);
        conveyor->fill += n;
        from += n;
        len -= n;
        if (conveyor->fill == PIECE_SIZE)
            hand_over(conveyor, false, false);
    }
    return true;
}

void conveyor_flush(struct conveyor *conveyor)
{
    if (conveyor->fill > 0)
        hand_over(conveyor, false, false);
}

bool conveyor_end(struct conveyor *conveyor, struct error *err)
{
    hand_over(conveyor, true, false);
    pthread_join(conveyor->thread, NULL);
    conveyor->joined = true;
    return !conveyor->broken || tell_failure(conveyor, err);
}

void conveyor_free(struct conveyor *conveyor)
{
    if (!conveyor)
        return;
    if (!conveyor->joined) {
        hand_over(conveyor, true, true);
        pthread_join(conveyor->thread, NULL);
    }
    pthread_mutex_destroy(&conveyor->lock);
    pthread_cond_destroy(&conveyor->moved);
    free(conveyor);
}
