/* The proxies among the build arguments, which every RUN gets without anybody declaring them. */
#include "shared/dockerfile/scope_private.h"

#include <string.h>
#include <strings.h>

/* The spelling of the argument does not matter; of two spellings the one that sorts last counts. */
static const char *proxy_of(const struct dockerfile_pairs *args, const char *name)
{
    const struct dockerfile_pair *found = NULL;
    for (size_t i = 0; i < args->count; i++) {
        const struct dockerfile_pair *pair = &args->items[i];
        if (pair->value && !strcasecmp(pair->key, name) && (!found || strcmp(pair->key, found->key) >= 0))
            found = pair;
    }
    return found && *found->value ? found->value : NULL;
}

bool dockerfile_scope_proxies(const struct dockerfile_scope *scope, struct arena *arena, struct dockerfile_words *out,
                              struct error *err)
{
    static const char *const names[][2] = { { "HTTP_PROXY", "http_proxy" },
                                            { "HTTPS_PROXY", "https_proxy" },
                                            { "FTP_PROXY", "ftp_proxy" },
                                            { "NO_PROXY", "no_proxy" },
                                            { "ALL_PROXY", "all_proxy" } };
    struct word_list words = { 0 };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = proxy_of(&scope->build_args, names[i][0]);
        for (size_t spelling = 0; value && spelling < 2; spelling++)
            if (!word_add(arena, &words, arena_printf(arena, "%s=%s", names[i][spelling], value), err))
                return false;
    }
    *out = words_of(&words);
    return true;
}
