#include "shared/base/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/encode.h"
#include "shared/base/json_scan.h"
#include "shared/base/json_strict.h"

static bool read_code_unit(struct span rest, uint32_t *unit)
{
    uint8_t bytes[2];
    if (rest.len < 6 || rest.data[0] != '\\' || rest.data[1] != 'u' ||
        !hex_decode(bytes, sizeof bytes, (struct span){ rest.data + 2, 4 }))
        return false;
    *unit = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

bool json_escape_read(struct span rest, struct json_escape *escape)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter = rest.len < 2 ? NULL : memchr(letters, rest.data[1], sizeof letters - 1);
    if (letter) {
        *escape = (struct json_escape){ .length = 2, .code_point = (unsigned char)meanings[letter - letters] };
        return true;
    }
    uint32_t high, low;
    if (!read_code_unit(rest, &high))
        return false;
    *escape = (struct json_escape){ .length = 6, .code_point = high };
    if (high < 0xd800 || high > 0xdfff)
        return true;
    struct span behind = { rest.data + 6, rest.len - 6 };
    if (high > 0xdbff || !read_code_unit(behind, &low) || low < 0xdc00 || low > 0xdfff) {
        escape->lone_surrogate = true;
        return true;
    }
    escape->length = 12;
    escape->code_point = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static size_t encode_utf8(uint32_t code_point, char out[static 4])
{
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t length = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const unsigned char first_bits[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = length - 1; i > 0; i--, code_point >>= 6)
        out[i] = (char)(0x80 | (code_point & 0x3f));
    out[0] = (char)(first_bits[length] | code_point);
    return length;
}

bool json_unquote(struct bytes *out, struct span raw, struct error *err)
{
    if (raw.len < 2 || raw.data[0] != '"' || raw.data[raw.len - 1] != '"')
        return error_set(err, ERROR_INVALID, "not a string");
    size_t before = out->len;
    struct span rest = { raw.data + 1, raw.len - 2 };
    bool fine = bytes_reserve(out, 0, err);
    while (fine && rest.len > 0) {
        long plain = span_find(rest, '\\');
        if (plain != 0) {
            size_t n = plain < 0 ? rest.len : (size_t)plain;
            fine = bytes_append(out, rest.data, n, err);
            rest = (struct span){ rest.data + n, rest.len - n };
            continue;
        }
        struct json_escape escape;
        char character[4];
        if (!json_escape_read(rest, &escape))
            fine = error_set(err, ERROR_INVALID, "unknown escape in a string");
        else if (escape.lone_surrogate)
            fine = error_set(err, ERROR_INVALID, "half of a surrogate pair in a string");
        else if (escape.code_point == 0)
            fine = error_set(err, ERROR_INVALID, "an escaped NUL in a string");
        else
            fine = bytes_append(out, character, encode_utf8(escape.code_point, character), err);
        if (fine)
            rest = (struct span){ rest.data + escape.length, rest.len - escape.length };
    }
    if (!fine)
        bytes_truncate(out, before);
    return fine;
}

struct span json_path_key(const char *path)
{
    size_t len = 0;
    while (path[len] && path[len] != '.' && path[len] != '[')
        len += path[len] == '\\' && path[len + 1] ? 2 : 1;
    return (struct span){ path, len };
}

/* Character by character, both sides unescaped. */
static bool escaped_key_is(struct span text, struct span key)
{
    while (text.len > 0) {
        struct json_escape escape = { .length = 1 };
        char character[4] = { text.data[0] };
        size_t n = 1;
        if (text.data[0] == '\\') {
            if (!json_escape_read(text, &escape))
                return false;
            n = encode_utf8(escape.code_point, character);
        }
        for (size_t i = 0; i < n; i++) {
            size_t quote = key.len > 1 && key.data[0] == '\\';
            if (key.len == 0 || key.data[quote] != character[i])
                return false;
            key = (struct span){ key.data + quote + 1, key.len - quote - 1 };
        }
        text = (struct span){ text.data + escape.length, text.len - escape.length };
    }
    return key.len == 0;
}

bool json_key_is(struct span raw, struct span path_key)
{
    struct span text = { raw.data + 1, raw.len - 2 };
    if (span_find(text, '\\') < 0 && span_find(path_key, '\\') < 0)
        return span_equal(text, path_key);
    return escaped_key_is(text, path_key);
}

void json_position(struct span text, size_t offset, size_t *line, size_t *column)
{
    *line = *column = 1;
    size_t line_start = 0;
    if (offset > text.len)
        offset = text.len;
    if (offset == 0)
        return;
    for (;;) {
        struct span rest = { text.data + line_start, offset - line_start };
        long newline = span_find(rest, '\n');
        if (newline < 0)
            break;
        line_start += (size_t)newline + 1;
        ++*line;
    }
    *column = offset - line_start + 1;
}

/* Walking over text that is known to be valid; what is not only ends the walk early. */
static char char_at(struct span text, size_t at)
{
    return at < text.len ? text.data[at] : '\0';
}

static size_t skip_blanks(struct span text, size_t at)
{
    while (char_at(text, at) == ' ' || char_at(text, at) == '\n' || char_at(text, at) == '\r' ||
           char_at(text, at) == '\t')
        at++;
    return at;
}

static size_t skip_string(struct span text, size_t at)
{
    for (at++; at < text.len && text.data[at] != '"'; at++)
        at += text.data[at] == '\\';
    return at < text.len ? at + 1 : text.len;
}

static size_t skip_value(struct span text, size_t at)
{
    size_t depth = 0;
    while (at < text.len) {
        char c = text.data[at];
        if (c == '"') {
            at = skip_string(text, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']' || c == ',') {
            if (depth == 0)
                return at;
            depth -= c != ',';
            at++;
        } else {
            at++;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            return at;
    }
    return at;
}

struct walk {
    struct span text;
    size_t key;   /* of the present member; of an element, the element itself */
    size_t value; /* of the present member or element */
    bool object, begun;
};

static bool walk_next(struct walk *walk)
{
    size_t at = walk->begun ? skip_blanks(walk->text, skip_value(walk->text, walk->value)) : walk->value;
    if (char_at(walk->text, at) != (walk->begun ? ',' : walk->object ? '{' : '['))
        return false;
    walk->begun = true;
    walk->key = walk->value = skip_blanks(walk->text, at + 1);
    char c = char_at(walk->text, walk->key);
    if (walk->object) {
        if (c != '"')
            return false;
        size_t colon = skip_blanks(walk->text, skip_string(walk->text, walk->key));
        walk->value = skip_blanks(walk->text, colon + 1);
    }
    return c != ']' && c != '\0';
}

static struct walk walk_into(struct span text, size_t container)
{
    return (struct walk){ .text = text, .value = container, .object = char_at(text, container) == '{' };
}

static bool find_key(struct walk *walk, struct span key)
{
    while (walk->object && walk_next(walk)) {
        struct span raw = { walk->text.data + walk->key, skip_string(walk->text, walk->key) - walk->key };
        if (raw.len >= 2 && json_key_is(raw, key))
            return true;
    }
    return false;
}

static bool find_ordinal(struct walk *walk, size_t ordinal)
{
    do {
        if (!walk_next(walk))
            return false;
    } while (ordinal-- > 0);
    return true;
}

/* One step of a numbered path: into the container that stands at walk->value. */
static bool locate_step(struct walk *walk, const char **path)
{
    struct walk inner = walk_into(walk->text, walk->value);
    if (**path == '[') {
        char *end;
        size_t ordinal = strtoul(*path + 1, &end, 10);
        if (inner.object || *end != ']' || !find_ordinal(&inner, ordinal))
            return false;
        *path = end + 1;
    } else {
        struct span key = json_path_key(*path);
        if (!find_key(&inner, key))
            return false;
        *path += key.len;
    }
    *path += **path == '.';
    *walk = inner;
    return true;
}

static struct walk locate(struct span text, const char *path)
{
    size_t start = skip_blanks(text, 0);
    struct walk walk = { .text = text, .key = start, .value = start };
    while (*path && locate_step(&walk, &path))
        ;
    return walk;
}

size_t json_locate(struct span text, const char *path)
{
    return locate(text, path).value;
}

size_t json_locate_key(struct span text, const char *path)
{
    return locate(text, path).key;
}

size_t json_offset_of(struct span text, const size_t *ordinals, size_t count)
{
    struct walk walk = { .text = text, .value = skip_blanks(text, 0) };
    for (size_t i = 0; i < count; i++) {
        walk = walk_into(text, walk.value);
        if (!find_ordinal(&walk, ordinals[i]))
            break;
    }
    return walk.key;
}
