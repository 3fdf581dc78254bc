#include "shared/kube/path.h"

#include <stdio.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 253, DIGITS_MAX = 6 };

/* One step into a value. */
struct step {
    enum { STEP_MEMBER, STEP_ELEMENT, STEP_EITHER /* a pointer's digits */, STEP_MATCH } kind;
    char name[NAME_MAX_LENGTH + 1];  /* of a member; of what is compared */
    char value[NAME_MAX_LENGTH + 1]; /* with what */
    size_t index;
};

static bool malformed(const char *what, struct error *err)
{
    return error_set(err, ERROR_INVALID,
                     "%s: want a path such as \"{.spec.template.spec.containers[?(@.name=='web')].image}\"", what);
}

static bool keep(char out[static NAME_MAX_LENGTH + 1], struct span text, struct error *err)
{
    if (text.len > NAME_MAX_LENGTH || memchr(text.data ? text.data : "", '\0', text.len))
        return malformed("a member's name is too long", err);
    memcpy(out, text.data ? text.data : "", text.len);
    out[text.len] = '\0';
    return true;
}

static bool read_index(struct span digits, size_t *out)
{
    if (digits.len == 0 || digits.len > DIGITS_MAX)
        return false;
    *out = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        *out = *out * 10 + (size_t)(digits.data[i] - '0');
    }
    return true;
}

/* ---- JSON pointers ---- */

/* RFC 6901 section 4: "~1" is a slash, "~0" a tilde. */
static bool unescape(struct span token, char out[static NAME_MAX_LENGTH + 1], struct error *err)
{
    size_t len = 0;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.data[i];
        if (c == '~') {
            char code = ++i < token.len ? token.data[i] : '\0';
            if (code != '0' && code != '1')
                return malformed("'~' in a pointer stands before 0 or 1", err);
            c = code == '0' ? '~' : '/';
        }
        if (len == NAME_MAX_LENGTH || c == '\0')
            return malformed("a member's name is too long", err);
        out[len++] = c;
    }
    out[len] = '\0';
    return true;
}

static bool next_of_pointer(struct span *rest, struct step *out, struct error *err)
{
    struct span token = span_cut(rest, '/');
    *out = (struct step){ .kind = read_index(token, &out->index) ? STEP_EITHER : STEP_MEMBER };
    (void)read_index(token, &out->index);
    return unescape(token, out->name, err);
}

/* ---- JSONPath ---- */

static void skip(struct span *rest, size_t count)
{
    *rest = (struct span){ rest->data + count, rest->len - count };
}

static void skip_blanks(struct span *rest)
{
    while (span_starts(*rest, " "))
        skip(rest, 1);
}

/* 'text' or "text", without escapes. */
static bool read_quoted(struct span *rest, char out[static NAME_MAX_LENGTH + 1], struct error *err)
{
    char quote = rest->len > 0 ? rest->data[0] : '\0';
    if (quote != '\'' && quote != '"')
        return malformed("a text in quotes is missing", err);
    skip(rest, 1);
    long end = span_find(*rest, quote);
    if (end < 0 || !keep(out, (struct span){ rest->data, (size_t)end }, err))
        return end < 0 ? malformed("a quote has no end", err) : false;
    skip(rest, (size_t)end + 1);
    return true;
}

/* ".name", in which "\." is a dot, as kubectl has it. */
static bool read_member(struct span *rest, struct step *out, struct error *err)
{
    size_t len = 0;
    while (rest->len > 0 && rest->data[0] != '.' && rest->data[0] != '[') {
        if (span_starts(*rest, "\\") && rest->len > 1)
            skip(rest, 1);
        if (len == NAME_MAX_LENGTH || rest->data[0] == '\0' || strchr("{}()*@? ", rest->data[0]))
            return malformed("a member's name is too long, or holds what names do not", err);
        out->name[len++] = rest->data[0];
        skip(rest, 1);
    }
    out->kind = STEP_MEMBER;
    out->name[len] = '\0';
    return len > 0 || malformed("a member has no name", err);
}

/* "?(@.name=='web')" */
static bool read_match(struct span *rest, struct step *out, struct error *err)
{
    size_t len = 0;
    skip_blanks(rest);
    if (!span_starts(*rest, "@."))
        return malformed("a filter compares a member of '@'", err);
    skip(rest, 2);
    while (len < rest->len && !strchr("= )", rest->data[len]))
        len++;
    if (len == 0 || !keep(out->name, (struct span){ rest->data, len }, err))
        return malformed("a filter compares a member of '@'", err);
    skip(rest, len);
    skip_blanks(rest);
    if (!span_starts(*rest, "=="))
        return malformed("a filter compares with '=='", err);
    skip(rest, 2);
    skip_blanks(rest);
    if (!read_quoted(rest, out->value, err))
        return false;
    skip_blanks(rest);
    if (!span_starts(*rest, ")"))
        return malformed("a filter ends with ')'", err);
    skip(rest, 1);
    out->kind = STEP_MATCH;
    return true;
}

static bool read_bracket(struct span *rest, struct step *out, struct error *err)
{
    bool match = span_starts(*rest, "?("), quoted = span_starts(*rest, "'") || span_starts(*rest, "\"");
    if (match) {
        skip(rest, 2);
        if (!read_match(rest, out, err))
            return false;
    } else if (quoted) {
        out->kind = STEP_MEMBER;
        if (!read_quoted(rest, out->name, err))
            return false;
    } else {
        long end = span_find(*rest, ']');
        out->kind = STEP_ELEMENT;
        if (end < 0 || !read_index((struct span){ rest->data, (size_t)end }, &out->index))
            return malformed("[ ] holds a number, a name in quotes or a filter", err);
        skip(rest, (size_t)end);
    }
    if (!span_starts(*rest, "]"))
        return malformed("']' is missing", err);
    skip(rest, 1);
    return true;
}

static bool next_of_jsonpath(struct span *rest, struct step *out, struct error *err)
{
    bool bracket = span_starts(*rest, "[");
    if (bracket || span_starts(*rest, "."))
        skip(rest, 1);
    *out = (struct step){ 0 };
    if (!bracket && span_starts(*rest, "[")) { /* ".[0]" */
        bracket = true;
        skip(rest, 1);
    }
    if (!(bracket ? read_bracket(rest, out, err) : read_member(rest, out, err)))
        return false;
    if (rest->len == 0)
        *rest = (struct span){ NULL, 0 };
    return true;
}

/* ---- following ---- */

static const struct json *element(const struct json *array, const struct step *step, size_t *index)
{
    *index = 0;
    for (const struct json *one = json_first(array); one; one = json_next(one), (*index)++) {
        const char *its = step->kind == STEP_MATCH ? json_get_string(one, step->name) : NULL;
        if (step->kind == STEP_MATCH ? its && strcmp(its, step->value) == 0 : *index == step->index)
            return one;
    }
    return NULL;
}

bool pointer_add(struct bytes *pointer, struct span member, struct error *err)
{
    if (!bytes_append_char(pointer, '/', err))
        return false;
    for (size_t i = 0; i < member.len; i++) {
        char c = member.data[i];
        if (!(c == '~' || c == '/' ? bytes_append_text(pointer, c == '~' ? "~0" : "~1", err)
                                   : bytes_append_char(pointer, c, err)))
            return false;
    }
    return true;
}

static bool absent(const struct bytes *pointer, const struct step *step, struct error *err)
{
    if (step->kind == STEP_MATCH)
        return error_set(err, ERROR_NOT_FOUND, "nothing in '%s' has %s '%s'", bytes_text(pointer), step->name,
                         step->value);
    if (step->kind == STEP_ELEMENT)
        return error_set(err, ERROR_NOT_FOUND, "'%s' has no element %zu", bytes_text(pointer), step->index);
    return error_set(err, ERROR_NOT_FOUND, "'%s' has no '%s'", pointer->len > 0 ? bytes_text(pointer) : "/",
                     step->name);
}

/* `last`: the member itself may be absent. */
static bool enter(struct bytes *pointer, const struct step *step, bool last, const struct json **value,
                  struct error *err)
{
    const struct json *from = *value;
    bool array = from && json_type(from) == JSON_ARRAY, object = from && json_type(from) == JSON_OBJECT;
    bool by_name = step->kind == STEP_MEMBER || (step->kind == STEP_EITHER && !array);
    char number[24];
    size_t index = 0;
    if (by_name ? !object : !array)
        return absent(pointer, step, err);
    *value = by_name ? json_get(from, step->name) : element(from, step, &index);
    if (!*value && (!last || !by_name))
        return absent(pointer, step, err);
    snprintf(number, sizeof number, "%zu", index);
    return pointer_add(pointer, span_of(by_name ? step->name : number), err);
}

/* The steps of either way of writing; what stands around them is gone. */
static bool open_path(struct span *path, bool *is_pointer, struct error *err)
{
    *is_pointer = span_starts(*path, "/");
    if (path->len == 0 || path->len > PATH_TEXT_MAX)
        return malformed(path->len == 0 ? "an empty path" : "a path that is too long", err);
    if (span_starts(*path, "{") != span_ends(*path, "}"))
        return malformed("'{' and '}' belong together", err);
    if (span_starts(*path, "{"))
        *path = (struct span){ path->data + 1, path->len - 2 };
    if (span_starts(*path, "$") || *is_pointer)
        skip(path, 1);
    return path->len > 0 || malformed("a path that leads nowhere", err);
}

bool path_follow(struct bytes *pointer, const struct json *object, struct span path, const struct json **parent,
                 const struct json **value, struct error *err)
{
    bool is_pointer;
    if (!open_path(&path, &is_pointer, err))
        return false;
    *value = object;
    *parent = NULL;
    for (int depth = 0; path.data; depth++) {
        struct step step;
        if (depth == PATH_DEPTH_MAX)
            return malformed("a path that is too deep", err);
        if (!(is_pointer ? next_of_pointer : next_of_jsonpath)(&path, &step, err))
            return false;
        *parent = *value;
        if (object && !enter(pointer, &step, !path.data, value, err))
            return false;
    }
    return true;
}

const struct json *pointer_get(const struct json *object, const char *pointer)
{
    AUTO(bytes_release) struct bytes again = BYTES(PATH_TEXT_MAX * 2);
    const struct json *parent, *value;
    struct error ignored = { 0 };
    return path_follow(&again, object, span_of(pointer), &parent, &value, &ignored) ? value : NULL;
}
