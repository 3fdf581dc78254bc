#include "shared/builder/accounts.h"

#include "shared/builder/base.h"

#include <stdlib.h>
#include <string.h>

static bool is_number(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return text.len > 0;
}

static uint32_t number_of(struct span text)
{
    uint64_t number = 0;

    for (size_t i = 0; i < text.len; i++) {
        number = number * 10 + (uint64_t)(text.data[i] - '0');
        if (number > INT32_MAX)
            return 0;
    }
    return (uint32_t)number;
}

static void split(const char *owner, struct span *user, struct span *group)
{
    struct span rest = span_of(owner);

    *user = span_cut(&rest, ':');
    *group = rest;
}

bool accounts_needed(const char *owner)
{
    struct span user, group;

    split(owner, &user, &group);
    return (user.len > 0 && !is_number(user)) || (group.len > 0 && !is_number(group));
}

static bool append(void *context, const void *data, size_t len, struct error *err)
{
    return bytes_append(context, data, len, err);
}

/* The file's text; nothing when it is missing or no regular file. */
static bool read_file(const struct tree *tree, const char *path, struct bytes *out, struct error *err)
{
    struct tree_place place;

    if (!tree_resolve(tree, tree_root(tree), path, true, &place, err))
        return false;
    if (place.missing[0] || place.node->is.type != TAR_FILE)
        return true;
    struct content *content = place.node->is.content;
    if (!content_size(content, err))
        return false;
    if (content->size > ACCOUNTS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "'%s' of the image has %lld bytes", path, (long long)content->size);
    return base_extract(&(struct content *){ content }, 1, err) && content_read(content, append, out, err);
}

/* Fields of the first line that begins with the name; false: none. */
static bool find_line(struct span text, struct span name, struct span fields[4])
{
    for (struct span line = span_cut(&text, '\n'); line.data; line = span_cut(&text, '\n')) {
        for (size_t i = 0; i < 4; i++)
            fields[i] = span_cut(&line, ':');
        if (fields[0].data && span_equal(fields[0], name))
            return true;
    }
    return false;
}

/* The numbers of a name: its own and, in /etc/passwd, its group's; left as they are when it is not there. */
static bool lookup(const struct tree *tree, const char *path, struct span name, uint32_t numbers[2], struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(ACCOUNTS_MAX);
    struct span fields[4];

    if (!tree)
        return error_set(err, ERROR_INVALID, "invalid user index: -1 (there is no '%s' to look '%.*s' up)", path,
                         SPAN_ARGS(name));
    if (!read_file(tree, path, &text, err))
        return false;
    if (!find_line(bytes_span(&text), name, fields))
        return true;
    for (size_t i = 0; i < 2; i++)
        numbers[i] = is_number(fields[2 + i]) ? number_of(fields[2 + i]) : 0;
    return true;
}

bool accounts_owner(const struct tree *tree, const char *owner, uint32_t *uid, uint32_t *gid, struct error *err)
{
    struct span user, group;
    uint32_t user_numbers[2] = { 0 }, group_numbers[2] = { 0 };

    split(owner, &user, &group);
    if (is_number(user))
        user_numbers[0] = user_numbers[1] = number_of(user);
    else if (user.len > 0 && !lookup(tree, "/etc/passwd", user, user_numbers, err))
        return false;
    group_numbers[0] = group.data && group.len == 0 ? 0 : user_numbers[1]; /* also of a group that is not there */
    if (is_number(group))
        group_numbers[0] = number_of(group);
    else if (group.len > 0 && !lookup(tree, "/etc/group", group, group_numbers, err))
        return false;
    *uid = user_numbers[0];
    *gid = group_numbers[0];
    return true;
}
