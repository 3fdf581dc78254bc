#include "shared/builder/copy.h"

#include "shared/base/digest.h"
#include "shared/builder/base.h"
#include "shared/dockerfile/gomatch.h"

#include <stdlib.h>
#include <string.h>

enum { PATTERN_MATCHES_MAX = 100000 };

static bool ends_as_directory(const char *dest)
{
    size_t len = strlen(dest);
    const char *last = strrchr(dest, '/');

    last = last ? last + 1 : dest;
    return len == 0 || !*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0;
}

/* workdir/dest, which need not exist. As with BuildKit ".." goes back in the text, before any link is followed. */
static bool dest_path(const struct copy *copy, struct bytes *out, struct error *err)
{
    AUTO(bytes_release) struct bytes whole = BYTES(2 * TAR_PATH_MAX);

    return bytes_printf(&whole, err, "%s/%s", copy->dest[0] == '/' ? "" : copy->workdir, copy->dest) &&
           bytes_append_char(out, '/', err) && copy_clean(whole.data, out, err);
}

static bool is_octal(const char *chmod)
{
    return chmod && dockerfile_chmod_is_octal(chmod);
}

/* What missing parents, and a destination directory that is made, look like. */
static struct attributes made_directory(const struct copy *copy)
{
    struct attributes made = { .type = TAR_DIRECTORY, .mode = 0755, .mtime_s = copy->time_s };

    if (copy->has_owner) {
        made.uid = copy->uid;
        made.gid = copy->gid;
    }
    if (is_octal(copy->chmod))
        made.mode = dockerfile_chmod_apply(copy->chmod, made.mode, true) & 0777;
    return made;
}

static bool copied(const struct copy *copy, const struct attributes *source, struct attributes *out, struct error *err)
{
    struct attributes is = *source;

    if (copy->has_owner || !copy->keep_owner) {
        is.uid = copy->has_owner ? copy->uid : 0;
        is.gid = copy->has_owner ? copy->gid : 0;
    }
    if (copy->chmod && is.type != TAR_SYMLINK)
        is.mode = dockerfile_chmod_apply(copy->chmod, is.mode, is.type == TAR_DIRECTORY);
    if (is.mtime_s > copy->newest_s)
        is.mtime_s = copy->newest_s;
    /* Names of one file within a copied directory stay that, apart from every other copy. */
    is.file = 0;
    if (source->file && copy->links && !numbering_get(copy->links, source->file, 0, &is.file, err))
        return false;
    *out = is;
    return true;
}

static bool cannot(const struct tree_node *node, const char *what, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(2 * TAR_PATH_MAX);

    return tree_path(node, &path, err) && error_set(err, ERROR_INVALID, "%s: %s", what, bytes_text(&path));
}

static bool cannot_replace(const struct tree_node *node, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(2 * TAR_PATH_MAX);

    return tree_path(node, &path, err) &&
           error_set(err, ERROR_INVALID, "cannot replace to directory %s with file", bytes_text(&path));
}

/* Of files that agree in everything else, times included. */
static bool same_content(struct content *a, struct content *b, bool *same, struct error *err)
{
    uint8_t digests[2][SHA256_SIZE];

    *same = a == b;
    if (a == b || !a || !b)
        return true;
    if (!content_size(a, err) || !content_size(b, err))
        return false;
    if (a->size != b->size)
        return true;
    if (!base_extract((struct content *[]){ a, b }, 2, err) || !content_digest(a, digests[0], err) ||
        !content_digest(b, digests[1], err))
        return false;
    *same = memcmp(digests[0], digests[1], SHA256_SIZE) == 0;
    return true;
}

/* Would writing it change nothing? Then it is not part of the layer. */
static bool is_same(const struct tree_node *node, const struct attributes *is, bool *same, struct error *err)
{
    const struct attributes *was = &node->is;

    *same = was->type == is->type && was->mode == is->mode && was->uid == is->uid && was->gid == is->gid &&
            (was->mtime_s == is->mtime_s || is->type == TAR_DIRECTORY) && was->device_major == is->device_major &&
            was->device_minor == is->device_minor && span_equal(was->capability, is->capability) &&
            (is->type != TAR_SYMLINK || strcmp(was->target, is->target) == 0);
    return !*same || same_content(was->content, is->content, same, err);
}

static bool write_node(const struct copy *copy, struct tree_node *node, const struct attributes *is, bool is_new,
                       struct error *err)
{
    bool same = false;

    if (!is_new && !is_same(node, is, &same, err))
        return false;
    /* A name that this instruction has written before leaves the file that it was one of. */
    if (same && (node->layer != copy->layer || node->is.file == is->file)) {
        node->is.mtime_s = is->mtime_s; /* of a directory, told when something in it changes */
        return true;
    }
    node->is = *is;
    tree_touch(node, copy->layer);
    return true;
}

/* The file takes the name in the directory; what stood there gives way unless it is a directory. */
static bool put(const struct copy *copy, struct tree_node *directory, struct span name, const struct attributes *is,
                struct error *err)
{
    struct tree_node *node = tree_child(copy->to, directory, name);

    if (node && tree_is_directory(node))
        return cannot_replace(node, err);
    bool is_new = !node;
    if (is_new)
        node = tree_add(copy->to, directory, name, err);
    if (!node)
        return false;
    return write_node(copy, node, is, is_new, err);
}

/* The last part of a place that does not exist yet is split off: what is left is where it belongs. */
static struct span split_missing(struct tree_place *place)
{
    char *slash = strrchr(place->missing, '/');
    struct span name = span_of(slash ? slash + 1 : place->missing);

    if (slash)
        *slash = '\0';
    return name;
}

bool copy_file(const struct copy *copy, const char *name, const struct attributes *is, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(3 * TAR_PATH_MAX);
    struct attributes made = made_directory(copy), own;
    struct tree_place place;
    char own_name[TAR_PATH_MAX];

    if (!copied(copy, is, &own, err) || !dest_path(copy, &path, err) ||
        !tree_resolve(copy->to, tree_root(copy->to), path.data, true, &place, err))
        return false;
    bool exists = !place.missing[0];
    if (ends_as_directory(copy->dest) || (exists && tree_is_directory(place.node))) {
        struct tree_node *directory = tree_make_directories(copy->to, &place, &made, copy->has_owner, copy->layer, err);
        return directory && put(copy, directory, span_of(name), &own, err);
    }
    if (exists)
        return put(copy, place.node->parent, span_of(place.node->name), &own, err);

    struct span last = split_missing(&place);
    memcpy(own_name, last.data, last.len + 1);
    if (last.data == place.missing)
        place.missing[0] = '\0';
    struct tree_node *directory = tree_make_directories(copy->to, &place, &made, copy->has_owner, copy->layer, err);
    return directory && put(copy, directory, span_of(own_name), &own, err);
}

struct tree_node *copy_directory(const struct copy *copy, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(3 * TAR_PATH_MAX);
    struct attributes made = made_directory(copy);
    struct tree_place place;

    if (!dest_path(copy, &path, err) || !tree_resolve(copy->to, tree_root(copy->to), path.data, true, &place, err))
        return NULL;
    return tree_make_directories(copy->to, &place, &made, copy->has_owner, copy->layer, err);
}

/* The same for the content of a directory, which says it in other words when there is something else. */
static struct tree_node *copy_into(const struct copy *copy, struct error *err)
{
    AUTO(bytes_release) struct bytes path = BYTES(3 * TAR_PATH_MAX);
    struct tree_place place;

    if (!dest_path(copy, &path, err) || !tree_resolve(copy->to, tree_root(copy->to), path.data, true, &place, err))
        return NULL;
    if (!place.missing[0] && !tree_is_directory(place.node)) {
        cannot(place.node, "cannot copy to non-directory", err);
        return NULL;
    }
    return copy_directory(copy, err);
}

struct directory_copy {
    const struct copy *copy;
    struct bytes path; /* of what is copied, from the source directory: what --exclude looks at */
};

static bool copy_below(struct directory_copy *work, const struct tree_node *from, struct tree_node *into,
                       struct error *err);

static bool copy_subdirectory(struct directory_copy *work, const struct tree_node *source, struct tree_node *into,
                              struct error *err)
{
    const struct copy *copy = work->copy;
    struct tree_node *node = tree_child(copy->to, into, span_of(source->name));
    struct attributes is;
    bool is_new = !node;

    if (!copied(copy, &source->is, &is, err))
        return false;
    if (node && !tree_is_directory(node))
        return cannot(node, "cannot copy to non-directory", err);
    if (is_new)
        node = tree_add(copy->to, into, span_of(source->name), err);
    if (!node)
        return false;
    return write_node(copy, node, &is, is_new, err) && copy_below(work, source, node, err);
}

static bool is_excluded(const struct directory_copy *work, const struct tree_node *node)
{
    const struct ignore *excludes = work->copy->excludes;

    if (!excludes || !ignore_excludes(excludes, bytes_span(&work->path)))
        return false;
    return !tree_is_directory(node) || !ignore_may_include_below(excludes, bytes_span(&work->path));
}

static bool copy_child(struct directory_copy *work, const struct tree_node *child, struct tree_node *into,
                       struct error *err)
{
    struct attributes is;

    if (is_excluded(work, child))
        return true;
    if (tree_is_directory(child))
        return copy_subdirectory(work, child, into, err);
    return copied(work->copy, &child->is, &is, err) && put(work->copy, into, span_of(child->name), &is, err);
}

static bool copy_below(struct directory_copy *work, const struct tree_node *from, struct tree_node *into,
                       struct error *err)
{
    size_t count, len = work->path.len;
    AUTO(free) struct tree_node **children = tree_sorted(from, &count, err);

    if (!children)
        return err->kind == ERROR_NONE;
    for (size_t i = 0; i < count; i++) {
        if ((len > 0 && !bytes_append_char(&work->path, '/', err)) ||
            !bytes_append_text(&work->path, children[i]->name, err) || !copy_child(work, children[i], into, err))
            return false;
        work->path.len = len;
        work->path.data[len] = '\0';
    }
    return true;
}

/* keep_time: an existing or new destination gets the time of the directory whose content it gets. */
static bool copy_found(const struct copy *copy, const struct tree_node *source, const char *name, bool keep_time,
                       struct error *err)
{
    AUTO(numbering_release) struct numbering links = { .last = copy->file_number };
    struct copy linking = *copy;
    struct directory_copy work = { .copy = &linking, .path = BYTES(2 * TAR_PATH_MAX) };
    bool unpacked = false;

    if (copy->seen)
        return copy->seen(copy->seen_context, source, name, "", true, err);
    linking.links = &links;
    if (copy->unpack && source->is.type == TAR_FILE &&
        !copy->unpack(copy->unpack_context, copy, source, &unpacked, err))
        return false;
    if (!tree_is_directory(source))
        return unpacked || copy_file(copy, name, &source->is, err);
    struct tree_node *into = copy_into(copy, err);
    bool done = into && copy_below(&work, source, into, err);
    if (done && keep_time)
        into->is.mtime_s = source->is.mtime_s < copy->newest_s ? source->is.mtime_s : copy->newest_s;
    bytes_release(&work.path);
    return done;
}

bool copy_clean(const char *source, struct bytes *out, struct error *err)
{
    struct span rest = span_of(source);
    size_t start = out->len;

    for (struct span part = span_cut(&rest, '/'); part.data; part = span_cut(&rest, '/')) {
        if (part.len == 0 || span_is(part, "."))
            continue;
        if (span_is(part, "..")) {
            long slash = span_find_last((struct span){ out->data ? out->data + start : "", out->len - start }, '/');
            bytes_truncate(out, start + (slash < 0 ? 0 : (size_t)slash));
            continue;
        }
        if ((out->len > start && !bytes_append_char(out, '/', err)) || !bytes_append_span(out, part, err))
            return false;
    }
    return true;
}

static bool not_found(const struct copy *copy, const char *path, struct error *err)
{
    return error_set(err, ERROR_INVALID, "\"/%s\": not found in %s", path, copy->from_name);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool copy_path(const struct copy *copy, const char *path, bool keep_time, struct error *err)
{
    struct tree_place place;

    if (!tree_resolve(copy->from, copy->from_root, path, true, &place, err))
        return false;
    if (place.missing[0])
        return not_found(copy, path, err);
    return copy_found(copy, place.node, base_name(path), keep_time, err);
}

/* ---- --parents: the source's own directories go along ---- */

/* The directory of that name below `into`, looking like the source's when it is made; one that is there gets the source's mode, once. */
static struct tree_node *along(const struct copy *copy, struct tree_node *into, const struct tree_node *source,
                               bool again, struct error *err)
{
    struct tree_node *node = tree_child(copy->to, into, span_of(source->name));
    struct attributes is;

    if (node && !tree_is_directory(node)) {
        cannot(node, "cannot copy to non-directory", err);
        return NULL;
    }
    if (node) {
        is = node->is;
        is.mode = again ? is.mode : source->is.mode;
        return write_node(copy, node, &is, false, err) ? node : NULL;
    }
    if (!copied(copy, &source->is, &is, err))
        return NULL;
    node = tree_add(copy->to, into, span_of(source->name), err);
    return node && write_node(copy, node, &is, true, err) ? node : NULL;
}

static bool see_along(const struct copy *copy, const char *path, size_t strip, struct error *err)
{
    const struct tree_node *source = copy->from_root;
    struct span rest = span_of(path);

    for (struct span part = span_cut(&rest, '/'); part.data; part = span_cut(&rest, '/')) {
        source = tree_child(copy->from, source, part);
        if (!source)
            return not_found(copy, path, err);
        if ((size_t)(part.data - path) >= strip &&
            !copy->seen(copy->seen_context, source, source->name, path + strip, !rest.data, err))
            return false;
    }
    return true;
}

/* How much of the way to the path was the way to the one before it. */
static size_t common_way(const char *path, struct span before)
{
    size_t common = 0, i = 0;

    for (; path[i] && i < before.len && path[i] == before.data[i]; i++)
        common = path[i] == '/' ? i : common;
    return i == before.len && path[i] == '/' ? i : common;
}

static bool copy_along(struct directory_copy *work, const char *path, size_t strip, struct error *err)
{
    const struct copy *copy = work->copy;
    const struct tree_node *source = copy->from_root;
    struct tree_node *into = copy_into(copy, err);
    size_t gone = common_way(path, bytes_span(copy->way));
    struct span rest = span_of(path);

    for (struct span part = span_cut(&rest, '/'); into && rest.data; part = span_cut(&rest, '/')) {
        source = tree_child(copy->from, source, part);
        if ((size_t)(part.data - path) >= strip)
            into = along(copy, into, source, (size_t)(part.data + part.len - path) <= gone, err);
        if (!into)
            return false;
    }
    bytes_clear(copy->way);
    return into && bytes_append_text(copy->way, path, err) &&
           copy_child(work, tree_child(copy->from, source, span_of(base_name(path))), into, err);
}

/* path: of the source, no link on the way; strip: how much of it, the pivot, does not go along. As BuildKit, which does not find what was
 * named and is excluded. */
static bool go_along(const struct copy *copy, const char *path, size_t strip, bool named, struct error *err)
{
    struct directory_copy work = { .copy = copy, .path = BYTES(2 * TAR_PATH_MAX) };
    const struct tree_node *source = copy->from_root;
    struct span rest = span_of(path);

    if (copy->seen)
        return see_along(copy, path, strip, err);
    for (struct span part = span_cut(&rest, '/'); source && part.data; part = span_cut(&rest, '/'))
        source = tree_child(copy->from, source, part);
    bool done = source && bytes_append_text(&work.path, path + strip, err),
         excluded = done && is_excluded(&work, source);
    if (!source || (excluded && named))
        done = not_found(copy, path, err);
    else if (done)
        done = excluded ? copy_into(copy, err) != NULL : copy_along(&work, path, strip, err);
    bytes_release(&work.path);
    return done;
}

/* ---- wildcards ---- */

struct matching {
    const struct copy *copy;
    size_t strip; /* with --parents: length of the pivot */
    struct bytes path;
    size_t matches;
};

static bool copy_match(struct matching *matching, struct error *err)
{
    if (++matching->matches > PATTERN_MATCHES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "a pattern matches more than %d files", PATTERN_MATCHES_MAX);
    return matching->copy->parents ? go_along(matching->copy, matching->path.data, matching->strip, false, err)
                                   : copy_path(matching->copy, matching->path.data, false, err);
}

static bool match_below(struct matching *matching, const struct tree_node *directory, struct span pattern,
                        struct error *err);

/* As BuildKit, which looks for what may match with patterns whose classes know no wildcard: "qu[?].txt" matches nothing. */
static bool class_holds_wildcard(struct span segment)
{
    bool in_class = false;

    for (size_t i = 0; i < segment.len; i++) {
        char c = segment.data[i];

        if (c == '\\')
            i++;
        else if (in_class && (c == '*' || c == '?'))
            return true;
        else
            in_class = c == '[' || (in_class && c != ']');
    }
    return false;
}

/* One child against the first segment; what is behind that is matched below the child. */
static bool match_child(struct matching *matching, const struct tree_node *child, struct span pattern,
                        struct error *err)
{
    struct span rest = pattern, segment = span_cut(&rest, '/');
    bool any_depth = matching->copy->parents && span_is(segment, "**");
    enum gomatch match = any_depth ? GOMATCH_YES : gomatch(segment, span_of(child->name));

    if (match == GOMATCH_YES && !any_depth && class_holds_wildcard(segment))
        match = GOMATCH_NO;
    if (match == GOMATCH_BAD_PATTERN)
        return error_set(err, ERROR_INVALID, "syntax error in pattern '%.*s'", SPAN_ARGS(pattern));
    if (match == GOMATCH_NO)
        return true;
    if (!rest.data)
        return copy_match(matching, err);
    return !tree_is_directory(child) || match_below(matching, child, any_depth ? pattern : rest, err);
}

/* Segment by segment: a pattern's '*' never matches a slash; with --parents "**" is any number of directories, none too. */
static bool match_below(struct matching *matching, const struct tree_node *directory, struct span pattern,
                        struct error *err)
{
    struct span rest = pattern, segment = span_cut(&rest, '/');
    size_t count, len = matching->path.len;
    AUTO(free) struct tree_node **children = tree_sorted(directory, &count, err);

    if (!children)
        return err->kind == ERROR_NONE;
    if (matching->copy->parents && rest.data && span_is(segment, "**") && !match_below(matching, directory, rest, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if ((len > 0 && !bytes_append_char(&matching->path, '/', err)) ||
            !bytes_append_text(&matching->path, children[i]->name, err) ||
            !match_child(matching, children[i], pattern, err))
            return false;
        matching->path.len = len;
        matching->path.data[len] = '\0';
    }
    return true;
}

/* Length of the cleaned path before the pivot "/./", its slash included; 0 without one. */
static bool pivot_of(const char *source, size_t *strip, struct error *err)
{
    AUTO(bytes_release) struct bytes before = BYTES(TAR_PATH_MAX);
    AUTO(free) char *copy = strdup(source);
    char *pivot = copy ? strstr(copy, "/./") : NULL;

    *strip = 0;
    if (!copy)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!pivot)
        return true;
    *pivot = '\0';
    if (!copy_clean(copy, &before, err))
        return false;
    *strip = before.len > 0 ? before.len + 1 : 0;
    return true;
}

/* "dir/." means what is in it, not the directory. */
static bool ends_in_dot(const char *source)
{
    size_t len = strlen(source);

    while (len > 0 && source[len - 1] == '/')
        len--;
    return len > 1 && source[len - 1] == '.' && source[len - 2] == '/';
}

bool copy_source(const struct copy *copy, const char *source, struct error *err)
{
    AUTO(numbering_release) struct numbering links = { .last = copy->file_number };
    AUTO(bytes_release) struct bytes path = BYTES(TAR_PATH_MAX), way = BYTES(2 * TAR_PATH_MAX);
    struct copy whole = *copy; /* with --parents all that a pattern matches is one copy */
    struct matching matching = { .copy = copy->parents ? &whole : copy, .path = BYTES(2 * TAR_PATH_MAX) };

    whole.links = &links;
    whole.way = &way;

    if (!copy_clean(source, &path, err) || (copy->parents && !pivot_of(source, &matching.strip, err)))
        return false;
    if (gomatch_has_wildcard(bytes_span(&path))) {
        bool done = match_below(&matching, copy->from_root, bytes_span(&path), err);
        bytes_release(&matching.path);
        return done;
    }
    if (copy->parents && path.len > matching.strip)
        return go_along(&whole, path.data, matching.strip, true, err);
    return copy_path(copy, bytes_text(&path), path.len > 0 && !ends_in_dot(source), err);
}
