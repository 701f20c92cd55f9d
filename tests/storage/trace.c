/* A record of all that a process does to the files below a directory, for a process that is started with it in
 * LD_PRELOAD: what a power cut may leave of them is made from it (power_cuts.py).
 *
 * TRACE is the record, TRACE_ROOT the directory. One operation at a time: it is done, and then recorded. A write to
 * standard output is recorded too: what was told by then. Files that are mapped (-shm) are left out: SQLite makes them
 * anew. An entry is a kind, the file's number, an offset, the lengths of two texts, and these. */
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
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static int record = -1;
static char root[PATH_MAX];

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

struct entry { char kind; char unused[3]; uint32_t first, second; uint32_t unused_too; uint64_t file, offset; };

static void put(const void *data, size_t size) {
    REAL(write);
    while (size) {
        ssize_t done = real(record, data, size);
        if (done <= 0) abort();
        data = (const char *)data + done;
        size -= done;
    }
}

static void note(char kind, uint64_t file, uint64_t offset, const void *first, size_t first_size, const char *second) {
    struct entry entry = {.kind = kind, .first = first_size, .second = strlen(second), .file = file, .offset = offset};
    put(&entry, sizeof entry);
    put(first, first_size);
    put(second, entry.second);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TRACE"), *below = getenv("TRACE_ROOT");
    if (path && below && realpath(below, root)) record = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    unsetenv("TRACE"); /* children are not traced */
}

/* The absolute path where it is one of ours, else NULL. */
static const char *ours(int directory, const char *path, char *whole) {
    char base[PATH_MAX] = "";
    if (record < 0 || !path) return NULL;
    if (path[0] == '/') snprintf(whole, PATH_MAX, "%s", path);
    else {
        if (directory == AT_FDCWD) { if (!getcwd(base, sizeof base)) return NULL; }
        else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0) return NULL;
            base[length] = 0;
        }
        if (snprintf(whole, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return NULL;
    }
    size_t length = strlen(whole);
    if (length > 4 && !strcmp(whole + length - 4, "-shm")) return NULL;
    return strncmp(whole, root, strlen(root)) == 0 ? whole : NULL;
}

/* The file's number, or its path where it is a directory; 0 for what is not ours. */
static uint64_t file_of(int fd, char *directory) {
    char link[64], path[PATH_MAX];
    struct stat about;
    int before = errno;
    uint64_t found = 0;
    directory[0] = 0;
    if (record >= 0 && fd != record) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        path[length > 0 ? length : 0] = 0;
        if (length > 0 && ours(AT_FDCWD, path, directory) && fstat(fd, &about) == 0) {
            if (!S_ISDIR(about.st_mode)) directory[0] = 0;
            found = about.st_ino;
        }
    }
    errno = before;
    return found;
}

static int opened(int fd, const char *path, int flags, int is_new) {
    struct stat about;
    if (fd < 0 || fstat(fd, &about) || S_ISDIR(about.st_mode)) return fd;
    if (is_new) note('c', about.st_ino, 0, path, strlen(path), "");
    else if (flags & O_TRUNC) note('t', about.st_ino, 0, "", 0, "");
    return fd;
}

#define OPEN(name, at, pass) \
    REAL(name); \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
    char whole[PATH_MAX]; \
    const char *mine = ours(at, path, whole); \
    if (!mine) return real pass; \
    pthread_mutex_lock(&one_at_a_time); \
    int is_new = access(mine, F_OK) != 0; \
    int fd = opened(real pass, mine, flags, is_new); \
    pthread_mutex_unlock(&one_at_a_time); \
    return fd;

int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD, (path, flags, mode)) }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD, (path, flags, mode)) }
int openat(int at, const char *path, int flags, ...) { OPEN(openat, at, (at, path, flags, mode)) }
int openat64(int at, const char *path, int flags, ...) { OPEN(openat64, at, (at, path, flags, mode)) }

#define DO(call, is_noted, noted) \
    pthread_mutex_lock(&one_at_a_time); \
    __typeof__(call) done = call; \
    int after = errno; \
    if (is_noted) noted; \
    pthread_mutex_unlock(&one_at_a_time); \
    errno = after; \
    return done;

#define WRITTEN(name, at, pass) \
    REAL(name); \
    char directory[PATH_MAX]; \
    uint64_t file = file_of(fd, directory); \
    if (!file) return real pass; \
    DO(real pass, done > 0, note('w', file, at, data, done, ""))

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { WRITTEN(pwrite64, offset, (fd, data, size, offset)) }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { WRITTEN(pwrite, offset, (fd, data, size, offset)) }

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    char directory[PATH_MAX];
    if (record >= 0 && fd == 1) { DO(real(fd, data, size), done > 0, note('a', 0, 0, data, done, "")) }
    uint64_t file = file_of(fd, directory);
    if (!file) return real(fd, data, size);
    int is_at_end = fcntl(fd, F_GETFL) & O_APPEND;
    struct stat about;
    fstat(fd, &about);
    off_t offset = is_at_end ? about.st_size : lseek(fd, 0, SEEK_CUR);
    DO(real(fd, data, size), done > 0, note('w', file, offset, data, done, ""))
}

#define SYNCED(name) \
    REAL(name); \
    char directory[PATH_MAX]; \
    uint64_t file = file_of(fd, directory); \
    if (!file) return real(fd); \
    DO(real(fd), done == 0, note(directory[0] ? 'd' : 's', file, 0, directory, strlen(directory), ""))

int fsync(int fd) { SYNCED(fsync) }
int fdatasync(int fd) { SYNCED(fdatasync) }

#define CUT(name) \
    REAL(name); \
    char directory[PATH_MAX]; \
    uint64_t file = file_of(fd, directory); \
    if (!file) return real(fd, size); \
    DO(real(fd, size), done == 0, note('t', file, size, "", 0, ""))

int ftruncate64(int fd, off64_t size) { CUT(ftruncate64) }
int ftruncate(int fd, off_t size) { CUT(ftruncate) }

#define NAMED(kind, name, at, pass) \
    REAL(name); \
    char whole[PATH_MAX]; \
    const char *mine = ours(at, path, whole); \
    if (!mine) return real pass; \
    DO(real pass, done == 0, note(kind, 0, 0, mine, strlen(mine), ""))

int unlink(const char *path) { NAMED('u', unlink, AT_FDCWD, (path)) }
int unlinkat(int at, const char *path, int flags) { NAMED('u', unlinkat, at, (at, path, flags)) }
int rmdir(const char *path) { NAMED('u', rmdir, AT_FDCWD, (path)) }
int mkdir(const char *path, mode_t mode) { NAMED('m', mkdir, AT_FDCWD, (path, mode)) }
int mkdirat(int at, const char *path, mode_t mode) { NAMED('m', mkdirat, at, (at, path, mode)) }

#define MOVED(kind, name, at, at_new, pass) \
    REAL(name); \
    char whole[PATH_MAX], whole_new[PATH_MAX]; \
    const char *mine = ours(at, path, whole), *new_ = ours(at_new, to, whole_new); \
    if (!mine || !new_) return real pass; \
    DO(real pass, done == 0, note(kind, 0, 0, mine, strlen(mine), new_))

int rename(const char *path, const char *to) { MOVED('r', rename, AT_FDCWD, AT_FDCWD, (path, to)) }
int renameat(int at, const char *path, int at_new, const char *to) { MOVED('r', renameat, at, at_new, (at, path, at_new, to)) }
int link(const char *path, const char *to) { MOVED('l', link, AT_FDCWD, AT_FDCWD, (path, to)) }
int linkat(int at, const char *path, int at_new, const char *to, int flags) { MOVED('l', linkat, at, at_new, (at, path, at_new, to, flags)) }
