/* The shim around a handler, seen from outside: a function runs as a process, requests come in, its sink is a peer. */
#include "runtime/function.h"

#include "runtime/signature.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "tests/unit/runtime/running.h"

#define SCRIPT(...) (const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int)
#define MADE "dev.cdeventsx.pushwright-test.made.0.1.0"
#define SKIPPED "dev.cdeventsx.pushwright-decision.skipped.0.1.0"

/* --- the function under test ------------------------------------------------------------------------------------------------ */

#define MANIFEST(signed_)                                                                                              \
    "{\"name\":\"tester\",\"summary\":\"tests\",\"in\":[\"test.in\"],\"out\":[\"" MADE "\"],\"signed\":" signed_       \
    ",\"concurrency\":2,\"timeoutSeconds\":20,\"bodyBytes\":65536}"

static bool emit(struct call *call, const char *target, struct error *err)
{
    static const struct attribute attributes[] = { { "vcsref", "refs/heads/main", ATTRIBUTE_STRING } };
    return call_emit(call,
                     &(struct draft){ .type = MADE,
                                      .subject = "s",
                                      .subject_source = "https://x/y",
                                      .content = SPAN("{\"n\":12345678901234567890}"),
                                      .custom = SPAN("{\"k\":1}"),
                                      .rule = "rule",
                                      .target = target,
                                      .attributes = attributes,
                                      .attribute_count = 1 },
                     err);
}

static bool emit_bad(struct call *call, const char *what, struct error *err)
{
    struct draft draft = { .type = MADE, .subject = "s", .content = SPAN("{}") };
    struct attribute attribute = { "x", "y", ATTRIBUTE_STRING };
    if (strcmp(what, "bad-type") == 0)
        draft.type = "unlisted";
    if (strcmp(what, "bad-subject") == 0)
        draft.subject = "";
    if (strcmp(what, "bad-content") == 0)
        draft.content = SPAN("[]");
    if (strcmp(what, "bad-json") == 0)
        draft.custom = SPAN("{");
    if (strcmp(what, "bad-attribute") == 0)
        attribute.name = "Name";
    if (strcmp(what, "long-attribute") == 0)
        attribute.name = "abcdefghijklmnopqrstu";
    draft.attributes = &attribute;
    draft.attribute_count = 1;
    return call_emit(call, &draft, err);
}

static bool handle(struct call *call, struct error *err)
{
    static const struct {
        const char *subject;
        enum error_kind kind;
    } errors[] = { { "invalid", ERROR_INVALID }, { "denied", ERROR_DENIED },           { "missing", ERROR_NOT_FOUND },
                   { "large", ERROR_TOO_LARGE }, { "unsupported", ERROR_UNSUPPORTED }, { "conflict", ERROR_CONFLICT },
                   { "busy", ERROR_BUSY },       { "down", ERROR_UNAVAILABLE },        { "uncertain", ERROR_UNCERTAIN },
                   { "bug", ERROR_INTERNAL } };
    const char *subject = call_event(call)->subject;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(subject, errors[i].subject) == 0)
            return error_set(err, errors[i].kind, "because of \"%s\"", subject);
    if (strcmp(subject, "skip") == 0)
        return call_skip(call, "rule", NULL, err, "branch '%s' is not built", "x");
    if (strcmp(subject, "skip-twice") == 0)
        return call_skip(call, "rule", NULL, err, "first") && call_skip(call, "rule", NULL, err, "second") &&
               call_skip(call, "rule", "other", err, "third");
    if (strcmp(subject, "one") == 0)
        return emit(call, NULL, err);
    if (strcmp(subject, "three") == 0)
        return emit(call, "a", err) && emit(call, "b", err) && emit(call, "c", err);
    if (strcmp(subject, "twice") == 0)
        return emit(call, "a", err) && emit(call, "a", err);
    if (strcmp(subject, "flush") == 0)
        return emit(call, "a", err) && call_flush(call, err) && emit(call, "b", err);
    if (strcmp(subject, "failing") == 0)
        return emit(call, "a", err) && error_set(err, ERROR_UNAVAILABLE, "after all");
    if (strcmp(subject, "data") == 0)
        return call_data(call, err) != NULL;
    if (strcmp(subject, "time") == 0)
        return call_remaining_ms(call) <= 19000 && call_remaining_ms(call) > 15000 && !call_cancelled(call) &&
               *(int *)call_state(call) == 42;
    if (strcmp(subject, "short") == 0)
        return call_remaining_ms(call) <= 1500;
    if (strcmp(subject, "long") == 0) {
        call_log(call, "long one begins");
        while (!call_cancelled(call))
            usleep(5000);
        return true;
    }
    if (strcmp(subject, "slow") == 0) {
        call_log(call, "slow one\nbegins");
        usleep(700 * 1000);
        return true;
    }
    return strncmp(subject, "nothing", 7) == 0 || emit_bad(call, subject, err);
}

static int answer_to_everything = 42;

static bool start(void **state, struct error *err)
{
    if (getenv("TEST_START_FAILS"))
        return error_set(err, ERROR_INVALID, "no configuration");
    *state = &answer_to_everything;
    return true;
}

static bool serve(struct call *call, const struct request *request, struct reply *reply, struct error *err)
{
    if (span_is(request->path, "/refuse"))
        return error_set(err, ERROR_DENIED, "no signature");
    if (span_is(request->path, "/emit")) {
        if (!call_set_parent(call, "https://git.example/acme", "delivery-1", err) || !emit(call, NULL, err))
            return false;
        reply->content_type = "text/plain";
        return bytes_append_text(&reply->body, call_chain_id(call), err);
    }
    reply->status = 200;
    reply->content_type = "application/json";
    return bytes_append_text(&reply->body, "{\"reason\":\"not interested\"}", err);
}

struct program {
    const struct function *function;
    const char *arguments[3];
};

static const struct function plain = { .start = start, .handle = handle, .manifest = MANIFEST("false") };
static const struct function guarded = { .start = start, .handle = handle, .manifest = MANIFEST("true") };
static const struct function facing = { .serve = serve,
                                        .manifest =
                                            "{\"name\":\"facing\",\"serves\":\"http\",\"out\":[\"" MADE "\"]}" };

static int run_program(void *context)
{
    struct program *program = context;
    char *argv[4] = { (char *)(uintptr_t)"tester" };
    int argc = 1;
    for (; argc < 4 && program->arguments[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)program->arguments[argc - 1];
    return function_main(argc, argv, program->function);
}

#define LISTEN "PUSHWRIGHT_LISTEN=127.0.0.1:0"

static struct running start_function(const struct function *function, const char *const *settings)
{
    struct program program = { .function = function };
    return start_running(run_program, &program, settings);
}

static const char *sink_setting(const struct peer *peer)
{
    static char setting[100];
    snprintf(setting, sizeof setting, "PUSHWRIGHT_SINK=http://127.0.0.1:%u/", peer->port);
    return setting;
}

/* --- requests --------------------------------------------------------------------------------------------------------------- */

static int post_event(unsigned port, const char *subject, char answer[static PEER_TEXT])
{
    char request[2048];
    snprintf(request, sizeof request,
             "POST /any/path HTTP/1.1\r\nHost: x\r\nce-specversion: 1.0\r\nce-id: parent\r\nce-source: /parent\r\n"
             "ce-type: test.in\r\nce-subject: %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
             subject);
    return ask(port, request, answer);
}

static int post_structured(unsigned port, const char *type, const char *body, char answer[static PEER_TEXT])
{
    char request[8192];
    snprintf(request, sizeof request, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
             type, strlen(body), body);
    return ask(port, request, answer);
}

/* --- outcomes --------------------------------------------------------------------------------------------------------------- */

static void outcome_decides_the_status(void **state)
{
    (void)state;
    static const struct {
        const char *subject;
        int status;
        bool retry_after;
        const char *detail; /* NULL: no body */
    } rows[] = {
        { "nothing", 202, false, NULL },
        { "invalid", 400, false, "because of \\\"invalid\\\"" },
        { "denied", 403, false, "because of" },
        { "missing", 400, false, "because of" },
        { "large", 413, false, "because of" },
        { "unsupported", 415, false, "because of" },
        { "conflict", 409, true, "because of" },
        { "busy", 429, true, "because of" },
        { "down", 503, true, "because of" },
        { "uncertain", 503, true, "because of" },
        { "bug", 500, false, "because of" },
        { "twice", 500, false, "same rule and target" },
        { "data", 202, false, NULL },
        { "time", 202, false, NULL },
        { "bad-type", 500, false, "unlisted" },
        { "bad-subject", 500, false, "subject" },
        { "bad-content", 500, false, "content must be a JSON object" },
        { "bad-json", 500, false, "custom data" },
        { "bad-attribute", 500, false, "'Name'" },
        { "long-attribute", 500, false, "longer than 20" },
        { "three", 500, false, "no sink" },
        { "flush", 500, false, "no sink" },
    };
    struct running running = start_function(&plain, (const char *[]){ LISTEN, NULL });
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static char answer[PEER_TEXT];
        assert_int_equal(post_event(running.port, rows[i].subject, answer), rows[i].status);
        assert_int_equal(header_in(answer, "Retry-After") != NULL, rows[i].retry_after);
        if (!rows[i].detail) {
            assert_string_equal(body_of(answer), "");
            assert_null(header_in(answer, "Content-Type"));
            continue;
        }
        assert_string_equal(header_in(answer, "Content-Type"), "application/problem+json");
        assert_true(strlen(body_of(answer)) <= 700);
        if (!strstr(body_of(answer), rows[i].detail))
            fail_msg("%s: %s", rows[i].subject, body_of(answer));
    }
    stop_running(&running, NULL, 0);
}

static void messages_that_are_no_events_are_refused_and_never_404(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct running running = start_function(&plain, (const char *[]){ LISTEN, NULL });
    unsigned port = running.port;
    assert_int_equal(ask(port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", answer), 405);
    assert_string_equal(header_in(answer, "Allow"), "POST, OPTIONS");
    assert_int_equal(ask(port, "PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", answer), 405);
    assert_int_equal(post_structured(port, "application/json", "{}", answer), 415);
    assert_int_equal(post_structured(port, "application/cloudevents+avro", "{}", answer), 415);
    assert_int_equal(post_structured(port, "application/cloudevents+json", "{", answer), 400);
    assert_int_equal(post_structured(port, "application/cloudevents+json", "{\"specversion\":\"1.0\"}", answer), 400);
    assert_int_equal(post_structured(port, "application/cloudevents-batch+json", "[]", answer), 202);
    assert_int_equal(post_structured(port, "application/cloudevents+json",
                                     "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/\",\"type\":\"other.type\"}",
                                     answer),
                     202);
    assert_string_equal(body_of(answer), "");
    static char log[64 * 1024];
    stop_running(&running, log, sizeof log);
    assert_non_null(strstr(log, "does not take events of this type"));
}

static void metrics_are_told_to_the_platform_and_not_to_the_outside(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct running running = start_function(&plain, (const char *[]){ LISTEN, NULL });
    assert_int_equal(post_event(running.port, "nothing", answer), 202);
    assert_int_equal(ask(running.port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", answer), 200);
    assert_non_null(strstr(answer, "ce_events_received_total{type=\"test.in\",result=\"done\"} 1"));
    stop_running(&running, NULL, 0);

    running = start_function(&facing, (const char *[]){ LISTEN, NULL });
    assert_int_equal(ask(running.port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", answer), 200);
    assert_string_equal(body_of(answer), "{\"reason\":\"not interested\"}");
    stop_running(&running, NULL, 0);
}

static void options_is_the_webhook_handshake(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct running running = start_function(&plain, (const char *[]){ LISTEN, NULL });
    assert_int_equal(ask(running.port, "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", answer), 200);
    assert_string_equal(header_in(answer, "Allow"), "POST, OPTIONS");
    assert_null(header_in(answer, "WebHook-Allowed-Origin"));
    assert_int_equal(
        ask(running.port, "OPTIONS / HTTP/1.1\r\nHost: x\r\nWebHook-Request-Origin: eventgrid.example\r\n\r\n", answer),
        200);
    assert_string_equal(header_in(answer, "WebHook-Allowed-Origin"), "*");
    assert_string_equal(header_in(answer, "WebHook-Allowed-Rate"), "*");
    stop_running(&running, NULL, 0);
}

static void health_of_every_platform_is_answered(void **state)
{
    (void)state;
    static const char *const paths[] = { "/health/liveness", "/health/readiness", "/healthz", "/readyz",
                                         "/livez",           "/_/health",         "/_/ready" };
    static char answer[PEER_TEXT];
    struct running running = start_function(&plain, (const char *[]){ LISTEN, NULL });
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char request[200];
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
        assert_int_equal(ask(running.port, request, answer), 200);
    }
    assert_int_equal(ask(running.port, "GET /x HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.33\r\n\r\n", answer),
                     200);
    assert_int_equal(ask(running.port, "GET /x HTTP/1.1\r\nHost: x\r\nUser-Agent: curl\r\n\r\n", answer), 405);
    stop_running(&running, NULL, 0);
}

/* --- events out -------------------------------------------------------------------------------------------------------------- */

static void single_event_without_a_sink_is_the_answer(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct running running = start_function(&plain, (const char *[]){ LISTEN, NULL });
    assert_int_equal(post_event(running.port, "one", answer), 200);
    assert_string_equal(header_in(answer, "ce-type"), MADE);
    assert_string_equal(header_in(answer, "ce-source"), "/pushwright/tester");
    assert_string_equal(header_in(answer, "content-type"), "application/json");
    assert_string_equal(header_in(answer, "ce-vcsref"), "refs/heads/main");
    assert_string_equal(header_in(answer, "ce-causationid"), "parent");
    assert_non_null(strstr(body_of(answer), "\"content\":{\"n\":12345678901234567890}"));
    assert_non_null(strstr(body_of(answer), "\"customData\":{\"k\":1}"));
    assert_non_null(strstr(body_of(answer), "\"contextId\":\"parent\""));
    assert_int_equal(post_event(running.port, "skip", answer), 200);
    assert_string_equal(header_in(answer, "ce-type"), SKIPPED);
    assert_non_null(strstr(body_of(answer), "\"reason\":\"branch 'x' is not built\""));
    stop_running(&running, NULL, 0);
}

static void events_are_accepted_in_order_before_the_answer(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct peer *peer = peer_start(SCRIPT(202));
    struct running running = start_function(&plain, (const char *[]){ LISTEN, sink_setting(peer), NULL });
    assert_int_equal(post_event(running.port, "three", answer), 202);
    assert_string_equal(body_of(answer), "");
    assert_int_equal(peer->count, 3);
    char ids[3][64];
    for (size_t i = 0; i < 3; i++) {
        snprintf(ids[i], sizeof ids[i], "%.60s", header_in(peer->requests[i], "ce-id"));
        assert_int_equal(strlen(ids[i]), 26);
    }
    assert_string_not_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[1], ids[2]);
    assert_int_equal(post_event(running.port, "three", answer), 202);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(header_in(peer->requests[3 + i], "ce-id"), ids[i]);
    assert_int_equal(post_event(running.port, "failing", answer), 503);
    assert_int_equal(peer->count, 6); /* nothing of a failed call is delivered */
    assert_int_equal(post_event(running.port, "flush", answer), 202);
    assert_int_equal(peer->count, 8);
    assert_int_equal(post_event(running.port, "skip-twice", answer), 202);
    assert_int_equal(peer->count, 10); /* one decision a rule and target, the first */
    assert_non_null(strstr(body_of(peer->requests[8]), "first"));
    assert_non_null(strstr(body_of(peer->requests[9]), "third"));
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void partial_delivery_is_503_and_the_retry_sends_the_same_ids(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct peer *peer = peer_start(SCRIPT(202, 400, 202));
    struct running running = start_function(&plain, (const char *[]){ LISTEN, sink_setting(peer), NULL });
    assert_int_equal(post_event(running.port, "three", answer), 503);
    assert_non_null(header_in(answer, "Retry-After"));
    assert_int_equal(peer->count, 2); /* the third waits for the second: the milestone comes last */
    assert_int_equal(post_event(running.port, "three", answer), 202);
    assert_int_equal(peer->count, 5);
    for (size_t i = 0; i < 2; i++) {
        char first[100];
        snprintf(first, sizeof first, "%.60s", header_in(peer->requests[i], "ce-id"));
        assert_string_equal(header_in(peer->requests[2 + i], "ce-id"), first);
    }
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void chain_and_trace_run_through(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct peer *peer = peer_start(SCRIPT(202));
    struct running running = start_function(&plain, (const char *[]){ LISTEN, sink_setting(peer), NULL });
    static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    char body[1000];
    snprintf(body, sizeof body,
             "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/\",\"type\":\"test.in\",\"subject\":\"one\","
             "\"traceparent\":\"%s\",\"data\":{\"context\":{\"chainId\":\"chain-of-data\"}}}",
             trace);
    assert_int_equal(post_structured(running.port, "application/cloudevents+json", body, answer), 202);
    assert_string_equal(header_in(peer->requests[0], "ce-correlationid"), "chain-of-data");
    assert_string_equal(header_in(peer->requests[0], "ce-traceparent"), trace);
    assert_non_null(strstr(body_of(peer->requests[0]), "\"chainId\":\"chain-of-data\""));
    assert_int_equal(post_event(running.port, "one", answer), 202);
    const char *made = header_in(peer->requests[1], "ce-correlationid");
    assert_int_equal(strlen(made), 36);
    assert_int_equal(made[14], '4');
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void batch_is_handled_event_by_event(void **state)
{
    (void)state;
#define BATCH_EVENT(id, subject)                                                                                       \
    "{\"specversion\":\"1.0\",\"id\":\"" id "\",\"source\":\"/\",\"type\":\"test.in\",\"subject\":\"" subject "\"}"
    static char answer[PEER_TEXT];
    struct peer *peer = peer_start(SCRIPT(202));
    struct running running = start_function(&plain, (const char *[]){ LISTEN, sink_setting(peer), NULL });
    assert_int_equal(post_structured(running.port, "application/cloudevents-batch+json",
                                     "[" BATCH_EVENT("1", "one") "," BATCH_EVENT("2", "one") "]", answer),
                     202);
    assert_int_equal(peer->count, 2);
    assert_int_equal(
        post_structured(running.port, "application/cloudevents-batch+json",
                        "[" BATCH_EVENT("1", "one") "," BATCH_EVENT("2", "busy") "," BATCH_EVENT("3", "one") "]",
                        answer),
        429);
    assert_int_equal(peer->count, 3);
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

/* --- signatures -------------------------------------------------------------------------------------------------------------- */

static void signed_hop_from_emission_to_verification(void **state)
{
    (void)state;
    static char answer[PEER_TEXT], relayed[PEER_TEXT];
    static const char key[] = "PUSHWRIGHT_CHAIN_KEY=0123456789abcdef0123456789abcdef";
    static const char rotated[] = "PUSHWRIGHT_CHAIN_KEY=another-key-of-some-length,0123456789abcdef0123456789abcdef";
    struct running sender = start_function(&plain, (const char *[]){ LISTEN, key, NULL });
    assert_int_equal(post_event(sender.port, "skip", answer), 200);
    assert_int_equal(strncmp(header_in(answer, "ce-pushwrightsig"), "v1,", 3), 0);
    stop_running(&sender, NULL, 0);

    /* The answer's ce- headers and body are sent on as a request. */
    char *headers = strcasestr(answer, "\r\nce-");
    assert_non_null(headers);
    char signature[200], type[200], id[100], source[100], subject[100], time[100], chain[100], cause[100];
    snprintf(signature, sizeof signature, "%.150s", header_in(answer, "ce-pushwrightsig"));
    snprintf(type, sizeof type, "%.150s", header_in(answer, "ce-type"));
    snprintf(id, sizeof id, "%.90s", header_in(answer, "ce-id"));
    snprintf(source, sizeof source, "%.90s", header_in(answer, "ce-source"));
    snprintf(subject, sizeof subject, "%.90s", header_in(answer, "ce-subject"));
    snprintf(time, sizeof time, "%.90s", header_in(answer, "ce-time"));
    snprintf(chain, sizeof chain, "%.90s", header_in(answer, "ce-correlationid"));
    snprintf(cause, sizeof cause, "%.90s", header_in(answer, "ce-causationid"));
    const char *body = body_of(answer);
    struct running receiver = start_function(&guarded, (const char *[]){ LISTEN, rotated, NULL });
    for (int forged = 0; forged < 3; forged++) {
        snprintf(relayed, sizeof relayed,
                 "POST / HTTP/1.1\r\nHost: x\r\nce-specversion: 1.0\r\nce-id: %s\r\nce-source: %s\r\nce-type: %s\r\n"
                 "ce-subject: %s\r\nce-time: %s\r\nce-correlationid: %s\r\nce-causationid: %s\r\n%s%s%s"
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 id, source, type, forged == 1 ? "forged" : subject, time, chain, cause,
                 forged == 2 ? "" : "ce-pushwrightsig: ", forged == 2 ? "" : signature, forged == 2 ? "" : "\r\n",
                 strlen(body), body);
        static char told[PEER_TEXT];
        assert_int_equal(ask(receiver.port, relayed, told), forged ? 403 : 202);
    }
    stop_running(&receiver, NULL, 0);
}

static void without_a_key_a_guarded_function_does_not_start(void **state)
{
    (void)state;
    static char log[8192], answer[PEER_TEXT];
    struct program program = { .function = &guarded };
    int out;
    pid_t pid = run_child(run_program, &program, (const char *[]){ LISTEN, NULL }, &out);
    read_all(out, log, sizeof log);
    close(out);
    assert_int_equal(exit_code_of(pid), 1);
    assert_non_null(strstr(log, "no chain key"));
    assert_non_null(strstr(log, "PUSHWRIGHT_TRUST_PLATFORM=1"));
    struct running trusting = start_function(&guarded, (const char *[]){ LISTEN, "PUSHWRIGHT_TRUST_PLATFORM=1", NULL });
    assert_int_equal(post_event(trusting.port, "nothing", answer), 202);
    stop_running(&trusting, NULL, 0);
}

static void wrong_settings_and_a_failing_start_end_the_process(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *error;
    } rows[] = {
        { "TEST_START_FAILS=1", "no configuration" },     { "PUSHWRIGHT_SINK=ftp://x", "sink" },
        { "PUSHWRIGHT_CHAIN_KEY=short", "chain key" },    { "PUSHWRIGHT_CHAIN_KEY_FILE=/nowhere", "/nowhere" },
        { "PUSHWRIGHT_PLATFORM=mars", "mars" },           { "PUSHWRIGHT_DRAIN_SECONDS=x", "PUSHWRIGHT_DRAIN_SECONDS" },
        { "PUSHWRIGHT_SOURCE=a b", "PUSHWRIGHT_SOURCE" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static char log[8192];
        struct program program = { .function = &plain };
        int out;
        pid_t pid = run_child(run_program, &program, (const char *[]){ LISTEN, rows[i].setting, NULL }, &out);
        read_all(out, log, sizeof log);
        close(out);
        assert_int_equal(exit_code_of(pid), 1);
        if (!strstr(log, rows[i].error))
            fail_msg("%s: %s", rows[i].setting, log);
    }
}

/* --- serve ------------------------------------------------------------------------------------------------------------------ */

static void serving_function_sees_the_request_and_answers_after_the_sink(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct peer *peer = peer_start(SCRIPT(202, 202, 400));
    struct running running = start_function(&facing, (const char *[]){ LISTEN, sink_setting(peer), NULL });
    assert_int_equal(ask(running.port, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", answer), 200);
    assert_string_equal(body_of(answer), "{\"reason\":\"not interested\"}");
    assert_int_equal(ask(running.port, "POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", answer), 403);
    assert_int_equal(ask(running.port, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answer), 200);
    char ids[2][100];
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(running.port, "POST /emit HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", answer), 200);
        assert_int_equal(peer->count, i + 1);
        snprintf(ids[i], sizeof ids[i], "%.90s", header_in(peer->requests[i], "ce-id"));
        assert_string_equal(header_in(peer->requests[i], "ce-correlationid"), body_of(answer));
        assert_null(header_in(peer->requests[i], "ce-causationid"));
        assert_null(strstr(body_of(peer->requests[i]), "\"links\""));
    }
    assert_string_equal(ids[0], ids[1]); /* a redelivery makes the same event */
    assert_int_equal(ask(running.port, "POST /emit HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", answer), 503);
    assert_string_equal(header_in(answer, "content-type"), "application/problem+json");
    stop_running(&running, NULL, 0);
    peer_stop(peer);
}

static void serving_function_without_a_sink_accepts_nothing_it_would_lose(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    struct running running = start_function(&facing, (const char *[]){ LISTEN, NULL });
    assert_int_equal(ask(running.port, "POST /emit HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", answer), 503);
    assert_non_null(strstr(body_of(answer), "no sink"));
    stop_running(&running, NULL, 0);
}

/* --- stopping --------------------------------------------------------------------------------------------------------------- */

struct posting {
    unsigned port;
    const char *subject;
};

static void *post(void *context)
{
    static char answer[PEER_TEXT];
    const struct posting *posting = context;
    return (void *)(intptr_t)post_event(posting->port, posting->subject, answer);
}

/* Posts, waits until the handler is in, and stops the function; milliseconds until it has ended. */
static int64_t stop_within(struct running *running, const char *subject, int *status)
{
    static char log[64 * 1024];
    struct posting posting = { running->port, subject };
    void *answered;
    pthread_t thread;
    char line[4096] = "";
    assert_int_equal(pthread_create(&thread, NULL, post, &posting), 0);
    while (!strstr(line, " one") && read_line(running->out, line, sizeof line)) {
    }
    assert_non_null(strstr(line, "begins")); /* one line, whatever the text holds */
    assert_non_null(strstr(line, "\"ce_id\":\"parent\""));
    int64_t before_ms = clock_monotonic_ms();
    stop_running(running, log, sizeof log);
    int64_t took_ms = clock_monotonic_ms() - before_ms;
    pthread_join(thread, &answered);
    *status = (int)(intptr_t)answered;
    return took_ms;
}

static void what_has_begun_is_finished_after_sigterm(void **state)
{
    (void)state;
    int status;
    struct running running = start_function(&plain, (const char *[]){ LISTEN, NULL });
    stop_within(&running, "slow", &status);
    assert_int_equal(status, 202);
}

/* All of it but what the answer needs: work that would have been done in time is not cut. */
static void long_work_may_use_the_time_between_sigterm_and_the_end(void **state)
{
    (void)state;
    int status;
    struct running running = start_function(&plain, (const char *[]){ LISTEN, "PUSHWRIGHT_DRAIN_SECONDS=2", NULL });
    assert_int_in_range(stop_within(&running, "long", &status), 1400, 1999);
    assert_int_equal(status, 202);
}

static void a_platform_that_waits_for_less_time_is_believed(void **state)
{
    (void)state;
    static char answer[PEER_TEXT];
    static const struct {
        const char *value;
        int status;
    } rows[] = { { "2s", 202 }, { "1h", 500 }, { "soon", 500 } };
    struct running running = start_function(&plain, (const char *[]){ LISTEN, NULL });
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char request[512];
        snprintf(request, sizeof request,
                 "POST / HTTP/1.1\r\nHost: x\r\nX-Timeout: %s\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /\r\n"
                 "ce-type: test.in\r\nce-subject: short\r\nContent-Length: 0\r\n\r\n",
                 rows[i].value);
        assert_int_equal(ask(running.port, request, answer), rows[i].status);
    }
    stop_running(&running, NULL, 0);
}

/* --- one shot ---------------------------------------------------------------------------------------------------------------- */

static int run_once(const struct function *function, const char *subject, const char *const *more,
                    char out_text[static 16384])
{
    struct error err = { 0 };
    AUTO(free) char *directory = directory_make_temporary("pushwright-once", &err);
    AUTO(bytes_release) struct bytes event = BYTES(4096);
    bytes_printf(&event, &err,
                 "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/\",\"type\":\"test.in\",\"subject\":\"%s\"}",
                 subject);
    char path[200], setting[230];
    snprintf(path, sizeof path, "%s/event", directory);
    snprintf(setting, sizeof setting, "K_EVENT_PATH=%s", directory);
    assert_true(file_write_atomic(path, bytes_span(&event), 0600, &err));
    const char *settings[8] = { setting };
    for (size_t i = 0; more && more[i]; i++)
        settings[i + 1] = more[i];
    struct program program = { .function = function };
    int out;
    pid_t pid = run_child(run_program, &program, settings, &out);
    read_all(out, out_text, 16384);
    close(out);
    int code = exit_code_of(pid);
    directory_remove(directory, &err);
    return code;
}

static void job_runs_once_and_prints_its_events(void **state)
{
    (void)state;
    static char out[16384];
    assert_int_equal(run_once(&plain, "three", NULL, out), 0);
    char *line = out;
    for (size_t i = 0; i < 3; i++) {
        AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
        struct error err = { 0 };
        struct event event;
        char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_true(event_decode_structured(arena, (struct span){ line, (size_t)(end - line) }, &event, &err));
        assert_string_equal(event.type, MADE);
        line = end + 1;
    }
    assert_string_equal(line, "");
    assert_int_equal(run_once(&plain, "nothing", NULL, out), 0);
    assert_string_equal(out, "");
}

static void exit_code_says_whether_to_try_again(void **state)
{
    (void)state;
    static char out[16384];
    static const struct {
        const char *subject;
        int code;
    } rows[] = { { "invalid", 42 }, { "denied", 42 }, { "large", 42 }, { "conflict", 1 },
                 { "down", 1 },     { "bug", 1 },     { "skip", 0 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(run_once(&plain, rows[i].subject, NULL, out), rows[i].code);
    assert_int_equal(
        run_once(&guarded, "nothing", (const char *[]){ "PUSHWRIGHT_CHAIN_KEY=0123456789abcdef", NULL }, out), 42);
    struct peer *peer = peer_start(SCRIPT(202, 400, 202));
    assert_int_equal(run_once(&plain, "one", (const char *[]){ sink_setting(peer), NULL }, out), 0);
    assert_int_equal(run_once(&plain, "one", (const char *[]){ sink_setting(peer), NULL }, out), 1);
    assert_int_equal(peer->count, 2);
    peer_stop(peer);
}

/* --- command line ------------------------------------------------------------------------------------------------------------ */

static void command_line_answers(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[3];
        int code;
        const char *output;
    } rows[] = {
        { { "--help" }, 0, "tester: tests" },
        { { "--version" }, 0, "tester 0." },
        { { "--manifest" }, 0, MANIFEST("false") },
        { { "--event" }, 2, "" },
        { { "--event", "/nowhere" }, 42, "" },
        { { "--check-event", "/nowhere" }, 42, "" },
        { { "--nonsense" }, 2, "" },
        { { "--help", "more" }, 2, "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static char out[16384];
        struct program program = { .function = &plain };
        memcpy(program.arguments, rows[i].arguments, sizeof program.arguments);
        int fd;
        pid_t pid = run_child(run_program, &program, NULL, &fd);
        read_all(fd, out, sizeof out);
        close(fd);
        assert_int_equal(exit_code_of(pid), rows[i].code);
        assert_non_null(strstr(out, rows[i].output));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcome_decides_the_status),
        cmocka_unit_test(messages_that_are_no_events_are_refused_and_never_404),
        cmocka_unit_test(metrics_are_told_to_the_platform_and_not_to_the_outside),
        cmocka_unit_test(options_is_the_webhook_handshake),
        cmocka_unit_test(health_of_every_platform_is_answered),
        cmocka_unit_test(single_event_without_a_sink_is_the_answer),
        cmocka_unit_test(events_are_accepted_in_order_before_the_answer),
        cmocka_unit_test(partial_delivery_is_503_and_the_retry_sends_the_same_ids),
        cmocka_unit_test(chain_and_trace_run_through),
        cmocka_unit_test(batch_is_handled_event_by_event),
        cmocka_unit_test(signed_hop_from_emission_to_verification),
        cmocka_unit_test(without_a_key_a_guarded_function_does_not_start),
        cmocka_unit_test(wrong_settings_and_a_failing_start_end_the_process),
        cmocka_unit_test(serving_function_sees_the_request_and_answers_after_the_sink),
        cmocka_unit_test(serving_function_without_a_sink_accepts_nothing_it_would_lose),
        cmocka_unit_test(what_has_begun_is_finished_after_sigterm),
        cmocka_unit_test(long_work_may_use_the_time_between_sigterm_and_the_end),
        cmocka_unit_test(a_platform_that_waits_for_less_time_is_believed),
        cmocka_unit_test(job_runs_once_and_prints_its_events),
        cmocka_unit_test(exit_code_says_whether_to_try_again),
        cmocka_unit_test(command_line_answers),
    };
    return cmocka_run_group_tests_name("runtime/call", tests, NULL, NULL);
}
