/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/modules.h"
#include "guest/init/console.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4
#endif

/* "x.ko" is loaded as it is; the kernel unpacks "x.ko.xz" and the like when told so. */
static bool is_compressed(const char *name) {
        size_t length = strlen(name);

        return length < 3 || strcmp(name + length - 3, ".ko") != 0;
}

static int load_one(int directory, const char *name) {
        _cleanup_close_ int fd = -1;

        fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        if (syscall(SYS_finit_module, fd, "", is_compressed(name) ? MODULE_INIT_COMPRESSED_FILE : 0) < 0 &&
            errno != EEXIST)
                return -errno;
        return 0;
}

int modules_load(struct error *reterr) {
        _cleanup_close_ int directory = -1;
        _cleanup_free_ char *list = NULL;
        char *rest, *name;
        int r;

        directory = open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
                return 0; /* a kernel that has everything built in */
        r = read_text_file(directory, "list", MODULES_LIST_MAX, &list, NULL);
        if (r < 0)
                return error_set_errno(reterr, ERROR_IMAGE_INVALID, r,
                                       "/modules/list of the bootstrap ramdisk");
        rest = list;
        while ((name = strsep(&rest, "\n"))) {
                if (!name[0])
                        continue;
                r = strchr(name, '/') ? -EINVAL : load_one(directory, name);
                if (r < 0)
                        console_say("module %s: cannot be loaded: %s (errno %d)", name, strerror(-r), -r);
                else
                        (void)unlinkat(directory, name, 0); /* its memory is wanted elsewhere */
        }
        return 0;
}
