#include "shared/builder/cache_download.h"

#include "shared/base/file.h"
#include "shared/builder/cache_disk.h"

#include <string.h>

#define FOLDER "downloads"
#define MARK "pushwright-download 1"

enum { NUMBER_DIGITS = 18 };

bool cache_download_write(const struct download *download, struct bytes *out, struct error *err)
{
    char sum[SHA256_HEX_SIZE];
    size_t start = out->len;

    if (!bytes_printf(out, err, MARK " %s %lld %lld %s", download->digest, (long long)download->content.size,
                      (long long)download->modified_s, download->etag))
        return false;
    sha256_hex_of((struct span){ out->data + start, out->len - start }, sum);
    return bytes_printf(out, err, " %s\n", sum);
}

static bool take(struct span word, char *out, size_t size)
{
    if (!word.data || word.len == 0 || word.len >= size)
        return false;
    memcpy(out, word.data, word.len);
    out[word.len] = '\0';
    return true;
}

static bool take_number(struct span word, int64_t *out)
{
    bool negative = word.data && span_starts(word, "-");

    *out = 0;
    if (!word.data || word.len == negative || word.len > NUMBER_DIGITS)
        return false;
    for (size_t i = negative; i < word.len; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
        *out = *out * 10 + (word.data[i] - '0');
    }
    *out = negative ? -*out : *out;
    return true;
}

bool cache_download_parse(struct span text, struct download *out)
{
    AUTO(bytes_release) struct bytes again = BYTES(CACHE_DOWNLOAD_MAX);
    struct span rest = text;
    struct download got = { 0 };
    struct error ignored;

    if (!span_starts(text, MARK " "))
        return false;
    rest = (struct span){ text.data + strlen(MARK " "), text.len - strlen(MARK " ") };
    if (!take(span_cut(&rest, ' '), got.digest, sizeof(got.digest)) || !digest_is_legal(span_of(got.digest)) ||
        !take_number(span_cut(&rest, ' '), &got.content.size) || got.content.size < 0 ||
        !take_number(span_cut(&rest, ' '), &got.modified_s) || !take(span_cut(&rest, ' '), got.etag, sizeof(got.etag)))
        return false;
    /* The checksum, and that there was one way to write it. */
    if (!cache_download_write(&got, &again, &ignored) || !span_equal(bytes_span(&again), text))
        return false;
    *out = got;
    return true;
}

/* Rules do not see what each other's URLs hold: a server may have told it to them alone. */
static bool name_of(const struct cache *cache, const char *url, char out[static SHA256_HEX_SIZE])
{
    AUTO(bytes_release) struct bytes text = BYTES(DOCKERFILE_SIZE_MAX);
    const char *scope = cache_options(cache)->run.cache_scope;
    struct error ignored;

    if (!bytes_printf(&text, &ignored, "%zu:%s %s", strlen(scope ? scope : ""), scope ? scope : "", url))
        return false;
    sha256_hex_of(bytes_span(&text), out);
    return true;
}

static struct descriptor blob_of(const struct download *download)
{
    struct descriptor blob = { .size = download->content.size };

    memcpy(blob.digest, download->digest, sizeof(blob.digest));
    return blob;
}

bool cache_download_find(struct cache *cache, const char *url, struct download *out, int *hold)
{
    AUTO(bytes_release) struct bytes text = BYTES(CACHE_DOWNLOAD_MAX), path = BYTES(CACHE_DISK_PATH_MAX);
    const char *directory = cache_directory(cache);
    char name[SHA256_HEX_SIZE];
    struct error ignored;

    *hold = -1;
    if (!directory || cache_options(cache)->no_cache || !name_of(cache, url, name) ||
        !bytes_printf(&path, &ignored, "%s/" FOLDER "/%s", directory, name) || !file_read(&text, path.data, &ignored) ||
        !cache_download_parse(bytes_span(&text), out))
        return false;
    const struct descriptor blob = blob_of(out);
    *hold = cache_disk_hold(directory, &blob);
    return *hold >= 0;
}

void cache_download_keep(struct cache *cache, const char *url, const struct download *download, int fd)
{
    AUTO(bytes_release) struct bytes text = BYTES(CACHE_DOWNLOAD_MAX);
    const char *directory = cache_directory(cache);
    const struct descriptor blob = blob_of(download);
    char name[SHA256_HEX_SIZE];
    struct error ignored;

    if (!directory || !download->etag[0] || download->content.size == 0 ||
        blob.size > cache_bytes_max(cache_options(cache)) || !name_of(cache, url, name) ||
        !cache_download_write(download, &text, &ignored) ||
        !cache_disk_put(directory, cache_bytes_max(cache_options(cache)), &blob, fd, &ignored))
        return;
    cache_disk_note(directory, FOLDER, name, bytes_span(&text), &ignored);
}
