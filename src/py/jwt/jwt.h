/* _core.TokenVerifier: is a token good (RFC 7519, RFC 8725), and what does it claim?
 *
 * thread   with the GIL */
#ifndef WF_PY_JWT_H
#define WF_PY_JWT_H

#include "py/own.h"

struct wf_state;

struct wf_jwt_state {
    PyTypeObject *verifier_type;                       /* owned: _core.TokenVerifier */
    PyObject *alg, *kid, *crit;                        /* owned, interned: members of a header */
    PyObject *exp, *nbf, *iat, *aud, *iss, *sub, *jti; /* owned, interned: claims */
};
int wf_jwt_exec(PyObject *module, struct wf_state *state);
int wf_jwt_traverse(struct wf_jwt_state *s, visitproc visit, void *arg);
void wf_jwt_clear(struct wf_jwt_state *s);

#endif
