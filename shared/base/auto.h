/* Release at the end of the scope, promised where the variable is born: AUTO(bytes_release) struct bytes body = ...;
 *
 * AUTO(NAME) calls auto_NAME(&variable). A module defines its own next to its _free or _release with AUTO_FREE (for a
 * pointer) or AUTO_RELEASE (for an embedded struct). TAKE(pointer) hands a pointer on and leaves NULL behind.
 * Declare and fill such a variable in one statement, and never use goto in a function that has one. */
#ifndef PUSHWRIGHT_BASE_AUTO_H
#define PUSHWRIGHT_BASE_AUTO_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AUTO(name) __attribute__((cleanup(auto_##name)))

/* AUTO(NAME_free) for `type *`, released by NAME_free(). */
#define AUTO_FREE(type, function)                                                                                      \
    static inline void auto_##function(type **p)                                                                       \
    {                                                                                                                  \
        function(*p);                                                                                                  \
    }

/* AUTO(NAME_release) for an embedded `type`, released by NAME_release(). */
#define AUTO_RELEASE(type, function)                                                                                   \
    static inline void auto_##function(type *p)                                                                        \
    {                                                                                                                  \
        function(p);                                                                                                   \
    }

#define TAKE(p)                                                                                                        \
    __extension__({                                                                                                    \
        __typeof__(p) taken_ = (p);                                                                                    \
        (p) = NULL;                                                                                                    \
        taken_;                                                                                                        \
    })

/* For a pointer of any type, so it is read as bytes. */
static inline void auto_free(void *p)
{
    void *held;
    memcpy(&held, p, sizeof held);
    free(held);
}

static inline void auto_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void auto_fclose(FILE **file)
{
    if (*file)
        fclose(*file);
}

static inline void auto_closedir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

#endif
