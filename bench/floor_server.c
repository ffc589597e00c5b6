/* The physical floor: an epoll loop that reads, parses nothing, and writes a fixed reply with the
 * fields bare_server sends, one for each empty line in what it read. What it costs, the kernel
 * costs.
 *
 *     floor_server [--port N] [--json] */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, REPLIES_A_READ = 64 };
#define HEAD "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nserver: weft\r\n"
#define PLAIN                                                                                      \
    HEAD "content-type: text/plain; charset=utf-8\r\ncontent-length: 13\r\n\r\nHello, World!"
#define JSON                                                                                       \
    HEAD "content-type: application/json\r\ncontent-length: 27\r\n\r\n{\"message\":\"Hello, "      \
         "World!\"}"

int main(int argc, char **argv) {
    const char *reply = PLAIN;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(8000)};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            reply = JSON;
        } else if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            addr.sin_port = htons((unsigned short)atoi(argv[++i]));
        }
    }
    size_t n = strlen(reply);
    static char in[16384], out[REPLIES_A_READ * 256];
    for (int i = 0; i < REPLIES_A_READ; i++) {
        memcpy(out + (size_t)i * n, reply, n);
    }

    int one = 1, ep = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
        listen(listener, 1024) != 0) {
        perror("floor_server");
        return 1;
    }
    struct epoll_event events[EVENTS], ev = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        int ready = epoll_wait(ep, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                ev.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                setsockopt(ev.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev);
                continue;
            }
            ssize_t got = recv(fd, in, sizeof(in), 0);
            if (got <= 0) {
                close(fd);
                continue;
            }
            size_t replies = 0;
            for (const char *p = in; (p = memmem(p, (size_t)(in + got - p), "\r\n\r\n", 4)) != NULL;
                 p += 4) {
                replies += replies < REPLIES_A_READ;
            }
            if (replies > 0 && send(fd, out, replies * n, MSG_NOSIGNAL) < 0) {
                close(fd);
            }
        }
    }
}
