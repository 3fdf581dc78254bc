/* Go's time.Duration as text, which the options of HEALTHCHECK are written in. */
#include "shared/dockerfile/text.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    { "ns", 1 },
    { "us", 1000 },
    { "\xC2\xB5s", 1000 },
    { "\xCE\xBCs", 1000 },
    { "ms", 1000000 },
    { "s", INT64_C(1000000000) },
    { "m", INT64_C(60000000000) },
    { "h", INT64_C(3600000000000) },
};

static bool refuse(struct error *err, const char *what, const char *text)
{
    AUTO(free) char *quoted = quote(span_of(text));
    return error_set(err, ERROR_INVALID, "time: %s duration %s", what, quoted ? quoted : "");
}

static bool refuse_unit(struct error *err, struct span unit, const char *text)
{
    AUTO(free) char *quoted = quote(span_of(text));
    AUTO(free) char *name = quote(unit);
    return error_set(err, ERROR_INVALID, "time: unknown unit %s in duration %s", name ? name : "",
                     quoted ? quoted : "");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "1.5h" at *at; advances it. */
static bool read_part(const char **at, const char *text, int64_t *ns, struct error *err)
{
    const char *p = *at;
    double fraction = 0, scale = 1;
    int64_t whole = 0;
    bool digits = false;
    for (; is_digit(*p); p++, digits = true)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *p - '0', &whole))
            return refuse(err, "invalid", text);
    if (*p == '.')
        for (p++; is_digit(*p); p++, digits = true)
            fraction += (*p - '0') * (scale /= 10);
    if (!digits)
        return refuse(err, "invalid", text);
    size_t length = strcspn(p, ".0123456789");
    if (!length)
        return refuse(err, "missing unit in", text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strlen(units[i].name) != length || strncmp(p, units[i].name, length) != 0)
            continue;
        int64_t extra = (int64_t)(fraction * (double)units[i].ns + 0.000001);
        if (__builtin_mul_overflow(whole, units[i].ns, &whole) || __builtin_add_overflow(whole, extra, ns))
            return refuse(err, "invalid", text);
        *at = p + length;
        return true;
    }
    return refuse_unit(err, (struct span){ p, length }, text);
}

bool duration_parse(const char *text, int64_t *out_ns, struct error *err)
{
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    if (!strcmp(p, "0")) {
        *out_ns = 0;
        return true;
    }
    if (!*p)
        return refuse(err, "invalid", text);
    int64_t total = 0;
    while (*p) {
        int64_t part = 0;
        if (!read_part(&p, text, &part, err))
            return false;
        if (__builtin_add_overflow(total, part, &total))
            return refuse(err, "invalid", text);
    }
    *out_ns = negative ? -total : total;
    return true;
}

/* "1.5" and the unit, without zeros at the end. */
static bool append_fraction(struct bytes *out, int64_t ns, int64_t unit, const char *name, struct error *err)
{
    if (!bytes_printf(out, err, "%" PRId64, ns / unit))
        return false;
    int64_t rest = ns % unit;
    if (rest && !bytes_append_char(out, '.', err))
        return false;
    for (int64_t place = unit / 10; rest; rest %= place, place /= 10)
        if (!bytes_append_char(out, (char)('0' + rest / place), err))
            return false;
    return bytes_append_text(out, name, err);
}

bool duration_append(struct bytes *out, int64_t ns, struct error *err)
{
    if (!ns)
        return bytes_append_text(out, "0s", err);
    if (ns < 1000)
        return append_fraction(out, ns, 1, "ns", err);
    if (ns < 1000000)
        return append_fraction(out, ns, 1000, "\xC2\xB5s", err);
    if (ns < units[5].ns)
        return append_fraction(out, ns, 1000000, "ms", err);
    int64_t hours = ns / units[7].ns, minutes = ns / units[6].ns % 60;
    if (hours && !bytes_printf(out, err, "%" PRId64 "h", hours))
        return false;
    if ((hours || minutes) && !bytes_printf(out, err, "%" PRId64 "m", minutes))
        return false;
    return append_fraction(out, ns % units[6].ns, units[5].ns, "s", err);
}
