/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where the parent's credentials come from: a file, the environment, systemd's LoadCredential, the metadata
 * service of a Huawei ECS (agency) or of an AWS EC2 (IMDSv2). Fetched ones are kept and renewed ahead of
 * their end. Nothing here is ever logged; copies are wiped.
 */

#include "kms-proxy/http.h"
#include "kms/provider.h"

struct credential_source;

/* spec: "file:/PATH", "environment", "credential:NAME", "ecs", "ec2". metadata: base URL, or NULL for the
 * cloud's. */
int credential_source_new(const char *spec, const char *metadata, struct credential_source **ret,
                          struct error *reterr);
/* References are taken and given back in one thread. */
struct credential_source *credential_source_ref(struct credential_source *source);
void credential_source_unref(struct credential_source *source);
DEFINE_CLEANUP(struct credential_source *, credential_source_unref)

/* A copy of what is valid now; may block for the metadata service. Safe in several threads.
 * ERROR_NO_CREDENTIALS. */
int credential_source_get(struct credential_source *source, struct credentials *ret, struct error *reterr);

/* Would the file of "file:/PATH" be taken? Nothing of the other kinds. Root may look at what belongs to the
 * user that the proxy will run as. ERROR_NO_CREDENTIALS. */
int credential_source_check(const char *spec, struct error *reterr);

/* {"access_key", "secret_key", "security_token"?, "expires_at"?}: the form of the file. */
int credentials_parse(const void *json, size_t size, struct credentials *ret);

/* What the two metadata services answer. -EBADMSG. */
int metadata_parse_ecs(const void *json, size_t size, struct credentials *ret);
int metadata_parse_ec2(const void *json, size_t size, struct credentials *ret);

/* Fetch from a metadata service (blocking). */
int metadata_fetch_ecs(struct http_pool *http, const char *base, struct credentials *ret,
                       struct error *reterr);
int metadata_fetch_ec2(struct http_pool *http, const char *base, struct credentials *ret,
                       struct error *reterr);
