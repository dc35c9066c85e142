/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/host_name.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "kms-proxy/client_hello.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

/* Labels of 1 to 63 characters; '*' only where a pattern may have it. The last label must not be all digits:
 * that is how addresses in all their notations look ("127.1", "0x7f.1" is caught by the same rule,
 * "2130706433" too). */
static int check_labels(const char *name, bool pattern) {
        const char *label = name;

        for (;;) {
                size_t n = strcspn(label, ".");

                if (n == 0 || n > 63 || label[0] == '-' || label[n - 1] == '-')
                        return -EINVAL;
                for (size_t i = 0; i < n; i++)
                        if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_' &&
                            !(pattern && label[i] == '*'))
                                return -EINVAL;
                if (!label[n])
                        return isdigit((unsigned char)label[0]) ? -EINVAL : 0;
                label += n + 1;
        }
}

static int normalise(const char *data, size_t size, char *ret, bool pattern) {
        if (size == 0 || size >= HOST_NAME_MAX_SIZE)
                return -EINVAL;
        for (size_t i = 0; i < size; i++) {
                if ((unsigned char)data[i] >= 0x80 || data[i] == '\0')
                        return -EINVAL;
                ret[i] = (char)tolower((unsigned char)data[i]);
        }
        ret[size] = '\0';
        return check_labels(ret, pattern);
}

int host_name_normalise(const char *data, size_t size, char *ret) {
        return normalise(data, size, ret, false);
}

static size_t plain_labels_at_end(const char *pattern) {
        size_t n = 0;

        for (const char *label = pattern; label;) {
                size_t length = strcspn(label, ".");

                n = memchr(label, '*', length) ? 0 : n + 1;
                label = label[length] ? label + length + 1 : NULL;
        }
        return n;
}

int allow_rule_parse(const char *text, struct allow_rule *ret) {
        const char *colon = strrchr(text, ':');
        char pattern[HOST_NAME_MAX_SIZE];
        uint32_t port;

        if (!colon || parse_u32(colon + 1, 1, UINT16_MAX, &port) < 0 ||
            normalise(text, (size_t)(colon - text), pattern, true) < 0)
                return -EINVAL;
        if (strchr(pattern, '*') && plain_labels_at_end(pattern) < 2)
                return -EINVAL;
        ret->pattern = strdup(pattern);
        ret->port = (uint16_t)port;
        ret->exact = !strchr(pattern, '*');
        return ret->pattern ? 0 : -ENOMEM;
}

void allow_rule_done(struct allow_rule *rule) {
        free(rule->pattern);
        rule->pattern = NULL;
}

/* One label against one pattern label. There is at most a handful of stars and 63 characters, so going back
 * to the last star is cheap. */
static bool label_matches(const char *pattern, size_t pattern_size, const char *label, size_t size) {
        size_t p = 0, l = 0, star = SIZE_MAX, resume = 0;

        while (l < size) {
                if (p < pattern_size && pattern[p] == '*') {
                        star = p++;
                        resume = ++l; /* a star takes at least one character */
                } else if (p < pattern_size && pattern[p] == label[l]) {
                        p++;
                        l++;
                } else if (star != SIZE_MAX) {
                        p = star + 1;
                        l = ++resume;
                } else
                        return false;
        }
        return p == pattern_size && l == size;
}

bool allow_rule_matches(const struct allow_rule *rule, const char *name) {
        const char *pattern = rule->pattern;

        for (;;) {
                size_t p = strcspn(pattern, "."), n = strcspn(name, ".");

                if (!label_matches(pattern, p, name, n) || !pattern[p] != !name[n])
                        return false;
                if (!pattern[p])
                        return true;
                pattern += p + 1;
                name += n + 1;
        }
}

static bool ipv4_is_private(uint32_t address) {
        static const struct {
                uint32_t network;
                unsigned bits;
        } rows[] = {
                { 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 },
                { 0xa9fe0000, 16 }, { 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0000200, 24 },
                { 0xc0586300, 24 }, { 0xc0a80000, 16 }, { 0xc6120000, 15 }, { 0xc6336400, 24 },
                { 0xcb007100, 24 }, { 0xe0000000, 4 },  { 0xf0000000, 4 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if ((address ^ rows[i].network) >> (32 - rows[i].bits) == 0)
                        return true;
        return false;
}

static bool ipv6_is_private(const uint8_t *a) {
        static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
        static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };
        uint32_t last = (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];

        if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
                return ipv4_is_private(last);
        if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
                return ipv4_is_private((uint32_t)a[2] << 24 | (uint32_t)a[3] << 16 | (uint32_t)a[4] << 8 |
                                       a[5]);
        if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8) /* documentation */
                return true;
        /* Only 2000::/3 is the public internet: that leaves out ::, ::1, fc00::/7, fe80::/10 and ff00::/8. */
        return a[0] >> 5 != 1;
}

bool address_is_private(const struct sockaddr *address) {
        if (address->sa_family == AF_INET)
                return ipv4_is_private(
                        ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
        if (address->sa_family == AF_INET6)
                return ipv6_is_private(
                        ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
        return true;
}
