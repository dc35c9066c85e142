/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The hypervisor `qingtian`: an enclave of a real QingTian parent, through the vendor's own tool, whose
 * driver interface is not public. The tool starts the enclave and hears its heartbeat; whether it still lives
 * is asked once a second, for nothing tells; what it was that ended it, only a guest with our lifecycle
 * channel can say. Images are the vendor's own: of their layout nothing is assumed, and their measurements
 * are those that the tool prints.
 */

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "monitor/hypervisor.h"
#include "monitor/hypervisor/native_vsock.h"
#include "monitor/hypervisor/qingtian_output.h"
#include "monitor/hypervisor/qingtian_tool.h"
#include "monitor/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define IMAGE_NAME "image.eif" /* the tool and those around it want this ending */
#define QUERY_EIF_TIMEOUT_MSEC 30000u
#define COMMAND_TIMEOUT_MSEC 30000u
#define START_SPARE_MSEC 30000u /* beyond the boot timeout, for the tool's own work */
#define POLL_USEC 1000000u
#define FAILURES_MAX 10 /* in a row, of query and stop; the field's own programs ask as often */
#define LOOKS_MAX 3     /* at a CID that is taken: the helper of a monitor that died may be at work */
#define COPY_CHUNK (64 * 1024)

enum phase {
        PHASE_MEASURE, /* query-eif */
        PHASE_LOOK,    /* has somebody else's enclave our CID? */
        PHASE_START,
        PHASE_FIND, /* start failed or was cancelled: is there an enclave all the same? */
        PHASE_RUN,
        PHASE_OVER,
};

struct hypervisor_instance {
        struct hypervisor_request request;
        char eif[4096];
        struct qingtian_tool *tool;
        enum phase phase;
        struct qingtian_enclave enclave;
        bool stop_wanted, started;
        bool cid_was_free;        /* what has our CID after the start is ours */
        bool doubted;             /* the last query said nothing at all */
        unsigned failures, stops; /* in a row; in all */
        struct error problem;     /* what ended it, when that was a failure */
        sd_event_source *next, *end;
        int console_fd;
        sd_event_source *console;
        struct native_dials dials;
};

static void step(struct hypervisor_instance *i);

/* --- its end --- */

static void drain_console(struct hypervisor_instance *i) {
        char data[4096];
        ssize_t n;

        for (int rounds = 0; i->console_fd >= 0 && rounds < 256; rounds++) {
                n = read(i->console_fd, data, sizeof(data));
                if (n <= 0)
                        break;
                i->request.handlers->console(i->request.userdata, data, (size_t)n);
        }
}

static int on_end(sd_event_source *source, void *userdata) {
        struct hypervisor_instance *i = userdata;
        struct hypervisor_end end = { .shutdown = "", .started = i->started, .error = i->problem.kind };

        (void)source;
        i->end = sd_event_source_disable_unref(i->end);
        drain_console(i);
        if (i->problem.message)
                (void)snprintf(end.errors, sizeof(end.errors), "%s", i->problem.message);
        else
                end.shutdown = "guest-shutdown"; /* its application ended, as far as anybody can tell */
        i->request.handlers->ended(i->request.userdata, &end);
        return 0;
}

static void conclude(struct hypervisor_instance *i) {
        if (i->phase == PHASE_OVER)
                return;
        /* What we could not end, or not even look for, the helper tries to once more. */
        if (i->phase != PHASE_FIND || i->failures < FAILURES_MAX)
                qingtian_tool_guard(i->tool, i->enclave.id, i->phase == PHASE_RUN && i->problem.message);
        i->phase = PHASE_OVER;
        i->next = sd_event_source_disable_unref(i->next);
        (void)sd_event_add_defer(i->request.event, &i->end, on_end, i);
}

/* Keeps the first sentence: what follows is most likely its consequence. */
static void fail(struct hypervisor_instance *i, struct error *problem) {
        if (!i->problem.message) {
                i->problem = *problem;
                *problem = ERROR_NULL;
        }
        conclude(i);
}

/* --- what happens next --- */

static int on_next(sd_event_source *source, uint64_t usec, void *userdata) {
        struct hypervisor_instance *i = userdata;

        (void)source;
        (void)usec;
        i->next = sd_event_source_disable_unref(i->next);
        step(i);
        return 0;
}

static void step_later(struct hypervisor_instance *i, uint64_t usec) {
        i->next = sd_event_source_disable_unref(i->next);
        if (sd_event_add_time_relative(i->request.event, &i->next, CLOCK_MONOTONIC, usec, 10000, on_next, i) <
            0)
                log_warning("out of memory: the enclave is no longer watched");
}

/* Without its helper the monitor can run nothing, nor fork another one from its cage: what the tool runs for
 * it goes on, and somebody else has to end it. */
static void lose_helper(struct hypervisor_instance *i) {
        const uint64_t cid = i->request.config->cid;
        _cleanup_error_ struct error problem = ERROR_NULL;

        if (i->phase <= PHASE_LOOK)
                (void)error_set(&problem, ERROR_HYPERVISOR_FAILED,
                                "the helper that runs the vendor's tool is gone; start it again");
        else if (i->enclave.cid == cid)
                (void)error_set(&problem, ERROR_HYPERVISOR_FAILED,
                                "the helper that runs the vendor's tool is gone, and enclave %" PRIu64
                                " (process %" PRIu64 ", CID %" PRIu64
                                ") goes on without it: end it with \"qt enclave stop --enclave-id %" PRIu64
                                "\"",
                                i->enclave.id, i->enclave.pid, cid, i->enclave.id);
        else
                (void)error_set(
                        &problem, ERROR_HYPERVISOR_FAILED,
                        "the helper that runs the vendor's tool is gone, and an enclave with CID %" PRIu64
                        " may have been started: look with \"qt enclave query\" and end it with "
                        "\"qt enclave stop\"",
                        cid);
        error_done(&i->problem); /* what made it look for an enclave is not what it leaves */
        fail(i, &problem);
}

static void step(struct hypervisor_instance *i) {
        enum qingtian_verb verb = QINGTIAN_QUERY;
        uint64_t timeout = COMMAND_TIMEOUT_MSEC;
        int r;

        if (i->phase == PHASE_OVER || qingtian_tool_is_busy(i->tool))
                return;
        if (i->phase <= PHASE_START && i->stop_wanted) {
                conclude(i);
                return;
        }
        if (i->phase == PHASE_MEASURE) {
                verb = QINGTIAN_QUERY_EIF;
                timeout = QUERY_EIF_TIMEOUT_MSEC;
        } else if (i->phase == PHASE_RUN && i->stop_wanted)
                verb = QINGTIAN_STOP;
        r = i->phase == PHASE_START
                    ? qingtian_tool_start(i->tool, i->cid_was_free,
                                          i->request.config->boot_timeout_msec + START_SPARE_MSEC)
                    : qingtian_tool_run(i->tool, verb, i->enclave.id, timeout);
        if (r < 0)
                lose_helper(i);
}

/* A failure of query or stop may be a passing one. */
static void try_again(struct hypervisor_instance *i, struct error *problem) {
        log_record(LOG_WARNING, i->request.config->name, "%s",
                   problem->message ? problem->message : "out of memory");
        if (++i->failures >= FAILURES_MAX)
                fail(i, problem);
        else
                step_later(i, POLL_USEC);
}

/* --- console --- */

static int on_console(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct hypervisor_instance *i = userdata;
        char data[16384];
        ssize_t n = read(fd, data, sizeof(data));

        (void)source;
        (void)revents;
        if (n > 0)
                i->request.handlers->console(i->request.userdata, data, (size_t)n);
        else if (n == 0 || errno != EAGAIN) {
                i->console = sd_event_source_disable_unref(i->console);
                i->console_fd = close_fd(i->console_fd);
                log_record(LOG_INFO, i->request.config->name, "the vendor's tool has ended its console");
        }
        return 0;
}

static void open_console(struct hypervisor_instance *i) {
        _cleanup_close_ int theirs = -1;
        int fds[2], r;

        if (!i->request.config->debug || pipe2(fds, O_CLOEXEC) < 0)
                return;
        i->console_fd = fds[0];
        theirs = fds[1];
        (void)fcntl(i->console_fd, F_SETFL, O_NONBLOCK);
        r = sd_event_add_io(i->request.event, &i->console, i->console_fd, EPOLLIN, on_console, i);
        if (r >= 0)
                r = qingtian_tool_console(i->tool, i->enclave.id, theirs);
        if (r < 0)
                log_record(LOG_WARNING, i->request.config->name, "its console cannot be read: %s",
                           strerror(-r));
}

/* --- what the tool said --- */

static void on_measured(struct hypervisor_instance *i, const char *text, size_t n) {
        struct image *image = i->request.image;

        if (!qingtian_parse_measurements(text, n, image->pcr0, image->pcr8))
                log_record(LOG_INFO, i->request.config->name,
                           "the vendor's tool cannot measure the image: its PCRs are not known here");
        i->phase = PHASE_LOOK;
        step(i);
}

/* An enclave of somebody else's with our CID would be taken for ours, and be stopped, when our start fails:
 * so it is looked for before. */
static void on_looked(struct hypervisor_instance *i, int status, const char *text, size_t n) {
        struct qingtian_enclave list[QINGTIAN_ENCLAVES_MAX];
        _cleanup_error_ struct error problem = ERROR_NULL;
        size_t found = 0;

        i->cid_was_free = qingtian_parse_query(text, n, status, list, &found, &problem) >= 0;
        if (!i->cid_was_free)
                log_record(LOG_WARNING, i->request.config->name, "%s",
                           problem.message ? problem.message : "out of memory");
        for (size_t k = 0; i->cid_was_free && k < found; k++) {
                if (list[k].cid != i->request.config->cid)
                        continue;
                if (++i->failures < LOOKS_MAX) {
                        step_later(i, POLL_USEC);
                        return;
                }
                (void)error_set(
                        &problem, ERROR_CID_IN_USE,
                        "CID %llu belongs to enclave %llu of the vendor's tool, which was not started "
                        "from here; choose another --cid, or end it with \"qt enclave stop "
                        "--enclave-id %llu\"",
                        (unsigned long long)list[k].cid, (unsigned long long)list[k].id,
                        (unsigned long long)list[k].id);
                fail(i, &problem);
                return;
        }
        i->failures = 0;
        i->phase = PHASE_START;
        step(i);
}

/* A tool that failed, was too slow, or lied may have started one all the same. */
static void on_start_failed(struct hypervisor_instance *i, bool cid_used, struct error *problem) {
        if (cid_used || !i->cid_was_free) {
                fail(i, problem);
                return;
        }
        i->problem = *problem;
        *problem = ERROR_NULL;
        i->stop_wanted = true;
        i->phase = PHASE_FIND;
        step(i);
}

static void on_started(struct hypervisor_instance *i, int status, const char *text, size_t n) {
        _cleanup_error_ struct error problem = ERROR_NULL;
        int r = qingtian_parse_start(text, n, status, &i->enclave, &problem);

        if (r >= 0 && i->enclave.cid != i->request.config->cid)
                r = error_set(
                        &problem, ERROR_HYPERVISOR_FAILED,
                        "the vendor's tool says that it started an enclave with CID %llu instead of %llu",
                        (unsigned long long)i->enclave.cid, (unsigned long long)i->request.config->cid);
        if (r < 0) {
                on_start_failed(i, qingtian_find_code(text, n) == QINGTIAN_CODE_CID_USED, &problem);
                return;
        }
        qingtian_tool_guard(i->tool, i->enclave.id, true);
        i->phase = PHASE_RUN;
        (void)unlinkat(i->request.directory_fd, IMAGE_NAME, 0); /* loaded: a copy would only cost memory */
        if (i->enclave.debug && !i->request.config->debug)
                log_record(
                        LOG_WARNING, i->request.config->name,
                        "the vendor's tool says that the enclave is in debug mode, which was not asked for");
        open_console(i);
        step(i); /* the rest of its facts, such as the vendor's process */
}

/* The tool's start is over when it has heard the heartbeat, also of an enclave that has ended since. */
static void announce(struct hypervisor_instance *i) {
        if (i->started || i->phase != PHASE_RUN)
                return;
        i->started = true;
        i->request.handlers->machine_runs(i->request.userdata);
        i->request.handlers->heartbeat(i->request.userdata);
}

/* By number and CID; and while its server is known, by that, for numbers and CIDs are given again. */
static bool is_ours(const struct hypervisor_instance *i, const struct qingtian_enclave *e) {
        return e->cid == i->request.config->cid && (i->phase == PHASE_FIND || e->id == i->enclave.id) &&
               (e->pid == 0 || i->enclave.pid == 0 || e->pid == i->enclave.pid);
}

static void on_queried(struct hypervisor_instance *i, int status, const char *text, size_t n) {
        struct qingtian_enclave list[QINGTIAN_ENCLAVES_MAX];
        _cleanup_error_ struct error problem = ERROR_NULL;
        const struct qingtian_enclave *ours = NULL;
        size_t found = 0;

        if (qingtian_parse_query(text, n, status, list, &found, &problem) < 0) {
                try_again(i, &problem);
                return;
        }
        i->failures = 0;
        for (size_t k = 0; k < found; k++)
                if (is_ours(i, &list[k]))
                        ours = &list[k];
        if (ours)
                i->enclave = *ours;
        announce(i);
        if (!ours && qingtian_is_blank(text, n) && !i->doubted) {
                i->doubted = true; /* of failures nothing is printed, too */
                step_later(i, POLL_USEC);
                return;
        }
        i->doubted = false;
        if (!ours) {
                conclude(i);
                return;
        }
        i->phase = PHASE_RUN;
        if (i->stops >= FAILURES_MAX) {
                (void)error_set(
                        &problem, ERROR_HYPERVISOR_FAILED,
                        "the vendor's tool said %u times that it stopped enclave %llu, which is still "
                        "there; see its log",
                        i->stops, (unsigned long long)i->enclave.id);
                fail(i, &problem);
                return;
        }
        step_later(i, i->stop_wanted && i->stops == 0 ? 0 : POLL_USEC);
}

/* Whether it worked, the next query shows. */
static void on_stopped(struct hypervisor_instance *i, int status, const char *text, size_t n) {
        _cleanup_error_ struct error problem = ERROR_NULL;

        if (qingtian_parse_stop(text, n, status, &problem) < 0 && qingtian_find_code(text, n) != 28) {
                try_again(i, &problem);
                return;
        }
        i->stops++;
        i->phase = PHASE_FIND;
        step(i);
}

static void on_done(void *userdata, enum qingtian_verb verb, int status, const char *text, size_t n) {
        struct hypervisor_instance *i = userdata;

        if (i->phase == PHASE_OVER)
                return;
        if (status == -EPIPE)
                lose_helper(i);
        else if (verb == QINGTIAN_QUERY_EIF)
                on_measured(i, text, status == 0 ? n : 0);
        else if (verb == QINGTIAN_START)
                on_started(i, status, text, n);
        else if (verb == QINGTIAN_QUERY && i->phase == PHASE_LOOK)
                on_looked(i, status, text, n);
        else if (verb == QINGTIAN_QUERY)
                on_queried(i, status, text, n);
        else
                on_stopped(i, status, text, n);
}

/* --- the table --- */

static int qingtian_probe(struct error *reterr) {
        (void)reterr;
        return 0; /* what the tool's place is only start() knows, and it looks there first */
}

/* The tool wants a path, and what it finds there must be what it was given: a copy of our own. */
static int copy_image(struct hypervisor_instance *i, const atomic_bool *cancelled, struct error *reterr) {
        const struct hypervisor_request *q = &i->request;
        char chunk[COPY_CHUNK], directory[4000], link[64];
        _cleanup_close_ int fd = -1;
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", q->directory_fd);
        n = readlink(link, directory, sizeof(directory) - 1);
        if (n < 0)
                return -errno;
        directory[n] = '\0';
        (void)snprintf(i->eif, sizeof(i->eif), "%s/" IMAGE_NAME, directory);
        fd = openat(q->directory_fd, IMAGE_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno, "cannot make %s", i->eif);
        for (off_t at = 0;; at += n) {
                if (atomic_load(cancelled))
                        return -ECANCELED;
                n = pread(q->image_fd, chunk, sizeof(chunk), at);
                if (n < 0)
                        return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno,
                                               "the image cannot be read");
                if (n == 0)
                        return 0;
                if (write_all(fd, chunk, (size_t)n) < 0)
                        return error_set_errno(reterr, ERROR_OUTPUT_FAILED, errno,
                                               "cannot copy the image to %s", i->eif);
        }
}

static void qingtian_free(struct hypervisor_instance *i) {
        if (!i)
                return;
        native_dials_cancel(&i->dials);
        i->next = sd_event_source_disable_unref(i->next);
        i->end = sd_event_source_disable_unref(i->end);
        i->console = sd_event_source_disable_unref(i->console);
        i->tool = qingtian_tool_free(i->tool);
        i->console_fd = close_fd(i->console_fd);
        (void)unlinkat(i->request.directory_fd, IMAGE_NAME, 0);
        error_done(&i->problem);
        free(i);
}
DEFINE_CLEANUP(struct hypervisor_instance *, qingtian_free)

static int qingtian_prepare(struct hypervisor_instance **ret, const struct hypervisor_request *request,
                            const atomic_bool *cancelled, struct error *reterr) {
        _cleanup_(qingtian_freep) struct hypervisor_instance *i = calloc(1, sizeof(*i));
        int r;

        if (!i)
                return -ENOMEM;
        i->request = *request;
        i->console_fd = -1;
        r = copy_image(i, cancelled, reterr);
        if (r < 0)
                return r;
        *ret = TAKE(i);
        return 0;
}

/* The helper is forked here, and not while there are threads. */
static int qingtian_start(struct hypervisor_instance *i, struct error *reterr) {
        const struct monitor_config *config = i->request.config;
        const struct qingtian_start start = { .program = config->tool,
                                              .eif = i->eif,
                                              .cpus = config->cpus,
                                              .memory_mib = config->memory_mib,
                                              .cid = config->cid,
                                              .debug = config->debug };
        int r = qingtian_tool_new(&i->tool, i->request.event, &start, on_done, i, reterr);

        if (r >= 0)
                step_later(i, 0);
        return r;
}

static int qingtian_connect(struct hypervisor_instance *i, uint32_t port, int fd,
                            hypervisor_connect_done done, void *userdata) {
        if (i->phase != PHASE_RUN)
                return -ENOTCONN;
        return native_dial(&i->dials, i->request.event, (uint32_t)i->request.config->cid, port, fd, done,
                           userdata);
}

static void qingtian_power_off(struct hypervisor_instance *i) {
        if (i->stop_wanted || i->phase == PHASE_OVER)
                return;
        i->stop_wanted = true;
        qingtian_tool_cancel(i->tool); /* a start, or a query that may hang */
        step_later(i, 0);              /* busy: the answer goes on */
}

static void qingtian_describe(const struct hypervisor_instance *i, struct hypervisor_facts *ret) {
        *ret = (struct hypervisor_facts){ .pid = (int)i->enclave.pid };
}

const struct hypervisor hypervisor_qingtian = {
        .name = "qingtian",
        .native = true,
        .probe = qingtian_probe,
        .prepare = qingtian_prepare,
        .start = qingtian_start,
        .connect = qingtian_connect,
        .power_off = qingtian_power_off,
        .describe = qingtian_describe,
        .free = qingtian_free,
};
