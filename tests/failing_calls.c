/* Makes chosen calls of the C library fail. Loaded before that library (LD_PRELOAD) by the tests of failing calls.

   Nothing fails until `fail_calls` is called. From then on, the calls of one kind are counted, in this process and all
   its children together, and the n-th fails with an error number; with `again`, all later ones fail too. A `close` that
   fails has closed the file, as on Linux. Standard error never fails: the test reads the messages there. Memory means
   blocks of at least 64 KiB; a name is given by a link or by renaming, of which each can replace the other. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, READ, WRITE, SYNC, CLOSE, UNLINK, NAME, STATUS, MAKE_FOLDER, LIST, LOCK, MEMORY };

static const size_t large = 1 << 16;

static atomic_int *counted; /* shared with the children */
static int armed, failing, first, error, again;

__attribute__((constructor)) static void share_the_count(void) {
    counted = (atomic_int *)syscall(SYS_mmap, NULL, sizeof *counted, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void fail_calls(int kind, int nth, int number, int persistent) {
    *counted = 0;
    failing = kind, first = nth, error = number, again = persistent, armed = 1;
}

int counted_calls(void) { return *counted; }

static int fails(enum kind kind) {
    if (!armed || (int)kind != failing) return 0;
    int n = atomic_fetch_add(counted, 1) + 1;
    if (n < first || (n > first && !again)) return 0;
    errno = error;
    return 1;
}

/* `attempt(kind, type, failure, name, parameters, arguments)` defines a function that fails, or calls the next one. */
#define attempt(kind, type, failure, name, parameters, arguments)   \
    type name parameters {                                          \
        static type(*next) parameters;                              \
        if (!next) next = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
        return fails(kind) ? failure : next arguments;              \
    }

#define attempt_with_mode(name, parameters, arguments)              \
    int name(parameters, int flags, ...) {                          \
        static int (*next)(parameters, int, ...);                   \
        if (!next) next = (int (*)(parameters, int, ...))dlsym(RTLD_NEXT, #name); \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode_t mode = va_arg(rest, mode_t);                         \
        va_end(rest);                                               \
        return fails(OPEN) ? -1 : next(arguments, flags, mode);     \
    }

#define path_only const char *path
#define at_path int folder, const char *path
attempt_with_mode(open, path_only, path)
attempt_with_mode(open64, path_only, path)
#undef attempt_with_mode

int openat(int folder, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return fails(OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

attempt(OPEN, FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode))
attempt(OPEN, FILE *, NULL, fopen64, (const char *path, const char *mode), (path, mode))
attempt(READ, ssize_t, -1, read, (int file, void *data, size_t n), (file, data, n))
attempt(READ, ssize_t, -1, pread, (int file, void *data, size_t n, off_t at), (file, data, n, at))
attempt(READ, ssize_t, -1, pread64, (int file, void *data, size_t n, off64_t at), (file, data, n, at))
attempt(SYNC, int, -1, fsync, (int file), (file))
attempt(SYNC, int, -1, fdatasync, (int file), (file))
attempt(NAME, int, -1, rename, (const char *from, const char *to), (from, to))
attempt(NAME, int, -1, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
attempt(NAME, int, -1, link, (const char *from, const char *to), (from, to))
attempt(NAME, int, -1, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
attempt(UNLINK, int, -1, unlink, (const char *path), (path))
attempt(UNLINK, int, -1, unlinkat, (at_path, int flags), (folder, path, flags))
attempt(STATUS, int, -1, stat, (const char *path, struct stat *status), (path, status))
attempt(STATUS, int, -1, stat64, (const char *path, struct stat64 *status), (path, status))
attempt(STATUS, int, -1, lstat, (const char *path, struct stat *status), (path, status))
attempt(STATUS, int, -1, lstat64, (const char *path, struct stat64 *status), (path, status))
attempt(STATUS, int, -1, fstat, (int file, struct stat *status), (file, status))
attempt(STATUS, int, -1, fstat64, (int file, struct stat64 *status), (file, status))
attempt(STATUS, int, -1, fstatat, (at_path, struct stat *status, int flags), (folder, path, status, flags))
attempt(STATUS, int, -1, fstatat64, (at_path, struct stat64 *status, int flags), (folder, path, status, flags))
attempt(STATUS, int, -1, access, (const char *path, int mode), (path, mode))
attempt(STATUS, int, -1, statvfs, (const char *path, struct statvfs *status), (path, status))
attempt(STATUS, int, -1, statvfs64, (const char *path, struct statvfs64 *status), (path, status))
attempt(MAKE_FOLDER, int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
attempt(LIST, DIR *, NULL, opendir, (const char *path), (path))
attempt(LIST, struct dirent *, NULL, readdir, (DIR * folder), (folder))
attempt(LIST, struct dirent64 *, NULL, readdir64, (DIR * folder), (folder))
attempt(LOCK, int, -1, flock, (int file, int operation), (file, operation))

ssize_t write(int file, const void *data, size_t n) {
    return file != STDERR_FILENO && fails(WRITE) ? -1 : syscall(SYS_write, file, data, n);
}

int close(int file) {
    int result = (int)syscall(SYS_close, file);
    return fails(CLOSE) ? -1 : result;
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static int no_memory(size_t n) { return n >= large && fails(MEMORY); }

void *malloc(size_t n) { return no_memory(n) ? NULL : __libc_malloc(n); }

void *calloc(size_t n, size_t size) { return no_memory(n * size) ? NULL : __libc_calloc(n, size); }

void *realloc(void *block, size_t n) { return no_memory(n) ? NULL : __libc_realloc(block, n); }

void *aligned_alloc(size_t alignment, size_t n) { return no_memory(n) ? NULL : __libc_memalign(alignment, n); }

void *memalign(size_t alignment, size_t n) { return no_memory(n) ? NULL : __libc_memalign(alignment, n); }

int posix_memalign(void **block, size_t alignment, size_t n) {
    if (no_memory(n)) return ENOMEM;
    *block = __libc_memalign(alignment, n);
    return *block ? 0 : ENOMEM;
}

void *mmap(void *address, size_t n, int protection, int flags, int file, off_t at) {
    if (file < 0 && no_memory(n)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, n, protection, flags, file, at);
}

void *mmap64(void *address, size_t n, int protection, int flags, int file, off64_t at) {
    return mmap(address, n, protection, flags, file, at);
}
