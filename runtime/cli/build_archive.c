#include "runtime/cli/build_archive.h"

#include "shared/base/digest.h"
#include "shared/base/file.h"
#include "shared/base/json.h"
#include "shared/oci/reference.h"
#include "shared/oci/tar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LIST_MAX = 1024 * 1024, PIECE = 64 * 1024 };

static bool write_header(int fd, const struct tar_entry *entry, struct error *err)
{
    AUTO(bytes_release) struct bytes header = BYTES(TAR_PAX_MAX);

    return tar_write_header(&header, entry, err) && file_write_all(fd, header.data, header.len, err);
}

static bool write_padding(int fd, int64_t size, struct error *err)
{
    static const char zeroes[512];

    return file_write_all(fd, zeroes, tar_padding(size), err);
}

static bool add_text(int fd, const char *path, struct span text, struct error *err)
{
    const struct tar_entry entry = {
        .type = TAR_FILE, .path = path, .link = "", .mode = 0644, .size = (int64_t)text.len
    };

    return write_header(fd, &entry, err) && file_write_all(fd, text.data, text.len, err) &&
           write_padding(fd, entry.size, err);
}

static bool add_directory(int fd, const char *path, struct error *err)
{
    const struct tar_entry entry = { .type = TAR_DIRECTORY, .path = path, .link = "", .mode = 0755 };

    return write_header(fd, &entry, err);
}

static bool copy_bytes(int from, int to, int64_t size, struct error *err)
{
    char piece[PIECE];

    while (size > 0) {
        ssize_t n = read(from, piece, size < PIECE ? (size_t)size : PIECE);
        if (n <= 0)
            return error_set_errno(err, n < 0 ? errno : EIO, "read a blob");
        if (!file_write_all(to, piece, (size_t)n, err))
            return false;
        size -= n;
    }
    return true;
}

static bool add_file(const struct archive_of_layout *archive, int fd, const char *path, struct error *err)
{
    AUTO(bytes_release) struct bytes whole = BYTES(TAR_PATH_MAX);
    struct stat is;

    if (!bytes_printf(&whole, err, "%s/%s", archive->directory, path))
        return false;
    AUTO(close) int from = open(whole.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0 || fstat(from, &is) < 0)
        return error_set_errno(err, errno, "'%s'", whole.data);
    const struct tar_entry entry = { .type = TAR_FILE, .path = path, .link = "", .mode = 0644, .size = is.st_size };
    return write_header(fd, &entry, err) && copy_bytes(from, fd, is.st_size, err) && write_padding(fd, is.st_size, err);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool add_blobs(const struct archive_of_layout *archive, int fd, struct error *err)
{
    AUTO(bytes_release) struct bytes directory = BYTES(TAR_PATH_MAX);
    struct dirent **names = NULL;
    bool good = true;

    if (!bytes_printf(&directory, err, "%s/blobs/sha256", archive->directory))
        return false;
    int count = scandir(directory.data, &names, is_visible, alphasort);
    if (count < 0)
        return error_set_errno(err, errno, "'%s'", directory.data);
    for (int i = 0; i < count; i++) {
        AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);
        good = good && bytes_printf(&path, err, "blobs/sha256/%s", names[i]->d_name) &&
               add_file(archive, fd, path.data, err);
        free(names[i]);
    }
    free(names);
    return good;
}

/* ---- docker's list ---- */

static bool add_blob_path(struct json_writer *w, const char *key, const char *digest, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX);

    if (!bytes_printf(&path, err, "blobs/sha256/%s", digest + strlen("sha256:")))
        return false;
    json_add_string(w, key, path.data);
    return true;
}

/* "name:tag" as docker knows it: what is at its own registry without the registry. */
static bool add_name(struct json_writer *w, const char *written, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    AUTO(bytes_release) struct bytes name = BYTES(TAR_PATH_MAX);

    if (!reference_parse(span_of(written), &reference, err))
        return false;
    if (reference_is_layout(&reference))
        return true;
    if (!reference_name(&name, &reference, err) ||
        !bytes_printf(&name, err, ":%s", reference.tag ? reference.tag : "latest"))
        return false;
    json_add_string(w, NULL, name.data);
    return true;
}

static bool add_list(const struct archive_of_layout *archive, int fd, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(LIST_MAX);
    struct json_writer w = json_writer_on(&text);
    char config[DIGEST_TEXT_SIZE] = "sha256:";

    sha256_hex_of(bytes_span(&archive->built->config), config + strlen(config));
    json_open_array(&w, NULL);
    json_open_object(&w, NULL);
    if (!add_blob_path(&w, "Config", config, err))
        return false;
    json_open_array(&w, "RepoTags");
    for (size_t i = 0; i < archive->name_count; i++) {
        if (!add_name(&w, archive->names[i], err))
            return false;
    }
    json_close_array(&w);
    json_open_array(&w, "Layers");
    for (size_t i = 0; i < archive->built->layer_count; i++) {
        if (!add_blob_path(&w, NULL, archive->built->layers[i].blob.digest, err))
            return false;
    }
    json_close_array(&w);
    json_close_object(&w);
    json_close_array(&w);
    return json_writer_end(&w, err) && add_text(fd, "manifest.json", bytes_span(&text), err);
}

static bool add_index(const struct archive_of_layout *archive, int fd, struct error *err)
{
    return add_file(archive, fd, "index.json", err) && add_file(archive, fd, "oci-layout", err);
}

bool archive_write(const struct archive_of_layout *archive, int fd, struct error *err)
{
    AUTO(bytes_release) struct bytes end = BYTES(4096);

    return add_directory(fd, "blobs/", err) && add_directory(fd, "blobs/sha256/", err) && add_blobs(archive, fd, err) &&
           (archive->docker ? add_list(archive, fd, err) : add_index(archive, fd, err)) && tar_write_end(&end, err) &&
           file_write_all(fd, end.data, end.len, err);
}
