/* Memory of exchanges and of bodies of middling size, kept from one request to the next: getting it from the system
 * and giving it back page by page costs more than reading the request. Given back as soon as there is a second without
 * a request. */
#include "runtime/server_internal.h"

#include "shared/base/clock.h"

#include <string.h>

enum { REPLY_HEADERS_MAX = 64 * 1024, SPARE_SMALLEST = 32 * 1024, SPARE_LARGEST = 512 * 1024, SPARE_KEEP_MS = 1000 };

void spare_use(struct server *server, struct bytes *body, size_t size)
{
    if (size < SPARE_SMALLEST || body->capacity > size)
        return;
    struct spare spare = { 0 };
    server_lock(server);
    for (unsigned i = server->spare_count; i-- > 0 && !spare.data;) {
        if (server->spares[i].capacity <= size || server->spares[i].capacity > body->max + 1)
            continue;
        spare = server->spares[i];
        server->spares[i] = server->spares[--server->spare_count];
    }
    server_unlock(server);
    if (!spare.data)
        return;
    if (body->len > 0)
        memcpy(spare.data, body->data, body->len + 1);
    free(body->data);
    body->data = spare.data;
    body->capacity = spare.capacity;
}

static void keep_body_locked(struct server *server, struct bytes *body)
{
    if (body->capacity < SPARE_SMALLEST || body->capacity > SPARE_LARGEST || server->spare_count == SERVER_SPARES)
        return;
    server->spares[server->spare_count++] = (struct spare){ body->data, body->capacity };
    *body = BYTES(0);
}

void spare_give(struct server *server, struct bytes *body)
{
    server_lock(server);
    keep_body_locked(server, body);
    server_unlock(server);
    if (body->capacity >= SPARE_SMALLEST)
        bytes_release(body);
}

struct exchange *exchange_new(struct server *server)
{
    struct exchange *exchange = NULL;
    server_lock(server);
    if (server->spare_exchange_count > 0)
        exchange = server->spare_exchanges[--server->spare_exchange_count];
    server_unlock(server);
    const bool used = exchange != NULL;
    if (!used)
        exchange = malloc(sizeof *exchange);
    if (!exchange)
        return NULL;
    if (used)
        message_reset(&exchange->message, server->options.body_max);
    else
        message_init(&exchange->message, server->options.body_max);
    exchange->reply = (struct reply){ .body = BYTES(SERVER_REPLY_MAX), .headers = BYTES(REPLY_HEADERS_MAX) };
    exchange->head_len = exchange->sent = exchange->charged = 0;
    exchange->begun_us = exchange->marked_ms = 0;
    exchange->marked = 0;
    exchange->work = NULL;
    exchange->close_after = false;
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    message_release(&exchange->message);
    bytes_release(&exchange->reply.body);
    bytes_release(&exchange->reply.headers);
    free(exchange);
}

void exchange_end(struct server *server, struct exchange *exchange)
{
    bytes_release(&exchange->reply.body);
    bytes_release(&exchange->reply.headers);
    server_lock(server);
    server->spare_since_ms = clock_monotonic_ms();
    keep_body_locked(server, &exchange->message.body);
    bool small = exchange->message.body.capacity < SPARE_SMALLEST;
    if (small && server->spare_exchange_count < SERVER_SPARE_EXCHANGES)
        server->spare_exchanges[server->spare_exchange_count++] = TAKE(exchange);
    server_unlock(server);
    if (exchange)
        exchange_free(exchange);
}

int64_t spare_expiry_locked(const struct server *server)
{
    return server->spare_count > 0 || server->spare_exchange_count > 0 ? server->spare_since_ms + SPARE_KEEP_MS
                                                                       : INT64_MAX;
}

void spare_drop(struct server *server)
{
    server_lock(server);
    while (server->spare_count > 0)
        free(server->spares[--server->spare_count].data);
    while (server->spare_exchange_count > 0)
        exchange_free(server->spare_exchanges[--server->spare_exchange_count]);
    server_unlock(server);
}
