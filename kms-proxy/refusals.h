/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Refusals that whoever is refused can repeat at will. The first of a kind is recorded at once; the others of
 * a second as one record with their number, so that a flood of them is no flood of records. A kind is who,
 * at which listener and why: none hides another.
 */

#include "kms-proxy/audit.h"
#include "kms-proxy/limits.h"

struct refusal;

struct refusals {
        struct refusal *kinds; /* the newest first */
        size_t n;
};

void refusals_add(struct refusals *refusals, struct audit *audit, const struct audit_record *record);
/* Every second: record what was not, forget what came no more. UINT64_MAX: all, at the end. */
void refusals_report(struct refusals *refusals, struct audit *audit, uint64_t now_usec);
