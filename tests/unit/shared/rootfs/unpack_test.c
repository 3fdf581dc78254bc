/* Layers as archives, friendly and hostile, laid out as directories. */
#include "shared/base/digest.h"
#include "shared/base/file.h"
#include "shared/oci/tar.h"
#include "shared/rootfs/unpack.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

static char *base;
static enum sandbox_mode mode;

struct item {
    enum tar_type type;
    const char *path, *link, *content;
    uint32_t mode;
};

static void write_archive(struct bytes *out, const struct item *items, size_t count)
{
    struct error err = { 0 };
    static const char zeros[512];
    for (size_t i = 0; i < count; i++) {
        const char *content = items[i].content ? items[i].content : "";
        const struct tar_entry entry = {
            .type = items[i].type,
            .path = items[i].path,
            .link = items[i].link ? items[i].link : "",
            .mode = items[i].mode,
            .uid = geteuid(),
            .gid = getegid(),
            .size = (int64_t)strlen(content),
            .mtime_s = 1000000000,
        };
        assert_true(tar_write_header(out, &entry, &err));
        assert_true(bytes_append_text(out, content, &err));
        assert_true(bytes_append(out, zeros, tar_padding(entry.size), &err));
    }
    assert_true(tar_write_end(out, &err));
}

static void digest_of(struct span data, char out[static DIGEST_TEXT_SIZE])
{
    memcpy(out, "sha256:", 7);
    sha256_hex_of(data, out + 7);
}

static char directory[300];

/* Unpack the items into a new directory. */
static bool unpack(const struct item *items, size_t count, const char *diff_id, struct error *err)
{
    static int number;
    char text[300];
    struct image_layer layer = { .blob = { .media_type = "application/vnd.oci.image.layer.v1.tar" } };
    AUTO(bytes_release) struct bytes archive = BYTES(1024 * 1024);
    AUTO(reference_release) struct reference reference = { 0 };
    write_archive(&archive, items, count);
    snprintf(text, sizeof text, "oci:%s/layout", base);
    assert_true(reference_parse(span_of(text), &reference, err));
    AUTO(store_free) struct store *store = store_open(&reference, NULL, err);
    assert_non_null(store);
    digest_of(bytes_span(&archive), layer.blob.digest);
    snprintf(layer.diff_id, sizeof layer.diff_id, "%s", diff_id ? diff_id : layer.blob.digest);
    layer.blob.size = (int64_t)archive.len;
    assert_true(store_put_blob(store, &layer.blob, bytes_span(&archive), err));
    snprintf(directory, sizeof directory, "%s/layer-%d", base, number++);
    assert_int_equal(mkdir(directory, 0755), 0);
    return layer_unpack(store, &layer, directory, &(struct unpack_how){ .mode = mode }, err);
}

#define UNPACK(err, ...)                                                                                               \
    unpack((const struct item[]){ __VA_ARGS__ }, sizeof((const struct item[]){ __VA_ARGS__ }) / sizeof(struct item),   \
           NULL, err)

static const char *at(const char *path)
{
    static char full[600];
    snprintf(full, sizeof full, "%s/%s", directory, path);
    return full;
}

static struct stat stat_of(const char *path)
{
    struct stat found;
    if (lstat(at(path), &found) < 0)
        fail_msg("no '%s'", path);
    return found;
}

static void files_keep_what_they_are(void **state)
{
    (void)state;
    struct error err = { 0 };
    char link[32] = "", text[32] = "";
    assert_true(UNPACK(&err, { TAR_DIRECTORY, "./srv/", .mode = 0555 },
                       { TAR_FILE, "./srv/a", .content = "hello", .mode = 04755 },
                       { TAR_HARDLINK, "srv/b", .link = "./srv/a" }, { TAR_SYMLINK, "srv/c", .link = "/srv/a" },
                       { TAR_FILE, "not/listed/parent", .mode = 0600 }, { TAR_FIFO, "pipe", .mode = 0644 },
                       { TAR_BLOCK, "dev/sda", .mode = 0600 }));
    assert_int_equal(stat_of("srv").st_mode & 07777, 0555);
    assert_int_equal(stat_of("srv").st_mtime, 1000000000);
    assert_int_equal(stat_of("srv/a").st_mode & 07777, 04755);
    assert_int_equal(stat_of("srv/a").st_mtime, 1000000000);
    assert_int_equal(stat_of("srv/a").st_ino, stat_of("srv/b").st_ino);
    assert_int_equal(readlink(at("srv/c"), link, sizeof link - 1), 6);
    assert_string_equal(link, "/srv/a");
    AUTO(close) int fd = open(at("srv/b"), O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text - 1), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(stat_of("not/listed").st_mode & 0777, 0755);
    assert_true(S_ISFIFO(stat_of("pipe").st_mode));
    if (mode == SANDBOX_AS_ROOT)
        assert_true(S_ISBLK(stat_of("dev/sda").st_mode));
    else
        assert_int_equal(access(at("dev/sda"), F_OK), -1);
}

static bool is_opaque(const char *path)
{
    char value[4] = "";
    return getxattr(at(path), mode == SANDBOX_AS_ROOT ? "trusted.overlay.opaque" : "user.overlay.opaque", value, 4) ==
               1 &&
           value[0] == 'y';
}

static bool is_whiteout(const char *path)
{
    struct stat found = stat_of(path);
    return S_ISCHR(found.st_mode) && found.st_rdev == makedev(0, 0);
}

static void whiteouts_become_those_of_overlayfs(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(UNPACK(&err, { TAR_DIRECTORY, "etc/", .mode = 0755 }, { TAR_FILE, "etc/.wh.hosts", .mode = 0644 },
                       { TAR_DIRECTORY, "var/", .mode = 0755 }, { TAR_FILE, "var/.wh..wh..opq", .mode = 0644 },
                       { TAR_FILE, ".wh.opt", .mode = 0644 }, { TAR_DIRECTORY, "opt/", .mode = 0755 },
                       { TAR_FILE, "opt/new", .mode = 0644 }, { TAR_FILE, ".wh..wh.plnk", .mode = 0644 },
                       { TAR_FILE, "kept", .mode = 0644 }, { TAR_FILE, ".wh.kept", .mode = 0644 }));
    assert_true(is_whiteout("etc/hosts"));
    assert_true(is_opaque("var"));
    assert_false(is_opaque("etc"));
    assert_true(is_opaque("opt")); /* taken away below and made anew here */
    assert_int_equal(access(at("opt/new"), F_OK), 0);
    assert_true(S_ISREG(stat_of("kept").st_mode)); /* whiteouts hide what is below, never this layer's own */
    assert_int_equal(access(at(".wh..wh.plnk"), F_OK), -1);
}

static void the_last_entry_of_a_path_counts(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(UNPACK(&err, { TAR_DIRECTORY, "x/", .mode = 0755 }, { TAR_FILE, "x/deep/file", .mode = 0644 },
                       { TAR_FILE, "x", .content = "f", .mode = 0644 }, { TAR_FILE, "y", .mode = 0644 },
                       { TAR_DIRECTORY, "y", .mode = 0755 }, { TAR_FILE, "y/in", .mode = 0644 },
                       { TAR_SYMLINK, "z", .link = "/etc/passwd" },
                       { TAR_FILE, "z", .content = "mine", .mode = 0644 }));
    assert_int_equal(stat_of("x").st_size, 1);
    assert_true(S_ISDIR(stat_of("y").st_mode));
    assert_int_equal(stat_of("z").st_size, 4);
    assert_true(S_ISREG(stat_of("z").st_mode));
}

static void of_several_entries_for_a_directory_the_last_one_counts(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(UNPACK(&err, { TAR_DIRECTORY, "d/", .mode = 0755 }, { TAR_DIRECTORY, "d/in/", .mode = 0500 },
                       { TAR_DIRECTORY, "d", .mode = 0500 }, { TAR_DIRECTORY, "d/in", .mode = 0711 },
                       { TAR_DIRECTORY, "./d/", .mode = 01700 }));
    assert_int_equal(stat_of("d").st_mode & 07777, 01700);
    assert_int_equal(stat_of("d/in").st_mode & 07777, 0711);
}

/* More files at a time than are ever open, with and without content, of sizes around those that are handed on as one. */
static void many_files_have_their_own_content(void **state)
{
    (void)state;
    enum { FILES = 300 };
    struct error err = { 0 };
    static struct item items[FILES];
    static char names[FILES][16], contents[FILES][700];
    for (size_t i = 0; i < FILES; i++) {
        snprintf(names[i], sizeof names[i], "d%zu/%zu", i / 50, i);
        memset(contents[i], 'a' + (int)(i % 26), i * 3 % 600);
        items[i] = (struct item){ TAR_FILE, names[i], .content = contents[i], .mode = 0644 };
    }
    assert_true(unpack(items, FILES, NULL, &err));
    for (size_t i = 0; i < FILES; i++) {
        AUTO(bytes_release) struct bytes text = BYTES(1000);
        assert_true(file_read(&text, at(names[i]), &err));
        assert_string_equal(bytes_text(&text), contents[i]);
        assert_int_equal(stat_of(names[i]).st_mode & 07777, 0644);
        assert_int_equal(stat_of(names[i]).st_mtime, 1000000000);
    }
}

static void what_the_umask_takes_is_given_all_the_same(void **state)
{
    (void)state;
    struct error err = { 0 };
    mode_t before = umask(077);
    bool done = UNPACK(&err, { TAR_FILE, "all", .mode = 0777 }, { TAR_FILE, "read", .mode = 0444 },
                       { TAR_FILE, "none", .mode = 0 }, { TAR_FILE, "special", .mode = 06711 });
    umask(before);
    assert_true(done);
    assert_int_equal(stat_of("all").st_mode & 07777, 0777);
    assert_int_equal(stat_of("read").st_mode & 07777, 0444);
    assert_int_equal(stat_of("none").st_mode & 07777, 0);
    assert_int_equal(stat_of("special").st_mode & 07777, 06711);
}

/* A group that a file takes from its directory is not the one that the archive says. */
static void owners_are_the_archives_wherever_it_is_unpacked(void **state)
{
    (void)state;
    struct error err = { 0 };
    char place[300];
    if (geteuid() != 0)
        skip();
    snprintf(place, sizeof place, "%s/of-a-group", base);
    assert_int_equal(mkdir(place, 0755), 0);
    assert_true(chown(place, 0, 42) == 0 && chmod(place, 02755) == 0);
    AUTO(free) char *elsewhere = base;
    base = place;
    bool done = UNPACK(&err, { TAR_DIRECTORY, "d/", .mode = 0755 }, { TAR_FILE, "d/f", .mode = 0644 },
                       { TAR_SYMLINK, "d/l", .link = "f" }, { TAR_FIFO, "d/p", .mode = 0644 });
    base = TAKE(elsewhere);
    assert_true(done);
    static const char *const names[] = { "d", "d/f", "d/l", "d/p" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(stat_of(names[i]).st_gid, getegid());
    assert_int_equal(stat_of("d").st_mode & 07777, 0755);
}

static void links_lead_nowhere_but_inside(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_true(UNPACK(&err, { TAR_DIRECTORY, "real/", .mode = 0755 },
                       { TAR_SYMLINK, "up", .link = "../../../../real" }, { TAR_FILE, "up/planted", .mode = 0644 },
                       { TAR_FILE, "up/.wh..wh..opq", .mode = 0644 }, { TAR_FILE, "up/.wh.gone", .mode = 0644 },
                       { TAR_SYMLINK, "abs", .link = "/real" }, { TAR_DIRECTORY, "abs/dir/", .mode = 0700 },
                       { TAR_HARDLINK, "again", .link = "up/planted" }));
    assert_int_equal(access(at("real/planted"), F_OK), 0); /* where it would be with the layer as root directory */
    assert_true(is_opaque("real"));
    assert_true(is_whiteout("real/gone"));
    assert_int_equal(stat_of("real/dir").st_mode & 07777, 0700);
    assert_int_equal(stat_of("again").st_ino, stat_of("real/planted").st_ino);
}

static void links_to_the_machine_are_of_no_use(void **state)
{
    (void)state;
    static const char *const targets[] = { "/proc/self/root", "/proc/self/cwd", NULL, "../outside" };
    char outside[300], planted[400];
    snprintf(outside, sizeof outside, "%s/outside", base);
    mkdir(outside, 0755);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct error err = { 0 };
        const char *target = targets[i] ? targets[i] : outside;
        assert_false(UNPACK(&err, { TAR_SYMLINK, "link", .link = target },
                            { TAR_FILE, "link/planted-by-the-test", .mode = 0644 }));
        assert_int_equal(access("/planted-by-the-test", F_OK), -1);
        assert_int_equal(access("planted-by-the-test", F_OK), -1);
        snprintf(planted, sizeof planted, "%s/planted-by-the-test", outside);
        assert_int_equal(access(planted, F_OK), -1);
    }
}

static void hostile_archives_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct item item;
        const char *text;
    } rows[] = {
        { { TAR_FILE, "../escaped", .mode = 0644 }, "leaves the image" },
        { { TAR_FILE, "a/../../escaped", .mode = 0644 }, "leaves the image" },
        { { TAR_DIRECTORY, "a/..", .mode = 0755 }, "leaves the image" },
        { { TAR_HARDLINK, "passwd", .link = "/etc/passwd" }, "link 'passwd' to '/etc/passwd': No such file" },
        { { TAR_HARDLINK, "passwd", .link = "../../etc/passwd" }, "leaves the image" },
        { { TAR_FILE, ".wh...", .mode = 0644 }, "whiteout of '..'" },
        { { TAR_FILE, ".wh.", .mode = 0644 }, "whiteout of ''" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        char escaped[300];
        assert_false(unpack(&rows[i].item, 1, NULL, &err));
        if (!strstr(err.message, rows[i].text))
            fail_msg("row %zu: %s", i, err.message);
        snprintf(escaped, sizeof escaped, "%s/escaped", base);
        assert_int_equal(access(escaped, F_OK), -1);
    }
}

static void content_that_is_not_what_the_image_says_is_refused(void **state)
{
    (void)state;
    struct error err = { 0 };
    const struct item item = { TAR_FILE, "a", .mode = 0644 };
    assert_false(unpack(&item, 1, "sha256:0000000000000000000000000000000000000000000000000000000000000000", &err));
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_non_null(strstr(err.message, "the image says sha256:0000"));
}

static int prepare(void **state)
{
    (void)state;
    struct error err = { 0 };
    mode = geteuid() == 0 ? SANDBOX_AS_ROOT : SANDBOX_AS_USER;
    base = directory_make_temporary("layer-test", &err);
    return base ? 0 : -1;
}

static int tidy(void **state)
{
    (void)state;
    struct error err = { 0 };
    bool removed = sandbox_remove_tree(base, &err);
    free(base);
    return removed ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_keep_what_they_are),
        cmocka_unit_test(whiteouts_become_those_of_overlayfs),
        cmocka_unit_test(the_last_entry_of_a_path_counts),
        cmocka_unit_test(of_several_entries_for_a_directory_the_last_one_counts),
        cmocka_unit_test(many_files_have_their_own_content),
        cmocka_unit_test(what_the_umask_takes_is_given_all_the_same),
        cmocka_unit_test(owners_are_the_archives_wherever_it_is_unpacked),
        cmocka_unit_test(links_lead_nowhere_but_inside),
        cmocka_unit_test(links_to_the_machine_are_of_no_use),
        cmocka_unit_test(hostile_archives_are_refused),
        cmocka_unit_test(content_that_is_not_what_the_image_says_is_refused),
    };
    return cmocka_run_group_tests_name("shared/rootfs/unpack", tests, prepare, tidy);
}
