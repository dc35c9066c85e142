/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The request set of AWS's Nitro Security Module, both ends of it: what /dev/nsm carries, and what the local
 * module answers. CBOR as serde_cbor writes it: a request without fields is a bare text, any other a map of
 * one (source: aws-nitro-enclaves-nsm-api, src/api). Reading is more forgiving than writing: integers of any
 * width, both forms of maps, keys in any order.
 */

#include "attest/cbor.h"

#define NSM_MAX_REQUEST 0x1000
#define NSM_MAX_RESPONSE 0x3000
#define NSM_PCRS 32
#define NSM_PCR_BYTES 48
#define NSM_RANDOM_BYTES 256

enum nsm_operation {
        NSM_DESCRIBE_PCR,
        NSM_EXTEND_PCR,
        NSM_LOCK_PCR,
        NSM_LOCK_PCRS,
        NSM_DESCRIBE_NSM,
        NSM_ATTESTATION,
        NSM_GET_RANDOM,
        NSM_OPERATION_MAX,
};

/* X(id, name): names are on the wire, order is libqtsm's error_code too. */
#define NSM_ERRORS(X)                            \
        X(SUCCESS, "Success")                    \
        X(INVALID_INDEX, "InvalidIndex")         \
        X(INVALID_RESPONSE, "InvalidResponse")   \
        X(INVALID_ARGUMENT, "InvalidArgument")   \
        X(READ_ONLY_INDEX, "ReadOnlyIndex")      \
        X(INVALID_OPERATION, "InvalidOperation") \
        X(BUFFER_TOO_SMALL, "BufferTooSmall")    \
        X(INPUT_TOO_LARGE, "InputTooLarge")      \
        X(INTERNAL_ERROR, "InternalError")

enum nsm_error {
#define NSM_ERROR_ENUM(id, name) NSM_ERROR_##id,
        NSM_ERRORS(NSM_ERROR_ENUM)
#undef NSM_ERROR_ENUM
                NSM_ERROR_MAX
};

const char *nsm_operation_name(enum nsm_operation operation); /* "DescribePCR" */
const char *nsm_error_name(enum nsm_error error);             /* "InvalidIndex" */

struct nsm_request {
        enum nsm_operation operation;
        uint16_t index; /* of a PCR; for LockPCRs how many, from 0 */
        struct span data;
        struct span user_data, nonce, public_key; /* data NULL: null */
};

/* Nothing else fails than the room in w. */
void nsm_request_encode(struct cbor_writer *w, const struct nsm_request *request);

/* NSM_ERROR_SUCCESS, or what the module has to answer. The spans point into the bytes. */
enum nsm_error nsm_request_decode(struct span bytes, struct nsm_request *ret);

struct nsm_response {
        enum nsm_error error; /* SUCCESS: the rest counts, as far as the operation has it */
        bool locked;
        struct span data; /* DescribePCR, ExtendPCR: the PCR; Attestation: the document; GetRandom: bytes */
        struct span module_id;
        struct span digest;
        uint16_t version[3];
        uint16_t max_pcrs;
        uint32_t locked_pcrs; /* bit i: PCR i */
};

void nsm_response_encode(struct cbor_writer *w, enum nsm_operation operation, const struct nsm_response *r);

/* False when the bytes are no answer to that operation. */
bool nsm_response_decode(struct span bytes, enum nsm_operation operation, struct nsm_response *ret);
