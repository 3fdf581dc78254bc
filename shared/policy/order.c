#include "shared/policy/order.h"

#include <stdint.h>
#include <string.h>

static const char *const kind_names[ORDER_KINDS] = { [ORDER_NUMERIC] = "numeric", [ORDER_CALENDAR] = "calendar" };

const char *order_kind_name(enum order_kind kind)
{
    return kind_names[kind];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The run of digits that *s starts with, without zeros before it, cut off. */
static struct span cut_digits(struct span *s)
{
    size_t zeros = 0, end;
    while (zeros < s->len && s->data[zeros] == '0')
        zeros++;
    for (end = zeros; end < s->len && is_digit(s->data[end]);)
        end++;
    struct span digits = { s->data + zeros, end - zeros };
    *s = (struct span){ s->data + end, s->len - end };
    return digits;
}

static int compare_digits(struct span a, struct span b)
{
    return a.len != b.len ? (a.len < b.len ? -1 : 1) : memcmp(a.data, b.data, a.len);
}

static int compare_whole(struct span a, struct span b)
{
    int result = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return result != 0 ? result : (a.len > b.len) - (a.len < b.len);
}

int order_natural(struct span a, struct span b)
{
    struct span x = a, y = b;
    while (x.len > 0 && y.len > 0) {
        int result;
        if (is_digit(x.data[0]) && is_digit(y.data[0])) {
            struct span number = cut_digits(&x);
            result = compare_digits(number, cut_digits(&y));
        } else {
            result = (unsigned char)x.data[0] - (unsigned char)y.data[0];
            x = (struct span){ x.data + 1, x.len - 1 };
            y = (struct span){ y.data + 1, y.len - 1 };
        }
        if (result != 0)
            return result;
    }
    return x.len != y.len ? (x.len > y.len) - (x.len < y.len) : compare_whole(a, b);
}

/* Units of a calendar, from the largest, with what they may be. A year may be anything, a serial number too. */
static const struct unit {
    const char *name;
    unsigned min, max;
} units[] = { { "year", 0, UINT32_MAX }, { "month", 1, 12 },  { "week", 0, 53 },   { "day", 1, 366 },
              { "hour", 0, 24 },         { "minute", 0, 59 }, { "second", 0, 60 }, { "serial", 0, UINT32_MAX } };
enum { UNITS = sizeof units / sizeof units[0] };

enum { NUMBERS_MAX = 32 };
struct numbers {
    struct span items[NUMBERS_MAX];
    size_t count;
};

static bool is_number(struct span text)
{
    struct span rest = text;
    cut_digits(&rest);
    return text.len > 0 && rest.len == 0;
}

static bool is_within(const struct unit *unit, struct span digits)
{
    uint64_t value = 0;
    if (unit->max == UINT32_MAX)
        return true;
    for (size_t i = 0; i < digits.len && value <= unit->max; i++)
        value = value * 10 + (uint64_t)(digits.data[i] - '0');
    return value >= unit->min && value <= unit->max;
}

static void add_number(struct numbers *out, struct span digits)
{
    if (out->count < NUMBERS_MAX)
        out->items[out->count++] = digits;
}

static bool read_numeric(const struct captures *captures, struct numbers *out)
{
    for (size_t i = 0; i < captures->count; i++) {
        struct span text = captures->groups[i];
        if (!is_number(text))
            return false;
        add_number(out, cut_digits(&text));
    }
    return true;
}

static bool read_runs(const struct captures *captures, struct numbers *out)
{
    for (size_t i = 0; i < captures->count; i++)
        for (struct span rest = captures->groups[i]; rest.len > 0;)
            if (is_digit(rest.data[0]))
                add_number(out, cut_digits(&rest));
            else
                rest = (struct span){ rest.data + 1, rest.len - 1 };
    return out->count > 0;
}

/* A unit that the tag leaves out counts as nothing. */
static bool read_calendar(const struct regex *regex, const struct captures *captures, struct numbers *out)
{
    bool named = false;
    for (size_t i = 0; i < UNITS; i++) {
        size_t group = regex_group(regex, units[i].name);
        struct span text = group > 0 && group <= captures->count ? captures->groups[group - 1] : SPAN("");
        named = named || group > 0;
        struct span digits = text;
        if (text.len > 0 && (!is_number(text) || !is_within(&units[i], cut_digits(&digits))))
            return false;
        add_number(out, cut_digits(&text));
    }
    if (named)
        return true;
    out->count = 0;
    return read_runs(captures, out);
}

static bool read_numbers(enum order_kind kind, const struct regex *regex, struct span tag, struct numbers *out,
                         bool *fit, struct error *err)
{
    struct captures captures;
    *out = (struct numbers){ 0 };
    if (!regex_capture(regex, tag, fit, &captures, err))
        return false;
    *fit = *fit && (kind == ORDER_NUMERIC ? read_numeric(&captures, out) : read_calendar(regex, &captures, out));
    return true;
}

bool order_check(enum order_kind kind, const struct regex *regex, struct error *err)
{
    return regex_groups(regex) > 0 || error_set(err, ERROR_INVALID,
                                                "the order '%s' reads what groups of the regular expression match, but "
                                                "it has none: write \"^v(\\\\d+)$\"",
                                                kind_names[kind]);
}

bool order_fits(enum order_kind kind, const struct regex *regex, struct span tag, bool *fit, struct error *err)
{
    struct numbers numbers;
    return read_numbers(kind, regex, tag, &numbers, fit, err);
}

bool order_compare(enum order_kind kind, const struct regex *regex, struct span a, struct span b, int *result,
                   struct error *err)
{
    struct numbers x, y;
    bool fit;
    *result = 0;
    if (!read_numbers(kind, regex, a, &x, &fit, err) || !read_numbers(kind, regex, b, &y, &fit, err))
        return false;
    for (size_t i = 0; i < NUMBERS_MAX && *result == 0; i++)
        *result = compare_digits(i < x.count ? x.items[i] : SPAN(""), i < y.count ? y.items[i] : SPAN(""));
    return true;
}
