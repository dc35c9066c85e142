/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Logging for programs (never for libraries): to the journal with fields when standard error is the journal,
 * else one line per record on standard error. Below request level nobody logs above debug.
 */

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <syslog.h>

/* ident is the program's name; it must outlive the program. Reads $QT_ENCLAVE_LOG ("debug", "info",
 * "warning"). */
void log_open(const char *ident);
void log_set_max_level(int priority);

/* priority as in syslog(3); enclave is put into the field ENCLAVE= and in front of the text, or NULL. */
void log_record(int priority, const char *enclave, const char *format, ...) _printf_(3, 4);

/* A record with fields of its own: fields is a NULL-terminated array of "NAME=value" strings. */
void log_fields(int priority, const char *message, const char *const *fields);

/* error_report() for a program that logs: into the journal when that is where it logs to. */
enum exit_status log_report(int r, struct error *e);

#define log_debug(...) log_record(LOG_DEBUG, NULL, __VA_ARGS__)
#define log_info(...) log_record(LOG_INFO, NULL, __VA_ARGS__)
#define log_notice(...) log_record(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_warning(...) log_record(LOG_WARNING, NULL, __VA_ARGS__)
#define log_error(...) log_record(LOG_ERR, NULL, __VA_ARGS__)
