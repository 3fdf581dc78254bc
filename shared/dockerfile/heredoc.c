#include "shared/dockerfile/lex.h"

#include <string.h>

static const char *unset(const void *context, struct span name)
{
    (void)context;
    (void)name;
    return NULL;
}

/* The one word that the text is, "" when it is none or several. */
static bool only_word(struct arena *arena, struct span text, bool raw_quotes, const char **out, struct error *err)
{
    static const struct word_env nothing = { unset, NULL };
    struct word_rules rules = { .escape = '\\', .skip_unset = true, .raw_quotes = raw_quotes };
    struct word_list words = { 0 };
    if (!word_expand(text, &rules, &nothing, NULL, arena, &words, err))
        return false;
    *out = words.count == 1 ? words.items[0] : "";
    return true;
}

/* ^(\d*)<<(-?)\s*([^<]*)$ */
static bool split_start(struct span word, struct dockerfile_heredoc *out, struct span *rest)
{
    size_t at = 0;
    unsigned descriptor = 0;
    for (; at < word.len && word.data[at] >= '0' && word.data[at] <= '9'; at++)
        descriptor = descriptor > 100000 ? descriptor : descriptor * 10 + (unsigned)(word.data[at] - '0');
    out->descriptor = (int)descriptor;
    if (word.len - at < 2 || memcmp(word.data + at, "<<", 2) != 0)
        return false;
    at += 2;
    out->chomp = at < word.len && word.data[at] == '-';
    at += out->chomp;
    while (at < word.len && word.data[at] && strchr("\t\n\f\r ", word.data[at]))
        at++;
    *rest = text_skip(word, at);
    return rest->len && span_find(*rest, '<') < 0;
}

bool heredoc_parse(struct arena *arena, struct span word, struct dockerfile_heredoc *out, bool *found,
                   struct error *err)
{
    struct dockerfile_heredoc heredoc = { .body = "" };
    struct span rest = { 0 };
    const char *raw = "";
    *found = false;
    if (!split_start(word, &heredoc, &rest))
        return true;
    if (!only_word(arena, rest, false, &heredoc.name, err))
        return false;
    if (!*heredoc.name)
        return true;
    if (!only_word(arena, rest, true, &raw, err))
        return false;
    heredoc.expand = !strcmp(heredoc.name, raw);
    *out = heredoc;
    *found = *raw;
    return true;
}

const char *heredoc_chomp(struct arena *arena, const char *body)
{
    char *out = arena_take(arena, strlen(body) + 1);
    if (!out)
        return NULL;
    bool line_start = true;
    size_t length = 0;
    for (const char *p = body; *p; p++) {
        if (line_start && *p == '\t')
            continue;
        line_start = *p == '\n';
        out[length++] = *p;
    }
    return out;
}
