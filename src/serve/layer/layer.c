/* What all layers share: running them, and editing heads. */
#include "base/check.h"
#include "serve/server_int.h"

bool wf_layers_before(struct wf_exchange *ex) {
    for (struct wf_layer *l = ex->server->layers; l != NULL; l = l->next) {
        ex->layers_end = l;
        if (l->ops->before != NULL && l->ops->before(l, ex)) {
            return true;
        }
    }
    ex->layers_end = NULL;
    ex->layered = true;
    for (struct wf_layer *l = ex->server->layers; l != NULL; l = l->next) {
        if (l->ops->passed != NULL) {
            l->ops->passed(l);
        }
    }
    return false;
}

void wf_layers_whole(struct wf_exchange *ex) {
    for (struct wf_layer *l = ex->server->layers; l != NULL; l = l->next) {
        if (l->ops->whole != NULL) {
            l->ops->whole(l, ex);
        }
    }
}

void wf_layers_over(struct wf_exchange *ex) {
    for (struct wf_layer *l = ex->server->layers; l != NULL; l = l->next) {
        if (l->ops->over != NULL) {
            l->ops->over(l, ex);
        }
    }
}

/* Inner ones first. There are a handful: the recursion is as deep as the list. */
static void run_reply(struct wf_layer *l, struct wf_exchange *ex, struct wf_head_edit *edit) {
    if (l == ex->layers_end) {
        return;
    }
    if (l->next != NULL) {
        run_reply(l->next, ex, edit);
    }
    if (l->ops->reply != NULL) {
        l->ops->reply(l, ex, edit);
    }
}

/* edit->content, length and body are set already. */
bool wf_layers_edit(struct wf_exchange *ex, const struct wf_reply_head *head,
                    struct wf_head_edit *edit) {
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
    run_reply(ex->server->layers, ex, edit);
    return true;
}

void wf_server_add_layer(struct wf_server *s, struct wf_layer *layer) {
    struct wf_layer **end = &s->layers;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = layer;
    s->recodes |= layer->ops->recodes;
}

void wf_layers_free(struct wf_layer *l) {
    while (l != NULL) {
        struct wf_layer *next = l->next;
        l->ops->free(l);
        l = next;
    }
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
