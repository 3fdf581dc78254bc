#include "shared/base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

void bytes_init(struct bytes *bytes, size_t max)
{
    *bytes = BYTES(max);
}

void bytes_release(struct bytes *bytes)
{
    if (!bytes->arena)
        free(bytes->data);
    *bytes = ARENA_BYTES(bytes->arena, bytes->max);
}

void bytes_wipe(struct bytes *bytes)
{
    if (bytes->data)
        explicit_bzero(bytes->data, bytes->capacity);
    bytes_release(bytes);
}

size_t bytes_capacity_for(const struct bytes *bytes, size_t more)
{
    size_t need = bytes->len + more + 1;
    if (need <= bytes->capacity)
        return bytes->capacity;
    size_t capacity = bytes->capacity < 64 ? 64 : bytes->capacity;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    return capacity - 1 > bytes->max ? bytes->max + 1 : capacity;
}

bool bytes_reserve(struct bytes *bytes, size_t more, struct error *err)
{
    if (more >= PTRDIFF_MAX || more > bytes->max || bytes->len > bytes->max - more)
        return error_set(err, ERROR_TOO_LARGE, "more than the %zu bytes allowed", bytes->max);
    size_t capacity = bytes_capacity_for(bytes, more);
    if (capacity == bytes->capacity)
        return true;
    char *data = bytes->arena ? arena_grow(bytes->arena, bytes->data, bytes->capacity, capacity)
                              : realloc(bytes->data, capacity);
    if (!data)
        return bytes->arena ? arena_no_room(bytes->arena, "the text", err)
                            : error_set(err, ERROR_INTERNAL, "out of memory for %zu bytes", capacity);
    bytes->data = data;
    bytes->capacity = capacity;
    bytes->data[bytes->len] = '\0';
    return true;
}

/* Room that is there, a NUL's included, lies within the ceiling. */
bool bytes_append(struct bytes *bytes, const void *data, size_t len, struct error *err)
{
    if (len >= bytes->capacity - bytes->len && !bytes_reserve(bytes, len, err))
        return false;
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    bytes->data[bytes->len] = '\0';
    return true;
}

bool bytes_append_span(struct bytes *bytes, struct span span, struct error *err)
{
    return bytes_append(bytes, span.data, span.len, err);
}

bool bytes_append_text(struct bytes *bytes, const char *text, struct error *err)
{
    return bytes_append(bytes, text, strlen(text), err);
}

bool bytes_append_char(struct bytes *bytes, char c, struct error *err)
{
    return bytes_append(bytes, &c, 1, err);
}

/* Formats straight into the room there is, and once more only when that was too little. */
bool bytes_printf(struct bytes *bytes, struct error *err, const char *format, ...)
{
    if (!bytes_reserve(bytes, 0, err))
        return false;
    size_t room = bytes->capacity - bytes->len;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(bytes->data + bytes->len, room, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < room) {
        bytes->len += (size_t)n;
        return true;
    }
    bytes->data[bytes->len] = '\0';
    if (n < 0)
        return error_set(err, ERROR_INTERNAL, "cannot format text");
    if (!bytes_reserve(bytes, (size_t)n, err))
        return false;
    va_start(args, format);
    vsnprintf(bytes->data + bytes->len, (size_t)n + 1, format, args);
    va_end(args);
    bytes->len += (size_t)n;
    return true;
}

void bytes_clear(struct bytes *bytes)
{
    bytes_truncate(bytes, 0);
}

void bytes_truncate(struct bytes *bytes, size_t len)
{
    assert(len <= bytes->len);
    bytes->len = len;
    if (bytes->data)
        bytes->data[len] = '\0';
}

struct span bytes_span(const struct bytes *bytes)
{
    return (struct span){ bytes->data ? bytes->data : "", bytes->len };
}

const char *bytes_text(const struct bytes *bytes)
{
    return bytes->data ? bytes->data : "";
}

char *bytes_take(struct bytes *bytes)
{
    assert(!bytes->arena);
    char *data = bytes->data ? bytes->data : calloc(1, 1);
    *bytes = BYTES(bytes->max);
    return data;
}
