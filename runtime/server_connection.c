/* One connection's way: read, hand over, answer, and back to idle. */
#include "runtime/server_internal.h"

#include "shared/base/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* A body's memory grows by this or by what it has, whichever is more: never by what its sender claims. */
enum { BODY_STEP = 64 * 1024 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void list_remove(struct connection_list *list, struct connection *connection)
{
    *(connection->previous ? &connection->previous->next : &list->first) = connection->next;
    *(connection->next ? &connection->next->previous : &list->last) = connection->previous;
    connection->next = connection->previous = NULL;
}

static void list_append(struct connection_list *list, struct connection *connection)
{
    connection->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = connection;
    list->last = connection;
}

void connection_move_locked(struct server *server, struct connection *connection, enum connection_state state)
{
    list_remove(&server->lists[connection->state], connection);
    connection->state = state;
    connection->since_ms = clock_monotonic_ms();
    list_append(&server->lists[state], connection);
    int64_t limit = server_limit_ms(server, state);
    if (limit < server->look_ms - connection->since_ms)
        server->look_ms = connection->since_ms + limit;
}

static void connection_move(struct server *server, struct connection *connection, enum connection_state state)
{
    server_lock(server);
    connection_move_locked(server, connection, state);
    server_unlock(server);
}

/* Give the claim back and be told of the next event. A descriptor that cannot be armed would never be heard of again:
 * lingering ends by itself. */
static void release_locked(struct server *server, struct connection *connection, uint32_t events)
{
    const struct slot *slot = &server->slots[connection->slot];
    struct epoll_event event = { .events = events | EPOLLONESHOT };
    event.data.u64 = (uint64_t)slot->generation << 32 | connection->slot;
    connection->claimed = false;
    if (epoll_ctl(server->epoll_fd, connection->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, connection->fd, &event) ==
        0)
        connection->registered = true;
    else
        connection_move_locked(server, connection, CONNECTION_LINGER);
}

struct connection *connection_claim(struct server *server, uint64_t event)
{
    struct connection *connection = NULL;
    uint32_t index = (uint32_t)event;
    server_lock(server);
    if (index < server->slots_used && server->slots[index].generation == event >> 32)
        connection = server->slots[index].connection;
    if (connection && (connection->claimed || connection->state == CONNECTION_STARVED))
        connection = NULL; /* a late event: it comes again when the connection is released */
    if (connection)
        connection->claimed = true;
    server_unlock(server);
    return connection;
}

static bool take_slot_locked(struct server *server, struct connection *connection)
{
    if (server->first_free != SLOT_NONE) {
        connection->slot = server->first_free;
        server->first_free = server->slots[connection->slot].next_free;
    } else if (server->slots_used < server->options.connections_max + SLOTS_BESIDE) {
        connection->slot = server->slots_used++;
    } else {
        return false;
    }
    server->slots[connection->slot].connection = connection;
    return true;
}

static void free_slot_locked(struct server *server, uint32_t index)
{
    struct slot *slot = &server->slots[index];
    slot->connection = NULL;
    slot->generation++;
    slot->next_free = server->first_free;
    server->first_free = index;
}

/* Arming it tells at once when the request is there already. */
bool connection_add(struct server *server, int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);
    server_lock(server);
    bool added = connection && take_slot_locked(server, connection);
    if (added) {
        connection->fd = fd;
        connection->since_ms = clock_monotonic_ms();
        list_append(&server->lists[CONNECTION_IDLE], connection);
        server->connections++;
        server->look_ms = 0;
        release_locked(server, connection, EPOLLIN);
    }
    server_unlock(server);
    if (added)
        return true;
    free(connection);
    close(fd);
    return false;
}

size_t server_memory_for(const struct server *server, uint64_t size)
{
    const struct server_options *options = &server->options;
    size_t shared = options->memory_max - smaller(options->body_max, options->memory_max);
    return size <= SMALL_BODY ? shared : shared - shared / SMALL_BODIES_SHARE;
}

/* What is announced to be large is so from its first byte on, and so is what is not announced. */
static uint64_t size_of(const struct message *message)
{
    return message->chunked ? UINT64_MAX : message->content_length;
}

static bool privilege_locked(struct server *server, struct connection *connection)
{
    if (server->privileged)
        return server->privileged == connection;
    server->privileged = connection;
    server->memory_used -= connection->exchange->charged;
    return true;
}

/* Those who wait for memory, in their order. */
static void resume_starved_locked(struct server *server)
{
    struct connection *next;
    for (struct connection *connection = server->lists[CONNECTION_STARVED].first; connection; connection = next) {
        next = connection->next;
        bool fits = server->memory_used < server_memory_for(server, size_of(&connection->exchange->message));
        if (connection->claimed || (!fits && !privilege_locked(server, connection)))
            continue;
        connection_move_locked(server, connection, CONNECTION_BODY);
        release_locked(server, connection, EPOLLIN);
    }
}

static void uncharge_locked(struct server *server, struct connection *connection, size_t charged)
{
    if (server->privileged == connection)
        server->privileged = NULL;
    else
        server->memory_used -= charged;
    if (server->lists[CONNECTION_STARVED].first)
        resume_starved_locked(server);
}

/* Count the memory that the request holds now. False: it should not have begun, the memory of all is used up. */
static bool charge(struct server *server, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    const struct message *message = &exchange->message;
    size_t held = message->body.capacity + (message->head.len > HEAD_USUAL ? message->head.capacity : 0);
    if (held == exchange->charged)
        return true;
    server_lock(server);
    bool is_privileged = server->privileged == connection;
    if (!is_privileged)
        server->memory_used += held - exchange->charged;
    exchange->charged = held;
    /* What is complete is soon over: it may take what is kept free. */
    size_t most =
        message->state == MESSAGE_COMPLETE ? server->options.memory_max : server_memory_for(server, size_of(message));
    bool fits = is_privileged || server->memory_used <= most;
    server_unlock(server);
    return fits;
}

static void report(struct server *server, const struct exchange *exchange, int status)
{
    if (server->options.finished)
        server->options.finished(server->options.context, &exchange->message.request, status,
                                 clock_monotonic_us() - exchange->begun_us);
}

void connection_close(struct server *server, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    if (exchange && exchange->message.request.method.data)
        report(server, exchange, 0);
    /* A child between fork and exec may hold a copy of the descriptor: closing alone would not end the registration. */
    if (connection->registered)
        epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
    close(connection->fd);
    server_lock(server);
    uncharge_locked(server, connection, exchange ? exchange->charged : 0);
    list_remove(&server->lists[connection->state], connection);
    free_slot_locked(server, connection->slot);
    server->connections--;
    bool last = server->draining && server->connections == 0;
    server_unlock(server);
    if (last)
        server_wake(server->wake_fd);
    if (exchange)
        exchange_free(exchange);
    free(connection->pending);
    free(connection);
}

/* The exchange is over: the connection waits for the next, or for its peer to close. */
static void hand_back(struct server *server, struct connection *connection)
{
    struct exchange *exchange = TAKE(connection->exchange);
    const size_t charged = exchange->charged;
    const bool close_after = exchange->close_after;
    exchange_end(server, exchange);
    connection->served = true;
    if (close_after)
        shutdown(connection->fd, SHUT_WR);
    server_lock(server);
    uncharge_locked(server, connection, charged);
    connection_move_locked(server, connection, close_after ? CONNECTION_LINGER : CONNECTION_IDLE);
    /* Being writable comes at once: that is how somebody is told to look at what is there already. */
    bool look_now = !close_after && (connection->pending || server->draining);
    release_locked(server, connection, look_now ? EPOLLIN | EPOLLOUT : EPOLLIN);
    server_unlock(server);
}

static void connection_write(struct server *server, struct connection *connection)
{
    enum sent sent = exchange_send(connection->exchange, connection->fd);
    if (sent == SENT_PART) {
        server_lock(server);
        connection_move_locked(server, connection, CONNECTION_WRITING);
        release_locked(server, connection, EPOLLOUT);
        server_unlock(server);
        return;
    }
    if (sent == SENT_FAILED)
        connection->exchange->close_after = true;
    report(server, connection->exchange, sent == SENT_ALL ? connection->exchange->reply.status : 0);
    hand_back(server, connection);
}

/* Has the next request begun to arrive? */
static bool has_more_input(const struct connection *connection)
{
    char byte;
    return connection->pending || recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static void render(struct server *server, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    exchange->close_after = !exchange->message.keep_alive || (server_stopping(server) && !has_more_input(connection));
    exchange_render(exchange);
}

void connection_respond(struct server *server, struct connection *connection)
{
    render(server, connection);
    connection_write(server, connection);
}

/* By the thread of server_run, which writes all answers of a round together: a peer that gets several is woken once. */
static void respond_soon(struct server *server, struct connection *connection)
{
    render(server, connection);
    connection->next_answered = NULL;
    *server->answered_end = connection;
    server->answered_end = &connection->next_answered;
}

void connection_flush(struct server *server)
{
    struct connection *connection = TAKE(server->answered);
    server->answered_end = &server->answered;
    while (connection) {
        struct connection *next = connection->next_answered;
        connection_write(server, connection);
        connection = next;
    }
}

void connection_refuse(struct server *server, struct connection *connection, int status, const char *reason)
{
    struct exchange *exchange = connection->exchange;
    message_refuse(&exchange->message, status, reason);
    exchange->message.keep_alive = false;
    exchange_refuse(exchange, status, reason);
    connection_respond(server, connection);
}

/* It may have been answered, and the connection be gone, when this returns true. */
static bool begin(struct server *server, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    const struct server_options *options = &server->options;
    if (!options->begin)
        return false;
    connection_move(server, connection, CONNECTION_PARKED);
    enum begun begun =
        options->begin(options->context, &exchange->message.request, &exchange->reply, (struct parked *)connection);
    if (begun == BEGUN_DONE)
        respond_soon(server, connection);
    return begun != BEGUN_NOT;
}

void server_answer(struct server *server, struct parked *parked)
{
    respond_soon(server, (struct connection *)parked);
}

void server_hand_over(struct server *server, struct parked *parked, void *work)
{
    struct connection *connection = (struct connection *)parked;
    struct exchange *exchange = connection->exchange;
    exchange->work = work;
    if (server_enqueue(server, connection))
        return;
    /* No thread can be had: better that the others wait than that this is lost. */
    server->options.resume(server->options.context, work, &exchange->reply);
    connection_respond(server, connection);
}

void server_forget_body(struct server *server, struct parked *parked)
{
    struct connection *connection = (struct connection *)parked;
    struct exchange *exchange = connection->exchange;
    exchange->message.request.body = (struct span){ NULL, 0 };
    spare_give(server, &exchange->message.body);
    server_lock(server);
    uncharge_locked(server, connection, exchange->charged);
    exchange->charged = 0;
    server_unlock(server);
    charge(server, connection); /* a small body, an unusual head */
}

static void dispatch(struct server *server, struct connection *connection, const struct hands *hands)
{
    struct exchange *exchange = connection->exchange;
    const struct server_options *options = &server->options;
    if (options->answer && options->answer(options->context, &exchange->message.request, &exchange->reply))
        connection_respond(server, connection);
    else if (hands->works) {
        connection_move(server, connection, CONNECTION_RUNNING);
        options->handle(options->context, &exchange->message.request, &exchange->reply);
        connection_respond(server, connection);
    } else if (!begin(server, connection) && !server_enqueue(server, connection))
        connection_refuse(server, connection, 503, "no thread can be started");
}

/* Tell the peer to send the body it announced. When nothing can be written now, it sends after a while without being
 * told. */
static bool send_continue(struct connection *connection)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    ssize_t n = send(connection->fd, line, sizeof line - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n == (ssize_t)(sizeof line - 1) || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

static bool keep_pending(struct connection *connection, const char *data, size_t len)
{
    connection->pending = malloc(len);
    if (!connection->pending)
        return false;
    memcpy(connection->pending, data, len);
    connection->pending_len = len;
    return true;
}

/* The message is not complete: the time limits of its part apply. */
static bool await_more(struct server *server, struct connection *connection)
{
    const struct message *message = &connection->exchange->message;
    enum connection_state state = message->state == MESSAGE_HEAD ? CONNECTION_HEAD : CONNECTION_BODY;
    if (connection->state == state)
        return true;
    connection_move(server, connection, state);
    if (state == CONNECTION_HEAD || !message->expects_continue || message->body.len > 0 || send_continue(connection))
        return true;
    connection_close(server, connection);
    return false;
}

/* False when nothing is to be read now: the request is complete or refused, or the connection is gone. */
static bool connection_feed(struct server *server, struct connection *connection, const struct hands *hands,
                            const char *data, size_t len)
{
    /* Some senders end a body with a line end that is not part of it (RFC 9112 section 2.2). */
    if (!connection->exchange && len == 2 && memcmp(data, "\r\n", 2) == 0)
        return true;
    if (!connection->exchange && !(connection->exchange = exchange_new(server))) {
        connection_close(server, connection);
        return false;
    }
    struct exchange *exchange = connection->exchange;
    struct message *message = &exchange->message;
    if (message->state == MESSAGE_HEAD)
        exchange->begun_us = clock_monotonic_us();
    /* Where so much comes at once there is more to come. */
    if (message->body.capacity == 0 && len == SERVER_SCRATCH)
        spare_use(server, &message->body, 2 * SERVER_SCRATCH);
    size_t used = message_feed(message, data, len);
    if (exchange->marked_ms == 0 || message->body.len - exchange->marked >= WAITED_FOR_BYTES) {
        exchange->marked = message->body.len;
        exchange->marked_ms = clock_monotonic_ms();
    }
    bool fits = charge(server, connection);
    if (message->state == MESSAGE_REFUSED) {
        connection_refuse(server, connection, message->status, message->reason);
        return false;
    }
    if (!fits) {
        connection_refuse(server, connection, 503, SERVER_CROWDED);
        return false;
    }
    if (used < len && !keep_pending(connection, data + used, len - used)) {
        connection_refuse(server, connection, 503, "out of memory");
        return false;
    }
    if (message->state != MESSAGE_COMPLETE)
        return await_more(server, connection);
    dispatch(server, connection, hands);
    return false;
}

static bool feed_pending(struct server *server, struct connection *connection, const struct hands *hands)
{
    AUTO(free) char *data = TAKE(connection->pending);
    return connection_feed(server, connection, hands, data, connection->pending_len);
}

/* May the body grow by `more`? Then it is counted already, before another asks. When not, the connection waits for the
 * memory of others. */
static bool may_grow(struct server *server, struct connection *connection, size_t more)
{
    size_t most = server_memory_for(server, size_of(&connection->exchange->message));
    server_lock(server);
    bool fits = more <= most && server->memory_used <= most - more;
    if (fits) {
        server->memory_used += server->privileged == connection ? 0 : more;
        connection->exchange->charged += more;
    } else if (!(fits = privilege_locked(server, connection))) {
        connection_move_locked(server, connection, CONNECTION_STARVED);
        connection->claimed = false;
    }
    server_unlock(server);
    return fits;
}

/* Memory for the next bytes of a body, before they are read: what is not read yet costs its sender, not us. */
static bool make_room(struct server *server, struct connection *connection, size_t want)
{
    struct exchange *exchange = connection->exchange;
    struct bytes *body = &exchange->message.body;
    struct error err = { 0 };
    if (body->len + want < body->capacity)
        return true;
    if (!may_grow(server, connection, bytes_capacity_for(body, want) - body->capacity))
        return false;
    spare_use(server, body, body->len + want);
    if (!bytes_reserve(body, want, &err)) {
        connection_refuse(server, connection, 503, "out of memory");
        return false;
    }
    charge(server, connection);
    return true;
}

/* Room that is there anyway is used. */
static size_t body_step(const struct bytes *body)
{
    size_t step = body->len > BODY_STEP ? body->len : BODY_STEP;
    size_t there = body->capacity > body->len ? body->capacity - body->len - 1 : 0;
    return there > step ? there : step;
}

/* Where the next bytes go: into the body itself when its length is known, else through the scratch buffer. */
static bool choose_room(struct server *server, struct connection *connection, const struct hands *hands, char **at,
                        size_t *room)
{
    *at = hands->scratch;
    *room = SERVER_SCRATCH;
    if (!connection->exchange || connection->exchange->message.state == MESSAGE_HEAD)
        return true;
    struct message *message = &connection->exchange->message;
    size_t remaining = message_plain_remaining(message);
    if (remaining == 0)
        return make_room(server, connection, smaller(SERVER_SCRATCH, message->body.max - message->body.len));
    *room = smaller(remaining, body_step(&message->body));
    if (!make_room(server, connection, *room))
        return false;
    *at = message->body.data + message->body.len;
    return true;
}

/* While stopping, a connection between requests is closed; a new one has a moment for its first. */
static void await_input(struct server *server, struct connection *connection)
{
    server_lock(server);
    bool over = server->draining && connection->state == CONNECTION_IDLE && connection->served;
    if (!over)
        release_locked(server, connection, EPOLLIN);
    server_unlock(server);
    if (over)
        connection_close(server, connection);
}

void connection_read(struct server *server, struct connection *connection, const struct hands *hands)
{
    for (int turn = 0; turn < SERVER_READS_A_TURN; turn++) {
        if (connection->pending) {
            if (!feed_pending(server, connection, hands))
                return;
            continue;
        }
        char *at;
        size_t room;
        if (!choose_room(server, connection, hands, &at, &room))
            return;
        ssize_t n = recv(connection->fd, at, room, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0) {
            connection_close(server, connection);
            return;
        }
        if (!connection_feed(server, connection, hands, at, (size_t)n))
            return;
        if ((size_t)n < room)
            break; /* there is no more for now: asking again would only tell so */
    }
    await_input(server, connection);
}

static void connection_linger(struct server *server, struct connection *connection, const struct hands *hands)
{
    for (int turn = 0; turn < SERVER_READS_A_TURN; turn++) {
        ssize_t n = recv(connection->fd, hands->scratch, SERVER_SCRATCH, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            connection_close(server, connection);
            return;
        }
    }
    await_input(server, connection);
}

void connection_react(struct server *server, struct connection *connection, const struct hands *hands)
{
    if (connection->state == CONNECTION_WRITING)
        connection_write(server, connection);
    else if (connection->state == CONNECTION_LINGER)
        connection_linger(server, connection, hands);
    else
        connection_read(server, connection, hands);
}
