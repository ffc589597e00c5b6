/* The multipart parser. A delimiter begins with CR and has no other, so what looked like one and was
 * none is handed on from the delimiter itself: nothing of the input is ever kept back.
 *
 *   START ──"--boundary"──▶ BEHIND ──CRLF──▶ HEAD ──empty line──▶ CONTENT ──delimiter──▶ BEHIND
 *     ▲ CRLF may be first     └──"--"──▶ EPILOGUE                     │  ▲
 *                                                                    └──┘ DATA
 * BAD is entered from each but EPILOGUE, and never left. */
#include "base/check.h"
#include "wire/mime/mime.h"

enum state {
    START,
    BEHIND,      /* of a delimiter: CRLF, "--", or white space before CRLF */
    BEHIND_DASH, /* "-" has come */
    BEHIND_CR,   /* CR has come */
    HEAD,
    CONTENT,
    CONTENT_END, /* the delimiter has come, the event is owed */
    EPILOGUE,
    BAD
};

static_assert(WF_MULTIPART_HEAD_MAX <= UINT16_MAX, "head_n counts them");

bool wf_multipart_init(struct wf_multipart *m, struct wf_span boundary) {
    if (boundary.n == 0 || boundary.n > WF_MULTIPART_BOUNDARY_MAX) {
        return false;
    }
    for (size_t i = 0; i < boundary.n; i++) {
        if ((unsigned char)boundary.p[i] < 0x20 || boundary.p[i] == 0x7f) {
            return false;
        }
    }
    m->state = START;
    m->matched = m->head_n = m->nfields = 0;
    m->why = NULL;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.p, boundary.n);
    m->delimiter_n = (uint16_t)(4 + boundary.n);
    return true;
}

static enum wf_multipart_event bad(struct wf_multipart *m, const char *why) {
    m->state = BAD;
    m->why = why;
    return WF_MULTIPART_BAD;
}

static void take(struct wf_span *in, size_t n) {
    in->p += n;
    in->n -= n;
}

/* ---- a part's fields ---- */

static bool token_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* NULL, or why the line (without CRLF) is no field. */
static const char *parse_field(struct wf_multipart *m, struct wf_span line) {
    size_t n = 0;
    while (n < line.n && token_byte(line.p[n])) {
        n++;
    }
    if (n == 0 || n == line.n || line.p[n] != ':') {
        return "a part has a line that is no header field";
    }
    struct wf_span value = wf_span(line.p + n + 1, line.n - n - 1);
    while (value.n != 0 && (value.p[0] == ' ' || value.p[0] == '\t')) {
        take(&value, 1);
    }
    while (value.n != 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t')) {
        value.n--;
    }
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return "a part has a control character in a header field";
        }
    }
    if (m->nfields == WF_MULTIPART_FIELDS_MAX) {
        return "a part has too many header fields";
    }
    m->fields[m->nfields++] = (struct wf_mime_field){wf_span(line.p, n), value};
    return NULL;
}

/* Old browsers sent C:\dir\file and \\host\dir\file: as Starlette, only the last part counts. */
static struct wf_span without_directory(struct wf_span s) {
    bool drive = s.n >= 3 && s.p[1] == ':' && s.p[2] == '\\';
    if (!drive && !(s.n >= 2 && s.p[0] == '\\' && s.p[1] == '\\')) {
        return s;
    }
    size_t at = s.n;
    while (s.p[at - 1] != '\\') {
        at--;
    }
    return wf_span(s.p + at, s.n - at);
}

static void read_disposition(struct wf_multipart *m, struct wf_span value) {
    char *at = m->text;
    ssize_t n = wf_mime_param(value, WF_SPAN("name"), at);
    m->has_name = n >= 0;
    if (n >= 0) {
        m->name = wf_span(at, (size_t)n);
        at += n;
    }
    n = wf_mime_ext_param(value, WF_SPAN("filename*"), at);
    n = n >= 0 ? n : wf_mime_param(value, WF_SPAN("filename"), at);
    m->has_filename = n >= 0;
    if (n >= 0) {
        m->filename = without_directory(wf_span(at, (size_t)n));
    }
}

/* head  up to the empty line, with the CRLF of each line */
static enum wf_multipart_event parse_head(struct wf_multipart *m, struct wf_span head) {
    m->nfields = 0;
    m->name = m->filename = m->content_type = wf_span("", 0);
    m->has_name = m->has_filename = false;
    while (head.n != 0) {
        const char *cr = memchr(head.p, '\r', head.n); /* each line has its own */
        size_t n = (size_t)(cr - head.p);
        const char *why = n + 1 < head.n && cr[1] == '\n'
                              ? parse_field(m, wf_span(head.p, n))
                              : "a part has a control character in a header field";
        if (why != NULL) {
            return bad(m, why);
        }
        take(&head, n + 2);
    }
    for (unsigned i = 0; i < m->nfields; i++) {
        if (wf_span_eq_lower(m->fields[i].name, WF_SPAN("content-disposition"))) {
            read_disposition(m, m->fields[i].value);
        } else if (wf_span_eq_lower(m->fields[i].name, WF_SPAN("content-type"))) {
            m->content_type = m->fields[i].value;
        }
    }
    if (!m->has_name) {
        return bad(m, "The Content-Disposition header field \"name\" must be provided.");
    }
    m->state = CONTENT;
    m->matched = 0;
    return WF_MULTIPART_PART;
}

/* Gathers the head until its empty line, which may be the first. */
static enum wf_multipart_event step_head(struct wf_multipart *m, struct wf_span *in) {
    while (in->n != 0) {
        const char *lf = memchr(in->p, '\n', in->n);
        size_t n = lf != NULL ? (size_t)(lf - in->p) + 1 : in->n;
        if (n > sizeof(m->head) - m->head_n) {
            return bad(m, "the header fields of a part are too long");
        }
        memcpy(m->head + m->head_n, in->p, n);
        m->head_n = (uint16_t)(m->head_n + n);
        take(in, n);
        size_t len = m->head_n;
        if (lf != NULL && ((len == 2 && memcmp(m->head, "\r\n", 2) == 0) ||
                           (len >= 4 && memcmp(m->head + len - 4, "\r\n\r\n", 4) == 0))) {
            m->head_n = 0;
            return parse_head(m, wf_span(m->head, len - 2));
        }
    }
    return WF_MULTIPART_MORE;
}

/* ---- content ---- */

/* Goes on with a delimiter whose first bytes came at the end of the last input. */
static bool go_on_matching(struct wf_multipart *m, struct wf_span *in) {
    while (in->n != 0 && m->matched < m->delimiter_n) {
        if (in->p[0] != m->delimiter[m->matched]) {
            return false;
        }
        m->matched++;
        take(in, 1);
    }
    return true;
}

/* How many bytes before the end of `s` may be a delimiter's first ones: all of them from there on are. */
static size_t unfinished(const struct wf_multipart *m, struct wf_span s) {
    size_t most = WF_MIN(s.n, (size_t)m->delimiter_n - 1);
    const char *end = s.p + s.n, *p = end - most;
    while (p < end && (p = memchr(p, '\r', (size_t)(end - p))) != NULL) {
        if (memcmp(p, m->delimiter, (size_t)(end - p)) == 0) {
            return (size_t)(end - p);
        }
        p++;
    }
    return 0;
}

static enum wf_multipart_event step_content(struct wf_multipart *m, struct wf_span *in,
                                            struct wf_span *data) {
    if (m->matched != 0) {
        if (!go_on_matching(m, in)) {
            *data = wf_span(m->delimiter, m->matched);
            m->matched = 0;
            return WF_MULTIPART_DATA;
        }
        if (m->matched < m->delimiter_n) {
            return WF_MULTIPART_MORE;
        }
        m->state = BEHIND;
        return WF_MULTIPART_PART_END;
    }
    if (in->n == 0) {
        return WF_MULTIPART_MORE;
    }
    const char *found = memmem(in->p, in->n, m->delimiter, m->delimiter_n);
    if (found != NULL) {
        *data = wf_span(in->p, (size_t)(found - in->p));
        take(in, data->n + m->delimiter_n);
        m->state = data->n != 0 ? CONTENT_END : BEHIND;
        return data->n != 0 ? WF_MULTIPART_DATA : WF_MULTIPART_PART_END;
    }
    m->matched = (uint16_t)unfinished(m, *in);
    *data = wf_span(in->p, in->n - m->matched);
    take(in, in->n);
    return data->n != 0 ? WF_MULTIPART_DATA : WF_MULTIPART_MORE;
}

/* ---- delimiters ---- */

/* The first delimiter has no CRLF of its own, but may have one before it. */
static enum wf_multipart_event step_start(struct wf_multipart *m, struct wf_span *in) {
    if (m->matched == 0 && in->n != 0) {
        m->matched = in->p[0] == '\r' ? 0 : 2;
    }
    if (!go_on_matching(m, in)) {
        return bad(m, "the body does not begin with the boundary");
    }
    if (m->matched < m->delimiter_n) {
        return WF_MULTIPART_MORE;
    }
    m->state = BEHIND;
    return WF_MULTIPART_MORE;
}

/* A byte behind a delimiter. */
static enum wf_multipart_event step_behind(struct wf_multipart *m, struct wf_span *in) {
    char c = in->p[0];
    take(in, 1);
    if (m->state == BEHIND_DASH) {
        if (c != '-') {
            return bad(m, "there is something else behind a boundary");
        }
        m->state = EPILOGUE;
        return WF_MULTIPART_END;
    }
    if (m->state == BEHIND_CR) {
        if (c != '\n') {
            return bad(m, "there is something else behind a boundary");
        }
        m->state = HEAD;
        m->head_n = 0;
    } else if (c == '\r') {
        m->state = BEHIND_CR;
    } else if (c == '-') {
        m->state = BEHIND_DASH;
    } else if (c != ' ' && c != '\t') {
        return bad(m, "there is something else behind a boundary");
    }
    return WF_MULTIPART_MORE;
}

enum wf_multipart_event wf_multipart_next(struct wf_multipart *m, struct wf_span *in,
                                          struct wf_span *data) {
    for (;;) {
        enum wf_multipart_event event = WF_MULTIPART_MORE;
        switch ((enum state)m->state) {
        case START:
            event = step_start(m, in);
            break;
        case BEHIND:
        case BEHIND_DASH:
        case BEHIND_CR:
            event = in->n != 0 ? step_behind(m, in) : WF_MULTIPART_MORE;
            break;
        case HEAD:
            event = step_head(m, in);
            break;
        case CONTENT:
            event = step_content(m, in, data);
            break;
        case CONTENT_END:
            m->state = BEHIND;
            return WF_MULTIPART_PART_END;
        case EPILOGUE:
            take(in, in->n);
            return WF_MULTIPART_END;
        case BAD:
            return WF_MULTIPART_BAD;
        }
        if (event != WF_MULTIPART_MORE || in->n == 0) {
            return event;
        }
    }
}
