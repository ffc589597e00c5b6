/* What tls.c (data) and tls_steps.c (beginning and end) share: the state of asyncio's SSLProtocol. */
#ifndef WF_PY_TLS_INT_H
#define WF_PY_TLS_INT_H

#include "py/transport/transport_int.h"

struct wf_tls {
    PyObject_HEAD
    struct wf_state *state; /* the module's */
    PyObject *module;       /* owned until dealloc */

    /* SSLProtocol's attributes of these names with an underscore in front; objects owned, NULL for
     * None */
    PyObject *at;        /* _state: a member of SSLProtocolState */
    PyObject *app_state; /* a member of AppProtocolState */
    PyObject *incoming, *outgoing, *sslobj, *write_backlog, *transport, *app_protocol;
    PyObject *loop, *waiter, *app_transport, *extra;
    PyObject *handshake_timeout_handle, *shutdown_timeout_handle, *handshake_start_time;
    Py_ssize_t write_buffer_size;
    Py_ssize_t outgoing_high_water, outgoing_low_water;
    Py_ssize_t incoming_high_water, incoming_low_water;
    Py_ssize_t conn_lost; /* writes after the end, to warn of many */
    char app_reading_paused, app_writing_paused, ssl_reading_paused, ssl_writing_paused;
    char app_protocol_is_buffer, eof_received;

    PyObject *raw; /* owned: what `sslobj` wraps, asked without Python code between; or NULL */
};

/* Each returns 0, or -1 with an exception. */

/* ---- tls.c ---- */

int wf_tls_call(struct wf_tls *p, PyObject *method, PyObject *arg); /* arg borrowed, or NULL */
/* Is the raised exception OpenSSL's "not now"? Then it is taken. */
bool wf_tls_again(struct wf_tls *p);
int wf_tls_read(struct wf_tls *p); /* decrypts and delivers, if the state allows it */
int wf_tls_send(struct wf_tls *p); /* hands ciphertext to the transport below */

/* ---- tls_steps.c ---- */

extern PyMethodDef wf_tls_step_methods[];
int wf_tls_do_handshake(struct wf_tls *p);
int wf_tls_do_flush(struct wf_tls *p);
int wf_tls_do_shutdown(struct wf_tls *p);
int wf_tls_start_shutdown(struct wf_tls *p);
int wf_tls_tell_eof(struct wf_tls *p); /* the application's eof_received(), once */

#endif
