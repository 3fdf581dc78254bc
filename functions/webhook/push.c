#include "functions/webhook/push.h"

#include "shared/base/clock.h"
#include "shared/base/json_scan.h"

#include <string.h>

enum field {
    REF,
    REF_TYPE,
    BEFORE,
    AFTER,
    CHECKOUT,
    SHA,
    FORCED,
    HEAD_ID,
    HEAD_MESSAGE,
    HEAD_TIME,
    FULL_NAME,
    NAME,
    OWNER,
    URL,
    PUSHED_AT,
    SENDER,
    TOTAL,
    EVENT_NAME,
    LIST,
    COMMIT,
    COMMIT_ID,
    COMMIT_MESSAGE,
    COMMIT_TIME,
    FIELDS
};

/* GitHub lists no more; GitLab lists 20, Gitea 15, and both say how many there are. */
enum { GITHUB_COMMITS_MAX = 2048 };

static const int64_t time_max_s = 4102444800; /* 2100: what lies behind it is not the time of a push */

static const struct json_path github_paths[] = {
    { "ref", REF },
    { "before", BEFORE },
    { "after", AFTER },
    { "forced", FORCED },
    { "head_commit.id", HEAD_ID },
    { "head_commit.message", HEAD_MESSAGE },
    { "head_commit.timestamp", HEAD_TIME },
    { "repository.full_name", FULL_NAME },
    { "repository.name", NAME },
    { "repository.owner.name", OWNER },
    { "repository.html_url", URL },
    { "repository.pushed_at", PUSHED_AT },
    { "sender.login", SENDER },
    { "commits", LIST },
    { "commits[]", COMMIT },
};

static const struct json_path gitlab_paths[] = {
    { "ref", REF },
    { "before", BEFORE },
    { "after", AFTER },
    { "checkout_sha", CHECKOUT },
    { "event_name", EVENT_NAME },
    { "project.path_with_namespace", FULL_NAME },
    { "project.web_url", URL },
    { "user_username", SENDER },
    { "total_commits_count", TOTAL },
    { "commits", LIST },
    { "commits[]", COMMIT },
};

static const struct json_path gitea_paths[] = {
    { "ref", REF },
    { "ref_type", REF_TYPE },
    { "before", BEFORE },
    { "after", AFTER },
    { "sha", SHA },
    { "head_commit.id", HEAD_ID },
    { "head_commit.message", HEAD_MESSAGE },
    { "head_commit.timestamp", HEAD_TIME },
    { "repository.full_name", FULL_NAME },
    { "repository.html_url", URL },
    { "sender.login", SENDER },
    { "total_commits", TOTAL },
    { "commits", LIST },
    { "commits[]", COMMIT },
};

static const struct reader {
    const struct json_path *paths;
    size_t count;
} readers[SOURCE_KINDS] = {
    [SOURCE_GITHUB] = { github_paths, sizeof github_paths / sizeof github_paths[0] },
    [SOURCE_GITLAB] = { gitlab_paths, sizeof gitlab_paths / sizeof gitlab_paths[0] },
    [SOURCE_GITEA] = { gitea_paths, sizeof gitea_paths / sizeof gitea_paths[0] },
};

/* Within the list. */
static const struct json_path commit_paths[] = {
    { "[].id", COMMIT_ID },
    { "[].message", COMMIT_MESSAGE },
    { "[].timestamp", COMMIT_TIME },
    { "[]", COMMIT },
};

/* What a body holds of interest, before it is understood. */
struct push_facts {
    struct arena *arena;
    const struct reader *reader; /* by which it is read */
    const char *text[FIELDS];
    int64_t number[FIELDS]; /* -1: absent */
    int64_t commits;
    struct span list;
    bool forced;
};

/* Names that are too long, or hold what no name can, are refused. */
static const char *read_text(struct arena *arena, struct span raw, size_t longest, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(longest);
    struct span inner = { raw.data + 1, raw.len - 2 };
    if (inner.len > longest || span_find(inner, '\\') >= 0) {
        if (!json_unquote(&text, raw, err))
            return NULL;
        inner = bytes_span(&text);
    }
    const char *copy = arena_dup(arena, inner);
    if (!copy)
        arena_no_room(arena, "the delivery", err);
    return copy;
}

/* "\uD8..": the first half of a surrogate pair, whose third digit is one of these, or the second. */
static bool is_half(const char *p, const char *third_digits)
{
    return p[0] == '\\' && p[1] == 'u' && (p[2] == 'd' || p[2] == 'D') && strchr(third_digits, p[3]);
}

/* Bytes of the escape that begins here, in a string that was scanned; both halves of a surrogate pair are one. */
static size_t escape_length(const char *p)
{
    bool pair = is_half(p, "89abAB") && is_half(p + 6, "cdefCDEF");
    return pair ? 12 : p[1] == 'u' ? 6 : 2;
}

/* The longest beginning of a scanned string within `max` bytes that ends between two characters, its quote not included. */
static struct span beginning_of(struct span raw, size_t max)
{
    size_t at = 1, next = 1;
    while (next <= max && next < raw.len - 1) {
        at = next;
        struct span rest = { raw.data + at, raw.len - at };
        next += *rest.data == '\\' ? escape_length(rest.data) : span_utf8_sequence(rest);
    }
    return (struct span){ raw.data, next <= max ? next : at };
}

/* Messages are for people, and for "[skip ci]": of a long one the beginning serves, and one that holds what no text can
 * hold is left out rather than the push refused. */
static const char *read_message(struct arena *arena, struct span raw)
{
    struct error ignored = { 0 };
    if (raw.len <= MESSAGE_MAX)
        return read_text(arena, raw, MESSAGE_MAX, &ignored);
    AUTO(bytes_release) struct bytes cut = BYTES(MESSAGE_MAX + 1);
    if (!bytes_append_span(&cut, beginning_of(raw, MESSAGE_MAX), &ignored) || !bytes_append_char(&cut, '"', &ignored))
        return NULL;
    return read_text(arena, bytes_span(&cut), MESSAGE_MAX, &ignored);
}

static const char *member_of(const struct reader *reader, int field)
{
    size_t i = 0;
    while (reader->paths[i].field != field)
        i++;
    return reader->paths[i].path;
}

static bool keep_text(struct push_facts *f, int field, struct span raw, struct error *err)
{
    const size_t longest = field == URL ? URL_MAX : REF_MAX;
    if (field == HEAD_MESSAGE) {
        f->text[field] = read_message(f->arena, raw);
        return true;
    }
    f->text[field] = read_text(f->arena, raw, longest, err);
    if (f->text[field])
        return true;
    if (err->kind == ERROR_TOO_LARGE && raw.len - 2 > longest)
        return error_set(err, ERROR_TOO_LARGE, "\"%s\" is %zu bytes long; at most %zu are taken",
                         member_of(f->reader, field), raw.len - 2, longest);
    return error_wrap(err, "\"%s\"", member_of(f->reader, field));
}

/* -1 for what is too long to be a time or a count. Copied, because nothing need stand behind the text's end. */
static int64_t read_number(struct span raw)
{
    char digits[20] = "-1";
    if (raw.len < sizeof digits - 1)
        snprintf(digits, sizeof digits, "%.*s", SPAN_ARGS(raw));
    return strtoll(digits, NULL, 10);
}

static bool keep(void *context, int field, enum json_type type, struct span raw, size_t index, struct error *err)
{
    struct push_facts *f = context;
    (void)index;
    if (field == COMMIT)
        f->commits++;
    else if (field == LIST)
        f->list = type == JSON_ARRAY ? raw : (struct span){ NULL, 0 };
    else if (type == JSON_STRING)
        return keep_text(f, field, raw, err);
    else if (type == JSON_NUMBER)
        f->number[field] = read_number(raw);
    else if (type == JSON_BOOLEAN && field == FORCED)
        f->forced = span_is(raw, "true");
    return true;
}

/* An object's name, NULL for none. ERROR_INVALID when it is not one. */
static bool read_oid(const char *text, const char **out, const char *what, struct error *err)
{
    *out = NULL;
    if (!text || !*text || oid_is_zero(text))
        return true;
    if (!oid_is_legal(text))
        return error_set(err, ERROR_INVALID, "'%.100s' is not a commit: \"%s\"", text, what);
    *out = text;
    return true;
}

static bool read_ref(struct arena *arena, const struct push_facts *f, struct change *out, struct error *err)
{
    const char *ref = f->text[REF];
    const char *type = f->text[REF_TYPE];
    if (!ref || !*ref)
        return error_set(err, ERROR_INVALID, "the push names no ref");
    if (type && strncmp(ref, "refs/", 5) != 0)
        ref = arena_printf(arena, "refs/%s/%s", strcmp(type, "tag") == 0 ? "tags" : "heads", ref);
    if (!ref)
        return arena_no_room(arena, "the ref", err);
    if (!ref_check(ref, err))
        return false;
    out->ref = ref;
    out->is_tag = strncmp(ref, "refs/tags/", 10) == 0;
    if (!out->is_tag && strncmp(ref, "refs/heads/", 11) != 0) {
        out->ignored = arena_printf(arena, "'%s' is neither a branch nor a tag", ref);
        return true;
    }
    out->name = ref + (out->is_tag ? 10 : 11);
    return true;
}

static bool read_repository(struct arena *arena, const struct push_facts *f, struct change *out, struct error *err)
{
    out->repository = f->text[FULL_NAME];
    if (!out->repository && f->text[NAME] && f->text[OWNER]) /* GitHub's form of 2012 */
        out->repository = arena_printf(arena, "%s/%s", f->text[OWNER], f->text[NAME]);
    out->url = f->text[URL];
    return out->repository || error_set(err, ERROR_INVALID, "the push names no repository");
}

/* For an annotated tag "after" is the tag object; each host has its own member for the commit. */
static bool read_commit(enum source_kind kind, const struct push_facts *f, struct change *out, struct error *err)
{
    /* An end that is missing is not an end of zeros: nothing is created or deleted by what was left out. */
    if (!f->text[REF_TYPE] && (!f->text[BEFORE] || !f->text[AFTER]))
        return error_set(err, ERROR_INVALID, "the push does not say \"before\" and \"after\"");
    const char *pointed = kind == SOURCE_GITLAB ? f->text[CHECKOUT] : out->is_tag ? f->text[HEAD_ID] : NULL;
    if (!read_oid(f->text[BEFORE], &out->before, "before", err) ||
        !read_oid(f->text[AFTER] ? f->text[AFTER] : f->text[SHA], &out->after, "after", err) ||
        !read_oid(pointed, &out->commit, "commit", err))
        return false;
    if (!out->commit)
        out->commit = out->after;
    out->created = !out->before && out->after;
    out->deleted = !out->after;
    if (out->deleted)
        out->commit = NULL;
    return out->before || out->after || f->text[REF_TYPE] || error_set(err, ERROR_INVALID, "the push names no commit");
}

static void read_commit_list(enum source_kind kind, const struct push_facts *f, struct change *out)
{
    int64_t total = f->number[TOTAL];
    out->list = f->list;
    out->commits = total >= 0 ? total : f->commits;
    bool all_listed = kind == SOURCE_GITHUB ? f->commits < GITHUB_COMMITS_MAX : total == f->commits;
    /* A new branch lists what is new to the repository, a forced push what the branch had not: neither is "what changed". */
    out->list_complete = all_listed && f->commits > 0 && !out->created && !out->forced;
}

static void read_times(const struct push_facts *f, struct change *out)
{
    if (f->number[PUSHED_AT] > 0 && f->number[PUSHED_AT] < time_max_s)
        out->pushed_ms = f->number[PUSHED_AT] * 1000;
    if (f->text[HEAD_TIME])
        (void)rfc3339_parse(span_of(f->text[HEAD_TIME]), &out->commit_ms);
}

/* GitLab tells message and time only in the list of commits: those of the one that is the head. */
struct head {
    struct arena *arena;
    struct change *change;
    struct span id, message, time; /* of the present commit, as they stand in the text */
};

static bool keep_head(void *context, int field, enum json_type type, struct span raw, size_t index, struct error *err)
{
    struct head *h = context;
    (void)index;
    (void)err;
    if (field != COMMIT) {
        struct span *place = field == COMMIT_ID ? &h->id : field == COMMIT_MESSAGE ? &h->message : &h->time;
        *place = type == JSON_STRING ? raw : (struct span){ NULL, 0 };
        return true;
    }
    const char *commit = h->change->commit;
    size_t n = commit ? strlen(commit) : 0;
    if (n > 0 && h->id.len == n + 2 && memcmp(h->id.data + 1, commit, n) == 0) {
        h->change->message = h->message.data ? read_message(h->arena, h->message) : NULL;
        if (h->time.data)
            (void)rfc3339_parse((struct span){ h->time.data + 1, h->time.len - 2 }, &h->change->commit_ms);
    }
    h->id = h->message = h->time = (struct span){ NULL, 0 };
    return true;
}

static bool read_head(struct arena *arena, struct change *out, struct error *err)
{
    struct head head = { .arena = arena, .change = out };
    return json_scan(out->list, commit_paths, sizeof commit_paths / sizeof commit_paths[0], keep_head, &head, err);
}

static bool understand(struct arena *arena, enum source_kind kind, const struct push_facts *f, struct change *out,
                       struct error *err)
{
    if (!read_repository(arena, f, out, err) || !read_ref(arena, f, out, err) || out->ignored)
        return out->ignored != NULL;
    if (!read_commit(kind, f, out, err))
        return false;
    out->forced = f->forced;
    out->message = f->text[HEAD_MESSAGE];
    out->sender = f->text[SENDER];
    read_commit_list(kind, f, out);
    read_times(f, out);
    return kind != SOURCE_GITLAB || f->commits == 0 || read_head(arena, out, err);
}

/* Which of a host's events tell a push, and what the others are to us. */
enum meaning { MEANS_PUSH, MEANS_BY_NAME, MEANS_CREATION, MEANS_DELETION };

static const struct {
    enum source_kind kind;
    const char *event;
    enum meaning meaning;
} events[] = {
    { SOURCE_GITHUB, "push", MEANS_PUSH },          { SOURCE_GITLAB, "Push Hook", MEANS_PUSH },
    { SOURCE_GITLAB, "Tag Push Hook", MEANS_PUSH }, { SOURCE_GITLAB, "System Hook", MEANS_BY_NAME },
    { SOURCE_GITEA, "push", MEANS_PUSH },           { SOURCE_GITEA, "create", MEANS_CREATION },
    { SOURCE_GITEA, "delete", MEANS_DELETION },
};

static const struct {
    enum source_kind kind;
    const char *event, *reason;
} uninteresting[] = {
    { SOURCE_GITHUB, "ping", "pong: the hook works" },
    { SOURCE_GITHUB, "create", "the push event tells of new branches and tags" },
    { SOURCE_GITHUB, "delete", "the push event tells of deleted branches and tags" },
};

static const char *why_ignored(struct arena *arena, enum source_kind kind, struct span event)
{
    for (size_t i = 0; i < sizeof uninteresting / sizeof uninteresting[0]; i++)
        if (uninteresting[i].kind == kind && span_is(event, uninteresting[i].event))
            return uninteresting[i].reason;
    if (event.len == 0)
        return "the request names no event: no header says what happened";
    return arena_printf(arena, "'%.*s' is not a push", event.len < 100 ? (int)event.len : 100,
                        event.data ? event.data : "");
}

/* Gitea tells a new tag twice, as "create" and as "push": both get one identity. A new branch is told as "push" too. */
static bool settle_gitea(struct arena *arena, enum meaning meaning, const struct push_facts *f, struct change *out,
                         struct error *err)
{
    if (meaning == MEANS_CREATION && !out->is_tag) {
        out->ignored = "the push event tells of new branches";
        return true;
    }
    if (meaning == MEANS_CREATION)
        out->created = true;
    if (meaning == MEANS_CREATION && !out->commit)
        return error_set(err, ERROR_INVALID, "the new tag '%s' names no commit", f->text[REF]);
    if (out->is_tag && out->after)
        out->delivery = arena_printf(arena, "%s %s", out->ref, out->after);
    return true;
}

static size_t row_of(enum source_kind kind, struct span event)
{
    size_t i = 0;
    while (i < sizeof events / sizeof events[0] && !(events[i].kind == kind && span_is(event, events[i].event)))
        i++;
    return i;
}

bool push_read(struct arena *arena, enum source_kind kind, struct span event, struct span json, struct change *out,
               struct error *err)
{
    if (kind == SOURCE_FORGEJO)
        kind = SOURCE_GITEA;
    *out = (struct change){ 0 };
    size_t row = row_of(kind, event);
    struct push_facts facts = { .arena = arena, .reader = &readers[kind] };
    for (size_t i = 0; i < FIELDS; i++)
        facts.number[i] = -1;
    /* Checked whatever the event is: a body that is not JSON is told so. */
    if (!json_scan(json, readers[kind].paths, readers[kind].count, keep, &facts, err))
        return error_wrap(err, "the body");
    if (row == sizeof events / sizeof events[0]) {
        out->ignored = why_ignored(arena, kind, event);
        return true;
    }
    if (events[row].meaning == MEANS_BY_NAME) {
        const char *name = facts.text[EVENT_NAME];
        if (!name || (strcmp(name, "push") != 0 && strcmp(name, "tag_push") != 0)) {
            out->ignored = arena_printf(arena, "the system hook '%s' is not a push", name ? name : "");
            return true;
        }
    }
    return understand(arena, kind, &facts, out, err) &&
           (kind != SOURCE_GITEA || out->ignored || settle_gitea(arena, events[row].meaning, &facts, out, err));
}
