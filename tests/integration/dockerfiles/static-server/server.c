#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void stop(int signal)
{
    (void)signal;
    _exit(0);
}

int main(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(getenv("PORT"))) };
    int listening = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    char request[4096], answer[256], body[] = "static server, version " VERSION "\n";

    signal(SIGINT, stop);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listening, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listening, 8) != 0)
        return 1;
    for (;;) {
        int client = accept(listening, NULL, NULL);
        int length =
            snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                     strlen(body), body);
        if (read(client, request, sizeof(request)) > 0)
            (void)!write(client, answer, (size_t)length);
        close(client);
    }
}
