#include "io/loop/loop_int.h"

const struct wf_poller *const wf_pollers[] = {
#ifdef __linux__
    &wf_poller_epoll,
#else
    &wf_poller_kqueue,
#endif
    &wf_poller_poll,
    NULL,
};

const char *wf_poller_name(const struct wf_poller *p) {
    return p->name;
}
