/* "a=b,c=d", as many options of docker's command line have it. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_BUILD_FIELDS_H
#define PUSHWRIGHT_RUNTIME_CLI_BUILD_FIELDS_H

#include "shared/base/arena.h"
#include "shared/base/error.h"

struct field {
    const char *key;
    const char **to; /* made in the arena; what is not said stays as it is */
};

/* ERROR_UNSUPPORTED names a key that is none of these, or has no value. */
bool fields_read(struct arena *arena, const char *text, const struct field *fields, size_t count, struct error *err);

/* As Go's strconv.ParseBool: false when it is neither. */
bool field_bool(const char *text, bool *out);

#endif
