/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one program that the enclave is for: executed as the image says, with the surroundings that a container
 * engine would have given it.
 *
 *   argv         exactly as in the image; a first argument without slash is looked for in PATH
 *   environment  the image's, and PATH, HOME, HOSTNAME where it has none; NOTIFY_SOCKET is ours
 *   directory    the image's, made when it is missing
 *   user         with its groups; no capability is taken from root: the enclave is its own
 *   session      its own, without a controlling terminal; signals as after a boot; 0 is /dev/null, 1 and 2
 *                the console, which is given to the user
 */

#include "guest/init/account.h"

#include "base/app_config.h"

#define APPLICATION_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define APPLICATION_NOTIFY_SOCKET "/run/qt-init/notify"

/* Soft and hard limit of open files: what servers in containers are used to, and select(2) dies of more only
 * when a program really opens more than 1024. */
#define APPLICATION_FILES_SOFT 65536
#define APPLICATION_FILES_HARD 524288

/* The environment that the application gets: an owned NULL-terminated array, the strings borrowed from config
 * and from *ret_home ("HOME=…", owned). */
int application_environment(const struct app_config *config, const char *home, char ***ret, char **ret_home);

/* Returns when the program runs; what failed is said in one sentence for the image's author. */
int application_start(const struct app_config *config, const struct account *account, pid_t *ret,
                      struct error *reterr);
