/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The console of an enclave: write-only for everybody inside. The parent may type into a virtual serial line
 * as it likes, so nothing reads from it: standard input is /dev/null. An enclave started without debug mode
 * has no console; then all three are /dev/null.
 */

#include "base/cleanup.h"

/* Make /dev/null, console, console the descriptors 0, 1, 2. Called again after a change of /dev. */
void console_open(void);

/* One line, "qt-init: …"; whatever the text holds, it stays one line. */
void console_say(const char *format, ...) _printf_(1, 2);
