/* What EXPOSE and STOPSIGNAL may name. */
#ifndef PUSHWRIGHT_DOCKERFILE_PORT_H
#define PUSHWRIGHT_DOCKERFILE_PORT_H

#include "shared/dockerfile/lint_private.h"
#include "shared/dockerfile/text.h"

enum { PORT_PROTOCOLS = 3 };

/* The ports that were named already. */
struct port_set {
    uint64_t bits[PORT_PROTOCOLS][65536 / 64];
};

/* "[[ip:]host:]container[/proto]", container a port or a range: "80/tcp" for each that is
 * new, added to *out. */
bool ports_add(struct arena *arena, const char *spec, struct lint *lint, struct port_set *seen, struct word_list *out,
               struct error *err);

/* A number that is not zero, or a name with or without SIG. */
bool signal_check(const char *signal, struct error *err);

#endif
