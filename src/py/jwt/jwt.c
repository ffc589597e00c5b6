/* From a token to its claims, in the order that is safe: what its header asks for has to be what the
 * verifier was made for, then the signature, and only then does anybody look at the claims. */
#include "py/jwt/jwt.h"

#include <time.h>

#include "base/alloc.h"
#include "py/json/json.h"
#include "py/state.h"
#include "wire/base64/base64.h"
#include "wire/jwt/jwt.h"

enum {
    TOKEN_CHARS_MAX =
        8192, /* what servers take of a field line; the rest of a head has to fit, too */
    HEADER_CHARS_MAX = 512, /* of a header that is remembered */
    KEYS_MAX = 64           /* of one issuer, at the same time */
};

struct key {
    PyObject *id; /* owned: str, or NULL: for tokens that name none */
    struct wf_jwt_key *key;
};

/* What a header was found to say. Issuers write the same one into all tokens of a key. */
struct header {
    char text[HEADER_CHARS_MAX]; /* base64url */
    size_t n;                    /* 0: none yet */
    enum wf_jwt_algorithm algorithm;
    struct wf_jwt_key *key; /* borrowed from the verifier */
};

struct verifier {
    PyObject_HEAD
    struct wf_state *state; /* borrowed: the type keeps the module */
    PyObject *error;        /* owned: called with a sentence, makes the exception */
    PyObject *audience;     /* owned: frozenset of str, or None: tokens must have none */
    PyObject *issuers;      /* owned: frozenset of str, or None: any will do */
    PyObject *required;     /* owned: tuple of str, the claims that must be there */
    double leeway_s;
    unsigned algorithms; /* bits, by enum wf_jwt_algorithm */
    struct header last;
    unsigned nkeys;
    struct key keys[KEYS_MAX];
};

/* ---- refusals ---- */

static void *refuse_with(struct verifier *v, PyObject *message) {
    PyObject *exc = message != NULL ? PyObject_CallOneArg(v->error, message) : NULL;
    Py_XDECREF(message);
    if (exc != NULL && !PyExceptionInstance_Check(exc)) {
        PyErr_Format(PyExc_TypeError, "%R is no exception", exc);
        Py_CLEAR(exc);
    }
    if (exc != NULL) {
        wf_err_put(exc);
    }
    return NULL;
}

static void *refuse(struct verifier *v, const char *message) {
    return refuse_with(v, PyUnicode_FromString(message));
}

static const char malformed[] = "the token is malformed";

/* ---- the header ---- */

/* base64url of a JSON object to that object, new reference; NULL with an exception. */
static PyObject *object_of(struct verifier *v, struct wf_span text) {
    char json[WF_BASE64URL_BYTES(TOKEN_CHARS_MAX)];
    ssize_t n = wf_base64url_decode(json, text);
    if (n < 0) {
        return refuse(v, malformed);
    }
    PyObject *object = wf_json_decode(v->state, wf_span(json, (size_t)n), 0);
    if (object == NULL && PyErr_ExceptionMatches(v->state->json.decode_error)) {
        PyErr_Clear();
        return refuse(v, malformed);
    }
    if (object != NULL && !PyDict_CheckExact(object)) {
        Py_DECREF(object);
        return refuse(v, malformed);
    }
    return object;
}

static int algorithm_of(struct verifier *v, PyObject *header, enum wf_jwt_algorithm *out) {
    PyObject *name = PyDict_GetItemWithError(header, v->state->jwt.alg); /* borrowed */
    const char *p = NULL;
    Py_ssize_t n = 0;
    if (name != NULL && PyUnicode_Check(name) && (p = PyUnicode_AsUTF8AndSize(name, &n)) == NULL) {
        return -1;
    }
    *out = p != NULL ? wf_jwt_algorithm_of(wf_span(p, (size_t)n)) : WF_JWT_NO_ALGORITHM;
    if (*out == WF_JWT_NO_ALGORITHM || (v->algorithms & 1u << *out) == 0) {
        if (!PyErr_Occurred()) {
            refuse(v, "the token's algorithm is not accepted");
        }
        return -1;
    }
    return 0;
}

/* The key that a header names: borrowed, or NULL with an exception. */
static struct wf_jwt_key *key_of(struct verifier *v, PyObject *header) {
    PyObject *id = PyDict_GetItemWithError(header, v->state->jwt.kid); /* borrowed */
    if (id == NULL && PyErr_Occurred()) {
        return NULL;
    }
    if (id != NULL && !PyUnicode_Check(id)) {
        return refuse(v, malformed);
    }
    for (unsigned i = 0; i < v->nkeys; i++) {
        struct key *key = &v->keys[i];
        if (key->id == NULL || (id != NULL && PyUnicode_Compare(key->id, id) == 0)) {
            return key->key;
        }
    }
    return refuse(v, "the token's key is not known");
}

/* Makes v->last what this header says. 0, or -1 with an exception. */
static WF_NOINLINE int read_header(struct verifier *v, struct wf_span text) {
    enum wf_jwt_algorithm algorithm = WF_JWT_NO_ALGORITHM;
    struct wf_jwt_key *key = NULL;
    PyObject *header = object_of(v, text);
    if (header == NULL) {
        return -1;
    }
    int critical = PyDict_Contains(header, v->state->jwt.crit);
    if (critical > 0) { /* RFC 7515 section 4.1.11: extensions that must be understood; none is */
        refuse(v, "the token has critical extensions");
    } else if (critical == 0 && algorithm_of(v, header, &algorithm) == 0) {
        key = key_of(v, header);
    }
    Py_DECREF(header);
    if (key == NULL) {
        return -1;
    }
    if (wf_jwt_key_refuses(key, algorithm) != NULL) {
        refuse(v, "the token's algorithm is not accepted");
        return -1;
    }
    v->last.n = 0;
    v->last.algorithm = algorithm;
    v->last.key = key;
    if (text.n <= HEADER_CHARS_MAX) {
        memcpy(v->last.text, text.p, text.n);
        v->last.n = text.n;
    }
    return 0;
}

static int verify_signature(struct verifier *v, const struct wf_jwt *token) {
    char signature[WF_BASE64URL_BYTES(TOKEN_CHARS_MAX)];
    ssize_t n = wf_base64url_decode(signature, token->signature);
    if (n < 0) {
        refuse(v, malformed);
        return -1;
    }
    switch (wf_jwt_verify(v->last.key, v->last.algorithm, token->signed_text,
                          wf_span(signature, (size_t)n))) {
    case 1:
        return 0;
    case 0:
        refuse(v, "the token's signature is wrong");
        return -1;
    default:
        PyErr_NoMemory();
        return -1;
    }
}

/* ---- the claims ---- */

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A NumericDate: 1 it is there, 0 it is not, -1 with an exception. */
static int time_claim(struct verifier *v, PyObject *claims, PyObject *name, double *out) {
    PyObject *value = PyDict_GetItemWithError(claims, name); /* borrowed */
    if (value == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (PyFloat_CheckExact(value)) {
        *out = PyFloat_AS_DOUBLE(value);
        return 1;
    }
    if (PyLong_CheckExact(value)) {
        *out = PyLong_AsDouble(value);
        if (*out != -1.0 || !PyErr_Occurred()) {
            return 1;
        }
        PyErr_Clear(); /* larger than a double */
    }
    refuse_with(v, PyUnicode_FromFormat("the token's %U is no time", name));
    return -1;
}

static int check_times(struct verifier *v, PyObject *claims) {
    struct wf_jwt_state *s = &v->state->jwt;
    double now = now_s(), at = 0;
    int rc = time_claim(v, claims, s->exp, &at);
    if (rc > 0 && at <= now - v->leeway_s) {
        refuse(v, "the token has expired");
        return -1;
    }
    if (rc >= 0 && (rc = time_claim(v, claims, s->nbf, &at)) > 0 && at > now + v->leeway_s) {
        refuse(v, "the token is not valid yet");
        return -1;
    }
    if (rc >= 0 && (rc = time_claim(v, claims, s->iat, &at)) > 0 && at > now + v->leeway_s) {
        refuse(v, "the token was issued in the future");
        return -1;
    }
    return rc < 0 ? -1 : 0;
}

/* Is it a str, where it is there? 0, or -1 with an exception. */
static int check_text(struct verifier *v, PyObject *claims, PyObject *name) {
    PyObject *value = PyDict_GetItemWithError(claims, name); /* borrowed */
    if (value != NULL && !PyUnicode_Check(value)) {
        refuse_with(v, PyUnicode_FromFormat("the token's %U is no text", name));
        return -1;
    }
    return value == NULL && PyErr_Occurred() ? -1 : 0;
}

/* Is the audience, one or a list of them, one of ours? 1, 0, or -1 with an exception. */
static int for_us(struct verifier *v, PyObject *aud) {
    if (PyUnicode_Check(aud)) {
        return PySet_Contains(v->audience, aud);
    }
    int found = 0;
    for (Py_ssize_t i = 0; PyList_Check(aud) && i < PyList_GET_SIZE(aud); i++) {
        PyObject *one = PyList_GET_ITEM(aud, i); /* borrowed */
        int rc = PyUnicode_Check(one) ? PySet_Contains(v->audience, one) : 0;
        if (rc < 0 || !PyUnicode_Check(one)) {
            return rc;
        }
        found |= rc;
    }
    return found;
}

static int check_audience(struct verifier *v, PyObject *claims) {
    PyObject *aud = PyDict_GetItemWithError(claims, v->state->jwt.aud); /* borrowed */
    int truth = aud != NULL ? PyObject_IsTrue(aud) : 0;
    if (truth < 0 || PyErr_Occurred()) {
        return -1;
    }
    if (truth == 0 && v->audience != Py_None) {
        refuse(v, "the token has no audience");
        return -1;
    }
    int ours = truth == 0 ? 1 : v->audience == Py_None ? 0 : for_us(v, aud);
    if (ours == 0) { /* a token for somebody else is none for those who do not say who they are */
        refuse(v, "the token is for another audience");
    }
    return ours > 0 ? 0 : -1;
}

static int check_issuer(struct verifier *v, PyObject *claims) {
    if (v->issuers == Py_None) {
        return 0;
    }
    PyObject *iss = PyDict_GetItemWithError(claims, v->state->jwt.iss); /* borrowed */
    int ours = iss != NULL && PyUnicode_Check(iss) ? PySet_Contains(v->issuers, iss) : 0;
    if (ours == 0 && !PyErr_Occurred()) {
        refuse(v, "the token is of another issuer");
    }
    return ours > 0 ? 0 : -1;
}

static int check_required(struct verifier *v, PyObject *claims) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(v->required); i++) {
        PyObject *name = PyTuple_GET_ITEM(v->required, i); /* borrowed */
        PyObject *value = PyDict_GetItemWithError(claims, name);
        if (value == NULL || value == Py_None) {
            if (!PyErr_Occurred()) {
                refuse_with(v, PyUnicode_FromFormat("the token has no %U", name));
            }
            return -1;
        }
    }
    return 0;
}

static int check_claims(struct verifier *v, PyObject *claims) {
    struct wf_jwt_state *s = &v->state->jwt;
    return check_required(v, claims) < 0 || check_times(v, claims) < 0 ||
                   check_text(v, claims, s->sub) < 0 || check_text(v, claims, s->jti) < 0 ||
                   check_issuer(v, claims) < 0 || check_audience(v, claims) < 0
               ? -1
               : 0;
}

/* The claims of a good token: new reference to a dict, or NULL with an exception. */
static PyObject *verify(struct verifier *v, struct wf_span text) {
    struct wf_jwt token;
    if (text.n > TOKEN_CHARS_MAX) {
        return refuse(v, "the token is too long");
    }
    if (!wf_jwt_split(text, &token)) {
        return refuse(v, malformed);
    }
    if (!(v->last.n != 0 && wf_span_eq(token.header, wf_span(v->last.text, v->last.n))) &&
        read_header(v, token.header) < 0) {
        return NULL;
    }
    PyObject *claims = verify_signature(v, &token) == 0 ? object_of(v, token.claims) : NULL;
    if (claims != NULL && check_claims(v, claims) < 0) {
        Py_CLEAR(claims);
    }
    return claims;
}

/* ---- the type ---- */

PyDoc_STRVAR(verify_doc,
             "verify($self, token, /)\n--\n\n"
             "The claims of a token, str or bytes. Raises the error the verifier was made "
             "with where the token is not good.");

static PyObject *verifier_verify(PyObject *self, PyObject *token) {
    Py_ssize_t n;
    const char *p;
    if (PyBytes_Check(token)) {
        p = PyBytes_AS_STRING(token);
        n = PyBytes_GET_SIZE(token);
    } else if (PyUnicode_Check(token)) {
        if ((p = PyUnicode_AsUTF8AndSize(token, &n)) == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
                return NULL;
            }
            PyErr_Clear(); /* a surrogate */
            return refuse((struct verifier *)self, malformed);
        }
    } else {
        return PyErr_Format(PyExc_TypeError, "a token is str or bytes, not %.100s",
                            Py_TYPE(token)->tp_name);
    }
    return verify((struct verifier *)self, wf_span(p, (size_t)n));
}

PyDoc_STRVAR(bearer_doc,
             "bearer($self, authorization, /)\n--\n\n"
             "The claims of the token in an authorization field; None where that is None or has "
             "none of the scheme Bearer (RFC 6750).");

static PyObject *verifier_bearer(PyObject *self, PyObject *authorization) {
    Py_ssize_t n;
    const char *p;
    if (!PyUnicode_Check(authorization)) {
        Py_RETURN_NONE;
    }
    if ((p = PyUnicode_AsUTF8AndSize(authorization, &n)) == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            return NULL;
        }
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    if (n < 7 || p[6] != ' ' || !wf_span_eq_lower(wf_span(p, 6), WF_SPAN("bearer"))) {
        Py_RETURN_NONE;
    }
    for (p += 7, n -= 7; n != 0 && *p == ' '; p++, n--) {
    }
    for (; n != 0 && p[n - 1] == ' '; n--) {
    }
    if (n == 0) {
        Py_RETURN_NONE;
    }
    return verify((struct verifier *)self, wf_span(p, (size_t)n));
}

static int take_algorithms(struct verifier *v, PyObject *names) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        Py_ssize_t n;
        const char *p = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(names, i), &n);
        if (p == NULL) {
            return -1;
        }
        enum wf_jwt_algorithm algorithm = wf_jwt_algorithm_of(wf_span(p, (size_t)n));
        if (algorithm == WF_JWT_NO_ALGORITHM) {
            PyErr_Format(PyExc_ValueError, "there is no algorithm %R", PyTuple_GET_ITEM(names, i));
            return -1;
        }
        v->algorithms |= 1u << algorithm;
    }
    if (v->algorithms == 0) {
        PyErr_SetString(PyExc_ValueError, "tokens need at least one algorithm");
        return -1;
    }
    return 0;
}

/* Each key has to be of at least one of the algorithms, each algorithm for at least one key. */
static int check_keys(struct verifier *v) {
    unsigned used = 0;
    const char *why = NULL;
    for (unsigned i = 0; i < v->nkeys; i++) {
        unsigned of_key = 0;
        for (int a = 0; a < WF_JWT_NO_ALGORITHM; a++) {
            const char *refusal = wf_jwt_key_refuses(v->keys[i].key, (enum wf_jwt_algorithm)a);
            if (refusal == NULL) {
                of_key |= 1u << a;
            } else if (v->algorithms & 1u << a) {
                why = refusal;
            }
        }
        if ((of_key & v->algorithms) == 0) {
            PyErr_Format(PyExc_ValueError, "a key fits none of the algorithms: %s", why);
            return -1;
        }
        used |= of_key;
    }
    if ((v->algorithms & ~used) != 0) {
        PyErr_Format(PyExc_ValueError, "no key fits one of the algorithms: %s", why);
        return -1;
    }
    return 0;
}

/* keys  list of (id or None, bytes): with HS* secrets, else PEM */
static int take_keys(struct verifier *v, PyObject *keys) {
    unsigned secrets = 1u << WF_JWT_HS256 | 1u << WF_JWT_HS384 | 1u << WF_JWT_HS512;
    if (PyList_GET_SIZE(keys) == 0 || PyList_GET_SIZE(keys) > KEYS_MAX) {
        PyErr_Format(PyExc_ValueError, "tokens need 1 to %d keys", KEYS_MAX);
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(keys); i++) {
        PyObject *id;
        const char *p, *why = NULL;
        Py_ssize_t n;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(keys, i), "Oy#", &id, &p, &n)) {
            return -1;
        }
        if (id != Py_None && !PyUnicode_Check(id)) {
            PyErr_SetString(PyExc_TypeError, "the id of a key is a str");
            return -1;
        }
        struct wf_span bytes = wf_span(p, (size_t)n);
        struct wf_jwt_key *key = (v->algorithms & secrets) != 0 ? wf_jwt_key_of_secret(bytes, &why)
                                                                : wf_jwt_key_of_pem(bytes, &why);
        if (key == NULL) {
            PyErr_Format(PyExc_ValueError, "the key cannot be used: %s", why);
            return -1;
        }
        v->keys[v->nkeys++] = (struct key){.id = id != Py_None ? Py_NewRef(id) : NULL, .key = key};
    }
    return check_keys(v);
}

/* A frozenset of an iterable of str, or None: new reference. */
static PyObject *names_of(PyObject *o) {
    return o == Py_None ? Py_NewRef(Py_None) : PyFrozenSet_New(o);
}

static PyObject *verifier_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static const char *const names[] = {"keys",     "algorithms", "audience", "issuers",
                                        "required", "leeway",     "error",    NULL};
    PyObject *keys, *algorithms, *audience, *issuers, *required, *error;
    double leeway_s;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!OOO!dO", (char **)names, &PyList_Type,
                                     &keys, &PyTuple_Type, &algorithms, &audience, &issuers,
                                     &PyTuple_Type, &required, &leeway_s, &error)) {
        return NULL;
    }
    struct verifier *v = (struct verifier *)type->tp_alloc(type, 0); /* zeroed */
    if (v == NULL) {
        return NULL;
    }
    v->state = wf_state_of_type(type);
    v->error = Py_NewRef(error);
    v->required = Py_NewRef(required);
    v->leeway_s = leeway_s;
    v->audience = names_of(audience);
    v->issuers = v->audience != NULL ? names_of(issuers) : NULL;
    if (v->issuers == NULL || take_algorithms(v, algorithms) < 0 || take_keys(v, keys) < 0) {
        Py_CLEAR(v);
    }
    return (PyObject *)v;
}

static int verifier_traverse(PyObject *self, visitproc visit, void *arg) {
    struct verifier *v = (struct verifier *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(v->error);
    Py_VISIT(v->audience);
    Py_VISIT(v->issuers);
    Py_VISIT(v->required);
    return 0;
}

static int verifier_clear(PyObject *self) {
    Py_CLEAR(((struct verifier *)self)->error); /* the only one that can be in a cycle */
    return 0;
}

static void verifier_dealloc(PyObject *self) {
    struct verifier *v = (struct verifier *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    verifier_clear(self);
    Py_CLEAR(v->audience);
    Py_CLEAR(v->issuers);
    Py_CLEAR(v->required);
    for (unsigned i = 0; i < v->nkeys; i++) {
        Py_CLEAR(v->keys[i].id);
        wf_jwt_key_free(v->keys[i].key);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef verifier_methods[] = {
    {"verify", verifier_verify, METH_O, verify_doc},
    {"bearer", verifier_bearer, METH_O, bearer_doc},
    {NULL},
};

PyDoc_STRVAR(verifier_doc, "What weft.security.JWTBearer verifies tokens with.");

static PyType_Slot verifier_slots[] = {
    {Py_tp_doc, (void *)verifier_doc},
    {Py_tp_new, verifier_new},
    {Py_tp_traverse, verifier_traverse},
    {Py_tp_clear, verifier_clear},
    {Py_tp_dealloc, verifier_dealloc},
    {Py_tp_methods, verifier_methods},
    {0, NULL},
};

static PyType_Spec verifier_spec = {
    .name = "weft._core.TokenVerifier",
    .basicsize = sizeof(struct verifier),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = verifier_slots,
};

/* ---- the room ---- */

int wf_jwt_exec(PyObject *module, struct wf_state *state) {
    struct wf_jwt_state *s = &state->jwt;
    const struct {
        PyObject **at;
        const char *text;
    } names[] = {{&s->alg, "alg"}, {&s->kid, "kid"}, {&s->crit, "crit"}, {&s->exp, "exp"},
                 {&s->nbf, "nbf"}, {&s->iat, "iat"}, {&s->aud, "aud"},   {&s->iss, "iss"},
                 {&s->sub, "sub"}, {&s->jti, "jti"}};
    for (size_t i = 0; i < WF_ARRAY_LEN(names); i++) {
        *names[i].at = PyUnicode_InternFromString(names[i].text);
        if (*names[i].at == NULL) {
            return -1;
        }
    }
    s->verifier_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &verifier_spec, NULL);
    return s->verifier_type != NULL ? PyModule_AddType(module, s->verifier_type) : -1;
}

int wf_jwt_traverse(struct wf_jwt_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->verifier_type);
    return 0;
}

void wf_jwt_clear(struct wf_jwt_state *s) {
    Py_CLEAR(s->verifier_type);
    Py_CLEAR(s->alg);
    Py_CLEAR(s->kid);
    Py_CLEAR(s->crit);
    Py_CLEAR(s->exp);
    Py_CLEAR(s->nbf);
    Py_CLEAR(s->iat);
    Py_CLEAR(s->aud);
    Py_CLEAR(s->iss);
    Py_CLEAR(s->sub);
    Py_CLEAR(s->jti);
}
