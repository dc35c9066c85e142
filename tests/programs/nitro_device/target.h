/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The programs under supervision: started with a seccomp filter that asks us about the few system calls that
 * could concern the device, and looked into while such a call waits. Negative errno everywhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct seccomp_notif;

/* Writes to the module parameter can only be told from all others by the number of their descriptor, so that
 * file is always opened as this one. */
#define TARGET_POOL_FD 987

/* Start a program whose asked calls arrive at *ret_notify_fd, and those of all its descendants. */
int target_spawn(char *const *argv, pid_t *ret_pid, int *ret_notify_fd);

int target_read(pid_t pid, uint64_t address, void *data, size_t n);
int target_write(pid_t pid, uint64_t address, const void *data, size_t n);
int target_read_text(pid_t pid, uint64_t address, char *ret, size_t size);

/* The process of a thread: calls carry the number of the latter, which may end before the former. */
pid_t target_process(pid_t thread);

/* A duplicate of the program's descriptor. */
int target_take_fd(pid_t pid, int fd);

/* What a descriptor and all its duplicates have in common. */
uint64_t descriptor_identity(int fd);

/* Answer the call: with a value, a negative errno, "let the kernel do it", or a new descriptor (number: -1
 * for the lowest free one). */
void target_answer(int notify_fd, uint64_t id, int64_t value);
void target_continue(int notify_fd, uint64_t id);
void target_answer_fd(int notify_fd, uint64_t id, int fd, bool close_on_exec, int number);

bool target_shares_memory(pid_t one, pid_t other);
bool target_may_administer(pid_t pid); /* CAP_SYS_ADMIN */
