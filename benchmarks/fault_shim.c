/* Library for LD_PRELOAD that counts the operations of a process on files below a folder, and fails one of them, or
 * kills the process before it.
 *
 *     cc -shared -fPIC -O2 -o fault_shim.so fault_shim.c -ldl
 *
 * Operations: opening for writing, write, sync, truncate, rename, remove, making a folder, link.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, FAIL_ONCE, FAIL_FROM_THERE, KILL };

static char folder[4096];
static int is_armed, kind, failure, target, count;

/* Start to count. From the operation with number `at` on, do what `action` says with the error number `error`. */
void fault_arm(const char *path, int at, int action, int error) {
    strncpy(folder, path, sizeof folder - 1);
    target = at, kind = action, failure = error, count = 0, is_armed = 1;
}

int fault_count(void) { return count; }

static int is_below(const char *path) { return path != NULL && strstr(path, folder) != NULL; }

static int is_open_below(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int fails(int concerns) {
    if (!is_armed || !concerns) return 0;
    count++;
    if (kind == COUNT || count < target || (count > target && kind != FAIL_FROM_THERE)) return 0;
    if (kind == KILL) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = failure;
    return 1;
}

#define REAL(type, name, ...)                 \
    static type (*real)(__VA_ARGS__) = NULL;  \
    if (real == NULL) real = dlsym(RTLD_NEXT, #name)

#define ON_DESCRIPTOR(type, name, parameters, arguments, ...)               \
    type name parameters {                                                  \
        REAL(type, name, __VA_ARGS__);                                      \
        return fails(is_armed && is_open_below(fd)) ? -1 : real arguments;  \
    }

#define ON_PATH(name, parameters, arguments, concerns, ...)   \
    int name parameters {                                     \
        REAL(int, name, __VA_ARGS__);                         \
        return fails(is_armed && (concerns)) ? -1 : real arguments; \
    }

ON_DESCRIPTOR(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), int, const void *, size_t)
ON_DESCRIPTOR(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), int, const struct iovec *, int)
ON_DESCRIPTOR(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), int,
              const void *, size_t, off_t)
ON_DESCRIPTOR(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), int,
              const void *, size_t, off64_t)
ON_DESCRIPTOR(int, fsync, (int fd), (fd), int)
ON_DESCRIPTOR(int, fdatasync, (int fd), (fd), int)
ON_DESCRIPTOR(int, ftruncate, (int fd, off_t size), (fd, size), int, off_t)
ON_DESCRIPTOR(int, ftruncate64, (int fd, off64_t size), (fd, size), int, off64_t)

ON_PATH(rename, (const char *from, const char *to), (from, to), is_below(from) || is_below(to), const char *,
        const char *)
ON_PATH(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), is_below(from) || is_below(to),
        int, const char *, int, const char *)
ON_PATH(link, (const char *from, const char *to), (from, to), is_below(to), const char *, const char *)
ON_PATH(unlink, (const char *path), (path), is_below(path), const char *)
ON_PATH(unlinkat, (int at, const char *path, int flags), (at, path, flags),
        is_below(path) || (at >= 0 && is_open_below(at)), int, const char *, int)
ON_PATH(rmdir, (const char *path), (path), is_below(path), const char *)
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode), is_below(path), const char *, mode_t)
ON_PATH(mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), is_below(path), int, const char *, mode_t)

#define MODE_OF(flags)                           \
    mode_t mode = 0;                             \
    if ((flags) & (O_CREAT | O_TMPFILE)) {       \
        va_list rest;                            \
        va_start(rest, flags);                   \
        mode = va_arg(rest, mode_t);             \
        va_end(rest);                            \
    }

#define ON_OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                         \
        MODE_OF(flags)                                                                   \
        REAL(int, name, const char *, int, ...);                                         \
        int writes = (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) != 0;             \
        return fails(is_armed && writes && is_below(path)) ? -1 : real(path, flags, mode); \
    }

#define ON_OPENAT(name)                                                                      \
    int name(int at, const char *path, int flags, ...) {                                     \
        MODE_OF(flags)                                                                       \
        REAL(int, name, int, const char *, int, ...);                                        \
        int writes = (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) != 0;                 \
        return fails(is_armed && writes && is_below(path)) ? -1 : real(at, path, flags, mode); \
    }

ON_OPEN(open)
ON_OPEN(open64)
ON_OPENAT(openat)
ON_OPENAT(openat64)
