/* The recorder: a ring of the last requests, for whoever wants to see what the server does. */
#include "base/alloc.h"
#include "base/clock.h"
#include "serve/server_int.h"

struct recorder {
    struct wf_layer layer;
    struct wf_span skip;
    uint64_t count; /* ever */
    uint32_t slots;
    struct wf_record ring[]; /* number n is at (n - 1) % slots */
};

void wf_record_at(struct wf_exchange *ex, enum wf_record_stage stage) {
    if (ex->record != NULL) {
        ex->record->at_ns[stage] = wf_clock_mono_ns();
    }
}

static bool recorder_before(struct wf_layer *l, struct wf_exchange *ex) {
    const struct recorder *r = (const struct recorder *)l;
    struct wf_span path = wf_head_span(ex->base, ex->head.path_at);
    ex->record = NULL;
    if (r->skip.n != 0 && path.n >= r->skip.n && memcmp(path.p, r->skip.p, r->skip.n) == 0) {
        return false;
    }
    ex->record = wf_arena_alloc(&ex->arena, sizeof(*ex->record)); /* without memory: no record */
    if (ex->record != NULL) {
        memset(ex->record->at_ns, 0, sizeof(ex->record->at_ns));
        ex->record->at_ns[WF_AT_FIRST_BYTE] = ex->started_ns;
        wf_record_at(ex, WF_AT_HEAD);
    }
    return false;
}

static void recorder_whole(struct wf_layer *l, struct wf_exchange *ex) {
    wf_record_at(ex, WF_AT_WHOLE);
}

/* Into the ring, once. */
static void keep(struct recorder *r, struct wf_exchange *ex) {
    struct wf_record *record = ex->record;
    struct wf_span method = wf_head_span(ex->base, ex->head.method_at);
    struct wf_span target = wf_head_span(ex->base, ex->head.target_at);
    if (record == NULL) {
        return;
    }
    ex->record = NULL;
    record->at_ns[WF_AT_END] = wf_clock_mono_ns();
    record->leaf = ex->match.leaf;
    record->reply_bytes = ex->reply_bytes;
    record->method_n = (uint8_t)WF_MIN(method.n, (size_t)WF_RECORD_METHOD_MAX);
    record->target_n = (uint16_t)WF_MIN(target.n, (size_t)UINT16_MAX);
    memcpy(record->method, method.p, record->method_n);
    memcpy(record->target, target.p, WF_MIN(target.n, (size_t)WF_RECORD_TARGET_MAX));
    record->number = r->count + 1;
    r->ring[r->count++ % r->slots] = *record;
}

/* The last head counts: one that was taken back has been no reply. */
static void recorder_reply(struct wf_layer *l, struct wf_exchange *ex, struct wf_head_edit *edit) {
    if (ex->record == NULL) {
        return;
    }
    wf_record_at(ex, WF_AT_REPLY);
    ex->record->status = (uint16_t)edit->head.status;
    if (ex->passed ==
        NULL) { /* a layer inside of this one answers: nobody will say that it is over */
        keep((struct recorder *)l, ex);
    }
}

static void recorder_over(struct wf_layer *l, struct wf_exchange *ex) {
    if (ex->record != NULL) {
        ex->record->status = ex->status;
        keep((struct recorder *)l, ex);
    }
}

static void free_recorder(struct wf_layer *l) {
    wf_free(l);
}

static const struct wf_layer_ops recorder_ops = {.before = recorder_before,
                                                 .whole = recorder_whole,
                                                 .reply = recorder_reply,
                                                 .over = recorder_over,
                                                 .free = free_recorder};

struct wf_layer *wf_layer_recorder(struct wf_span skip, uint32_t slots) {
    slots = WF_MIN(WF_MAX(slots, 1u), (uint32_t)WF_RECORD_SLOTS_MAX);
    struct recorder *r = wf_calloc(1, sizeof(*r) + slots * sizeof(*r->ring));
    if (r == NULL) {
        return NULL;
    }
    r->layer.ops = &recorder_ops;
    r->skip = skip;
    r->slots = slots;
    return &r->layer;
}

const struct wf_record *wf_recorder_after(const struct wf_layer *l, uint64_t number) {
    const struct recorder *r = (const struct recorder *)l;
    uint64_t oldest = r->count > r->slots ? r->count - r->slots : 0;
    uint64_t index = WF_MAX(number, oldest);
    return index < r->count ? &r->ring[index % r->slots] : NULL;
}
