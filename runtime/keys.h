/* The chain's keys, which sign and verify every hop. */
#ifndef PUSHWRIGHT_RUNTIME_KEYS_H
#define PUSHWRIGHT_RUNTIME_KEYS_H

#include "runtime/manifest.h"
#include "runtime/signature.h"

/* From $PUSHWRIGHT_CHAIN_KEY, else the file $PUSHWRIGHT_CHAIN_KEY_FILE (several keys stand in lines or between commas), else
 * "chain.keys" of the configuration when fn.json lists the secret "chain" or asks for signatures. An empty ring when none is configured;
 * NULL when one is and cannot be read. */
struct keyring *keys_load(const struct manifest *manifest, struct error *err);

#endif
