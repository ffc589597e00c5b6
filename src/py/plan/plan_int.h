/* What the files of this room share: the compiled form of a plan. */
#ifndef WF_PY_PLAN_INT_H
#define WF_PY_PLAN_INT_H

#include "py/state.h"
#include "wire/scalar/scalar.h"
#include "wire/url/url.h"

enum {
    PLAN_STEPS_MAX = 255, /* CPython itself took no more arguments for long; indexes fit a byte */
    PLAN_NESTING_MAX = 4, /* list, union and scalar are the deepest native conversion */
    PLAN_STEPS_ON_STACK = 12 /* more come from the allocator: rare, and not small anyway */
};

/* name in the description, what it makes */
#define PLAN_CONVERSIONS(X)                                                                        \
    X(ANY, "any") /* the text; in a body the value as it is */                                     \
    X(STR, "str")                                                                                  \
    X(INT, "int")                                                                                  \
    X(FLOAT, "float")                                                                              \
    X(BOOL, "bool")                                                                                \
    X(BYTES, "bytes")                                                                              \
    X(UUID, "uuid")                                                                                \
    X(DATE, "date")                                                                                \
    X(TIME, "time")                                                                                \
    X(DATETIME, "datetime")                                                                        \
    X(TIMEDELTA, "timedelta")                                                                      \
    X(DECIMAL, "decimal")                                                                          \
    X(OBJECTID, "objectid")                                                                        \
    X(LOOKUP, "lookup")         /* text to a value: enums and literals */                          \
    X(LOOKUP_INT, "lookup_int") /* int to a value: enums of ints */                                \
    X(UNION, "union")           /* the first choice that succeeds */                               \
    X(LIST, "list")             /* each occurrence, into `data` */                                 \
    X(RAW, "raw")               /* body: bytes */                                                  \
    X(OBJECT, "object")         /* body: a dict */                                                 \
    X(UPLOAD, "upload")         /* form: an UploadFile */                                          \
    X(ARRAY, "array")           /* body: a list */                                                 \
    X(SHAPE, "shape")           /* body: py/shape, and pydantic where that finds it invalid */     \
    X(HANDED, "handed")         /* to pydantic */

enum conv_kind {
#define X(id, name) CONV_##id,
    PLAN_CONVERSIONS(X)
#undef X
        CONV_COUNT
};

#define PLAN_CHECKS(X)                                                                             \
    X(MULTIPLE_OF, "multiple_of")                                                                  \
    X(LE, "le")                                                                                    \
    X(LT, "lt")                                                                                    \
    X(GE, "ge")                                                                                    \
    X(GT, "gt")                                                                                    \
    X(MIN_LENGTH, "min_length")                                                                    \
    X(MAX_LENGTH, "max_length")                                                                    \
    X(PATTERN, "pattern")

enum check_op {
#define X(id, name) CHECK_##id,
    PLAN_CHECKS(X)
#undef X
        CHECK_COUNT
};

/* Everything owned by the description, which lives as long as the plan: PyObject * are borrowed
 * from it unless a line says otherwise. */

struct check {
    enum check_op op;
    bool small;       /* the limit fits `as_int` */
    long long as_int; /* of an int, or a length */
    double as_float;
    PyObject *limit; /* or pattern.search */
    PyObject *type, *message, *context;
};

struct conv {
    uint8_t kind; /* enum conv_kind */
    uint8_t nitems, nchecks;
    struct conv *items;                    /* owned array */
    struct check *checks;                  /* owned array */
    PyObject *data;                        /* as Conversion.data in signature/steps.py */
    PyObject *validate, *validation_error; /* HANDED; SHAPE, where NULL: the shape alone */
    struct wf_shape *shape;                /* SHAPE */
    bool straight; /* SHAPE: a walk that fails has run no code of the application */
    PyObject *error_type, *error_message, *error_context; /* or NULL; context may be NULL alone */
    PyObject *label;
};

enum step_source {
    SOURCE_PATH,
    SOURCE_QUERY,
    SOURCE_HEADER,
    SOURCE_COOKIE,
    SOURCE_BODY,
    SOURCE_REQUEST,
    SOURCE_RESPONSE,
    SOURCE_BACKGROUND,
    SOURCE_VALUE,      /* the default of the step */
    SOURCE_DEPENDENCY, /* wf_plan_call.values[index] */
    SOURCE_COUNT
};

enum step_default { DEFAULT_REQUIRED, DEFAULT_VALUE, DEFAULT_COPY, DEFAULT_FACTORY };

struct step {
    uint8_t source;       /* enum step_source */
    uint8_t default_kind; /* enum step_default */
    uint8_t index;        /* PATH: of the parameter in the pattern; DEPENDENCY: of its value */
    bool many;
    bool validate_default;
    uint16_t slot;           /* in the argument array */
    PyObject *default_value; /* or the factory */
    PyObject *names;         /* tuple of str: as in locs */
    PyObject *source_name;   /* str */
    /* A parameter model, which takes all of its source, where model_fields is not NULL: */
    PyObject *model_fields; /* tuple of (((key for the model, key in the request), ...), many) */
    PyObject *own_names;    /* frozenset of str: the request's keys of all fields */
    PyObject *renames;      /* dict: in locs, a field's name to its key in the request */
    struct name
        *model_names; /* owned: sorted by rank within a field, which is `step`; NULL: pydantic
                               * reads all of it */
    uint16_t nmodel_names;
    uint8_t nmodel_fields;
    bool optional;         /* without any of own_names it is as if nothing came, */
    bool extras_count;     /* unless something else did */
    bool raw;              /* form: of a file its bytes */
    PyObject *form_fields; /* form: of a model, tuple of (names, many, raw); NULL for one value */
    bool form_optional;    /* form: a model that may be None */
    bool form_native;      /* form: a model that its shape reads */
    PyObject *description;
    struct conv conv;
};

/* One name by which the request may give a value to a step. Sorted by source; within a step the
 * first name has rank 0 and is the best. */
struct name {
    struct wf_span key; /* as on the wire; lower-case for headers */
    uint16_t field_id;  /* HEADER: enum wf_field_id, or UNKNOWN: compare the bytes */
    uint8_t step;
    uint8_t rank;
    bool many; /* of a parameter model's field */
};

enum { MODEL_REFUSED = UINT8_MAX }; /* a name of a parameter model that pydantic is to judge */

struct wf_plan {
    PyObject_HEAD
    struct wf_state *state;             /* borrowed: the type keeps the module */
    PyObject *endpoint;                 /* owned */
    PyObject *description;              /* owned: tuple of weft.signature.Step */
    PyObject *param_names;              /* owned: tuple of str, in the order of the arguments */
    PyObject *kwnames;                  /* owned: tuple of str, or NULL */
    struct step *steps;                 /* owned: in the order of their sources */
    struct name *names;                 /* owned */
    PyObject *uses;                     /* owned: tuple of weft.dependencies.Use */
    struct wf_dependency *dependencies; /* owned */
    uint8_t ndependencies, nvalues;
    uint8_t nsteps, npositional;
    uint16_t nnames;
    uint16_t query_names, header_names,
        cookie_names; /* how many of each, in this order in `names` */
    uint16_t
        body_readers; /* how many plans with a body step there are, its own and dependencies' */
    bool reads_body;  /* it has a body step, or one of its dependencies has */
    bool has_body, embed, is_coroutine, runs_python;
    uint8_t body_mode; /* enum wf_body_mode */
};

/* ---- compile.c ---- */

/* Reads plan->description into steps and names. 0, or -1 with an exception. */
int plan_compile(struct wf_plan *plan);
/* Reads plan->uses into dependencies. 0, or -1 with an exception. */
int plan_compile_uses(struct wf_plan *plan);
void plan_free_compiled(struct wf_plan *plan);

/* ---- errors.c: what a request got wrong ---- */

struct plan_run {
    struct wf_plan *plan;
    struct wf_plan_call *call;
    PyObject *errors; /* owned: list of dicts, NULL while there are none */
    /* where the value comes from, for the loc of an error */
    const struct step *step;
    uint8_t rank;     /* which of its names the request used */
    PyObject *shaped; /* owned, or NULL: the body, as the one step that wants it has it */
    bool native_body; /* it was read so; there are no plain objects of it */
    bool whole_body;  /* the loc is ("body",) without a name */
    uint8_t ndeeper;
    PyObject *deeper[PLAN_NESTING_MAX]; /* borrowed: indexes and labels behind it */
};

enum conv_result { CONV_FAILED = -1, CONV_OK = 0, CONV_INVALID = 1 };

/* Each adds one error and returns CONV_INVALID, or CONV_FAILED with an exception. Nothing is
 * stolen. */
enum conv_result plan_error(struct plan_run *run, PyObject *type, PyObject *message,
                            PyObject *input, PyObject *context);
enum conv_result plan_error_text(struct plan_run *run, const char *type, const char *message,
                                 PyObject *input);
/* more  borrowed: tuple of what comes behind our loc */
enum conv_result plan_error_at(struct plan_run *run, const char *type, PyObject *message,
                               PyObject *input, PyObject *more);
enum conv_result plan_error_missing(struct plan_run *run);
/* text  what was refused; input  the same as a str */
enum conv_result plan_error_scalar(struct plan_run *run, enum wf_scalar_error e,
                                   struct wf_span text, PyObject *input);
/* The ValidationError that pydantic just raised (`exc`), each error behind our loc. */
enum conv_result plan_error_handed(struct plan_run *run, PyObject *exc);

/* ---- convert.c ---- */

/* Text of the request: UTF-8, and the str of it once somebody needs that. */
struct text {
    struct wf_span utf8; /* into the request, the arena or `str` */
    PyObject *str;       /* owned, or NULL */
};
PyObject *text_str(struct text *t); /* borrowed from t; NULL with an exception */

enum conv_result convert_text(struct plan_run *run, const struct conv *c, struct text *t,
                              PyObject **out);
/* value  borrowed: what the JSON held, raw bytes, or a list of str for pydantic */
enum conv_result convert_object(struct plan_run *run, const struct conv *c, PyObject *value,
                                PyObject **out);
/* items  borrowed: list of str */
enum conv_result convert_list(struct plan_run *run, const struct conv *c, PyObject *items,
                              PyObject **out);

/* Before plain objects (borrowed) of the request are handed to pydantic. OK or FAILED; that also raises
 * HTTPException: too many numbers of one hash (wf_plain_check). */
enum conv_result plan_check_plain(struct plan_run *run, PyObject *value);

/* Prepares what a conversion of this kind needs (types of the datetime and uuid modules). */
int convert_prepare(struct wf_state *state, enum conv_kind kind);

/* ---- body.c ---- */

/* The body as FastAPI reads it: JSON where the content type says so, else bytes.
 * out  owned, or NULL where there is no body
 * INVALID: the one error of a body that is not JSON has been added */
enum conv_result plan_read_body(struct plan_run *run, PyObject **out);

/* HTTPException(400). detail: borrowed str, or NULL with an exception. Always FAILED. */
enum conv_result plan_raise_bad_request(PyObject *detail);

/* ---- model.c ---- */

/* Everything its source has, as the model of the step makes it; for the rest see run.c.
 * present  false: nothing came, and *out is NULL */
enum conv_result convert_model(struct plan_run *run, const struct step *s, PyObject **out,
                               bool *present);

/* ---- fields.c ---- */

/* The parameter model of a step, by its shape. INVALID: it is for convert_model, with what validators
 * gave in *calls (owned) where one has been called, and has raised. */
enum conv_result plan_fill_model(struct plan_run *run, const struct step *s, PyObject **out,
                                 PyObject **calls);
/* The same of texts, one for each field of the shape's object. Both are FAILED with HTTPException where
 * nobody is to be asked again: wf_walk_is_final. */
enum conv_result plan_shape_fields(struct plan_run *run, const struct conv *c,
                                   const struct wf_texts *fields, PyObject **out, PyObject **calls);

/* ---- text.c: names and values as text ---- */

/* What stands in the query, the fields or the cookies, as text. 0, or -1 with an exception; t->str is to
 * be released either way. */
int plan_text_of(struct wf_exchange *ex, uint8_t source, struct wf_span raw, struct text *t);

/* Percent-decoding for a name or a value, in the exchange's arena. p is NULL with an exception. */
struct wf_span plan_decode_form(struct wf_exchange *ex, struct wf_span raw);
struct wf_span plan_query_of(const struct wf_exchange *ex);

/* Walks what a source has, as it stands in the request. */
struct plan_pairs {
    struct wf_exchange *ex; /* borrowed */
    struct wf_query rest;   /* of the query, or of one field of cookies */
    unsigned field;         /* the next one */
    uint8_t source;
};
void plan_pairs_init(struct plan_pairs *p, struct wf_exchange *ex, uint8_t source);
bool plan_pairs_next(struct plan_pairs *p, struct wf_span *name, struct wf_span *value);

/* Calls `add` for every pair of a source, in order; key and value are lent. 0 or -1. */
typedef int plan_pair_fn(void *arg, PyObject *key, PyObject *value);
int plan_each(struct wf_exchange *ex, uint8_t source, plan_pair_fn *add, void *arg);

/* Every value the query has for this key, and every field line of the same name as `first`, as lists of
 * str: new references, or NULL. */
PyObject *plan_all_in_query(struct wf_exchange *ex, PyObject *name);
PyObject *plan_all_in_head(struct wf_exchange *ex, const struct wf_field *first);

/* ---- form.c: where the body is a form ---- */

/* All of it: a list of (str, str | UploadFile). FAILED also raises HTTPException: it is malformed. */
enum conv_result plan_read_form(struct plan_run *run, PyObject **out);
enum conv_result plan_step_form(struct plan_run *run, const struct step *s, PyObject *items,
                                PyObject **out);
/* The request has nothing for this step. In run.c. */
enum conv_result plan_use_default(struct plan_run *run, const struct step *s, PyObject **out);

/* Is the body application/bson, which weft reads where FastAPI would hand over bytes? */
bool plan_body_is_bson(const struct wf_exchange *ex);

/* ---- shaped.c ---- */

/* A walk's failure that no judge is asked about: HTTPException(400). Always FAILED. */
enum conv_result plan_refuse(const struct wf_walk_fail *f);

/* The body straight to the value of a step whose conversion is SHAPE, without an error where that is
 * not possible: INVALID, and plan_read_body is next. FAILED also: plan_refuse. */
enum conv_result plan_read_shaped(struct plan_run *run, const struct step *s, PyObject **out);
/* The value that was read so, which is run->shaped, with its validators called. */
enum conv_result plan_finish_shaped(struct plan_run *run, const struct conv *c, PyObject **out);
/* What pydantic makes of a value (borrowed), knowing what validators gave already. */
enum conv_result plan_replay(struct plan_run *run, const struct conv *c, PyObject *value,
                             PyObject *calls, PyObject **out);
/* value  borrowed: what JSON held */
enum conv_result plan_convert_shaped(struct plan_run *run, const struct conv *c, PyObject *value,
                                     PyObject **out);

/* ---- probe.c ---- */

/* _core._plan_test: runs a plan on a request made up from its parts, for tests without a server. */
PyObject *plan_test(PyObject *module, PyObject *args, PyObject *kwargs);

#endif
