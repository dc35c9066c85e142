/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/enclave_calls.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "cli/verb.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static int make_parameters(const struct options *o, json_t **ret, struct error *reterr) {
        static const char *const policies[] = { "no", "on-failure", "always", NULL };
        static const char *const on_wire[] = { "no", "on_failure", "always" };
        uint64_t cpus, memory, cid;
        size_t restart;
        json_t *p;
        int r;

        r = options_u64(o, "cpus", 0, 4096, UINT64_MAX, &cpus, reterr);
        if (r >= 0)
                r = options_size(o, "memory", INT32_MAX, UINT64_MAX, &memory, reterr);
        if (r >= 0)
                r = options_u64(o, "cid", 0, UINT32_MAX, UINT64_MAX, &cid, reterr);
        if (r >= 0)
                r = options_choice(o, "restart", policies, &restart, reterr);
        if (r < 0)
                return r;
        if (cid == 0)
                return error_set(reterr, ERROR_CID_RESERVED,
                                 "CID 0 is reserved; leave --cid out for the next free one");
        p = json_pack("{s:i, s:s, s:s?, s:b, s:s*}", "Image", 0, "ImagePath", options_value(o, "eif"), "Name",
                      options_value(o, "name"), "Debug",
                      options_flag(o, "debug") || options_flag(o, "attach-console"), "CPUList",
                      options_value(o, "cpu-ids"));
        if (!p)
                return error_set(reterr, ERROR_USAGE, "the name or path is not valid UTF-8");
        if (restart > 0)
                (void)json_object_set_new(p, "Restart", json_string(on_wire[restart]));
        if (cpus != UINT64_MAX)
                (void)json_object_set_new(p, "CPUs", json_integer((json_int_t)cpus));
        if (memory != UINT64_MAX)
                (void)json_object_set_new(p, "MemoryMiB", json_integer((json_int_t)memory));
        if (cid != UINT64_MAX)
                (void)json_object_set_new(p, "CID", json_integer((json_int_t)cid));
        *ret = p;
        return 0;
}

/* One line that is overwritten by the next, for somebody who watches. */
static void show_progress(const json_t *enclave) {
        if (!isatty(STDERR_FILENO))
                return;
        if (enclave)
                (void)fprintf(stderr, "\r\033[K%s: %s", member_text(enclave, "EnclaveName"),
                              member_text(enclave, "State"));
        else
                (void)fputs("\r\033[K", stderr);
}

/* The start, step by step, with the console beside it once there is one. */
struct start {
        const struct options *o;
        struct client client;
        int console; /* or -1 */
        char name[80];
};

/* Too early is no mistake: the next step of the start is another chance. */
static void try_console(struct start *s) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;

        if (s->console < 0 && options_flag(s->o, "attach-console") &&
            daemon_call(s->o, "Console", json_pack("{s:s}", "Name", s->name), &reply, NULL) >= 0)
                (void)reply_take_fd(&reply, "Stream", &s->console, NULL);
}

static int follow_start(struct start *s, json_t **ret_enclave, struct error *reterr) {
        for (;;) {
                _cleanup_reply_ struct reply reply = REPLY_NULL;
                json_t *enclave;
                int r;

                r = client_receive(&s->client, -1, &reply, reterr);
                if (r < 0)
                        return r;
                enclave = json_object_get(reply.parameters, "Enclave");
                (void)snprintf(s->name, sizeof(s->name), "%s", member_text(enclave, "EnclaveName"));
                try_console(s);
                if (!reply.continues) {
                        *ret_enclave = json_incref(enclave);
                        return 0;
                }
                show_progress(enclave);
        }
}

/* Why it failed is in the error; what it said last helps most, where it may be seen. */
static void show_tail(const struct start *s) {
        json_auto_t *enclaves = NULL;
        const char *tail;

        if (!*s->name || s->console >= 0 || daemon_describe(s->o, s->name, true, &enclaves, NULL) < 0)
                return;
        tail = member_text(json_array_get(enclaves, 0), "ConsoleTail");
        if (!*tail)
                return;
        (void)fprintf(stderr, "the last lines of the console of %s:\n", s->name);
        print_clean(stderr, tail, 1);
        if (tail[strlen(tail) - 1] != '\n')
                (void)fputc('\n', stderr);
}

static int print_started(const json_t *e, enum output_format format, struct error *reterr) {
        char reason[96];

        if (format == OUTPUT_JSON)
                return print_json(e, reterr);
        describe_reason(e, reason, sizeof(reason));
        (void)printf("enclave %s is %s%s%s: EnclaveID %" JSON_INTEGER_FORMAT
                     ", EnclaveCID %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
                     " CPUs, %" JSON_INTEGER_FORMAT " MiB%s\n",
                     member_text(e, "EnclaveName"), member_text(e, "State"), *reason ? ", " : "", reason,
                     member_number(e, "EnclaveID"), member_number(e, "EnclaveCID"),
                     member_number(e, "NumberOfCPUs"), member_number(e, "MemoryMiB"),
                     strcmp(member_text(e, "LaunchMode"), "debug") == 0 ? ", debug mode" : "");
        return 0;
}

/* "Wait", again and again while no daemon answers. */
static int wait_for_step(const struct start *s, const char *step, struct reply *ret, struct error *reterr) {
        unsigned tries = 0;
        int r;

        for (;;) {
                _cleanup_error_ struct error e = ERROR_NULL;

                r = daemon_call(s->o, "Wait", json_pack("{s:s, s:s}", "Name", s->name, "For", step), ret, &e);
                if (r >= 0 || !daemon_may_return(&tries, &e))
                        return r >= 0 ? r : error_move(reterr, r, &e);
        }
}

static const char *const readiness[] = { "ready", "running", NULL };

/* For a service manager: the enclave's readiness is the service's. One that never says so ends first, which
 * report_end() tells. */
static void report_ready(const struct start *s) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        size_t step = 0;

        if (options_choice(s->o, "ready-when", readiness, &step, NULL) >= 0 &&
            wait_for_step(s, readiness[step], &reply, NULL) >= 0)
                (void)sd_notifyf(0, "READY=1\nSTATUS=enclave %s is %s", s->name, readiness[step]);
}

/* How it ended, as text and as status. */
static int report_end(const struct start *s, struct error *reterr) {
        _cleanup_reply_ struct reply reply = REPLY_NULL;
        const json_t *enclave;
        char text[96];
        int r;

        r = wait_for_step(s, "exited", &reply, reterr);
        if (r < 0)
                return r;
        enclave = json_object_get(reply.parameters, "Enclave");
        describe_reason(enclave, text, sizeof(text));
        (void)fprintf(stderr, "qt-enclave: enclave %s %s\n", s->name, text);
        return ended_well(enclave) ? EXIT_OK : EXIT_GUEST_FAILED;
}

static int start(struct start *s, int image_fd, json_t *parameters, struct error *reterr) {
        json_auto_t *owned = parameters, *enclave = NULL;
        enum output_format format;
        int r;

        r = verb_output_format(s->o, &format, reterr);
        if (r >= 0)
                r = daemon_connect(s->o, &s->client, reterr);
        if (r >= 0)
                r = client_send(&s->client, "io.qtenclave.Manager.Run", TAKE(owned), CALL_MORE, &image_fd, 1,
                                reterr);
        if (r >= 0)
                r = follow_start(s, &enclave, reterr);
        show_progress(NULL);
        if (r < 0) {
                if (s->console >= 0)
                        (void)stream_print(s->console, NULL);
                show_tail(s);
                return r;
        }
        r = print_started(enclave, format, reterr);
        if (r >= 0 && options_flag(s->o, "wait")) {
                (void)fflush(stdout); /* whoever reads it waits with us */
                client_done(&s->client);
                report_ready(s);
        }
        if (r >= 0 && s->console >= 0)
                r = stream_print(s->console, reterr);
        if (r < 0 || (s->console < 0 && !options_flag(s->o, "wait")))
                return r;
        return report_end(s, reterr);
}

static int run(const struct options *o, struct error *reterr) {
        struct start s = { .o = o, .client = CLIENT_NULL, .console = -1 };
        _cleanup_close_ int image_fd = -1;
        json_t *parameters = NULL;
        size_t step;
        int r;

        r = options_require(o, "eif", reterr);
        if (r >= 0)
                r = options_choice(o, "ready-when", readiness, &step, reterr);
        if (r >= 0 && options_value(o, "ready-when") && !options_flag(o, "wait"))
                r = error_set(
                        reterr, ERROR_USAGE,
                        "--ready-when says what --wait tells a service manager, and there is no --wait");
        if (r >= 0)
                r = enclave_open_image(options_value(o, "eif"), &image_fd, reterr);
        if (r >= 0)
                r = make_parameters(o, &parameters, reterr);
        if (r >= 0)
                r = start(&s, image_fd, parameters, reterr);
        client_done(&s.client);
        (void)close_fd(s.console);
        return r;
}

static const struct option_spec options[] = {
        VERB_COMMON_OPTIONS,
        VERB_DAEMON_OPTIONS,
        { "eif", 0, "FILE", "the image" },
        { "name", 0, "NAME", "what to call it (default: the file's name without .eif)" },
        { "cpus", 0, "N", "vCPUs, whole cores, mostly an even number (default: 2)" },
        { "cpu-ids", 0, "LIST", "these CPUs of the pool, whole cores of one node, as 2,10" },
        { "memory", 0, "SIZE", "memory: MiB, or with a unit such as 2G (default: 1024; for nitro 512)" },
        { "cid", 0, "N", "vsock CID, from 4 (default: the next free one)" },
        { "debug", 0, NULL, "open the console; attestation documents then say zero for all PCRs" },
        { "restart", 0, "no|on-failure|always",
          "whether to start it again when it ends unasked (default: no)" },
        { "wait", 0, NULL, "stay until it ends; tells a service manager when its application is ready" },
        { "ready-when", 0, "ready|running",
          "with --wait, what that is: its application says so (default: ready), or running" },
        { "attach-console", 0, NULL, "print the console until the enclave ends; implies --debug" },
        VERB_OPTIONS_END
};

const struct verb verb_run = {
        .name = "run",
        .synopsis = "--eif FILE [OPTION…]",
        .help = "Start an enclave from an image",
        .options = options,
        .run = run,
};
