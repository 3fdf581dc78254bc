/* Random bytes of the kernel. */
#ifndef PUSHWRIGHT_BASE_RANDOM_H
#define PUSHWRIGHT_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum { UUID_SIZE = 37 };

void random_bytes(void *out, size_t len); /* ends the process when the kernel has none to give */
uint64_t random_u64(void);

/* RFC 9562 version 4 layout, over 16 given bytes (random ones, or a hash where a retry must make the same again). */
void uuid_format(char out[static UUID_SIZE], const uint8_t bytes[static 16]);

#endif
