#include "shared/dockerfile/path.h"

#include <string.h>

/* Take the last part off out[0..length); what no ".." may take off stays. */
static size_t up(const char *out, size_t length, size_t floor)
{
    while (length > floor && out[length - 1] != '/')
        length--;
    return length > floor ? length - 1 : length;
}

char *path_clean(struct arena *arena, const char *path)
{
    bool absolute = *path == '/';
    size_t length = absolute, floor = absolute;
    char *out = arena_take(arena, strlen(path) + 2);
    if (!out)
        return NULL;
    out[0] = '/';
    for (const char *part = path; *part;) {
        size_t size = strcspn(part, "/");
        bool parent = size == 2 && !memcmp(part, "..", 2), here = !size || (size == 1 && *part == '.');
        if (parent && (absolute || length > floor)) {
            length = up(out, length, floor);
        } else if (!here) {
            if (length > absolute)
                out[length++] = '/';
            memcpy(out + length, part, size);
            length += size;
            if (parent)
                floor = length;
        }
        part += size;
        part += *part == '/';
    }
    if (!length)
        out[length++] = '.';
    out[length] = 0;
    return out;
}

char *path_join(struct arena *arena, const char *base, const char *relative)
{
    const char *joined = arena_printf(arena, "%s/%s", base, relative);
    return joined ? path_clean(arena, joined) : NULL;
}
