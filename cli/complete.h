/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What may stand next on a command line, for the shell's completion. It comes from the tables of the verbs,
 * so that it cannot lag behind them. One line on standard output for each possibility: "word TAB text" is the
 * whole word, "file TAB text" the name of any file after this text.
 */

#include "cli/verb.h"

/* argv has the words after the program's name; the last one, perhaps empty, is being typed. */
void complete_words(const struct verb *const *verbs, size_t n, int argc, char **argv);
