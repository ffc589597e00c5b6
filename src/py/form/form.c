/* Items to objects, and _core.FormParser. */
#include "py/form/form.h"

#include <unistd.h>

#include "base/utf8.h"
#include "py/state.h"

/* ---- objects ---- */

/* As Starlette: in the form's charset, else in Latin-1; urlencoded text is UTF-8, what is not is replaced. */
static PyObject *text(const struct wf_form *f, struct wf_span s) {
    Py_ssize_t n = (Py_ssize_t)s.n;
    if (f->urlencoded || (strcmp(f->charset, "utf-8") == 0 && wf_utf8_valid(s))) {
        return PyUnicode_DecodeUTF8(s.p, n, "replace");
    }
    PyObject *str = PyUnicode_Decode(s.p, n, f->charset, "strict");
    if (str != NULL || PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return str;
    }
    PyErr_Clear(); /* no such charset, or it is not in it */
    return PyUnicode_DecodeLatin1(s.p, n, NULL);
}

static int load_upload_type(struct wf_form_py_state *s) {
    if (s->upload_type != NULL) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("weft.datastructures");
    PyObject *type = module != NULL ? PyObject_GetAttrString(module, "UploadFile") : NULL;
    Py_XDECREF(module);
    s->make_upload = type != NULL ? PyObject_GetAttrString(type, "_make") : NULL;
    if (s->make_upload == NULL) {
        Py_XDECREF(type);
        return -1;
    }
    s->upload_type = type;
    return 0;
}

/* [(name in lower case, value), ...] as bytes */
static PyObject *raw_fields(const struct wf_form_item *item) {
    PyObject *list = PyList_New(item->nfields);
    for (unsigned i = 0; list != NULL && i < item->nfields; i++) {
        const struct wf_mime_field *f = &item->fields[i];
        PyObject *pair = Py_BuildValue("(y#y#)", f->name.p, (Py_ssize_t)f->name.n, f->value.p,
                                       (Py_ssize_t)f->value.n);
        if (pair == NULL) {
            Py_CLEAR(list);
            break;
        }
        char *p = PyBytes_AS_STRING(PyTuple_GET_ITEM(pair, 0));
        for (size_t k = 0; k < f->name.n; k++) {
            p[k] = p[k] >= 'A' && p[k] <= 'Z' ? (char)(p[k] | 0x20) : p[k];
        }
        PyList_SET_ITEM(list, i, pair);
    }
    return list;
}

/* UploadFile._make(bytes or descriptor, FormClaim or None, size, filename, raw headers) */
static PyObject *upload(struct wf_state *state, const struct wf_form *f,
                        struct wf_form_item *item) {
    struct wf_form_py_state *s = &state->form_py;
    if (load_upload_type(s) < 0) {
        return NULL;
    }
    PyObject *made = NULL, *content = NULL, *claim = NULL;
    PyObject *size = PyLong_FromUnsignedLongLong(item->size);
    PyObject *filename = text(f, item->filename), *fields = raw_fields(item);
    int fd = -1;
    if (size == NULL || filename == NULL || fields == NULL) {
        goto done;
    }
    fd = wf_form_take_file(item);
    if (item->claimed != 0) {
        claim = wf_form_take_bytes(state, item, &content);
    } else {
        content = fd >= 0 ? PyLong_FromLong(fd)
                          : PyBytes_FromStringAndSize(item->value.p, (Py_ssize_t)item->value.n);
        claim = Py_NewRef(Py_None);
    }
    if (content != NULL) {
        PyObject *args[] = {content, claim, size, filename, fields};
        made = PyObject_Vectorcall(s->make_upload, args, 5, NULL);
    }
    if (made == NULL && fd >= 0) {
        close(fd); /* _make takes it over in its last step */
    }
done:
    Py_XDECREF(content);
    Py_XDECREF(claim);
    Py_XDECREF(fields);
    Py_XDECREF(filename);
    Py_XDECREF(size);
    return made;
}

/* Tells the log, once, what the client is not told: that the disk is full, and where that is. */
static void log_not_stored(struct wf_state *state, struct wf_form *f) {
    const char *where = wf_form_spool_dir(state);
    PyObject *log = where != NULL ? PyImport_ImportModule("weft.log") : NULL;
    PyObject *logger = log != NULL ? PyObject_GetAttrString(log, "error_logger") : NULL;
    PyObject *dir = logger != NULL ? PyUnicode_DecodeFSDefault(where) : NULL;
    PyObject *done = dir != NULL
                         ? PyObject_CallMethod(logger, "error", "sOs",
                                               "An uploaded file could not be stored in %s: %s",
                                               dir, strerror(f->error))
                         : NULL;
    f->error = 0;
    if (done == NULL) {
        PyErr_WriteUnraisable(logger);
    }
    Py_XDECREF(done);
    Py_XDECREF(dir);
    Py_XDECREF(logger);
    Py_XDECREF(log);
}

/* The form's status as an exception. Returns -1. */
static int raise_status(struct wf_state *state, struct wf_form *f) {
    if (f->error != 0) {
        log_not_stored(state, f);
    }
    PyObject *exceptions = PyImport_ImportModule("weft.exceptions");
    PyObject *exc = exceptions != NULL
                        ? PyObject_CallMethod(exceptions, "HTTPException", "is", f->status, f->why)
                        : NULL;
    Py_XDECREF(exceptions);
    if (exc != NULL) {
        wf_err_put(exc);
    }
    return -1;
}

PyObject *wf_form_to_list(struct wf_state *state, struct wf_form *f) {
    if (f->status != 0) {
        raise_status(state, f);
        return NULL;
    }
    PyObject *list = PyList_New(f->nitems);
    for (uint32_t i = 0; list != NULL && i < f->nitems; i++) {
        struct wf_form_item *item = &f->items[i];
        PyObject *name = text(f, item->name), *value = NULL;
        if (name != NULL) {
            value = item->is_file ? upload(state, f, item) : text(f, item->value);
        }
        PyObject *pair = value != NULL ? PyTuple_Pack(2, name, value) : NULL;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (pair == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, pair);
    }
    return list;
}

bool wf_form_is_upload(const struct wf_state *state, PyObject *o) {
    PyObject *type = state->form_py.upload_type; /* borrowed */
    return type != NULL && PyObject_TypeCheck(o, (PyTypeObject *)type);
}

int wf_form_is_no_file(const struct wf_state *state, PyObject *o) {
    const struct wf_form_py_state *s = &state->form_py;
    if (!wf_form_is_upload(state, o)) {
        return 0;
    }
    PyObject *filename = PyObject_GetAttr(o, s->filename);
    PyObject *size = filename != NULL ? PyObject_GetAttr(o, s->size) : NULL;
    int none = size != NULL ? PyUnicode_Check(filename) && PyUnicode_GET_LENGTH(filename) == 0 &&
                                  PyLong_Check(size) && PyObject_Not(size) == 1
                            : -1;
    Py_XDECREF(size);
    Py_XDECREF(filename);
    return none;
}

PyObject *wf_form_read_upload(PyObject *upload) {
    PyObject *bytes = PyObject_CallMethod(upload, "_content", NULL);
    if (bytes != NULL && !PyBytes_Check(bytes)) {
        PyErr_SetString(PyExc_TypeError, "the content of an UploadFile is not bytes");
        Py_CLEAR(bytes);
    }
    return bytes;
}

/* ---- _core.FormParser ---- */

struct parser {
    PyObject_HEAD
    struct wf_state *state; /* borrowed: the type keeps the module */
    struct wf_form *form;   /* owned; NULL once finished */
};

const char *wf_form_spool_dir(struct wf_state *state) {
    struct wf_form_py_state *s = &state->form_py;
    if (s->spool_dir == NULL) {
        PyObject *tempfile = PyImport_ImportModule("tempfile");
        s->spool_dir = tempfile != NULL ? PyObject_CallMethod(tempfile, "gettempdirb", NULL) : NULL;
        Py_XDECREF(tempfile);
    }
    return s->spool_dir != NULL ? PyBytes_AsString(s->spool_dir) : NULL;
}

static PyObject *parser_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"content_type", "max_files", "max_fields", "max_part_size", NULL};
    const char *content_type;
    Py_ssize_t n;
    unsigned long long files, fields, part;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y#KKK:FormParser", names, &content_type, &n,
                                     &files, &fields, &part)) {
        return NULL;
    }
    struct wf_state *state = wf_state_of_type(type);
    const char *dir = state != NULL ? wf_form_spool_dir(state) : NULL;
    struct parser *p = dir != NULL ? (struct parser *)type->tp_alloc(type, 0) : NULL;
    if (p == NULL) {
        return NULL;
    }
    struct wf_form_config config = {.files_max = files,
                                    .fields_max = fields,
                                    .field_bytes_max = part,
                                    .spool_dir = dir,
                                    .memory = state->form_py.memory};
    p->state = state;
    p->form = wf_form_new(wf_span(content_type, (size_t)n), &config);
    if (p->form == NULL) {
        Py_DECREF(p);
        return PyErr_NoMemory();
    }
    return (PyObject *)p;
}

static struct wf_form *form_of(PyObject *self) {
    struct wf_form *form = ((struct parser *)self)->form;
    if (form == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the form is finished");
    }
    return form;
}

static PyObject *parser_feed(PyObject *self, PyObject *chunk) {
    struct wf_form *form = form_of(self);
    Py_buffer view;
    if (form == NULL || PyObject_GetBuffer(chunk, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    wf_form_feed(form, wf_span(view.buf, (size_t)view.len));
    PyBuffer_Release(&view);
    if (form->status != 0) {
        raise_status(((struct parser *)self)->state, form);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *parser_finish(PyObject *self, PyObject *ignored) {
    struct wf_form *form = form_of(self);
    if (form == NULL) {
        return NULL;
    }
    ((struct parser *)self)->form = NULL;
    wf_form_finish(form);
    PyObject *list = wf_form_to_list(((struct parser *)self)->state, form);
    wf_form_free(form);
    return list;
}

static void parser_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    wf_form_free(((struct parser *)self)->form);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(parser_doc, "FormParser(content_type, max_files, max_fields, max_part_size)\n--\n\n"
                         "Reads a form from the chunks of a body. Use Request.form().");
PyDoc_STRVAR(feed_doc, "feed($self, chunk, /)\n--\n\n"
                       "Raises HTTPException, 400 for the most part, where the form is bad.");
PyDoc_STRVAR(finish_doc,
             "finish($self, /)\n--\n\n"
             "list[tuple[str, str | UploadFile]]: the items, in order. Raises as feed().");

static PyMethodDef parser_methods[] = {
    {"feed", parser_feed, METH_O, feed_doc},
    {"finish", parser_finish, METH_NOARGS, finish_doc},
    {NULL},
};

static PyType_Slot parser_slots[] = {
    {Py_tp_doc, (void *)parser_doc},
    {Py_tp_new, parser_new},
    {Py_tp_methods, parser_methods},
    {Py_tp_dealloc, parser_dealloc},
    {0, NULL},
};

static PyType_Spec parser_spec = {
    .name = "weft._core.FormParser",
    .basicsize = sizeof(struct parser),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = parser_slots,
};

/* ---- the room ---- */

int wf_form_py_exec(PyObject *module, struct wf_state *state) {
    struct wf_form_py_state *s = &state->form_py;
    s->filename = PyUnicode_InternFromString("filename");
    s->size = PyUnicode_InternFromString("size");
    s->parser_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &parser_spec, NULL);
    s->claim_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &wf_form_claim_spec, NULL);
    s->memory = wf_form_memory_new(WF_FORM_SHARED_MEMORY_MAX, wf_form_resize_bytes, s);
    if (s->memory == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return s->filename == NULL || s->size == NULL || s->parser_type == NULL ||
                   s->claim_type == NULL || PyModule_AddType(module, s->claim_type) < 0
               ? -1
               : PyModule_AddType(module, s->parser_type);
}

int wf_form_py_traverse(struct wf_form_py_state *s, visitproc visit, void *arg) {
    Py_VISIT(s->parser_type);
    Py_VISIT(s->claim_type);
    Py_VISIT(s->upload_type);
    Py_VISIT(s->make_upload);
    return 0;
}

void wf_form_py_clear(struct wf_form_py_state *s) {
    Py_CLEAR(s->parser_type);
    Py_CLEAR(s->upload_type);
    Py_CLEAR(s->make_upload);
    Py_CLEAR(s->filename);
    Py_CLEAR(s->size);
    Py_CLEAR(s->spool_dir);
    Py_CLEAR(s->claim_type);
    wf_form_memory_unref(s->memory);
    s->memory = NULL;
}
