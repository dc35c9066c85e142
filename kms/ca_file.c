/* SPDX-License-Identifier: Apache-2.0 */

#include "kms/ca_file.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>

bool ca_file_is_valid(const char *text, size_t size) {
        BIO *bio = size <= INT_MAX ? BIO_new_mem_buf(text, (int)size) : NULL;
        unsigned n = 0;
        X509 *one;

        while (bio && (one = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
                X509_free(one);
                n++;
        }
        /* At the end there is no further one; anything else is a damaged one. */
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                n = 0;
        ERR_clear_error();
        (void)BIO_free(bio);
        return n > 0;
}
