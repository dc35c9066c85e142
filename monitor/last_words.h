/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The file "end" in the enclave's directory: what a daemon that is not there when the enclave ends must still
 * learn. Its room is taken at the start, when a refusal harms nobody, so that a directory that is full at the
 * end loses nothing. (No descriptor is held meanwhile: it would keep the file system from becoming
 * read-only.)
 */

#include <stddef.h>

#define LAST_WORDS_ROOM                                                                    \
        24576 /* the longest facts: a command line and a console's last lines, all escaped \
               */

int last_words_reserve(int directory_fd);

/* Once. They appear under their name when they are whole. */
int last_words_leave(int directory_fd, const char *text, size_t n);
