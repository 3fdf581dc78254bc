#include "functions/webhook/change.h"

#include <string.h>

const char *change_kind(const struct change *change)
{
    static const char *const names[2][3] = {
        { "branch-push", "branch-create", "branch-delete" },
        { "tag-push", "tag-create", "tag-delete" },
    };
    return names[change->is_tag][change->deleted ? 2 : change->created ? 1 : 0];
}

static bool is_forbidden(unsigned char c)
{
    return c <= ' ' || c == 0x7f || strchr("~^:?*[\\", c);
}

/* One part between slashes. */
static bool part_is_legal(struct span part)
{
    return part.len > 0 && part.data[0] != '.' && !span_ends(part, ".lock");
}

bool ref_check(const char *ref, struct error *err)
{
    struct span rest = span_of(ref);
    size_t parts = 0;
    if (rest.len > REF_MAX)
        return error_set(err, ERROR_INVALID, "the ref '%.40s...' is %zu bytes long; at most %d are taken", ref,
                         rest.len, REF_MAX);
    bool legal = span_starts(rest, "refs/") && !span_ends(rest, ".") && !strstr(ref, "..") && !strstr(ref, "@{");
    for (const char *p = ref; *p; p++)
        legal = legal && !is_forbidden((unsigned char)*p);
    for (; legal && rest.data; parts++)
        legal = part_is_legal(span_cut(&rest, '/'));
    return (legal && parts > 2) || error_set(err, ERROR_INVALID, "'%.200s' is not the name of a ref", ref);
}

bool oid_is_legal(const char *oid)
{
    size_t n = strlen(oid);
    return (n == 40 || n == 64) && strspn(oid, "0123456789abcdef") == n;
}

bool oid_is_zero(const char *oid)
{
    return oid_is_legal(oid) && strspn(oid, "0") == strlen(oid);
}
