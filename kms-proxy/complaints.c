/* SPDX-License-Identifier: Apache-2.0 */

#include "kms-proxy/complaints.h"

#include <stdlib.h>
#include <string.h>

struct complaint {
        struct complaint *next;
        char *about;
        int r;
        bool in_round;
};

static struct complaint *complaint_new(struct complaints *complaints, const char *about) {
        struct complaint *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->about = strdup(about);
        if (!c->about) {
                free(c);
                return NULL;
        }
        c->next = complaints->list;
        complaints->list = c;
        return c;
}

bool complaints_add(struct complaints *complaints, const char *about, int r) {
        struct complaint *c = complaints->list;
        bool is_new;

        while (c && strcmp(c->about, about) != 0)
                c = c->next;
        if (!c)
                c = complaint_new(complaints, about);
        if (!c)
                return true;
        is_new = c->r != r;
        c->r = r;
        c->in_round = true;
        return is_new;
}

void complaints_end_round(struct complaints *complaints) {
        struct complaint **link = &complaints->list;

        while (*link) {
                struct complaint *c = *link;

                if (c->in_round) {
                        c->in_round = false;
                        link = &c->next;
                        continue;
                }
                *link = c->next;
                free(c->about);
                free(c);
        }
}

void complaints_done(struct complaints *complaints) {
        for (struct complaint *c = complaints->list; c; c = c->next)
                c->in_round = false;
        complaints_end_round(complaints);
}
