/* Layers go to the registry while the next ones are still made. Once a step is in no cache, the image will be a new one: uploads are begun
 * for what will come, the layers below are mounted, and each new layer is sent as soon as it is there. None of it fails a build: what has
 * not arrived is sent by publish.h, which says why it cannot be. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_AHEAD_H
#define PUSHWRIGHT_SHARED_BUILDER_AHEAD_H

#include "shared/builder/engine.h"

struct ahead; /* told by one thread at a time, sends with others */

/* image: reference without tag. No network yet. The registries' options are copied, not what they point to. */
struct ahead *ahead_new(const char *image, const struct registry_options *registries, struct error *err);
/* What is still on its way ends, what was begun in vain is taken back. */
void ahead_free(struct ahead *ahead);
AUTO_FREE(struct ahead, ahead_free)

/* For engine_options. */
struct engine_watch ahead_watch(struct ahead *ahead);

/* Is there anything new? */
bool ahead_has_begun(const struct ahead *ahead);

/* A layer of a base that was waited for until now, because it might be read from where it goes. */
void ahead_send_expected(struct ahead *ahead, const struct built_layer *layer);
/* A configuration; the bytes are borrowed until ahead_wait(). */
void ahead_send(struct ahead *ahead, const struct descriptor *blob, struct span data);
/* Until everything has arrived or has failed. */
void ahead_wait(struct ahead *ahead);
/* After ahead_wait(), or when nothing has begun. */
bool ahead_has_sent(const struct ahead *ahead, const char *digest);

/* A store of the repository, with its connection; for the thread that tells, before the beginning or after ahead_wait(). */
struct store *ahead_store(struct ahead *ahead);

#endif
