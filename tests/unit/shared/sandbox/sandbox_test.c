/* The sandbox, in both of its modes: when run as root, everything is done a second time as an ordinary user. The program that
 * runs inside is this test program, copied into a layer with the libraries it needs. */
#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/sandbox/sandbox.h"
#include "tests/unit/shared/sandbox/ordinary.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what runs inside ---- */

static void print_file_line(const char *path, const char *prefix)
{
    char line[256];
    AUTO(fclose) FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, prefix, strlen(prefix)) == 0)
            printf("%s", line);
}

static int inside_show(char **args)
{
    char text[256];
    (void)args;
    printf("pid %d uid %d %d gid %d %d\n", getpid(), getuid(), geteuid(), getgid(), getegid());
    printf("cwd %s\n", getcwd(text, sizeof text));
    gethostname(text, sizeof text);
    printf("host %s\n", text);
    for (char **variable = environ; *variable; variable++)
        printf("env %s\n", *variable);
    print_file_line("/proc/self/status", "CapEff");
    print_file_line("/proc/self/status", "CapBnd");
    print_file_line("/proc/self/status", "NoNewPrivs");
    print_file_line("/proc/self/status", "Seccomp:");
    print_file_line("/etc/hosts", "127.0.0.1");
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("open %d\n", fd);
    return 0;
}

static void print_try(const char *what, long result)
{
    printf("%s %s\n", what, result < 0 ? strerror(errno) : "allowed");
}

static int inside_try(char **args)
{
    (void)args;
    print_try("mount", mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
    print_try("unshare", unshare(CLONE_NEWUSER));
    print_try("mknod", mknod("/disk", S_IFBLK | 0600, makedev(8, 0)));
    print_try("setuid", setuid(33));
    print_try("kcore", open("/proc/kcore", O_RDONLY) < 0 ? -1 : lseek(3, 0, SEEK_END) == 0 ? (errno = ENODATA, -1) : 0);
    print_try("sysctl", open("/proc/sys/kernel/hostname", O_WRONLY));
    print_try("null", open("/dev/null", O_RDWR));
    print_try("write", open("/written", O_CREAT | O_WRONLY, 0644));
    print_try("whited-out", access("/gone", F_OK));
    print_try("layered", access("/second", F_OK));
    return 0;
}

static int inside_exit(char **args)
{
    return atoi(args[0]);
}

static int inside_ignore(char **args)
{
    (void)args;
    signal(SIGTERM, SIG_IGN);
    printf("ready\n");
    fflush(stdout);
    pause();
    return 0;
}

static int inside_plain(char **args)
{
    (void)args;
    printf("ready\n");
    fflush(stdout);
    pause();
    return 0;
}

static volatile sig_atomic_t asked;
static void on_signal(int number)
{
    asked = number;
}

static int inside_obey(char **args)
{
    (void)args;
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    printf("ready\n");
    fflush(stdout);
    while (!asked)
        pause();
    return asked == SIGTERM ? 7 : 8;
}

/* Answers each line with "NAME:line"; "wait" first sleeps. */
static void serve_one(int fd, const char *name)
{
    AUTO(fclose) FILE *in = fdopen(fd, "r+");
    char line[128];
    while (in && fgets(line, sizeof line, in)) {
        if (strcmp(line, "wait\n") == 0)
            usleep(300000);
        fseek(in, 0, SEEK_CUR);
        fprintf(in, "%s:%s", name, line);
        fflush(in);
    }
}

static int inside_serve(char **args)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(args[0])) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    signal(SIGCHLD, SIG_IGN);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0)
        return 3;
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client >= 0 && fork() == 0) {
            close(fd);
            serve_one(client, args[1]);
            _exit(0);
        }
        close(client);
    }
}

static void print_owner(const char *path)
{
    struct stat is;
    if (lstat(path, &is) < 0)
        printf("%s %s\n", path, strerror(errno));
    else
        printf("%s %u %u\n", path, is.st_uid, is.st_gid);
}

static int inside_own(char **args)
{
    (void)args;
    struct stat is;
    int fd = open("/file", O_CREAT | O_EXCL | O_WRONLY, 0600);
    print_try("give", fchown(fd, 5, 6));
    fstat(fd, &is);
    printf("opened %u %u\n", is.st_uid, is.st_gid);
    rename("/file", "/renamed");
    rename("/second", "/moved");
    print_owner("/renamed");
    print_owner("/moved");
    mkdir("/grouped", 02775);
    print_try("group", chown("/grouped", (uid_t)-1, 60) < 0 ? -1 : chmod("/grouped", 02775));
    mkdir("/grouped/in", 0755);
    print_owner("/grouped/in");
    print_try("become", setgid(50) < 0 ? -1 : setuid(1000));
    printf("now %u %u %u %u\n", getuid(), geteuid(), getgid(), getegid());
    print_try("regain", setuid(0));
    mkdir("/mine", 0755);
    print_try("link", symlink("x", "/mine/link"));
    print_try("open", open("/mine/file", O_CREAT | O_EXCL | O_RDWR, 0644));
    print_owner("/mine/link");
    print_owner("/mine/file");
    print_try("give-away", chown("/mine", 0, (gid_t)-1));
    print_try("none", chown("/none", 1000, 50));
    return 0;
}

static int inside_main(char **args)
{
    static const struct {
        const char *name;
        int (*run)(char **args);
    } programs[] = {
        { "show", inside_show }, { "try", inside_try },     { "exit", inside_exit },   { "ignore", inside_ignore },
        { "obey", inside_obey }, { "serve", inside_serve }, { "plain", inside_plain }, { "own", inside_own },
    };
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        if (strcmp(args[0], programs[i].name) == 0)
            return programs[i].run(args + 1);
    return 99;
}

/* ---- fixture ---- */

static char *base, layer_one[256], layer_two[256];
static enum sandbox_mode mode;

/* A script that sees one path as $P and another as $Q. */
static int run_shell(const char *script, const char *p, const char *q)
{
    setenv("P", p, 1);
    setenv("Q", q, 1);
    int status = system(script);
    unsetenv("P");
    unsetenv("Q");
    return status;
}

static int prepare(void **state)
{
    (void)state;
    struct error err = { 0 };
    char self[256];
    /* Not the path behind it: an ordinary user may not get there. */
    snprintf(self, sizeof self, "/proc/%d/exe", (int)getpid());
    setenv("SELF", self, 1);
    base = directory_make_temporary("sandbox-test", &err);
    snprintf(layer_one, sizeof layer_one, "%s/one", base);
    snprintf(layer_two, sizeof layer_two, "%s/two", base);
    if (run_shell("mkdir -p $P/etc $P/bin $Q && cp $SELF $P/bin/program && touch $P/gone $Q/second &&"
                  "echo web:x:1000:1000::/home/web:/bin/sh > $P/etc/passwd &&"
                  "{ ldd $SELF 2>&1 | grep -o '/[^ ]*' | grep -v musl | xargs -r cp -L --parents -t $P; }",
                  layer_one, layer_two) != 0)
        return -1;
    char whiteout[300];
    snprintf(whiteout, sizeof whiteout, "%s/gone", layer_two);
    return mknod(whiteout, S_IFCHR, makedev(0, 0));
}

static int tidy(void **state)
{
    (void)state;
    struct error err = { 0 };
    bool removed = sandbox_remove_tree(base, &err);
    free(base);
    return removed ? 0 : -1;
}

struct run {
    struct sandbox *sandbox;
    int output;
    char scratch[300];
};

static struct sandbox_spec spec_of(const char *const *argv, size_t count)
{
    static const char *lowers[2];
    lowers[0] = layer_one;
    lowers[1] = layer_two;
    return (struct sandbox_spec){
        .mode = mode, .lowers = lowers, .lower_count = 2, .argv = argv, .arg_count = count, .hostname = "box"
    };
}

static struct run run_begin(struct sandbox_spec spec)
{
    static int number;
    struct error err = { 0 };
    struct run run = { 0 };
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    snprintf(run.scratch, sizeof run.scratch, "%s/scratch-%d", base, number++);
    assert_int_equal(mkdir(run.scratch, 0700), 0);
    spec.scratch = run.scratch;
    spec.output = pipes[1];
    run.sandbox = sandbox_start(&spec, &err);
    if (!run.sandbox)
        fail_msg("%s", err.message);
    run.output = pipes[0];
    close(pipes[1]);
    return run;
}

static void run_end(struct run *run)
{
    struct error err = { 0 };
    sandbox_free(run->sandbox);
    close(run->output);
    if (!sandbox_remove_tree(run->scratch, &err))
        fail_msg("%s", err.message);
}

/* The next event, waited for; any other kind fails the test. */
static struct sandbox_event expect(struct run *run, enum sandbox_event_kind kind)
{
    struct sandbox_event event;
    int64_t deadline = clock_monotonic_ms() + 20000;
    do {
        sandbox_next(run->sandbox, &event);
        if (event.kind == SANDBOX_NOTHING)
            poll(&(struct pollfd){ .fd = sandbox_fd(run->sandbox), .events = POLLIN }, 1, 1000);
    } while (event.kind == SANDBOX_NOTHING && clock_monotonic_ms() < deadline);
    if (event.kind != kind)
        fail_msg("event %d instead of %d, status %d, '%s'", event.kind, kind, event.status, event.text);
    return event;
}

static char *read_all(int fd)
{
    static char text[16384];
    size_t len = 0;
    for (ssize_t n; len < sizeof text - 1 && (n = read(fd, text + len, sizeof text - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}

static char *output_of(struct sandbox_spec spec)
{
    struct run run = run_begin(spec);
    expect(&run, SANDBOX_STARTED);
    char *text = read_all(run.output);
    assert_int_equal(expect(&run, SANDBOX_EXITED).status, 0);
    expect(&run, SANDBOX_ENDED);
    run_end(&run);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

#define ARGV(...) (const char *const[]){ __VA_ARGS__ }, sizeof(ARGV_ONLY(__VA_ARGS__)) / sizeof(char *)
#define ARGV_ONLY(...) ((const char *const[]){ __VA_ARGS__ })

/* ---- tests ---- */

static void a_program_is_process_one_as_root_with_dockers_privileges(void **state)
{
    (void)state;
    char *text = output_of(spec_of(ARGV("program", "inside", "show")));
    assert_has(text, "pid 1 uid 0 0 gid 0 0\n");
    assert_has(text, "cwd /\n");
    assert_has(text, "host box\n");
    assert_has(text, "env HOSTNAME=box\n");
    assert_has(text, "env HOME=/\n");
    assert_has(text, "env PATH=/usr/local/sbin");
    assert_has(text, "CapEff:\t00000000a00425fb\n");
    assert_has(text, "CapBnd:\t00000000a00425fb\n");
    assert_has(text, "NoNewPrivs:\t1\n");
    assert_has(text, "Seccomp:\t2\n");
    assert_has(text, "127.0.0.1\tlocalhost box\n");
    assert_null(strstr(text, "open "));
}

static void nothing_of_our_environment_comes_along(void **state)
{
    (void)state;
    setenv("SECRET_OF_OURS", "hidden", 1);
    struct sandbox_spec spec = spec_of(ARGV("/bin/program", "inside", "show"));
    spec.env = ARGV_ONLY("PATH=/nowhere", "GREETING=hello", "HOME=/elsewhere");
    spec.env_count = 3;
    char *text = output_of(spec);
    assert_null(strstr(text, "SECRET_OF_OURS"));
    assert_has(text, "env PATH=/nowhere\n");
    assert_has(text, "env GREETING=hello\n");
    assert_has(text, "env HOME=/elsewhere\n");
}

static void user_and_working_directory_of_the_image_count(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of(ARGV("program", "inside", "show"));
    spec.user = "web";
    spec.cwd = "/srv/made/on/demand";
    char *text = output_of(spec);
    assert_has(text, "uid 1000 1000 gid 1000 1000\n");
    assert_has(text, "cwd /srv/made/on/demand\n");
    assert_has(text, "env HOME=/home/web\n");
    assert_has(text, "CapEff:\t0000000000000000\n");
}

static void what_could_reach_the_machine_is_refused(void **state)
{
    (void)state;
    char *text = output_of(spec_of(ARGV("program", "inside", "try")));
    assert_has(text, "mount Operation not permitted\n");
    assert_has(text, "unshare Operation not permitted\n");
    assert_has(text, "mknod Operation not permitted\n");
    assert_has(text, "setuid allowed\n"); /* as an ordinary user: without effect */
    assert_null(strstr(text, "kcore allowed"));
    assert_null(strstr(text, "sysctl allowed"));
    assert_has(text, "null allowed\n");
    assert_has(text, "layered allowed\n");
    assert_has(text, "whited-out No such file or directory\n");
}

static void what_is_written_stays_in_the_scratch_directory(void **state)
{
    (void)state;
    char path[300];
    assert_has(output_of(spec_of(ARGV("program", "inside", "try"))), "write ");
    snprintf(path, sizeof path, "%s/written", layer_one);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/etc/hosts", layer_one);
    assert_int_equal(access(path, F_OK), -1);
}

static bool second_is_of_7(void *context, const char *path, mode_t type, bool marked, struct owner *out)
{
    (void)context;
    *out = (struct owner){ 7, 8 };
    return marked && type == S_IFREG && strcmp(path, "second") == 0;
}

static void owners_of_a_step_are_shown_to_it_and_noted(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        struct owner owner;
    } noted[] = { { "renamed", { 5, 6 } },      { "moved", { 7, 8 } },    { "grouped", { 0, 60 } },
                  { "grouped/in", { 0, 60 } },  { "mine", { 1000, 50 } }, { "mine/link", { 1000, 50 } },
                  { "mine/file", { 1000, 50 } } };
    if (mode != SANDBOX_AS_USER)
        skip();
    struct error err = { 0 };
    AUTO(owners_free) struct owners *notes = owners_new(100, &err);
    const struct sandbox_owners owners = { .notes = notes, .below = second_is_of_7 };
    const struct sandbox_step step = { .owners = &owners };
    struct sandbox_spec spec = spec_of(ARGV("program", "inside", "own"));
    spec.step = &step;
    struct run run = run_begin(spec);
    assert_string_equal(expect(&run, SANDBOX_STARTED).text, "");
    const char *text = read_all(run.output);
    assert_int_equal(expect(&run, SANDBOX_EXITED).status, 0);
    assert_string_equal(text, "give allowed\nopened 5 6\n/renamed 5 6\n/moved 7 8\ngroup allowed\n/grouped/in 0 60\n"
                              "become allowed\nnow 1000 1000 50 50\nregain Operation not permitted\nlink allowed\n"
                              "open allowed\n/mine/link 1000 50\n/mine/file 1000 50\n"
                              "give-away Operation not permitted\nnone No such file or directory\n");
    char upper[320];
    snprintf(upper, sizeof upper, "%s/upper", run.scratch);
    AUTO(close) int directory = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof noted / sizeof noted[0]; i++) {
        struct owner found = { 0, 0 };
        assert_true(owners_find(notes, directory, noted[i].path, &found));
        assert_true(owner_is(found, noted[i].owner));
    }
    run_end(&run);
}

static void exit_statuses_arrive(void **state)
{
    (void)state;
    char text[64];
    struct run run = run_begin(spec_of(ARGV("program", "inside", "exit", "3")));
    expect(&run, SANDBOX_STARTED);
    sandbox_status_text(expect(&run, SANDBOX_EXITED).status, text, sizeof text);
    assert_string_equal(text, "exited with status 3");
    run_end(&run);
    sandbox_status_text(9, text, sizeof text);
    assert_string_equal(text, "killed by signal 9 (Killed)");
}

static void a_program_that_cannot_start_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *program, *user, *text;
    } rows[] = {
        { "nothing-here", NULL, "run 'nothing-here' (looked up in PATH): No such file or directory" },
        { "/etc/passwd", NULL, "run '/etc/passwd': Permission denied" },
        { "program", "stranger", "unable to find user stranger: no matching entries in passwd file" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sandbox_spec spec = spec_of(ARGV(rows[i].program));
        spec.user = rows[i].user;
        struct run run = run_begin(spec);
        assert_string_equal(expect(&run, SANDBOX_FAILED).text, rows[i].text);
        expect(&run, SANDBOX_ENDED);
        run_end(&run);
    }
}

static void a_missing_layer_is_named(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of(ARGV("program"));
    spec.lowers = ARGV_ONLY("/no/such/layer");
    spec.lower_count = 1;
    struct run run = run_begin(spec);
    assert_string_equal(expect(&run, SANDBOX_FAILED).text,
                        "open directory '/no/such/layer': No such file or directory");
    run_end(&run);
}

static void stopping_is_polite_first(void **state)
{
    (void)state;
    char ready[6];
    struct run run = run_begin(spec_of(ARGV("program", "inside", "obey")));
    expect(&run, SANDBOX_STARTED);
    assert_int_equal(read(run.output, ready, 6), 6);
    sandbox_stop(run.sandbox, 10000);
    assert_int_equal(expect(&run, SANDBOX_EXITED).status, 7 << 8);
    run_end(&run);

    struct sandbox_spec spec = spec_of(ARGV("program", "inside", "obey"));
    spec.stop_signal = SIGUSR1;
    run = run_begin(spec);
    expect(&run, SANDBOX_STARTED);
    assert_int_equal(read(run.output, ready, 6), 6);
    sandbox_stop(run.sandbox, 10000);
    assert_int_equal(expect(&run, SANDBOX_EXITED).status, 8 << 8);
    run_end(&run);

    run = run_begin(spec_of(ARGV("program", "inside", "ignore")));
    expect(&run, SANDBOX_STARTED);
    assert_int_equal(read(run.output, ready, 6), 6);
    sandbox_stop(run.sandbox, 50);
    assert_int_equal(expect(&run, SANDBOX_EXITED).status, SIGKILL);
    run_end(&run);
}

static void a_program_deaf_to_its_stop_signal_is_not_waited_for(void **state)
{
    (void)state;
    char ready[6];
    struct run run = run_begin(spec_of(ARGV("program", "inside", "plain")));
    expect(&run, SANDBOX_STARTED);
    assert_int_equal(read(run.output, ready, 6), 6);
    sandbox_stop(run.sandbox, 60000); /* longer than expect() waits */
    assert_int_equal(expect(&run, SANDBOX_EXITED).status, SIGKILL);
    run_end(&run);
}

static int connect_through(struct run *run)
{
    /* A pair of TCP sockets, as a front's accept() would give one. */
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    AUTO(close) int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    int accepted = accept(listener, NULL, NULL);
    fcntl(accepted, F_SETFL, O_NONBLOCK);
    assert_true(sandbox_connect(run->sandbox, accepted));
    struct timeval patience = { .tv_sec = 20 };
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return client;
}

static void assert_answer(int client, const char *line, const char *answer)
{
    char text[128] = "";
    size_t len = 0;
    assert_int_equal(send(client, line, strlen(line), MSG_NOSIGNAL), strlen(line));
    while (len < strlen(answer)) {
        ssize_t n = recv(client, text + len, sizeof text - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    assert_string_equal(text, answer);
}

static struct run serve(const char *name)
{
    const char *const argv[] = { "program", "inside", "serve", "8080", name };
    struct sandbox_spec spec = spec_of(argv, 5);
    spec.connections = &sandbox_connections;
    spec.port = 8080;
    struct run run = run_begin(spec);
    expect(&run, SANDBOX_STARTED);
    expect(&run, SANDBOX_LISTENING);
    return run;
}

static void connections_are_carried_in_both_directions(void **state)
{
    (void)state;
    char end;
    struct run run = serve("a");
    int first = connect_through(&run), second = connect_through(&run);
    assert_answer(first, "one\n", "a:one\n");
    assert_answer(second, "two\n", "a:two\n");
    assert_answer(first, "three\n", "a:three\n");
    shutdown(first, SHUT_WR); /* the program sees the end, closes, and so does our side */
    assert_int_equal(recv(first, &end, 1, 0), 0);
    close(first);
    close(second);
    run_end(&run);
}

static void draining_ends_answers_and_returns_who_asks_anew(void **state)
{
    (void)state;
    struct run old = serve("old"), new = serve("new");
    int resting = connect_through(&old), waiting = connect_through(&old);
    assert_answer(resting, "one\n", "old:one\n");
    assert_answer(waiting, "one\n", "old:one\n");
    assert_int_equal(send(waiting, "wait\n", 5, 0), 5);
    usleep(50000); /* until the program has it */
    sandbox_drain(old.sandbox, 10000);
    assert_int_equal(send(resting, "two\n", 4, 0), 4);
    struct sandbox_event event = expect(&old, SANDBOX_RETURNED);
    assert_true(sandbox_connect(new.sandbox, event.fd));
    assert_answer(resting, "", "new:two\n");
    assert_answer(waiting, "", "old:wait\n");
    close(waiting);
    expect(&old, SANDBOX_DRAINED);
    close(resting);
    run_end(&old);
    run_end(&new);
}

static void a_connection_that_an_ended_program_never_saw_comes_back(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of(ARGV("program", "inside", "ignore"));
    spec.connections = &sandbox_connections;
    spec.port = 8080; /* where it does not listen */
    struct run run = run_begin(spec);
    expect(&run, SANDBOX_STARTED);
    int client = connect_through(&run);
    sandbox_stop(run.sandbox, 20);
    struct sandbox_event event = expect(&run, SANDBOX_RETURNED);
    assert_true(event.fd >= 0);
    close(event.fd);
    expect(&run, SANDBOX_EXITED);
    close(client);
    run_end(&run);
}

static void checks_run_beside_the_program(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *user;
        int status;
    } rows[] = { { "0", NULL, 0 }, { "5", NULL, 5 << 8 }, { "0", "web", 0 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sandbox_spec spec = spec_of(ARGV("program", "inside", "ignore"));
        const char *const check[] = { "program", "inside", "exit", rows[i].argument };
        spec.check = check;
        spec.check_count = 4;
        spec.user = rows[i].user;
        struct run run = run_begin(spec);
        expect(&run, SANDBOX_STARTED);
        sandbox_check(run.sandbox);
        assert_int_equal(expect(&run, SANDBOX_CHECKED).status, rows[i].status);
        run_end(&run);
    }
}

static void a_check_that_hangs_is_ended(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of(ARGV("program", "inside", "ignore"));
    spec.check = ARGV_ONLY("program", "inside", "ignore");
    spec.check_count = 3;
    spec.check_timeout_ms = 100;
    struct run run = run_begin(spec);
    expect(&run, SANDBOX_STARTED);
    sandbox_check(run.sandbox);
    assert_int_equal(expect(&run, SANDBOX_CHECKED).status, -1);
    run_end(&run);
}

/* The whole of it dies with a process that is killed and can do nothing about it. */
static void everything_dies_with_its_starter(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t starter = fork();
    if (starter == 0) {
        struct sandbox_spec spec = spec_of(ARGV("program", "inside", "ignore"));
        struct error err = { 0 };
        char scratch[300];
        snprintf(scratch, sizeof scratch, "%s/orphan", base);
        mkdir(scratch, 0700);
        spec.scratch = scratch;
        spec.output = pipes[1];
        struct sandbox *sandbox = sandbox_start(&spec, &err);
        close(pipes[0]);
        pause();
        _exit(sandbox ? 0 : 1);
    }
    close(pipes[1]);
    char ready[6];
    assert_int_equal(read(pipes[0], ready, 6), 6);
    kill(starter, SIGKILL);
    waitpid(starter, NULL, 0);
    struct pollfd end = { .fd = pipes[0], .events = POLLIN };
    assert_int_equal(poll(&end, 1, 20000), 1); /* every holder of the other end is gone */
    assert_int_equal(read(pipes[0], ready, 1), 0);
    close(pipes[0]);
}

/* Who sends a message dies of it. */
static void die_of_sending(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { sizeof filter / sizeof filter[0], filter };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static void a_trial_does_not_outlive_who_tries(void **state)
{
    (void)state;
    int pipes[2], status = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t starter = fork();
    if (starter == 0) {
        enum sandbox_mode found;
        struct error err = { 0 };
        close(pipes[0]);
        die_of_sending(); /* before the trial is told to begin */
        _exit(sandbox_probe(true, &found, &err) ? 0 : 1);
    }
    close(pipes[1]);
    assert_int_equal(waitpid(starter, &status, 0), starter);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    struct pollfd end = { .fd = pipes[0], .events = POLLIN };
    assert_int_equal(poll(&end, 1, 20000), 1); /* every holder of the other end is gone */
    close(pipes[0]);
}

static void trees_of_any_mode_and_depth_are_removed(void **state)
{
    (void)state;
    struct error err = { 0 };
    char tree[300];
    snprintf(tree, sizeof tree, "%s/tree", base);
    assert_int_equal(run_shell("mkdir -p $P/a/b/c && touch $P/a/b/f && ln -s / $P/root", tree, ""), 0);
    int deep = open(tree, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 300; i++) { /* far over PATH_MAX */
        assert_int_equal(mkdirat(deep, "deeper-and-deeper-and-deeper", 0755), 0);
        int next = openat(deep, "deeper-and-deeper-and-deeper", O_RDONLY | O_DIRECTORY);
        close(deep);
        deep = next;
    }
    close(deep);
    assert_int_equal(run_shell("chmod 000 $P/a/b/c $P/a/b", tree, ""), 0);
    assert_true(sandbox_remove_tree(tree, &err));
    assert_int_equal(access(tree, F_OK), -1);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
    assert_true(sandbox_remove_tree(tree, &err));
}

static void starting_is_quick(void **state)
{
    (void)state;
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        int64_t before = clock_monotonic_us();
        struct run run = serve("quick");
        int64_t took = clock_monotonic_us() - before;
        best = took < best ? took : best;
        run_end(&run);
    }
    print_message("from start to listening: %lld us\n", (long long)best);
    assert_true(best < 500000); /* a bound for loaded machines; the message says what it is */
}

static int run_tests(const char *name)
{
    struct error err = { 0 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_is_process_one_as_root_with_dockers_privileges),
        cmocka_unit_test(nothing_of_our_environment_comes_along),
        cmocka_unit_test(user_and_working_directory_of_the_image_count),
        cmocka_unit_test(what_could_reach_the_machine_is_refused),
        cmocka_unit_test(what_is_written_stays_in_the_scratch_directory),
        cmocka_unit_test(owners_of_a_step_are_shown_to_it_and_noted),
        cmocka_unit_test(exit_statuses_arrive),
        cmocka_unit_test(a_program_that_cannot_start_says_why),
        cmocka_unit_test(a_missing_layer_is_named),
        cmocka_unit_test(stopping_is_polite_first),
        cmocka_unit_test(a_program_deaf_to_its_stop_signal_is_not_waited_for),
        cmocka_unit_test(connections_are_carried_in_both_directions),
        cmocka_unit_test(draining_ends_answers_and_returns_who_asks_anew),
        cmocka_unit_test(a_connection_that_an_ended_program_never_saw_comes_back),
        cmocka_unit_test(checks_run_beside_the_program),
        cmocka_unit_test(a_check_that_hangs_is_ended),
        cmocka_unit_test(everything_dies_with_its_starter),
        cmocka_unit_test(a_trial_does_not_outlive_who_tries),
        cmocka_unit_test(trees_of_any_mode_and_depth_are_removed),
        cmocka_unit_test(starting_is_quick),
    };
    if (!sandbox_probe(true, &mode, &err)) {
        printf("1..1\nok 1 - %s # SKIP %s\n", name, err.message);
        return 0;
    }
    return _cmocka_run_group_tests(name, tests, sizeof tests / sizeof tests[0], prepare, tidy);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "inside") == 0)
        return inside_main(argv + 2);
    return run_as_both(run_tests, "shared/sandbox/sandbox");
}
