/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A command on one line, as the exact arguments: a JSON array of strings when it begins with "[", else words
 * separated by white space, where '…' keeps everything, "…" keeps everything but \" and \\, and \ keeps the
 * next character. No shell: variables, globs and the like are plain text.
 */

#include "base/error.h"
#include "eif/string_list.h"

/* USAGE on a quote without end, or JSON that is no array of strings. *ret may come out empty. */
int command_words_parse(const char *text, struct string_list *ret, struct error *reterr);
