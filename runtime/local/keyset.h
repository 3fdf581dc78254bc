/* A growing set of event keys (64 hexadecimal digits each), 32 bytes an event. Not safe for several threads. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_KEYSET_H
#define PUSHWRIGHT_RUNTIME_LOCAL_KEYSET_H

#include "shared/base/auto.h"
#include "shared/base/error.h"

struct keyset;

struct keyset *keyset_new(void);
void keyset_free(struct keyset *set);
AUTO_FREE(struct keyset, keyset_free)

bool keyset_has(const struct keyset *set, const char *key);
/* ERROR_INTERNAL when memory is out; adding again is fine. */
bool keyset_add(struct keyset *set, const char *key, struct error *err);

#endif
