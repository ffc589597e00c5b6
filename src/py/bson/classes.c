/* The classes of BSON's own types, and how their objects are made without running constructors
 * written in Python, which would be most of the cost.
 *
 * An ObjectId, a Decimal128 and a Timestamp keep their parts in slots; whether they do so as
 * expected is asked of one that its constructor has made. A class that does otherwise is called. */
#include "py/bson/bson_int.h"

#include "wire/bson/bson_read.h"
#include "wire/bson/bson_write.h"

static PyObject *import_name(const char *module, const char *name) {
    PyObject *m = PyImport_ImportModule(module);
    PyObject *found = m != NULL ? PyObject_GetAttrString(m, name) : NULL;
    Py_XDECREF(m);
    return found;
}

/* Calls a class with arguments that are stolen and may be NULL with an exception. */
static PyObject *call_stolen(PyObject *cls, PyObject *a, PyObject *b, size_t nargs) {
    PyObject *args[2] = {a, b}, *made = NULL;
    if (a != NULL && (nargs == 1 || b != NULL)) {
        made = PyObject_Vectorcall(cls, args, nargs, NULL);
    }
    Py_XDECREF(a);
    Py_XDECREF(b);
    return made;
}

PyObject *wf_bson_make(struct wf_bson_state *s, enum wf_bson_class cls, PyObject *a, PyObject *b,
                       size_t nargs) {
    if (wf_unlikely(wf_bson_need_classes(s) < 0)) {
        Py_XDECREF(a);
        Py_XDECREF(b);
        return NULL;
    }
    return call_stolen(s->classes[cls], a, b, nargs);
}

/* ---- slots ---- */

/* Where instances of `type` have the slot `name`; 0: nowhere. -1 with an exception. */
static Py_ssize_t slot_offset(PyTypeObject *type, PyObject *name) {
    PyObject *d = PyObject_GetAttr((PyObject *)type, name);
    if (d == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    Py_ssize_t offset = 0;
    if (Py_IS_TYPE(d, &PyMemberDescr_Type) && PyDescr_TYPE(d) == type) {
        const PyMemberDef *member = ((PyMemberDescrObject *)d)->d_member;
        offset = member->type == Py_T_OBJECT_EX ? member->offset : 0;
    }
    Py_DECREF(d);
    return offset;
}

static inline PyObject **slot(PyObject *o, Py_ssize_t offset) {
    return (PyObject **)((char *)o + offset);
}

/* Does the sample (stolen, may be NULL with an exception) keep `value` (stolen, likewise) in its
 * slot? The offset, 0, or -1 with an exception. */
static Py_ssize_t probe_slot(PyObject *cls, PyObject *name, PyObject *sample, PyObject *value) {
    Py_ssize_t offset = sample != NULL && value != NULL ? 0 : -1;
    PyTypeObject *type = (PyTypeObject *)cls;
    if (offset == 0 && Py_IS_TYPE(sample, type) && type->tp_new == PyBaseObject_Type.tp_new) {
        offset = slot_offset(type, name);
        if (offset > 0) {
            PyObject *kept = *slot(sample, offset);
            int same = kept != NULL && Py_IS_TYPE(kept, Py_TYPE(value))
                           ? PyObject_RichCompareBool(kept, value, Py_EQ)
                           : 0;
            offset = same < 0 ? -1 : same ? offset : 0;
        }
    }
    Py_XDECREF(sample);
    Py_XDECREF(value);
    return offset;
}

/* Either both slots are known, or neither is used. */
static int keep_slots(struct wf_bson_slots *to, Py_ssize_t first, Py_ssize_t second) {
    if (first < 0 || second < 0) {
        return -1;
    }
    bool both = first != 0 && second != 0;
    *to = (struct wf_bson_slots){both ? first : 0, both ? second : 0};
    return 0;
}

static PyObject *sample_decimal(struct wf_bson_state *s) {
    return PyObject_CallMethod(s->classes[WF_BSON_CLASS_Decimal128], "from_bid", "y#",
                               "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", (Py_ssize_t)16);
}

static PyObject *sample_timestamp(struct wf_bson_state *s) {
    return PyObject_CallFunction(s->classes[WF_BSON_CLASS_Timestamp], "ii", 3, 5);
}

static int probe_slots(struct wf_bson_state *s) {
    PyObject *id = s->classes[WF_BSON_CLASS_ObjectId];
    PyObject *decimal = s->classes[WF_BSON_CLASS_Decimal128];
    PyObject *timestamp = s->classes[WF_BSON_CLASS_Timestamp];
    Py_ssize_t at = probe_slot(id, s->names[NAME__ObjectId__id],
                               PyObject_CallFunction(id, "y#", "probe object", (Py_ssize_t)12),
                               PyBytes_FromString("probe object"));
    if (keep_slots(&s->id_slot, at, at) < 0) {
        return -1;
    }
    at = probe_slot(decimal, s->names[NAME__Decimal128__high], sample_decimal(s),
                    PyLong_FromLong(2));
    if (at < 0 || keep_slots(&s->decimal_slots, at,
                             probe_slot(decimal, s->names[NAME__Decimal128__low], sample_decimal(s),
                                        PyLong_FromLong(1))) < 0) {
        return -1;
    }
    at = probe_slot(timestamp, s->names[NAME__Timestamp__time], sample_timestamp(s),
                    PyLong_FromLong(3));
    return at < 0 ? -1
                  : keep_slots(&s->timestamp_slots, at,
                               probe_slot(timestamp, s->names[NAME__Timestamp__inc],
                                          sample_timestamp(s), PyLong_FromLong(5)));
}

/* An instance with its slots filled. first and second are stolen; second may be the same object as
 * first where there is one slot only. */
static PyObject *fill_slots(PyObject *cls, const struct wf_bson_slots *at, PyObject *first,
                            PyObject *second) {
    PyTypeObject *type = (PyTypeObject *)cls;
    PyObject *o = first != NULL && second != NULL ? type->tp_alloc(type, 0) : NULL;
    if (wf_unlikely(o == NULL)) {
        Py_XDECREF(first);
        if (second != first) {
            Py_XDECREF(second);
        }
        return NULL;
    }
    *slot(o, at->first) = first;
    *slot(o, at->second) = second;
    PyObject_GC_UnTrack(o); /* bytes and ints: there is nothing for the collector to find */
    return o;
}

/* ---- subclasses of int and bytes ---- */

/* Are instances of Int64 an int's bytes behind another head? */
static bool is_plain_int(PyTypeObject *type) {
    return type->tp_base == &PyLong_Type && type->tp_new == PyLong_Type.tp_new &&
           type->tp_init == PyLong_Type.tp_init && type->tp_alloc == PyType_GenericAlloc &&
           type->tp_basicsize == PyLong_Type.tp_basicsize &&
           type->tp_itemsize == PyLong_Type.tp_itemsize && !PyType_IS_GC(type);
}

/* A Binary is bytes with a subtype in its dict: made so, is it the one the constructor makes? */
static int probe_binary(struct wf_bson_state *s) {
    PyObject *cls = s->classes[WF_BSON_CLASS_Binary];
    s->plain_binary = PyType_IsSubtype((PyTypeObject *)cls, &PyBytes_Type);
    if (!s->plain_binary) {
        return 0;
    }
    PyObject *made = wf_bson_make_binary(s, WF_SPAN("sample"), 7);
    PyObject *called = PyObject_CallFunction(cls, "y#i", "sample", (Py_ssize_t)6, 7);
    int same = made != NULL && called != NULL ? PyObject_RichCompareBool(made, called, Py_EQ) : -1;
    Py_XDECREF(made);
    Py_XDECREF(called);
    s->plain_binary = same == 1;
    return same < 0 ? -1 : 0;
}

/* ---- loading ---- */

int wf_bson_load_classes(struct wf_bson_state *s) {
    static const char *const names[] = {
#define X(name) #name,
        WF_BSON_CLASSES(X)
#undef X
    };
    for (size_t i = 0; i < WF_BSON_CLASS_COUNT; i++) {
        Py_XSETREF(s->classes[i], import_name("weft.bson._types", names[i]));
        if (s->classes[i] == NULL) {
            return -1;
        }
        if (!PyType_Check(s->classes[i])) {
            PyErr_Format(PyExc_TypeError, "%s is not a class", names[i]);
            return -1;
        }
    }
    Py_XSETREF(s->pattern, import_name("re", "Pattern"));
    Py_XSETREF(s->mapping, import_name("collections.abc", "Mapping"));
    if (s->pattern == NULL || s->mapping == NULL || probe_slots(s) < 0) {
        return -1;
    }
    s->plain_int64 = is_plain_int((PyTypeObject *)s->classes[WF_BSON_CLASS_Int64]);
    PyObject *uuid = import_name("uuid", "UUID");
    if (uuid == NULL) {
        return -1;
    }
    s->uuid = uuid; /* the last: it says that all are there */
    if (probe_binary(s) < 0) {
        Py_CLEAR(s->uuid);
        return -1;
    }
    return 0;
}

/* ---- making ---- */

PyObject *wf_bson_make_objectid(struct wf_bson_state *s, const char *bytes) {
    PyObject *id = PyBytes_FromStringAndSize(bytes, 12);
    if (wf_unlikely(wf_bson_need_classes(s) < 0)) {
        Py_XDECREF(id);
        return NULL;
    }
    PyObject *cls = s->classes[WF_BSON_CLASS_ObjectId];
    return wf_likely(s->id_slot.first != 0) ? fill_slots(cls, &s->id_slot, id, id)
                                            : call_stolen(cls, id, NULL, 1);
}

PyObject *wf_bson_make_timestamp(struct wf_bson_state *s, uint32_t seconds, uint32_t increment) {
    if (wf_unlikely(wf_bson_need_classes(s) < 0)) {
        return NULL;
    }
    PyObject *cls = s->classes[WF_BSON_CLASS_Timestamp];
    PyObject *first = PyLong_FromUnsignedLong(seconds);
    PyObject *second = first != NULL ? PyLong_FromUnsignedLong(increment) : NULL;
    return s->timestamp_slots.first != 0 ? fill_slots(cls, &s->timestamp_slots, first, second)
                                         : call_stolen(cls, first, second, 2);
}

PyObject *wf_bson_make_decimal(struct wf_bson_state *s, struct wf_decimal128 v) {
    if (wf_unlikely(wf_bson_need_classes(s) < 0)) {
        return NULL;
    }
    PyObject *cls = s->classes[WF_BSON_CLASS_Decimal128];
    if (s->decimal_slots.first != 0) {
        PyObject *high = PyLong_FromUnsignedLongLong(v.high);
        PyObject *low = high != NULL ? PyLong_FromUnsignedLongLong(v.low) : NULL;
        return fill_slots(cls, &s->decimal_slots, high, low);
    }
    char bid[16];
    wf_bson_store64(bid, v.low);
    wf_bson_store64(bid + 8, v.high);
    PyObject *bytes = PyBytes_FromStringAndSize(bid, 16);
    PyObject *args[] = {cls, bytes};
    PyObject *made =
        bytes != NULL ? PyObject_VectorcallMethod(s->names[NAME_from_bid], args, 2, NULL) : NULL;
    Py_XDECREF(bytes);
    return made;
}

PyObject *wf_bson_make_int64(struct wf_bson_state *s, int64_t v) {
    PyObject *plain = PyLong_FromLongLong(v);
    if (wf_unlikely(plain == NULL || wf_bson_need_classes(s) < 0)) {
        Py_XDECREF(plain);
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)s->classes[WF_BSON_CLASS_Int64];
    bool direct = s->plain_int64;
#if PY_VERSION_HEX >= 0x030E0000
    direct = direct && (v < -5 || v > 1024); /* small ints are marked as such inside */
#endif
    if (wf_unlikely(!direct)) {
        return call_stolen((PyObject *)type, plain, NULL, 1);
    }
    /* as int.__new__ does for a subclass */
    uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    Py_ssize_t digits = 1 + (size >> PyLong_SHIFT != 0) + (size >> (2 * PyLong_SHIFT) != 0);
    PyObject *o = type->tp_alloc(type, digits);
    if (wf_likely(o != NULL)) {
        memcpy(o + 1, plain + 1,
               (size_t)(type->tp_basicsize + digits * type->tp_itemsize) - sizeof(PyObject));
    }
    Py_DECREF(plain);
    return o;
}

PyObject *wf_bson_make_binary(struct wf_bson_state *s, struct wf_span bytes, uint8_t subtype) {
    PyObject *plain = PyBytes_FromStringAndSize(bytes.p, (Py_ssize_t)bytes.n);
    if (wf_unlikely(plain == NULL || wf_bson_need_classes(s) < 0)) {
        Py_XDECREF(plain);
        return NULL;
    }
    PyObject *number = PyLong_FromLong(subtype); /* a small one: not made */
    PyObject *cls = s->classes[WF_BSON_CLASS_Binary];
    if (wf_unlikely(!s->plain_binary)) {
        return call_stolen(cls, plain, number, 2);
    }
    PyObject *args = PyTuple_Pack(1, plain);
    PyObject *o = args != NULL ? PyBytes_Type.tp_new((PyTypeObject *)cls, args, NULL) : NULL;
    if (o != NULL && PyObject_SetAttr(o, s->names[NAME__Binary__subtype], number) < 0) {
        Py_CLEAR(o);
    }
    Py_XDECREF(args);
    Py_DECREF(plain);
    Py_DECREF(number);
    return o;
}
