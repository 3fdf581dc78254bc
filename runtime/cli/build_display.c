#include "runtime/cli/build_display.h"

#include "runtime/cli/story.h"
#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/json.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    TAIL_LINES = 40,  /* of each step, for when it fails */
    LIVE_LINES = 6,   /* of them below a running step */
    LINE_BYTES = 512, /* of each, at most */
    REDRAW_MS = 100,
    STEPS_MAX = 20000,
    COLUMNS_DEFAULT = 80,
    ROWS_DEFAULT = 24,
    EVENT_BYTES = 128 * 1024
};

struct step {
    char *name;
    int64_t began_ms;
    enum progress_what what; /* PROGRESS_STARTED while it runs */
    char *tail[TAIL_LINES];  /* a ring */
    size_t tail_count;
};

struct display {
    FILE *out;
    enum build_progress how;
    bool colour;
    int64_t began_ms;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t painter;
    bool painting, ended;
    struct step *steps;          /* by number, from 1 */
    size_t count, done, printed; /* printed: steps that stand above the live part for good */
    unsigned last_told;          /* plain: the step of the last line */
    unsigned failed;             /* 0: none */
    size_t *drawn;               /* columns of each line of the live part, as it was drawn last */
    size_t drawn_count, drawn_room;
};

/* ---- text ---- */

struct size {
    size_t columns, rows;
};

static struct size terminal_size(const struct display *display)
{
    struct winsize is;

    if (ioctl(fileno(display->out), TIOCGWINSZ, &is) < 0 || is.ws_col == 0 || is.ws_row == 0)
        return (struct size){ COLUMNS_DEFAULT, ROWS_DEFAULT };
    return (struct size){ is.ws_col, is.ws_row };
}

/* Bytes of the text that take at most so many columns; a character that may be wide counts as two. */
static size_t fit(const char *text, size_t columns, size_t *taken)
{
    struct span rest = span_of(text);
    size_t at = 0;

    *taken = 0;
    while (at < rest.len) {
        size_t len = span_utf8_sequence((struct span){ rest.data + at, rest.len - at });
        size_t width = len < 3 ? 1 : 2;

        if (*taken + width > columns)
            return at;
        *taken += width;
        at += len ? len : 1;
    }
    return at;
}

/* What a terminal would show of a line: no control characters, no colours, and of what a bar has overwritten the last. */
static void clean(const char *line, char out[static LINE_BYTES])
{
    const char *end = line + strlen(line), *at = line;
    size_t len = 0;

    while (end > line && end[-1] == '\r')
        end--;
    for (const char *p = line; p < end; p++) {
        if (*p == '\r')
            at = p + 1;
    }
    for (; at < end && len < LINE_BYTES - 1; at++) {
        if (*at == '\033' && at + 1 < end && at[1] == '[') {
            for (at += 2; at < end && (unsigned char)*at < 0x40; at++)
                continue;
            continue;
        }
        bool is_c1 = (unsigned char)at[0] == 0xc2 && at + 1 < end && (unsigned char)at[1] < 0xa0;
        at += is_c1;
        if (!is_c1 && (unsigned char)*at >= ' ' && *at != 0x7f)
            out[len++] = *at;
        else if (*at == '\t')
            out[len++] = ' ';
    }
    out[len] = '\0';
}

/* ---- steps ---- */

static struct step *step_of(struct display *display, unsigned number)
{
    if (number == 0 || number > STEPS_MAX)
        return NULL;
    if (number > display->count) {
        struct step *grown = reallocarray(display->steps, number, sizeof(grown[0]));
        if (!grown)
            return NULL;
        memset(grown + display->count, 0, (number - display->count) * sizeof(grown[0]));
        display->steps = grown;
        display->count = number;
    }
    return &display->steps[number - 1];
}

static void keep_line(struct step *step, const char *line)
{
    char text[LINE_BYTES];
    char **place = &step->tail[step->tail_count++ % TAIL_LINES];

    clean(line, text);
    free(*place);
    *place = strdup(text);
}

static const char *tail_line(const struct step *step, size_t i)
{
    const char *line = step->tail[i % TAIL_LINES];

    return line ? line : "";
}

static void forget_tail(struct step *step)
{
    for (size_t i = 0; i < TAIL_LINES; i++) {
        free(step->tail[i]);
        step->tail[i] = NULL;
    }
    step->tail_count = 0;
}

static void note(struct display *display, const struct progress_event *event)
{
    struct step *step = step_of(display, event->step);

    if (!step)
        return;
    if (event->what == PROGRESS_SAID) {
        AUTO(bytes_release) struct bytes line = BYTES(EVENT_BYTES);
        struct error ignored;
        if (bytes_printf(&line, &ignored, "%.3f %s", (double)event->since_ms / 1000, event->text))
            keep_line(step, line.data);
        return;
    }
    step->what = event->what;
    if (event->what == PROGRESS_STARTED) {
        free(step->name);
        step->name = strdup(event->name);
        step->began_ms = clock_monotonic_ms();
        return;
    }
    step->began_ms = event->since_ms; /* from now on how long it took */
    display->done++;
    if (event->what == PROGRESS_FAILED && !display->failed)
        display->failed = event->step;
    if (event->what != PROGRESS_FAILED)
        forget_tail(step);
}

/* ---- a terminal ---- */

static const char *colour(const struct display *display, const char *code)
{
    return display->colour ? code : "";
}

static void erase_live(struct display *display, size_t columns)
{
    size_t rows = 0;

    for (size_t i = 0; i < display->drawn_count; i++)
        rows += display->drawn[i] > columns ? (display->drawn[i] + columns - 1) / columns : 1;
    if (rows > 0)
        fprintf(display->out, "\033[%zuA\r", rows);
    fputs("\033[J", display->out);
    display->drawn_count = 0;
}

static void remember_line(struct display *display, size_t columns)
{
    if (display->drawn_count == display->drawn_room) {
        size_t room = display->drawn_room ? 2 * display->drawn_room : 64;
        size_t *grown = reallocarray(display->drawn, room, sizeof(grown[0]));
        if (!grown)
            return;
        display->drawn = grown;
        display->drawn_room = room;
    }
    display->drawn[display->drawn_count++] = columns;
}

static size_t put_fitting(const struct display *display, const char *text, size_t columns)
{
    size_t taken, len = fit(text, columns, &taken);

    fprintf(display->out, "%.*s", (int)len, text);
    return taken;
}

/* " => NAME        1.2s", the time at the right edge. */
static size_t put_step(const struct display *display, const struct step *step, size_t columns)
{
    static const char *const words[] = {
        [PROGRESS_CACHED] = "CACHED ", [PROGRESS_CANCELLED] = "CANCELED ", [PROGRESS_FAILED] = "ERROR "
    };
    static const char *const colours[] = { [PROGRESS_STARTED] = "",
                                           [PROGRESS_CACHED] = "\033[34m",
                                           [PROGRESS_DONE] = "\033[34m",
                                           [PROGRESS_CANCELLED] = "\033[33m",
                                           [PROGRESS_FAILED] = "\033[31m" };
    const char *word = words[step->what] ? words[step->what] : "";
    int64_t ms = step->what == PROGRESS_STARTED ? clock_monotonic_ms() - step->began_ms : step->began_ms;
    char time[32], name[LINE_BYTES];
    int time_len = snprintf(time, sizeof(time), "%.1fs", (double)ms / 1000);
    size_t prefix = 4 + strlen(word),
           room = columns > prefix + (size_t)time_len + 1 ? columns - prefix - (size_t)time_len - 1 : 1;

    clean(step->name ? step->name : "", name);
    fprintf(display->out, "%s => %s", colour(display, colours[step->what]), word);
    size_t taken = put_fitting(display, name, room);
    fprintf(display->out, "%*s%s%s\n", (int)(room - taken + 1), "", time, colour(display, "\033[0m"));
    return prefix + room + 1 + (size_t)time_len;
}

static size_t running(const struct display *display)
{
    size_t count = 0;

    for (size_t i = 0; i < display->count; i++)
        count += display->steps[i].what == PROGRESS_STARTED && display->steps[i].name;
    return count;
}

static void put_status(struct display *display, size_t columns, const char *word)
{
    char text[LINE_BYTES];
    size_t taken;

    snprintf(text, sizeof(text), "[+] Building %.1fs (%zu/%zu)%s",
             (double)(clock_monotonic_ms() - display->began_ms) / 1000, display->done, display->count, word);
    fprintf(display->out, "%.*s\n", (int)fit(text, columns, &taken), text);
    remember_line(display, taken);
}

static void put_tail(struct display *display, const struct step *step, size_t lines, size_t columns)
{
    size_t from = step->tail_count > lines ? step->tail_count - lines : 0;

    for (size_t i = from; i < step->tail_count; i++) {
        fputs(" => => # ", display->out);
        size_t taken = put_fitting(display, tail_line(step, i), columns > 10 ? columns - 10 : 0);
        putc('\n', display->out);
        remember_line(display, 9 + taken);
    }
}

/* Ended steps stand above for good, in their order; below them the running ones, as many as there are rows for. */
static void redraw(struct display *display, const char *word)
{
    struct size size = terminal_size(display);
    size_t columns = size.columns > 1 ? size.columns - 1 : 1, live = running(display);

    erase_live(display, size.columns);
    for (; display->printed < display->count && display->steps[display->printed].what != PROGRESS_STARTED;
         display->printed++) {
        if (display->steps[display->printed].name)
            put_step(display, &display->steps[display->printed], columns);
    }
    size_t rows = size.rows > 3 ? size.rows - 3 : 1;
    size_t lines = live > 0 && rows > live ? (rows - live) / live : 0;
    if (lines > LIVE_LINES)
        lines = LIVE_LINES;
    for (size_t i = display->printed; i < display->count && display->drawn_count < rows; i++) {
        const struct step *step = &display->steps[i];
        if (!step->name)
            continue;
        remember_line(display, put_step(display, step, columns));
        if (step->what == PROGRESS_STARTED)
            put_tail(display, step, lines, columns);
    }
    put_status(display, columns, word);
    fflush(display->out);
}

static void *paint(void *context)
{
    struct display *display = context;

    pthread_mutex_lock(&display->lock);
    while (!display->ended) {
        struct timespec until;
        if (display->count > 0) /* a line of nothing would stay in the history of some terminals */
            redraw(display, "");
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REDRAW_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&display->wake, &display->lock, &until);
    }
    redraw(display, display->failed ? " FAILED" : " FINISHED");
    pthread_mutex_unlock(&display->lock);
    return NULL;
}

/* ---- lines ---- */

/* A blank line before each step, and where the output of another one goes on. */
static void print_plain(struct display *display, const struct progress_event *event)
{
    AUTO(bytes_release) struct bytes line = BYTES(EVENT_BYTES);
    struct error ignored;

    if (!progress_line(event, &line, &ignored))
        return;
    if (display->last_told && display->last_told != event->step)
        putc('\n', display->out);
    display->last_told = event->step;
    story_print(display->out, line.data);
    putc('\n', display->out);
    fflush(display->out);
}

static void digest_of_step(const struct display *display, const struct progress_event *event,
                           char out[static SHA256_HEX_SIZE + 7])
{
    AUTO(bytes_release) struct bytes text = BYTES(EVENT_BYTES);
    struct error ignored;

    bytes_printf(&text, &ignored, "%lld %u %s", (long long)display->began_ms, event->step, event->name);
    memcpy(out, "sha256:", 7);
    sha256_hex_of(bytes_span(&text), out + 7);
}

static void write_log(struct json_writer *w, const char *digest, const struct progress_event *event, const char *now)
{
    AUTO(bytes_release) struct bytes line = BYTES(EVENT_BYTES), data = BYTES(2 * EVENT_BYTES);
    struct error ignored;

    if (!bytes_printf(&line, &ignored, "%s\n", event->text) || !base64_encode(&data, bytes_span(&line), &ignored))
        return;
    json_open_array(w, "logs");
    json_open_object(w, NULL);
    json_add_string(w, "vertex", digest);
    json_add_integer(w, "stream", 1);
    json_add_string(w, "data", data.data);
    json_add_string(w, "timestamp", now);
    json_close_object(w);
    json_close_array(w);
}

static void write_vertex(struct json_writer *w, const char *digest, const struct progress_event *event,
                         const char *began, const char *now)
{
    json_open_array(w, "vertexes");
    json_open_object(w, NULL);
    json_add_string(w, "digest", digest);
    json_add_string(w, "name", event->name);
    json_add_string(w, "started", began);
    if (event->what != PROGRESS_STARTED)
        json_add_string(w, "completed", now);
    if (event->what == PROGRESS_CACHED)
        json_add_boolean(w, "cached", true);
    if (event->what == PROGRESS_CANCELLED)
        json_add_string(w, "error", "context canceled");
    if (event->what == PROGRESS_FAILED)
        json_add_string(w, "error", event->text);
    json_close_object(w);
    json_close_array(w);
}

/* BuildKit's SolveStatus, one a line. */
static void print_json(struct display *display, const struct progress_event *event)
{
    AUTO(bytes_release) struct bytes text = BYTES(4 * EVENT_BYTES);
    struct json_writer w = json_writer_on(&text);
    char digest[SHA256_HEX_SIZE + 7], now[RFC3339_SIZE], began[RFC3339_SIZE];
    int64_t wall = clock_wall_ms();
    struct error ignored;

    digest_of_step(display, event, digest);
    rfc3339_format(now, wall);
    rfc3339_format(began, wall - event->since_ms);
    json_open_object(&w, NULL);
    if (event->what == PROGRESS_SAID)
        write_log(&w, digest, event, now);
    else
        write_vertex(&w, digest, event, began, now);
    json_close_object(&w);
    if (json_writer_end(&w, &ignored))
        fprintf(display->out, "%s\n", text.data);
    fflush(display->out);
}

/* ---- all of them ---- */

void display_event(void *context, const struct progress_event *event)
{
    struct display *display = context;

    pthread_mutex_lock(&display->lock);
    note(display, event);
    if (display->how == BUILD_PROGRESS_PLAIN)
        print_plain(display, event);
    if (display->how == BUILD_PROGRESS_RAWJSON)
        print_json(display, event);
    pthread_mutex_unlock(&display->lock);
}

struct display *display_new(FILE *out, enum build_progress how, struct error *err)
{
    AUTO(display_free) struct display *display = calloc(1, sizeof(*display));
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");

    if (!display || pthread_mutex_init(&display->lock, NULL) != 0 || pthread_cond_init(&display->wake, NULL) != 0) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    display->out = out;
    display->how = how;
    if (how == BUILD_PROGRESS_AUTO) {
        bool able = isatty(fileno(out)) && !(term && strcmp(term, "dumb") == 0);
        display->how = able ? BUILD_PROGRESS_TTY : BUILD_PROGRESS_PLAIN;
    }
    display->colour = !(no_colour && *no_colour);
    display->began_ms = clock_monotonic_ms();
    if (display->how != BUILD_PROGRESS_TTY)
        return TAKE(display);
    display->painting = pthread_create(&display->painter, NULL, paint, display) == 0;
    if (!display->painting) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return TAKE(display);
}

void display_finish(struct display *display)
{
    if (!display->painting)
        return;
    pthread_mutex_lock(&display->lock);
    display->ended = true;
    pthread_cond_signal(&display->wake);
    pthread_mutex_unlock(&display->lock);
    pthread_join(display->painter, NULL);
    display->painting = false;
}

void display_free(struct display *display)
{
    if (!display)
        return;
    display_finish(display);
    for (size_t i = 0; i < display->count; i++) {
        free(display->steps[i].name);
        forget_tail(&display->steps[i]);
    }
    pthread_cond_destroy(&display->wake);
    pthread_mutex_destroy(&display->lock);
    free(display->steps);
    free(display->drawn);
    free(display);
}

void display_tell_failed(const struct display *display, FILE *out)
{
    if (!display->failed || display->how == BUILD_PROGRESS_RAWJSON)
        return;
    const struct step *step = &display->steps[display->failed - 1];
    size_t from = step->tail_count > TAIL_LINES ? step->tail_count - TAIL_LINES : 0;

    fputs("------\n > ", out);
    story_print(out, step->name ? step->name : "");
    fputs(":\n", out);
    for (size_t i = from; i < step->tail_count; i++) {
        story_print(out, tail_line(step, i));
        putc('\n', out);
    }
    fputs("------\n", out);
}
