/* The values of --chmod: octal as BuildKit bounds it, symbolic by the grammar of chmod(1) (POSIX "chmod", EXTENDED
 * DESCRIPTION), relative to the mode that the source has. */
#include "shared/dockerfile/text.h"

#include <string.h>

static unsigned who_bits(char who)
{
    switch (who) {
    case 'u':
        return 04700;
    case 'g':
        return 02070;
    case 'o':
        return 01007;
    case 'a':
        return 07777;
    default:
        return 0;
    }
}

static unsigned perm_bits(char perm, unsigned mode, bool is_directory)
{
    switch (perm) {
    case 'r':
        return 0444;
    case 'w':
        return 0222;
    case 'x':
        return 0111;
    case 'X':
        return is_directory || (mode & 0111) ? 0111 : 0;
    case 's':
        return 06000;
    case 't':
        return 01000;
    default:
        return 0;
    }
}

/* The bits of u, g or o, for all three. */
static unsigned copied_bits(char from, unsigned mode)
{
    unsigned shift = from == 'u' ? 6 : from == 'g' ? 3 : 0;
    unsigned bits = (mode >> shift) & 7;
    return bits << 6 | bits << 3 | bits;
}

/* One operator and what follows it; NULL when malformed. */
static const char *action(unsigned who, const char *at, bool is_directory, unsigned *mode)
{
    char operator= * at++;
    unsigned bits = 0;
    if (!operator|| !strchr("+-=", operator))
        return NULL;
    if (*at && strchr("ugo", *at))
        bits = copied_bits(*at++, *mode);
    else
        while (*at && strchr("rwxXst", *at))
            bits |= perm_bits(*at++, *mode, is_directory);
    bits &= who;
    if (operator== '+')
        *mode |= bits;
    else if (operator== '-')
        *mode &= ~bits;
    else
        *mode = (*mode & ~who) | bits;
    return at;
}

static bool apply_symbolic(const char *text, bool is_directory, unsigned *mode)
{
    for (const char *at = text;; at++) {
        unsigned who = 0;
        while (*at && who_bits(*at))
            who |= who_bits(*at++);
        if (!who)
            who = 07777; /* an image has no umask */
        do
            at = action(who, at, is_directory, mode);
        while (at && *at && *at != ',');
        if (!at)
            return false;
        if (!*at)
            return true;
    }
}

static bool parse_octal(const char *text, unsigned *mode)
{
    unsigned value = 0;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '7' || value > 07777)
            return false;
        value = value * 8 + (unsigned)(*p - '0');
    }
    *mode = value;
    return *text && value <= 07777;
}

bool dockerfile_chmod_is_octal(const char *chmod)
{
    unsigned mode = 0;
    return parse_octal(chmod, &mode);
}

bool dockerfile_chmod_check(const char *chmod, struct error *err)
{
    unsigned mode = 0;
    if (parse_octal(chmod, &mode) || apply_symbolic(chmod, false, &mode))
        return true;
    if (*chmod >= '0' && *chmod <= '9')
        return error_set(err, ERROR_INVALID,
                         "invalid chmod parameter: '%.300s'. it should be octal string and between 0 and 07777", chmod);
    return error_set(err, ERROR_INVALID, "invalid syntax");
}

unsigned dockerfile_chmod_apply(const char *chmod, unsigned mode, bool is_directory)
{
    unsigned octal = 0;
    if (parse_octal(chmod, &octal))
        return octal;
    mode &= 07777;
    apply_symbolic(chmod, is_directory, &mode);
    return mode;
}
