/* Text to objects, native or handed to pydantic. */
#include "py/plan/plan_int.h"

#include <datetime.h>
#include <math.h>

#include "base/utf8.h"
#include "py/bson/bson.h"
#include "wire/bson/bson.h"

int convert_prepare(struct wf_state *state, enum conv_kind kind) {
    (void)PyDateTimeAPI; /* datetime.h's static of this file; ours is the state's, one an
                            interpreter */
    switch (kind) {
    case CONV_DATE:
    case CONV_TIME:
    case CONV_DATETIME:
    case CONV_TIMEDELTA:
        if (state->plan.datetime == NULL) {
            state->plan.datetime = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
        }
        return state->plan.datetime != NULL ? 0 : -1;
    case CONV_UUID:
        if (state->plan.safe_unknown == NULL) {
            PyObject *uuid = PyImport_ImportModule("uuid");
            PyObject *safe = uuid != NULL ? PyObject_GetAttrString(uuid, "SafeUUID") : NULL;
            state->plan.safe_unknown =
                safe != NULL ? PyObject_GetAttrString(safe, "unknown") : NULL;
            Py_XDECREF(uuid);
            Py_XDECREF(safe);
        }
        return state->plan.safe_unknown != NULL ? 0 : -1;
    default:
        return 0;
    }
}

PyObject *text_str(struct text *t) {
    if (t->str == NULL) {
        t->str = PyUnicode_DecodeUTF8(t->utf8.p, (Py_ssize_t)t->utf8.n, "replace");
    }
    return t->str;
}

/* ---- scalars ---- */

static enum conv_result refuse_scalar(struct plan_run *run, enum wf_scalar_error e,
                                      struct text *t) {
    PyObject *input = text_str(t); /* borrowed */
    return input != NULL ? plan_error_scalar(run, e, t->utf8, input) : CONV_FAILED;
}

/* Of more digits than a machine word has. */
static PyObject *big_int(const struct wf_int *v) {
    PyObject *digits = PyUnicode_DecodeASCII(v->digits.p, (Py_ssize_t)v->digits.n, NULL);
    PyObject *value = digits != NULL ? PyLong_FromUnicodeObject(digits, 10) : NULL;
    Py_XDECREF(digits);
    if (value != NULL && v->negative) {
        Py_SETREF(value, PyNumber_Negative(value));
    }
    return value;
}

static enum conv_result make_int(struct plan_run *run, struct text *t, PyObject **out) {
    struct wf_int v;
    enum wf_scalar_error e = wf_scalar_int(t->utf8, &v);
    if (wf_unlikely(e != WF_SCALAR_OK)) {
        return refuse_scalar(run, e, t);
    }
    if (wf_likely(!v.big)) {
        *out = PyLong_FromLongLong(v.value);
        return *out != NULL ? CONV_OK : CONV_FAILED;
    }
    *out = big_int(&v);
    if (*out == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear(); /* sys.set_int_max_str_digits is lower than pydantic's own limit */
        return refuse_scalar(run, WF_SCALAR_INT_PARSING_SIZE, t);
    }
    return *out != NULL ? CONV_OK : CONV_FAILED;
}

/* uuid.UUID(bytes=...) without its checks of arguments: an instance has two slots. */
static PyObject *make_uuid(struct wf_state *state, PyTypeObject *type, const uint8_t bytes[16]) {
    unsigned long long high = 0, low = 0;
    for (int i = 0; i < 8; i++) {
        high = high << 8 | bytes[i];
        low = low << 8 | bytes[8 + i];
    }
    PyObject *h = PyLong_FromUnsignedLongLong(high), *l = PyLong_FromUnsignedLongLong(low);
    PyObject *bits = PyLong_FromLong(64), *empty = PyTuple_New(0);
    PyObject *shifted = NULL, *value = NULL, *uuid = NULL;
    if (h == NULL || l == NULL || bits == NULL || empty == NULL ||
        (shifted = PyNumber_Lshift(h, bits)) == NULL || (value = PyNumber_Or(shifted, l)) == NULL ||
        (uuid = PyBaseObject_Type.tp_new(type, empty, NULL)) == NULL) {
        goto done;
    }
    /* UUID.__setattr__ refuses; this is object's own, as UUID.__init__ uses it */
    if (PyObject_GenericSetAttr(uuid, PyTuple_GET_ITEM(state->plan.uuid_fields, 0), value) < 0 ||
        PyObject_GenericSetAttr(uuid, PyTuple_GET_ITEM(state->plan.uuid_fields, 1),
                                state->plan.safe_unknown) < 0) {
        Py_CLEAR(uuid);
    }
done:
    Py_XDECREF(h);
    Py_XDECREF(l);
    Py_XDECREF(bits);
    Py_XDECREF(empty);
    Py_XDECREF(shifted);
    Py_XDECREF(value);
    return uuid;
}

/* The tzinfo of an offset (owned): datetime.timezone, or None where there is none. */
static PyObject *make_offset(PyDateTime_CAPI *api, const struct wf_time *v) {
    if (!v->has_offset) {
        return Py_NewRef(Py_None);
    }
    if (v->offset_s == 0) {
        return Py_NewRef(api->TimeZone_UTC);
    }
    PyObject *delta = api->Delta_FromDelta(0, v->offset_s, 0, 1, api->DeltaType);
    if (delta == NULL) {
        return NULL;
    }
    PyObject *zone = api->TimeZone_FromTimeZone(delta, NULL);
    Py_DECREF(delta);
    return zone;
}

static PyObject *make_time(PyDateTime_CAPI *api, const struct wf_time *v) {
    PyObject *zone = make_offset(api, v);
    if (zone == NULL) {
        return NULL;
    }
    PyObject *time =
        api->Time_FromTime(v->hour, v->minute, v->second, (int)v->microsecond, zone, api->TimeType);
    Py_DECREF(zone);
    return time;
}

static PyObject *make_datetime(PyDateTime_CAPI *api, const struct wf_datetime *v) {
    const struct wf_time *t = &v->time;
    PyObject *zone = make_offset(api, t);
    if (zone == NULL) {
        return NULL;
    }
    PyObject *datetime =
        api->DateTime_FromDateAndTime(v->date.year, v->date.month, v->date.day, t->hour, t->minute,
                                      t->second, (int)t->microsecond, zone, api->DateTimeType);
    Py_DECREF(zone);
    return datetime;
}

/* Decimal itself is the judge of text that is not ASCII, whose digits and spaces it knows. */
static enum wf_scalar_error make_decimal(PyObject *type, struct wf_span text, PyObject **out) {
    *out = PyObject_CallFunction(type, "s#", text.p, (Py_ssize_t)text.n);
    if (*out == NULL && PyErr_ExceptionMatches(PyExc_ArithmeticError)) {
        PyErr_Clear();
        return WF_SCALAR_DECIMAL_PARSING;
    }
    if (*out == NULL || wf_ascii_prefix(text.p, text.n) == text.n) {
        return WF_SCALAR_OK;
    }
    PyObject *finite = PyObject_CallMethod(*out, "is_finite", NULL);
    if (finite != Py_True) {
        Py_CLEAR(*out);
    }
    Py_XDECREF(finite);
    return finite == Py_False ? WF_SCALAR_FINITE_NUMBER : WF_SCALAR_OK;
}

static enum conv_result make_objectid(struct plan_run *run, const struct conv *c, struct text *t,
                                      PyObject **out) {
    char id[12];
    if (wf_unlikely(!wf_bson_read_objectid(t->utf8, id))) {
        return text_str(t) != NULL
                   ? plan_error(run, c->error_type, c->error_message, text_str(t), c->error_context)
                   : CONV_FAILED;
    }
    *out = wf_bson_make_objectid(&run->plan->state->bson, id);
    return *out != NULL ? CONV_OK : CONV_FAILED;
}

/* The kinds that need neither checks nor anything of the request beyond the text. */
static enum conv_result make_scalar(struct plan_run *run, const struct conv *c, struct text *t,
                                    PyObject **out) {
    struct wf_state *state = run->plan->state;
    PyDateTime_CAPI *const api = state->plan.datetime; /* NULL unless a kind below needs it */
    enum wf_scalar_error e = WF_SCALAR_OK;
    union {
        bool truth;
        double number;
        uint8_t uuid[16];
        struct wf_date date;
        struct wf_time time;
        struct wf_datetime datetime;
        struct wf_timedelta delta;
        struct wf_span text;
    } v;
    *out = NULL;
    switch ((enum conv_kind)c->kind) {
    case CONV_FLOAT:
        if ((e = wf_scalar_float(t->utf8, &v.number)) == WF_SCALAR_OK) {
            *out = PyFloat_FromDouble(v.number);
        }
        break;
    case CONV_BOOL:
        if ((e = wf_scalar_bool(t->utf8, &v.truth)) == WF_SCALAR_OK) {
            *out = Py_NewRef(v.truth ? Py_True : Py_False);
        }
        break;
    case CONV_UUID:
        if ((e = wf_scalar_uuid(t->utf8, v.uuid)) == WF_SCALAR_OK) {
            *out = make_uuid(state, (PyTypeObject *)c->data, v.uuid);
        }
        break;
    case CONV_DATE:
        if ((e = wf_scalar_date(t->utf8, &v.date)) == WF_SCALAR_OK) {
            *out = api->Date_FromDate(v.date.year, v.date.month, v.date.day, api->DateType);
        }
        break;
    case CONV_TIME:
        if ((e = wf_scalar_time(t->utf8, &v.time)) == WF_SCALAR_OK) {
            *out = make_time(api, &v.time);
        }
        break;
    case CONV_DATETIME:
        if ((e = wf_scalar_datetime(t->utf8, &v.datetime)) == WF_SCALAR_OK) {
            *out = make_datetime(api, &v.datetime);
        }
        break;
    case CONV_TIMEDELTA:
        if ((e = wf_scalar_timedelta(t->utf8, &v.delta)) == WF_SCALAR_OK) {
            *out = api->Delta_FromDelta(v.delta.days, v.delta.seconds, v.delta.microseconds, 0,
                                        api->DeltaType);
        }
        break;
    case CONV_DECIMAL:
        if ((e = wf_scalar_decimal(t->utf8, &v.text)) == WF_SCALAR_OK) {
            e = make_decimal(c->data, v.text, out);
        }
        break;
    case CONV_BYTES:
        *out = PyBytes_FromStringAndSize(t->utf8.p, (Py_ssize_t)t->utf8.n);
        break;
    default:
        Py_UNREACHABLE();
    }
    if (wf_unlikely(e != WF_SCALAR_OK)) {
        return refuse_scalar(run, e, t);
    }
    return *out != NULL ? CONV_OK : CONV_FAILED;
}

/* key  borrowed */
static enum conv_result look_up(struct plan_run *run, const struct conv *c, PyObject *key,
                                struct text *t, PyObject **out) {
    PyObject *found = PyDict_GetItemWithError(c->data, key); /* borrowed */
    if (found != NULL) {
        *out = Py_NewRef(found);
        return CONV_OK;
    }
    if (PyErr_Occurred() || text_str(t) == NULL) {
        return CONV_FAILED;
    }
    return plan_error(run, c->error_type, c->error_message, text_str(t), c->error_context);
}

static enum conv_result look_up_int(struct plan_run *run, const struct conv *c, struct text *t,
                                    PyObject **out) {
    struct wf_int v;
    bool is_int = wf_scalar_int(t->utf8, &v) == WF_SCALAR_OK;
    if (is_int && v.big) { /* pydantic looks no further than 64 bits, and shows the number then */
        PyObject *value = big_int(&v);
        enum conv_result result = CONV_FAILED;
        if (value != NULL) {
            result = plan_error_scalar(run, WF_SCALAR_INT_PARSING_SIZE, t->utf8, value);
            Py_DECREF(value);
        }
        return result;
    }
    PyObject *key = is_int ? PyLong_FromLongLong(v.value) : Py_NewRef(Py_None);
    if (key == NULL) {
        return CONV_FAILED;
    }
    enum conv_result result = look_up(run, c, key, t, out);
    Py_DECREF(key);
    return result;
}

/* Errors of a choice stand behind its label; those of choices before one that succeeds are dropped.
 */
static enum conv_result first_choice(struct plan_run *run, const struct conv *c, struct text *t,
                                     PyObject **out) {
    Py_ssize_t before = run->errors != NULL ? PyList_GET_SIZE(run->errors) : 0;
    for (unsigned i = 0; i < c->nitems; i++) {
        run->deeper[run->ndeeper++] = c->items[i].label;
        enum conv_result result = convert_text(run, &c->items[i], t, out);
        run->ndeeper--;
        if (result == CONV_FAILED) {
            return CONV_FAILED;
        }
        if (result == CONV_OK) {
            if (run->errors != NULL) {
                Py_ssize_t now = PyList_GET_SIZE(run->errors);
                return PyList_SetSlice(run->errors, before, now, NULL) < 0 ? CONV_FAILED : CONV_OK;
            }
            return CONV_OK;
        }
    }
    return CONV_INVALID;
}

/* ---- checks ---- */

/* An int against an int. */
static int check_int(const struct check *k, PyObject *value) {
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (wf_likely(overflow == 0 && k->small)) {
        switch (k->op) {
        case CHECK_LE:
            return v <= k->as_int;
        case CHECK_LT:
            return v < k->as_int;
        case CHECK_GE:
            return v >= k->as_int;
        case CHECK_GT:
            return v > k->as_int;
        default:
            break; /* multiple_of: rare, and -1 divides in its own way */
        }
    }
    switch (k->op) {
    case CHECK_LE:
        return PyObject_RichCompareBool(value, k->limit, Py_LE);
    case CHECK_LT:
        return PyObject_RichCompareBool(value, k->limit, Py_LT);
    case CHECK_GE:
        return PyObject_RichCompareBool(value, k->limit, Py_GE);
    case CHECK_GT:
        return PyObject_RichCompareBool(value, k->limit, Py_GT);
    default: {
        PyObject *rest = PyNumber_Remainder(value, k->limit);
        if (rest == NULL) {
            return -1;
        }
        int ok = PyObject_Not(rest);
        Py_DECREF(rest);
        return ok;
    }
    }
}

static int check_float(const struct check *k, double v) {
    switch (k->op) { /* nan is within nothing */
    case CHECK_LE:
        return v <= k->as_float;
    case CHECK_LT:
        return v < k->as_float;
    case CHECK_GE:
        return v >= k->as_float;
    case CHECK_GT:
        return v > k->as_float;
    default: { /* as pydantic-core: within a billionth */
        double rest = fmod(v, k->as_float), slack = fabs(v) / 1e9;
        return !(fabs(rest) > slack && fabs(fabs(rest) - k->as_float) > slack);
    }
    }
}

/* 1: holds, 0: does not, -1: exception */
static int check_value(const struct check *k, PyObject *value) {
    if (k->op == CHECK_PATTERN) {
        PyObject *match = PyObject_CallOneArg(k->limit, value);
        if (match == NULL) {
            return -1;
        }
        int found = match != Py_None;
        Py_DECREF(match);
        return found;
    }
    if (k->op == CHECK_MIN_LENGTH || k->op == CHECK_MAX_LENGTH) {
        Py_ssize_t n = PyUnicode_GET_LENGTH(value);
        return k->op == CHECK_MIN_LENGTH ? n >= k->as_int : n <= k->as_int;
    }
    return PyFloat_CheckExact(value) ? check_float(k, PyFloat_AS_DOUBLE(value))
                                     : check_int(k, value);
}

/* value  owned by the caller, who keeps it on OK and gives it up else */
static enum conv_result run_checks(struct plan_run *run, const struct conv *c, struct text *t,
                                   PyObject *value) {
    for (unsigned i = 0; i < c->nchecks; i++) {
        const struct check *k = &c->checks[i];
        int holds = check_value(k, value);
        if (wf_unlikely(holds <= 0)) {
            if (holds < 0 || text_str(t) == NULL) {
                return CONV_FAILED;
            }
            return plan_error(run, k->type, k->message, text_str(t), k->context);
        }
    }
    return CONV_OK;
}

/* ---- the three entries ---- */

enum conv_result convert_text(struct plan_run *run, const struct conv *c, struct text *t,
                              PyObject **out) {
    enum conv_result result = CONV_OK;
    switch ((enum conv_kind)c->kind) {
    case CONV_ANY:
    case CONV_STR:
        *out = text_str(t);
        if (wf_unlikely(*out == NULL)) {
            return CONV_FAILED;
        }
        Py_INCREF(*out);
        break;
    case CONV_INT:
        result = make_int(run, t, out);
        break;
    case CONV_OBJECTID:
        return make_objectid(run, c, t, out);
    case CONV_LOOKUP:
        return text_str(t) != NULL ? look_up(run, c, t->str, t, out) : CONV_FAILED;
    case CONV_LOOKUP_INT:
        return look_up_int(run, c, t, out);
    case CONV_UNION:
        return first_choice(run, c, t, out);
    case CONV_SHAPE:
    case CONV_HANDED:
        return text_str(t) != NULL ? convert_object(run, c, t->str, out) : CONV_FAILED;
    default:
        result = make_scalar(run, c, t, out);
    }
    WF_ASSERT(result != CONV_OK || *out != NULL);
    if (result == CONV_OK && c->nchecks != 0) {
        result = run_checks(run, c, t, *out);
        if (result != CONV_OK) {
            Py_CLEAR(*out);
        }
    }
    return result;
}

static enum conv_result raise_equal_hashes(struct plan_run *run) {
    PyObject *name = PyTuple_GET_ITEM(run->step->names, run->rank); /* borrowed */
    PyObject *detail = PyUnicode_FromFormat("too many equal hashes in %U", name);
    enum conv_result result = plan_raise_bad_request(detail);
    Py_XDECREF(detail);
    return result;
}

enum conv_result plan_check_plain(struct plan_run *run, PyObject *value) {
    enum wf_walk_result result = wf_plain_check(run->plan->state, value);
    return wf_likely(result == WF_WALK_OK) ? CONV_OK
           : result == WF_WALK_INVALID     ? raise_equal_hashes(run)
                                           : CONV_FAILED;
}

static enum conv_result hand_over(struct plan_run *run, const struct conv *c, PyObject *value,
                                  PyObject **out) {
    if (wf_unlikely(plan_check_plain(run, value) != CONV_OK)) {
        return CONV_FAILED;
    }
    PyObject *stack[3] = {NULL, value, Py_True};
    *out = PyObject_Vectorcall(c->validate, stack + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               run->plan->state->plan.handed_keywords);
    if (wf_likely(*out != NULL)) {
        return CONV_OK;
    }
    if (!PyErr_ExceptionMatches(c->validation_error)) {
        return CONV_FAILED; /* a user's validator raised something else: their error, a 500 */
    }
    PyObject *exc = wf_err_take();
    enum conv_result result = plan_error_handed(run, exc);
    Py_DECREF(exc);
    return result;
}

enum conv_result convert_object(struct plan_run *run, const struct conv *c, PyObject *value,
                                PyObject **out) {
    switch ((enum conv_kind)c->kind) {
    case CONV_SHAPE:
        if (c->validate == NULL) {
            return plan_convert_shaped(run, c, value, out);
        }
        return hand_over(run, c, value, out);
    case CONV_HANDED:
        return hand_over(run, c, value, out);
    case CONV_OBJECT:
    case CONV_ARRAY:
        if (c->kind == CONV_OBJECT ? !PyDict_Check(value) : !PyList_Check(value)) {
            return plan_error(run, c->error_type, c->error_message, value, c->error_context);
        }
        break;
    case CONV_RAW:
        if (PyUnicode_Check(value)) {
            *out = PyUnicode_AsUTF8String(value);
            return *out != NULL ? CONV_OK : CONV_FAILED;
        }
        if (!PyBytes_Check(value)) {
            return plan_error_text(run, "bytes_type", "Input should be a valid bytes", value);
        }
        break;
    default:
        break;
    }
    *out = Py_NewRef(value);
    return CONV_OK;
}

static enum conv_result check_count(struct plan_run *run, const struct conv *c, PyObject *items,
                                    enum check_op op) {
    Py_ssize_t n = PyList_GET_SIZE(items);
    for (unsigned i = 0; i < c->nchecks; i++) {
        const struct check *k = &c->checks[i];
        if (k->op != op || (op == CHECK_MIN_LENGTH ? n >= k->as_int : n <= k->as_int)) {
            continue;
        }
        enum conv_result result = CONV_FAILED;
        PyObject *message = PyUnicode_FromFormat("%U%zd", k->message, n);
        PyObject *context = PyDict_Copy(k->context), *count = PyLong_FromSsize_t(n);
        if (message != NULL && context != NULL && count != NULL &&
            PyDict_SetItemString(context, "actual_length", count) == 0) {
            result = plan_error(run, k->type, message, items, context);
        }
        Py_XDECREF(message);
        Py_XDECREF(context);
        Py_XDECREF(count);
        return result;
    }
    return CONV_OK;
}

/* set  stolen, or NULL with an exception. FAILED also raises HTTPException: too many items of one hash. */
static enum conv_result fill_set(struct plan_run *run, PyObject *set, PyObject *list,
                                 PyObject **out) {
    enum wf_walk_result result = WF_WALK_FAILED;
    if (set != NULL) {
        result =
            wf_hashes_fill(set, ((PyListObject *)list)->ob_item, (size_t)PyList_GET_SIZE(list));
    }
    if (wf_likely(result == WF_WALK_OK)) {
        *out = set;
        return CONV_OK;
    }
    Py_XDECREF(set);
    return result == WF_WALK_INVALID ? raise_equal_hashes(run) : CONV_FAILED;
}

static enum conv_result as_container(struct plan_run *run, PyObject *type, PyObject *list,
                                     PyObject **out) {
    if (type == (PyObject *)&PySet_Type) {
        return fill_set(run, PySet_New(NULL), list, out);
    }
    if (type == (PyObject *)&PyFrozenSet_Type) {
        return fill_set(run, PyFrozenSet_New(NULL), list, out);
    }
    *out = type == (PyObject *)&PyTuple_Type ? PyList_AsTuple(list) : Py_NewRef(list);
    return *out != NULL ? CONV_OK : CONV_FAILED;
}

enum conv_result convert_list(struct plan_run *run, const struct conv *c, PyObject *items,
                              PyObject **out) {
    if (c->kind == CONV_HANDED || c->kind == CONV_SHAPE) {
        return convert_object(run, c, items, out);
    }
    /* pydantic's order: too many is seen before any item, too few after all of them */
    enum conv_result result = check_count(run, c, items, CHECK_MAX_LENGTH);
    if (result != CONV_OK) {
        return result;
    }
    Py_ssize_t n = PyList_GET_SIZE(items);
    PyObject *list = PyList_New(n);
    if (list == NULL) {
        return CONV_FAILED;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *str = PyList_GET_ITEM(items, i); /* borrowed; nobody else has the list */
        Py_ssize_t bytes;
        const char *utf8 = PyUnicode_AsUTF8AndSize(str, &bytes);
        PyObject *index = utf8 != NULL ? PyLong_FromSsize_t(i) : NULL;
        if (index == NULL) {
            result = CONV_FAILED;
            break;
        }
        struct text t = {.utf8 = wf_span(utf8, (size_t)bytes), .str = Py_NewRef(str)};
        PyObject *value = NULL;
        run->deeper[run->ndeeper++] = index;
        enum conv_result one = convert_text(run, &c->items[0], &t, &value);
        run->ndeeper--;
        Py_DECREF(index);
        Py_DECREF(t.str);
        if (one == CONV_FAILED) {
            result = CONV_FAILED;
            break;
        }
        if (one == CONV_INVALID) {
            result = CONV_INVALID;
        }
        PyList_SET_ITEM(list, i, one == CONV_OK ? value : Py_NewRef(Py_None));
    }
    if (result == CONV_OK) {
        result = check_count(run, c, items, CHECK_MIN_LENGTH);
    }
    if (result == CONV_OK) {
        result = as_container(run, c->data, list, out);
    }
    Py_DECREF(list);
    return result;
}
