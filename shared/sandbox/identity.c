#include "shared/sandbox/identity.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum id { USER, GROUP };
enum which { REAL, EFFECTIVE, ALL };

struct ids {
    uint32_t real, effective;
    bool keeps; /* capabilities */
};

/* Limits of ours have the highest bit, which nobody else sets; ids have 31. */
static const rlim_t ours = UINT64_C(1) << 63, keeps_mark = UINT64_C(1) << 31;
static const uint32_t id_mask = INT32_MAX, unchanged = UINT32_MAX;
static bool any_changed; /* since the sandbox began */

static const struct row {
    int number;
    uint8_t id;
    bool set;
    uint8_t of; /* enum which; of calls that set, how many are given */
} rows[] = {
    { SYS_getuid, USER, false, REAL },  { SYS_geteuid, USER, false, EFFECTIVE },  { SYS_getresuid, USER, false, ALL },
    { SYS_getgid, GROUP, false, REAL }, { SYS_getegid, GROUP, false, EFFECTIVE }, { SYS_getresgid, GROUP, false, ALL },
    { SYS_setuid, USER, true, 1 },      { SYS_setreuid, USER, true, 2 },          { SYS_setresuid, USER, true, 3 },
    { SYS_setgid, GROUP, true, 1 },     { SYS_setregid, GROUP, true, 2 },         { SYS_setresgid, GROUP, true, 3 },
    { SYS_prctl, USER, true, 0 },
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static int limit_of(enum id id)
{
    return id == USER ? RLIMIT_RSS : RLIMIT_LOCKS;
}

size_t identity_calls(struct privilege_watched calls[static PRIVILEGE_WATCHED_MAX], size_t count)
{
    for (size_t i = 0; i < ROWS; i++)
        calls[count++] = (struct privilege_watched){ .number = rows[i].number,
                                                     .value = rows[i].number == SYS_prctl ? PR_SET_KEEPCAPS : 0 };
    return count;
}

void identity_begin(void)
{
    for (enum id id = USER; id <= GROUP; id++) {
        struct rlimit limit;
        getrlimit(limit_of(id), &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(limit_of(id), &limit);
    }
}

static bool limit_access(const struct request *request, enum id id, const struct rlimit *set, struct rlimit *get)
{
    return syscall(SYS_prlimit64, request->notice->pid, limit_of(id), set, get) == 0;
}

static struct ids ids_of(const struct request *request, enum id id, struct owner own)
{
    struct rlimit limit;
    uint32_t first = id == USER ? own.uid : own.gid;
    if (!any_changed || !limit_access(request, id, NULL, &limit) || limit.rlim_cur == limit.rlim_max ||
        !(limit.rlim_cur & ours))
        return (struct ids){ first, first, false };
    return (struct ids){ (uint32_t)(limit.rlim_cur >> 32) & id_mask, (uint32_t)limit.rlim_cur & id_mask,
                         limit.rlim_cur & keeps_mark };
}

struct owner identity_of_files(const struct request *request, struct owner own)
{
    return (struct owner){ ids_of(request, USER, own).effective, ids_of(request, GROUP, own).effective };
}

static long get(const struct request *request, const struct row *row, struct owner own)
{
    const struct ids ids = ids_of(request, row->id, own);
    const uint32_t all[] = { ids.real, ids.effective, ids.real };
    if (!any_changed)
        return REQUEST_PASS;
    long answer = row->of == ALL ? 0 : (long)all[row->of];
    for (int i = 0; row->of == ALL && i < 3 && answer == 0; i++)
        answer = request_write(request, request_argument(request, i), &all[i], sizeof all[i]);
    return answer;
}

static void put(const struct request *request, enum id id, struct ids ids)
{
    struct rlimit limit;
    if (!limit_access(request, id, NULL, &limit) || !request_is_valid(request))
        return;
    limit.rlim_cur =
        ours | (rlim_t)(ids.real & id_mask) << 32 | (ids.effective & id_mask) | (ids.keeps ? keeps_mark : 0);
    any_changed = true;
    limit_access(request, id, &limit, NULL);
}

/* setuid(2), setreuid(2): who is root may be anybody, everybody else what he is. */
static long set(const struct request *request, const struct row *row, struct owner own)
{
    const struct ids user = ids_of(request, USER, own), was = ids_of(request, row->id, own);
    bool root = user.effective == 0 || user.keeps;
    struct ids ids = was;
    for (int i = 0; i < row->of; i++) {
        uint32_t asked = (uint32_t)request_argument(request, i);
        if (asked == unchanged)
            continue;
        if (!root && asked != was.real && asked != was.effective)
            return -EPERM;
        if (i == REAL && (row->of > 1 || root))
            ids.real = asked;
        if (i == EFFECTIVE || row->of == 1)
            ids.effective = asked;
    }
    if (row->number == SYS_prctl)
        ids.keeps = user.effective == 0 && request_argument(request, 1);
    put(request, row->id, ids);
    return row->number == SYS_prctl ? REQUEST_PASS : 0;
}

long identity_answer(const struct request *request, struct owner own)
{
    const struct row *row = rows;
    while (row < rows + ROWS - 1 && row->number != request->notice->number)
        row++;
    return row->set ? set(request, row, own) : get(request, row, own);
}
