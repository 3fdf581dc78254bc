#include "runtime/cli/build_output.h"

#include "runtime/cli/build_archive.h"
#include "shared/base/digest.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/builder/attestation.h"
#include "shared/builder/export.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { METADATA_MAX = 1024 * 1024, NAME_BYTES = 4096 };

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory");
}

/* ---- manifests ---- */

/* Of a directory on this machine nothing is told but the names of arguments: its paths say nothing to anybody else. */
static bool attest(struct build_result *result, struct publication *publication, struct error *err)
{
    const struct build_request *request = result->request;
    const char *remote = result->source->remote, *commit = remote ? result->source->commit : NULL;
    const char **arguments = arena_take(request->arena, (request->args.count + 1) * sizeof(arguments[0]));
    struct attestation attestation = { .arena = request->arena,
                                       .provenance = request->attest.provenance,
                                       .sbom = request->attest.sbom,
                                       .key = request->attest.key,
                                       .built = result->built,
                                       .platforms = result->platforms,
                                       .count = result->count,
                                       .facts = { .source = remote,
                                                  .dockerfile = commit ? result->source->name : NULL,
                                                  .target = request->target,
                                                  .arguments = arguments,
                                                  .argument_count = request->args.count,
                                                  .started_ms = result->started_ms } };

    if (!arguments)
        return out_of_memory(err);
    for (size_t i = 0; i < request->args.count; i++)
        arguments[i] = request->args.items[i].key;
    if (commit)
        attestation.source = (struct dependency){ arena_printf(request->arena, "git+%s", remote), commit };
    return attestation_publish(&attestation, publication, err);
}

enum publish_how { PUBLISH_NOTHING, PUBLISH_IMAGE, PUBLISH_ATTESTED };

static bool publish(struct build_result *result, const char *image, const char *const *tags, size_t count,
                    enum publish_how how, struct ahead *ahead, struct error *err)
{
    const struct publish_options options = {
        .image = image,
        .ahead = ahead,
        .registries = result->registries,
        .built = result->built,
        .platforms = result->platforms,
        .count = result->count,
        .tags = tags,
        .tag_count = count,
        .commit = result->source->commit,
        .source = result->source->remote,
        .annotations = { result->request->annotations.items, result->request->annotations.count },
        .time_s = result->built[0].time_s,
    };
    AUTO(publication_free) struct publication *publication = publication_new(&options, err);

    if (!publication)
        return false;
    result->top = *publication_descriptor(publication);
    if (how == PUBLISH_NOTHING)
        return true;
    return publication_upload(publication, err) && (how == PUBLISH_IMAGE || attest(result, publication, err)) &&
           publication_tag(publication, err);
}

/* Docker calls the configuration's digest the image's ID; of several platforms there is one for all only in the index. */
static bool find_digests(struct build_result *result, struct error *err)
{
    if (!publish(result, "localhost/image", NULL, 0, PUBLISH_NOTHING, NULL, err))
        return false;
    memcpy(result->id, result->top.digest, sizeof(result->id));
    if (result->count == 1)
        sha256_hex_of(bytes_span(&result->built[0].config), result->id + strlen("sha256:"));
    return true;
}

/* ---- names ---- */

struct named {
    const char *repository, *tag;
    bool done;
};

static bool split(const struct build_result *result, struct named *names, struct error *err)
{
    const struct build_words *tags = &result->request->tags;

    for (size_t i = 0; i < tags->count; i++) {
        AUTO(reference_release) struct reference reference = { 0 };
        AUTO(bytes_release) struct bytes name = BYTES(NAME_BYTES);

        if (!reference_parse(span_of(tags->items[i]), &reference, err) || !reference_name(&name, &reference, err))
            return false;
        names[i].repository = arena_dup(result->request->arena, bytes_span(&name));
        names[i].tag = reference.tag ? arena_dup(result->request->arena, span_of(reference.tag)) : "latest";
        names[i].done = !result->request->push && !reference_is_layout(&reference);
        if (!names[i].repository || !names[i].tag)
            return out_of_memory(err);
    }
    return true;
}

/* All tags of the repository that the first one names. */
static bool send_repository(struct build_result *result, struct named *names, size_t first, struct error *err)
{
    size_t all = result->request->tags.count, count = 0;
    const char **tags = arena_take(result->request->arena, all * sizeof(tags[0]));
    struct progress_step step;

    if (!tags)
        return out_of_memory(err);
    for (size_t i = first; i < all; i++) {
        if (names[i].done || strcmp(names[i].repository, names[first].repository) != 0)
            continue;
        tags[count++] = names[i].tag;
        names[i].done = true;
    }
    const char *title = arena_printf(result->request->arena, "exporting to %s", names[first].repository);
    progress_begin(result->progress, &step, title ? title : "exporting");
    struct ahead *ahead = first == 0 ? result->ahead : NULL;
    bool good = publish(result, names[first].repository, tags, count, PUBLISH_ATTESTED, ahead, err);
    if (good)
        progress_say(&step, result->top.digest);
    progress_end(&step, good ? NULL : err);
    return good;
}

static bool send_all(struct build_result *result, struct error *err)
{
    size_t count = result->request->tags.count;
    struct named *names = arena_take(result->request->arena, (count + 1) * sizeof(names[0]));

    if (!names)
        return out_of_memory(err);
    if (!split(result, names, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!names[i].done && !send_repository(result, names, i, err))
            return error_wrap(err, "%s", names[i].repository);
    }
    return true;
}

/* ---- files ---- */

/* By their last names: docker and podman read the whole ones from elsewhere. */
static bool layout_tags(const struct build_result *result, const char **tags, size_t *count, struct error *err)
{
    const struct build_words *all = &result->request->tags;

    *count = 0;
    for (size_t i = 0; i < all->count; i++) {
        AUTO(reference_release) struct reference reference = { 0 };
        if (!reference_parse(span_of(all->items[i]), &reference, err))
            return false;
        const char *tag = reference.tag ? arena_dup(result->request->arena, span_of(reference.tag)) : "latest";
        if (!tag)
            return out_of_memory(err);
        bool twice = false;
        for (size_t k = 0; k < *count; k++)
            twice = twice || strcmp(tags[k], tag) == 0;
        if (!twice)
            tags[(*count)++] = tag;
    }
    if (*count == 0)
        tags[(*count)++] = "latest";
    return true;
}

static bool write_layout(struct build_result *result, const char *directory, struct error *err)
{
    const char **tags = arena_take(result->request->arena, (result->request->tags.count + 1) * sizeof(tags[0]));
    const char *image = arena_printf(result->request->arena, "oci:%s", directory);
    size_t count;

    if (!tags || !image)
        return out_of_memory(err);
    return layout_tags(result, tags, &count, err) && publish(result, image, tags, count, PUBLISH_IMAGE, NULL, err);
}

static bool write_archive(struct build_result *result, const struct build_output *output, int fd, struct error *err)
{
    char *directory = directory_make_temporary("pushwright-image", err);
    struct error ignored;

    if (!directory)
        return false;
    const struct archive_of_layout archive = {
        .directory = directory,
        .docker = output->kind == BUILD_TO_DOCKER,
        .built = &result->built[0],
        .names = result->request->tags.items,
        .name_count = result->request->tags.count,
    };
    bool good = write_layout(result, directory, err) && archive_write(&archive, fd, err);
    directory_remove(directory, &ignored);
    free(directory);
    return good;
}

/* A file has its name once it is whole. */
static bool write_file(struct build_result *result, const struct build_output *output,
                       bool (*write)(struct build_result *, const struct build_output *, int fd, struct error *),
                       struct error *err)
{
    const char *path = arena_printf(result->request->arena, "%s.new-%d", output->dest, (int)getpid());

    if (strcmp(output->dest, "-") == 0)
        return write(result, output, STDOUT_FILENO, err);
    if (!path)
        return out_of_memory(err);
    AUTO(close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set_errno(err, errno, "make '%s'", path);
    bool good = write(result, output, fd, err);
    if (good && rename(path, output->dest) < 0)
        good = error_set_errno(err, errno, "name '%s'", output->dest);
    if (!good)
        unlink(path);
    return good;
}

static bool write_tar(struct build_result *result, const struct build_output *output, int fd, struct error *err)
{
    (void)output;
    return export_tar(&result->built[0], fd, err);
}

static bool write_output(struct build_result *result, const struct build_output *output, struct error *err)
{
    if (output->kind == BUILD_TO_LOCAL)
        return export_directory(&result->built[0], output->dest, result->request->as_root, err);
    if (output->kind == BUILD_TO_TAR)
        return write_file(result, output, write_tar, err);
    if (output->unpacked)
        return write_layout(result, output->dest, err);
    return write_file(result, output, write_archive, err);
}

static bool write_outputs(struct build_result *result, struct error *err)
{
    for (size_t i = 0; i < result->request->output_count; i++) {
        const struct build_output *output = &result->request->outputs[i];
        const char *title = arena_printf(result->request->arena, "exporting to '%s'", output->dest);
        struct progress_step step;

        progress_begin(result->progress, &step, title ? title : "exporting");
        bool good = write_output(result, output, err) || error_wrap(err, "--output '%s'", output->dest);
        progress_end(&step, good ? NULL : err);
        if (!good)
            return false;
    }
    return true;
}

/* ---- what was made ---- */

/* As buildx writes it. */
static bool write_metadata(const struct build_result *result, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(METADATA_MAX), names = BYTES(METADATA_MAX);
    struct json_writer w = json_writer_on(&text);
    const struct build_words *tags = &result->request->tags;

    for (size_t i = 0; i < tags->count; i++) {
        if (!bytes_printf(&names, err, "%s%s", i > 0 ? "," : "", tags->items[i]))
            return false;
    }
    json_open_object(&w, NULL);
    if (result->count == 1)
        json_add_string(&w, "containerimage.config.digest", result->id);
    json_open_object(&w, "containerimage.descriptor");
    json_add_string(&w, "mediaType", result->top.media_type);
    json_add_string(&w, "digest", result->top.digest);
    json_add_integer(&w, "size", result->top.size);
    json_close_object(&w);
    json_add_string(&w, "containerimage.digest", result->top.digest);
    json_add_string(&w, "image.name", tags->count > 0 ? names.data : NULL);
    json_close_object(&w);
    return json_writer_end(&w, err) && bytes_append_char(&text, '\n', err) &&
           file_write_atomic(result->request->metadata_file, bytes_span(&text), 0644, err);
}

const char *build_output_repository(const struct build_request *request, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(bytes_release) struct bytes name = BYTES(NAME_BYTES);
    const char *kept = build_request_kept(request);

    if (!kept)
        return request->caches.to.repository;
    if (!reference_parse(span_of(kept), &reference, err) || !reference_name(&name, &reference, err))
        return NULL;
    const char *repository = arena_dup(request->arena, bytes_span(&name));
    if (!repository)
        out_of_memory(err);
    return repository;
}

bool build_output_ahead(const struct build_request *request, const struct registry_options *registries,
                        struct ahead **out, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(bytes_release) struct bytes name = BYTES(NAME_BYTES);

    *out = NULL;
    if (!request->push || request->tags.count == 0)
        return true;
    if (!reference_parse(span_of(request->tags.items[0]), &reference, err) || !reference_name(&name, &reference, err))
        return false;
    *out = ahead_new(name.data, registries, err);
    return *out != NULL;
}

bool build_output_all(struct build_result *result, struct error *err)
{
    const struct build_request *request = result->request;

    for (size_t i = 0; request->output_count == 0 && !request->attest.sbom && i < result->count; i++)
        built_forget_files(&result->built[i]);
    if (!find_digests(result, err) || !send_all(result, err) || !write_outputs(result, err))
        return false;
    if (request->id_file && !file_write_atomic(request->id_file, span_of(result->id), 0644, err))
        return error_wrap(err, "--iidfile");
    return !request->metadata_file || write_metadata(result, err) || error_wrap(err, "--metadata-file");
}
