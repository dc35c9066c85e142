/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes between this process and a stream that the daemon handed over. */

#include "base/error.h"

/* Everything from the stream to standard output until it ends. */
int stream_print(int stream_fd, struct error *reterr);
/* The same, for so many milliseconds at most; -1: without end. */
int stream_print_for(int stream_fd, int timeout_msec, struct error *reterr);

/* Standard input to the stream and the stream to standard output. The end of the input is passed on (the
 * stream is closed for writing only); it is over when the other side has said all. */
int stream_connect(int stream_fd, struct error *reterr);
