/* request.session: read from its signed cookie when it is asked for, and written into one before a reply.
 *
 *   base64(JSON) "." time "." signature        wire/signed, as Starlette's SessionMiddleware has it
 */
#include <time.h>

#include "base/alloc.h"
#include "py/http/http_int.h"
#include "wire/base64/base64.h"
#include "wire/signed/signed.h"
#include "wire/url/url.h"

enum {
    /* Browsers keep 4096 bytes of a cookie (RFC 6265 section 6.1); what a handler puts there beyond is its own
     * affair, up to what a head may have. */
    SESSION_CHARS_MAX = 256 * 1024,
    PLAIN_DEPTH_MAX = 100 /* deeper is Python's to write, or to refuse */
};

/* ---- what an App was told of its sessions ---- */

struct wf_sessions {
    struct wf_sessions *next; /* owned */
    struct wf_signer *signer; /* owned */
    struct wf_span name; /* borrowed from the description that the server keeps, as are the next */
    struct wf_span start, end; /* around what is signed */
    struct wf_span over;       /* of a session that is empty now */
    PyObject *type,
        *dumps;        /* weft.middleware.sessions.Session, and json.dumps for what is not plain */
    int64_t max_age_s; /* negative: any */
};

struct wf_sessions *wf_sessions_new(struct wf_http_server *s, PyObject *config) {
    PyObject *texts[5];
    struct wf_sessions c = {0};
    const char *why;
    long long max_age;
    if (!PyArg_ParseTuple(config, "SSLSSSOO", &texts[0], &texts[1], &max_age, &texts[2], &texts[3],
                          &texts[4], &c.type, &c.dumps)) {
        return NULL;
    }
    struct wf_span *spans[] = {NULL, &c.name, &c.start, &c.end, &c.over};
    for (size_t i = 1; i < WF_ARRAY_LEN(texts); i++) {
        *spans[i] = wf_span(PyBytes_AS_STRING(texts[i]), (size_t)PyBytes_GET_SIZE(texts[i]));
        if (!wf_field_value_ok(*spans[i])) {
            PyErr_Format(PyExc_ValueError, "%R cannot be part of a cookie", texts[i]);
            return NULL;
        }
    }
    c.max_age_s = max_age;
    c.signer = wf_signer_new(
        wf_span(PyBytes_AS_STRING(texts[0]), (size_t)PyBytes_GET_SIZE(texts[0])), &why);
    if (c.signer == NULL) {
        PyErr_SetString(PyExc_ValueError, why);
        return NULL;
    }
    struct wf_sessions *kept = wf_malloc(sizeof(*kept));
    if (kept == NULL) {
        wf_signer_free(c.signer);
        PyErr_NoMemory();
        return NULL;
    }
    c.next = s->sessions;
    *kept = c;
    s->sessions = kept;
    return kept;
}

void wf_sessions_free(struct wf_http_server *s) {
    while (s->sessions != NULL) {
        struct wf_sessions *c = s->sessions;
        s->sessions = c->next;
        wf_signer_free(c->signer);
        wf_free(c);
    }
}

/* Those of the innermost SessionMiddleware that the request has come to: within middleware in Python, else of its App
 * or the nearest one around it. */
static struct wf_sessions *sessions_of(const struct wf_request *r) {
    const struct wf_http_app *app = r->app;
    if (r->sessions != NULL) {
        return r->sessions;
    }
    while (app != NULL && app->sessions == NULL) {
        app = app->outer;
    }
    return app != NULL ? app->sessions : NULL;
}

/* ---- reading ---- */

/* The cookie, of equal names the last: false where there is none. */
static bool find_cookie(const struct wf_request *r, struct wf_span name, struct wf_span *out) {
    bool found = false;
    for (unsigned i = 0; i < r->head.nfields; i++) {
        const struct wf_field *f = &r->head.fields[i];
        if (f->id != WF_FIELD_COOKIE) {
            continue;
        }
        struct wf_query pairs;
        struct wf_span key, value;
        wf_query_init(&pairs, wf_field_value_span(r->base, f));
        while (wf_cookie_next(&pairs, &key, &value)) {
            if (wf_span_eq(key, name)) {
                *out = value;
                found = true;
            }
        }
    }
    return found;
}

/* The JSON that was signed: owned; NULL without an exception for what is none. `room` has room for it. */
static PyObject *read_text(struct wf_state *state, struct wf_span text, char *room) {
    ssize_t n = wf_base64_decode(room, text, WF_BASE64_CANONICAL);
    if (n < 0) {
        return NULL; /* whoever has the key signed something else with it */
    }
    PyObject *value =
        wf_json_decode(state, wf_span(room, (size_t)n), WF_JSON_SURROGATES | WF_JSON_NONFINITE);
    if (value == NULL && PyErr_ExceptionMatches(state->json.decode_error)) {
        PyErr_Clear();
    }
    return value;
}

/* What the cookie holds: a dict, owned; NULL for none, or with an exception. */
static PyObject *read_cookie(struct wf_request *r, const struct wf_sessions *c) {
    struct wf_span cookie, text;
    if (!find_cookie(r, c->name, &cookie) || cookie.n > WF_SIGNED_CHARS_MAX) {
        return NULL;
    }
    char *room = wf_malloc(cookie.n + 1);
    if (room == NULL) {
        return PyErr_NoMemory();
    }
    if (cookie.n != 0 && cookie.p[0] == '"') {
        size_t n = wf_cookie_unquote(room, cookie);
        cookie = wf_span(room, n);
    }
    PyObject *value = NULL;
    int known = wf_signer_verify(c->signer, cookie, (int64_t)time(NULL), c->max_age_s, &text);
    if (known < 0) {
        PyErr_NoMemory();
    } else if (known > 0) {
        value = read_text(r->server->state, text, room);
    }
    wf_free(room);
    if (value != NULL && !PyDict_Check(value)) {
        Py_CLEAR(value);
    }
    return value;
}

PyObject *wf_session_open(struct wf_request *r) {
    if (r->session != NULL) {
        return Py_NewRef(r->session);
    }
    const struct wf_sessions *c = sessions_of(r);
    if (c == NULL) {
        PyErr_SetString(PyExc_AssertionError,
                        "SessionMiddleware must be installed to access request.session");
        return NULL;
    }
    PyObject *value = read_cookie(r, c), *session = NULL;
    bool was_there = value != NULL;
    if (was_there) {
        session = PyObject_CallOneArg(c->type, value);
        Py_DECREF(value);
    } else if (!PyErr_Occurred()) {
        session = PyObject_CallNoArgs(c->type);
    }
    if (session != NULL &&
        r->session == NULL) { /* else another thread was faster: there is one only */
        r->session = Py_NewRef(session);
        r->session_was_there = was_there;
    }
    Py_XDECREF(session);
    return session != NULL ? Py_NewRef(r->session) : NULL;
}

/* ---- writing ---- */

/* Is it what JSON has, so that both encoders write the same? `weft.json` would take more, which the session that is
 * read again would not be. */
static bool is_plain(PyObject *o, unsigned depth) {
    if (o == Py_None || PyBool_Check(o) || PyUnicode_CheckExact(o) || PyLong_CheckExact(o)) {
        return true;
    }
    if (PyFloat_CheckExact(o)) {
        double d = PyFloat_AS_DOUBLE(o);
        return d - d == 0; /* finite */
    }
    if (depth == PLAIN_DEPTH_MAX) {
        return false;
    }
    if (PyList_CheckExact(o)) {
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(o); i++) {
            if (!is_plain(PyList_GET_ITEM(o, i), depth + 1)) {
                return false;
            }
        }
        return true;
    }
    if (!PyDict_CheckExact(o)) {
        return false;
    }
    PyObject *key, *value; /* borrowed; nothing here calls Python */
    Py_ssize_t at = 0;
    while (PyDict_Next(o, &at, &key, &value)) {
        if (!PyUnicode_CheckExact(key) || !is_plain(value, depth + 1)) {
            return false;
        }
    }
    return true;
}

/* json.dumps(session), which also says what it cannot write. */
static int dump_by_python(const struct wf_sessions *c, PyObject *session, struct wf_buf *out) {
    PyObject *text = PyObject_CallOneArg(c->dumps, session);
    Py_ssize_t n = 0;
    const char *p = text != NULL ? PyUnicode_AsUTF8AndSize(text, &n) : NULL;
    int rc = p != NULL ? 0 : -1;
    if (p != NULL && wf_buf_append(out, p, (size_t)n) != WF_BUF_OK) {
        PyErr_SetString(PyExc_ValueError, "the session is too large for a cookie");
        rc = -1;
    }
    Py_XDECREF(text);
    return rc;
}

static int dump(struct wf_state *state, const struct wf_sessions *c, PyObject *session,
                struct wf_buf *out) {
    PyObject *plain = PyDict_Check(session) ? PyDict_Copy(session) : NULL; /* a dict itself */
    int rc = -1;
    if (plain != NULL && is_plain(plain, 0)) {
        rc = wf_json_encode(state, plain, NULL, out);
        if (rc < 0 && PyErr_ExceptionMatches(state->json.encode_error)) {
            PyErr_Clear();
            rc = dump_by_python(c, session, out);
        }
    } else if (!PyErr_Occurred()) {
        rc = dump_by_python(c, session, out);
    }
    Py_XDECREF(plain);
    return rc;
}

/* Appends the cookie of a session that is not empty. 0, or -1 with an exception. */
static int write_cookie(struct wf_state *state, const struct wf_sessions *c, PyObject *session,
                        struct wf_buf *out) {
    struct wf_buf json, text;
    wf_buf_init(&json, SESSION_CHARS_MAX);
    wf_buf_init(&text, SESSION_CHARS_MAX);
    int rc = dump(state, c, session, &json);
    if (rc == 0) {
        if (wf_buf_reserve(&text, WF_BASE64_CHARS(json.len)) == WF_BUF_OK) {
            text.len = wf_base64_encode(text.p, wf_buf_span(&json));
        }
        if (text.len == 0 || wf_buf_append_span(out, c->start) != WF_BUF_OK ||
            wf_signer_sign(c->signer, wf_buf_span(&text), (int64_t)time(NULL), out) < 0 ||
            wf_buf_append_span(out, c->end) != WF_BUF_OK) {
            PyErr_SetString(PyExc_ValueError, "the session is too large for a cookie");
            rc = -1;
        }
    }
    wf_buf_free(&text);
    wf_buf_free(&json);
    return rc;
}

/* What Set-Cookie is to say, nothing where the session is as it was. 0, or -1 with an exception. */
static int cookie_of(struct wf_request *r, PyObject *session, struct wf_buf *out) {
    const struct wf_sessions *c = sessions_of(r); /* there is one: it was opened */
    PyObject *modified = PyObject_GetAttr(session, r->server->state->http.str.modified);
    int changed = modified != NULL ? PyObject_IsTrue(modified) : -1;
    Py_XDECREF(modified);
    Py_ssize_t n = changed > 0 ? PyObject_Size(session) : 0;
    if (changed <= 0 || n < 0) {
        return changed < 0 || n < 0 ? -1 : 0;
    }
    if (n > 0) {
        return write_cookie(r->server->state, c, session, out);
    }
    if (r->session_was_there && wf_buf_append_span(out, c->over) != WF_BUF_OK) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void wf_session_enter(struct wf_request *r, struct wf_sessions *sessions,
                      struct wf_outer_session *outer) {
    *outer = (struct wf_outer_session){r->session, r->sessions, r->session_was_there};
    r->session = NULL;
    r->sessions = sessions;
    r->session_was_there = false;
}

void wf_session_leave(struct wf_request *r, struct wf_outer_session *outer) {
    if (outer->session == NULL) {
        r->session_over = true;
        return;
    }
    PyObject *inner = r->session;
    r->session = outer->session;
    r->sessions = outer->sessions;
    r->session_was_there = outer->was_there;
    outer->session = NULL;
    Py_XDECREF(inner);
}

int wf_session_save_slow(struct wf_call *call) {
    struct wf_request *r = wf_request_origin(call->plan.request);
    struct wf_exchange *ex = call->plan.ex;
    struct wf_buf out;
    if (r->session_over) {
        return 0;
    }
    wf_buf_init(&out, SESSION_CHARS_MAX);
    PyObject *session = Py_NewRef(r->session); /* its methods may be anyone's */
    ex->vary_cookie = false;
    ex->set_cookie = wf_span("", 0);
    int rc = cookie_of(r, session, &out);
    Py_DECREF(session);
    if (rc < 0) {
        Py_CLEAR(r->session); /* the reply to this error is not to fail for the same reason */
    } else {
        ex->vary_cookie = true;
        if (out.len != 0) {
            ex->set_cookie = wf_arena_copy(&ex->arena, wf_buf_span(&out));
        }
        if (ex->set_cookie.p == NULL) {
            ex->set_cookie = wf_span("", 0);
            PyErr_NoMemory();
            rc = -1;
        }
    }
    wf_buf_free(&out);
    return rc;
}
