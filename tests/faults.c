/* A disk that fails on demand: preloaded into a process, it counts what the process does to the files below
   HALO_FAULT_UNDER (writes, syncs, renames, cuts) and has one of these steps fail.

       halo_fault(step, how, code)   how: 'k' kill -9 before it, 't' half of it and then kill -9,
                                          'e' it alone fails with errno `code`,
                                          'f' from it on every write fails with `code`, as on a full disk
       halo_steps()                  steps so far */
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

static int below(const char *path) {
    const char *place = getenv("HALO_FAULT_UNDER");
    return place && !strncmp(path, place, strlen(place));
}

static int ours(int fd) {
    char link[64], path[4096];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

/* Whether this step goes wrong: 0 no, 1 with errno set, 2 half of it and then the end. */
static int goes_wrong(int is_write) {
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
    if (ours(fd)) switch (goes_wrong(1)) {
        case 1: return -1;
        case 2: HALF(REAL(write)(fd, data, size / 2));
    }
    return REAL(write)(fd, data, size);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (ours(fd)) switch (goes_wrong(1)) {
        case 1: return -1;
        case 2: HALF(REAL(pwrite64)(fd, data, size / 2, at));
    }
    return REAL(pwrite64)(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }
int fsync(int fd) { return ours(fd) && goes_wrong(0) ? -1 : 0; }
int fdatasync(int fd) { return fsync(fd); }
int ftruncate64(int fd, off64_t size) { return ours(fd) && goes_wrong(0) ? -1 : REAL(ftruncate64)(fd, size); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int rename(const char *from, const char *to) {
    return below(to) && goes_wrong(0) ? -1 : REAL(rename)(from, to);
}
