#include "shared/sandbox/account.h"

#include <string.h>

enum { PASSWD_NAME, PASSWD_PASSWORD, PASSWD_UID, PASSWD_GID, PASSWD_GECOS, PASSWD_HOME, PASSWD_FIELDS };
enum { GROUP_NAME, GROUP_PASSWORD, GROUP_GID, GROUP_MEMBERS, GROUP_FIELDS };

/* Whole of `text` as an id; 4294967295 means "unchanged" to the kernel and is no id. */
static bool id_parse(struct span text, uint32_t *out)
{
    uint64_t value = 0;
    if (text.len == 0 || text.len > 10)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    if (value >= UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool same(struct span a, struct span b)
{
    return a.data && b.data && span_equal(a, b);
}

static void fields_cut(struct span line, struct span *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fields[i] = span_cut(&line, ':');
}

/* The first line of passwd whose name or uid is `who`. */
static bool passwd_find(struct span passwd, struct span who, struct account *account, struct span *name)
{
    uint32_t number = 0;
    bool numeric = id_parse(who, &number);
    for (struct span line = span_cut(&passwd, '\n'); line.data; line = span_cut(&passwd, '\n')) {
        struct span field[PASSWD_FIELDS];
        uint32_t uid, gid;
        fields_cut(line, field, PASSWD_FIELDS);
        if (!field[PASSWD_GID].data || !id_parse(field[PASSWD_UID], &uid) || !id_parse(field[PASSWD_GID], &gid))
            continue;
        if (!same(field[PASSWD_NAME], who) && !(numeric && uid == number))
            continue;
        account->uid = uid;
        account->gid = gid;
        *name = field[PASSWD_NAME];
        struct span home = field[PASSWD_HOME];
        if (home.len > 0 && home.len < ACCOUNT_HOME_MAX) {
            memcpy(account->home, home.data, home.len);
            account->home[home.len] = '\0';
        }
        return true;
    }
    return false;
}

static bool group_find(struct span group, struct span who, uint32_t *gid)
{
    for (struct span line = span_cut(&group, '\n'); line.data; line = span_cut(&group, '\n')) {
        struct span field[GROUP_FIELDS];
        fields_cut(line, field, GROUP_FIELDS);
        if (same(field[GROUP_NAME], who) && id_parse(field[GROUP_GID], gid))
            return true;
    }
    return false;
}

static bool is_member(struct span members, struct span who)
{
    for (struct span name = span_cut(&members, ','); name.data; name = span_cut(&members, ','))
        if (same(name, who))
            return true;
    return false;
}

static void memberships(struct span group, struct span who, struct account *account)
{
    for (struct span line = span_cut(&group, '\n'); line.data; line = span_cut(&group, '\n')) {
        struct span field[GROUP_FIELDS];
        uint32_t gid;
        fields_cut(line, field, GROUP_FIELDS);
        if (account->group_count == ACCOUNT_GROUPS_MAX)
            return;
        if (is_member(field[GROUP_MEMBERS], who) && id_parse(field[GROUP_GID], &gid))
            account->groups[account->group_count++] = gid;
    }
}

bool account_resolve(const char *user, struct span passwd, struct span group, struct account *account,
                     struct error *err)
{
    struct account found = { .home = "/" };
    struct span rest = span_of(user && user[0] ? user : "0");
    struct span who = span_cut(&rest, ':');
    if (who.len == 0)
        who = SPAN("0");
    struct span name = { NULL, 0 };
    bool known = passwd_find(passwd, who, &found, &name);
    if (!known && who.len > 0 && who.data[0] >= '0' && who.data[0] <= '9' && !id_parse(who, &found.uid))
        return error_set(err, ERROR_INVALID, "user '%s' is no name and no number below 4294967295", user);
    if (!known && !id_parse(who, &found.uid))
        return error_set(err, ERROR_NOT_FOUND, "unable to find user %.*s: no matching entries in passwd file",
                         SPAN_ARGS(who));
    if (rest.data && rest.len > 0) {
        uint32_t named;
        bool listed = group_find(group, rest, &named);
        if (!id_parse(rest, &found.gid) && !listed)
            return error_set(err, ERROR_NOT_FOUND, "unable to find group %.*s: no matching entries in group file",
                             SPAN_ARGS(rest));
        if (listed && !id_parse(rest, &found.gid))
            found.gid = named;
        found.groups[found.group_count++] = listed ? named : found.gid;
    } else {
        found.groups[found.group_count++] = found.gid;
        if (known)
            memberships(group, name, &found);
    }
    *account = found;
    return true;
}
