/* A disk that fails at a chosen moment, for a process that is started with it in LD_PRELOAD.
 *
 * FAULT="kill:N" ends the process in the middle of its Nth write or sync of a database, half of a write done;
 * FAULT="eio:N" lets that one fail. What is written to other files is left alone; FAULT_FILE, a part of a name, takes
 * the place of the databases. To FAULT_TRACE goes what is written and synced, a line each: "write" or "sync", and the
 * name of the file; and with "hit" before it what met the fault. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long count;

static void trace(const char *what, const char *path) {
    const char *to = getenv("FAULT_TRACE"), *name = strrchr(path, '/');
    FILE *file = to ? fopen(to, "a") : 0;
    if (file) {
        fprintf(file, "%s %s\n", what, name ? name + 1 : path);
        fclose(file);
    }
}

static int is_due(int fd, const char *what) {
    static long at = -1;
    static int is_kill;
    const char *file = getenv("FAULT_FILE");
    char link[64], path[4096];
    if (at == -1) {
        const char *fault = getenv("FAULT");
        is_kill = fault && strncmp(fault, "kill:", 5) == 0;
        at = fault ? atol(strchr(fault, ':') + 1) : 0;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, file ? file : ".sqlite")) return 0;
    trace(what, path);
    if (atomic_fetch_add(&count, 1) + 1 != at) return 0;
    trace(what[0] == 'w' ? "hit write" : "hit sync", path);
    return is_kill ? 1 : 2;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAIL(what, half) switch (is_due(fd, what)) { case 1: half; kill(getpid(), SIGKILL); case 2: errno = EIO; return -1; }

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    FAIL("write", real(fd, data, size / 2, offset))
    return real(fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    REAL(pwrite);
    FAIL("write", real(fd, data, size / 2, offset))
    return real(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    FAIL("write", real(fd, data, size / 2))
    return real(fd, data, size);
}

int fsync(int fd) {
    REAL(fsync);
    FAIL("sync", 0)
    return real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    FAIL("sync", 0)
    return real(fd);
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    FAIL("write", 0)
    return real(fd, size);
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    FAIL("write", 0)
    return real(fd, size);
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : 0;
    if (file) {
        fprintf(file, "%ld", atomic_load(&count));
        fclose(file);
    }
}
