/* Objects to BSON as a type has them: what decode_shape.c reads back.
 *
 * A node says how a value that fits it is written; one that does not fit is written by its own class, as
 * msgspec does it, and what BSON has no form for by the shape of that class. pydantic's own serializer
 * turns its models into plain objects first, since it alone knows what they say about that, but for those
 * of which encode_model.c knows it. */
#include "py/bson/dates.h"
#include "py/bson/encode_int.h"
#include "py/bson/shapes.h"

#include "base/num.h"
#include "wire/bson/bson_write.h"
#include "wire/bson/date.h"

static int put(struct encoder *e, const struct wf_node *n, struct wf_span name, PyObject *o);

/* ---- scalars ---- */

/* str is stolen, and may be NULL with an exception */
static int put_text_stolen(struct encoder *e, struct wf_span name, PyObject *str) {
    int rc = -1;
    if (str != NULL && PyUnicode_Check(str)) {
        rc = wf_bson_encode_text(e, WF_BSON_STRING, name, str);
    } else if (str != NULL) {
        rc = FAIL(e, "expected a str, got %.100s", Py_TYPE(str)->tp_name);
    }
    Py_XDECREF(str);
    return rc;
}

static int put_date(struct encoder *e, struct wf_span name, PyObject *o) {
    struct wf_bson_date d = {.year = PyDateTime_GET_YEAR(o),
                             .month = PyDateTime_GET_MONTH(o),
                             .day = PyDateTime_GET_DAY(o)};
    return check(e, wf_bson_put_int64(&e->out, WF_BSON_DATETIME, name, wf_bson_date_to_ms(&d)));
}

/* An ISO 8601 duration in days and seconds: -P1DT2.000003S. */
static int put_timedelta(struct encoder *e, struct wf_span name, PyObject *o) {
    int64_t days = PyDateTime_DELTA_GET_DAYS(o), seconds = PyDateTime_DELTA_GET_SECONDS(o);
    int64_t microseconds = PyDateTime_DELTA_GET_MICROSECONDS(o);
    char text[64], *d = text;
    if (days < 0) { /* its parts are counted from there upwards */
        *d++ = '-';
        int64_t rest = -(seconds * 1000000 + microseconds);
        days = -days;
        if (rest < 0) {
            days--;
            rest += INT64_C(86400) * 1000000;
        }
        seconds = rest / 1000000;
        microseconds = rest % 1000000;
    }
    *d++ = 'P';
    if (days != 0) {
        d += wf_u64_write(d, (uint64_t)days);
        *d++ = 'D';
    }
    if (seconds != 0 || microseconds != 0 || days == 0) {
        *d++ = 'T';
        d += wf_u64_write(d, (uint64_t)seconds);
        if (microseconds != 0) {
            d += snprintf(d, 8, ".%06d", (int)microseconds);
            while (d[-1] == '0') {
                d--;
            }
        }
        *d++ = 'S';
    }
    return check(
        e, wf_bson_put_string(&e->out, WF_BSON_STRING, name, wf_span(text, (size_t)(d - text))));
}

/* decimal128; for pydantic, whose validators do not know that, its text */
static int put_decimal(struct encoder *e, bool pydantic, struct wf_span name, PyObject *o) {
    PyObject *str = PyObject_Str(o);
    if (str == NULL || pydantic) {
        return put_text_stolen(e, name, str);
    }
    struct wf_span text;
    PyObject *owned;
    struct wf_decimal128 v;
    int rc = wf_bson_utf8_of(e, str, &text, &owned);
    if (rc == 0) {
        rc = wf_decimal128_read(text, &v) == WF_DECIMAL128_OK
                 ? check(e, wf_bson_put_decimal(&e->out, name, v))
                 : FAIL(e, "%.100s is not exactly a decimal128", PyUnicode_AsUTF8(str));
        Py_XDECREF(owned);
    }
    Py_DECREF(str);
    return rc;
}

static const struct wf_choice *choice_of(const struct wf_node *n, PyObject *o) {
    for (unsigned i = 0; i < n->n; i++) {
        if (n->choices[i].value == o) {
            return &n->choices[i];
        }
    }
    return NULL;
}

/* A member of an enum that is none of the choices: of flags, or one that _missing_ has made. */
static bool is_other_member(const struct wf_node *n, PyObject *o) {
    return n->call != NULL && (PyObject *)Py_TYPE(o) == n->type;
}

/* What it stands for. */
static int put_other_member(struct encoder *e, struct wf_span name, PyObject *o) {
    PyObject *value = PyObject_GetAttrString(o, "value");
    int rc = value != NULL ? wf_bson_encode(e, name, value) : -1;
    Py_XDECREF(value);
    return rc;
}

static int put_choice(struct encoder *e, const struct wf_choice *c, struct wf_span name) {
    if (c->text.p != NULL) {
        return check(e, wf_bson_put_string(&e->out, WF_BSON_STRING, name, c->text));
    }
    return c->number >= INT32_MIN && c->number <= INT32_MAX
               ? check(e, wf_bson_put_int32(&e->out, name, (int32_t)c->number))
               : check(e, wf_bson_put_int64(&e->out, WF_BSON_INT64, name, c->number));
}

static int put_bytearray(struct encoder *e, struct wf_span name, PyObject *o) {
    struct wf_span bytes = wf_span(PyByteArray_AS_STRING(o), (size_t)PyByteArray_GET_SIZE(o));
    return check(e, wf_bson_put_binary(&e->out, name, 0, bytes));
}

/* ---- arrays ---- */

/* What iteration gives, each as `item` has it. */
static int put_items(struct encoder *e, const struct wf_node *item, struct wf_span name,
                     PyObject *o) {
    struct place place = {.up = e->place};
    PyObject *it = PyObject_GetIter(o);
    size_t start;
    if (it == NULL) {
        return -1;
    }
    if (enter(e) < 0) {
        Py_DECREF(it);
        return -1;
    }
    int rc = check(e, wf_bson_put_begin(&e->out, WF_BSON_ARRAY, name, &start));
    e->place = &place;
    while (rc == 0) {
        char digits[WF_U64_DIGITS_MAX];
        PyObject *value = PyIter_Next(it);
        if (value == NULL) {
            rc = PyErr_Occurred() ? -1 : 1;
            if (rc < 0 && wf_err_is_of_change()) {
                rc = FAIL(e, "a set or deque changed while it was encoded");
            }
            break;
        }
        rc = put(e, item, wf_span(digits, wf_u64_write(digits, (uint64_t)place.index)), value);
        Py_DECREF(value);
        place.index++;
    }
    e->place = place.up;
    Py_DECREF(it);
    leave(e);
    return rc < 0 ? -1 : check(e, wf_bson_end(&e->out, start));
}

static int put_nth(struct encoder *e, const void *items, Py_ssize_t i, struct wf_span name,
                   PyObject *o) {
    return put(e, ((const struct wf_node *const *)items)[i], name, o);
}

/* ---- documents ---- */

/* The value of a field, new reference. NULL without an exception where it has none: a TypedDict's key. */
static PyObject *field_value(const struct wf_object *o, unsigned i, PyObject *object) {
    const struct wf_object_field *f = &o->fields[i];
    switch ((enum wf_make)o->make) {
    case WF_MAKE_DICT:
        return Py_XNewRef(PyDict_GetItemWithError(object, f->name));
    case WF_MAKE_NAMEDTUPLE:
        return Py_NewRef(PyTuple_GET_ITEM(object, i));
    default:
        break;
    }
    PyObject *value = f->offset >= 0 ? *(PyObject **)((char *)object + f->offset) : NULL;
    return wf_likely(value != NULL) ? Py_NewRef(value) : PyObject_GetAttr(object, f->name);
}

/* One field, by its name in output or, in an array, by its index. */
static int put_field(struct encoder *e, const struct wf_object *o, unsigned i, PyObject *object,
                     struct place *place, struct wf_span name) {
    const struct wf_object_field *f = &o->fields[i];
    PyObject *value = field_value(o, i, object);
    int rc = -1;
    e->place = place;
    if (wf_unlikely(value == NULL)) {
        if (wf_err_is_bare(PyExc_AttributeError)) {
            rc = FAIL(e, "%.100s has no %s", Py_TYPE(object)->tp_name, PyUnicode_AsUTF8(f->name));
        } else if (!PyErr_Occurred()) {
            rc =
                f->default_kind == WF_DEFAULT_OMIT
                    ? 0
                    : FAIL(e, "there is no %s, which the type requires", PyUnicode_AsUTF8(f->name));
        }
    } else if (wf_unlikely(memchr(name.p, 0, name.n) != NULL)) {
        rc = FAIL(e, "a zero byte in a key");
    } else {
        rc = put(e, f->node, name, value);
    }
    e->place = place->up;
    Py_XDECREF(value);
    return rc;
}

/* The index of the field that is written as _id, or nfields. */
static unsigned id_field(const struct wf_object *o) {
    unsigned i = 0;
    while (i < o->nfields && !wf_span_eq(o->fields[i].out_key, WF_SPAN("_id"))) {
        i++;
    }
    return i;
}

static int put_fields(struct encoder *e, const struct wf_object *o, PyObject *object, bool top) {
    struct place place = {.up = e->place};
    unsigned first = top ? id_field(o) : o->nfields;
    if (first < o->nfields) {
        place.name = o->fields[first].out_key;
        if (put_field(e, o, first, object, &place, place.name) < 0) {
            return -1;
        }
    }
    if (o->tag_key.p != NULL && put_choice(e, &o->tag, o->tag_key) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < o->nfields; i++) {
        place.name = o->fields[i].out_key;
        if (i != first && put_field(e, o, i, object, &place, place.name) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A document of an object's fields, without type and name. */
static int put_object(struct encoder *e, const struct wf_object *o, PyObject *object, bool top) {
    size_t start;
    if (enter(e) < 0) {
        return -1;
    }
    int rc = check(e, wf_bson_begin(&e->out, &start));
    rc = rc == 0 ? put_fields(e, o, object, top) : rc;
    leave(e);
    return rc == 0 ? check(e, wf_bson_end(&e->out, start)) : -1;
}

/* msgspec's array_like and NamedTuples: values in the order of the fields, the tag in front. */
static int put_field_array(struct encoder *e, const struct wf_object *o, struct wf_span name,
                           PyObject *object) {
    struct place place = {.up = e->place};
    size_t start;
    if (enter(e) < 0) {
        return -1;
    }
    int rc = check(e, wf_bson_put_begin(&e->out, WF_BSON_ARRAY, name, &start));
    if (rc == 0 && o->tag_key.p != NULL) {
        rc = put_choice(e, &o->tag, WF_SPAN("0"));
        place.index++;
    }
    for (unsigned i = 0; rc == 0 && i < o->nfields; i++) {
        char digits[WF_U64_DIGITS_MAX];
        size_t n = wf_u64_write(digits, (uint64_t)place.index);
        rc = put_field(e, o, i, object, &place, wf_span(digits, n));
        place.index++;
    }
    leave(e);
    return rc == 0 ? check(e, wf_bson_end(&e->out, start)) : -1;
}

/* A key that is no str, by the node of the keys: the text that decoding reads. New reference. */
static PyObject *key_text(const struct wf_node *n, PyObject *key) {
    const struct wf_choice *c = n->kind == WF_NODE_CHOICE ? choice_of(n, key) : NULL;
    if (c != NULL) {
        return c->text.p != NULL ? PyUnicode_DecodeUTF8(c->text.p, (Py_ssize_t)c->text.n, NULL)
                                 : PyUnicode_FromFormat("%lld", c->number);
    }
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_CHOICE:
        if (is_other_member(n, key)) {
            PyObject *value = PyObject_GetAttrString(key, "value");
            PyObject *text = value != NULL ? PyObject_Str(value) : NULL;
            Py_XDECREF(value);
            return text;
        }
        return Py_NewRef(key);
    case WF_NODE_DATE:
    case WF_NODE_TIME:
    case WF_NODE_DATETIME:
        return PyObject_CallMethod(key, "isoformat", NULL);
    case WF_NODE_INT:
    case WF_NODE_UUID:
    case WF_NODE_OBJECTID:
    case WF_NODE_DECIMAL:
    case WF_NODE_TEXT:
        return PyObject_Str(key);
    default:
        return Py_NewRef(key); /* which is refused */
    }
}

static int put_member(struct encoder *e, const void *node, struct place *place, PyObject *key,
                      PyObject *value) {
    const struct wf_node *n = node; /* of the dict */
    PyObject *owned = NULL,
             *str = PyUnicode_Check(key) ? Py_NewRef(key) : key_text(n->map.key, key);
    int rc = -1;
    if (str != NULL && !PyUnicode_Check(str)) {
        rc = FAIL(e, "keys are str, not %.100s", Py_TYPE(str)->tp_name);
    } else if (str != NULL && wf_bson_utf8_of(e, str, &place->name, &owned) == 0) {
        e->place = place;
        rc = memchr(place->name.p, 0, place->name.n) != NULL
                 ? FAIL(e, "a zero byte in a key")
                 : put(e, n->map.value, place->name, value);
        e->place = place->up;
    }
    Py_XDECREF(owned);
    Py_XDECREF(str);
    return rc;
}

static int put_but_id(struct encoder *e, const void *node, struct place *place, PyObject *key,
                      PyObject *value) {
    return PyUnicode_Check(key) && PyUnicode_Compare(key, e->s->names[NAME__id]) == 0
               ? 0
               : put_member(e, node, place, key, value);
}

static int put_members(struct encoder *e, const struct wf_node *n, PyObject *dict, bool top) {
    struct place place = {.up = e->place};
    const Py_ssize_t size = PyDict_GET_SIZE(dict);
    PyObject *id = top ? PyDict_GetItemWithError(dict, e->s->names[NAME__id]) : NULL;
    if (id == NULL) {
        return PyErr_Occurred() ? -1 : encode_members(e, &place, dict, size, put_member, n);
    }
    Py_INCREF(id);
    int rc = put_member(e, n, &place, e->s->names[NAME__id], id);
    Py_DECREF(id);
    return rc == 0 ? encode_members(e, &place, dict, size, put_but_id, n) : rc;
}

/* A document of a dict's members, without type and name. */
static int put_dict(struct encoder *e, const struct wf_node *n, PyObject *dict, bool top) {
    size_t start;
    if (enter(e) < 0) {
        return -1;
    }
    int rc = check(e, wf_bson_begin(&e->out, &start));
    rc = rc == 0 ? put_members(e, n, dict, top) : rc;
    leave(e);
    return rc == 0 ? check(e, wf_bson_end(&e->out, start)) : -1;
}

/* ---- which node ---- */

static bool is_a(PyObject *o, PyObject *type) {
    return type != NULL && PyType_Check(type) && PyObject_TypeCheck(o, (PyTypeObject *)type);
}

/* Is o what decoding by the node makes? */
static bool fits(const struct wf_bson_state *s, const struct wf_node *n, PyObject *o) {
    const PyDateTime_CAPI *api = wf_bson_datetime(s);
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_NONE:
        return o == Py_None;
    case WF_NODE_BOOL:
        return PyBool_Check(o);
    case WF_NODE_INT:
        return PyLong_CheckExact(o);
    case WF_NODE_FLOAT:
        return PyFloat_CheckExact(o);
    case WF_NODE_STR:
        return PyUnicode_CheckExact(o);
    case WF_NODE_CHOICE:
        return choice_of(n, o) != NULL || is_other_member(n, o);
    case WF_NODE_BYTES:
        return PyBytes_Check(o) || PyByteArray_Check(o);
    case WF_NODE_DATETIME:
        return wf_bson_is_datetime(s, o);
    case WF_NODE_DATE:
        return PyObject_TypeCheck(o, api->DateType) && !wf_bson_is_datetime(s, o);
    case WF_NODE_TIME:
        return PyObject_TypeCheck(o, api->TimeType);
    case WF_NODE_TIMEDELTA:
        return PyObject_TypeCheck(o, api->DeltaType);
    case WF_NODE_UUID:
    case WF_NODE_OBJECTID:
    case WF_NODE_DECIMAL:
    case WF_NODE_TEXT:
        return is_a(o, n->type);
    case WF_NODE_LIST:
        return PyList_Check(o) || PyTuple_Check(o);
    case WF_NODE_VARTUPLE:
        return PyTuple_Check(o);
    case WF_NODE_TUPLE:
        return PyTuple_Check(o) && PyTuple_GET_SIZE(o) == n->n;
    case WF_NODE_SET:
    case WF_NODE_FROZENSET:
        return PyAnySet_Check(o);
    case WF_NODE_DEQUE:
        return !PyUnicode_Check(o) && PySequence_Check(o);
    case WF_NODE_DICT:
        return PyDict_Check(o);
    case WF_NODE_OBJECT:
        if (n->object.make == WF_MAKE_NAMEDTUPLE) {
            return is_a(o, n->type) && PyTuple_GET_SIZE(o) == n->object.nfields;
        }
        return n->object.make == WF_MAKE_DICT ? PyDict_Check(o) : is_a(o, n->type);
    case WF_NODE_ANY:
    case WF_NODE_UNION:
    case WF_NODE_TAGGED:
    case WF_NODE_HANDED:
    case WF_NODE_AFTER: /* see inside */
    case WF_NODE_RAW:   /* have no BSON form */
    case WF_NODE_HOOK:
    case WF_NODE_SERIALIZER: /* of output alone */
    case WF_NODE_KIND_COUNT:
        break;
    }
    return false;
}

/* Validators say nothing about what is written. */
static inline const struct wf_node *inside(const struct wf_node *n) {
    while (n->kind == WF_NODE_AFTER) {
        n = n->item;
    }
    return n;
}

/* The node that says how o is written: a member of a union, or n itself; NULL: o's own class does. */
static const struct wf_node *resolve(const struct wf_bson_state *s, const struct wf_node *n,
                                     PyObject *o) {
    const struct wf_node *const *members = NULL;
    unsigned count = 0;
    n = inside(n);
    if (n->kind == WF_NODE_UNION) {
        members = n->one_of.members;
        count = n->n;
    } else if (n->kind == WF_NODE_TAGGED) {
        members = n->tagged.nodes;
        count = n->tagged.n;
    } else {
        return n->kind == WF_NODE_HANDED || fits(s, n, o) ? n : NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct wf_node *member = inside(members[i]);
        if (member->kind == WF_NODE_TAGGED) {
            member = resolve(s, member, o);
        }
        if (member != NULL && fits(s, member, o)) {
            return member;
        }
    }
    return NULL;
}

/* ---- pydantic ---- */

/* What pydantic writes its objects by, new reference; NULL without an exception for one that is none of
 * its. */
static PyObject *serializer_of(struct encoder *e, PyObject *o) {
    PyObject *serializer =
        PyObject_GetAttr((PyObject *)Py_TYPE(o), e->s->names[NAME___pydantic_serializer__]);
    if (serializer == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return serializer;
}

/* What pydantic makes of its object, new reference. serializer: stolen */
static PyObject *dump(struct encoder *e, PyObject *serializer, PyObject *o) {
    PyObject *kwnames = PyTuple_Pack(1, e->s->names[NAME_by_alias]), *made = NULL;
    PyObject *args[] = {o, o, Py_True};
    int model = kwnames != NULL
                    ? PyObject_HasAttr((PyObject *)Py_TYPE(o), e->s->names[NAME_model_dump])
                    : -1;
    if (model > 0) {
        args[1] = Py_True;
        made = PyObject_VectorcallMethod(e->s->names[NAME_model_dump], args, 1, kwnames);
    } else if (model == 0) {
        args[0] = serializer;
        made = PyObject_VectorcallMethod(e->s->names[NAME_to_python], args, 2, kwnames);
    }
    Py_XDECREF(kwnames);
    Py_DECREF(serializer);
    return made;
}

/* 1: it is none of pydantic's */
static int put_dumped(struct encoder *e, struct wf_span name, PyObject *o) {
    PyObject *serializer = serializer_of(e, o);
    if (serializer == NULL) {
        return PyErr_Occurred() ? -1 : 1;
    }
    int native = wf_bson_encode_model(e, &name, o);
    if (native <= 0) {
        Py_DECREF(serializer);
        return native;
    }
    PyObject *plain = dump(e, serializer, o);
    if (plain == NULL) {
        return -1;
    }
    if (enter(e) < 0) { /* what it gives may be replaced again, without end */
        Py_DECREF(plain);
        return -1;
    }
    bool was = e->dumped;
    e->dumped = true;
    int rc = wf_bson_encode(e, name, plain);
    e->dumped = was;
    leave(e);
    Py_DECREF(plain);
    return rc;
}

/* ---- the switch ---- */

static bool is_pydantics(const struct wf_node *n) {
    return n->kind == WF_NODE_HANDED ||
           (n->kind == WF_NODE_OBJECT && (n->flags & WF_NODE_PYDANTIC) != 0 &&
            n->object.make != WF_MAKE_DICT && n->object.make != WF_MAKE_NAMEDTUPLE);
}

/* o fits n */
static int put_fitting(struct encoder *e, const struct wf_node *n, struct wf_span name,
                       PyObject *o) {
    switch ((enum wf_node_kind)n->kind) {
    case WF_NODE_CHOICE: {
        const struct wf_choice *c = choice_of(n, o);
        return c != NULL ? put_choice(e, c, name) : put_other_member(e, name, o);
    }
    case WF_NODE_BYTES:
        return PyByteArray_Check(o) ? put_bytearray(e, name, o) : wf_bson_encode(e, name, o);
    case WF_NODE_DATE:
        return put_date(e, name, o);
    case WF_NODE_TIME:
        return put_text_stolen(e, name, PyObject_CallMethod(o, "isoformat", NULL));
    case WF_NODE_TIMEDELTA:
        return put_timedelta(e, name, o);
    case WF_NODE_DECIMAL:
        return put_decimal(e, e->dumped || (n->flags & WF_NODE_PYDANTIC) != 0, name, o);
    case WF_NODE_TEXT:
        return put_text_stolen(e, name, PyObject_Str(o));
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
    case WF_NODE_SET:
    case WF_NODE_FROZENSET:
    case WF_NODE_DEQUE:
        return put_items(e, n->item, name, o);
    case WF_NODE_TUPLE:
        return encode_array(e, name, o, put_nth, n->items);
    case WF_NODE_DICT:
        return check(e, wf_bson_put_plain(&e->out, WF_BSON_DOCUMENT, name)) < 0
                   ? -1
                   : put_dict(e, n, o, false);
    case WF_NODE_OBJECT:
        if (n->object.array) {
            return put_field_array(e, &n->object, name, o);
        }
        return check(e, wf_bson_put_plain(&e->out, WF_BSON_DOCUMENT, name)) < 0
                   ? -1
                   : put_object(e, &n->object, o, false);
    default:
        return wf_bson_encode(e, name, o);
    }
}

static int put(struct encoder *e, const struct wf_node *n, struct wf_span name, PyObject *o) {
    n = inside(n);
    if (n->kind == WF_NODE_FLOAT && PyLong_CheckExact(o)) { /* it reads it as a float as well */
        double v = PyLong_AsDouble(o);
        return v == -1 && PyErr_Occurred() ? -1 : check(e, wf_bson_put_double(&e->out, name, v));
    }
    if (n->kind <= WF_NODE_STR) { /* BSON's own, and anything: by its class */
        return wf_bson_encode(e, name, o);
    }
    n = resolve(e->s, n, o);
    if (n == NULL) {
        return wf_bson_encode(e, name, o);
    }
    if (wf_unlikely(is_pydantics(n))) {
        int rc = put_dumped(e, name, o);
        return rc <= 0 ? rc : wf_bson_encode(e, name, o);
    }
    return put_fitting(e, n, name, o);
}

int wf_bson_encode_by_class(struct encoder *e, struct wf_span name, PyObject *o) {
    int rc = put_dumped(e, name, o);
    if (rc <= 0) {
        return rc;
    }
    PyObject *shape = wf_shape_find(e->state, (PyObject *)Py_TYPE(o));
    if (shape == NULL && !PyErr_ExceptionMatches(PyExc_TypeError)) {
        return -1;
    }
    const struct wf_node *n = shape != NULL ? ((struct wf_shape *)shape)->root : NULL;
    n = n != NULL && n->kind > WF_NODE_STR && n->kind != WF_NODE_HANDED ? resolve(e->s, n, o)
                                                                        : NULL;
    rc = n != NULL ? put_fitting(e, n, name, o)
                   : FAIL(e, "objects of type %.200s have no BSON form", Py_TYPE(o)->tp_name);
    Py_XDECREF(shape);
    return rc;
}

/* ---- documents ---- */

/* A document as its class has it. 1: its class is none of documents */
static int put_root_by_class(struct encoder *e, PyObject *o) {
    PyObject *serializer = serializer_of(e, o);
    int native = serializer != NULL ? wf_bson_encode_model(e, NULL, o) : 1;
    if (native <= 0) {
        Py_DECREF(serializer);
        return native;
    }
    PyObject *plain = serializer != NULL ? dump(e, serializer, o) : NULL;
    if (plain != NULL) {
        e->dumped = true;
        int rc = PyDict_Check(plain) ? wf_bson_encode_mapping(e, plain, true) : 1;
        Py_DECREF(plain);
        return rc;
    }
    int mapping = PyErr_Occurred() ? -1 : PyObject_IsInstance(o, e->s->mapping);
    if (mapping != 0) {
        return mapping < 0 ? -1 : wf_bson_encode_mapping(e, o, true);
    }
    PyObject *shape = wf_shape_find(e->state, (PyObject *)Py_TYPE(o));
    if (shape == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
            return -1;
        }
        PyErr_Clear();
        return 1;
    }
    const struct wf_node *n = ((struct wf_shape *)shape)->root;
    int rc = n->kind == WF_NODE_OBJECT && !n->object.array && fits(e->s, n, o)
                 ? put_object(e, &n->object, o, true)
                 : 1;
    Py_DECREF(shape);
    return rc;
}

static int prepare(struct encoder *e) {
    return wf_bson_need_datetime(e->s) < 0 ? -1 : wf_bson_need_classes(e->s);
}

int wf_bson_encode_root(struct encoder *e, const struct wf_node *node, PyObject *o) {
    if (prepare(e) < 0) {
        return -1;
    }
    const struct wf_node *n = resolve(e->s, node, o);
    if (n != NULL && n->kind == WF_NODE_DICT) {
        return put_dict(e, n, o, true);
    }
    if (n != NULL && n->kind == WF_NODE_OBJECT && !n->object.array && !is_pydantics(n)) {
        return put_object(e, &n->object, o, true);
    }
    int rc = PyDict_CheckExact(o) ? 1 : put_root_by_class(e, o);
    return rc <= 0 ? rc : wf_bson_encode_mapping(e, o, true); /* which says what it is not */
}

int wf_bson_encode_object(struct wf_state *state, PyObject *o, bool dumped, struct wf_buf *out) {
    struct encoder e = {
        .state = state, .s = &state->bson, .typed = true, .json_keys = true, .dumped = dumped};
    size_t len = out->len;
    e.out = *out; /* nobody looks at the caller's meanwhile */
    int rc = prepare(&e);
    if (rc == 0) {
        rc = PyDict_CheckExact(o) ? wf_bson_encode_mapping(&e, o, true) : put_root_by_class(&e, o);
    }
    *out = e.out;
    if (rc != 0) {
        out->len = len;
    }
    return rc;
}
