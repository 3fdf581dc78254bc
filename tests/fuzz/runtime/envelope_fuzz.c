/* Requests that a platform hands over with the meant one in their headers, and the times that headers tell: header lines up to an empty one, then
 * header lines of the answer. What is opened is a request as the server would give it; the answer's lines stay lines. */
#include "runtime/platform.h"
#include "runtime/server_internal.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADERS_MAX = 100 };

static const char *const platforms[] = { "fn", "alibaba-fc", "http", "tencent-scf", "aws-lambda" };

static void require(bool fact)
{
    if (!fact)
        abort();
}

/* As the server's own checks leave them: no control characters. */
static size_t read_headers(struct span *input, struct request_header headers[static HEADERS_MAX])
{
    size_t count = 0;
    while (input->data && count < HEADERS_MAX) {
        struct span line = span_cut(input, '\n');
        if (line.len == 0)
            break;
        struct span name = span_cut(&line, ':');
        if (name.len > 0 && line.data && message_value_is_clean(line))
            headers[count++] = (struct request_header){ name, line };
    }
    return count;
}

static void pass(const struct platform *platform, const struct request *in, struct span lines)
{
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
    struct reply reply = { .status = 405, .allow = "POST" };
    struct request opened = *in;
    struct error err = { 0 };
    bytes_init(&reply.headers, SERVER_HEADERS_MAX);
    bytes_init(&reply.body, SERVER_HEADERS_MAX);
    require(platform_allowance_ms(platform, in) >= 0);
    if (platform->envelope && platform->envelope->open && platform->envelope->open(arena, in, &opened, &err)) {
        require(opened.path.len > 0 && opened.header_count <= in->header_count + 1);
        require(opened.path.data[0] == '/' || span_is(opened.method, "OPTIONS"));
    }
    if (bytes_append_span(&reply.headers, lines, &err) && reply_headers_are_safe(lines) && platform->envelope) {
        platform->envelope->close(in, &reply);
        require(reply_headers_are_safe(bytes_span(&reply.headers)));
    }
    bytes_release(&reply.headers);
    bytes_release(&reply.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = { (const char *)data, size };
    struct request_header headers[HEADERS_MAX];
    size_t count = read_headers(&input, headers);
    const struct request request = {
        .method = SPAN("POST"), .path = SPAN("/call"), .headers = headers, .header_count = count
    };
    for (size_t i = 0; i < sizeof platforms / sizeof platforms[0]; i++) {
        struct error err = { 0 };
        setenv("PUSHWRIGHT_PLATFORM", platforms[i], 1);
        setenv("FN_LISTENER", "unix:/x", 1);
        const struct platform *platform = platform_detect(&err);
        require(platform);
        pass(platform, &request, input.data ? input : SPAN(""));
    }
    return 0;
}
