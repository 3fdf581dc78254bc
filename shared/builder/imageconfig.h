/* The configuration of the image that is being built: the base's, with what the instructions change. Members that we do not know are
 * kept as the base has them. Source: OCI image-spec 1.1 config, Docker's image spec 1.2 (Healthcheck, OnBuild, Shell, ArgsEscaped). */
#ifndef PUSHWRIGHT_SHARED_BUILDER_IMAGECONFIG_H
#define PUSHWRIGHT_SHARED_BUILDER_IMAGECONFIG_H

#include "shared/base/arena.h"
#include "shared/base/json.h"
#include "shared/dockerfile/scope.h"

struct imageconfig; /* made in an arena, and gone with it */

enum { IMAGECONFIG_MAX = 8 * 1024 * 1024, IMAGECONFIG_HISTORY_MAX = 10000 };

/* base NULL: FROM scratch. layer_count is the base's. */
struct imageconfig *imageconfig_new(struct arena *arena, const struct json *base, size_t layer_count,
                                    struct error *err);
struct imageconfig *imageconfig_clone(struct arena *arena, const struct imageconfig *config, struct error *err);

/* What the base tells the stage, in the arena: environment, shell, working directory, ONBUILD texts, user. */
bool imageconfig_words(const struct imageconfig *config, const char *key, struct dockerfile_words *out,
                       struct error *err);
const char *imageconfig_text(const struct imageconfig *config, const char *key); /* NULL: absent or empty */

/* Members of "config". value is JSON; absent removes the member. */
bool imageconfig_set(struct imageconfig *config, const char *key, struct span value, struct error *err);
bool imageconfig_set_text(struct imageconfig *config, const char *key, const char *text, struct error *err);
bool imageconfig_set_words(struct imageconfig *config, const char *key, struct dockerfile_words words,
                           struct error *err);
/* One member of an object such as "Labels"; members are kept sorted. */
bool imageconfig_put(struct imageconfig *config, const char *key, const char *member, struct span value,
                     struct error *err);
bool imageconfig_put_text(struct imageconfig *config, const char *key, const char *member, const char *text,
                          struct error *err);
bool imageconfig_append_word(struct imageconfig *config, const char *key, const char *word, struct error *err);
bool imageconfig_has(const struct imageconfig *config, const char *key);

void imageconfig_set_author(struct imageconfig *config, const char *author); /* borrowed */
bool imageconfig_add_history(struct imageconfig *config, const char *created_by, bool empty_layer, struct error *err);

struct imageconfig_result {
    const char *platform;        /* os/architecture[/variant] */
    bool implicit;               /* nobody asked for it: the base's counts, which FROM --platform may have chosen */
    const char *const *diff_ids; /* of all layers, the base's first */
    size_t diff_id_count;
    int64_t time_s; /* of the new layers and of what describes them */
};
/* The JSON, the same for the same input. Without a new layer the base's time stays, as in BuildKit. */
bool imageconfig_write(const struct imageconfig *config, const struct imageconfig_result *result, struct bytes *out,
                       struct error *err);

#endif
