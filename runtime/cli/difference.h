/* What two JSON documents differ in, for people. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_DIFFERENCE_H
#define PUSHWRIGHT_RUNTIME_CLI_DIFFERENCE_H

#include "shared/base/json.h"

#include <stdio.h>

/* Three lines each: the JSON pointer of the value, what was there, what is there. NULL: nothing was, or is. What stands below one of `but`
 * (pointers; ends with NULL) is left out. Returns how many there are. */
size_t difference_print(FILE *out, const struct json *before, const struct json *after, const char *const but[]);

#endif
