/* Disk faults on demand. Preloaded into a process, this library counts the writes, syncs, renames and truncations of
   files below HALO_FAULT_UNDER, and makes one of these steps fail.

       halo_fault(step, how, code)   how: 'k' kill -9 before the step, 't' kill -9 after half of the write,
                                          'e' the step fails with errno `code`,
                                          'f' every write from the step on fails with `code`, as on a full disk
       halo_steps()                  number of steps so far */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long steps, wanted;
static int how, code;

void halo_fault(long step, int kind, int number) { how = kind; code = number; steps = 0; wanted = step; }
long halo_steps(void) { return steps; }

static int is_below(const char *path) {
    const char *place = getenv("HALO_FAULT_UNDER");
    return place && !strncmp(path, place, strlen(place));
}

static int is_watched(int fd) {
    char link[64], path[4096];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* Count a step. Returns 0 to run it, 1 to fail it with errno set, 2 to write half of it and kill the process. */
static int should_fail(int is_write) {
    long step = ++steps;
    if (!wanted || step < wanted) return 0;
    if (how == 'f') { if (is_write) { errno = code; return 1; } return 0; }
    if (step != wanted) return 0;
    if (how == 'e') { errno = code; return 1; }
    if (how == 't' && is_write) return 2;
    kill(getpid(), SIGKILL);
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define HALF(call) do { call; kill(getpid(), SIGKILL); } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    if (is_watched(fd)) switch (should_fail(1)) {
        case 1: return -1;
        case 2: HALF(REAL(write)(fd, data, size / 2));
    }
    return REAL(write)(fd, data, size);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (is_watched(fd)) switch (should_fail(1)) {
        case 1: return -1;
        case 2: HALF(REAL(pwrite64)(fd, data, size / 2, at));
    }
    return REAL(pwrite64)(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }
int fsync(int fd) { return is_watched(fd) && should_fail(0) ? -1 : 0; }
int fdatasync(int fd) { return fsync(fd); }
int ftruncate64(int fd, off64_t size) { return is_watched(fd) && should_fail(0) ? -1 : REAL(ftruncate64)(fd, size); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int rename(const char *from, const char *to) {
    return is_below(to) && should_fail(0) ? -1 : REAL(rename)(from, to);
}
