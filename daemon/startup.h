/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the daemon finds what it needs before it can serve: its directory, its configuration, the monitor
 * program, and a socket that the service manager may have opened. */

#include "base/options.h"
#include "daemon/config.h"

#define SYSTEM_RUNTIME_DIR "/run/qt-enclave"
#define SYSTEM_ENCLAVES "/etc/qt-enclave/enclaves.d"
#define SYSTEM_CONFIG "/etc/qt-enclave/qt-enclaved.conf"

/* --runtime-dir, --user, or the system's; absolute. The caller frees it. */
int startup_runtime(const struct options *o, char **ret, struct error *reterr);

/* --monitor, the installed one, or in a build tree the one beside us. The caller frees it. */
int startup_monitor(const struct options *o, char **ret, struct error *reterr);

/* --config, or the system's when there is one; defaults otherwise. */
int startup_config(const struct options *o, struct config *c, struct error *reterr);

/* systemd's socket when there is one, else -1; below -1 is an error. */
int startup_socket(struct error *reterr);
