/* Builds that dockerfile_builds_test.py asks for: one JSON object a line on standard input, one a line on standard output.
 *
 *   {"context": DIRECTORY, "dockerfile": FILE, "image": "oci:DIRECTORY", "cache": DIRECTORY, "args": {...}, "target": ...,
 *    "secrets": {ID: TEXT}, "mirrors": {HOST: DIRECTORY of layouts}}
 *   {} when the image stands there with the tag "built", {"kind": ..., "error": ...} when not */
#include "shared/base/json.h"
#include "shared/builder/publish.h"

#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024 * 1024 };

static bool read_args(struct arena *arena, const struct json *from, struct dockerfile_pairs *out, struct error *err)
{
    struct dockerfile_pair *pairs = arena_take(arena, (json_count(from) + 1) * sizeof(pairs[0]));
    size_t count = 0;

    if (!pairs)
        return error_set(err, ERROR_TOO_LARGE, "too many arguments");
    for (const struct json *v = json_first(from); v; v = json_next(v))
        pairs[count++] = (struct dockerfile_pair){ json_key(v), json_string(v) };
    *out = (struct dockerfile_pairs){ pairs, count };
    return true;
}

static bool read_secrets(struct arena *arena, const struct json *from, struct engine_run *out, struct error *err)
{
    struct engine_secret *secrets = arena_take(arena, (json_count(from) + 1) * sizeof(secrets[0]));

    if (!secrets)
        return error_set(err, ERROR_TOO_LARGE, "too many secrets");
    for (const struct json *v = json_first(from); v; v = json_next(v))
        secrets[out->secret_count++] = (struct engine_secret){ json_key(v), span_of(json_string(v)) };
    out->secrets = secrets;
    return true;
}

static bool read_mirrors(struct arena *arena, const struct json *from, struct registry_options *out, struct error *err)
{
    struct registry_login *logins = arena_take(arena, (json_count(from) + 1) * sizeof(logins[0]));
    size_t count = 0;

    if (!logins)
        return error_set(err, ERROR_TOO_LARGE, "too many mirrors");
    for (const struct json *v = json_first(from); v; v = json_next(v))
        logins[count++] = (struct registry_login){ .host = json_key(v), .layout = json_string(v) };
    *out = (struct registry_options){ .logins = logins, .login_count = count };
    return true;
}

static bool publish(const struct json *request, const struct registry_options *registries, const struct built *built,
                    struct error *err)
{
    static const char *const platforms[] = { "linux/amd64" }, *const tags[] = { "built" };
    struct publish_options options = { .image = json_get_string(request, "image"),
                                       .registries = registries,
                                       .built = built,
                                       .platforms = platforms,
                                       .count = 1,
                                       .tags = tags,
                                       .tag_count = 1,
                                       .time_s = built->time_s };
    AUTO(publication_free) struct publication *publication = publication_new(&options, err);

    return publication && publication_upload(publication, err) && publication_tag(publication, err);
}

/* With SAY in the environment, what a RUN prints is seen. */
static void say(void *context, const struct progress_event *event)
{
    (void)context;
    if (event->text && getenv("SAY"))
        fprintf(stderr, "%s\n", event->text);
}

static bool build(struct arena *arena, const char *line, struct error *err)
{
    const struct json *request = json_parse(arena, span_of(line), err);
    AUTO(context_release) struct context context = { 0 };
    AUTO(built_release) struct built built = { 0 };
    AUTO(progress_free) struct progress *progress = progress_new(say, NULL, err);
    struct registry_options registries = { 0 };
    struct engine_options options = { .context = &context,
                                      .target = json_get_string(request, "target"),
                                      .registries = &registries,
                                      .cache_directory = json_get_string(request, "cache"),
                                      .no_cache = true, /* each case by itself */
                                      .allow_private = true,
                                      .progress = progress };

    if (!progress || !request || !read_args(arena, json_get(request, "args"), &options.args, err) ||
        !read_secrets(arena, json_get(request, "secrets"), &options.run, err) ||
        !read_mirrors(arena, json_get(request, "mirrors"), &registries, err) ||
        !context_of_directory(json_get_string(request, "context"), json_get_string(request, "dockerfile"), &context,
                              err))
        return false;
    AUTO(engine_free) struct engine *engine = engine_new(&options, err);
    const char *platform = "linux/amd64";
    return engine && engine_build(engine, &platform, 1, &built, err) && publish(request, &registries, &built, err);
}

static void answer(const struct error *failed)
{
    AUTO(bytes_release) struct bytes text = BYTES(LINE_MAX_BYTES);
    struct json_writer w = json_writer_on(&text);
    struct error err = { 0 };

    json_open_object(&w, NULL);
    if (failed->kind != ERROR_NONE) {
        json_add_string(&w, "kind", error_kind_name(failed->kind));
        json_add_string(&w, "error", failed->message);
    }
    json_close_object(&w);
    if (!json_writer_end(&w, &err))
        abort();
    puts(text.data);
    fflush(stdout);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0) {
        AUTO(arena_free) struct arena *arena = arena_new(16 * LINE_MAX_BYTES);
        struct error err = { 0 };

        if (!arena)
            return 1;
        line[strcspn(line, "\n")] = '\0';
        if (build(arena, line, &err))
            err.kind = ERROR_NONE;
        answer(&err);
    }
    free(line);
    return 0;
}
