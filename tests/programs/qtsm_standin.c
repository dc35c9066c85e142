/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Stands where Huawei's libqtsm.so would, which only an enclave on QingTian has: the signatures of its
 * header, answers that show what was asked, and its habit of writing to standard output.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DESCRIPTOR 77
#define INVALID_ARGUMENT 3
#define READ_ONLY_INDEX 4
#define BUFFER_TOO_SMALL 6

int qtsm_lib_init(void);
void qtsm_lib_exit(int fd);
int qtsm_describe_pcr(int fd, uint16_t index, bool *locked, uint8_t *data, uint32_t *size);
int qtsm_extend_pcr(int fd, uint16_t index, const uint8_t *data, uint32_t size, uint8_t *pcr,
                    uint32_t *pcr_size);
int qtsm_lock_pcr(int fd, uint16_t index, bool *locked);
int qtsm_get_attestation(int fd, const uint8_t *user_data, uint32_t user_data_size, const uint8_t *nonce,
                         uint32_t nonce_size, const uint8_t *public_key, uint32_t public_key_size,
                         uint8_t *document, uint32_t *document_size);
int qtsm_get_random(int fd, uint8_t *bytes, uint32_t size);

int qtsm_lib_init(void) {
        (void)puts("QTSM Device file opened.");
        return DESCRIPTOR;
}

void qtsm_lib_exit(int fd) {
        (void)printf("QTSM closed %d\n", fd);
}

int qtsm_describe_pcr(int fd, uint16_t index, bool *locked, uint8_t *data, uint32_t *size) {
        *locked = index < 16;
        memset(data, index, 48);
        *size = 48;
        return fd == DESCRIPTOR ? 0 : INVALID_ARGUMENT;
}

int qtsm_extend_pcr(int fd, uint16_t index, const uint8_t *data, uint32_t size, uint8_t *pcr,
                    uint32_t *pcr_size) {
        if (index < 16)
                return READ_ONLY_INDEX;
        memset(pcr, size > 0 ? data[0] : 0, 48);
        *pcr_size = 48;
        return fd == DESCRIPTOR ? 0 : INVALID_ARGUMENT;
}

int qtsm_lock_pcr(int fd, uint16_t index, bool *locked) {
        *locked = true;
        return fd == DESCRIPTOR && index >= 16 ? 0 : READ_ONLY_INDEX;
}

int qtsm_get_attestation(int fd, const uint8_t *user_data, uint32_t user_data_size, const uint8_t *nonce,
                         uint32_t nonce_size, const uint8_t *public_key, uint32_t public_key_size,
                         uint8_t *document, uint32_t *document_size) {
        int n;

        if (fd != DESCRIPTOR)
                return INVALID_ARGUMENT;
        n = snprintf((char *)document, *document_size, "user_data %.*s nonce %.*s public_key %.*s",
                     (int)user_data_size, (const char *)user_data, (int)nonce_size, (const char *)nonce,
                     (int)public_key_size, (const char *)public_key);
        if (n < 0 || (uint32_t)n >= *document_size)
                return BUFFER_TOO_SMALL;
        *document_size = (uint32_t)n;
        return 0;
}

int qtsm_get_random(int fd, uint8_t *bytes, uint32_t size) {
        memset(bytes, 'r', size);
        return fd == DESCRIPTOR ? 0 : INVALID_ARGUMENT;
}
