/* Keys of one hash. CPython salts the hashes of str and bytes; those of numbers are the same in every
 * process, and so anybody can send numbers by the thousand that share one. A dict or set compares each
 * with all of them, which takes time by the square of their number (ADR 42). */
#include "py/shape/shape_int.h"

#include "base/alloc.h"

/* Python's numbers hash to themselves modulo this prime: integers below it share a hash with none of
 * their kind (but -1, which hashes as -2). */
static const long long HASH_MODULUS = (1LL << (sizeof(Py_hash_t) == 8 ? 61 : 31)) - 1;

enum {
    COUNTS_MIN = 256, /* a byte each */
    COUNTS_GROWTH = 4 /* times as many, once there is a key for each */
};

void wf_hashes_free_slow(struct wf_hashes *h) {
    wf_free(h->counts);
}

bool wf_hash_is_own(PyObject *key) {
    int overflow;
    const long long v = PyLong_AsLongLongAndOverflow(key, &overflow);
    return overflow == 0 && v > -HASH_MODULUS && v < HASH_MODULUS;
}

/* The place of a hash among `cap`, a power of two: every bit counts (MurmurHash3's last step). */
static size_t place(Py_hash_t hash, size_t cap) {
    uint64_t x = (uint64_t)hash;
    x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ (x >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (size_t)(x ^ (x >> 33)) & (cap - 1);
}

/* Begins anew with more counts: those of before are let go, since equal ones go on being equal, and
 * what all generations hold together is still a small multiple of the limit. */
static int grow(struct wf_hashes *h) {
    const size_t cap = h->cap != 0 ? h->cap * COUNTS_GROWTH : COUNTS_MIN;
    uint8_t *counts = wf_calloc(cap, sizeof(*counts));
    if (counts == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    wf_free(h->counts);
    *h = (struct wf_hashes){.counts = counts, .n = 0, .cap = cap};
    return 0;
}

enum wf_walk_result wf_hashes_add(struct wf_hashes *h, PyObject *key) {
    if (wf_likely(PyLong_CheckExact(key)) && wf_hash_is_own(key)) {
        return WF_WALK_OK;
    }
    const Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1) {
        return WF_WALK_FAILED;
    }
    if (h->n == h->cap && grow(h) < 0) {
        return WF_WALK_FAILED;
    }
    h->n++;
    uint8_t *count = &h->counts[place(hash, h->cap)];
    return ++*count > WF_HASHES_EQUAL_MAX ? WF_WALK_INVALID : WF_WALK_OK;
}

enum wf_walk_result wf_hashes_fill(PyObject *set, PyObject *const *items, size_t n) {
    struct wf_hashes hashes = {0};
    enum wf_walk_result result = WF_WALK_OK;
    for (size_t i = 0; i < n && result == WF_WALK_OK; i++) {
        const Py_ssize_t before = PySet_GET_SIZE(set);
        if (PySet_Add(set, items[i]) < 0) {
            result = WF_WALK_FAILED;
        } else if (wf_unlikely(before >= WF_HASHES_UNCOUNTED) && PySet_GET_SIZE(set) != before &&
                   !PyUnicode_CheckExact(items[i])) {
            result = wf_hashes_add(&hashes, items[i]);
        }
    }
    wf_hashes_free(&hashes);
    return result;
}
