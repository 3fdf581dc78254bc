#include "shared/sandbox/inside.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr header; /* aligns the room */
    char room[CMSG_SPACE(sizeof(int))];
};

bool message_send(int channel, const struct message *message, int fd)
{
    struct iovec piece = { .iov_base = (void *)(uintptr_t)message, .iov_len = sizeof *message };
    union control control = { .room = { 0 } };
    struct msghdr packet = { .msg_iov = &piece, .msg_iovlen = 1 };
    if (fd >= 0) {
        packet.msg_control = control.room;
        packet.msg_controllen = sizeof control.room;
        struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    ssize_t n;
    do
        n = sendmsg(channel, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *message;
}

int message_receive(int channel, struct message *message, int *fd, int flags)
{
    struct iovec piece = { .iov_base = message, .iov_len = sizeof *message };
    union control control = { .room = { 0 } };
    struct msghdr packet = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room
    };
    *fd = -1;
    ssize_t n;
    do
        n = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC | flags);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(header), sizeof *fd);
    message->text[sizeof message->text - 1] = '\0';
    return n == (ssize_t)sizeof *message;
}
