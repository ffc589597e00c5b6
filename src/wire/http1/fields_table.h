/* Made by make_fields.py from WF_FIELDS in http1.h; do not edit. */
/* clang-format off */
#define WF_FIELD_SLOT_BITS 6
#define WF_FIELD_MULTIPLIER 0x10b37951u
/* slot -> id */
#define WF_FIELD_SLOTS \
    [2] = WF_FIELD_SERVER, \
    [3] = WF_FIELD_CONTENT_TYPE, \
    [7] = WF_FIELD_RANGE, \
    [8] = WF_FIELD_X_FORWARDED_FOR, \
    [9] = WF_FIELD_HOST, \
    [10] = WF_FIELD_EXPECT, \
    [11] = WF_FIELD_CONNECTION, \
    [14] = WF_FIELD_DATE, \
    [15] = WF_FIELD_TRANSFER_ENCODING, \
    [16] = WF_FIELD_CONTENT_ENCODING, \
    [19] = WF_FIELD_X_REQUEST_ID, \
    [20] = WF_FIELD_TE, \
    [21] = WF_FIELD_ORIGIN, \
    [22] = WF_FIELD_UPGRADE, \
    [23] = WF_FIELD_ACCEPT, \
    [25] = WF_FIELD_REFERER, \
    [26] = WF_FIELD_IF_MATCH, \
    [31] = WF_FIELD_FORWARDED, \
    [33] = WF_FIELD_KEEP_ALIVE, \
    [37] = WF_FIELD_IF_MODIFIED_SINCE, \
    [38] = WF_FIELD_CONTENT_LENGTH, \
    [41] = WF_FIELD_USER_AGENT, \
    [42] = WF_FIELD_COOKIE, \
    [45] = WF_FIELD_IF_UNMODIFIED_SINCE, \
    [47] = WF_FIELD_IF_NONE_MATCH, \
    [50] = WF_FIELD_ACCEPT_ENCODING, \
    [51] = WF_FIELD_TRAILER, \
    [53] = WF_FIELD_X_FORWARDED_PROTO, \
    [62] = WF_FIELD_AUTHORIZATION, \
    [63] = WF_FIELD_IF_RANGE
