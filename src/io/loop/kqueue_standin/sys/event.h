/* The part of kqueue(2) that ../kqueue.c uses, declared as FreeBSD's manual has it. Tests on Linux
 * only; see standin.c. */
#ifndef WF_KQUEUE_STANDIN_H
#define WF_KQUEUE_STANDIN_H

#include <stdint.h>
#include <time.h>

enum { EVFILT_READ = -1, EVFILT_WRITE = -2 };
enum { EV_ADD = 0x0001, EV_DELETE = 0x0002, EV_ERROR = 0x4000, EV_EOF = 0x8000 };

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned int fflags;
    intptr_t data;
    void *udata;
};

#define EV_SET(ev, ident_, filter_, flags_, fflags_, data_, udata_)                                \
    (*(ev) = (struct kevent){(uintptr_t)(ident_), (short)(filter_), (unsigned short)(flags_),      \
                             (unsigned)(fflags_), (intptr_t)(data_), (udata_)})

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout);

#endif
