/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/security_module.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define OWN_DIRECTORY "development-pki"

static int open_directory(const struct monitor_config *config, int directory_fd, struct error *reterr) {
        const char *path = config->development_pki ? config->development_pki : OWN_DIRECTORY;
        int fd;

        /* Others may read the certificate; the key has a mode of its own. */
        if (mkdirat(directory_fd, path, 0755) < 0 && errno != EEXIST)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno,
                                       "cannot make the directory %s of the development PKI", path);
        fd = openat(directory_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno,
                                       "cannot open the directory %s of the development PKI", path);
        return fd;
}

static int read_platform(const struct monitor_config *config, enum secmod_platform *ret,
                         struct error *reterr) {
        if (strcmp(config->platform, "nitro") == 0)
                *ret = SECMOD_NITRO;
        else if (strcmp(config->platform, "qingtian") == 0)
                *ret = SECMOD_QINGTIAN;
        else
                return error_set(reterr, ERROR_CONFIG_INVALID,
                                 "the monitor's configuration: Platform is %s and must be nitro or qingtian",
                                 config->platform);
        return 0;
}

/* An unsigned image has no PCR8: zero, as a platform reports it. */
static int read_measurements(const struct image *image, struct secmod_measurements *ret) {
        const struct {
                const char *hex;
                uint8_t *value;
        } rows[] = { { image->pcr0, ret->pcr0 },
                     { image->pcr1, ret->pcr1 },
                     { image->pcr2, ret->pcr2 },
                     { image->pcr8, ret->pcr8 } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].hex[0] && parse_hex(rows[i].hex, rows[i].value, sizeof(ret->pcr0)) < 0)
                        return -EINVAL;
        return 0;
}

int security_module_new(struct secmod **ret, sd_event *event, const struct monitor_config *config,
                        const struct image *image, int directory_fd, struct error *reterr) {
        struct secmod_config c = { .enclave_id = config->enclave_id, .debug = config->debug };
        _cleanup_close_ int fd = -1;
        int r;

        if (strcmp(config->hypervisor, "local") != 0)
                return 0;
        r = read_platform(config, &c.platform, reterr);
        if (r >= 0)
                r = read_measurements(image, &c.measurements);
        if (r < 0)
                return r;
        r = fd = open_directory(config, directory_fd, reterr);
        if (r < 0)
                return r;
        c.pki_directory_fd = fd;
        return secmod_new(ret, event, &c, reterr);
}
