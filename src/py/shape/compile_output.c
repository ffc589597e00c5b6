/* What a shape has ready for output: names, choices and tags as they stand in JSON. */
#include "py/shape/shape_int.h"

#include "base/num.h"
#include "wire/json/json.h"

enum { READABLE = 16, TEXT_MAX = 1 << 20 };

/* Text as JSON, with what goes behind it, in memory that lives as long as the shape. 16 bytes can be
 * read of it, however short it is. */
static int keep_text(struct wf_shape *shape, struct wf_span before, struct wf_span text,
                     const char *after, struct wf_span *out) {
    struct wf_buf b;
    wf_buf_init(&b, TEXT_MAX);
    int rc = before.p != NULL ? wf_buf_append_span(&b, before) : WF_BUF_OK;
    if (rc == WF_BUF_OK) {
        rc = wf_json_write_string(&b, text);
    }
    if (rc == WF_BUF_OK) {
        rc = wf_buf_append(&b, after, strlen(after));
    }
    PyObject *bytes = NULL;
    if (rc == WF_BUF_OK) {
        struct wf_span all = wf_buf_span(&b);
        bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(all.n + READABLE));
        if (bytes != NULL) {
            memcpy(PyBytes_AS_STRING(bytes), all.p, all.n);
            memset(PyBytes_AS_STRING(bytes) + all.n, 0, READABLE);
            *out = wf_span(PyBytes_AS_STRING(bytes), all.n);
        }
    } else if (rc == WF_BUF_NOMEM) {
        PyErr_NoMemory();
    } else {
        PyErr_SetString(PyExc_ValueError, "a name is too long");
    }
    wf_buf_free(&b);
    rc = bytes != NULL ? PyList_Append(shape->kept, bytes) : -1;
    Py_XDECREF(bytes);
    return rc;
}

static int keep_name(struct wf_shape *shape, struct wf_span name, struct wf_json_name *out) {
    struct wf_span text;
    if (keep_text(shape, (struct wf_span){0}, name, ":", &text) < 0) {
        return -1;
    }
    *out = (struct wf_json_name){text.p, text.n};
    return 0;
}

static int utf8_of(PyObject *str, struct wf_span *out) {
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(str, &n);
    *out = wf_span(p, (size_t)n);
    return p != NULL ? 0 : -1;
}

/* A text or an int as JSON. */
static int keep_choice(struct wf_shape *shape, struct wf_span before, const struct wf_choice *c,
                       struct wf_span *out) {
    if (c->text.p != NULL) {
        return keep_text(shape, before, c->text, "", out);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(before.n + WF_I64_DIGITS_MAX));
    if (bytes == NULL) {
        return -1;
    }
    char *d = PyBytes_AS_STRING(bytes);
    if (before.n != 0) {
        memcpy(d, before.p, before.n);
    }
    size_t n = before.n + wf_i64_write(d + before.n, c->number);
    int rc = PyList_Append(shape->kept, bytes);
    Py_DECREF(bytes);
    *out = wf_span(d, n);
    return rc;
}

static int compile_field(struct wf_shape *shape, const struct wf_node *node, unsigned i,
                         struct wf_object_field *f) {
    const struct wf_object *o = &node->object;
    struct wf_span name, key = i < o->nfields ? o->keys[i].text : f->out_key;
    PyObject *str = PyUnicode_DecodeUTF8(key.p, (Py_ssize_t)key.n, NULL);
    if (str == NULL) {
        return -1;
    }
    PyUnicode_InternInPlace(&str);
    f->key = str;
    int rc = PyList_Append(shape->kept, str);
    Py_DECREF(str);
    if (rc < 0 || utf8_of(f->name, &name) < 0 || keep_name(shape, f->out_key, &f->json_alias) < 0) {
        return -1;
    }
    if (!(node->flags & WF_NODE_PYDANTIC)) {
        f->json_name = f->json_alias;
        return 0;
    }
    return keep_name(shape, name, &f->json_name);
}

static int compile_tag(struct wf_shape *shape, struct wf_object *o) {
    struct wf_span before = {0};
    if (o->tag_key.p == NULL) {
        return 0;
    }
    if (!o->array && keep_text(shape, before, o->tag_key, ":", &before) < 0) {
        return -1;
    }
    return keep_choice(shape, before, &o->tag, &o->json_tag);
}

int shape_compile_output(struct wf_shape *shape, struct wf_node *node) {
    if (node->kind == WF_NODE_CHOICE) {
        for (unsigned i = 0; i < node->n; i++) {
            struct wf_choice *c = (struct wf_choice *)&node->choices[i]; /* made by the compiler */
            if (keep_choice(shape, (struct wf_span){0}, c, &c->json) < 0) {
                return -1;
            }
        }
    } else if (node->kind == WF_NODE_OBJECT) {
        struct wf_object *o = &node->object;
        for (unsigned i = 0; i < (unsigned)o->nfields + o->ncomputed; i++) {
            if (compile_field(shape, node, i, (struct wf_object_field *)&o->fields[i]) < 0) {
                return -1;
            }
        }
        return compile_tag(shape, o);
    }
    return 0;
}
