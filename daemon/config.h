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

struct config {
#define NUMBER(key, fallback, min, max, help) uint64_t key;
#define TEXT(key, fallback, help) char *key;
#define CHOICE(key, fallback, words, help) char *key;
#include "daemon/config.def"
#undef NUMBER
#undef TEXT
#undef CHOICE
};

/* All defaults; -ENOMEM. */
int config_init(struct config *c);
void config_done(struct config *c);
#define _cleanup_config_ _cleanup_(config_done)

/* Every mistake is an error that names file, line, key and rule; nothing is skipped. name is for messages
 * only. */
int config_parse(struct config *c, const char *name, const char *text, size_t size, struct error *reterr);

/* "key:value" lines of everything, as --print-config shows it. */
void config_print(const struct config *c, FILE *f);
