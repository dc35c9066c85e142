/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The configuration files of the vendors' tools as ours:
 *
 *   vsock-proxy.yaml      allowlist: of {address, port}                    to qt-kms-proxy.conf
 *   allocator.yaml        begins with ---; memory_mib, cpu_count|cpu_pool  to qt-enclaved.conf
 *   qt-enclave-env.conf   key:value lines; hugepage_size, memory_mib,      to qt-enclaved.conf
 *                         cpu_count|cpu_list
 *
 * Which one a file is, its contents tell. Strict: what is not known is refused with its line, since a setting
 * that is quietly dropped is found out much later. An entry that has no counterpart is a comment that begins
 * with IMPORT_SKIPPED, for the caller to show. Bytes in, text out; no I/O.
 */

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define IMPORT_SKIPPED "# not imported: "
#define IMPORT_SIZE_MAX ((size_t)256 << 10)

enum import_target { IMPORT_ENCLAVED, IMPORT_KMS_PROXY, IMPORT_TARGET_MAX };

/* "qt-enclaved.conf" or "qt-kms-proxy.conf". */
const char *import_target_name(enum import_target target);

/* name is for messages and comments. port is the vsock port of what vsock-proxy.yaml allows, which that file
 * does not hold. *ret is the caller's. CONFIG_INVALID. */
int import_config(const char *text, size_t size, const char *name, uint32_t port, char **ret,
                  enum import_target *ret_target, struct error *reterr);
