/* Preloaded into a test's process: records what it does to the files of one folder, and fails on
 * demand.
 *
 * JETWASH_SHIM_FOLDER   the folder
 * JETWASH_SHIM_LOG      where the record goes; see `Op` in ../it/shim.rs for its form
 * JETWASH_SHIM_FULL     as long as this file exists, the disk is full
 * JETWASH_SHIM_BROKEN   as long as this file exists, reading fails
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -2;
static char folder[PATH_MAX];

static void begin(void) {
    pthread_mutex_lock(&lock);
    if (log_fd != -2) return;
    const char *path = getenv("JETWASH_SHIM_LOG");
    log_fd = path ? REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    const char *name = getenv("JETWASH_SHIM_FOLDER");
    if (name) snprintf(folder, sizeof folder, "%s", name);
}

static void end(void) {
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static int is_set(const char *name) {
    const char *path = getenv(name);
    return path && access(path, F_OK) == 0;
}

/* The path below the folder; NULL for any other. */
static const char *below(const char *path) {
    size_t length = strlen(folder);
    if (length == 0 || strncmp(path, folder, length) != 0) return NULL;
    return path[length] == '/' ? path + length + 1 : path[length] == 0 ? "" : NULL;
}

static const char *resolve(int dir, const char *path, char *whole) {
    char link[64];
    if (path[0] == '/' || dir == AT_FDCWD) {
        snprintf(whole, PATH_MAX, "%s", path);
        return below(whole);
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t length = readlink(link, whole, PATH_MAX - 1);
    if (length < 0) return NULL;
    snprintf(whole + length, PATH_MAX - length, "/%s", path);
    return below(whole);
}

static const char *path_of(int fd, char *whole) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, whole, PATH_MAX - 1);
    if (length < 0) return NULL;
    whole[length] = 0;
    return below(whole);
}

static void put(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = REAL(write)(log_fd, at, length);
        if (written <= 0) abort();
        at += written;
        length -= written;
    }
}

/* One line of text, and the bytes that it says follow. */
static void record(const char *line, const void *bytes, size_t length) {
    int saved = errno;
    if (log_fd >= 0) {
        put(line, strlen(line));
        put(bytes, length);
    }
    errno = saved;
}

static unsigned long inode(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 ? found.st_ino : 0;
}

static int do_open(int dir, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX], line[PATH_MAX + 64];
    begin();
    const char *name = resolve(dir, path, whole);
    int is_new = name && (flags & O_CREAT) && access(whole, F_OK) != 0;
    if (name && is_new && is_set("JETWASH_SHIM_FULL")) {
        errno = ENOSPC;
        end();
        return -1;
    }
    int fd = REAL(openat)(dir, path, flags, mode);
    if (fd >= 0 && is_new) {
        snprintf(line, sizeof line, "create %lu %s\n", inode(fd), name);
        record(line, NULL, 0);
    } else if (fd >= 0 && name && (flags & O_TRUNC)) {
        snprintf(line, sizeof line, "truncate %lu 0\n", inode(fd));
        record(line, NULL, 0);
    }
    end();
    return fd;
}

#define OPEN(name)                                          \
    int name(const char *path, int flags, ...) {            \
        va_list arguments;                                  \
        va_start(arguments, flags);                         \
        mode_t mode = va_arg(arguments, int);               \
        va_end(arguments);                                  \
        return do_open(AT_FDCWD, path, flags, mode);        \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                        \
    int name(int dir, const char *path, int flags, ...) {   \
        va_list arguments;                                  \
        va_start(arguments, flags);                         \
        mode_t mode = va_arg(arguments, int);               \
        va_end(arguments);                                  \
        return do_open(dir, path, flags, mode);             \
    }
OPENAT(openat64)

static ssize_t do_write(int fd, const void *bytes, size_t length, off_t offset, int at) {
    char whole[PATH_MAX], line[128];
    begin();
    const char *name = path_of(fd, whole);
    if (name && is_set("JETWASH_SHIM_FULL")) {
        errno = ENOSPC;
        end();
        return -1;
    }
    if (name && !at) {
        struct stat found;
        if (fcntl(fd, F_GETFL) & O_APPEND) offset = fstat(fd, &found) == 0 ? found.st_size : 0;
        else offset = lseek(fd, 0, SEEK_CUR);
    }
    ssize_t written = at ? REAL(pwrite)(fd, bytes, length, offset) : REAL(write)(fd, bytes, length);
    if (name && written > 0) {
        snprintf(line, sizeof line, "write %lu %ld %zd\n", inode(fd), (long)offset, written);
        record(line, bytes, written);
    }
    end();
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    return do_write(fd, bytes, length, 0, 0);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return do_write(fd, bytes, length, offset, 1);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    return do_write(fd, bytes, length, offset, 1);
}

/* Short writes are allowed, so only the first piece is written. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    for (int piece = 0; piece < count; piece++)
        if (pieces[piece].iov_len > 0)
            return do_write(fd, pieces[piece].iov_base, pieces[piece].iov_len, 0, 0);
    return 0;
}

#define READ(call, ...)                                     \
    char whole[PATH_MAX];                                   \
    begin();                                                \
    int fails = path_of(fd, whole) && is_set("JETWASH_SHIM_BROKEN"); \
    end();                                                  \
    if (!fails) return REAL(call)(__VA_ARGS__);             \
    errno = EIO;                                            \
    return -1;

ssize_t read(int fd, void *bytes, size_t length) {
    READ(read, fd, bytes, length)
}

ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) {
    READ(pread, fd, bytes, length, offset)
}

static int do_truncate(int fd, off_t length) {
    char whole[PATH_MAX], line[128];
    begin();
    int result = REAL(ftruncate)(fd, length);
    if (result == 0 && path_of(fd, whole)) {
        snprintf(line, sizeof line, "truncate %lu %ld\n", inode(fd), (long)length);
        record(line, NULL, 0);
    }
    end();
    return result;
}

int ftruncate(int fd, off_t length) {
    return do_truncate(fd, length);
}

int ftruncate64(int fd, off_t length) {
    return do_truncate(fd, length);
}

static int do_sync(int fd, int data_only) {
    char whole[PATH_MAX], line[PATH_MAX + 64];
    begin();
    const char *name = path_of(fd, whole);
    /* Nothing has to survive but in the record. */
    int result = log_fd >= 0 && name ? 0 : data_only ? REAL(fdatasync)(fd) : REAL(fsync)(fd);
    if (result == 0 && name) {
        snprintf(line, sizeof line, "sync %lu %s\n", inode(fd), name);
        record(line, NULL, 0);
    }
    end();
    return result;
}

int fsync(int fd) {
    return do_sync(fd, 0);
}

int fdatasync(int fd) {
    return do_sync(fd, 1);
}

static int do_rename(int from_dir, const char *from, int to_dir, const char *to) {
    char old[PATH_MAX], new[PATH_MAX], line[2 * PATH_MAX + 64];
    begin();
    const char *source = resolve(from_dir, from, old);
    const char *target = resolve(to_dir, to, new);
    int result = REAL(renameat)(from_dir, from, to_dir, to);
    if (result == 0 && source && target) {
        snprintf(line, sizeof line, "rename %s %s\n", source, target);
        record(line, NULL, 0);
    }
    end();
    return result;
}

int rename(const char *from, const char *to) {
    return do_rename(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return do_rename(from_dir, from, to_dir, to);
}

static int do_remove(int dir, const char *path, int flags) {
    char whole[PATH_MAX], line[PATH_MAX + 64];
    begin();
    const char *name = resolve(dir, path, whole);
    int result = REAL(unlinkat)(dir, path, flags);
    if (result == 0 && name) {
        snprintf(line, sizeof line, "remove %s\n", name);
        record(line, NULL, 0);
    }
    end();
    return result;
}

int unlink(const char *path) {
    return do_remove(AT_FDCWD, path, 0);
}

int rmdir(const char *path) {
    return do_remove(AT_FDCWD, path, AT_REMOVEDIR);
}

int unlinkat(int dir, const char *path, int flags) {
    return do_remove(dir, path, flags);
}

int mkdir(const char *path, mode_t mode) {
    char whole[PATH_MAX], line[PATH_MAX + 64];
    begin();
    const char *name = resolve(AT_FDCWD, path, whole);
    int result = REAL(mkdir)(path, mode);
    struct stat found;
    if (result == 0 && name && stat(path, &found) == 0) {
        snprintf(line, sizeof line, "folder %lu %s\n", (unsigned long)found.st_ino, name);
        record(line, NULL, 0);
    }
    end();
    return result;
}
