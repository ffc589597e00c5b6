/* request.session: made by weft.middleware.SessionMiddleware when it is asked for, and given back to it before a
 * reply. */
#include "py/http/http_int.h"

PyObject *wf_session_open(struct wf_request *r) {
    struct wf_http_server *s = r->server;
    if (r->session != NULL) {
        return Py_NewRef(r->session);
    }
    if (s->session_open == NULL) {
        PyErr_SetString(PyExc_AssertionError,
                        "SessionMiddleware must be installed to access request.session");
        return NULL;
    }
    PyObject *cookies = PyObject_GetAttrString((PyObject *)r, "cookies");
    PyObject *pair = cookies != NULL ? PyObject_CallOneArg(s->session_open, cookies) : NULL;
    PyObject *session;
    int was_there;
    Py_XDECREF(cookies);
    if (pair == NULL || !PyArg_ParseTuple(pair, "Op", &session, &was_there)) {
        Py_XDECREF(pair);
        return NULL;
    }
    if (r->session == NULL) { /* else another thread was faster: there is one only */
        r->session = Py_NewRef(session);
        r->session_was_there = was_there;
    }
    Py_DECREF(pair);
    return Py_NewRef(r->session);
}

/* The text of Set-Cookie, owned; None for none. */
static PyObject *text_of(struct wf_request *r) {
    PyObject *session = Py_NewRef(r->session); /* its methods may be anyone's */
    PyObject *args[] = {session, r->session_was_there ? Py_True : Py_False};
    PyObject *text = PyObject_Vectorcall(r->server->session_save, args, 2, NULL);
    Py_DECREF(session);
    if (text != NULL && text != Py_None && !PyBytes_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "a cookie's text is bytes");
        Py_CLEAR(text);
    }
    return text;
}

int wf_session_save_slow(struct wf_call *call) {
    struct wf_request *r = (struct wf_request *)call->plan.request;
    struct wf_exchange *ex = call->plan.ex;
    PyObject *text = text_of(r);
    if (text == NULL) {
        Py_CLEAR(r->session); /* the reply to this error is not to fail for the same reason */
        ex->vary_cookie = false;
        ex->set_cookie = wf_span("", 0);
        return -1;
    }
    ex->vary_cookie = true;
    ex->set_cookie = wf_span("", 0);
    if (text != Py_None) {
        ex->set_cookie = wf_arena_copy(
            &ex->arena, wf_span(PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text)));
    }
    Py_DECREF(text);
    if (ex->set_cookie.p == NULL) {
        ex->set_cookie = wf_span("", 0);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}
