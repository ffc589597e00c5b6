/* What a callback's context holds, without the Context.
 *
 * A Context is an object around an immutable mapping of its variables, which copy_context() shares; set()
 * exchanges the mapping for another. So a reference on the mapping is the context as it is now, and costs a
 * count where a Context costs an object that the collector has to look at. CPython has no public way to
 * that reference: this file reads its struct, and asks at start whether it is what it was compiled for
 * (ADR 32). Everybody else treats the mapping as a PyObject that only these functions take.
 *
 * thread  with the GIL */
#ifndef WF_PY_LOOP_CONTEXT_H
#define WF_PY_LOOP_CONTEXT_H

#include <stdbool.h>

#include "py/own.h"

/* *empty (owned): the variables of an empty context; NULL where CPython's contexts are not as this file knows
 * them, and nothing below may be called. 0, or -1 with an exception. */
int wf_context_probe(PyObject **empty);

/* New reference: the variables of the current context as they are now; NULL without an exception where this
 * thread has never had one. */
PyObject *wf_context_vars(void);

/* Puts vars (stolen) into the context, which nobody has entered, and returns what was in it (owned). */
PyObject *wf_context_exchange(PyObject *context, PyObject *vars) WF_MUST_USE;

/* Nobody but the one who asks has it, strongly or weakly, so that nobody can tell it from a new one. */
bool wf_context_unseen(PyObject *context);

#endif
