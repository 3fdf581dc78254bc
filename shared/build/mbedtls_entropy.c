/*
 * Entropy for mbedTLS from getrandom(2).
 *
 * mbedTLS calls getrandom only where it sees glibc and opens /dev/random
 * elsewhere; a function's root file system has no /dev.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/random.h>

#include <mbedtls/entropy.h>

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen);

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen)
{
    (void)data;
    for (size_t filled = 0; filled < len;) {
        ssize_t got = getrandom(output + filled, len - filled, 0);
        if (got >= 0)
            filled += (size_t)got;
        else if (errno != EINTR)
            return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
    }
    *olen = len;
    return 0;
}
