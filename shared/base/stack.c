#include "shared/base/stack.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* This function and madvise() stand below the caller themselves. */
enum { IN_USE = 1024 };

void stack_give_back(void)
{
    pthread_attr_t attributes;
    void *low = NULL;
    size_t size = 0, page = (size_t)sysconf(_SC_PAGESIZE);

    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
        uintptr_t from = ((uintptr_t)low + page - 1) / page * page;
        uintptr_t here = ((uintptr_t)__builtin_frame_address(0) - IN_USE) / page * page;
        if (here > from && here - from < size)
            madvise((void *)from, here - from, MADV_DONTNEED);
    }
    pthread_attr_destroy(&attributes);
}
