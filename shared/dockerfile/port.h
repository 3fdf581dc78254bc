/* What EXPOSE and STOPSIGNAL may name. */
#ifndef PUSHWRIGHT_DOCKERFILE_PORT_H
#define PUSHWRIGHT_DOCKERFILE_PORT_H

#include "shared/dockerfile/lint_private.h"
#include "shared/dockerfile/text.h"

enum { PORT_PROTOCOLS = 3, PORTS_MAX = PORT_PROTOCOLS * 65536 }; /* of one EXPOSE */

/* "[[ip:]host:]container[/proto]", container a port or a range: "80/tcp" for each, added to *out. */
bool ports_add(struct arena *arena, const char *spec, struct lint *lint, struct word_list *out, struct error *err);

/* A number that is not zero, or a name with or without SIG. */
bool signal_check(const char *signal, struct error *err);

#endif
