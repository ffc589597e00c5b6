/* Output that the kernel has not taken yet: bytes objects in order, the first perhaps half sent. */
#ifndef WF_PY_CHUNKS_H
#define WF_PY_CHUNKS_H

#include <stdbool.h>

#include "py/own.h"

/* Zeroed is empty. */
struct wf_chunks {
    PyObject **slots; /* owned array of owned bytes objects: slots[first .. first + n) are in use */
    size_t first, n, cap;
    size_t sent; /* of slots[first] */
    size_t size; /* bytes left in all */
};

/* Takes its own reference to a bytes object and leaves out the first `skip`, fewer than there are,
 * of its bytes. Anything but bytes itself has to be copied before: who made it may change it.
 * Returns 0, or -1 with MemoryError. */
int wf_chunks_push(struct wf_chunks *q, PyObject *bytes, size_t skip) WF_MUST_USE;

/* Sends what it can in few calls, to a socket or else a pipe. Returns 0: what is left (q->size) has to wait for the descriptor;
 * or -errno. Runs no Python. */
int wf_chunks_send(struct wf_chunks *q, int fd, bool is_socket);

void wf_chunks_clear(struct wf_chunks *q); /* gives everything back; empty again */

#endif
