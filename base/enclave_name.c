/* SPDX-License-Identifier: Apache-2.0 */

#include "base/enclave_name.h"

#include <ctype.h>
#include <string.h>

#define NAME_LENGTH_MAX 64

bool enclave_name_is_valid(const char *name) {
        size_t n = strlen(name);

        if (n == 0 || n > NAME_LENGTH_MAX || !isalnum((unsigned char)name[0]))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
                        return false;
        return true;
}
