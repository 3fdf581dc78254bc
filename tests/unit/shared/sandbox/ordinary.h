/* Tests that root runs a second time as an ordinary user, because the sandbox is another thing for either. */
#ifndef PUSHWRIGHT_TESTS_SANDBOX_ORDINARY_H
#define PUSHWRIGHT_TESTS_SANDBOX_ORDINARY_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ORDINARY_ID = 54321 };

/* `run` takes the name of the group and gives the exit code; so does this. */
static inline int run_as_both(int (*run)(const char *name), const char *name)
{
    int failed = run(name), status = 1;
    if (geteuid() != 0)
        return failed;
    fflush(NULL);
    pid_t ordinary = fork();
    if (ordinary == 0) {
        char its_name[128];
        snprintf(its_name, sizeof its_name, "%s as an ordinary user", name);
        /* Dumpable again, or /proc/self would stay root's. */
        if (setgid(ORDINARY_ID) < 0 || setuid(ORDINARY_ID) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
            _exit(1);
        _exit(run(its_name));
    }
    waitpid(ordinary, &status, 0);
    return failed || status != 0;
}

#endif
