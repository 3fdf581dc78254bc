#include "functions/webhook/push.h"

#include "shared/base/json_scan.h"

#include <string.h>

/* GitHub cuts a commit's list of paths here; the longest path that is looked at. */
enum { COMMIT_PATHS_MAX = 3000, PATH_MAX_BYTES = 16 * 1024 };

enum { PATH, LIST, COMMIT };

static const struct json_path changed_paths[] = {
    { "[].added[]", PATH },  { "[].modified[]", PATH }, { "[].removed[]", PATH }, { "[].added", LIST },
    { "[].modified", LIST }, { "[].removed", LIST },    { "[]", COMMIT },
};

struct path_search {
    const struct patterns *paths;
    struct bytes path;
    bool found;
    size_t lists, listed; /* of the present commit */
};

/* A path that cannot be read might be any. */
static bool match_path(struct path_search *search, struct span raw, struct error *err)
{
    struct error unreadable = { 0 };
    struct span path = { raw.data + 1, raw.len - 2 };
    if (span_find(path, '\\') >= 0) {
        bytes_clear(&search->path);
        search->found = !json_unquote(&search->path, raw, &unreadable);
        path = bytes_span(&search->path);
    }
    return search->found || patterns_match(search->paths, path, &search->found, err);
}

/* A commit without lists, or with one as long as a host makes them, has changed what we are not told. False, without an error, ends the
 * scan once something is found: the body was read whole before. */
static bool look(void *context, int field, enum json_type type, struct span raw, size_t index, struct error *err)
{
    struct path_search *search = context;
    (void)index;
    if (field == PATH) {
        search->listed++;
        return type != JSON_STRING || (match_path(search, raw, err) && !search->found);
    }
    if (field == LIST) {
        search->lists += type == JSON_ARRAY;
        return true;
    }
    search->found = search->lists == 0 || search->listed >= COMMIT_PATHS_MAX;
    search->lists = search->listed = 0;
    return !search->found;
}

static void release_search(struct path_search *search)
{
    bytes_release(&search->path);
}
AUTO_RELEASE(struct path_search, release_search)

bool push_touches(const struct change *change, const struct patterns *paths, bool *touches, struct error *err)
{
    AUTO(release_search) struct path_search search = { .paths = paths, .path = BYTES(PATH_MAX_BYTES) };
    if (change->list_complete &&
        !json_scan(change->list, changed_paths, sizeof changed_paths / sizeof changed_paths[0], look, &search, err) &&
        !search.found)
        return false;
    *touches = !change->list_complete || search.found;
    return true;
}
