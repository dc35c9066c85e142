/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Enclaves that are declared in files, NAME.conf in the directory enclaves_dir: started with the service. At
 * a reload new ones are started and those whose file is gone are stopped; nothing happens to the others. One
 * that was stopped by hand stays down until it is forgotten and the service reloaded.
 */

#include "base/error.h"

#include <stddef.h>

struct manager;

void declared_load(struct manager *m);

/* Is this text a legal declaration? For --check-config and tests. */
int declared_check(const char *name, const char *text, size_t size, struct error *reterr);
