/* What a reply head is written from: reason phrases and the date line. */
#include "wire/http1/http1.h"

/* RFC 9110 section 15 and the IANA registry of HTTP status codes. */
#define STATUSES(X)                                                                                \
    X(100, "Continue")                                                                             \
    X(101, "Switching Protocols")                                                                  \
    X(102, "Processing")                                                                           \
    X(103, "Early Hints")                                                                          \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(203, "Non-Authoritative Information")                                                        \
    X(204, "No Content")                                                                           \
    X(205, "Reset Content")                                                                        \
    X(206, "Partial Content")                                                                      \
    X(207, "Multi-Status")                                                                         \
    X(208, "Already Reported")                                                                     \
    X(226, "IM Used")                                                                              \
    X(300, "Multiple Choices")                                                                     \
    X(301, "Moved Permanently")                                                                    \
    X(302, "Found")                                                                                \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(305, "Use Proxy")                                                                            \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(402, "Payment Required")                                                                     \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(407, "Proxy Authentication Required")                                                        \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(412, "Precondition Failed")                                                                  \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(416, "Range Not Satisfiable")                                                                \
    X(417, "Expectation Failed")                                                                   \
    X(418, "I'm a Teapot")                                                                         \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(423, "Locked")                                                                               \
    X(424, "Failed Dependency")                                                                    \
    X(425, "Too Early")                                                                            \
    X(426, "Upgrade Required")                                                                     \
    X(428, "Precondition Required")                                                                \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(451, "Unavailable For Legal Reasons")                                                        \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(502, "Bad Gateway")                                                                          \
    X(503, "Service Unavailable")                                                                  \
    X(504, "Gateway Timeout")                                                                      \
    X(505, "HTTP Version Not Supported")                                                           \
    X(506, "Variant Also Negotiates")                                                              \
    X(507, "Insufficient Storage")                                                                 \
    X(508, "Loop Detected")                                                                        \
    X(510, "Not Extended")                                                                         \
    X(511, "Network Authentication Required")

struct wf_span wf_status_reason(int status) {
    switch (status) {
#define X(code, reason)                                                                            \
    case code:                                                                                     \
        return WF_SPAN(reason);
        STATUSES(X)
#undef X
    default:
        return WF_SPAN("");
    }
}

static void two_digits(char *out, unsigned v) {
    out[0] = (char)('0' + v / 10);
    out[1] = (char)('0' + v % 10);
}

void wf_http1_date_line(char out[WF_HTTP1_DATE_LINE], int64_t epoch_s) {
    static const char day_names[] = "ThuFriSatSunMonTueWed"; /* 1 January 1970 was a Thursday */
    static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const int64_t year_9999_ends = 253402300799;
    epoch_s = WF_MIN(WF_MAX(epoch_s, 0), year_9999_ends); /* the year has four digits */

    unsigned day = (unsigned)(epoch_s / 86400), second = (unsigned)(epoch_s % 86400);

    /* Civil date of a day count, in years that begin on 1 March, so that the leap day comes last:
     * 400 years have 146097 days, a year 365.2425, and the months from March on 31, 30, 31, 30, 31
     * again and again, 153 days each five. 719468 days lie between 1 March 0000 and 1 January 1970.
     */
    unsigned since = day + 719468, era = since / 146097, doe = since % 146097;
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned march_month = (5 * doy + 2) / 153;
    unsigned month_day = doy - (153 * march_month + 2) / 5 + 1;
    unsigned month = march_month < 10 ? march_month + 2 : march_month - 10; /* 0 is January */
    unsigned year = era * 400 + yoe + (month < 2);

    memcpy(out, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", WF_HTTP1_DATE_LINE);
    memcpy(out + 6, day_names + day % 7 * 3, 3);
    two_digits(out + 11, month_day);
    memcpy(out + 14, month_names + month * 3, 3);
    two_digits(out + 18, year / 100);
    two_digits(out + 20, year % 100);
    two_digits(out + 23, second / 3600);
    two_digits(out + 26, second / 60 % 60);
    two_digits(out + 29, second % 60);
}
