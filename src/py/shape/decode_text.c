/* Text to objects, as a shape has them: the fields of an object are parameters of a request, each one
 * text or several. pydantic's nodes alone: what is taken is what its lax mode makes of the same str or
 * list of them, and what that is not certain of is invalid, for pydantic to judge. */
#include "py/shape/shape_int.h"

static PyObject *make_str(struct wf_span text) {
    return PyUnicode_DecodeUTF8(text.p, (Py_ssize_t)text.n, NULL);
}

/* The str, or the list of them, that pydantic would get. */
static PyObject *make_plain(const struct wf_texts *texts) {
    if (!texts->many) {
        return make_str(texts->p[0]);
    }
    PyObject *list = PyList_New((Py_ssize_t)texts->n);
    for (size_t i = 0; i < texts->n && list != NULL; i++) {
        PyObject *str = make_str(texts->p[i]);
        if (str == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, str);
    }
    return list;
}

static enum wf_walk_result refuse(struct wf_walk *w, const struct wf_node *node) {
    w->fail.got = WF_CLASS_STR;
    return shape_fail(w, WF_FAIL_EXPECTED, node);
}

/* The member that takes it: the only one beside None, or what is exactly of the input's class. */
static const struct wf_node *member_of(const struct wf_node *node, bool many) {
    const struct wf_node *member = node->one_of.by_class[many ? WF_CLASS_ARRAY : WF_CLASS_STR];
    if (node->n == 2 && node->one_of.members[0]->kind == WF_NODE_NONE) {
        return node->one_of.members[1];
    }
    if (node->n == 2 && node->one_of.members[1]->kind == WF_NODE_NONE) {
        return node->one_of.members[0];
    }
    return many || (member != NULL && member->kind == WF_NODE_STR) ? member : NULL;
}

static enum wf_walk_result decode(struct wf_walk *w, const struct wf_node *node,
                                  const struct wf_texts *texts, PyObject **out);

static enum wf_walk_result decode_float(struct wf_walk *w, const struct wf_node *node,
                                        struct wf_span text, PyObject **out) {
    enum wf_walk_result result = wf_walk_text(w, node, text, out);
    if (result == WF_WALK_OK && !__builtin_isfinite(PyFloat_AS_DOUBLE(*out))) {
        Py_CLEAR(*out); /* whether that is allowed the shape does not know */
        return refuse(w, node);
    }
    return result;
}

static enum wf_walk_result decode_items(struct wf_walk *w, const struct wf_node *node,
                                        const struct wf_texts *texts, PyObject **out) {
    const size_t bottom = w->values.len, later = w->nlater;
    const bool fixed = node->kind == WF_NODE_TUPLE;
    if (!texts->many || (fixed && texts->n != node->n)) {
        return refuse(w, node);
    }
    for (size_t i = 0; i < texts->n; i++) {
        const struct wf_texts one = {.p = &texts->p[i], .n = 1};
        const size_t before = w->nlater;
        PyObject *value = NULL;
        enum wf_walk_result result = decode(w, fixed ? node->items[i] : node->item, &one, &value);
        if (result == WF_WALK_OK && wf_values_push(&w->values, value) < 0) {
            result = WF_WALK_FAILED;
        }
        if (result != WF_WALK_OK) {
            wf_values_drop(&w->values, bottom);
            return result;
        }
        wf_walk_later_for(w, before, (unsigned)i);
    }
    w->later_at = later;
    return wf_walk_items(w, node, bottom, out);
}

/* What pydantic makes of it at once, where that runs no code of the application, or in the end. */
static enum wf_walk_result hand_over(struct wf_walk *w, const struct wf_node *node,
                                     const struct wf_texts *texts, PyObject **out) {
    PyObject *plain = make_plain(texts);
    if (plain == NULL) {
        return WF_WALK_FAILED;
    }
    if (node->call == NULL) {
        enum wf_walk_result result = wf_walk_judge(w, node, plain, out);
        Py_DECREF(plain);
        return result;
    }
    *out = plain;
    enum wf_walk_result result = wf_walk_check_plain(w, node, plain);
    return result == WF_WALK_OK ? wf_walk_put_off(w, node) : result;
}

static enum wf_walk_result decode_kind(struct wf_walk *w, const struct wf_node *node,
                                       const struct wf_texts *texts, PyObject **out) {
    switch ((enum wf_node_kind)node->kind) {
    case WF_NODE_ANY:
        *out = make_plain(texts);
        return *out != NULL ? WF_WALK_OK : WF_WALK_FAILED;
    case WF_NODE_FLOAT:
        return texts->many ? refuse(w, node) : decode_float(w, node, texts->p[0], out);
    case WF_NODE_BOOL:
    case WF_NODE_INT:
    case WF_NODE_STR:
    case WF_NODE_BYTES:
    case WF_NODE_DATETIME:
    case WF_NODE_DATE:
    case WF_NODE_TIME:
    case WF_NODE_TIMEDELTA:
    case WF_NODE_UUID:
    case WF_NODE_OBJECTID:
    case WF_NODE_DECIMAL:
    case WF_NODE_CHOICE:
    case WF_NODE_TEXT:
        return texts->many ? refuse(w, node) : wf_walk_text(w, node, texts->p[0], out);
    case WF_NODE_LIST:
    case WF_NODE_VARTUPLE:
    case WF_NODE_SET:
    case WF_NODE_FROZENSET:
    case WF_NODE_DEQUE:
    case WF_NODE_TUPLE:
        return decode_items(w, node, texts, out);
    case WF_NODE_UNION: {
        const struct wf_node *member = member_of(node, texts->many);
        return member != NULL ? decode(w, member, texts, out) : refuse(w, node);
    }
    case WF_NODE_AFTER: {
        enum wf_walk_result result = decode(w, node->item, texts, out);
        return result == WF_WALK_OK ? wf_walk_put_off(w, node) : result;
    }
    case WF_NODE_HANDED:
        return hand_over(w, node, texts, out);
    case WF_NODE_NONE: /* no text is None */
    case WF_NODE_DICT:
    case WF_NODE_TAGGED:
    case WF_NODE_OBJECT:
    case WF_NODE_RAW:
    case WF_NODE_HOOK:
    case WF_NODE_SERIALIZER: /* of output only */
    case WF_NODE_KIND_COUNT:
        break;
    }
    return refuse(w, node);
}

static enum wf_walk_result decode(struct wf_walk *w, const struct wf_node *node,
                                  const struct wf_texts *texts, PyObject **out) {
    *out = NULL;
    if (wf_unlikely(!(node->flags & WF_NODE_PYDANTIC) ||
                    (node->judge != NULL && node->kind != WF_NODE_HANDED))) {
        return refuse(w, node);
    }
    enum wf_walk_result result = decode_kind(w, node, texts, out);
    if (wf_unlikely(result != WF_WALK_OK)) {
        Py_CLEAR(*out);
    }
    return result;
}

static enum wf_walk_result decode_fields(struct wf_walk *w, const struct wf_node *node,
                                         const struct wf_texts *fields, PyObject **out) {
    const struct wf_object *o = &node->object;
    const size_t bottom = w->values.len, later = w->nlater;
    enum wf_walk_result result = WF_WALK_FAILED;
    if (wf_walk_push_nulls(w, (size_t)o->nfields + o->extra_values) < 0) {
        goto fail;
    }
    for (unsigned i = 0; i < o->nfields; i++) {
        if (fields[i].p == NULL) {
            continue;
        }
        const size_t before = w->nlater;
        PyObject *value;
        result = decode(w, o->fields[i].node, &fields[i], &value);
        if (wf_unlikely(result != WF_WALK_OK)) {
            goto fail;
        }
        wf_walk_later_for(w, before, i);
        w->values.p[bottom + i] = value;
    }
    w->later_at = later;
    return wf_walk_object(w, node, bottom, out);
fail:
    wf_values_drop(&w->values, bottom);
    return result;
}

/* The object itself, then those around it. */
static enum wf_walk_result decode_object(struct wf_walk *w, const struct wf_node *node,
                                         const struct wf_texts *fields, PyObject **out) {
    switch ((enum wf_node_kind)node->kind) {
    case WF_NODE_OBJECT:
        return decode_fields(w, node, fields, out);
    case WF_NODE_UNION:
        return decode_object(w, node->one_of.by_class[WF_CLASS_OBJECT], fields, out);
    default: {
        enum wf_walk_result result = decode_object(w, node->item, fields, out);
        if (result == WF_WALK_OK && (result = wf_walk_put_off(w, node)) != WF_WALK_OK) {
            Py_CLEAR(*out);
        }
        return result;
    }
    }
}

const struct wf_object *wf_text_object(const struct wf_node *node) {
    while (node != NULL && node->kind != WF_NODE_OBJECT) {
        node = node->kind == WF_NODE_AFTER   ? node->item
               : node->kind == WF_NODE_UNION ? node->one_of.by_class[WF_CLASS_OBJECT]
                                             : NULL;
    }
    return node != NULL && node->object.make != WF_MAKE_ROOT_MODEL && !node->object.array
               ? &node->object
               : NULL;
}

enum wf_walk_result wf_text_decode_shape(struct wf_walk *w, const struct wf_node *root,
                                         const struct wf_texts *fields, PyObject **out) {
    *out = NULL;
    enum wf_walk_result result = decode_object(w, root, fields, out);
    if (result == WF_WALK_OK && (result = wf_walk_later(w, 0, root, out)) != WF_WALK_OK) {
        Py_CLEAR(*out);
    }
    return result;
}
