/* What `send` and `replay` share: an event or a saved delivery on its way to the chain. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_POST_H
#define PUSHWRIGHT_RUNTIME_CLI_POST_H

#include "runtime/event.h"

/* Post to "unix:/path" or an http(s) URL as structured CloudEvent. `again`: carried even if it was before (carrier.h). */
bool post_event(const char *to, const struct event *event, bool again, struct error *err);

/* Post a body with header lines ("Name: value\r\n" each, Content-Length left to us). Prints the answer's body on standard output. */
bool post_delivery(const char *url, const char *method, struct span header_lines, struct span body, struct error *err);

/* "unix:STATE/run/sink.sock", made in the arena. */
const char *post_default_sink(struct arena *arena, const char *state_dir);

/* Sign under the key in a file; NULL path: STATE/chain.key. */
bool post_sign(struct arena *arena, const char *state_dir, const char *key_file, struct event *event,
               struct error *err);

#endif
