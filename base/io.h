/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whole reads and writes, files that appear complete or not at all, and memory files that cannot change any
 * more. All return 0 (or a count) or a negative errno; none logs.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Exactly n bytes; -EIO when the file ends early. */
int read_exactly(int fd, void *data, size_t n);
int pread_exactly(int fd, void *data, size_t n, uint64_t offset);

/* Up to n bytes, fewer only at the end of the file. */
ssize_t read_up_to(int fd, void *data, size_t n);

int write_all(int fd, const void *data, size_t n);

/* The monotonic clock, by which deadlines are given; UINT64_MAX is one that never comes. */
uint64_t monotonic_usec(void);
/* Until fd is ready for these events of poll(2), or the deadline has come: -ETIMEDOUT. Signals do not move
 * it.
 */
int wait_until_ready(int fd, short events, uint64_t deadline_usec);

/* A whole small file as a NUL-terminated string the caller frees; -EFBIG beyond max bytes. dir_fd as in
 * openat(2). */
int read_text_file(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_length);

/* Replace path (below dir_fd) by these bytes in one step: a temporary beside it, synced, then renamed. On
 * failure the old file is as it was and no temporary is left. A symbolic link is replaced itself; what is
 * neither a file nor a link to one is refused: -EISDIR, or -EEXIST for a device, FIFO or socket. */
int replace_file(int dir_fd, const char *path, const void *data, size_t n, mode_t mode);

/* The same for what others read and a restart makes anew: of exactly this mode, whatever the umask, and
 * nothing waits for the disk. */
int publish_file(int dir_fd, const char *path, const void *data, size_t n, mode_t mode);

/* A file under construction beside its final path: written through output.fd, then committed (synced and
 * renamed) or abandoned by output_done(), which is legal after a commit and on OUTPUT_NULL. An unnamed
 * temporary (O_TMPFILE) is used where the file system has it, so that not even SIGKILL leaves anything
 * behind. The same is refused as by replace_file(), at once; a symbolic link stays one, and the file that it
 * points to is replaced. */
struct output {
        int fd;
        char *path;      /* absolute and without links: equal for two outputs that would be one file */
        char *temporary; /* NULL while the temporary has no name */
        mode_t mode;
};

#define OUTPUT_NULL ((struct output){ .fd = -1 })

int output_open(struct output *o, const char *path, mode_t mode);
int output_commit(struct output *o);
void output_done(struct output *o);

/* An anonymous memory file, close-on-exec and sealable; seal it once filled: no write, no shrink, no grow. */
int memory_file(const char *name);
int memory_file_seal(int fd);
