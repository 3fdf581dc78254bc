/* Which triggers an image would meet, and what each would say: the same evaluation that `trigger` makes, for a person. */
#include "runtime/cli/options.h"
#include "runtime/cli/story.h"
#include "shared/config/config.h"
#include "shared/examine/examine.h"

#include <string.h>

enum { TEXT_MAX = 16 * 1024, TAGS_SHOWN_MAX = 10000 };

struct explanation {
    const struct config *config;
    const char *name; /* of the image */
    const char *current;
    struct store *store; /* NULL: nobody is asked */
    size_t tags, deploys;
};

static void print_row(const char *trigger, const char *tag, bool deploys, const char *reason)
{
    printf("%-20s %-24s %-8s ", trigger, tag, deploys ? "deploys" : "passes");
    story_print(stdout, reason);
    putchar('\n');
}

/* The tag is accepted: would it be a step back from the one in service? */
static bool check_current(const struct explanation *e, const struct config_trigger *trigger, const char *tag, bool *fit,
                          struct bytes *reason, struct error *err)
{
    enum precedence precedence = PRECEDENCE_UNKNOWN;
    if (!e->current || trigger->downgrade)
        return true;
    if (!condition_compare(trigger->when, span_of(e->current), span_of(tag), &precedence, err))
        return false;
    *fit = precedence != PRECEDENCE_OLDER;
    return *fit || bytes_printf(reason, err, ", but is older than '%s' by its %s (\"downgrade\": true would allow it)",
                                e->current, condition_order_name(trigger->when));
}

static bool check_registry(const struct explanation *e, const struct config_trigger *trigger, const char *tag,
                           bool *fit, struct bytes *reason, struct error *err)
{
    struct descriptor now;
    AUTO(bytes_release) struct bytes why = BYTES(TEXT_MAX);
    if (!e->store || !*fit)
        return true;
    if (!store_resolve(e->store, tag, &now, err) || !examine_image(e->store, trigger, &now, fit, &why, err))
        return false;
    return *fit || bytes_printf(reason, err, ", but %s", bytes_text(&why));
}

static bool append_targets(const struct config_trigger *trigger, struct bytes *out, struct error *err)
{
    for (size_t i = 0; i < trigger->target_count; i++) {
        const struct config_target *target = &trigger->targets[i];
        if (!bytes_printf(out, err, "%s%s/%s/%s", i == 0 ? " -> " : ", ", target->cluster, target->namespace,
                          target->workload ? target->workload : "?"))
            return false;
    }
    return true;
}

static bool explain_one(struct explanation *e, const struct config_trigger *trigger, const char *tag, struct error *err)
{
    AUTO(bytes_release) struct bytes reason = BYTES(TEXT_MAX);
    bool fit = trigger->enabled;
    if (!fit)
        print_row(trigger->name, tag, false, "the trigger is switched off");
    if (!fit)
        return true;
    if (!condition_accepts(trigger->when, span_of(tag), &fit, &reason, err) ||
        (fit && (!check_current(e, trigger, tag, &fit, &reason, err) ||
                 !check_registry(e, trigger, tag, &fit, &reason, err))) ||
        (fit && !append_targets(trigger, &reason, err)))
        return error_wrap(err, "trigger '%s'", trigger->name);
    e->deploys += fit;
    print_row(trigger->name, tag, fit, bytes_text(&reason));
    return true;
}

static bool explain_tag(void *context, const char *tag, struct error *err)
{
    struct explanation *e = context;
    if (examine_is_attached(tag))
        return true;
    if (++e->tags > TAGS_SHOWN_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d tags: name one", TAGS_SHOWN_MAX);
    for (size_t i = 0; i < e->config->trigger_count; i++)
        if (strcmp(e->config->triggers[i].image, e->name) == 0 && !explain_one(e, &e->config->triggers[i], tag, err))
            return false;
    return true;
}

static bool is_watched(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->trigger_count; i++)
        if (strcmp(config->triggers[i].image, name) == 0)
            return true;
    return false;
}

struct arguments {
    const char *config, *image, *current;
    bool registry;
};

static bool explain(const struct config *config, const struct arguments *arguments, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(bytes_release) struct bytes name = BYTES(TEXT_MAX);
    AUTO(registry_logins_free) struct registry_logins *logins = NULL;
    AUTO(store_free) struct store *store = NULL;
    if (!reference_parse(span_of(arguments->image), &reference, err) || !reference_name(&name, &reference, err))
        return error_wrap(err, "'%s'", arguments->image);
    if (!is_watched(config, bytes_text(&name)))
        return error_set(err, ERROR_INVALID, "no trigger of %s watches '%s'", arguments->config, bytes_text(&name));
    if (!reference.tag && !arguments->registry)
        return error_set(err, ERROR_INVALID, "'%s' has no tag: write IMAGE:TAG, or --registry to see those that it has",
                         arguments->image);
    if (arguments->registry) {
        logins = config_registry_logins(config, err);
        struct registry_options options = logins ? registry_logins_options(logins) : (struct registry_options){ 0 };
        store = logins ? store_open(&reference, &options, err) : NULL;
        if (!store)
            return false;
    }
    struct explanation explanation = {
        .config = config, .name = bytes_text(&name), .current = arguments->current, .store = store
    };
    printf("%-20s %-24s %-8s %s\n", "TRIGGER", "TAG", "DECISION", "REASON");
    return reference.tag ? explain_tag(&explanation, reference.tag, err)
                         : store_list_tags(store, explain_tag, &explanation, err);
}

static int run(int argc, char **argv)
{
    struct arguments arguments = { 0 };
    const struct option options[] = { FLAG("--registry", &arguments.registry), OPTION("--current", &arguments.current),
                                      END };
    const struct argument names[] = { ARGUMENT("CONFIG", &arguments.config), ARGUMENT("IMAGE", &arguments.image), END };
    if (!options_read(&command_explain, argc, argv, options, names))
        return EXIT_USAGE;
    AUTO(config_free) struct config *config = NULL;
    struct error err = { 0 };
    int code = command_check_config("explain", arguments.config, stderr, &config);
    return !config ? code : explain(config, &arguments, &err) ? EXIT_DONE : command_fail("explain", &err);
}

const struct command command_explain = {
    .name = "explain",
    .summary = "what triggers say to an image, and why",
    .help = "Usage: pushwright explain [--registry] [--current TAG] CONFIG IMAGE[:TAG]\n\n"
            "Prints what each trigger of the configuration that watches the image decides about the tag, and why.\n\n"
            "  --registry       ask the image's registry, too: is it an image, for the targets' platforms, signed\n"
            "                   as the trigger wants it; without a TAG, about each tag that there is\n"
            "  --current TAG    as if this tag were in service: would it be a step back?\n\n"
            "Exit codes: 0 explained, 1 the registry could not be asked, 3 wrong input.\n",
    .run = run,
};
