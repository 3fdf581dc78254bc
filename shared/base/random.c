#include "shared/base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shared/base/encode.h"

void random_bytes(void *out, size_t len)
{
    char *to = out;
    while (len > 0) {
        ssize_t n = getrandom(to, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort(); /* predictable "random" bytes would be worse than none */
        to += n;
        len -= (size_t)n;
    }
}

uint64_t random_u64(void)
{
    uint64_t number;
    random_bytes(&number, sizeof number);
    return number;
}

void uuid_format(char out[static UUID_SIZE], const uint8_t bytes[static 16])
{
    uint8_t stamped[16];
    memcpy(stamped, bytes, sizeof stamped);
    stamped[6] = (uint8_t)((stamped[6] & 0x0f) | 0x40); /* version 4 */
    stamped[8] = (uint8_t)((stamped[8] & 0x3f) | 0x80); /* the variant of the RFC */
    static const struct {
        size_t from, count;
    } groups[] = { { 0, 4 }, { 4, 2 }, { 6, 2 }, { 8, 2 }, { 10, 6 } };
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (i > 0)
            *out++ = '-';
        hex_encode(out, stamped + groups[i].from, groups[i].count);
        out += 2 * groups[i].count;
    }
}
