/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names and addresses that a connection may go to. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exactly size bytes that form a host name (letters, digits, '-' and '_', dots between labels; no address) to
 * lower case with a NUL; ret has HOST_NAME_MAX_SIZE bytes. -EINVAL. */
int host_name_normalise(const char *data, size_t size, char *ret);

/* One row of an allow-list: a name whose labels may hold '*' (any characters of that one label, at least
 * one), and a port. */
struct allow_rule {
        char *pattern; /* owned, lower case */
        uint16_t port;
        bool exact; /* no '*' */
};

/* "kms.*.example.com:443". -EINVAL; a pattern must end in at least two labels without '*'. */
int allow_rule_parse(const char *text, struct allow_rule *ret);
void allow_rule_done(struct allow_rule *rule);
bool allow_rule_matches(const struct allow_rule *rule, const char *name);

/* Loopback, private, link-local, shared, documentation, multicast, reserved, unspecified, also when wrapped
 * into IPv6: where no public service lives, but a parent's own ones and its metadata service do. */
bool address_is_private(const struct sockaddr *address);
