/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The daemon's configuration. Syntax and the pool's keys are those of the vendor's qt-enclave-env.conf, so
 * that an operator's file works as it is; the table of keys is config.def.
 */

#include "base/error.h"
#include "base/key_file.h"

#include <stddef.h>
#include <stdint.h>

#define CONFIG_SIZE_MAX KEY_FILE_MAX

enum config_key {
#define NUMBER(key, fallback, min, max, help) CONFIG_KEY_##key,
#define TEXT(key, fallback, help) CONFIG_KEY_##key,
#define CHOICE(key, fallback, words, help) CONFIG_KEY_##key,
#include "daemon/config.def"
#undef NUMBER
#undef TEXT
#undef CHOICE
        CONFIG_KEY_MAX
};

struct config {
#define NUMBER(key, fallback, min, max, help) uint64_t key;
#define TEXT(key, fallback, help) char *key;
#define CHOICE(key, fallback, words, help) char *key;
#include "daemon/config.def"
#undef NUMBER
#undef TEXT
#undef CHOICE
        unsigned lines[CONFIG_KEY_MAX]; /* where the file sets each key, 0: nowhere */
};

/* All defaults; -ENOMEM. */
int config_init(struct config *c);
void config_done(struct config *c);
#define _cleanup_config_ _cleanup_(config_done)

/* Every mistake is an error that names file, line, key and rule; nothing is skipped. name is for messages
 * only. Who asks for CPUs or a page size and says nothing of the mode has asked for a dedicated pool. */
int config_parse(struct config *c, const char *name, const char *text, size_t size, struct error *reterr);

/* The vendor's own file, and its tool is on this machine: its service has what the file asks for, its tool
 * runs enclaves. Nothing when the file says otherwise, by mode or hypervisor. -ENOMEM. */
int config_follow_vendor(struct config *c);

/* Of a dedicated pool: the file's, or the platform's. */
uint64_t config_page_mib(const struct config *c);

/* Which keys of the file have no effect, and why, in a sentence; false when all have one. */
bool config_ignored(const struct config *c, char *ret, size_t size);

/* "key:value" lines of everything, as --print-config shows it. */
void config_print(const struct config *c, FILE *f);
