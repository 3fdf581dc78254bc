/* Load over keep-alive connections on loopback: a closed loop (each connection asks again once it is answered) or a fixed rate, where the
 * latency counts from the moment the request was due, so that a server that falls behind cannot hide it.
 *
 *   load PORT REQUEST-FILE --connections N --requests N [--warm N] [--rate PER-SECOND] [--next-hop PORT] [--cpu PID]...
 *
 * At a fixed rate it sleeps only while nothing is on its way and the next request is far: then it asks for the time and for answers in
 * turns, so that no latency holds the time that a sleeping client takes to wake. For the same reason it can be the server's next hop
 * itself: two programs on one core would wait for each other.
 *
 * The request is sent as it stands in the file, but twelve zeros "000000000000" in its head become a number of its own, so that each
 * delivery is a new one. CPU is that of the named processes, all their threads, between the end of the warm-up and the last answer.
 * Prints one JSON object. */
#include "hop.h"

#include <getopt.h>

enum { CONNECTIONS_MAX = 256, PIDS_MAX = 8, ANSWER_MAX = 8192, SILENCE_MS = 30000, AWAKE_NS = 1000000 };
static const char STAMP[] = "000000000000";

struct connection {
    int fd;
    int busy;
    int64_t since_ns;
    char *request; /* its own copy: the stamp differs */
    size_t got;
    char answer[ANSWER_MAX + 1];
};

struct load {
    int port, epoll, next_hop; /* its port; 0: none */
    struct hop hop;
    const char *request;
    size_t request_len;
    ptrdiff_t stamp; /* offset of the twelve zeros; -1: none */
    size_t connection_count, total, warm, sent, done, errors;
    double rate;
    struct connection connections[CONNECTIONS_MAX];
    uint32_t *latencies_ns;
    pid_t pids[PIDS_MAX];
    int64_t cpu_ns[PIDS_MAX];
    size_t pid_count;
    int64_t began_ns;
};

static int64_t cpu_of(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        die("the CPU time of process %d cannot be read", (int)pid);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void connection_open(struct load *load, struct connection *c)
{
    const struct sockaddr_in address = loopback(load->port);
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&address, sizeof address) != 0)
        die("cannot connect to port %d: %s", load->port, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll: %s", strerror(errno));
    c->busy = 0;
    c->got = 0;
}

static void ask(struct load *load, struct connection *c, int64_t since_ns)
{
    char number[32];
    if (load->stamp >= 0) {
        snprintf(number, sizeof number, "%012zu", load->sent + 1);
        memcpy(c->request + load->stamp, number, sizeof STAMP - 1);
    }
    c->since_ns = since_ns;
    c->busy = 1;
    c->got = 0;
    load->sent++;
    for (size_t at = 0; at < load->request_len;) {
        ssize_t n = send(c->fd, c->request + at, load->request_len - at, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server has closed: the reader counts it */
        at += (size_t)n;
    }
}

static void warm_end(struct load *load)
{
    load->began_ns = now_ns();
    for (size_t i = 0; i < load->pid_count; i++)
        load->cpu_ns[i] = -cpu_of(load->pids[i]);
}

static void settle(struct load *load, struct connection *c, int ok)
{
    int64_t took = now_ns() - c->since_ns;
    if (load->done >= load->warm) {
        load->latencies_ns[load->done - load->warm] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
        load->errors += !ok;
    }
    c->busy = 0;
    load->done++;
    if (load->done == load->warm)
        warm_end(load);
}

static void hear(struct load *load, struct connection *c)
{
    int status = 0;
    ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MAX - c->got, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(c->fd);
        if (c->busy)
            settle(load, c, 0);
        connection_open(load, c);
        return;
    }
    c->got += (size_t)n;
    c->answer[c->got] = '\0';
    if (answer_is_whole(c->answer, c->got, &status))
        settle(load, c, status >= 200 && status < 300);
    else if (c->got == ANSWER_MAX)
        die("an answer is longer than %d bytes", ANSWER_MAX);
}

static struct connection *idle_connection(struct load *load)
{
    for (size_t i = 0; i < load->connection_count; i++)
        if (!load->connections[i].busy)
            return &load->connections[i];
    return NULL;
}

static void ask_all(struct load *load)
{
    struct connection *c;
    while (load->sent < load->total && (c = idle_connection(load)))
        ask(load, c, now_ns());
}

static int64_t due_ns(const struct load *load, int64_t first_ns)
{
    return first_ns + (int64_t)((double)load->sent * 1e9 / load->rate);
}

/* Up to a while before the next request, when nothing is on its way. */
static void rest(const struct load *load, int64_t first_ns)
{
    int64_t until = due_ns(load, first_ns) - AWAKE_NS;
    const struct timespec when = { until / 1000000000, until % 1000000000 };
    if (load->sent == load->done && load->sent < load->total && until > now_ns())
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

/* Those that are due and find a connection. */
static void ask_due(struct load *load, int64_t first_ns)
{
    struct connection *c;
    while (load->sent < load->total) {
        int64_t due = due_ns(load, first_ns);
        if (due > now_ns() || !(c = idle_connection(load)))
            return;
        ask(load, c, due);
    }
}

static void run(struct load *load)
{
    struct epoll_event events[64];
    int64_t first_ns = now_ns(), heard_ns = first_ns;
    if (load->warm == 0)
        warm_end(load);
    while (load->done < load->total) {
        if (load->rate > 0) {
            rest(load, first_ns);
            ask_due(load, first_ns);
        } else {
            ask_all(load);
        }
        int n = epoll_wait(load->epoll, events, 64, load->rate > 0 ? 0 : SILENCE_MS);
        if (n > 0)
            heard_ns = now_ns();
        else if (now_ns() - heard_ns > SILENCE_MS * (int64_t)1000000)
            die("no answer for %d s: %zu of %zu are done", SILENCE_MS / 1000, load->done, load->total);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                hear(load, events[i].data.ptr);
            else
                hop_turn(&load->hop, 0);
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const struct load *load, size_t percent)
{
    size_t n = load->total - load->warm;
    return load->latencies_ns[(n * percent - 1) / 100] / 1e3;
}

static void report(struct load *load)
{
    size_t n = load->total - load->warm;
    double seconds = (double)(now_ns() - load->began_ns) / 1e9;
    for (size_t i = 0; i < load->pid_count; i++)
        load->cpu_ns[i] += cpu_of(load->pids[i]);
    qsort(load->latencies_ns, n, sizeof *load->latencies_ns, compare);
    printf(
        "{\"requests\": %zu, \"errors\": %zu, \"per_second\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"cpu_us\": [",
        n, load->errors, (double)n / seconds, percentile_us(load, 50), percentile_us(load, 99));
    for (size_t i = 0; i < load->pid_count; i++)
        printf("%s%.2f", i ? ", " : "", (double)load->cpu_ns[i] / 1e3 / (double)n);
    puts("]}");
}

static void read_arguments(struct load *load, int argc, char **argv)
{
    static const struct option options[] = { { "connections", 1, NULL, 'c' },
                                             { "requests", 1, NULL, 'n' },
                                             { "warm", 1, NULL, 'w' },
                                             { "rate", 1, NULL, 'r' },
                                             { "cpu", 1, NULL, 'p' },
                                             { "next-hop", 1, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    size_t requests = 0;
    for (int word; (word = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (word == 'c')
            load->connection_count = strtoul(optarg, NULL, 10);
        else if (word == 'n')
            requests = strtoul(optarg, NULL, 10);
        else if (word == 'w')
            load->warm = strtoul(optarg, NULL, 10);
        else if (word == 'r')
            load->rate = strtod(optarg, NULL);
        else if (word == 'h')
            load->next_hop = atoi(optarg);
        else if (word == 'p' && load->pid_count < PIDS_MAX)
            load->pids[load->pid_count++] = atoi(optarg);
        else
            die("see the head of load.c");
    }
    if (argc - optind != 2 || requests == 0 || load->connection_count - 1 >= CONNECTIONS_MAX)
        die("see the head of load.c");
    load->port = atoi(argv[optind]);
    load->request = file_bytes(argv[optind + 1], &load->request_len);
    load->total = requests + load->warm;
    load->latencies_ns = calloc(requests, sizeof *load->latencies_ns);
}

static void prepare(struct load *load)
{
    const char *body = strstr(load->request, "\r\n\r\n"), *stamp = strstr(load->request, STAMP);
    load->stamp = stamp && body && stamp < body ? stamp - load->request : -1;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    if (load->epoll < 0 || !load->latencies_ns)
        die("cannot begin: %s", strerror(errno));
    if (load->next_hop) {
        hop_open(&load->hop, load->next_hop);
        if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->hop.epoll, &event) != 0)
            die("epoll: %s", strerror(errno));
    }
    for (size_t i = 0; i < load->connection_count; i++) {
        struct connection *c = &load->connections[i];
        c->request = malloc(load->request_len);
        if (!c->request)
            die("out of memory");
        memcpy(c->request, load->request, load->request_len);
        connection_open(load, c);
    }
}

int main(int argc, char **argv)
{
    static struct load load = { .connection_count = 1 };
    read_arguments(&load, argc, argv);
    prepare(&load);
    run(&load);
    report(&load);
    return 0;
}
