/* Booleans, sizes and digests as Go's libraries read them. */
#include "shared/dockerfile/text.h"

#include <string.h>

bool bool_parse(struct span text, bool *out)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        *out = span_is(text, yes[i]);
        if (*out || span_is(text, no[i]))
            return true;
    }
    return false;
}

/* "", "b", "k", "kb", "kib" and so on to "p": the factor; 0 for anything else. */
static double unit_of(const char *suffix)
{
    static const char units[] = "bkmgtp";
    char unit = (char)(*suffix | 32);
    const char *row = *suffix ? strchr(units, unit) : units;
    if (!row)
        return 0;
    if (*suffix && unit != 'b' && (suffix[1] | 32) == 'i' && (suffix[2] | 32) == 'b' && !suffix[3])
        suffix += 2;
    else if (*suffix && unit != 'b' && (suffix[1] | 32) == 'b')
        suffix++;
    if (*suffix && suffix[1])
        return 0;
    double factor = 1;
    for (const char *p = units; p < row; p++)
        factor *= 1024;
    return factor;
}

bool size_parse(const char *text, int64_t *out)
{
    size_t number = strlen(text);
    while (number && !strchr("0123456789. ", text[number - 1]))
        number--;
    const char *suffix = text + number;
    size_t digits = number - (number && text[number - 1] == ' ');
    char *end = NULL;
    if (!digits || strspn(text, "0123456789.eE+") < digits)
        return false;
    double value = strtod(text, &end) * unit_of(suffix);
    if (end != text + digits || !unit_of(suffix) || !(value < 9.2e18))
        return false;
    *out = (int64_t)value;
    return true;
}

/* [a-z0-9]+(?:[.+_-][a-z0-9]+)* */
static bool is_algorithm(struct span name)
{
    bool letter = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool before = letter;
        letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && !(before && c && strchr(".+_-", c)))
            return false;
    }
    return letter;
}

bool digest_check(const char *digest, struct error *err)
{
    static const struct {
        const char *name;
        size_t digits;
    } algorithms[] = { { "sha256", 64 }, { "sha384", 96 }, { "sha512", 128 } };
    struct span encoded = span_of(digest), name = span_cut(&encoded, ':');
    size_t row = 0, rows = sizeof algorithms / sizeof *algorithms;
    bool usable =
        encoded.len &&
        strspn(encoded.data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789=_-") == encoded.len;
    while (row < rows && !span_is(name, algorithms[row].name))
        row++;
    if (row == rows && usable && is_algorithm(name))
        return error_set(err, ERROR_INVALID, "unsupported digest algorithm");
    if (row == rows || !encoded.len)
        return error_set(err, ERROR_INVALID, "invalid checksum digest format");
    if (encoded.len != algorithms[row].digits)
        return error_set(err, ERROR_INVALID, "invalid checksum digest length");
    return strspn(encoded.data, "0123456789abcdef") == encoded.len ||
           error_set(err, ERROR_INVALID, "invalid checksum digest format");
}
