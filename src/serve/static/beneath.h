/* Opening files that are beneath a directory, whatever their path says.
 * thread   any */
#ifndef WF_SERVE_STATIC_BENEATH_H
#define WF_SERVE_STATIC_BENEATH_H

#include <stdbool.h>

/* A descriptor of `path`, which is relative and has no ".." of its own, beneath directory `root`, for reading; or
 * -errno. A symlink is followed only as long as it stays beneath (-EXDEV, -ELOOP), an absolute one never: by
 * openat2's RESOLVE_BENEATH; *walk is set where the kernel or its sandbox has no openat2, and then no symlink is
 * followed at all. Never waits: a FIFO does not block. */
int wf_open_beneath(int root, const char *path, bool *walk);

#endif
