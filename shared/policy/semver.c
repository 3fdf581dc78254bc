#include "shared/policy/semver.h"

#include <stdlib.h>
#include <string.h>

enum { VERSION_MAX = 256 };                           /* of its text */
static const uint64_t NUMBER_MAX = 9007199254740991u; /* the largest that npm counts with: 2^53 - 1 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_identifier(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static char first(struct span s)
{
    return s.len > 0 ? s.data[0] : '\0';
}

static void skip(struct span *s, size_t n)
{
    s->data += n;
    s->len -= n;
}

static bool skip_char(struct span *s, char c)
{
    bool is = first(*s) == c && s->len > 0;
    if (is)
        skip(s, 1);
    return is;
}

/* "0", or digits that begin with another; what is larger than NUMBER_MAX stays larger. */
static bool read_number(struct span *s, uint64_t *out)
{
    size_t n = 0;
    uint64_t number = 0;
    if (first(*s) == '0')
        n = 1;
    else
        for (; n < s->len && is_digit(s->data[n]); n++)
            number = number > NUMBER_MAX ? number : number * 10 + (uint64_t)(s->data[n] - '0');
    *out = number;
    skip(s, n);
    return n > 0;
}

static bool is_numeric(struct span identifier)
{
    for (size_t i = 0; i < identifier.len; i++)
        if (!is_digit(identifier.data[i]))
            return false;
    return identifier.len > 0;
}

static struct span read_identifier(struct span *s)
{
    size_t n = 0;
    while (n < s->len && is_identifier(s->data[n]))
        n++;
    struct span identifier = { s->data, n };
    skip(s, n);
    return identifier;
}

/* Identifiers between dots, of which none is empty, nor a number with a zero before it. */
static bool read_prerelease(struct span *s, struct span *out)
{
    const char *start = s->data;
    do {
        struct span identifier = read_identifier(s);
        if (identifier.len == 0 || (identifier.len > 1 && identifier.data[0] == '0' && is_numeric(identifier)))
            return false;
    } while (skip_char(s, '.'));
    *out = (struct span){ start, (size_t)(s->data - start) };
    return true;
}

static bool read_build(struct span *s)
{
    do
        if (read_identifier(s).len == 0)
            return false;
    while (skip_char(s, '.'));
    return true;
}

bool semver_parse(struct span text, struct semver *out)
{
    *out = (struct semver){ 0 };
    struct span rest = text;
    if (text.len > VERSION_MAX)
        return false;
    skip_char(&rest, 'v');
    return read_number(&rest, &out->major) && skip_char(&rest, '.') && read_number(&rest, &out->minor) &&
           skip_char(&rest, '.') && read_number(&rest, &out->patch) &&
           (!skip_char(&rest, '-') || read_prerelease(&rest, &out->prerelease)) &&
           (!skip_char(&rest, '+') || read_build(&rest)) && rest.len == 0 && out->major <= NUMBER_MAX &&
           out->minor <= NUMBER_MAX && out->patch <= NUMBER_MAX;
}

static int order(bool less, bool greater)
{
    return greater ? 1 : less ? -1 : 0;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return order(a<b, a> b);
}

/* As npm compares them: numbers of any length, as floating point where they are longer than that counts exactly. */
static int compare_numeric(struct span a, struct span b)
{
    char text[2][VERSION_MAX + 1];
    memcpy(text[0], a.data, a.len);
    memcpy(text[1], b.data, b.len);
    text[0][a.len] = text[1][b.len] = '\0';
    double x = strtod(text[0], NULL), y = strtod(text[1], NULL);
    return order(x<y, x> y);
}

static int compare_text(struct span a, struct span b)
{
    int result = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return result != 0 ? result : order(a.len<b.len, a.len> b.len);
}

static int compare_identifiers(struct span a, struct span b)
{
    bool numeric_a = is_numeric(a), numeric_b = is_numeric(b);
    if (numeric_a && numeric_b)
        return compare_numeric(a, b);
    return numeric_a ? -1 : numeric_b ? 1 : compare_text(a, b);
}

static int compare_prereleases(struct span a, struct span b)
{
    if (!a.data || !b.data)
        return order(a.data && !b.data, !a.data && b.data);
    while (a.data && b.data) {
        struct span x = span_cut(&a, '.'), y = span_cut(&b, '.');
        if (!span_equal(x, y))
            return compare_identifiers(x, y);
    }
    return order(!a.data && b.data, a.data && !b.data);
}

int semver_compare(const struct semver *a, const struct semver *b)
{
    int major = compare_numbers(a->major, b->major), minor = compare_numbers(a->minor, b->minor),
        patch = compare_numbers(a->patch, b->patch);
    return major != 0   ? major
           : minor != 0 ? minor
           : patch != 0 ? patch
                        : compare_prereleases(a->prerelease, b->prerelease);
}

enum operator{ ANY, EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL };

struct comparator {
    enum operator operator;
    struct semver version;
};

/* Alternatives of which one must hold; of each, all comparators. */
struct alternative {
    size_t from, count; /* in comparators */
    bool any;           /* nothing but "any version" */
    bool nothing;       /* holds for no version */
};

enum { RANGE_MAX = 1024, ALTERNATIVES_MAX = 64, COMPARATORS_MAX = 256 };

/* In one piece of memory, no larger than it must be: a configuration may have thousands. */
struct semver_range {
    const struct comparator *comparators;
    const struct alternative *alternatives;
    size_t alternative_count;
};

/* While it is read. */
struct range_reading {
    char text[3 * RANGE_MAX + 1]; /* what prereleases point into */
    size_t text_len;
    struct comparator comparators[COMPARATORS_MAX];
    size_t comparator_count;
    struct alternative alternatives[ALTERNATIVES_MAX];
    size_t alternative_count;
};

/* A version of which parts may be missing, or wildcards: "1.2", "1.x", "*". */
struct partial {
    bool any_major, any_minor, any_patch; /* missing, or a wildcard */
    bool patch_written;
    uint64_t major, minor, patch;
    struct span prerelease;
};

static bool read_part(struct span *s, uint64_t *number, bool *any)
{
    *any = first(*s) == 'x' || first(*s) == 'X' || first(*s) == '*';
    if (!*any)
        return read_number(s, number);
    skip(s, 1);
    return true;
}

static bool read_further_part(struct span *s, uint64_t *number, bool *any)
{
    struct span behind = *s;
    *any = true;
    if (!skip_char(&behind, '.') || !read_part(&behind, number, any)) {
        *any = true;
        return false;
    }
    *s = behind;
    return true;
}

static bool is_prefix(char c)
{
    return c == 'v' || c == '=' || c == ' ';
}

/* As much of *s as is a partial version. What is left of it is for the caller to judge. */
static bool read_partial(struct span *s, struct partial *out)
{
    *out = (struct partial){ .any_minor = true, .any_patch = true };
    while (s->len > 0 && is_prefix(first(*s)))
        skip(s, 1);
    if (!read_part(s, &out->major, &out->any_major))
        return false;
    if (!read_further_part(s, &out->minor, &out->any_minor))
        return true;
    out->patch_written = read_further_part(s, &out->patch, &out->any_patch);
    return !out->patch_written || !skip_char(s, '-') || read_prerelease(s, &out->prerelease);
}

static bool add(struct range_reading *range, enum operator operator, uint64_t major, uint64_t minor, uint64_t patch,
                struct span prerelease)
{
    if (range->comparator_count == COMPARATORS_MAX || major > NUMBER_MAX || minor > NUMBER_MAX || patch > NUMBER_MAX)
        return false;
    bool from_start = operator== GREATER_EQUAL && major == 0 && minor == 0 && patch == 0 && !prerelease.data;
    range->comparators[range->comparator_count++] =
        (struct comparator){ from_start ? ANY : operator, { major, minor, patch, prerelease } };
    return true;
}

static const struct span NONE = { NULL, 0 };

static bool add_any(struct range_reading *range)
{
    return add(range, ANY, 0, 0, 0, NONE);
}

/* Below the version and all its prereleases. */
static bool add_below(struct range_reading *range, uint64_t major, uint64_t minor, uint64_t patch)
{
    return add(range, LESS, major, minor, patch, SPAN("0"));
}

static bool add_from(struct range_reading *range, const struct partial *p)
{
    return add(range, GREATER_EQUAL, p->major, p->any_minor ? 0 : p->minor, p->any_patch ? 0 : p->patch, p->prerelease);
}

static bool expand_caret(struct range_reading *range, struct partial *p)
{
    if (p->any_major)
        return add_any(range);
    if (p->any_minor)
        p->any_patch = true;
    if (p->any_patch)
        p->prerelease = NONE;
    if (!add_from(range, p))
        return false;
    if (p->major > 0 || p->any_minor)
        return add_below(range, p->major + 1, 0, 0);
    return p->minor > 0 || p->any_patch ? add_below(range, 0, p->minor + 1, 0) : add_below(range, 0, 0, p->patch + 1);
}

static bool expand_tilde(struct range_reading *range, struct partial *p)
{
    if (p->any_major)
        return add_any(range);
    if (p->any_minor)
        p->any_patch = true;
    if (p->any_patch)
        p->prerelease = NONE;
    return add_from(range, p) &&
           (p->any_minor ? add_below(range, p->major + 1, 0, 0) : add_below(range, p->major, p->minor + 1, 0));
}

static enum operator read_operator(struct span *s)
{
    bool less = skip_char(s, '<'), greater = !less && skip_char(s, '>'), equal = skip_char(s, '=');
    return less ? (equal ? LESS_EQUAL : LESS) : greater ? (equal ? GREATER_EQUAL : GREATER) : equal ? EQUAL : ANY;
}

/* "1.x", ">1.2", "<=1": every part from the first wildcard on is one. */
static bool expand_wildcard(struct range_reading *range, enum operator operator, const struct partial * p)
{
    if (p->any_major)
        return operator== LESS || operator== GREATER ? add_below(range, 0, 0, 0) : add_any(range);
    uint64_t minor = p->any_minor ? 0 : p->minor;
    uint64_t next_major = p->any_minor ? p->major + 1 : p->major, next_minor = p->any_minor ? 0 : p->minor + 1;
    switch (operator) {
    case LESS:
        return add_below(range, p->major, minor, 0);
    case LESS_EQUAL:
        return add_below(range, next_major, next_minor, 0);
    case GREATER:
        return add(range, GREATER_EQUAL, next_major, next_minor, 0, NONE);
    case GREATER_EQUAL:
        return add(range, GREATER_EQUAL, p->major, minor, 0, NONE);
    case ANY:
    case EQUAL:
        break;
    }
    return add(range, GREATER_EQUAL, p->major, minor, 0, NONE) && add_below(range, next_major, next_minor, 0);
}

/* A complete version behind an operator; nothing at all is any version. */
static bool add_exact(struct range_reading *range, struct span text)
{
    struct semver version;
    if (text.len == 0 || span_is(text, ">=0.0.0"))
        return add_any(range);
    enum operator operator= read_operator(&text);
    if (!semver_parse(text, &version))
        return false;
    range->comparators[range->comparator_count] = (struct comparator){ operator== ANY ? EQUAL : operator, version };
    return range->comparator_count++ < COMPARATORS_MAX - 1;
}

/* What is no partial version as a whole loses its first star, with the operator before it: that much npm forgives ("1.2.3*"). */
static bool add_without_star(struct range_reading *range, struct span text)
{
    long star = span_find(text, '*');
    if (star < 0)
        return add_exact(range, text);
    size_t from = (size_t)star;
    if (from > 0 && text.data[from - 1] == '=')
        from--;
    if (from > 0 && (text.data[from - 1] == '<' || text.data[from - 1] == '>'))
        from--;
    if (text.len - (size_t)star + from > VERSION_MAX)
        return false;
    /* In place: nothing else points there, and a further star would be no version. */
    char *rest = range->text + (text.data - range->text);
    memmove(rest + from, rest + star + 1, text.len - (size_t)star - 1);
    return add_exact(range, (struct span){ rest, from + text.len - (size_t)star - 1 });
}

static bool is_out_of_order(const struct partial *p)
{
    return (p->any_major && !p->any_minor) || (p->any_minor && p->patch_written && !p->any_patch);
}

static bool add_comparator(struct range_reading *range, struct span text)
{
    struct partial partial;
    struct span rest = text;
    if (skip_char(&rest, '^') && read_partial(&rest, &partial) && rest.len == 0)
        return expand_caret(range, &partial);
    rest = text;
    if (skip_char(&rest, '~') && (skip_char(&rest, '>'), read_partial(&rest, &partial)) && rest.len == 0)
        return expand_tilde(range, &partial);
    rest = text;
    enum operator operator= read_operator(&rest);
    bool whole = read_partial(&rest, &partial) && rest.len == 0;
    if (whole && !is_out_of_order(&partial) && (partial.any_major || partial.any_minor || partial.any_patch))
        return expand_wildcard(range, operator, & partial);
    return add_without_star(range, text);
}

static bool put(struct range_reading *range, const char *data, size_t len)
{
    if (len > sizeof range->text - 1 - range->text_len)
        return false;
    memcpy(range->text + range->text_len, data, len);
    range->text_len += len;
    return true;
}

static bool is_version_start(char c)
{
    return is_digit(c) || c == 'x' || c == 'X' || c == '*';
}

/* From an operator, or what may stand before a version, to the version: the blank behind the operator goes. False: there is no version. */
static bool join_operator(struct range_reading *range, struct span *s, bool *out_of_room)
{
    struct span version = *s, blank = *s;
    bool compares = first(version) == '<' || first(version) == '>';
    skip(&version, compares ? 1 : 0);
    while (version.len > 0 && is_prefix(first(version)))
        skip(&version, 1);
    if (!is_version_start(first(version)))
        return false;
    skip_char(&blank, ' ');
    read_operator(&blank);
    bool drops = first(blank) == ' ' && blank.len > version.len;
    *out_of_room = !put(range, s->data, (size_t)(blank.data - s->data)) ||
                   !put(range, blank.data + drops, (size_t)(version.data - blank.data) - drops);
    *s = version;
    while (!*out_of_room && s->len > 0 && (is_identifier(first(*s)) || first(*s) == '.' || first(*s) == '*')) {
        *out_of_room = !put(range, s->data, 1);
        skip(s, 1);
    }
    return true;
}

/* "> 1.2.3" becomes ">1.2.3", into range->text. */
static bool join_operators(struct range_reading *range, struct span s)
{
    bool out_of_room = false;
    while (s.len > 0 && !out_of_room) {
        char c = first(s);
        bool begins = c == '<' || c == '>' || is_prefix(c) || is_version_start(c);
        if (begins && join_operator(range, &s, &out_of_room))
            continue;
        out_of_room = !put(range, &c, 1);
        skip(&s, 1);
    }
    return !out_of_room;
}

/* "~ 1" and "~> 1" become "~1", "^ 1" becomes "^1", in place. */
static size_t join_signs(char *text, size_t len)
{
    size_t n = 0;
    for (struct span rest = { text, len }; rest.len > 0;) {
        char c = text[n++] = first(rest);
        skip(&rest, 1);
        struct span blank = rest;
        if (c == '~')
            skip_char(&blank, '>');
        if ((c == '~' || c == '^') && skip_char(&blank, ' '))
            rest = blank;
    }
    return n;
}

/* A complete version is taken as it stands: there "v" may be before it, and nothing else. */
static bool is_plain(struct span version)
{
    skip_char(&version, 'v');
    return is_digit(first(version));
}

/* "1.2 - 3.4": from the first to the second, as two comparators. *done: it was such a range. */
static bool add_hyphen(struct range_reading *range, struct span text, bool *done)
{
    struct partial from, to;
    struct span rest = text;
    *done = read_partial(&rest, &from) && skip_char(&rest, ' ') && skip_char(&rest, '-') && skip_char(&rest, ' ');
    struct span end = rest;
    *done = *done && read_partial(&rest, &to) && rest.len == 0;
    if (!*done)
        return true;
    bool exact = !from.any_major && !from.any_minor && !from.any_patch;
    bool exact_end = !to.any_major && !to.any_minor && !to.any_patch && !to.prerelease.data;
    if ((exact && !is_plain(text)) || (exact_end && !is_plain(end)))
        return false;
    if (from.any_major ? !add_any(range)
                       : !add(range, GREATER_EQUAL, from.major, from.any_minor ? 0 : from.minor,
                              from.any_minor || from.any_patch ? 0 : from.patch, exact ? from.prerelease : NONE))
        return false;
    if (to.any_major)
        return true;
    if (to.any_minor)
        return add_below(range, to.major + 1, 0, 0);
    return to.any_patch ? add_below(range, to.major, to.minor + 1, 0)
                        : add(range, LESS_EQUAL, to.major, to.minor, to.patch, to.prerelease);
}

static bool is_null_set(const struct comparator *c)
{
    return c->operator== LESS && c->version.major == 0 && c->version.minor == 0 && c->version.patch == 0 &&
        span_is(c->version.prerelease, "0");
}

static bool add_alternative(struct range_reading *range, struct span text)
{
    bool done;
    struct alternative *alternative = &range->alternatives[range->alternative_count];
    if (range->alternative_count == ALTERNATIVES_MAX)
        return false;
    *alternative = (struct alternative){ .from = range->comparator_count, .any = true };
    size_t start = range->text_len;
    if (!put(range, text.data, text.len))
        return false;
    struct span kept = { range->text + start, text.len };
    if (!add_hyphen(range, kept, &done))
        return false;
    start = range->text_len;
    if (!done && !join_operators(range, text))
        return false;
    struct span rest = { range->text + start, join_signs(range->text + start, range->text_len - start) };
    while (!done && rest.data)
        if (!add_comparator(range, span_cut(&rest, ' ')))
            return false;
    alternative->count = range->comparator_count - alternative->from;
    for (size_t i = alternative->from; i < range->comparator_count; i++) {
        alternative->any = alternative->any && range->comparators[i].operator== ANY;
        alternative->nothing = alternative->nothing || is_null_set(&range->comparators[i]);
    }
    range->alternative_count++;
    return true;
}

/* Blanks become one each, and none at the ends; build metadata goes. */
static size_t tidy(struct span text, char out[static RANGE_MAX])
{
    size_t n = 0;
    text = span_trim(text);
    while (text.len > 0) {
        char c = first(text);
        bool blank = strchr(" \t\n\v\f\r", c) && c != '\0';
        if (!blank || n == 0 || out[n - 1] != ' ')
            out[n++] = blank ? ' ' : c;
        skip(&text, 1);
    }
    return n;
}

static size_t strip_build(char *text, size_t len)
{
    size_t n = 0;
    for (struct span rest = { text, len }; rest.len > 0;) {
        struct span build = rest;
        if (skip_char(&build, '+') && read_identifier(&build).len > 0) {
            for (struct span more = build; skip_char(&more, '.') && read_identifier(&more).len > 0;)
                build = more;
            rest = build;
            continue;
        }
        text[n++] = first(rest);
        skip(&rest, 1);
    }
    return n;
}

static bool read_range(struct range_reading *range, struct span text, struct error *err)
{
    char tidied[RANGE_MAX];
    if (text.len > RANGE_MAX)
        return error_set(err, ERROR_INVALID, "a range of more than %d bytes", RANGE_MAX);
    for (struct span rest = { tidied, tidy(text, tidied) }; rest.data;) {
        struct span part = rest;
        const char *bars = rest.len > 0 ? memmem(rest.data, rest.len, "||", 2) : NULL;
        part.len = bars ? (size_t)(bars - rest.data) : rest.len;
        rest = bars ? (struct span){ bars + 2, rest.len - part.len - 2 } : NONE;
        part = span_trim(part);
        part.len = strip_build(tidied + (part.data - tidied), part.len);
        if (!add_alternative(range, part))
            return error_set(
                err, ERROR_INVALID,
                "'%.*s' is no range of versions as npm's semver reads them (\">=1.2 <2\", \"^1.4\", \"1.x\")",
                SPAN_ARGS(part));
    }
    return true;
}

/* Where the text of a prerelease stands after the move; those that are ours stay. */
static void move_prerelease(struct span *prerelease, const struct range_reading *from, const char *to)
{
    if (prerelease->data && prerelease->data >= from->text && prerelease->data < from->text + from->text_len)
        prerelease->data = to + (prerelease->data - from->text);
}

static struct semver_range *pack(const struct range_reading *from)
{
    size_t comparators = from->comparator_count * sizeof *from->comparators;
    size_t alternatives = from->alternative_count * sizeof *from->alternatives;
    struct semver_range *range = malloc(sizeof *range + comparators + alternatives + from->text_len);
    if (!range)
        return NULL;
    struct comparator *moved = (struct comparator *)(range + 1);
    char *rest = (char *)moved + comparators;
    *range = (struct semver_range){ moved, (struct alternative *)(void *)rest, from->alternative_count };
    memcpy(moved, from->comparators, comparators);
    memcpy(rest, from->alternatives, alternatives);
    memcpy(rest + alternatives, from->text, from->text_len);
    for (size_t i = 0; i < from->comparator_count; i++)
        move_prerelease(&moved[i].version.prerelease, from, rest + alternatives);
    return range;
}

struct semver_range *semver_range_new(struct span text, struct error *err)
{
    AUTO(free) struct range_reading *reading = calloc(1, sizeof *reading);
    if (reading && !read_range(reading, text, err))
        return NULL;
    struct semver_range *range = reading ? pack(reading) : NULL;
    if (!range)
        error_set(err, ERROR_INTERNAL, "out of memory");
    return range;
}

void semver_range_free(struct semver_range *range)
{
    free(range);
}

static bool holds(const struct comparator *comparator, const struct semver *version)
{
    if (comparator->operator== ANY)
        return true;
    int order = semver_compare(version, &comparator->version);
    switch (comparator->operator) {
    case LESS:
        return order < 0;
    case LESS_EQUAL:
        return order <= 0;
    case GREATER:
        return order > 0;
    case GREATER_EQUAL:
        return order >= 0;
    case ANY:
    case EQUAL:
        break;
    }
    return order == 0;
}

static bool names_prerelease_of(const struct comparator *comparator, const struct semver *version)
{
    return comparator->operator!= ANY && comparator->version.prerelease.data && comparator->version.major ==
        version->major && comparator->version.minor == version->minor && comparator->version.patch == version->patch;
}

static bool alternative_accepts(const struct semver_range *range, const struct alternative *alternative,
                                const struct semver *version)
{
    bool named = !version->prerelease.data;
    for (size_t i = 0; i < alternative->count; i++) {
        const struct comparator *comparator = &range->comparators[alternative->from + i];
        if (!holds(comparator, version))
            return false;
        named = named || names_prerelease_of(comparator, version);
    }
    return named;
}

bool semver_range_accepts(const struct semver_range *range, const struct semver *version)
{
    /* Beside "any version" npm forgets the other alternatives, and with them the prereleases that they name. */
    for (size_t i = 0; i < range->alternative_count; i++)
        if (range->alternatives[i].any)
            return !version->prerelease.data;
    for (size_t i = 0; i < range->alternative_count; i++)
        if (!range->alternatives[i].nothing && alternative_accepts(range, &range->alternatives[i], version))
            return true;
    return false;
}
