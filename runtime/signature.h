/* Signed hops: HMAC-SHA256 over an event's attributes and data, in the extension attribute "pushwrightsig".
 *
 * value: v1,<base64>[ v1,<base64>...]. Covered: "v1", then every attribute but pushwrightsig, traceparent, tracestate and those
 * whose names start with "knative", sorted by name, each as name, '=', decimal length, ':', value, '\n'; then the length of the
 * data, ':', the data. `time` counts as its instant, written as rfc3339_format() does: brokers write it anew, with another
 * offset or without the zeros behind the point. Several keys verify at once while rotating; the first signs. */
#ifndef PUSHWRIGHT_RUNTIME_SIGNATURE_H
#define PUSHWRIGHT_RUNTIME_SIGNATURE_H

#include "runtime/event.h"
#include "shared/base/digest.h"
#include "shared/secrets/secret.h"

#define SIGNATURE_ATTRIBUTE "pushwrightsig"

struct keyring; /* immutable after it was filled: safe for several threads */

struct keyring *keyring_new(void);
void keyring_free(struct keyring *keyring);
AUTO_FREE(struct keyring, keyring_free)
bool keyring_add(struct keyring *keyring, struct secret *key,
                 struct error *err); /* takes the key; under 16 bytes is ERROR_INVALID */
size_t keyring_count(const struct keyring *keyring);

/* The attribute's value for this event under the first key, made in the arena. */
const char *signature_make(const struct keyring *keyring, struct arena *arena, const struct event *event,
                           struct error *err);

/* ERROR_DENIED: missing, malformed, or made under no key of the ring. The text never holds the expected value. */
bool signature_verify(const struct keyring *keyring, const struct event *event, struct error *err);

/* The same for bytes of a caller's own, which must not begin with "v1". False: the ring is empty or NULL, or no key fits. */
bool keyring_seal(const struct keyring *keyring, struct span data, uint8_t mac[static SHA256_SIZE]);
bool keyring_sealed(const struct keyring *keyring, struct span data, const uint8_t mac[static SHA256_SIZE]);

#endif
