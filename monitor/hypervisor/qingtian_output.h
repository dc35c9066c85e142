/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the vendor's tool prints, read without trust in its shape: documentation and field reports show a text
 * line with or without JSON behind it, JSON with commas missing, warnings in between, two ways to say that a
 * stop succeeded, and the word "error" in output of commands that succeeded. So names and their values are
 * looked for wherever they stand, and a command has succeeded only when what it had to tell is there.
 *
 * Texts are (pointer, length), may hold anything, and are never longer than QINGTIAN_OUTPUT_MAX. status is
 * the tool's exit status, 128 + signal, or a negative errno when it was never run or had to be killed.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QINGTIAN_OUTPUT_MAX (64 * 1024)
#define QINGTIAN_ENCLAVES_MAX 16 /* the platform runs 2 */

struct qingtian_enclave {
        uint64_t id, cid;
        uint64_t pid, cpus, memory_mib; /* 0: not told */
        bool debug;
};

int qingtian_parse_start(const char *text, size_t n, int status, struct qingtian_enclave *ret,
                         struct error *reterr);

/* Nothing at all, and "[]", is no enclave. An output that is neither that nor entries is an error: an enclave
 * is not taken for gone because the tool failed. */
int qingtian_parse_query(const char *text, size_t n, int status, struct qingtian_enclave *ret, size_t *ret_n,
                         struct error *reterr);

/* Nothing but white space: what the documents promise of a query without enclaves, and of a failed stop. */
bool qingtian_is_blank(const char *text, size_t n);

int qingtian_parse_stop(const char *text, size_t n, int status, struct error *reterr);

/* Of query-eif, which older tools do not have: false when there are none. pcr8 is empty when not told. */
bool qingtian_parse_measurements(const char *text, size_t n, char pcr0[97], char pcr8[97]);

#define QINGTIAN_CODE_CID_USED 43

/* The tool's own code (1 to 43) in a text, or 0. */
int qingtian_find_code(const char *text, size_t n);

/* Describe a failed command: by its code, by what is known of its environment, or by its last line. what is
 * its name. */
int qingtian_error_set(struct error *reterr, const char *what, const char *text, size_t n, int status);
