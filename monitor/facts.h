/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is known of the virtual machine, as the type Facts of io.qtenclave.Monitor. */

#include "monitor/vm.h"

#include <jansson.h>

/* NULL when out of memory. */
json_t *facts_of(const struct vm *vm);

/* Leave them in the file "end" of the enclave's directory, for whoever collects the enclave. */
int facts_leave(const struct vm *vm);
