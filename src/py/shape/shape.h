/* Shapes: a Python type compiled once to a C tree, walked by every codec.
 *
 *   class Point(Struct):                  OBJECT Point, made by STRUCT
 *       x: Annotated[int, Ge(0)]            "x"    -> INT, check ge 0
 *       y: float = 0.0                      "y"    -> FLOAT, default 0.0
 *       tags: list[str] | None = None       "tags" -> UNION, null: NONE, array: LIST -> STR
 *       next: Point | None = None           "next" -> UNION, null: NONE, object: the same OBJECT
 *
 * weft/shape/ reads annotations (or pydantic's core schema) and describes the tree in Python objects
 * (weft.shape.nodes); _core.Shape(description) compiles it. One shape, many walkers: a new type is
 * one node and its walkers, a new codec is one walker.
 *
 * Recursion   a node is compiled once and pointed to from wherever it is meant: the tree may have
 *             cycles. A walker bounds its depth by the input (WF_JSON_DEPTH_MAX), never by the tree.
 * Generics    are resolved by the description: Box[int] and Box[str] are two nodes of one class.
 * Constraints are checks of the node they stand on; a value that breaks one is invalid.
 * Defaults    belong to fields; see enum wf_default.
 * Aliases     each name that input may use for a field is a wf_key; output has wf_object_field.out_key.
 * Making      a walker collects the values of an object's fields and wf_walk_object makes it in one
 *             go, so that nobody ever sees one half filled; enum wf_make says how.
 * Judges      a HANDED node belongs to pydantic. So does whatever a native node finds invalid below
 *             a node with a judge: wf_node.judge is asked again from the start with plain objects,
 *             and its answer, value or errors, stands. That is why nothing below a judge runs code of
 *             the application while anything may be invalid: default factories and validators are
 *             put off until all else is valid (struct wf_later). What validators then returned or
 *             raised is kept, for wf_node.replay to call none a second time.
 *
 * ownership   nodes, fields, checks and every PyObject * in them belong to the shape and are borrowed
 *             by walkers, who keep the shape alive; a shape is read-only once made
 * thread      with the GIL */
#ifndef WF_PY_SHAPE_H
#define WF_PY_SHAPE_H

#include "py/own.h"
#include "py/values.h"
#include "base/buf.h"
#include "base/span.h"
#include "wire/scalar/scalar.h"

struct wf_state;

enum {
    /* Sanity of declarations, not limits of input: indexes fit 16 bits. */
    WF_SHAPE_FIELDS_MAX = 10000,
    WF_SHAPE_NODES_MAX = 1000000,
    /* Shapes kept for json_decode(type=...), by type: all are forgotten when there are more, since
     * types may be made at run time. */
    WF_SHAPE_TYPES = 1024
};

/* id, name in the description: what its values are made of and become */
#define WF_NODE_KINDS(X)                                                                              \
    X(ANY, "any") /* whatever the input holds, untyped */                                             \
    X(NONE, "none")                                                                                   \
    X(BOOL, "bool")                                                                                   \
    X(INT, "int")                                                                                     \
    X(FLOAT, "float")                                                                                 \
    X(STR, "str")                                                                                     \
    X(BYTES, "bytes") /* `type` says bytes or bytearray; WF_NODE_BASE64 how text holds them */        \
    X(DATETIME, "datetime")                                                                           \
    X(DATE, "date")                                                                                   \
    X(TIME, "time")                                                                                   \
    X(TIMEDELTA, "timedelta")                                                                         \
    X(UUID, "uuid")                                                                                   \
    X(OBJECTID, "objectid") /* text: its 24 digits */                                                 \
    X(DECIMAL, "decimal")                                                                             \
    X(CHOICE, "choice") /* literals and enums: text or int to one of `choice` */                      \
    X(TEXT, "text")     /* type(str): paths, IP addresses, URLs; ValueError means invalid */          \
    X(LIST, "list")     /* of `item`, as the four below */                                            \
    X(VARTUPLE, "vartuple")                                                                           \
    X(SET, "set")                                                                                     \
    X(FROZENSET, "frozenset")                                                                         \
    X(DEQUE, "deque")                                                                                 \
    X(TUPLE, "tuple")   /* exactly `items` */                                                         \
    X(DICT, "dict")     /* `map.key` to `map.value` */                                                \
    X(UNION, "union")   /* the member its input's class selects */                                    \
    X(TAGGED, "tagged") /* objects told apart by the value of one key, or arrays by their first */    \
    X(OBJECT, "object") /* known fields */                                                            \
    X(RAW, "raw")       /* the JSON of any value as it stands, as `type`: Raw, or msgspec's */        \
    X(HOOK,                                                                                           \
      "hook") /* what `call` makes of a plain value, an instance of `type`; without a type, of a    \
                         * number's text. Output: what the shape's fallback does, as `item` */ \
    X(AFTER, "after") /* what `call` makes of `item`, when all else is valid */                       \
    X(SERIALIZER,                                                                                     \
      "serializer")     /* output: what `call` makes of it, as items[0]; None as items[1], \
                                 * where there is one */          \
    X(HANDED, "handed") /* to the judge, always */

enum wf_node_kind {
#define X(id, name) WF_NODE_##id,
    WF_NODE_KINDS(X)
#undef X
        WF_NODE_KIND_COUNT
};

enum wf_node_flags {
    WF_NODE_LAX =
        1, /* conversions of enum wf_walk_flags WF_WALK_LAX apply whatever the call says */
    WF_NODE_PYDANTIC =
        2,              /* text is read by pydantic's grammar (wire/scalar), not by RFC 3339; tzinfo
                           * is pydantic_core.TzInfo */
    WF_NODE_BASE64 = 4, /* BYTES: text is base64 (RFC 4648), else it is its UTF-8 */
    WF_NODE_FINITE = 8, /* FLOAT, DECIMAL: neither nan nor infinity */
    /* of what is written, in shapes of output: */
    WF_NODE_PROVED = 16, /* pydantic's validation leaves a value that is exactly of the node, and
                          * keeps its checks, as it is */
    WF_NODE_AS_IS = 32,  /* OBJECT: and an instance, whatever is in it */
    WF_NODE_OUTPUT = 64, /* it is of such a shape */
    WF_NODE_PART = 128   /* `call` is a weft.shapes.validators.Part. In output: of a field alone,
                          * `call` and `dump` get its object first */
};

/* What the next value of the input is, before it is read: selects a union's member. */
#define WF_CLASSES(X)                                                                              \
    X(NULL, "null")                                                                                \
    X(BOOL, "bool")                                                                                \
    X(INT, "int")                                                                                  \
    X(FLOAT, "float")                                                                              \
    X(STR, "str")                                                                                  \
    X(ARRAY, "array")                                                                              \
    X(OBJECT, "object")

enum wf_class {
#define X(id, name) WF_CLASS_##id,
    WF_CLASSES(X)
#undef X
        WF_CLASS_COUNT
};

/* Constraints. Lengths are code points of str, bytes of bytes, items of containers. */
#define WF_CHECKS(X)                                                                               \
    X(MULTIPLE_OF, "multiple_of")                                                                  \
    X(LE, "le")                                                                                    \
    X(LT, "lt")                                                                                    \
    X(GE, "ge")                                                                                    \
    X(GT, "gt")                                                                                    \
    X(MIN_LENGTH, "min_length")                                                                    \
    X(MAX_LENGTH, "max_length")                                                                    \
    X(PATTERN, "pattern") /* limit: pattern.search; None means it does not hold */                 \
    X(TZ, "tz")           /* limit: True aware, False naive */

enum wf_check_op {
#define X(id, name) WF_CHECK_##id,
    WF_CHECKS(X)
#undef X
        WF_CHECK_COUNT
};

struct wf_check {
    uint8_t op; /* enum wf_check_op */
    bool small; /* the limit is an int that fits as_int */
    long long as_int;
    double as_float;
    PyObject *limit; /* as declared */
};

/* One value of a literal or an enum. */
struct wf_choice {
    struct wf_span text; /* UTF-8; p is NULL for an int */
    long long number;
    PyObject *value;
    struct wf_span json; /* as it is written */
};

enum wf_default {
    WF_DEFAULT_REQUIRED, /* none: missing is invalid */
    WF_DEFAULT_VALUE,    /* shared: it cannot change */
    WF_DEFAULT_COPY,     /* deep copy of the value */
    WF_DEFAULT_FACTORY,  /* called without arguments */
    WF_DEFAULT_LIST,     /* a new empty one, made without a call */
    WF_DEFAULT_DICT,
    WF_DEFAULT_SET,
    WF_DEFAULT_OMIT /* stays away: TypedDict's NotRequired, fields the constructor fills in */
};

struct wf_node;

/* A name as it stands in JSON, quotes and colon included; 16 bytes can be read of any. */
struct wf_json_name {
    const char *p;
    size_t n;
};

struct wf_object_field {
    PyObject *name;         /* str, interned: attribute, dict key or keyword */
    struct wf_span out_key; /* UTF-8: its name in output */
    PyObject *key;          /* str, interned: its usual name in a dict of input */
    struct wf_json_name json_name, json_alias; /* in output; for pydantic alone these differ */
    uint8_t written;                           /* enum wf_written */
    const struct wf_node *node;
    Py_ssize_t offset;       /* of its slot in the instance; -1: in the instance's dict */
    uint8_t default_kind;    /* enum wf_default */
    PyObject *default_value; /* or factory; NULL for the kinds without */
};

enum wf_written { WF_WRITTEN_PLAIN, WF_WRITTEN_NEVER, WF_WRITTEN_PART /* see WF_NODE_PART */ };

/* One name input may use for a field. */
struct wf_key {
    struct wf_span text; /* UTF-8 */
    uint64_t head;       /* its first eight bytes as they are in memory, zeros behind the end */
    uint16_t field;      /* index; of several names for one the first in order is the usual one */
    /* "name": as it stands in JSON, with its first eight bytes, ones where these have any of it, and
     * its last eight where it has more. Where it is to be escaped, nothing is like that. */
    struct wf_span json;
    uint64_t json_head, json_mask, json_tail;
};

enum wf_make {
    WF_MAKE_DICT,     /* TypedDict: a dict of what was given */
    WF_MAKE_INSTANCE, /* slots and __dict__ filled: dataclass, attrs */
    WF_MAKE_STRUCT,   /* the same, for msgspec.Struct */
    WF_MAKE_NAMEDTUPLE,
    WF_MAKE_MODEL,      /* pydantic: __dict__, __pydantic_fields_set__, _extra__ and _private__ */
    WF_MAKE_ROOT_MODEL, /* pydantic.RootModel: one field "root", which is the whole value */
    WF_MAKE_CALL        /* type(**values) */
};

enum wf_extra { WF_EXTRA_IGNORE, WF_EXTRA_FORBID, WF_EXTRA_ALLOW };

struct wf_object {
    uint8_t make;       /* enum wf_make */
    uint8_t extra;      /* enum wf_extra: names that are no key */
    bool array;         /* msgspec's array_like: an array of values in order of the fields */
    bool puts_off;      /* below a judge, with default factories */
    bool in_dict;       /* some fields are in the instance's dict */
    bool extra_values;  /* one more value behind those of the fields: a dict, or NULL */
    bool omit_defaults; /* output: msgspec's */
    bool by_alias;      /* output: whatever the caller says */
    bool plain;         /* output, of a root: model_dump leaves all that is in it as it is, but for
                         * models, which become dicts */
    bool direct; /* output, of a root: model_dump(mode="json") says of it what its nodes do */
    bool private_copied; /* private_template has lists, dicts or sets, which are copied */
    uint16_t nfields, nkeys;
    uint16_t nrequired;
    uint16_t ncomputed; /* output: as many stand behind the fields, and are attributes */
    const struct wf_object_field *fields; /* in order of declaration */
    const struct wf_key *keys; /* the first nfields are the usual names, in order of the fields */
    struct wf_span tag_key;    /* a Struct's own tag, which is no field; p is NULL without */
    struct wf_choice tag;
    struct wf_span json_tag; /* "key":"tag" as it is written, or "tag" for an array; p NULL: none */
    PyObject *template;      /* dict of all fields, defaults in place: copied, then filled */
    PyObject *all_names;     /* MODEL: set of all field names */
    Py_ssize_t offset_fields_set, offset_extra, offset_private; /* MODEL */
    PyObject *private_template;                                 /* MODEL: dict, or NULL for None */
    PyObject *post_init; /* str: method to call when it is filled, or NULL */
};

struct wf_tagged {
    struct wf_span key;
    bool array; /* its objects are arrays, each with its tag in front; the key is in none */
    uint16_t n;
    const struct wf_choice *tags; /* value: unused */
    const struct wf_node *const *nodes;
};

struct wf_node {
    uint8_t kind;  /* enum wf_node_kind */
    uint8_t flags; /* enum wf_node_flags */
    uint8_t nchecks;
    bool quiet; /* a root: what is valid is decoded without a call of application code */
    uint32_t n; /* how many `items`, `choices` or `members` */
    const struct wf_check *checks;
    PyObject *type;  /* the class made; NULL where the kind says it all */
    PyObject *judge; /* callable(object) -> value, raises ValidationError; or NULL */
    PyObject *label; /* str, for people: "int", "list[Point]" */
    PyObject *why;   /* str: why it is HANDED; or NULL */
    PyObject
        *replay;    /* of a judge: callable(object, calls) -> value, as judge, where validators were
                       * called already: calls is a list of (raised, outcome). SERIALIZER:
                       * callable(value, exception) -> JSON, where `call` has raised. Or NULL */
    PyObject *call; /* AFTER, HANDED: callable(value) -> value, when all else is valid; of a PART
                       * callable(value, fields) -> (raised, outcome, calls). SERIALIZER:
                       * callable([object, ]value) -> value. CHOICE: callable(int or str) -> value for
                       * what is none of the choices, ValueError or TypeError where that is none
                       * either. Or NULL */
    PyObject *dump; /* output: callable(value, by_alias, exclude_unset, exclude_none) -> its JSON in
                      * bytes, which is pydantic's, for what is not as the node says; of a HANDED
                      * PART it gets the object, and writes it with this field alone. Or NULL */
    union {
        const struct wf_node *item;
        const struct wf_node *const *items;
        struct {
            const struct wf_node *key, *value;
        } map;
        const struct wf_choice *choices;
        struct {
            const struct wf_node *const *members;           /* all n, in order of declaration */
            const struct wf_node *by_class[WF_CLASS_COUNT]; /* NULL: invalid */
        } one_of;
        struct wf_tagged tagged;
        struct wf_object object;
    };
};

/* _core.Shape: owns all of the above. */
struct wf_shape {
    PyObject_HEAD
    struct wf_state *state; /* borrowed: the type keeps the module */
    PyObject *description;  /* owned: weft.shape.nodes.Node */
    PyObject *kept;         /* owned: list of what the tree borrows */
    PyObject *fallback; /* owned, or NULL. Output: as json_encode's default, for what has no form */
    const struct wf_node *root; /* owned, as are the next two */
    struct wf_node **nodes;
    void **blocks;
    size_t nnodes, nblocks, nodes_cap, blocks_cap;
};

struct wf_shape_state {
    PyTypeObject *shape_type;   /* owned: _core.Shape */
    PyTypeObject *pending_type; /* owned */
    PyObject *by_type;          /* owned: dict of types that were asked for to their _core.Shape */
    PyObject *native_of; /* owned: weft.shapes.compiled.native_of, or NULL until it is needed */
    PyObject *output_by_type, *output_of; /* owned: the same for shapes of output */
    PyObject *unset;                      /* owned: msgspec.UNSET, or NULL until it is met */
    PyObject *deepcopy;                   /* owned, or NULL until a default needs it */
    PyObject *deque;                      /* owned, or NULL, as the next */
    PyTypeObject *uuid_type;
    PyObject *safe_unknown;            /* uuid.SafeUUID.unknown */
    Py_ssize_t uuid_int, uuid_is_safe; /* offsets of the slots of a UUID */
    PyObject *decimal_type;
    PyObject *tz_info; /* pydantic_core.TzInfo */
    PyObject *tz_utc;  /* TzInfo(0); not given up at the end */
    PyObject *name_path, *name_root;
    void *datetime; /* PyDateTime_CAPI, static in CPython; or NULL before the first date */
};
int wf_shape_exec(PyObject *module, struct wf_state *state);
int wf_shape_traverse(struct wf_shape_state *s, visitproc visit, void *arg);
void wf_shape_clear(struct wf_shape_state *s);

/* ---- walking: what the walkers of all input codecs share ---- */

enum wf_walk_result {
    WF_WALK_FAILED = -1, /* an exception is set */
    WF_WALK_OK = 0,
    WF_WALK_INVALID = 1 /* the input is not of this shape: walk->fail says why */
};

enum wf_walk_flags {
    WF_WALK_LAX =
        1, /* numbers and bools from text, ints from floats without a fraction, bools from 0
                      * and 1, dates from unix seconds, as msgspec's strict=False */
    WF_WALK_WAITS = 2 /* validators wait for wf_walk_pending */
};

/* Why an input is not of the shape. */
#define WF_FAILS(X)                                                                                \
    X(SYNTAX)   /* the codec's own error, in `code` */                                             \
    X(EXPECTED) /* node's kind, got another class */                                               \
    X(CHECK)    /* a constraint, in `check` */                                                     \
    X(VALUE)    /* text that is not a date, a UUID, ...; or no such choice */                      \
    X(MISSING)  /* a required field, in `field` */                                                 \
    X(UNKNOWN)  /* a name that is no field, where that is forbidden */                             \
    X(LENGTH)   /* a fixed tuple of another length */                                              \
    X(TAG)      /* no such tag */                                                                  \
    X(HASHES) /* a dict or set of too many keys of one hash: no judge is asked, it would take    \
                 * as long; see wf_walk_is_final */ \
    X(JUDGED) /* by pydantic: its ValidationError is in `cause` */                                 \
    X(RAISED) /* __post_init__ or the like raised ValueError or TypeError, in `cause` */

enum wf_fail {
    WF_FAIL_NONE,
#define X(id) WF_FAIL_##id,
    WF_FAILS(X)
#undef X
};

/* A step of the path to what is invalid; innermost first. */
struct wf_path_step {
    PyObject *name;     /* borrowed from the shape: a field; NULL: `key` or `index` */
    struct wf_span key; /* of a dict, in the input as it stands there; p NULL: `index` */
    Py_ssize_t index;
};

enum { WF_PATH_MAX = 64 }; /* deeper steps are left out, and "..." says so */

struct wf_walk_fail {
    enum wf_fail fail;
    enum wf_class got;
    int code;
    size_t at; /* byte in the input */
    const struct wf_node *node;
    const struct wf_check *check;
    PyObject *field;    /* borrowed */
    struct wf_span key; /* UNKNOWN */
    PyObject *cause;    /* owned, or NULL */
    unsigned npath;
    struct wf_path_step path[WF_PATH_MAX];
};

/* A default factory or a validator below a judge, to be called when all else is known to be valid:
 * pydantic, which may be asked from the start again, would call it a second time. */
struct wf_later {
    PyObject *holder;           /* owned: the dict or list in which something else, or what the
                                 * validator is called with, stands until then; NULL while there is
                                 * none, and at the end: it is the whole value */
    PyObject *key;              /* owned: in a dict; NULL in a list */
    size_t index;               /* in a list */
    PyObject *factory;          /* borrowed from the shape, or NULL */
    const struct wf_node *node; /* of the validator, or NULL */
    unsigned order; /* of the field or item, among those of what is open innermost, it is for */
};

struct wf_walk {
    struct wf_state *state; /* borrowed */
    unsigned flags;         /* enum wf_walk_flags */
    bool gc_paused;         /* until the walk ends, or fails, and may let go of what it has made */
    unsigned depth;
    struct wf_later *later; /* owned array, in the order in which pydantic would call */
    size_t nlater, later_cap;
    size_t later_at; /* of the first that belongs to the object or list that is made next */
    PyObject *calls; /* owned: list of what validators gave, once one has raised; else NULL */
    struct wf_walk_fail fail;
    struct wf_values values; /* NULL for a field that is not there */
};
void wf_walk_init(struct wf_walk *w, struct wf_state *state, unsigned flags);
void wf_walk_clear_slow(struct wf_walk *w);
static inline void wf_walk_clear(struct wf_walk *w) {
    if (wf_unlikely(w->values.len != 0 || w->values.p != w->values.first || w->later != NULL ||
                    w->calls != NULL || w->fail.cause != NULL)) {
        wf_walk_clear_slow(w);
    }
}

/* n values that are not there, for the fields of an object. 0, or -1 with MemoryError. */
static inline int wf_walk_push_nulls(struct wf_walk *w, size_t n) {
    struct wf_values *v = &w->values;
    if (wf_unlikely(v->cap - v->len < n) && wf_values_grow(v, n) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        v->p[v->len + i] = NULL;
    }
    v->len += n;
    return 0;
}

/* Calls what was put off since `from`, which is w->nlater of the time.
 * judge    the node below which it was
 * value    of that node: owned; a validator of all of it gives another
 * returns  OK; FAILED with an exception; INVALID where a validator has raised: ask judge->replay */
enum wf_walk_result wf_walk_later_slow(struct wf_walk *w, size_t from, const struct wf_node *judge,
                                       PyObject **value);
static inline enum wf_walk_result wf_walk_later(struct wf_walk *w, size_t from,
                                                const struct wf_node *judge, PyObject **value) {
    return wf_likely(w->nlater == from) ? WF_WALK_OK : wf_walk_later_slow(w, from, judge, value);
}

/* Lets go of it uncalled. */
void wf_walk_forget(struct wf_walk *w, size_t from);

/* Puts off the call of a node, whose holder is the next that is made. OK or FAILED. */
enum wf_walk_result wf_walk_put_off(struct wf_walk *w, const struct wf_node *node);

/* ---- what waits ---- */

/* A value that is whole but for what was put off, for later. A walk with WF_WALK_WAITS may leave such
 * calls in w->later; they are moved. shape: kept; value: stolen. NULL with an exception. */
PyObject *wf_walk_pending(struct wf_walk *w, struct wf_shape *shape, PyObject *value);
bool wf_is_pending(struct wf_state *state, PyObject *o);

/* Makes the calls, once. OK: the value in *out, owned; FAILED with an exception; INVALID: a validator
 * has raised: the shape's root->replay is to be asked with *calls, owned. */
enum wf_walk_result wf_pending_finish(PyObject *pending, PyObject **out, PyObject **calls);

/* What was put off since `from` stands in this dict, under this key. */
void wf_walk_later_in(struct wf_walk *w, size_t from, PyObject *dict, PyObject *key);

/* What was put off since `from` is for this field of the object, or item of the list, that is open. */
static inline void wf_walk_later_for(struct wf_walk *w, size_t from, unsigned order) {
    for (size_t i = from; i < w->nlater; i++) {
        w->later[i].order = order;
    }
}

/* Each takes the values from `at` on off the stack, makes what the node says of them, checks its
 * length checks where it has some, and gives it in *out (owned). On anything but OK they are gone
 * from the stack too. wf_walk_object's values stand in the order of the fields, NULL where the input
 * had none, and behind them with WF_EXTRA_ALLOW a dict of what else there was, or NULL. It may run
 * code of the application (post_init, factories, CALL): nothing borrowed from Python objects
 * survives it, the shape and the stack do. */
enum wf_walk_result wf_walk_items(struct wf_walk *w, const struct wf_node *node, size_t at,
                                  PyObject **out);
enum wf_walk_result wf_walk_object(struct wf_walk *w, const struct wf_node *node, size_t at,
                                   PyObject **out);

/* Does the value keep the node's checks? */
enum wf_walk_result wf_walk_checks_slow(struct wf_walk *w, const struct wf_node *node,
                                        PyObject *value);
static inline enum wf_walk_result wf_walk_checks(struct wf_walk *w, const struct wf_node *node,
                                                 PyObject *value) {
    return wf_likely(node->nchecks == 0) ? WF_WALK_OK : wf_walk_checks_slow(w, node, value);
}

/* Text (UTF-8, whole) to the value of a scalar node (not STR, ANY, containers), checks included; also
 * how a DICT's keys are made of text. */
enum wf_walk_result wf_walk_text(struct wf_walk *w, const struct wf_node *node, struct wf_span text,
                                 PyObject **out);

/* A number to the value of a CHOICE, which may ask the enum's class. INVALID: VALUE. */
enum wf_walk_result wf_walk_choice(struct wf_walk *w, const struct wf_node *node, int64_t number,
                                   PyObject **out);

/* Around calls of application code in the middle of a walk: it may walk again, and so on, so that the
 * containers that are open count against Python's recursion limit meanwhile. 0, or -1 with RecursionError
 * and nothing to leave. */
int wf_walk_enter_call(const struct wf_walk *w);
void wf_walk_leave_call(const struct wf_walk *w);

/* ---- keys of one hash ---- */

enum {
    /* The first keys of a dict or set: they may all be of one hash, which costs a microsecond each. */
    WF_HASHES_UNCOUNTED = 32,
    /* Of those behind them so many may share a hash. Numbers that nobody has chosen for it do so by
     * twos. */
    WF_HASHES_EQUAL_MAX = 32
};

/* How often hashes were met in one dict or set. Zero it; free it. */
struct wf_hashes {
    uint8_t *counts; /* owned; NULL before the first */
    size_t n, cap;
};
void wf_hashes_free_slow(struct wf_hashes *h);
static inline void wf_hashes_free(struct wf_hashes *h) {
    if (wf_unlikely(h->counts != NULL)) {
        wf_hashes_free_slow(h);
    }
}

/* One more key (borrowed; other than those that are there) of a hash that is not salted: not for str. It may
 * run the key's own __hash__. OK; INVALID: too many of this hash; FAILED with an exception. */
enum wf_walk_result wf_hashes_add(struct wf_hashes *h, PyObject *key);

/* Adds n items (borrowed) to a set or frozenset that nobody else has. INVALID: too many of one hash; FAILED
 * with an exception. It may run the items' own __hash__ and __eq__. */
enum wf_walk_result wf_hashes_fill(PyObject *set, PyObject *const *items, size_t n);

/* Is a PyLong (exactly) its own hash? No two that are share one, -1 and -2 excepted. */
bool wf_hash_is_own(PyObject *key);

/* Before plain objects (borrowed: what a codec's untyped decoder made) are handed to pydantic. OK; INVALID:
 * there are too many numbers of one hash in a list or in the keys of a dict; FAILED with an exception. */
enum wf_walk_result wf_plain_check_slow(struct wf_state *state, PyObject *object);
static inline enum wf_walk_result wf_plain_check(struct wf_state *state, PyObject *object) {
    return PyDict_CheckExact(object) || PyList_CheckExact(object)
               ? wf_plain_check_slow(state, object)
               : WF_WALK_OK;
}
/* The same of what is for a node of a walk. INVALID: HASHES. */
enum wf_walk_result wf_walk_check_plain(struct wf_walk *w, const struct wf_node *node,
                                        PyObject *object);

/* PyDict_SetItem of a key and value (borrowed) that were read for a DICT, its keys being counted in
 * `hashes`: a key may say itself what it hashes to. INVALID: it cannot be hashed, or HASHES. */
enum wf_walk_result wf_walk_put(struct wf_walk *w, const struct wf_node *node,
                                struct wf_hashes *hashes, PyObject *dict, PyObject *key,
                                PyObject *value);

/* Is what has just been found invalid so for every judge? */
static inline bool wf_walk_is_final(const struct wf_walk *w) {
    return w->fail.fail == WF_FAIL_HASHES;
}

/* What a root's judge says of a plain object (borrowed), knowing w->calls: owned, in *out. FAILED with its
 * ValidationError, or another exception; INVALID: HASHES, and it was not asked. */
enum wf_walk_result wf_walk_judge_root(struct wf_walk *w, const struct wf_node *root,
                                       PyObject *object, PyObject **out);

/* The same of any node's. INVALID: its ValidationError is in w->fail.cause, or HASHES. */
enum wf_walk_result wf_walk_judge(struct wf_walk *w, const struct wf_node *node, PyObject *object,
                                  PyObject **out);

/* A step of the path to what is invalid, on the way back up. */
void wf_walk_at_field(struct wf_walk *w, const struct wf_object_field *field);
void wf_walk_at_key(struct wf_walk *w, struct wf_span key);
void wf_walk_at_index(struct wf_walk *w, Py_ssize_t index);

/* The key that `text` is, or NULL; *expected is where to look first, and is moved on. */
static inline const struct wf_key *wf_object_key(const struct wf_object *o, struct wf_span text,
                                                 unsigned *expected);

/* Scalars of C values (owned; NULL with an exception). */
PyObject *wf_make_uuid(struct wf_state *state, const uint8_t bytes[16]);
PyObject *wf_make_date(struct wf_state *state, const struct wf_date *v);
PyObject *wf_make_time(struct wf_state *state, const struct wf_time *v, bool pydantic);
PyObject *wf_make_datetime(struct wf_state *state, const struct wf_datetime *v, bool pydantic);
PyObject *wf_make_timedelta(struct wf_state *state, const struct wf_timedelta *v);

/* ---- walkers ---- */

/* A JSON document (RFC 8259, strictly) to a value of the shape. The root's own judge is not asked:
 * that is for the caller, who knows what to make plain objects of.
 * in       borrowed; must not change meanwhile, though application code may run
 * out      owned, on OK
 * returns  OK; FAILED with an exception; INVALID with w->fail */
enum wf_walk_result wf_json_decode_shape(struct wf_walk *w, const struct wf_node *root,
                                         struct wf_span in, PyObject **out);

/* Sets weft.json.DecodeError: msg, doc, pos, lineno, colno and path ("users[3].name").
 * in   the document w->fail is about; doc  borrowed: what the caller gave */
void wf_json_raise_fail(struct wf_walk *w, struct wf_span in, PyObject *doc);

/* What a field is read from: one text (UTF-8, whole), or with `many` any number of them. */
struct wf_texts {
    const struct wf_span *p; /* borrowed; NULL: the field is not there */
    size_t n;
    bool many;
};

/* Parameters of a request to an object of the shape, which is pydantic's: the fields are texts.
 * fields   of wf_text_object(root), in its order; borrowed
 * out      owned, on OK
 * returns  OK; FAILED with an exception; INVALID: pydantic is to be asked, with w->calls where a
 *          validator has been called, unless that is final (wf_walk_is_final) */
enum wf_walk_result wf_text_decode_shape(struct wf_walk *w, const struct wf_node *root,
                                         const struct wf_texts *fields, PyObject **out);

/* The object that is made of texts; NULL where the shape is of something else. Borrowed. */
const struct wf_object *wf_text_object(const struct wf_node *root);

/* w->fail in words, without where; and where: "users[3].name", "" for the document itself. Owned;
 * NULL with an exception. */
PyObject *wf_walk_message(const struct wf_walk_fail *f);
PyObject *wf_walk_path(const struct wf_walk_fail *f);

/* ---- output ----
 *
 * What is written of a type is a shape of its own (weft/shapes/output.py), of nodes with
 * WF_NODE_OUTPUT: names and who writes what have little to do with what is read. */

enum wf_output_flags {
    WF_OUTPUT_BY_ALIAS = 1, /* pydantic: as the three below */
    WF_OUTPUT_EXCLUDE_UNSET = 2,
    WF_OUTPUT_EXCLUDE_NONE = 4,
    /* The JSON is that of what the value is validated to by pydantic; INVALID where that is not
     * proved, and for what is not valid. */
    WF_OUTPUT_JUDGED = 8
};

/* Appends the JSON of `obj` to `out`, as wf_json_encode.
 * shape    of output; the caller holds on to it
 * obj      borrowed; application code (serializers, properties) may change or free what is in it
 * flags    of enum wf_output_flags
 * returns  OK; FAILED with EncodeError (path: where), MemoryError or what application code raised;
 *          INVALID (judged only) without an exception. On all but OK out->len is as before */
enum wf_walk_result wf_json_encode_shape(const struct wf_shape *shape, PyObject *obj,
                                         unsigned flags, struct wf_buf *out);

/* Writes a float as msgspec does, or pydantic; null where it is not finite. d: WF_DOUBLE_CHARS_MAX bytes.
 * Returns the end. */
char *wf_json_write_typed_double(char *d, double v, bool pydantic);

/* The output _core.Shape of a type, as wf_shape_find. */
PyObject *wf_shape_find_output(struct wf_state *state, PyObject *type);

/* The _core.Shape of a type: kept from the last time, or asked of weft.shapes. Owned; NULL with an
 * exception, TypeError where the type cannot be read. */
PyObject *wf_shape_find(struct wf_state *state, PyObject *type);

static inline const struct wf_key *wf_object_key(const struct wf_object *o, struct wf_span text,
                                                 unsigned *expected) {
    unsigned n = o->nkeys, i = *expected < n ? *expected : 0;
    uint64_t head = 0;
    memcpy(&head, text.p, text.n < 8 ? text.n : 8);
    for (unsigned left = n; left > 0; left--) {
        const struct wf_key *k = &o->keys[i];
        i = i + 1 < n ? i + 1 : 0;
        if (k->head == head && k->text.n == text.n &&
            (text.n <= 8 || memcmp(k->text.p + 8, text.p + 8, text.n - 8) == 0)) {
            *expected = i;
            return k;
        }
    }
    return NULL;
}

#endif
