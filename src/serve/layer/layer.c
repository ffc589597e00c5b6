/* What all layers share: running them, and editing heads. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "serve/server_int.h"

static void all_passed(const struct wf_layers *layers, struct wf_exchange *ex) {
    ex->passed = layers->innermost;
    for (struct wf_layer *l = layers->first; l != NULL; l = l->next) {
        if (l->ops->passed != NULL) {
            l->ops->passed(l);
        }
    }
}

static bool run_before(const struct wf_layers *layers, struct wf_exchange *ex) {
    for (struct wf_layer *l = layers->first; l != NULL; l = l->next) {
        ex->around = l->outer;
        if (l->ops->before != NULL && l->ops->before(l, ex)) {
            return true;
        }
    }
    ex->around = layers->innermost;
    all_passed(layers, ex);
    return false;
}

bool wf_layers_before(struct wf_exchange *ex) {
    return run_before(&ex->server->layers, ex);
}

/* As deep as mounts are. */
bool wf_layers_before_inner(struct wf_exchange *ex, const struct wf_layers *layers) {
    return layers != NULL && (wf_layers_before_inner(ex, layers->outer) || run_before(layers, ex));
}

void wf_layers_whole(struct wf_exchange *ex) {
    for (struct wf_layer *l = ex->passed; l != NULL; l = l->outer) {
        if (l->ops->whole != NULL) {
            l->ops->whole(l, ex);
        }
    }
}

void wf_layers_over(struct wf_exchange *ex) {
    for (struct wf_layer *l = ex->passed; l != NULL; l = l->outer) {
        if (l->ops->over != NULL) {
            l->ops->over(l, ex);
        }
    }
}

/* edit->content, length and body are set already. */
static bool begin_edit(const struct wf_reply_head *head, struct wf_head_edit *edit) {
    if (head->nfields > WF_EDIT_FIELDS_MAX) {
        return false;
    }
    edit->recoded = false;
    edit->encoder = NULL;
    edit->head = *head;
    if (head->nfields != 0) {
        memcpy(edit->fields, head->fields, head->nfields * sizeof(*head->fields));
    }
    edit->head.fields = edit->fields;
    return true;
}

bool wf_layers_edit(struct wf_exchange *ex, const struct wf_reply_head *head,
                    struct wf_head_edit *edit) {
    if (!begin_edit(head, edit)) {
        return false;
    }
    for (struct wf_layer *l = ex->around; l != NULL; l = l->outer) {
        if (l->ops->reply != NULL) {
            l->ops->reply(l, ex, edit);
        }
    }
    return true;
}

static void append(const struct wf_server *s, struct wf_layers *layers, struct wf_layer *layer) {
    if (layers->first == NULL) {
        layers->first = layer;
        layer->outer = layers->outer != NULL    ? layers->outer->innermost
                       : layers->router != NULL ? s->layers.innermost
                                                : NULL;
    } else {
        layer->outer = layers->innermost;
        layer->outer->next = layer;
    }
    layers->innermost = layer;
}

void wf_server_add_layer(struct wf_server *s, struct wf_layer *layer) {
    append(s, &s->layers, layer);
    s->recodes |= layer->ops->recodes;
}

struct wf_layers *wf_server_inner_layers(struct wf_server *s, struct wf_router *router,
                                         struct wf_layers *outer) {
    struct wf_layers *layers = wf_calloc(1, sizeof(*layers));
    if (layers != NULL) {
        layers->outer = outer != NULL ? outer : wf_router_options(router)->layers;
        layers->router = router;
        layers->next = s->router_layers;
        s->router_layers = layers;
    }
    return layers;
}

bool wf_server_add_router_layer(struct wf_server *s, struct wf_router *r, struct wf_layer *layer) {
    struct wf_router_options *options = wf_router_options(r);
    struct wf_layers *layers = options->layers;
    if (layers == NULL || layers->router != r) { /* those of a router around it */
        layers = wf_server_inner_layers(s, r, NULL);
        if (layers == NULL) {
            return false;
        }
        options->layers = layers;
    }
    append(s, layers, layer);
    s->recodes |= layer->ops->recodes;
    return true;
}

void wf_layers_add(struct wf_server *s, struct wf_layers *layers, struct wf_layer *layer) {
    append(s, layers, layer);
}

static void free_list(struct wf_layer *l) {
    while (l != NULL) {
        struct wf_layer *next = l->next;
        l->ops->free(l);
        l = next;
    }
}

void wf_layers_free(struct wf_server *s) {
    free_list(s->layers.first);
    while (s->router_layers != NULL) {
        struct wf_layers *layers = s->router_layers;
        s->router_layers = layers->next;
        free_list(layers->first);
        wf_free(layers);
    }
}

/* ---- answers of layers ---- */

/* All of it into the arena: what `head` points to goes when the layer's `before` returns. */
static bool keep_answer(struct wf_exchange *ex, const struct wf_reply_head *head,
                        struct wf_span body, struct wf_layer_answer *answer) {
    struct wf_arena *a = &ex->arena;
    struct wf_reply_field *fields = wf_arena_alloc(a, head->nfields * sizeof(*fields) + 1);
    answer->head = *head;
    answer->head.fields = fields;
    answer->head.content_type = wf_arena_copy(a, head->content_type);
    answer->body = wf_arena_copy(a, body);
    bool kept = fields != NULL && answer->head.content_type.p != NULL && answer->body.p != NULL;
    for (uint32_t i = 0; kept && i < head->nfields; i++) {
        fields[i].name = wf_arena_copy(a, head->fields[i].name);
        fields[i].value = wf_arena_copy(a, head->fields[i].value);
        kept = fields[i].name.p != NULL && fields[i].value.p != NULL;
    }
    return kept;
}

bool wf_layer_answer(struct wf_exchange *ex, const struct wf_reply_head *head,
                     struct wf_span body) {
    struct wf_layer_answer *answer = ex->server->answer;
    if (answer == NULL) {
        if (wf_reply_send(ex, head, body) < 0) { /* no memory: the least that can be said */
            ex->conn->broken = true;
        }
    } else if (!keep_answer(ex, head, body, answer)) {
        answer->head.status = 0;
    }
    return true;
}

bool wf_layer_refuse(struct wf_exchange *ex, int status, const struct wf_reply_field *field) {
    char text[96];
    struct wf_span reason = wf_status_reason(status);
    int n = snprintf(text, sizeof(text), "{\"detail\":\"%.*s\"}", (int)reason.n, reason.p);
    WF_ASSERT(n > 0 && (size_t)n < sizeof(text));
    struct wf_reply_head head = {.status = status,
                                 .content_type = WF_SPAN("application/json"),
                                 .fields = field,
                                 .nfields = field != NULL};
    return wf_layer_answer(ex, &head, wf_span(text, (size_t)n));
}

/* ---- within the embedder's steps ---- */

/* Has the exchange been let in already, as by a step that goes on twice? */
static bool is_in(const struct wf_layers *layers, const struct wf_exchange *ex) {
    const struct wf_layer *l = ex->passed;
    while (l != NULL && l != layers->innermost) {
        l = l->outer;
    }
    return l != NULL;
}

struct wf_layer *wf_layers_enter(struct wf_layers *layers, struct wf_exchange *ex,
                                 struct wf_layer_answer *answer) {
    struct wf_layer *l = layers->first;
    ex->server->answer = answer;
    while (l != NULL && (l->ops->before == NULL || !l->ops->before(l, ex))) {
        l = l->next;
    }
    ex->server->answer = NULL;
    if (l == NULL && !is_in(layers, ex)) {
        all_passed(layers, ex);
    }
    return l;
}

bool wf_layers_leave(const struct wf_layers *layers, const struct wf_layer *answered,
                     struct wf_exchange *ex, const struct wf_reply_head *head,
                     struct wf_head_edit *edit) {
    if (!begin_edit(head, edit)) {
        return false;
    }
    const struct wf_layer *end = layers->first->outer;
    for (struct wf_layer *l = answered != NULL ? answered->outer : layers->innermost; l != end;
         l = l->outer) {
        if (l->ops->reply != NULL) {
            l->ops->reply(l, ex, edit);
        }
    }
    return true;
}

/* ---- edits ---- */

struct wf_reply_field *wf_edit_find(struct wf_head_edit *edit, struct wf_span lower) {
    for (uint32_t i = 0; i < edit->head.nfields; i++) {
        if (wf_span_eq_lower(edit->fields[i].name, lower)) {
            return &edit->fields[i];
        }
    }
    return NULL;
}

void wf_edit_add(struct wf_head_edit *edit, struct wf_span lower, struct wf_span value) {
    if (edit->head.nfields < WF_EDIT_FIELDS_MAX) {
        edit->fields[edit->head.nfields++] = (struct wf_reply_field){lower, value};
    }
}

void wf_edit_default(struct wf_head_edit *edit, struct wf_span lower, struct wf_span value) {
    if (wf_edit_find(edit, lower) == NULL) {
        wf_edit_add(edit, lower, value);
    }
}

void wf_edit_set(struct wf_head_edit *edit, struct wf_span lower, struct wf_span value) {
    struct wf_reply_field *f = wf_edit_find(edit, lower);
    if (f != NULL) {
        f->value = value;
    } else {
        wf_edit_default(edit, lower, value);
    }
}

void wf_edit_remove(struct wf_head_edit *edit, struct wf_span lower) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < edit->head.nfields; i++) {
        if (!wf_span_eq_lower(edit->fields[i].name, lower)) {
            edit->fields[n++] = edit->fields[i];
        }
    }
    edit->head.nfields = n;
}

void wf_edit_vary(struct wf_head_edit *edit, struct wf_exchange *ex, struct wf_span token) {
    struct wf_reply_field *f = wf_edit_find(edit, WF_SPAN("vary"));
    if (f == NULL) {
        wf_edit_default(edit, WF_SPAN("vary"), token);
        return;
    }
    char *text = wf_arena_alloc(&ex->arena, f->value.n + 2 + token.n);
    if (text != NULL) {
        memcpy(text, f->value.p, f->value.n);
        memcpy(text + f->value.n, ", ", 2);
        memcpy(text + f->value.n + 2, token.p, token.n);
        f->value = wf_span(text, f->value.n + 2 + token.n);
    }
}
