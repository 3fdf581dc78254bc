/* The words by which a commit's message asks for no build. */
#ifndef PUSHWRIGHT_POLICY_SKIP_H
#define PUSHWRIGHT_POLICY_SKIP_H

#include <stdbool.h>

bool skip_is_asked(const char *message); /* NULL: there is none */

#endif
