/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/image_build.h"

#include "cli/build_plan.h"
#include "cli/eif_output.h"
#include "cli/output_file.h"
#include "eif/sign.h"
#include "eif/source_content.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int open_signer(struct eif_signer *s, const char *certificate, const char *key, struct error *reterr) {
        int r = eif_signer_open(s, certificate, time(NULL), reterr);

        return r < 0 ? r : eif_signer_load_key(s, key, reterr);
}

/* The signed copy of an open image; name is what it is called in messages. */
static int sign_to(int image_fd, const char *name, const struct eif_signer *s, struct output *out,
                   struct eif_measurements *ret, struct error *reterr) {
        _cleanup_eif_ struct eif *e = NULL;
        int r;

        r = eif_open(&e, image_fd, reterr);
        if (r >= 0)
                r = eif_sign(e, out->fd, s, EIF_MEASURE_ALL, NULL, ret, reterr);
        return r < 0 ? error_wrap(reterr, r, "%s", name) : output_file_commit(out, reterr);
}

int image_sign(const char *path, const char *certificate, const char *key, struct eif_measurements *ret,
               struct error *reterr) {
        _cleanup_eif_signer_ struct eif_signer signer = EIF_SIGNER_NULL;
        _cleanup_(output_done) struct output out = OUTPUT_NULL;
        _cleanup_close_ int fd = -1;
        struct stat st;
        int r;

        r = open_signer(&signer, certificate, key, reterr);
        if (r < 0)
                return r;
        fd = eif_open_file(path, reterr);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "cannot examine %s", path);
        r = output_file_open_over(&out, path, &st, reterr);
        return r < 0 ? r : sign_to(fd, path, &signer, &out, ret, reterr);
}

int image_build(const struct build_request *q, const char *certificate, const char *key,
                struct eif_measurements *ret, struct error *reterr) {
        _cleanup_eif_signer_ struct eif_signer signer = EIF_SIGNER_NULL;
        _cleanup_build_plan_ struct build_plan p = BUILD_PLAN_NULL;
        _cleanup_(output_done) struct output out = OUTPUT_NULL;
        _cleanup_close_ int temporary = -1;
        struct build_result result;
        int r;

        r = certificate ? open_signer(&signer, certificate, key, reterr) : 0;
        if (r >= 0)
                r = output_file_open(&out, q->output, 0644, reterr);
        if (r >= 0)
                r = build_plan_make(&p, q, reterr);
        if (r < 0)
                return r;
        if (certificate) {
                r = temporary = source_temporary_file(reterr);
                if (r >= 0)
                        r = build_image_write(&p, temporary, NULL, &result, reterr);
                return r < 0 ? r : sign_to(temporary, q->output, &signer, &out, ret, reterr);
        }
        r = build_image_write(&p, out.fd, NULL, &result, reterr);
        *ret = result.measurements;
        return r < 0 ? r : output_file_commit(&out, reterr);
}

bool image_is_remote(const char *docker_uri) {
        static const char *const local[] = { "dir:", "oci:", "oci-archive:", "docker-archive:" };

        for (size_t i = 0; i < ELEMENTSOF(local); i++)
                if (strncmp(docker_uri, local[i], strlen(local[i])) == 0)
                        return false;
        return true;
}

int image_request(struct build_request *q, const char *docker_uri, const char *output, struct error *reterr) {
        const char *slash = strrchr(docker_uri, '/'), *last = slash ? slash + 1 : docker_uri;
        bool scheme = strncmp(docker_uri, "docker://", 9) == 0;

        if (!image_is_remote(docker_uri))
                q->image = strdup(docker_uri);
        else if (asprintf(&q->image, "%s%s%s", scheme ? "" : "docker://", docker_uri,
                          strpbrk(last, ":@") ? "" : ":latest") < 0)
                q->image = NULL;
        q->output = strdup(output);
        return q->image && q->output ? 0 : error_set(reterr, ERROR_INTERNAL, "out of memory");
}
