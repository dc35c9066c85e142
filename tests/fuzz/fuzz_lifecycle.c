/* SPDX-License-Identifier: Apache-2.0 */

/* The guest's side of the lifecycle channel. The first byte says in how large pieces the rest arrives. */

#include "monitor/lifecycle.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(void *userdata, const struct lifecycle_event *event) {
        (void)userdata;
        if (event->kind == LIFECYCLE_UNKNOWN || event->code < -1 || event->code > 255 || event->signal < 0 ||
            event->signal > 64)
                __builtin_trap();
        for (size_t i = 0; event->message[i]; i++)
                if (event->message[i] < ' ' || event->message[i] > '~')
                        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct lifecycle_stream stream = { .used = 0 };
        size_t piece = size > 0 ? 1 + data[0] : 1;
        int r = 0;

        for (size_t at = 1; at < size && r == 0; at += piece)
                r = lifecycle_consume(&stream, data + at, size - at < piece ? size - at : piece, check_event,
                                      NULL);
        return 0;
}
