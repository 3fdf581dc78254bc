/* Sends the events of calls to the sink from the server's own thread, without a thread that waits for each.
 *
 * An exchange of two threads over a socket costs them four sleeps and wake-ups, several times what it does. Here every call has a
 * connection to the sink while its events are on their way, one after the other in their order, each accepted before the next is sent;
 * the connections are watched together with those of the server. Only first attempts are made: what does not succeed at once is for
 * call_deliver() in a worker, which goes on with the events that are left. */
#ifndef PUSHWRIGHT_RUNTIME_COURIER_H
#define PUSHWRIGHT_RUNTIME_COURIER_H

#include "runtime/call.h"
#include "runtime/server.h"

/* Calls at once, each with a connection of its own. */
enum { COURIER_CALLS_MAX = 48 };

struct courier; /* used by the thread of server_run only */

/* The sink must be one that takes posts. */
struct courier *courier_new(struct sink *sink, struct server *server, struct error *err);
void courier_free(struct courier *courier);
AUTO_FREE(struct courier, courier_free)

/* Everything that is ready is sent by courier_flush(): who gets several messages in a row is woken once. */
void courier_flush(struct courier *courier);

/* Deliver what the call has queued. `done` is called once, perhaps before this returns: all were accepted, or not, and then the call knows which
 * is the next and what became of its first attempt. At most COURIER_CALLS_MAX calls may be under way. */
void courier_send(struct courier *courier, struct call *call, void (*done)(void *context, bool all), void *context);

/* What the server's alarm is for: attempts whose time is up. */
void courier_expire(struct courier *courier, int64_t now_ms);

#endif
