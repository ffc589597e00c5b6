/* br (RFC 7932) by brotli. */
#include <brotli/decode.h>
#include <brotli/encode.h>
#include <setjmp.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/list.h"
#include "wire/encoding/encoding_int.h"

static void *allocate(void *opaque, size_t n) {
    (void)opaque;
    return wf_malloc(n);
}

static void release(void *opaque, void *p) {
    (void)opaque;
    wf_free(p);
}

/* ---- encoding ---- */

/* As it is usually built, brotli's encoder ends the process when memory is out. So we leave it by the way we
 * came, and free what it had: every block is in a list of ours. */
struct br_encoder {
    struct wf_encoder e;
    BrotliEncoderState *state; /* one of the blocks; NULL where there was no memory */
    int level;
    struct wf_list blocks; /* of struct block, owned */
    jmp_buf no_memory;     /* good while brotli is being called */
};

struct block {
    struct wf_list node; /* in br_encoder.blocks */
    char bytes[] __attribute__((aligned(16)));
};

static void *allocate_block(void *opaque, size_t n) {
    struct br_encoder *b = opaque;
    struct block *block = n <= SIZE_MAX - sizeof(*block) ? wf_malloc(sizeof(*block) + n) : NULL;
    if (block == NULL) {
        longjmp(b->no_memory, 1);
    }
    wf_list_init(&block->node);
    wf_list_push(&b->blocks, &block->node);
    return block->bytes;
}

static void release_block(void *opaque, void *p) {
    (void)opaque;
    if (p != NULL) {
        struct block *block = wf_container_of(p, struct block, bytes);
        wf_list_remove(&block->node);
        wf_free(block);
    }
}

static void end(struct br_encoder *b) {
    struct wf_list *node;
    while ((node = wf_list_pop(&b->blocks)) != NULL) {
        wf_free(wf_container_of(node, struct block, node));
    }
    b->state = NULL;
}

static bool begin(struct br_encoder *b) {
    if (setjmp(b->no_memory) != 0) {
        end(b);
        return false;
    }
    b->state = BrotliEncoderCreateInstance(allocate_block, release_block, b);
    return b->state != NULL &&
           BrotliEncoderSetParameter(b->state, BROTLI_PARAM_QUALITY, (uint32_t)b->level) &&
           BrotliEncoderSetParameter(b->state, BROTLI_PARAM_LGWIN, WF_ENCODE_WINDOW_LOG);
}

static void encoder_free(struct wf_encoder *e) {
    end((struct br_encoder *)e);
    wf_free(e);
}

static struct wf_encoder *encoder_new(int level) {
    struct br_encoder *b = wf_calloc(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }
    b->level = level;
    wf_list_init(&b->blocks);
    if (!begin(b)) {
        encoder_free(&b->e);
        return NULL;
    }
    return &b->e;
}

static void expect(struct wf_encoder *e, uint64_t bytes) {
    BrotliEncoderSetParameter(((struct br_encoder *)e)->state, BROTLI_PARAM_SIZE_HINT,
                              (uint32_t)WF_MIN(bytes, (uint64_t)1 << 30));
}

static enum wf_encode_step encode(struct wf_encoder *e, struct wf_span *in, enum wf_encode_how how,
                                  char *out, size_t *n) {
    static const BrotliEncoderOperation operations[] = {[WF_ENCODE_MORE] = BROTLI_OPERATION_PROCESS,
                                                        [WF_ENCODE_FLUSH] = BROTLI_OPERATION_FLUSH,
                                                        [WF_ENCODE_END] = BROTLI_OPERATION_FINISH};
    struct br_encoder *b = (struct br_encoder *)e;
    BrotliEncoderState *state = b->state;
    if (state == NULL || setjmp(b->no_memory) != 0) {
        end(b);
        *n = 0;
        return WF_STEP_FAILED;
    }
    size_t left = in->n, room = *n;
    const uint8_t *next_in = (const uint8_t *)in->p;
    uint8_t *next_out = (uint8_t *)out;
    BROTLI_BOOL ok = BrotliEncoderCompressStream(state, operations[how], &left, &next_in, &room,
                                                 &next_out, NULL);
    *in = wf_span(next_in, left);
    *n -= room;
    if (!ok) {
        return WF_STEP_FAILED;
    }
    bool done = how == WF_ENCODE_END ? BrotliEncoderIsFinished(state)
                                     : left == 0 && !BrotliEncoderHasMoreOutput(state);
    return done ? WF_STEP_DONE : WF_STEP_ROOM;
}

static bool encoder_reset(struct wf_encoder *e) { /* brotli has none */
    end((struct br_encoder *)e);
    return begin((struct br_encoder *)e);
}

/* ---- decoding ---- */

struct br_decoder {
    struct wf_decoder d;
    BrotliDecoderState *state; /* owned */
};

static struct wf_decoder *decoder_new(void) {
    struct br_decoder *b = wf_calloc(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }
    b->state = BrotliDecoderCreateInstance(allocate, release, NULL);
    if (b->state == NULL) {
        wf_free(b);
        return NULL;
    }
    return &b->d;
}

static enum wf_decoded failure(BrotliDecoderState *state) {
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(state);
    return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                   code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
               ? WF_DECODED_NOMEM
               : WF_DECODED_BAD;
}

static enum wf_decoded decode(struct wf_decoder *d, struct wf_span *in, char *out, size_t *n) {
    BrotliDecoderState *state = ((struct br_decoder *)d)->state;
    if (BrotliDecoderIsFinished(state)) {
        *n = 0;
        return in->n == 0 ? WF_DECODED_END : WF_DECODED_BAD;
    }
    size_t left = in->n, room = *n;
    const uint8_t *next_in = (const uint8_t *)in->p;
    uint8_t *next_out = (uint8_t *)out;
    BrotliDecoderResult rc =
        BrotliDecoderDecompressStream(state, &left, &next_in, &room, &next_out, NULL);
    *in = wf_span(next_in, left);
    *n -= room;
    switch (rc) {
    case BROTLI_DECODER_RESULT_SUCCESS:
        return left == 0 ? WF_DECODED_END : WF_DECODED_BAD;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
        /* It says so also while output waits for room. */
        return BrotliDecoderHasMoreOutput(state) ? WF_DECODED_ROOM : WF_DECODED_MORE;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        return WF_DECODED_ROOM;
    default:
        return failure(state);
    }
}

static void decoder_free(struct wf_decoder *d) {
    BrotliDecoderDestroyInstance(((struct br_decoder *)d)->state);
    wf_free(d);
}

const struct wf_codec wf_codec_br = {
    .lowest = BROTLI_MIN_QUALITY,
    .highest = BROTLI_MAX_QUALITY,
    .normal = 4,
    .encoder_new = encoder_new,
    .encode = encode,
    .expect = expect,
    .encoder_reset = encoder_reset,
    .encoder_free = encoder_free,
    .decoder_new = decoder_new,
    .decode = decode,
    .decoder_free = decoder_free,
};
