/* Preloaded into the daemon: lets writes and syncs fail as those of a broken disk do.

   The file that VNA_TEST_FAULTS names says what fails from now on: lines of "CALL PATH ERRNO",
   where CALL is write, sync or truncate and PATH a part of the path of the file concerned. A sync that fails
   leaves what was written in the page cache, and forgets that it ever had to be written, as
   Linux does. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(const char *call, int fd)
{
    char link[64], path[4096], rules[4096], *line, *rest = NULL;
    const char *control = getenv("VNA_TEST_FAULTS");
    ssize_t size;
    int file = control ? open(control, O_RDONLY | O_CLOEXEC) : -1;

    if (file < 0)
        return 0;
    size = read(file, rules, sizeof rules - 1);
    close(file);
    if (size <= 0)
        return 0;
    rules[size] = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size <= 0)
        return 0;
    path[size] = 0;
    for (line = strtok_r(rules, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char what[16], part[256];
        int number;
        if (sscanf(line, "%15s %255s %d", what, part, &number) == 3 && !strcmp(what, call)
            && strstr(path, part)) {
            errno = number;
            return 1;
        }
    }
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return fails("write", fd) ? -1 : REAL(pwrite)(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return fails("write", fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return fails("write", fd) ? -1 : REAL(pwritev)(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    return fails("write", fd) ? -1 : REAL(pwritev64)(fd, parts, count, at);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags)
{
    return fails("write", fd) ? -1 : REAL(pwritev2)(fd, parts, count, at, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t at, int flags)
{
    return fails("write", fd) ? -1 : REAL(pwritev64v2)(fd, parts, count, at, flags);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return fails("write", fd) ? -1 : REAL(writev)(fd, parts, count);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return fails("write", fd) ? -1 : REAL(write)(fd, data, size);
}

int fdatasync(int fd)
{
    return fails("sync", fd) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    return fails("sync", fd) ? -1 : REAL(fsync)(fd);
}

int ftruncate(int fd, off_t size)
{
    return fails("truncate", fd) ? -1 : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return fails("truncate", fd) ? -1 : REAL(ftruncate64)(fd, size);
}
