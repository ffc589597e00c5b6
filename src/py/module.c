/* weft._core: the state, and the list of rooms that set up their types in it. */
#include "py/state.h"

static int core_exec(PyObject *module) {
    struct wf_state *state = wf_state_of_module(module);
    (void)state;
#define X(room)                                                                                    \
    if (wf_##room##_exec(module, state) < 0) {                                                     \
        return -1;                                                                                 \
    }
    WF_PY_ROOMS(X)
#undef X
    return 0;
}

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
    struct wf_state *state = wf_state_of_module(module);
    if (state == NULL) {
        return 0;
    }
    int rc = 0;
#define X(room)                                                                                    \
    if (rc == 0) {                                                                                 \
        rc = wf_##room##_traverse(&state->room, visit, arg);                                       \
    }
    WF_PY_ROOMS(X)
#undef X
    return rc;
}

static int core_clear(PyObject *module) {
    struct wf_state *state = wf_state_of_module(module);
    if (state != NULL) {
#define X(room) wf_##room##_clear(&state->room);
        WF_PY_ROOMS(X)
#undef X
    }
    return 0;
}

static void core_free(void *module) {
    core_clear(module);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#endif
    {0, NULL},
};

struct PyModuleDef wf_core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "weft._core",
    .m_doc = "The native core of weft. Import its names from weft, not from here.",
    .m_size = sizeof(struct wf_state),
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void); /* what the interpreter looks for */

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&wf_core_module);
}
