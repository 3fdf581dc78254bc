#include "shared/kube/kube.h"
#include "shared/kube/line.h"
#include "shared/kube/request.h"
#include "shared/kube/status.h"

#include "shared/base/clock.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    PAGE_OBJECTS = 50,
    PAGE_MAX = 16 * 1024 * 1024,
    TREE_MAX = 128 * 1024 * 1024,
    STREAM_S_MAX = 290,   /* load balancers cut what is older than 300 s */
    GRACE_MS = 10 * 1000, /* for the server to end a watch whose time is over */
    DELAY_MS_FIRST = 250,
    DELAY_MS_MAX = 5000,
};

/* ---- lists ---- */

struct listing {
    struct kube *kube;
    const struct kube_selection *what;
    kube_change_fn *fn;
    void *context;
    enum kube_verdict verdict;
    char resource_version[KUBE_VERSION_SIZE];
    char *next; /* token of the next page; NULL: there is none */
};

static void listing_release(struct listing *l)
{
    free(l->next);
}
AUTO_RELEASE(struct listing, listing_release)

static bool keep_version(char out[static KUBE_VERSION_SIZE], const char *version, struct error *err)
{
    if (!version || !*version || strlen(version) >= KUBE_VERSION_SIZE)
        return error_set(err, ERROR_UNAVAILABLE,
                         "a list without a resourceVersion: is 'server' a Kubernetes API server?");
    memcpy(out, version, strlen(version) + 1);
    return true;
}

static bool tell_items(struct listing *l, const struct json *page, struct error *err)
{
    const struct json *one = json_first(json_get(page, "items"));
    for (; one && l->verdict == KUBE_GO_ON; one = json_next(one))
        l->verdict = l->fn(l->context, KUBE_ADDED, one, err);
    return l->verdict != KUBE_FAILED;
}

static bool take_page(struct listing *l, const struct json *page, struct error *err)
{
    const struct json *metadata = json_get(page, "metadata");
    const char *next = json_get_string(metadata, "continue");
    free(TAKE(l->next));
    if (!keep_version(l->resource_version, json_get_string(metadata, "resourceVersion"), err) ||
        !tell_items(l, page, err))
        return false;
    if (next && *next && l->verdict == KUBE_GO_ON && !(l->next = strdup(next)))
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return true;
}

static bool ask_for_page(struct listing *l, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(KUBE_PATH_MAX);
    AUTO(bytes_release) struct bytes what = BYTES(KUBE_WHAT_MAX);
    AUTO(http_response_release) struct http_response response = { 0 };
    AUTO(arena_free) struct arena *arena = arena_new(TREE_MAX);
    char limit[16];
    snprintf(limit, sizeof limit, "%u", l->what->page > 0 ? l->what->page : PAGE_OBJECTS);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!kube_selection_path(&path, l->what, err) || !kube_selection_describe(&what, l->what, err) ||
        !kube_add_query(&path, "limit", limit, err) || !kube_add_query(&path, "continue", l->next, err))
        return false;
    const struct kube_request request = {
        .verb = "list",
        .what = bytes_text(&what),
        .method = "GET",
        .path = bytes_text(&path),
        .body_max = PAGE_MAX,
    };
    if (!kube_ask(l->kube, &request, &response, err))
        return false;
    const struct json *page = kube_answer(arena, &request, &response, err);
    return page && take_page(l, page, err);
}

static bool list(struct listing *l, struct kube_cursor *cursor, struct error *err)
{
    cursor->resource_version[0] = '\0';
    l->verdict = l->fn(l->context, KUBE_LISTING, NULL, err);
    while (l->verdict == KUBE_GO_ON) {
        if (!ask_for_page(l, err))
            return false;
        if (!l->next)
            break;
    }
    if (l->verdict == KUBE_GO_ON)
        l->verdict = l->fn(l->context, KUBE_LISTED, NULL, err);
    memcpy(cursor->resource_version, l->resource_version, KUBE_VERSION_SIZE);
    return l->verdict != KUBE_FAILED;
}

bool kube_list(struct kube *kube, const struct kube_selection *what, struct kube_cursor *cursor, kube_change_fn *fn,
               void *context, struct error *err)
{
    AUTO(listing_release) struct listing l = { .kube = kube, .what = what, .fn = fn, .context = context };
    return list(&l, cursor, err);
}

/* ---- one stream ---- */

enum ending {
    ENDED,        /* the server's time was over, or it went away */
    ENDED_ENOUGH, /* the caller has what it wanted */
    ENDED_GONE,   /* the server has forgotten where we were */
    ENDED_FAILED, /* what a caller or the server said that is not overcome */
    ENDED_BROKEN, /* connections, servers that restart */
};

struct watch {
    struct kube *kube;
    const struct kube_selection *what;
    struct kube_cursor *cursor;
    kube_change_fn *fn;
    void *context;
    struct bytes line;
    bool heard; /* something came from the server, of this stream */
    enum ending ending;
};

static void watch_release(struct watch *w)
{
    bytes_release(&w->line);
}
AUTO_RELEASE(struct watch, watch_release)

/* The way out of a request is an error, of which nobody hears where it was our wish. */
static bool end_with(struct watch *w, enum ending ending, struct error *err)
{
    w->ending = ending;
    return ending == ENDED_ENOUGH ? error_set(err, ERROR_UNAVAILABLE, "enough") : false;
}

/* 504: the server is behind what we have seen already, after a restore of its storage for ever. */
static bool is_gone(int code)
{
    return code == 410 || code == 504;
}

static bool take_line(struct watch *w, struct span text, struct error *err)
{
    static const enum kube_change changes[] = {
        [KUBE_LINE_ADDED] = KUBE_ADDED,
        [KUBE_LINE_MODIFIED] = KUBE_MODIFIED,
        [KUBE_LINE_DELETED] = KUBE_DELETED,
    };
    AUTO(arena_free)
    struct arena *arena = arena_new(TREE_MAX); /* not kept: watches mostly wait, and there may be many */
    struct kube_line line;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!kube_line_read(arena, text, &line, err))
        return end_with(w, ENDED_BROKEN, err);
    if (line.kind == KUBE_LINE_ERROR) {
        kube_status_tree_error(line.code, line.object, 0, &w->kube->refusal, err);
        return end_with(w, is_gone(line.code) ? ENDED_GONE : ENDED_BROKEN, err);
    }
    enum kube_verdict verdict = KUBE_GO_ON;
    if (line.kind != KUBE_LINE_BOOKMARK)
        verdict = w->fn(w->context, changes[line.kind], line.object, err);
    if (verdict == KUBE_FAILED)
        return end_with(w, ENDED_FAILED, err);
    if (!keep_version(w->cursor->resource_version, line.resource_version, err))
        return end_with(w, ENDED_BROKEN, err);
    return verdict == KUBE_GO_ON || end_with(w, ENDED_ENOUGH, err);
}

static bool on_stream(void *context, const void *data, size_t len, struct error *err)
{
    struct watch *w = context;
    struct span rest = { data, len };
    w->heard = true;
    for (long end = span_find(rest, '\n'); end >= 0; end = span_find(rest, '\n')) {
        struct span piece = { rest.data, (size_t)end };
        rest = (struct span){ rest.data + end + 1, rest.len - (size_t)end - 1 };
        if (!bytes_append_span(&w->line, piece, err))
            return end_with(w, ENDED_FAILED, err);
        bool taken = span_trim(bytes_span(&w->line)).len == 0 || take_line(w, bytes_span(&w->line), err);
        bytes_release(&w->line);
        if (!taken)
            return false;
    }
    return bytes_append_span(&w->line, rest, err) || end_with(w, ENDED_FAILED, err);
}

/* Is what the server refused worth another try, at once or later? */
static enum ending ending_of(const struct watch *w, const struct error *err)
{
    int code = w->kube->refusal.code;
    if (code == 0)
        return error_is_temporary(err) ? ENDED_BROKEN : ENDED_FAILED;
    return is_gone(code) ? ENDED_GONE : code == 429 || code >= 500 ? ENDED_BROKEN : ENDED_FAILED;
}

static enum ending stream(struct watch *w, long left_ms, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(KUBE_PATH_MAX);
    AUTO(bytes_release) struct bytes what = BYTES(KUBE_WHAT_MAX);
    AUTO(http_response_release) struct http_response response = { 0 };
    long seconds = (left_ms + 999) / 1000;
    char timeout[24];
    seconds = seconds > STREAM_S_MAX ? STREAM_S_MAX : seconds < 1 ? 1 : seconds;
    snprintf(timeout, sizeof timeout, "%ld", seconds);
    if (!kube_selection_path(&path, w->what, err) || !kube_selection_describe(&what, w->what, err) ||
        !kube_add_query(&path, "watch", "true", err) || !kube_add_query(&path, "allowWatchBookmarks", "true", err) ||
        !kube_add_query(&path, "resourceVersion", w->cursor->resource_version, err) ||
        !kube_add_query(&path, "timeoutSeconds", timeout, err))
        return ENDED_FAILED;
    const struct kube_request request = {
        .verb = "watch",
        .what = bytes_text(&what),
        .method = "GET",
        .path = bytes_text(&path),
        .timeout_ms = seconds * 1000 + GRACE_MS,
        .body_max = SIZE_MAX,
        .on_body = on_stream,
        .body_context = w,
    };
    bytes_release(&w->line);
    w->heard = false;
    w->ending = ENDED;
    if (kube_ask(w->kube, &request, &response, err))
        return ENDED;
    return w->ending == ENDED ? ending_of(w, err) : w->ending;
}

/* ---- watching ---- */

/* What there is, where that is not known. */
static enum ending catch_up(struct watch *w, struct error *err)
{
    AUTO(listing_release)
    struct listing l = { .kube = w->kube, .what = w->what, .fn = w->fn, .context = w->context };
    if (list(&l, w->cursor, err))
        return l.verdict == KUBE_ENOUGH ? ENDED_ENOUGH : ENDED;
    w->cursor->resource_version[0] = '\0';
    return l.verdict == KUBE_FAILED ? ENDED_FAILED : ending_of(w, err);
}

static enum ending step(struct watch *w, long left_ms, struct error *err)
{
    if (!w->cursor->resource_version[0]) {
        enum ending ending = catch_up(w, err);
        w->heard = ending == ENDED;
        return ending;
    }
    enum ending ending = stream(w, left_ms, err);
    if (ending == ENDED_GONE)
        w->cursor->resource_version[0] = '\0';
    return ending;
}

/* A server that ends every stream at once is not asked in circles, and one that says when gets its time. */
static long next_delay(const struct watch *w, long delay_ms, const struct error *err)
{
    if (w->heard)
        return 0;
    delay_ms = delay_ms == 0 ? DELAY_MS_FIRST : delay_ms < DELAY_MS_MAX / 2 ? delay_ms * 2 : DELAY_MS_MAX;
    long asked_ms = err->retry_after_s < DELAY_MS_MAX ? (long)err->retry_after_s * 1000 : 0;
    return asked_ms > delay_ms ? asked_ms : delay_ms;
}

static bool watch(struct watch *w, int64_t until_ms, struct error *err)
{
    bool reached = false;
    long delay_ms = 0;
    for (;;) {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        enum ending ending = step(w, (long)left_ms, err);
        if (ending == ENDED_ENOUGH || ending == ENDED_FAILED)
            return ending == ENDED_ENOUGH;
        reached = reached || ending != ENDED_BROKEN || w->heard;
        left_ms = until_ms - clock_monotonic_ms();
        delay_ms = next_delay(w, delay_ms, err);
        if (left_ms <= 0)
            return reached;
        if (!kube_pause(w->kube, delay_ms < left_ms ? delay_ms : (long)left_ms, err))
            return false;
        err->retry_after_s = 0;
    }
}

bool kube_watch(struct kube *kube, const struct kube_selection *what, struct kube_cursor *cursor, long timeout_ms,
                kube_change_fn *fn, void *context, struct error *err)
{
    AUTO(watch_release)
    struct watch w = {
        .kube = kube, .what = what, .cursor = cursor, .fn = fn, .context = context, .line = BYTES(KUBE_OBJECT_MAX)
    };
    struct error said = { 0 };
    if (watch(&w, clock_monotonic_ms() + timeout_ms, &said))
        return true;
    *err = said;
    return false;
}
