/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The hypervisor `nitro`: an enclave of /dev/nitro_enclaves. This process makes the whole sequence of ioctls,
 * loads the image into huge pages of its own and measures it there, keeps the enclave's descriptor, and polls
 * it for the hang-up that is all the driver says about an end. Why it ended only the guest can tell, on its
 * lifecycle channel. Closing the descriptor powers the enclave off, and so does the death of this process.
 */

#include "base/cleanup.h"
#include "base/io.h"
#include "monitor/hypervisor.h"
#include "monitor/hypervisor/native_console.h"
#include "monitor/hypervisor/native_vsock.h"
#include "monitor/hypervisor/nitro_device.h"
#include "monitor/image.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define COPY_CHUNK ((size_t)4 << 20)

struct hypervisor_instance {
        struct hypervisor_request request;
        int enclave_fd;
        struct nitro_memory memory;
        unsigned cpu_ids[CONFIG_MAX_CPUS]; /* as many as were asked for; the driver may have picked them */
        bool ended;
        sd_event_source *begin, *hang_up, *end;
        struct native_console *console;
        struct native_dials dials;
};

static void take_down(struct hypervisor_instance *i) {
        i->hang_up = sd_event_source_disable_unref(i->hang_up);
        i->enclave_fd = close_fd(i->enclave_fd);
        nitro_memory_unmap(&i->memory); /* the driver has let its pages go: they are the pool's again */
}

/* From the loop: the enclave is gone, by itself or because we closed it. */
static int on_end(sd_event_source *source, void *userdata) {
        struct hypervisor_instance *i = userdata;
        /* An enclave ends by a reset, of its first process or of its panicking kernel; the driver does not
         * tell which. */
        struct hypervisor_end end = { .shutdown = "guest-reset", .started = true };

        (void)source;
        i->end = sd_event_source_disable_unref(i->end);
        native_console_drain(i->console);
        i->request.handlers->ended(i->request.userdata, &end);
        return 0;
}

static void conclude(struct hypervisor_instance *i) {
        if (i->ended)
                return;
        i->ended = true;
        i->begin = sd_event_source_disable_unref(i->begin);
        take_down(i);
        (void)sd_event_add_defer(i->request.event, &i->end, on_end, i);
}

static int on_hang_up(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source;
        (void)fd;
        if (revents & (EPOLLHUP | EPOLLERR))
                conclude(userdata);
        return 0;
}

static void on_console(void *userdata, const void *data, size_t n) {
        struct hypervisor_instance *i = userdata;

        i->request.handlers->console(i->request.userdata, data, n);
}

static int on_begin(sd_event_source *source, void *userdata) {
        struct hypervisor_instance *i = userdata;

        (void)source;
        i->begin = sd_event_source_disable_unref(i->begin);
        i->request.handlers->machine_runs(i->request.userdata);
        return 0;
}

static int nitro_probe(struct error *reterr) {
        _cleanup_close_ int fd = -1;

        return nitro_device_open(&fd, reterr);
}

/* The bytes of the file into the enclave's memory, and only then measured: what the file becomes meanwhile
 * does not matter. */
static int load_image(struct hypervisor_instance *i, uint64_t offset, const atomic_bool *cancelled,
                      struct error *reterr) {
        const struct hypervisor_request *q = &i->request;
        struct stat st;
        char *place;
        int r = 0;

        if (fstat(q->image_fd, &st) < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "the image");
        if (offset > i->memory.size || (uint64_t)st.st_size > i->memory.size - offset)
                return error_set(reterr, ERROR_IMAGE_TOO_LARGE,
                                 "the image has %jd bytes; %" PRIu64 " MiB of memory have room for %" PRIu64
                                 " behind the first %" PRIu64 " MiB, and the enclave needs about 4 times the "
                                 "image",
                                 (intmax_t)st.st_size, (uint64_t)i->memory.size >> 20,
                                 offset > i->memory.size ? 0 : i->memory.size - offset, offset >> 20);
        place = (char *)i->memory.address + offset;
        for (size_t at = 0, n; r >= 0 && at < (size_t)st.st_size; at += n) {
                n = (size_t)st.st_size - at < COPY_CHUNK ? (size_t)st.st_size - at : COPY_CHUNK;
                r = atomic_load(cancelled) ? -ECANCELED : pread_exactly(q->image_fd, place + at, n, at);
        }
        if (r < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, r, "the image cannot be read");
        r = image_examine(place, (size_t)st.st_size, cancelled, q->image, reterr);
        return r < 0 ? r : image_check_identity(q->image, q->config->pcr0, reterr);
}

static int make_enclave(struct hypervisor_instance *i, const atomic_bool *cancelled, struct error *reterr) {
        const struct monitor_config *config = i->request.config;
        _cleanup_close_ int device = -1;
        uint64_t offset = 0;
        int r;

        r = nitro_device_open(&device, reterr);
        if (r >= 0)
                r = nitro_enclave_create(device, config->cpus, cancelled, &i->enclave_fd, reterr);
        if (r >= 0)
                r = nitro_enclave_image_offset(i->enclave_fd, &offset, reterr);
        if (r >= 0)
                r = nitro_memory_map(&i->memory, config->memory_mib, (unsigned)config->huge_page_mib,
                                     (int)config->node, cancelled, reterr);
        if (r >= 0)
                r = load_image(i, offset, cancelled, reterr);
        if (r >= 0)
                r = nitro_enclave_add_memory(i->enclave_fd, &i->memory, reterr);
        if (r >= 0)
                r = nitro_enclave_add_cpus(i->enclave_fd, config->n_cpu_ids > 0 ? config->cpu_ids : NULL,
                                           (size_t)config->cpus, i->cpu_ids, reterr);
        return r;
}

static void nitro_free(struct hypervisor_instance *i) {
        if (!i)
                return;
        native_dials_cancel(&i->dials);
        take_down(i);
        i->begin = sd_event_source_disable_unref(i->begin);
        i->end = sd_event_source_disable_unref(i->end);
        i->console = native_console_free(i->console);
        free(i);
}
DEFINE_CLEANUP(struct hypervisor_instance *, nitro_free)

/* Everything that can fail for lack of memory comes before the start: what runs is watched. */
static int watch(struct hypervisor_instance *i) {
        sd_event *event = i->request.event;
        int r = sd_event_add_io(event, &i->hang_up, i->enclave_fd, 0, on_hang_up, i); /* EPOLLHUP is always */

        return r < 0 ? r : sd_event_add_defer(event, &i->begin, on_begin, i);
}

static int nitro_prepare(struct hypervisor_instance **ret, const struct hypervisor_request *request,
                         const atomic_bool *cancelled, struct error *reterr) {
        _cleanup_(nitro_freep) struct hypervisor_instance *i = calloc(1, sizeof(*i));
        int r;

        if (!i)
                return -ENOMEM;
        i->request = *request;
        i->enclave_fd = -1;
        r = make_enclave(i, cancelled, reterr);
        if (r < 0)
                return r;
        *ret = TAKE(i);
        return 0;
}

static int nitro_start(struct hypervisor_instance *i, struct error *reterr) {
        const struct monitor_config *config = i->request.config;
        int r = watch(i);

        if (r >= 0)
                r = nitro_enclave_start(i->enclave_fd,
                                        &(struct nitro_start){ .debug = config->debug,
                                                               .cid = config->cid,
                                                               .memory_mib = config->memory_mib,
                                                               .cpus = config->cpus },
                                        reterr);
        if (r >= 0 && config->debug)
                r = native_console_new(&i->console, i->request.event, (uint32_t)config->cid, on_console, i);
        return r;
}

static int nitro_connect(struct hypervisor_instance *i, uint32_t port, int fd, hypervisor_connect_done done,
                         void *userdata) {
        if (i->ended)
                return -ENOTCONN;
        return native_dial(&i->dials, i->request.event, (uint32_t)i->request.config->cid, port, fd, done,
                           userdata);
}

static void nitro_describe(const struct hypervisor_instance *i, struct hypervisor_facts *ret) {
        *ret = (struct hypervisor_facts){ .cmdline = i->request.image->cmdline,
                                          .cpu_ids = i->cpu_ids,
                                          .n_cpu_ids = (size_t)i->request.config->cpus };
}

const struct hypervisor hypervisor_nitro = {
        .name = "nitro",
        .native = true,
        .probe = nitro_probe,
        .prepare = nitro_prepare,
        .start = nitro_start,
        .connect = nitro_connect,
        .power_off = conclude,
        .describe = nitro_describe,
        .free = nitro_free,
};
