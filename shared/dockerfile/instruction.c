/* From the words of an instruction to its meaning: a row and a function for each. */
#include "shared/dockerfile/flag.h"
#include "shared/dockerfile/mount.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

typedef bool parse_fn(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                      struct error *err);

static bool at_least_one(const struct node *node, struct error *err)
{
    return node->args.count ||
           error_set(err, ERROR_INVALID, "%s requires at least one argument", dockerfile_op_name(node->op));
}

static bool no_flags(struct arena *arena, const struct node *node, struct error *err)
{
    return flags_parse(arena, node, NULL, 0, err);
}

static bool parse_value(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                        struct error *err)
{
    if (node->args.count != 1)
        return error_set(err, ERROR_INVALID, "%s requires exactly one argument", dockerfile_op_name(node->op));
    out->value = node->args.items[0];
    return no_flags(arena, node, err);
}

/* ENV and LABEL, whose words come as key, value, key, value. */
static bool parse_pairs(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                        struct error *err)
{
    if (!no_flags(arena, node, err) || !at_least_one(node, err))
        return false;
    size_t count = node->args.count / 2;
    struct dockerfile_pair *pairs = arena_take(arena, count * sizeof *pairs);
    if (!pairs)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        pairs[i] = (struct dockerfile_pair){ node->args.items[2 * i], node->args.items[2 * i + 1] };
        if (!*pairs[i].key)
            return error_set(err, ERROR_INVALID, "%s names can not be blank", dockerfile_op_name(node->op));
    }
    out->pairs = (struct dockerfile_pairs){ pairs, count };
    out->legacy_pair = node->legacy;
    return true;
}

static bool parse_arg(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                      struct error *err)
{
    if (!at_least_one(node, err))
        return false;
    struct dockerfile_pair *pairs = arena_take(arena, node->args.count * sizeof *pairs);
    if (!pairs)
        return no_memory(err);
    for (size_t i = 0; i < node->args.count; i++) {
        struct span value = span_of(node->args.items[i]), key = span_cut(&value, '=');
        if (value.data && !key.len)
            return error_set(err, ERROR_INVALID, "ARG names can not be blank");
        pairs[i].key = arena_dup(arena, key);
        pairs[i].value = value.data ? arena_dup(arena, value) : NULL;
        if (!pairs[i].key || (value.data && !pairs[i].value))
            return no_memory(err);
    }
    out->pairs = (struct dockerfile_pairs){ pairs, node->args.count };
    return no_flags(arena, node, err);
}

static const struct dockerfile_heredoc *heredoc_named(const struct node *node, const char *name)
{
    for (size_t i = node->heredoc_count; i > 0; i--)
        if (!strcmp(node->heredocs[i - 1].name, name))
            return &node->heredocs[i - 1];
    return NULL;
}

/* What looks like one and is broken is none. */
static bool is_heredoc(struct arena *arena, const char *word, struct dockerfile_heredoc *out)
{
    struct error ignored = { 0 };
    bool found = false;
    return heredoc_parse(arena, span_of(word), out, &found, &ignored) && found;
}

/* A source that is the start of a heredoc becomes a file of its own. */
static bool take_source(struct arena *arena, const struct node *node, const char *word, struct word_list *sources,
                        struct dockerfile_heredoc *heredocs, size_t *heredoc_count, struct error *err)
{
    struct dockerfile_heredoc heredoc;
    if (!is_heredoc(arena, word, &heredoc))
        return word_add(arena, sources, word, err);
    const struct dockerfile_heredoc *read = heredoc_named(node, heredoc.name);
    heredoc.body = read ? read->body : "";
    if (heredoc.chomp)
        heredoc.body = heredoc_chomp(arena, heredoc.body);
    if (!heredoc.body)
        return no_memory(err);
    heredocs[(*heredoc_count)++] = heredoc;
    return true;
}

static bool parse_sources(struct arena *arena, const struct node *node, struct dockerfile_copy *copy, struct error *err)
{
    size_t sources = node->args.count - 1;
    struct word_list paths = { 0 };
    struct dockerfile_heredoc dest, *heredocs = arena_take(arena, (sources + 1) * sizeof *heredocs);
    if (!heredocs)
        return no_memory(err);
    copy->dest = node->args.items[sources];
    if (is_heredoc(arena, copy->dest, &dest))
        return error_set(err, ERROR_INVALID, "%s cannot accept a heredoc as a destination",
                         dockerfile_op_name(node->op));
    for (size_t i = 0; i < sources; i++)
        if (!take_source(arena, node, node->args.items[i], &paths, heredocs, &copy->heredocs.count, err))
            return false;
    copy->heredocs.items = heredocs;
    copy->sources = words_of(&paths);
    return true;
}

static bool parse_copy(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                       struct error *err)
{
    struct dockerfile_copy *copy = &out->copy;
    struct word_list excludes = { 0 };
    /* COPY's own first, then what both know, then ADD's own */
    const struct flag flags[] = {
        { "from", FLAG_TEXT, .text = &copy->from },
        { "parents", FLAG_BOOLEAN, .boolean = &copy->parents },
        { "chmod", FLAG_TEXT, .text = &copy->chmod },
        { "chown", FLAG_TEXT, .text = &copy->chown },
        { "exclude", FLAG_LIST, .list = &excludes },
        { "link", FLAG_BOOLEAN, .boolean = &copy->link },
        { "checksum", FLAG_TEXT, .text = &copy->checksum },
        { "keep-git-dir", FLAG_BOOLEAN, .boolean = &copy->keep_git_dir, .used = &copy->keep_git_dir_set },
        { "unpack", FLAG_BOOLEAN, .boolean = &copy->unpack, .used = &copy->unpack_set },
    };
    if (node->args.count < 2)
        return error_set(
            err, ERROR_INVALID,
            "%s requires at least two arguments, but only one was provided. Destination could not be determined",
            dockerfile_op_name(node->op));
    bool add = node->op == DOCKERFILE_ADD;
    if (!flags_parse(arena, node, add ? flags + 2 : flags, add ? 7 : 6, err))
        return false;
    copy->excludes = words_of(&excludes);
    return parse_sources(arena, node, copy, err);
}

static bool stage_name_valid(const char *name)
{
    size_t length = strlen(name);
    return name[0] >= 'a' && name[0] <= 'z' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == length;
}

static bool parse_from(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                       struct error *err)
{
    const char *const *args = node->args.items;
    if (node->args.count == 3 && !strcasecmp(args[1], "as")) {
        out->from.as = args[1];
        out->from.written_name = args[2];
        out->from.name = text_lower(arena, span_of(args[2]));
        if (!out->from.name)
            return no_memory(err);
        if (!stage_name_valid(out->from.name)) {
            AUTO(free) char *quoted = quote(span_of(args[2]));
            return error_set(err, ERROR_INVALID,
                             "invalid name for build stage: %s, name can't start with a number or contain symbols",
                             quoted ? quoted : "");
        }
    } else if (node->args.count != 1) {
        return error_set(err, ERROR_INVALID, "FROM requires either one or three arguments");
    }
    out->from.image = args[0];
    const struct flag platform = { "platform", FLAG_TEXT, .text = &out->from.platform };
    return flags_parse(arena, node, &platform, 1, err);
}

/* The words behind ONBUILD, and the heredocs that belong to them. */
static bool trigger_text(struct arena *arena, const struct node *node, const char **out, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(DOCKERFILE_SIZE_MAX);
    struct span line = text_trim_left(span_of(node->line));
    line = text_trim_left(text_skip(line, strlen("ONBUILD")));
    if (!bytes_append_span(&text, line, err))
        return false;
    for (size_t i = 0; i < node->heredoc_count; i++)
        if (!bytes_append_char(&text, '\n', err) || !bytes_append_text(&text, node->heredocs[i].body, err) ||
            !bytes_append_text(&text, node->heredocs[i].name, err))
            return false;
    *out = arena_dup(arena, bytes_span(&text));
    return *out || no_memory(err);
}

static bool may_trigger(const struct node *trigger, struct error *err)
{
    if (trigger->op == DOCKERFILE_ONBUILD)
        return error_set(err, ERROR_INVALID, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (trigger->op == DOCKERFILE_FROM || trigger->op == DOCKERFILE_MAINTAINER)
        return error_set(err, ERROR_INVALID, "%s isn't allowed as an ONBUILD trigger", dockerfile_op_name(trigger->op));
    return true;
}

static bool parse_onbuild(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                          struct error *err)
{
    if (!node->trigger)
        return error_set(err, ERROR_INVALID, "ONBUILD requires at least one argument");
    return no_flags(arena, node, err) && may_trigger(node->trigger, err) && trigger_text(arena, node, &out->value, err);
}

static struct dockerfile_command command_of(const struct node *node, size_t skip)
{
    return (struct dockerfile_command){ .shell = !node->json,
                                        .args = { node->args.count > skip ? node->args.items + skip : NULL,
                                                  node->args.count - skip } };
}

static bool parse_command(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                          struct error *err)
{
    out->command = command_of(node, 0);
    return no_flags(arena, node, err);
}

static bool parse_shell(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                        struct error *err)
{
    out->command = command_of(node, 0);
    if (!no_flags(arena, node, err) || !at_least_one(node, err))
        return false;
    return node->json || error_set(err, ERROR_INVALID, "SHELL requires the arguments to be in JSON form");
}

static bool is_one_of(const char *text, const char *const *words)
{
    while (*words && strcmp(*words, text) != 0)
        words++;
    return *words;
}

static bool check_run(const struct dockerfile_run *run, struct error *err)
{
    static const char *const networks[] = { "default", "none", "host", NULL };
    static const char *const securities[] = { "sandbox", "insecure", NULL };
    AUTO(free) char *network = quote(span_of(run->network)), *security = quote(span_of(run->security));
    if (!is_one_of(run->network, networks))
        return error_set(err, ERROR_INVALID, "invalid network mode %s", network ? network : "");
    if (!is_one_of(run->security, securities))
        return error_set(err, ERROR_INVALID, "security %s is not valid", security ? security : "");
    return true;
}

static bool parse_mounts(struct arena *arena, const struct word_list *texts, struct dockerfile_mounts *out,
                         struct error *err)
{
    struct dockerfile_mount *mounts = arena_take(arena, (texts->count + 1) * sizeof *mounts);
    if (!mounts)
        return no_memory(err);
    for (size_t i = 0; i < texts->count; i++) {
        mounts[i].text = texts->items[i];
        if (!mount_check(arena, &mounts[i], err))
            return false;
    }
    *out = (struct dockerfile_mounts){ mounts, texts->count };
    return true;
}

static bool parse_run(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                      struct error *err)
{
    struct dockerfile_run *run = &out->run;
    struct word_list mounts = { 0 }, devices = { 0 };
    const struct flag flags[] = {
        { "device", FLAG_LIST, .list = &devices },
        { "mount", FLAG_LIST, .list = &mounts },
        { "network", FLAG_TEXT, .text = &run->network },
        { "security", FLAG_TEXT, .text = &run->security },
    };
    run->network = "default";
    run->security = "sandbox";
    if (!flags_parse(arena, node, flags, sizeof flags / sizeof *flags, err))
        return false;
    run->command = command_of(node, 0);
    run->devices = words_of(&devices);
    run->heredocs = (struct dockerfile_heredocs){ node->heredocs, node->heredoc_count };
    if (!parse_mounts(arena, &mounts, &run->mounts, err))
        return false;
    return check_run(run, err);
}

static bool parse_interval(const char *name, const char *text, int64_t *ns, struct error *err)
{
    if (!text || !*text)
        return true;
    if (!duration_parse(text, ns, err))
        return false;
    if (*ns && *ns < 1000000)
        return error_set(err, ERROR_INVALID, "Interval \"%s\" cannot be less than 1ms", name);
    return true;
}

/* strconv.ParseInt(text, 10, 32) */
static bool parse_retries(const char *text, int *out, struct error *err)
{
    if (!text || !*text)
        return true;
    const char *digits = text + (*text == '-' || *text == '+');
    AUTO(free) char *quoted = quote(span_of(text));
    int64_t value = 0;
    if (!*digits || digits[strspn(digits, "0123456789")])
        return error_set(err, ERROR_INVALID, "strconv.ParseInt: parsing %s: invalid syntax", quoted ? quoted : "");
    for (const char *p = digits; *p && value <= INT_MAX; p++)
        value = value * 10 + (*p - '0');
    if (value > INT_MAX && !(*text == '-' && value == (int64_t)INT_MAX + 1))
        return error_set(err, ERROR_INVALID, "strconv.ParseInt: parsing %s: value out of range", quoted ? quoted : "");
    if (*text == '-' && value)
        return error_set(err, ERROR_INVALID, "--retries cannot be negative (-%" PRId64 ")", value);
    *out = (int)value;
    return true;
}

static bool parse_health_command(struct arena *arena, const struct node *node, struct dockerfile_health *health,
                                 struct error *err)
{
    static const char *const names[] = { "interval", "timeout", "start-period", "start-interval" };
    int64_t *const fields[] = { &health->interval_ns, &health->timeout_ns, &health->start_period_ns,
                                &health->start_interval_ns };
    const char *texts[5] = { 0 };
    const struct flag flags[] = {
        { names[0], FLAG_TEXT, .text = &texts[0] }, { "retries", FLAG_TEXT, .text = &texts[4] },
        { names[3], FLAG_TEXT, .text = &texts[3] }, { names[2], FLAG_TEXT, .text = &texts[2] },
        { names[1], FLAG_TEXT, .text = &texts[1] },
    };
    if (!flags_parse(arena, node, flags, sizeof flags / sizeof *flags, err))
        return false;
    if (strcasecmp(node->args.items[0], "CMD") != 0) {
        AUTO(free) char *quoted = quote(span_of(node->args.items[0]));
        for (char *p = quoted; p && *p; p++)
            if (*p >= 'a' && *p <= 'z')
                *p = (char)(*p - 32);
        return error_set(err, ERROR_INVALID, "Unknown type %s in HEALTHCHECK (try CMD)", quoted ? quoted : "");
    }
    health->command = command_of(node, 1);
    if (!health->command.args.count)
        return error_set(err, ERROR_INVALID, "Missing command after HEALTHCHECK CMD");
    for (size_t i = 0; i < 4; i++)
        if (!parse_interval(names[i], texts[i], fields[i], err))
            return false;
    return parse_retries(texts[4], &health->retries, err);
}

static bool parse_health(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                         struct error *err)
{
    if (!at_least_one(node, err))
        return false;
    if (strcasecmp(node->args.items[0], "NONE") != 0)
        return parse_health_command(arena, node, &out->health, err);
    out->health.none = true;
    return node->args.count == 1 || error_set(err, ERROR_INVALID, "HEALTHCHECK NONE takes no arguments");
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool parse_expose(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                         struct error *err)
{
    if (!at_least_one(node, err) || !no_flags(arena, node, err))
        return false;
    struct word_list ports = { 0 };
    for (size_t i = 0; i < node->args.count; i++)
        if (!word_add(arena, &ports, node->args.items[i], err))
            return false;
    qsort(ports.items, ports.count, sizeof *ports.items, compare_words);
    out->list = words_of(&ports);
    return true;
}

static bool parse_volume(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                         struct error *err)
{
    struct word_list paths = { 0 };
    if (!at_least_one(node, err) || !no_flags(arena, node, err))
        return false;
    for (size_t i = 0; i < node->args.count; i++) {
        struct span path = text_trim(span_of(node->args.items[i]));
        if (!path.len)
            return error_set(err, ERROR_INVALID, "VOLUME specified can not be an empty string");
        if (!word_add(arena, &paths, arena_dup(arena, path), err))
            return false;
    }
    out->list = words_of(&paths);
    return true;
}

static parse_fn *const parsers[] = {
    [DOCKERFILE_ADD] = parse_copy,
    [DOCKERFILE_ARG] = parse_arg,
    [DOCKERFILE_CMD] = parse_command,
    [DOCKERFILE_COPY] = parse_copy,
    [DOCKERFILE_ENTRYPOINT] = parse_command,
    [DOCKERFILE_ENV] = parse_pairs,
    [DOCKERFILE_EXPOSE] = parse_expose,
    [DOCKERFILE_FROM] = parse_from,
    [DOCKERFILE_HEALTHCHECK] = parse_health,
    [DOCKERFILE_LABEL] = parse_pairs,
    [DOCKERFILE_MAINTAINER] = parse_value,
    [DOCKERFILE_ONBUILD] = parse_onbuild,
    [DOCKERFILE_RUN] = parse_run,
    [DOCKERFILE_SHELL] = parse_shell,
    [DOCKERFILE_STOPSIGNAL] = parse_value,
    [DOCKERFILE_USER] = parse_value,
    [DOCKERFILE_VOLUME] = parse_volume,
    [DOCKERFILE_WORKDIR] = parse_value,
};
_Static_assert(sizeof parsers / sizeof *parsers == DOCKERFILE_OPS, "a row for each instruction");

static bool unknown_instruction(const char *name, struct error *err)
{
    const char *names[DOCKERFILE_OPS];
    for (unsigned op = 0; op < DOCKERFILE_OPS; op++)
        names[op] = dockerfile_op_name((enum dockerfile_op)op);
    const char *meant = suggest(name, names, DOCKERFILE_OPS, false);
    if (!meant)
        return error_set(err, ERROR_INVALID, "unknown instruction: %.300s", name);
    char text[16] = "";
    bool small = !strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), large = !strpbrk(name, "abcdefghijklmnopqrstuvwxyz");
    size_t width = 0;
    for (struct span rest = span_of(name); rest.len; rest = text_skip(rest, width)) {
        int32_t rune = rune_at(rest, &width);
        large = large && (rune < 0x80 || !rune_is_letter(rune));
    }
    for (size_t i = 0; meant[i] && i + 1 < sizeof text; i++)
        text[i] = (char)(small || !large ? meant[i] | 32 : meant[i]);
    return error_set(err, ERROR_INVALID, "unknown instruction: %s (did you mean %s?)", name, text);
}

bool instruction_from(struct arena *arena, const struct node *node, struct dockerfile_instruction *out,
                      struct error *err)
{
    if (node->has_nul)
        return error_set(err, ERROR_INVALID, "a NUL byte in a JSON string");
    if (node->op == DOCKERFILE_OPS)
        return unknown_instruction(node->name, err);
    struct dockerfile_instruction made = { .op = node->op,
                                           .line = node->first,
                                           .last_line = node->last,
                                           .name = node->name,
                                           .comments = words_of(&node->comments),
                                           .empty_continuation = node->empty_continuation };
    made.text = arena_dup(arena, text_trim(span_of(node->line)));
    if (!made.text)
        return no_memory(err);
    if (!parsers[node->op](arena, node, &made, err))
        return false;
    *out = made;
    return true;
}
