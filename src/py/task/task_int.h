/* What the files of this room share. */
#ifndef WF_PY_TASK_INT_H
#define WF_PY_TASK_INT_H

#include "py/state.h"

/* _core._HandlerRunner: stepping without a server, for tests. */
int wf_runner_exec(PyObject *module, struct wf_state *state);

#endif
