#include "shared/dockerfile/gitref.h"

#include "shared/dockerfile/path.h"
#include "shared/dockerfile/sourceurl.h"
#include "shared/dockerfile/text.h"

#include <string.h>

/* What a query of the source may say, one row a key. */
struct query {
    struct git_ref *ref;
    struct arena *arena;
    const char *tag, *branch;
};

typedef bool query_fn(struct query *query, const char *key, const char *value, struct error *err);

static bool conflict(const char *what, const char *a, const char *b, struct error *err)
{
    AUTO(free) char *first = quote(span_of(a)), *second = quote(span_of(b));
    return error_set(err, ERROR_INVALID, "%s conflicts: %s vs %s", what, first ? first : "", second ? second : "");
}

static bool set_once(const char **slot, const char *what, const char *value, struct error *err)
{
    if (**slot && strcmp(*slot, value) != 0)
        return conflict(what, *slot, value, err);
    *slot = value;
    return true;
}

static bool take_ref(struct query *query, const char *key, const char *value, struct error *err)
{
    return set_once(&query->ref->ref, key, value, err);
}

static bool take_tag(struct query *query, const char *key, const char *value, struct error *err)
{
    (void)key;
    (void)err;
    query->tag = value;
    return true;
}

static bool take_branch(struct query *query, const char *key, const char *value, struct error *err)
{
    (void)key;
    (void)err;
    query->branch = value;
    return true;
}

static bool take_subdir(struct query *query, const char *key, const char *value, struct error *err)
{
    return set_once(&query->ref->subdir, key, value, err);
}

static bool take_checksum(struct query *query, const char *key, const char *value, struct error *err)
{
    (void)key;
    (void)err;
    query->ref->checksum = value;
    return true;
}

static bool take_mtime(struct query *query, const char *key, const char *value, struct error *err)
{
    AUTO(free) char *quoted = quote(span_of(value));
    if (strcmp(value, "checkout") != 0 && strcmp(value, "commit") != 0)
        return error_set(err, ERROR_INVALID, "invalid %s value: %s (must be \"checkout\" or \"commit\")", key,
                         quoted ? quoted : "");
    query->ref->mtime = value;
    return true;
}

static bool choose(enum git_ref_choice *choice, const char *key, const char *value, struct error *err)
{
    bool yes = true;
    AUTO(free) char *quoted = quote(span_of(value));
    if (*value && !bool_parse(span_of(value), &yes))
        return error_set(err, ERROR_INVALID, "invalid %s value: %s", key, quoted ? quoted : "");
    *choice = yes ? GIT_REF_YES : GIT_REF_NO;
    return true;
}

static bool take_keep(struct query *query, const char *key, const char *value, struct error *err)
{
    return choose(&query->ref->keep_git_dir, key, value, err);
}

static bool take_submodules(struct query *query, const char *key, const char *value, struct error *err)
{
    return choose(&query->ref->submodules, key, value, err);
}

static bool take_by_commit(struct query *query, const char *key, const char *value, struct error *err)
{
    return choose(&query->ref->fetch_by_commit, key, value, err);
}

static const struct {
    const char *key;
    query_fn *take;
    bool may_be_empty;
} queries[] = {
    { "ref", take_ref, false },
    { "tag", take_tag, false },
    { "branch", take_branch, false },
    { "subdir", take_subdir, false },
    { "checksum", take_checksum, false },
    { "commit", take_checksum, false },
    { "mtime", take_mtime, false },
    { "keep-git-dir", take_keep, true },
    { "submodules", take_submodules, true },
    { "fetch-by-commit", take_by_commit, true },
};
enum { QUERIES = sizeof queries / sizeof *queries, QUERY_PAIRS_MAX = 32 };

/* "query "x" has no value" and the like. */
static bool about_query(const char *before, const char *key, const char *behind, struct error *err)
{
    AUTO(free) char *quoted = quote(span_of(key));
    return error_set(err, ERROR_INVALID, "%squery %s%s", before, quoted ? quoted : "", behind);
}

static bool take_pair(struct query *query, const struct dockerfile_pairs *pairs, size_t index, struct error *err)
{
    const struct dockerfile_pair *pair = &pairs->items[index];
    size_t row = 0, same = 0;
    for (size_t i = 0; i < pairs->count; i++)
        same += !strcmp(pairs->items[i].key, pair->key);
    if (same > 1)
        return about_query("", pair->key, " has multiple values", err);
    while (row < QUERIES && strcmp(queries[row].key, pair->key) != 0)
        row++;
    if (!*pair->value && (row == QUERIES || !queries[row].may_be_empty))
        return about_query("", pair->key, " has no value", err);
    if (row == QUERIES)
        return about_query("unexpected ", pair->key, "", err);
    return queries[row].take(query, pair->key, pair->value, err);
}

/* "v1" of tag=v1 as "refs/tags/v1". */
static bool take_name(struct query *query, const char *prefix, const char *name, struct error *err)
{
    if (!name)
        return true;
    const char *full =
        strncmp(name, prefix, strlen(prefix)) != 0 ? arena_printf(query->arena, "%s%s", prefix, name) : name;
    return full ? set_once(&query->ref->ref, "ref", full, err) : no_memory(err);
}

static bool take_query(struct arena *arena, const struct dockerfile_pairs *pairs, struct git_ref *ref,
                       struct error *err)
{
    struct query query = { .ref = ref, .arena = arena };
    if (pairs->count > QUERY_PAIRS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d queries in a git source", QUERY_PAIRS_MAX);
    for (size_t i = 0; i < pairs->count; i++)
        if (!take_pair(&query, pairs, i, err))
            return false;
    if (query.tag && query.branch)
        return take_name(&query, "refs/tags/", query.tag, err) &&
               error_set(err, ERROR_INVALID, "branch conflicts with tag");
    return take_name(&query, "refs/tags/", query.tag, err) && take_name(&query, "refs/heads/", query.branch, err);
}

/* "ref:subdir" */
static bool take_fragment(struct arena *arena, const char *fragment, struct git_ref *ref, struct error *err)
{
    struct span subdir = span_of(fragment), name = span_cut(&subdir, ':');
    ref->ref = arena_dup(arena, name);
    ref->subdir = subdir.len ? path_join(arena, "/", subdir.data) : "/";
    if (!ref->ref || !ref->subdir)
        return no_memory(err);
    ref->subdir++; /* the slash */
    return true;
}

static bool refuse(const char *message, struct error *err)
{
    return error_set(err, ERROR_INVALID, "%s", message);
}

static bool is_supported(const char *scheme)
{
    static const char *const schemes[] = { "http", "https", "ssh", "git" };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (!strcmp(schemes[i], scheme))
            return true;
    return false;
}

static const char letters_and_digits[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

/* The length of a run of letters, digits, "-" and `more`. */
static size_t name_length(const char *text, char more)
{
    size_t length = 0, run = strspn(text, letters_and_digits);
    while (length < run && ((text[length] != '_' && text[length] != '.') || text[length] == more))
        length++;
    return length;
}

/* user@host:path[?query][#fragment] as a URL of its own kind: nothing in it is escaped but the query. */
static bool scp_parse(struct arena *arena, const char *source, struct source_url *out)
{
    size_t user = name_length(source, '_'), host = source[user] == '@' ? name_length(source + user + 1, '.') : 0;
    if (!user || !host || source[user + 1 + host] != ':' || strpbrk(source, "\n"))
        return false;
    struct span fragment = span_of(source), query = span_cut(&fragment, '#'), address = span_cut(&query, '?');
    out->scheme = "ssh";
    out->address = out->path = arena_dup(arena, address);
    out->fragment = fragment.data ? fragment.data : "";
    out->query = query.data ? arena_dup(arena, query) : NULL;
    return out->address && (out->query || !query.data);
}

/* The source's URL; false when it is no git source. */
static bool locate(struct arena *arena, const char *source, struct git_ref *ref, struct source_url *url,
                   struct error *err)
{
    static const char host[] = "github.com/";
    const char *separator = source + strspn(source, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    if (!strncmp(source, "./", 2) || !strncmp(source, "../", 3))
        return refuse("invalid argument", err);
    ref->looks_like_a_path = !strncmp(source, host, strlen(host));
    if (ref->looks_like_a_path)
        return source_url_parse(arena, source, url, err);
    if (separator == source || strncmp(separator, "://", 3) != 0)
        return scp_parse(arena, source, url) || refuse("unknown protocol", err);
    const char *scheme = text_lower(arena, (struct span){ source, (size_t)(separator - source) });
    if (!scheme)
        return no_memory(err);
    if (!is_supported(scheme))
        return error_set(err, ERROR_INVALID, "%.100s: invalid protocol", scheme);
    if (!source_url_parse(arena, source, url, err))
        return false;
    ref->unencrypted = !strcmp(scheme, "http") || !strcmp(scheme, "git");
    return strncmp(scheme, "http", 4) != 0 || span_ends(span_of(url->path), ".git") || refuse("invalid argument", err);
}

static const char *name_of(struct arena *arena, const char *remote)
{
    const char *slash = strrchr(remote, '/');
    struct span name = span_of(slash ? slash + 1 : remote);
    if (span_ends(name, ".git"))
        name.len -= 4;
    return arena_dup(arena, name);
}

static bool fill(struct arena *arena, const struct source_url *url, struct git_ref *ref, bool *is_git,
                 struct error *err)
{
    struct dockerfile_pairs pairs = { 0 };
    bool broken = false, is_scp = url->path == url->address;
    ref->remote = url->address;
    ref->name = name_of(arena, url->address);
    ref->checksum = ref->mtime = "";
    if (!ref->name)
        return no_memory(err);
    if (!take_fragment(arena, url->fragment, ref, err) ||
        (url->query && !source_url_query(arena, url->query, &pairs, &broken, err)))
        return false;
    if (broken && is_scp)
        return refuse("unknown protocol", err);
    *is_git = true;
    if (!take_query(arena, &pairs, ref, err))
        return false;
    const char *directory = path_join(arena, "/", ref->subdir);
    ref->directory = directory ? directory + 1 : NULL;
    return directory || no_memory(err);
}

bool git_ref_parse(struct arena *arena, const char *source, struct git_ref *out, bool *is_git, struct error *err)
{
    struct git_ref made = { 0 };
    struct source_url url = { 0 };
    *is_git = false;
    if (strlen(source) > GIT_REF_MAX)
        return error_set(err, ERROR_TOO_LARGE, "a source is longer than %d bytes", GIT_REF_MAX);
    if (!locate(arena, source, &made, &url, err) || !fill(arena, &url, &made, is_git, err))
        return false;
    *out = made;
    return true;
}
