/* Private to the service agent: images made ready to run, and kept as long as something needs them.
 *
 * Below the state directory:
 *   images/HEX.json   configuration of the image whose manifest (or index) has that digest
 *   layers/           content of their layers, see layers.h */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_IMAGE_H
#define PUSHWRIGHT_RUNTIME_LOCAL_SERVICES_IMAGE_H

#include "shared/base/arena.h"
#include "shared/oci/image.h"
#include "shared/sandbox/sandbox.h"

/* What an image's configuration says about running it. */
struct image_run {
    struct arena *arena;
    unsigned references;
    const char *digest;
    const char *const *layers; /* directories, lowest first */
    size_t layer_count;
    const char *const *argv, *const *env, *const *check;
    size_t arg_count, env_count, check_count;
    const char *cwd, *user;
    int stop_signal;       /* 0: not said */
    unsigned exposed_port; /* the first tcp one; 0: none */
    long check_timeout_ms; /* 0: not said */
};

/* Layers are directories below `layers`. ERROR_INVALID: not a configuration, or no command to run. The caller holds the one reference. */
struct image_run *image_run_parse(struct span config, const char *digest, const char *layers, struct error *err);
struct image_run *image_run_hold(struct image_run *run); /* references are counted under the agent's lock */
void image_run_free(struct image_run *run);              /* lets go of one reference; NULL is fine */
AUTO_FREE(struct image_run, image_run_free)

struct image_shop {
    const char *state_dir;
    struct registry_options registry;
    enum sandbox_mode mode;
    bool (*cancelled)(void *context);
    void *context;
};

/* Everything the image needs is in place afterwards: pulled and unpacked, unless it was there already. */
struct image_run *image_prepare(const struct image_shop *shop, const char *image, struct error *err);

/* Bring unpacked layers to the disk and note it. */
void image_settle(const struct image_shop *shop, const struct image_run *run);

/* Take images and layers other than those of the given digests out of use, which is quick; nothing may be preparing meanwhile.
 * image_clear() then removes what is out of use, which may take long and is safe at any time. */
void image_set_aside(const struct image_shop *shop, const char *const *digests, size_t count);
void image_clear(const struct image_shop *shop);

bool image_make_directories(const struct image_shop *shop, struct error *err);

#endif
