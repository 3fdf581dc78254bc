#include "shared/builder/guess.h"

#include "shared/base/digest.h"
#include "shared/base/file.h"
#include "shared/oci/tar.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Names share files by the beginning of their digest, so that there are never more than so many. */
enum { FILES_MAX = 4096, FILE_MAX = STORE_MANIFEST_MAX + 4096 };

struct guess {
    struct reference reference;
    struct registry_options registries;
    char named[DIGEST_TEXT_SIZE];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool began, answered, holds;
};

/* ---- what is remembered: a head of lines, then the manifest ---- */

static bool write_head(const struct guess_name *name, struct bytes *out, struct error *err)
{
    return bytes_printf(out, err, "pwname1\n%s\n%s\n", name->image, name->platform);
}

static bool path_of(const struct guess_name *name, struct bytes *folder, struct bytes *path, struct error *err)
{
    AUTO(bytes_release) struct bytes head = BYTES(FILE_MAX);
    uint8_t digest[SHA256_SIZE];

    if (!write_head(name, &head, err))
        return false;
    sha256_of(bytes_span(&head), digest);
    return bytes_printf(folder, err, "%s/names", name->cache_directory) &&
           bytes_printf(path, err, "%s/%03x", folder->data, (digest[0] << 8 | digest[1]) % FILES_MAX);
}

static bool next_line(struct span *rest, char *out, size_t size)
{
    struct span line = span_cut(rest, '\n');

    if (!line.data || !rest->data || line.len >= size)
        return false;
    memcpy(out, line.data, line.len);
    out[line.len] = '\0';
    return true;
}

/* Anything wrong with the file makes it nothing. */
static bool remembered(const struct guess_name *name, struct store *store, struct image *out)
{
    AUTO(bytes_release) struct bytes folder = BYTES(TAR_PATH_MAX), path = BYTES(TAR_PATH_MAX);
    AUTO(bytes_release) struct bytes file = BYTES(FILE_MAX), head = BYTES(FILE_MAX);
    struct descriptor manifest = { .size = 0 };
    char named[DIGEST_TEXT_SIZE];
    struct error err = { 0 };

    if (!path_of(name, &folder, &path, &err) || !file_read(&file, bytes_text(&path), &err) ||
        !write_head(name, &head, &err) || !span_starts(bytes_span(&file), bytes_text(&head)))
        return false;
    struct span rest = { file.data + head.len, file.len - head.len };
    if (!next_line(&rest, named, sizeof(named)) || !next_line(&rest, manifest.digest, sizeof(manifest.digest)) ||
        !next_line(&rest, manifest.media_type, sizeof(manifest.media_type)))
        return false;
    manifest.size = (int64_t)rest.len;
    return image_read(store, &manifest, named, rest, out, &err);
}

void guess_keep(const struct guess_name *name, const struct image *image)
{
    AUTO(bytes_release) struct bytes folder = BYTES(TAR_PATH_MAX), path = BYTES(TAR_PATH_MAX), file = BYTES(FILE_MAX);
    struct error err = { 0 };

    (void)(name->cache_directory && path_of(name, &folder, &path, &err) &&
           directory_make(bytes_text(&folder), 0700, &err) && write_head(name, &file, &err) &&
           bytes_printf(&file, &err, "%s\n%s\n%s\n", image->named, image->manifest.digest,
                        image->manifest.media_type) &&
           bytes_append_span(&file, bytes_span(&image->body), &err) &&
           file_write_cached(bytes_text(&path), bytes_span(&file), &err));
}

/* ---- asking ---- */

static bool ask(const struct guess *guess)
{
    const struct reference *reference = &guess->reference;
    const char *wanted = reference->digest ? reference->digest : reference->tag ? reference->tag : "latest";
    struct error err = { 0 };
    AUTO(store_free) struct store *store = store_open(reference, &guess->registries, &err);
    struct descriptor found;

    return store && store_resolve(store, wanted, &found, &err) && strcmp(found.digest, guess->named) == 0;
}

static void *run(void *opaque)
{
    struct guess *guess = opaque;
    bool holds = ask(guess);

    pthread_mutex_lock(&guess->lock);
    guess->holds = holds;
    guess->answered = true;
    pthread_cond_broadcast(&guess->changed);
    pthread_mutex_unlock(&guess->lock);
    return NULL;
}

struct guess *guess_new(const struct guess_name *name, struct store *store, const struct registry_options *registries,
                        struct image *out)
{
    AUTO(image_release) struct image image = { .layers = NULL };
    AUTO(guess_free) struct guess *guess = NULL;
    struct error err = { 0 };

    if (!name->cache_directory || !store_is_remote(store) || !remembered(name, store, &image))
        return NULL;
    guess = calloc(1, sizeof(*guess));
    if (!guess)
        return NULL;
    pthread_mutex_init(&guess->lock, NULL);
    pthread_cond_init(&guess->changed, NULL);
    if (registries)
        guess->registries = *registries;
    memcpy(guess->named, image.named, sizeof(guess->named));
    if (!reference_parse(span_of(name->image), &guess->reference, &err) ||
        pthread_create(&guess->thread, NULL, run, guess) != 0)
        return NULL;
    guess->began = true;
    *out = image;
    image = (struct image){ .layers = NULL };
    return TAKE(guess);
}

bool guess_holds(struct guess *guess)
{
    pthread_mutex_lock(&guess->lock);
    while (!guess->answered)
        pthread_cond_wait(&guess->changed, &guess->lock);
    bool holds = guess->holds;
    pthread_mutex_unlock(&guess->lock);
    return holds;
}

void guess_free(struct guess *guess)
{
    if (!guess)
        return;
    if (guess->began)
        pthread_join(guess->thread, NULL);
    reference_release(&guess->reference);
    pthread_cond_destroy(&guess->changed);
    pthread_mutex_destroy(&guess->lock);
    free(guess);
}
