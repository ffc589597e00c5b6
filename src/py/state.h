/* The one state struct of the module weft._core. No statics on this floor: types, interned names and
 * imported objects live here, so that subinterpreters and free-threading stay possible.
 *
 * Each room defines its part in its header as struct wf_<room>_state, and offers
 *     int  wf_<room>_exec(PyObject *module, struct wf_state *state)    0, or -1 with an exception
 *     int  wf_<room>_traverse(struct wf_<room>_state *, visitproc, void *)
 *     void wf_<room>_clear(struct wf_<room>_state *)
 * exec makes the room's types (PyType_FromModuleAndSpec) and adds what is public to the module. */
#ifndef WF_PY_STATE_H
#define WF_PY_STATE_H

#include "py/own.h"
#include "py/rooms.h"

struct wf_state {
#define X(room) struct wf_##room##_state room;
    WF_PY_ROOMS(X)
#undef X
};

extern struct PyModuleDef wf_core_module;

/* From a module, or from a type made with the module (a heap type of ours or a subclass of one). The
 * latter walks the MRO: keep the result where it is needed often. */
static inline struct wf_state *wf_state_of_module(PyObject *module) {
    return (struct wf_state *)PyModule_GetState(module);
}
static inline struct wf_state *wf_state_of_type(PyTypeObject *type) {
    PyObject *module = PyType_GetModuleByDef(type, &wf_core_module); /* borrowed from the type */
    return module != NULL ? wf_state_of_module(module) : NULL;
}

#endif
