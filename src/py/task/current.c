/* asyncio's current task: a dict of asyncio's own, or a function where there is none. */
#include "py/task/task_int.h"

int wf_task_swap_current(struct wf_state *state, PyObject *loop, PyObject *task,
                         PyObject **before) {
    struct wf_task_state *s = &state->task;
    if (s->current_tasks == NULL) {
        PyObject *old = PyObject_CallFunctionObjArgs(s->swap_current_task, loop,
                                                     task != NULL ? task : Py_None, NULL);
        if (old == NULL) {
            return -1;
        }
        if (before != NULL && old != Py_None) {
            *before = Py_NewRef(old);
        }
        Py_DECREF(old);
        return 0;
    }
    if (before != NULL) { /* with a task: nobody asks who was there before there is nobody */
        PyObject *old = PyDict_SetDefault(s->current_tasks, loop, task); /* borrowed */
        if (wf_likely(old == task)) {
            return 0;
        }
        if (old == NULL) {
            return -1;
        }
        *before = Py_NewRef(old);
    }
    if (task != NULL) {
        return PyDict_SetItem(s->current_tasks, loop, task);
    }
    if (PyDict_DelItem(s->current_tasks, loop) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
            return -1;
        }
        PyErr_Clear(); /* nobody was */
    }
    return 0;
}

PyObject *wf_task_import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return found;
}

int wf_task_import_current(struct wf_task_state *s) {
#if PY_VERSION_HEX < 0x030E0000
    s->current_tasks = wf_task_import_from("_asyncio", "_current_tasks");
    if (s->current_tasks != NULL && !PyDict_CheckExact(s->current_tasks)) {
        PyErr_SetString(PyExc_ImportError, "asyncio's _current_tasks is not a dict");
        return -1;
    }
    return s->current_tasks != NULL ? 0 : -1;
#else
    s->swap_current_task = wf_task_import_from("_asyncio", "_swap_current_task");
    return s->swap_current_task != NULL ? 0 : -1;
#endif
}
