/* SPDX-License-Identifier: Apache-2.0 */

/*
 * qt-init: the first process of an enclave. The table below is its life until the application runs; whatever
 * fails is said in one line, to the console and to the parent, and ends the virtual machine: an enclave never
 * hangs half-booted. Manual: qt-init(8).
 */

#include "guest/init/account.h"
#include "guest/init/application.h"
#include "guest/init/attributes.h"
#include "guest/init/clock.h"
#include "guest/init/console.h"
#include "guest/init/heartbeat.h"
#include "guest/init/image.h"
#include "guest/init/modules.h"
#include "guest/init/mounts.h"
#include "guest/init/network.h"
#include "guest/init/power.h"
#include "guest/init/supervisor.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>

/* The parent sends its time as soon as the channel stands. Worth a moment, so that the application never sees
 * the step; not worth more, as a parent need not. */
#define GREETING_PATIENCE_MSEC 100

struct enclave {
        struct lifecycle lifecycle;
        struct supervisor supervisor;
        struct image image;
        struct account account;
        pid_t application;
};

static int boot_file_systems(struct enclave *e, struct error *reterr) {
        int r = mounts_for_boot(reterr);

        power_learn();
        return r < 0 ? r : supervisor_open(&e->supervisor, &e->lifecycle, reterr);
}

static int kernel_modules(struct enclave *e _unused_, struct error *reterr) {
        return modules_load(reterr);
}

static int machine(struct enclave *e _unused_, struct error *reterr _unused_) {
        char byte;

        network_start();
        clock_check_source();
        if (getrandom(&byte, 1, GRND_NONBLOCK) < 0 && errno == EAGAIN)
                console_say("the kernel has no entropy yet; programs that ask for random numbers will wait "
                            "for it");
        return 0;
}

static int heartbeat(struct enclave *e _unused_, struct error *reterr) {
        return heartbeat_send(reterr);
}

static int lifecycle_channel(struct enclave *e, struct error *reterr _unused_) {
        lifecycle_connect(&e->lifecycle);
        supervisor_greet(&e->supervisor, GREETING_PATIENCE_MSEC);
        return 0;
}

static int image_description(struct enclave *e, struct error *reterr) {
        return image_read(&e->image, reterr);
}

static int image_root(struct enclave *e, struct error *reterr) {
        int r = mounts_enter_image(reterr);

        if (r == 0 && e->image.attributes)
                r = attributes_apply(e->image.attributes, e->image.attributes_size, reterr);
        return r;
}

static int application_file_systems(struct enclave *e, struct error *reterr) {
        int r = mounts_for_application(reterr);

        network_name_hosts();
        supervisor_listen(&e->supervisor);
        return r;
}

/* An image without the file knows no names; numbers work all the same. */
static int read_accounts(const char *path, char **ret, size_t *ret_size, struct error *reterr) {
        int r = read_text_file(AT_FDCWD, path, ACCOUNT_FILE_MAX, ret, ret_size);

        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        return r < 0 ? error_set_errno(reterr, ERROR_IMAGE_INVALID, r, "%s of the image", path) : 0;
}

static int application_user(struct enclave *e, struct error *reterr) {
        _cleanup_free_ char *passwd = NULL, *group = NULL;
        size_t passwd_size = 0, group_size = 0;
        int r;

        r = read_accounts("/etc/passwd", &passwd, &passwd_size, reterr);
        if (r == 0)
                r = read_accounts("/etc/group", &group, &group_size, reterr);
        if (r < 0)
                return r;
        return account_resolve(&e->account, e->image.config.user, passwd, passwd_size, group, group_size,
                               reterr);
}

static int application(struct enclave *e, struct error *reterr) {
        int r = application_start(&e->image.config, &e->account, &e->application, reterr);

        if (r == 0)
                lifecycle_started(&e->lifecycle, e->application);
        return r;
}

static int (*const steps[])(struct enclave *e, struct error *reterr) = {
        boot_file_systems, kernel_modules,    machine,    heartbeat,
        lifecycle_channel, image_description, image_root, application_file_systems,
        application_user,  application,
};

static void tell_ending(struct enclave *e, const struct ending *ending) {
        if (ending->code == CLD_EXITED)
                console_say("the application exited with code %d", ending->status);
        else
                console_say("the application was killed by signal %d (%s)%s", ending->status,
                            strsignal(ending->status),
                            ending->out_of_memory ? ": the enclave ran out of memory" : "");
        lifecycle_exited(&e->lifecycle, ending->code, ending->status, ending->out_of_memory);
}

static void tell_failure(struct enclave *e, int r, const struct error *error) {
        const char *message = r != ERROR_DESCRIBED ? strerror(-r)
                              : error->message     ? error->message
                                                   : error_meaning(error->kind);

        console_say("failed: %s", message);
        lifecycle_failed(&e->lifecycle, message);
}

int main(void) {
        static struct enclave e = { .lifecycle = { .fd = -1 } };
        _cleanup_error_ struct error error = ERROR_NULL;
        struct ending ending;
        int r = 0;

        if (getpid() != 1) {
                console_say("runs only as the first process of an enclave; see qt-init(8)");
                return EXIT_USAGE;
        }
        for (size_t i = 0; i < ELEMENTSOF(steps) && r == 0; i++)
                r = steps[i](&e, &error);
        if (r == 0) {
                supervisor_run(&e.supervisor, e.application, &ending);
                tell_ending(&e, &ending);
        } else
                tell_failure(&e, r, &error);
        lifecycle_finish(&e.lifecycle);
        power_off();
}
