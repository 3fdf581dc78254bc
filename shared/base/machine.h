/* The machine that this was compiled for, in the words of image platforms. */
#ifndef PUSHWRIGHT_SHARED_BASE_MACHINE_H
#define PUSHWRIGHT_SHARED_BASE_MACHINE_H

#if defined(__aarch64__)
#define MACHINE_PLATFORM "linux/arm64"
#elif defined(__x86_64__)
#define MACHINE_PLATFORM "linux/amd64"
#else
#error "name this architecture as container images do"
#endif

#endif
