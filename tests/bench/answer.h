/* What the bench's C programs share: the clock, a file's bytes, and how far an HTTP answer has come. */
#ifndef PUSHWRIGHT_TESTS_BENCH_ANSWER_H
#define PUSHWRIGHT_TESTS_BENCH_ANSWER_H

#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline char *file_bytes(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        die("cannot read '%s'", path);
    long size = ftell(file);
    char *bytes = malloc((size_t)size + 1);
    rewind(file);
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size)
        die("cannot read '%s'", path);
    fclose(file);
    bytes[size] = '\0';
    *len = (size_t)size;
    return bytes;
}

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

/* The value of a header of a message that ends with NUL; NULL when it is not there. */
static inline const char *header_value(const char *message, const char *end, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(message, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 2 + len + 1;
    return NULL;
}

/* Is the answer whole? *status is set once it is. `answer` ends with NUL; servers here answer in text. */
static inline int answer_is_whole(const char *answer, size_t len, int *status)
{
    const char *head = strstr(answer, "\r\n\r\n");
    if (!head)
        return 0;
    *status = len > 12 ? atoi(answer + 9) : 0;
    const char *length = header_value(answer, head, "Content-Length");
    if (length)
        return len - (size_t)(head + 4 - answer) >= strtoul(length, NULL, 10);
    return !header_value(answer, head, "Transfer-Encoding") || strstr(head, "\r\n0\r\n\r\n") != NULL;
}

#endif
