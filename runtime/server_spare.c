/* Memory of bodies of middling size, kept from one request to the next: getting it from the system and giving it back page by page costs
 * more than reading the body. Given back as soon as there is a second without such a request. */
#include "runtime/server_internal.h"

#include "shared/base/clock.h"

#include <string.h>

enum { SPARE_SMALLEST = 32 * 1024, SPARE_LARGEST = 512 * 1024, SPARE_KEEP_MS = 1000 };

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

void spare_keep(struct server *server, struct bytes *body)
{
    if (body->capacity < SPARE_SMALLEST || body->capacity > SPARE_LARGEST)
        return;
    server_lock(server);
    server->spare_since_ms = clock_monotonic_ms();
    if (server->spare_count < SERVER_SPARES) {
        server->spares[server->spare_count++] = (struct spare){ body->data, body->capacity };
        *body = BYTES(0);
    }
    server_unlock(server);
}

int64_t spare_expiry_locked(const struct server *server)
{
    return server->spare_count > 0 ? server->spare_since_ms + SPARE_KEEP_MS : INT64_MAX;
}

void spare_drop(struct server *server)
{
    server_lock(server);
    while (server->spare_count > 0)
        free(server->spares[--server->spare_count].data);
    server_unlock(server);
}
