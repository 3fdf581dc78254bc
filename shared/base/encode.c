#include "shared/base/encode.h"

#include <string.h>

size_t decimal_encode(char out[static DECIMAL_SIZE], uint64_t number)
{
    char backwards[DECIMAL_SIZE];
    size_t digits = 0;
    do {
        backwards[digits++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < digits; i++)
        out[i] = backwards[digits - 1 - i];
    out[digits] = '\0';
    return digits;
}

void hex_encode(char *out, const uint8_t *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(uint8_t *out, size_t len, struct span text)
{
    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (hex_value(text.data[i]) < 0)
            return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(hex_value(text.data[2 * i]) << 4 | hex_value(text.data[2 * i + 1]));
    return true;
}

bool base64_encode(struct bytes *out, struct span data, struct error *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (data.len / 3 >= out->max / 4 + 1)
        return error_set(err, ERROR_TOO_LARGE, "more than the %zu bytes allowed", out->max);
    if (!bytes_reserve(out, (data.len + 2) / 3 * 4, err))
        return false;
    const uint8_t *p = (const uint8_t *)data.data;
    char *to = out->data + out->len;
    for (size_t left = data.len; left > 0;) {
        size_t n = left < 3 ? left : 3;
        uint32_t group = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = n > 1 ? digits[group >> 6 & 63] : '=';
        *to++ = n > 2 ? digits[group & 63] : '=';
        p += n;
        left -= n;
    }
    *to = '\0';
    out->len = (size_t)(to - out->data);
    return true;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits, of which the last `padding` are '='; the bits that they do not use must be zero. */
static bool base64_group(uint8_t out[static 3], const char *text, size_t padding)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - padding ? base64_value(text[i]) : 0;
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
    }
    out[0] = (uint8_t)(group >> 16);
    out[1] = (uint8_t)(group >> 8);
    out[2] = (uint8_t)group;
    return (padding < 1 || out[2] == 0) && (padding < 2 || out[1] == 0);
}

bool base64_decode(struct bytes *out, struct span text, struct error *err)
{
    if (text.len % 4 != 0)
        return error_set(err, ERROR_INVALID, "base64 text of %zu characters: not a multiple of four", text.len);
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.data[text.len - 1 - padding] == '=')
        padding++;
    if (!bytes_reserve(out, text.len / 4 * 3 - padding, err))
        return false;
    size_t len = out->len;
    for (size_t at = 0; at < text.len; at += 4) {
        size_t missing = at + 4 == text.len ? padding : 0;
        uint8_t group[3];
        if (!base64_group(group, text.data + at, missing)) {
            out->data[out->len] = '\0';
            return error_set(err, ERROR_INVALID, "not base64 at offset %zu", at);
        }
        memcpy(out->data + len, group, 3 - missing);
        len += 3 - missing;
    }
    out->len = len;
    if (out->data)
        out->data[len] = '\0';
    return true;
}

void base32_encode(char *out, const uint8_t *data, size_t len)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint32_t pending = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < len; i++) {
        pending = pending << 8 | data[i];
        for (bits += 8; bits >= 5; bits -= 5)
            *out++ = digits[pending >> (bits - 5) & 31];
    }
    if (bits > 0)
        *out++ = digits[pending << (5 - bits) & 31];
    *out = '\0';
}

/* RFC 3986 section 2.3. */
static const bool is_unreserved[256] = {
    ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true, ['-'] = true,
    ['.'] = true,         ['_'] = true,         ['~'] = true,
};

/* Length of the run at the beginning that goes through as it is. */
static size_t plain_run(struct span text, struct span keep)
{
    size_t n = 0;
    while (n < text.len && (is_unreserved[(unsigned char)text.data[n]] || span_find(keep, text.data[n]) >= 0))
        n++;
    return n;
}

bool percent_encode(struct bytes *out, struct span text, const char *keep, struct error *err)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t before = out->len;
    bool good = bytes_reserve(out, 0, err);
    while (good && text.len > 0) {
        size_t run = plain_run(text, span_of(keep));
        good = bytes_append(out, text.data, run, err);
        if (good && run < text.len) {
            unsigned char c = (unsigned char)text.data[run++];
            const char escape[] = { '%', digits[c >> 4], digits[c & 15] };
            good = bytes_append(out, escape, sizeof escape, err);
        }
        text = (struct span){ text.data + run, text.len - run };
    }
    if (!good)
        bytes_truncate(out, before);
    return good;
}

bool percent_decode(struct bytes *out, struct span text, bool plus, struct error *err)
{
    size_t before = out->len;
    for (size_t i = 0; i < text.len; i++) {
        char c = plus && text.data[i] == '+' ? ' ' : text.data[i];
        if (text.data[i] == '%') {
            uint8_t byte;
            if (text.len - i < 3 || !hex_decode(&byte, 1, (struct span){ text.data + i + 1, 2 })) {
                bytes_truncate(out, before);
                return error_set(err, ERROR_INVALID, "'%%' without two hexadecimal digits at offset %zu", i);
            }
            c = (char)byte;
            i += 2;
        }
        if (!bytes_append_char(out, c, err)) {
            bytes_truncate(out, before);
            return false;
        }
    }
    return true;
}
