/* What belongs to a session on its way out; py/http makes it, before the reply. */
#include "base/alloc.h"
#include "serve/layer/layer.h"

static void reply(struct wf_layer *l, struct wf_exchange *ex, struct wf_head_edit *edit) {
    (void)l;
    if (ex->vary_cookie) {
        wf_edit_vary(edit, ex, WF_SPAN("Cookie"));
    }
    if (ex->set_cookie.n != 0) {
        wf_edit_add(edit, WF_SPAN("set-cookie"), ex->set_cookie);
    }
    ex->vary_cookie = false; /* an App around this one has sessions too, perhaps */
    ex->set_cookie = wf_span("", 0);
}

static void free_layer(struct wf_layer *l) {
    wf_free(l);
}

static const struct wf_layer_ops ops = {.reply = reply, .free = free_layer};

struct wf_layer *wf_layer_session(void) {
    struct wf_layer *l = wf_calloc(1, sizeof(*l));
    if (l != NULL) {
        l->ops = &ops;
    }
    return l;
}
