/* Keys of a reply that are no str. */
#include "py/bson/encode_int.h"

#include "py/json/json.h"

enum {
    KEY_BYTES_MAX = 1 << 16
}; /* of an int with all of the digits that Python lets it have, or a path */

/* What the JSON of a key that is no container says. */
static PyObject *text_of(struct encoder *e, struct wf_span json) {
    return json.p[0] == '"' ? wf_json_decode(e->state, json, 0)
                            : PyUnicode_DecodeUTF8(json.p, (Py_ssize_t)json.n, NULL);
}

PyObject *wf_bson_key_text(struct encoder *e, PyObject *key) {
    struct wf_buf json;
    PyObject *text = NULL;
    wf_buf_init(&json, KEY_BYTES_MAX);
    if (wf_json_encode(e->state, key, NULL, &json) == 0 && json.p[0] != '[' && json.p[0] != '{') {
        text = text_of(e, wf_buf_span(&json));
    } else if (!PyErr_Occurred() || PyErr_ExceptionMatches(e->state->json.encode_error)) {
        wf_bson_raise_encode(e->s, e->place, "keys of type %.200s have no text",
                             Py_TYPE(key)->tp_name);
    }
    wf_buf_free(&json);
    return text;
}
