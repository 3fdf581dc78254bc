/* Bodies of git hosts: whatever is said to be a push holds what the chain relies on; what is not is refused by a kind that blames the sender.
 * The first byte chooses the host and its event. */
#include "functions/webhook/push.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
    if (!promise)
        abort();
}

static const struct {
    enum source_kind kind;
    const char *event;
} ways[] = {
    { SOURCE_GITHUB, "push" },        { SOURCE_GITLAB, "Push Hook" }, { SOURCE_GITLAB, "Tag Push Hook" },
    { SOURCE_GITLAB, "System Hook" }, { SOURCE_GITEA, "push" },       { SOURCE_GITEA, "create" },
    { SOURCE_FORGEJO, "delete" },     { SOURCE_GITHUB, "ping" },
};

static void check_text(const char *text, size_t longest)
{
    must(!text || (strlen(text) <= longest && span_is_utf8(span_of(text))));
}

static void check_change(const struct change *c)
{
    struct error err = { 0 };
    must(ref_check(c->ref, &err) &&
         strncmp(c->ref, c->is_tag ? "refs/tags/" : "refs/heads/", c->is_tag ? 10 : 11) == 0);
    must(c->repository && c->name && *c->name && strstr(c->ref, c->name));
    must(c->deleted ? !c->commit : c->commit && oid_is_legal(c->commit) && !oid_is_zero(c->commit));
    must((!c->before || oid_is_legal(c->before)) && (!c->after || oid_is_legal(c->after)));
    must(!(c->created && c->deleted) && c->commits >= 0 && c->pushed_ms >= 0);
    check_text(c->message, MESSAGE_MAX);
    check_text(c->sender, REF_MAX);
    check_text(c->url, URL_MAX);
}

static const struct patterns *some_paths(void)
{
    static struct patterns *paths;
    struct error err = { 0 };
    if (!paths)
        must((paths = patterns_new()) && patterns_add_glob(paths, SPAN("src/**"), &err) &&
             patterns_add_glob(paths, SPAN("!**/*.md"), &err));
    return paths;
}

static void check_paths(struct change *change)
{
    struct error err = { 0 };
    bool touches = false;
    must(!push_touches(change, some_paths(), &touches, &err) || touches || change->list_complete);
    change->list_complete = false;
    must(push_touches(change, some_paths(), &touches, &err) && touches);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const size_t way = (data[0] - (size_t)'0') % (sizeof ways / sizeof ways[0]);
    const struct span json = { (const char *)data + 1, size - 1 };
    AUTO(arena_free) struct arena *arena = arena_new(16 << 20);
    struct change change;
    struct error err = { 0 };
    must(arena != NULL);
    if (!push_read(arena, ways[way].kind, span_of(ways[way].event), json, &change, &err)) {
        must(err.kind == ERROR_INVALID || err.kind == ERROR_TOO_LARGE);
    } else if (change.ignored) {
        must(*change.ignored != '\0');
    } else {
        check_change(&change);
        check_paths(&change);
    }
    return 0;
}
