/* The rooms of this floor in the order their types are made. A room is one include and one X. */
#ifndef WF_PY_ROOMS_H
#define WF_PY_ROOMS_H

#include "py/bson/bson.h"
#include "py/form/form.h"
#include "py/http/http.h"
#include "py/json/json.h"
#include "py/jwt/jwt.h"
#include "py/loop/pyloop.h"
#include "py/plan/plan.h"
#include "py/shape/shape.h"
#include "py/task/task.h"
#include "py/transport/transport.h"

#define WF_PY_ROOMS(X)                                                                             \
    X(json) X(shape) X(bson) X(loop) X(transport) X(task) X(form_py) X(jwt) X(plan) X(http)

#endif
