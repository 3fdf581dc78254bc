/* What a function of the local chain gets of the environment that the chain was started in: what it needs, and no secret of another. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_HANDED_H
#define PUSHWRIGHT_RUNTIME_LOCAL_HANDED_H

#include "runtime/manifest.h"
#include "shared/config/config.h"

/* Is the variable ("NAME=value") handed on? These are:
 *   - where programs, a home and temporary files are, the language, proxies, certificates, tracing
 *   - PUSHWRIGHT_*, but for what the chain says itself and what would make the function believe that it is elsewhere
 *   - what the configuration names as {"env": NAME} for a secret of a kind that fn.json lists (runtime/manifest.h); not the chain's keys, because
 *     the local chain has its own
 *   - what identifies this machine to its cloud, for a function that logs in at registries, when one has "credentials" */
bool handed_is(const struct config *config, const struct manifest *manifest, const char *variable);

#endif
