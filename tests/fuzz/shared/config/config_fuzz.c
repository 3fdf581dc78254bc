/* A configuration from anywhere: taken whole, or refused with mistakes whose places lie in the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/json_scan.h"
#include "shared/config/config.h"
#include "shared/config/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
    if (!promise)
        abort();
}

static void use(const struct config *config)
{
    for (size_t i = 0; i < config->build_count; i++) {
        const struct config_build *build = &config->builds[i];
        struct error err = { 0 };
        must(build->name && build->source && build->repository && build->clone && build->image && build->tag);
        must(build->branches || build->tags);
        must(config_find_build(config, build->name) == build);
        must(template_check(span_of(build->tag), &err));
    }
    for (size_t i = 0; i < config->trigger_count; i++) {
        const struct config_trigger *trigger = &config->triggers[i];
        must(trigger->name && trigger->image && trigger->when && trigger->target_count > 0);
        for (size_t k = 0; k < trigger->target_count; k++)
            must(trigger->targets[k].cluster && trigger->targets[k].workload);
    }
    for (size_t i = 0; i < config->source_count; i++)
        must(config->sources[i].name && config->sources[i].kind < SOURCE_KINDS);
    for (size_t i = 0; i < config->registry_count; i++)
        must(config->registries[i].host != NULL);
    for (size_t i = 0; i < config->chain_key_count; i++)
        must(secret_reference_is_set(&config->chain_keys[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = { (const char *)data, size };
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    struct error err = { 0 };
    AUTO(config_free) struct config *config = config_parse(text, &mistakes, &err);
    must((config != NULL) == (err.kind == ERROR_NONE));
    must(!config || mistakes.count == 0);
    must(config || mistakes.count > 0 || err.kind == ERROR_TOO_LARGE);
    size_t lines, column;
    json_position(text, size, &lines, &column);
    for (size_t i = 0; i < mistakes.count; i++)
        must(mistakes.items[i].line >= 1 && mistakes.items[i].line <= lines && mistakes.items[i].column >= 1);
    if (config)
        use(config);
    return 0;
}
