#include "shared/config/configured.h"

#include <stdlib.h>

void configured_stop(void *opaque)
{
    struct configured *configured = opaque;
    if (!configured)
        return;
    registry_logins_free(configured->logins);
    config_free(configured->config);
    free(configured);
}
AUTO_FREE(void, configured_stop)

bool configured_start(void **out, struct error *err)
{
    AUTO(configured_stop) void *owned = calloc(1, sizeof(struct configured));
    struct configured *configured = owned;
    if (!configured)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    configured->config = config_load(NULL, err);
    if (!configured->config || !(configured->logins = config_registry_logins(configured->config, err)))
        return false;
    *out = TAKE(owned);
    return true;
}
