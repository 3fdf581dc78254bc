/* What a function that reads images at registries starts with: the configuration, and the logins that it names. */
#ifndef PUSHWRIGHT_CONFIG_CONFIGURED_H
#define PUSHWRIGHT_CONFIG_CONFIGURED_H

#include "shared/config/config.h"

struct configured {
    struct config *config;
    struct registry_logins *logins;
};

/* Fit .start and .stop of a function; *out is a struct configured. */
bool configured_start(void **out, struct error *err);
void configured_stop(void *configured);

#endif
