/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What runs inside an emulated enclave: a thread that plays the guest of an image, from the heartbeat to its
 * end. The image's kernel command line is its script, words of which all may be missing:
 *
 *   boot=MS      before the heartbeat           silent       no heartbeat, ever
 *   stock        no lifecycle channel            life=MS      the application's life (default: until a stop)
 *   exit=N       its exit status (default 0)     signal=N     or the signal that kills it
 *   crash        ends without a word instead     stubborn     does not heed a stop
 *   stranger=CID before anything else, another enclave of that CID tries to be heard on both ports
 *   say=TEXT     one more word for the console
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest;

struct guest_request {
        int owner; /* as in vsock_names.h */
        uint32_t cid;
        bool debug; /* it has a console */
        const uint8_t *image;
        size_t image_size;
        int over_fd; /* one byte `index` is written there when the guest has ended by itself */
        uint8_t index;
};

/* -EBADMSG: no image, or a damaged one. The image is needed during the call only. */
int guest_start(struct guest **ret, const struct guest_request *request);

/* Ends it wherever it is. */
struct guest *guest_free(struct guest *g);
