/* openat2 where there is one, else component by component. */
#include "serve/static/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"

enum {
    READ_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
    NAME_BYTES_MAX = 255, /* of a component; more is ENAMETOOLONG on any file system */
    RACES_MAX = 8         /* with renames, that the kernel gives up on with EAGAIN */
};

/* No symlink is followed, so no component can lead out. */
static int open_by_walking(int root, const char *path) {
    int at = root;
    for (;;) {
        char name[NAME_BYTES_MAX + 1];
        size_t n = strcspn(path, "/");
        bool last = path[n] == '\0';
        int fd = -ENAMETOOLONG;
        if (n <= NAME_BYTES_MAX) {
            memcpy(name, path, n);
            name[n] = '\0';
            fd = openat(at, n != 0 ? name : ".",
                        O_NOFOLLOW | (last ? READ_FLAGS : O_RDONLY | O_CLOEXEC | O_DIRECTORY));
            fd = fd < 0 ? -errno : fd;
        }
        if (at != root) {
            close(at);
        }
        if (last || fd < 0) {
            return fd;
        }
        at = fd;
        path += n + 1;
    }
}

#ifdef __linux__

/* struct open_how of linux/openat2.h, which older systems' headers have not. */
struct how {
    uint64_t flags, mode, resolve;
};
enum { NO_MAGICLINKS = 0x02, BENEATH = 0x08 };
#ifndef SYS_openat2
#define SYS_openat2 437 /* on every architecture */
#endif

static int open_by_kernel(int root, const char *path) {
    struct how how = {.flags = READ_FLAGS, .resolve = BENEATH | NO_MAGICLINKS};
    for (int i = 0; i < RACES_MAX; i++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN) {
            return fd >= 0 ? (int)fd : -errno;
        }
    }
    return -ENOENT;
}

#else

static int open_by_kernel(int root, const char *path) {
    (void)root;
    (void)path;
    return -ENOSYS;
}

#endif

int wf_open_beneath(int root, const char *path, bool *walk) {
    if (!*walk) {
        int fd = open_by_kernel(root, path);
        if (fd != -ENOSYS && fd != -EPERM) { /* EPERM: a sandbox that does not know it */
            return fd;
        }
        if (fd == -ENOSYS) {
            *walk = true;
        }
    }
    return open_by_walking(root, path);
}
