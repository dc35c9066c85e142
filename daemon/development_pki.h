/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where a user's own enclaves find the root of their development PKI:
 * $XDG_STATE_HOME/qt-enclave/development-pki, else below ~/.local/state, made if need be. The monitors make
 * the root itself.
 *
 * NULL when there is no such place, and for root: monitors then run as users of their own, who share no key,
 * and each makes a root in its own directory.
 */

char *development_pki_directory(void); /* the caller's */
