/* The scanner looks at 64 bytes at once; a plain one looks at each byte by itself. Both must say the same about texts that are put together
 * at random, damaged at random, and of every length and alignment. */
#include "shared/base/json_scan.h"

#include <stdlib.h>

#include "tests/unit/shared/base/test.h"

enum { TEXT_MAX = 1000, TEXTS = 20000, DEPTH_OF_TEXTS = 6 };

static uint64_t seed;

static size_t draw(size_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed >> 11) % below;
}

/* --- the plain one: RFC 8259 as it is written ------------------------------------------------------------------------------ */

struct plain {
    const char *at, *end;
};

static bool plain_value(struct plain *p);

static bool next_is(struct plain *p, char c)
{
    bool is = p->at < p->end && *p->at == c;
    p->at += is;
    return is;
}

static void pass_blanks(struct plain *p)
{
    while (p->at < p->end && memchr(" \t\r\n", *p->at, 4))
        p->at++;
}

static bool plain_escape(struct plain *p)
{
    if (p->at == p->end)
        return false;
    char letter = *p->at++;
    if (letter != 'u')
        return memchr("\"\\/bfnrt", letter, 8) != NULL;
    for (size_t i = 0; i < 4; i++, p->at++)
        if (p->at == p->end || !memchr("0123456789abcdefABCDEF", *p->at, 22))
            return false;
    return true;
}

static bool plain_string(struct plain *p)
{
    if (!next_is(p, '"'))
        return false;
    while (p->at < p->end && *p->at != '"') {
        unsigned char c = (unsigned char)*p->at++;
        if (c < 0x20 || (c == '\\' && !plain_escape(p)))
            return false;
    }
    return next_is(p, '"');
}

static size_t plain_digits(struct plain *p)
{
    const char *start = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return (size_t)(p->at - start);
}

static bool plain_number(struct plain *p)
{
    next_is(p, '-');
    const char *first = p->at;
    size_t digits = plain_digits(p);
    if (digits == 0 || (digits > 1 && *first == '0') || (next_is(p, '.') && plain_digits(p) == 0))
        return false;
    if (!next_is(p, 'e') && !next_is(p, 'E'))
        return true;
    if (!next_is(p, '-'))
        next_is(p, '+');
    return plain_digits(p) > 0;
}

static bool plain_word(struct plain *p, const char *word)
{
    while (*word)
        if (!next_is(p, *word++))
            return false;
    return true;
}

static bool plain_items(struct plain *p, char end)
{
    pass_blanks(p);
    if (next_is(p, end))
        return true;
    do {
        pass_blanks(p);
        if (end == '}' && !plain_string(p))
            return false;
        pass_blanks(p);
        if ((end == '}' && !next_is(p, ':')) || !plain_value(p))
            return false;
        pass_blanks(p);
    } while (next_is(p, ','));
    return next_is(p, end);
}

static bool plain_value(struct plain *p)
{
    pass_blanks(p);
    if (next_is(p, '{'))
        return plain_items(p, '}');
    if (next_is(p, '['))
        return plain_items(p, ']');
    switch (p->at < p->end ? *p->at : '\0') {
    case '"':
        return plain_string(p);
    case 't':
        return plain_word(p, "true");
    case 'f':
        return plain_word(p, "false");
    case 'n':
        return plain_word(p, "null");
    }
    return plain_number(p);
}

static bool is_json(struct span text)
{
    struct plain p = { text.data, text.data + text.len };
    if (!span_is_utf8(text) || !plain_value(&p))
        return false;
    pass_blanks(&p);
    return p.at == p.end;
}

/* --- texts ----------------------------------------------------------------------------------------------------------------- */

static const char *const pieces[] = { "a",        " ",
                                      "{",        "}",
                                      ":",        ",",
                                      "[",        "]",
                                      "\\\"",     "\\\\",
                                      "\\/",      "\\n",
                                      "\\u0041",  "\\ud800",
                                      "\xc3\xa9", "\xe2\x82\xac",
                                      "\x7f",     "\xf0\x9f\x98\x80" };

static void add(struct bytes *text, const char *piece)
{
    struct error err = { 0 };
    assert_true(bytes_append_text(text, piece, &err));
}

/* Now and then a long one, so that the next starts anywhere in a window. */
static void add_string(struct bytes *text)
{
    size_t count = draw(16) == 0 ? draw(150) : draw(20);
    add(text, "\"");
    for (size_t i = 0; i < count; i++)
        add(text, pieces[draw(3) > 0 ? 0 : draw(COUNT(pieces))]);
    add(text, "\"");
}

static void add_blanks(struct bytes *text)
{
    static const char *const blanks[] = { "", "", "", "", " ", "\n", "\t\r", "                    " };
    add(text, blanks[draw(COUNT(blanks))]);
}

static void add_value(struct bytes *text, size_t depth)
{
    static const char *const scalars[] = { "0", "-1.5e+3", "12345678901234567890", "true", "false", "null" };
    size_t kind = draw(depth > 0 ? 4 : 2), count = draw(4);
    bool object = kind == 3;
    add_blanks(text);
    if (kind == 0)
        add(text, scalars[draw(COUNT(scalars))]);
    else if (kind == 1)
        add_string(text);
    else
        add(text, object ? "{" : "[");
    for (size_t i = 0; kind > 1 && i < count; i++) {
        add(text, i > 0 ? "," : "");
        if (object) {
            add_string(text);
            add_blanks(text);
            add(text, ":");
        }
        add_value(text, depth - 1);
    }
    if (kind > 1)
        add(text, object ? "}" : "]");
    add_blanks(text);
}

static void damage(char *text, size_t len)
{
    static const char bytes[] = "\"\"\"\\\\{}[],: \nu0.eE-+tfn\x01\x1f\x22\x7f\x80\xbf\xc3\xe2\xed\xf0\xff\x00";
    for (size_t left = 1 + draw(2); left > 0; left--)
        text[draw(len)] = bytes[draw(sizeof bytes)];
}

/* --- tests ----------------------------------------------------------------------------------------------------------------- */

/* On memory that ends where the text does, so that a sanitizer sees who reads on. */
static void judge(const char *data, size_t len)
{
    struct error err = { 0 };
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, data, len);
    struct span text = { exact, len };
    bool expected = is_json(text);
    if (json_scan(text, NULL, 0, NULL, NULL, &err) != expected)
        fail_msg("%s '%.*s': %s", expected ? "refused" : "taken", SPAN_ARGS(text), err.message);
    free(exact);
}

static void random_texts_are_judged_as_a_plain_reader_does(void **state)
{
    (void)state;
    seed = 0x9e3779b97f4a7c15;
    size_t good = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        AUTO(bytes_release) struct bytes text = BYTES(1000 * TEXT_MAX);
        add_value(&text, draw(DEPTH_OF_TEXTS));
        good += is_json(bytes_span(&text));
        judge(text.data, text.len);
        judge(text.data, draw(text.len)); /* cut off */
        damage(text.data, text.len);
        judge(text.data, text.len);
    }
    assert_int_equal(good, TEXTS);
}

struct expected {
    const struct span *strings;
    size_t seen;
};

static bool compare(void *context, int field, enum json_type type, struct span raw, size_t index, struct error *err)
{
    struct expected *expected = context;
    (void)field, (void)err;
    assert_int_equal(type, JSON_STRING);
    assert_int_equal(index, expected->seen);
    assert_true(span_equal(raw, expected->strings[expected->seen++]));
    return true;
}

static void strings_are_picked_whole_wherever_they_stand(void **state)
{
    (void)state;
    enum { STRINGS = 40 };
    const struct json_path path = { "[]", 1 };
    seed = 0xd1b54a32d192ed03;
    for (size_t i = 0; i < TEXTS / 10; i++) {
        AUTO(bytes_release) struct bytes text = BYTES(1000 * TEXT_MAX);
        struct error err = { 0 };
        size_t starts[STRINGS], ends[STRINGS];
        struct span strings[STRINGS];
        for (size_t n = 0; n < STRINGS; n++) {
            add(&text, n > 0 ? "," : "[");
            starts[n] = text.len;
            add_string(&text);
            ends[n] = text.len;
        }
        add(&text, "]");
        for (size_t n = 0; n < STRINGS; n++)
            strings[n] = (struct span){ text.data + starts[n], ends[n] - starts[n] };
        struct expected expected = { .strings = strings };
        assert_true(json_scan(bytes_span(&text), &path, 1, compare, &expected, &err));
        assert_int_equal(expected.seen, STRINGS);
    }
}

/* A quote, or a byte that may not stand there, at each distance from the beginning of the string and of the text. */
static void every_place_in_a_window_is_seen(void **state)
{
    (void)state;
    char text[300];
    for (size_t before = 0; before < 70; before++) {
        for (size_t length = 0; length < 140; length++) {
            memset(text, ' ', before);
            memset(text + before, 'x', length + 2);
            text[before] = text[before + length + 1] = '"';
            judge(text, before + length + 2);
            judge(text, before + length + 1);
            if (length == 0)
                continue;
            text[before + 1 + draw(length)] = (char)draw(0x20);
            judge(text, before + length + 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_texts_are_judged_as_a_plain_reader_does),
        cmocka_unit_test(strings_are_picked_whole_wherever_they_stand),
        cmocka_unit_test(every_place_in_a_window_is_seen),
    };
    return cmocka_run_group_tests_name("base/json_scan_plain", tests, NULL, NULL);
}
