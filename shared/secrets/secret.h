/* A secret has a type: it can't be printed by accident, it is compared in constant time and wiped when freed. */
#ifndef PUSHWRIGHT_SECRETS_SECRET_H
#define PUSHWRIGHT_SECRETS_SECRET_H

#include "shared/base/auto.h"
#include "shared/base/error.h"
#include "shared/base/span.h"

struct secret;

enum { SECRET_MAX = 64 * 1024 };

struct secret *secret_new(struct span bytes, struct error *err); /* empty is ERROR_INVALID: it would protect nothing */

/* Content of a file or an environment variable; one newline at the end is not part of it. The error names the file or
 * variable, never the content. */
struct secret *secret_from_file(const char *path, struct error *err);
struct secret *secret_from_environment(const char *variable, struct error *err);

void secret_free(struct secret *secret);
AUTO_FREE(struct secret, secret_free)

struct span secret_reveal(const struct secret *secret); /* borrowed, terminated; for the one call that needs it */
bool secret_equal(const struct secret *secret, struct span other);

#endif
