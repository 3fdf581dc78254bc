/* moby/patternmatcher translates a pattern to a regular expression of Go; what reaches that expression unquoted (classes,
 * `^`, escapes) has its meaning there. Here the same translation is compiled to states and run without backtracking. */
#include "shared/dockerfile/ignore.h"

#include "shared/dockerfile/gomatch.h"
#include "shared/dockerfile/text.h"

#include <ctype.h>
#include <string.h>

enum { IGNORE_MEMORY_MAX = 64 << 20 };

enum kind { EXACT, PREFIX, SUFFIX, PROGRAM };

enum step_kind {
    RUNE,       /* one rune */
    CLASS,      /* one rune of a class */
    CLASS_RUN,  /* any number of them */
    ANY_RUN,    /* any number of any rune but a newline */
    START,      /* nothing, at the start of the path only */
    MAY_SKIP,   /* nothing; the next step may be left out */
    UP_TO_SLASH /* any runes but newlines, then a slash */
};

struct range {
    int32_t first, last;
};

struct step {
    enum step_kind kind;
    int32_t rune;
    bool negated;
    struct range *ranges;
    size_t count;
};

struct pattern {
    struct span text; /* cleaned, without "!" */
    bool exception;
    enum kind kind;
    struct step *steps;
    size_t count;
};

struct ignore {
    struct arena *arena;
    struct pattern *patterns;
    size_t count, capacity;
};

void ignore_free(struct ignore *ignore)
{
    if (!ignore)
        return;
    arena_free(ignore->arena);
    free(ignore);
}

static bool bad_pattern(struct error *err)
{
    return error_set(err, ERROR_INVALID, "syntax error in pattern");
}

static bool too_large(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "the ignore patterns are too large");
}

/* Go's filepath.Clean into the arena. */
static const char *clean(struct arena *arena, struct span path)
{
    char *out = arena_take(arena, path.len + 2);
    bool rooted = span_starts(path, "/");
    size_t length = 0, floor = rooted;
    if (!out)
        return NULL;
    if (rooted)
        out[length++] = '/';
    for (struct span rest = path; rest.data;) {
        struct span part = span_cut(&rest, '/');
        if (!part.len || span_is(part, "."))
            continue;
        if (span_is(part, "..") && length > floor) {
            while (length > floor && out[--length] != '/')
                ;
            continue;
        }
        if (span_is(part, "..") && rooted)
            continue;
        if (length > (size_t)rooted)
            out[length++] = '/';
        memcpy(out + length, part.data, part.len);
        length += part.len;
        if (span_is(part, ".."))
            floor = length;
    }
    if (!length)
        out[length++] = '.';
    out[length] = 0;
    return out;
}

/* The regular expression of the pattern, as the original writes it, and how far it is needed. */
static bool translate(struct span text, struct bytes *out, enum kind *kind, struct error *err)
{
    *kind = EXACT;
    for (size_t at = 0, width = 0; at < text.len; at += width) {
        bool first = at == 0;
        int32_t rune = rune_at(text_skip(text, at), &width);
        struct span rest = text_skip(text, at + width);
        const char *add = NULL;
        if (rune == '*' && rest.len && rest.data[0] == '*') {
            width += rest.len > 1 && rest.data[1] == '/' ? 2 : 1;
            bool last = at + width == text.len;
            add = last ? ".*" : "(.*/)?";
            *kind = first ? SUFFIX : last && *kind == EXACT ? PREFIX : PROGRAM;
        } else if (rune == '*' || rune == '?') {
            add = rune == '*' ? "[^/]*" : "[^/]";
            *kind = PROGRAM;
        } else if (rune == '\\' && rest.len) {
            size_t quoted = 0;
            rune_at(rest, &quoted);
            width += quoted;
            *kind = PROGRAM;
        } else if (rune == '[' || rune == ']') {
            *kind = PROGRAM;
        } else if (rune < 0x80 && strchr(".+()|{}$", rune) && !bytes_append_char(out, '\\', err)) {
            return false;
        }
        if (!(add ? bytes_append_text(out, add, err) : bytes_append(out, text.data + at, width, err)))
            return false;
    }
    return true;
}

/* Classes by name and by letter, ASCII as in Go. */
static const struct named_class {
    const char *name;
    char letter;
    const char *ranges; /* pairs of first and last */
} named_classes[] = {
    { "alnum", 0, "09AZaz" },  { "alpha", 0, "AZaz" },      { "blank", 0, "\t\t  " },  { "digit", 'd', "09" },
    { "graph", 0, "!~" },      { "lower", 0, "az" },        { "print", 0, " ~" },      { "punct", 0, "!/:@[`{~" },
    { "upper", 0, "AZ" },      { "word", 'w', "09AZaz__" }, { "xdigit", 0, "09AFaf" }, { "space", 0, "\t\r  " },
    { "", 's', "\t\n\f\r  " },
};

static bool add_range(struct arena *arena, struct step *step, int32_t first, int32_t last, struct error *err)
{
    struct range *ranges = arena_take(arena, (step->count + 1) * sizeof *ranges);
    if (!ranges)
        return too_large(err);
    if (step->count)
        memcpy(ranges, step->ranges, step->count * sizeof *ranges);
    ranges[step->count++] = (struct range){ first, last };
    step->ranges = ranges;
    return true;
}

static bool add_class(struct arena *arena, struct step *step, const struct named_class *named, bool negated,
                      struct error *err)
{
    int32_t from = 0;
    for (const char *p = named->ranges; *p; p += 2) {
        if (negated ? p[0] > from && !add_range(arena, step, from, p[0] - 1, err)
                    : !add_range(arena, step, p[0], p[1], err))
            return false;
        from = p[1] + 1;
    }
    return !negated || add_range(arena, step, from, 0x10FFFF, err);
}

static const struct named_class *class_by_letter(int32_t letter)
{
    for (size_t i = 0; i < sizeof named_classes / sizeof *named_classes; i++)
        if (letter && named_classes[i].letter == letter)
            return &named_classes[i];
    return NULL;
}

/* "[:alpha:]" at the start of *rest; false in *found when there is none. */
static bool take_named(struct arena *arena, struct span *rest, struct step *step, bool *found, struct error *err)
{
    *found = false;
    if (!span_starts(*rest, "[:"))
        return true;
    const char *end = memmem(rest->data + 2, rest->len - 2, ":]", 2);
    if (!end)
        return true;
    struct span name = { rest->data + 2, (size_t)(end - rest->data - 2) };
    bool negated = span_starts(name, "^");
    if (negated)
        name = text_skip(name, 1);
    for (size_t i = 0; i < sizeof named_classes / sizeof *named_classes; i++) {
        if (!name.len || !span_is(name, named_classes[i].name))
            continue;
        *found = true;
        *rest = text_skip(*rest, (size_t)(end + 2 - rest->data));
        return add_class(arena, step, &named_classes[i], negated, err);
    }
    return bad_pattern(err);
}

/* What a backslash makes of the rune behind it; letters without a meaning are mistakes. */
static bool escaped(struct span *rest, int32_t *rune, struct error *err)
{
    static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
    size_t width = 0;
    if (!rest->len)
        return bad_pattern(err);
    int32_t letter = rune_at(*rest, &width);
    *rest = text_skip(*rest, width);
    const char *row = letter && letter < 0x80 ? strchr(from, letter) : NULL;
    if (!row && letter < 0x80 && isalnum(letter))
        return bad_pattern(err);
    *rune = row ? to[row - from] : letter;
    return true;
}

static bool class_end(struct span *rest, int32_t *rune, struct error *err)
{
    size_t width = 0;
    if (!rest->len)
        return bad_pattern(err);
    *rune = rune_at(*rest, &width);
    *rest = text_skip(*rest, width);
    return *rune != '\\' || escaped(rest, rune, err);
}

static bool take_range(struct arena *arena, struct span *rest, struct step *step, struct error *err)
{
    int32_t first = 0, last = 0;
    const struct named_class *named = NULL;
    if (rest->data[0] == '\\' && rest->len > 1)
        named = class_by_letter(tolower((unsigned char)rest->data[1]));
    if (named) {
        bool negated = isupper((unsigned char)rest->data[1]);
        *rest = text_skip(*rest, 2);
        return add_class(arena, step, named, negated, err);
    }
    if (!class_end(rest, &first, err))
        return false;
    last = first;
    if (rest->len > 1 && rest->data[0] == '-' && rest->data[1] != ']') {
        *rest = text_skip(*rest, 1);
        if (!class_end(rest, &last, err))
            return false;
    }
    return last >= first ? add_range(arena, step, first, last, err) : bad_pattern(err);
}

/* Behind the opening bracket. */
static bool take_class(struct arena *arena, struct span *rest, struct step *step, struct error *err)
{
    step->kind = CLASS;
    step->negated = span_starts(*rest, "^");
    if (step->negated)
        *rest = text_skip(*rest, 1);
    for (bool first = true; !(span_starts(*rest, "]") && !first); first = false) {
        bool found = false;
        if (!rest->len)
            return bad_pattern(err);
        if (!first && span_starts(*rest, "-") && rest->len > 1 && rest->data[1] != ']')
            return bad_pattern(err); /* a hyphen in the middle that begins a range, as Go refuses it */
        if (!take_named(arena, rest, step, &found, err) || (!found && !take_range(arena, rest, step, err)))
            return false;
    }
    *rest = text_skip(*rest, 1);
    return true;
}

static bool take_step(struct arena *arena, struct span *rest, struct pattern *pattern, struct error *err)
{
    struct step *step = &pattern->steps[pattern->count++];
    if (span_starts(*rest, "(.*/)?")) {
        *rest = text_skip(*rest, 6);
        step->kind = MAY_SKIP;
        pattern->steps[pattern->count++].kind = UP_TO_SLASH;
        return true;
    }
    if (span_starts(*rest, ".*")) {
        *rest = text_skip(*rest, 2);
        step->kind = ANY_RUN;
        return true;
    }
    size_t width = 0;
    int32_t rune = rune_at(*rest, &width);
    *rest = text_skip(*rest, width);
    if (rune == '[') {
        if (!take_class(arena, rest, step, err))
            return false;
        if (span_starts(*rest, "*")) {
            *rest = text_skip(*rest, 1);
            step->kind = CLASS_RUN;
        }
        return true;
    }
    step->kind = rune == '^' ? START : RUNE;
    step->rune = rune;
    if (rune != '\\')
        return true;
    const struct named_class *named = rest->len ? class_by_letter(tolower((unsigned char)rest->data[0])) : NULL;
    if (!named)
        return escaped(rest, &step->rune, err);
    bool negated = isupper((unsigned char)rest->data[0]);
    *rest = text_skip(*rest, 1);
    step->kind = CLASS;
    return add_class(arena, step, named, negated, err);
}

static bool compile(struct arena *arena, struct pattern *pattern, struct error *err)
{
    AUTO(bytes_release) struct bytes expression = BYTES(8 * IGNORE_PATTERN_MAX);
    if (!translate(pattern->text, &expression, &pattern->kind, err))
        return false;
    if (pattern->kind != PROGRAM)
        return true;
    pattern->steps = arena_take(arena, (expression.len + 2) * sizeof *pattern->steps);
    if (!pattern->steps)
        return too_large(err);
    for (struct span rest = bytes_span(&expression); rest.len;)
        if (!take_step(arena, &rest, pattern, err))
            return false;
    return true;
}

static bool add_pattern(struct ignore *ignore, struct span text, struct error *err)
{
    text = text_trim(text);
    if (!text.len)
        return true;
    if (text.len > IGNORE_PATTERN_MAX || ignore->count == IGNORE_PATTERNS_MAX)
        return too_large(err);
    const char *cleaned = clean(ignore->arena, text);
    if (!cleaned)
        return too_large(err);
    struct pattern pattern = { .text = span_of(cleaned), .exception = *cleaned == '!' };
    if (pattern.exception)
        pattern.text = text_skip(pattern.text, 1);
    if (!pattern.text.len)
        return error_set(err, ERROR_INVALID, "illegal exclusion pattern: \"!\"");
    if (gomatch(pattern.text, SPAN(".")) == GOMATCH_BAD_PATTERN)
        return bad_pattern(err);
    if (!compile(ignore->arena, &pattern, err))
        return false;
    if (ignore->count == ignore->capacity) {
        size_t capacity = ignore->capacity ? ignore->capacity * 2 : 16;
        struct pattern *patterns = arena_take(ignore->arena, capacity * sizeof *patterns);
        if (!patterns)
            return too_large(err);
        if (ignore->count)
            memcpy(patterns, ignore->patterns, ignore->count * sizeof *patterns);
        ignore->patterns = patterns;
        ignore->capacity = capacity;
    }
    ignore->patterns[ignore->count++] = pattern;
    return true;
}

static struct ignore *ignore_empty(struct error *err)
{
    AUTO(ignore_free) struct ignore *ignore = calloc(1, sizeof *ignore);
    if (ignore)
        ignore->arena = arena_new(IGNORE_MEMORY_MAX);
    if (!ignore || !ignore->arena) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return TAKE(ignore);
}

struct ignore *ignore_new(const char *const *patterns, size_t count, struct error *err)
{
    AUTO(ignore_free) struct ignore *ignore = ignore_empty(err);
    for (size_t i = 0; ignore && i < count; i++)
        if (!add_pattern(ignore, span_of(patterns[i]), err))
            return NULL;
    return TAKE(ignore);
}

/* One line of an ignore file: the pattern behind "!" is cleaned by itself and loses one leading slash. */
static bool add_line(struct ignore *ignore, struct span line, struct error *err)
{
    line = text_trim(line);
    bool exception = span_starts(line, "!");
    struct span text = exception ? text_trim(text_skip(line, 1)) : line;
    if (text.len > IGNORE_PATTERN_MAX)
        return too_large(err);
    const char *cleaned = text.len ? clean(ignore->arena, text) : "";
    if (cleaned && cleaned[0] == '/' && cleaned[1])
        cleaned++;
    const char *pattern = cleaned ? arena_printf(ignore->arena, "%s%s", exception ? "!" : "", cleaned) : NULL;
    return pattern ? add_pattern(ignore, span_of(pattern), err) : too_large(err);
}

struct ignore *ignore_parse(struct span text, struct error *err)
{
    AUTO(ignore_free) struct ignore *ignore = ignore_empty(err);
    if (text.data && span_starts(text, "\xEF\xBB\xBF"))
        text = text_skip(text, 3);
    while (ignore && text.data) {
        struct span line = span_cut(&text, '\n');
        bool nothing = span_starts(line, "#") || span_find(line, '\0') >= 0; /* no path holds a NUL */
        if (!nothing && !add_line(ignore, line, err))
            return NULL;
    }
    return TAKE(ignore);
}

static bool in_class(const struct step *step, int32_t rune)
{
    for (size_t i = 0; i < step->count; i++)
        if (step->ranges[i].first <= rune && rune <= step->ranges[i].last)
            return !step->negated;
    return step->negated;
}

/* The states that are reached without a rune. */
static bool spread(const struct pattern *pattern, bool *states, bool at_start)
{
    bool any = false;
    for (size_t i = 0; i < pattern->count; i++) {
        if (!states[i])
            continue;
        any = true;
        enum step_kind kind = pattern->steps[i].kind;
        if (kind == CLASS_RUN || kind == ANY_RUN || kind == MAY_SKIP || (kind == START && at_start))
            states[i + 1] = true;
        if (kind == MAY_SKIP)
            states[i + 2] = true;
    }
    return any || states[pattern->count];
}

static void advance(const struct step *step, int32_t rune, bool *here, bool *next)
{
    switch (step->kind) {
    case RUNE:
        *next = *next || rune == step->rune;
        break;
    case CLASS:
        *next = *next || in_class(step, rune);
        break;
    case CLASS_RUN:
        *here = *here || in_class(step, rune);
        break;
    case ANY_RUN:
        *here = *here || rune != '\n';
        break;
    case UP_TO_SLASH:
        *here = *here || rune != '\n';
        *next = *next || rune == '/';
        break;
    default:
        break;
    }
}

enum { STATES_MAX = 8 * IGNORE_PATTERN_MAX + 3 };

static bool run_states(const struct pattern *pattern, struct span path, bool *now, bool *next)
{
    size_t states = pattern->count + 2, width = 0;
    memset(now, 0, states);
    now[0] = true;
    for (size_t at = 0; at < path.len; at += width) {
        if (!spread(pattern, now, at == 0))
            return false;
        int32_t rune = rune_at(text_skip(path, at), &width);
        memset(next, 0, states);
        for (size_t i = 0; i < pattern->count; i++)
            if (now[i])
                advance(&pattern->steps[i], rune, &next[i], &next[i + 1]);
        bool *swap = now;
        now = next;
        next = swap;
    }
    spread(pattern, now, path.len == 0);
    return now[pattern->count];
}

static bool run_program(const struct pattern *pattern, struct span path)
{
    bool small[2][256];
    if (pattern->count + 2 <= sizeof small[0])
        return run_states(pattern, path, small[0], small[1]);
    bool large[2][STATES_MAX];
    return run_states(pattern, path, large[0], large[1]);
}

static bool matches(const struct pattern *pattern, struct span path)
{
    struct span text = pattern->text, suffix;
    switch (pattern->kind) {
    case EXACT:
        return span_equal(path, text);
    case PREFIX:
        return path.len >= text.len - 2 && !memcmp(path.data, text.data, text.len - 2);
    case SUFFIX:
        suffix = text_skip(text, 2);
        if (path.len >= suffix.len && !memcmp(path.data + path.len - suffix.len, suffix.data, suffix.len))
            return true;
        return span_starts(suffix, "/") && span_equal(path, text_skip(suffix, 1));
    default:
        return run_program(pattern, path);
    }
}

static bool matches_or_parent(const struct pattern *pattern, struct span path)
{
    if (matches(pattern, path))
        return true;
    for (size_t i = 0; i < path.len; i++)
        if (path.data[i] == '/' && matches(pattern, (struct span){ path.data, i }))
            return true;
    return false;
}

bool ignore_excludes(const struct ignore *ignore, struct span path)
{
    bool excluded = false;
    for (size_t i = 0; ignore && i < ignore->count; i++) {
        const struct pattern *pattern = &ignore->patterns[i];
        if (pattern->exception == excluded && matches_or_parent(pattern, path))
            excluded = !excluded;
    }
    return excluded;
}

/* Segment by segment as long as the pattern is plain: does it lead below the path? */
static bool leads_below(struct span pattern, struct span path)
{
    while (pattern.data) {
        struct span want = span_cut(&pattern, '/');
        if (!path.data)
            return true;
        for (size_t i = 0; i < want.len; i++)
            if (strchr("*?[]\\^", want.data[i]))
                return true;
        struct span have = span_cut(&path, '/');
        if (!span_equal(want, have))
            return false;
    }
    return false;
}

bool ignore_may_include_below(const struct ignore *ignore, struct span path)
{
    for (size_t i = 0; ignore && i < ignore->count; i++)
        if (ignore->patterns[i].exception && leads_below(ignore->patterns[i].text, path))
            return true;
    return false;
}

bool ignore_has_exceptions(const struct ignore *ignore)
{
    for (size_t i = 0; i < ignore->count; i++)
        if (ignore->patterns[i].exception)
            return true;
    return false;
}

bool ignore_leaves_out_root(const struct ignore *ignore)
{
    for (size_t i = 0; i < ignore->count; i++) {
        const struct pattern *pattern = &ignore->patterns[i];
        if (!pattern->exception &&
            (span_is(pattern->text, "*") || span_is(pattern->text, "**") || span_is(pattern->text, "**/*")))
            return true;
    }
    return false;
}
