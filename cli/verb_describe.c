/* SPDX-License-Identifier: Apache-2.0 */

#include "base/io.h"
#include "cli/client.h"
#include "cli/event_stream.h"
#include "cli/output_file.h"
#include "cli/table.h"
#include "cli/timeline.h"
#include "cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

static void format_time(json_int_t usec, char *ret, size_t size) {
        time_t seconds = (time_t)(usec / 1000000);
        struct tm tm;

        if (!localtime_r(&seconds, &tm) || strftime(ret, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                (void)snprintf(ret, size, "?");
}

static void print_table(const json_t *enclaves) {
        static const char *const titles[] = { "NAME", "ID",    "CID",   "CPUS",   "MEMORY",
                                              "MODE", "STATE", "SINCE", "REASON", NULL };
        _cleanup_(table_done) struct table t = TABLE_NULL;

        table_init(&t, titles);
        for (size_t i = 0; i < json_array_size(enclaves); i++) {
                const json_t *e = json_array_get(enclaves, i);
                char since[32], reason[96];

                format_time(member_number(e, "SinceUSec"), since, sizeof(since));
                describe_reason(e, reason, sizeof(reason));
                table_row(&t);
                table_cell(&t, "%s", member_text(e, "EnclaveName"));
                table_cell(&t, "%" JSON_INTEGER_FORMAT, member_number(e, "EnclaveID"));
                table_cell(&t, "%" JSON_INTEGER_FORMAT, member_number(e, "EnclaveCID"));
                table_cell(&t, "%" JSON_INTEGER_FORMAT, member_number(e, "NumberOfCPUs"));
                table_cell(&t, "%" JSON_INTEGER_FORMAT " MiB", member_number(e, "MemoryMiB"));
                table_cell(&t, "%s", member_text(e, "LaunchMode"));
                table_cell(&t, "%s", member_text(e, "State"));
                table_cell(&t, "%s", since);
                table_cell(&t, "%s", reason);
        }
        table_print(&t, stdout);
}

static void print_measurements(const json_t *e) {
        static const char *const names[] = { "PCR0", "PCR1", "PCR2", "PCR8" };
        const json_t *m = json_object_get(e, "Measurements");

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (json_object_get(m, names[i]))
                        print_field(stdout, names[i], "%s", member_text(m, names[i]));
        if (strcmp(member_text(e, "AttestedPCRs"), "zero") == 0)
                print_field(stdout, "Attestation", "debug mode: documents say zero for all PCRs");
}

static void print_end(const json_t *e) {
        const json_t *reason = json_object_get(e, "Reason");
        char text[96];

        if (!reason)
                return;
        describe_reason(e, text, sizeof(text));
        print_field(stdout, "Reason", "%s", text);
        print_field(stdout, "", "%s", member_text(reason, "Text"));
        if (!json_object_get(e, "ConsoleTail"))
                return;
        (void)printf("  The last lines of its console:\n");
        print_clean(stdout, member_text(e, "ConsoleTail"), 1);
}

/* Its part of a dedicated pool. */
static void print_place(const json_t *e) {
        const json_t *cpus = json_object_get(e, "CPUIDs");
        char list[256] = "";
        size_t n = 0;

        if (!json_object_get(e, "Node"))
                return;
        for (size_t i = 0; i < json_array_size(cpus) && n + 16 < sizeof(list); i++)
                n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%" JSON_INTEGER_FORMAT, i > 0 ? "," : "",
                                      json_integer_value(json_array_get(cpus, i)));
        print_field(stdout, "Place",
                    "node %" JSON_INTEGER_FORMAT ", CPUs %s, pages of %" JSON_INTEGER_FORMAT " MiB",
                    member_number(e, "Node"), list, member_number(e, "PageMiB"));
}

static void print_one(const json_t *e) {
        char since[32];

        format_time(member_number(e, "SinceUSec"), since, sizeof(since));
        (void)printf("%s\n", member_text(e, "EnclaveName"));
        print_field(stdout, "State", "%s since %s%s", member_text(e, "State"), since,
                    json_is_true(json_object_get(e, "Ready")) ? ", ready"
                    : json_is_true(json_object_get(e, "ReadyAssumed"))
                            ? "; its image cannot say that it is ready"
                            : "");
        print_field(stdout, "ID, CID", "%" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT,
                    member_number(e, "EnclaveID"), member_number(e, "EnclaveCID"));
        print_field(stdout, "Size", "%" JSON_INTEGER_FORMAT " CPUs, %" JSON_INTEGER_FORMAT " MiB",
                    member_number(e, "NumberOfCPUs"), member_number(e, "MemoryMiB"));
        print_place(e);
        print_field(stdout, "Mode", "%s", member_text(e, "LaunchMode"));
        print_field(stdout, "Owner", "uid %" JSON_INTEGER_FORMAT, member_number(e, "Uid"));
        print_field(stdout, "Hypervisor", "%s%s%s", member_text(e, "Hypervisor"),
                    json_object_get(e, "Accelerator") ? ", " : "", member_text(e, "Accelerator"));
        if (json_object_get(e, "ImageName"))
                print_field(stdout, "Image", "%s %s", member_text(e, "ImageName"),
                            member_text(e, "ImageVersion"));
        if (member_number(e, "ProcessID"))
                print_field(stdout, "Processes",
                            "monitor %" JSON_INTEGER_FORMAT ", hypervisor %" JSON_INTEGER_FORMAT,
                            member_number(e, "ProcessID"), member_number(e, "HypervisorPID"));
        if (json_object_get(e, "VsockPath"))
                print_field(stdout, "Vsock", "%s", member_text(e, "VsockPath"));
        if (json_object_get(e, "KernelCommandLine"))
                print_field(stdout, "Command line", "%s", member_text(e, "KernelCommandLine"));
        if (json_object_get(e, "Restart"))
                print_field(stdout, "Restart", "%s%s%s", member_text(e, "Restart"),
                            json_object_get(e, "RestartUSec") ? ", about to be" : "",
                            json_object_get(e, "CrashLoop") ? ", in a crash loop: it stays down" : "");
        if (member_number(e, "Restarts"))
                print_field(stdout, "Restarts", "%" JSON_INTEGER_FORMAT, member_number(e, "Restarts"));
        print_measurements(e);
        print_end(e);
}

static int write_svg(const json_t *enclave, const char *path, struct error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        int r;

        if (!f)
                return -ENOMEM;
        r = timeline_print_svg(enclave, f);
        if (fclose(f) != 0)
                return -ENOMEM;
        if (r < 0)
                return r;
        r = replace_file(AT_FDCWD, path, text, size, 0644);
        return r < 0 ? output_file_failed(r, path, reterr) : 0;
}

static int show_timeline(const struct options *o, const json_t *enclave, struct error *reterr) {
        const char *svg = options_value(o, "svg");
        int r = svg ? write_svg(enclave, svg, reterr) : timeline_print(enclave, stdout);

        if (r == -ENODATA)
                return error_set(reterr, ERROR_WRONG_STATE,
                                 "enclave %s has not come to the first step of its start",
                                 member_text(enclave, "EnclaveName"));
        return r;
}

static int show(const struct options *o, const char *name, struct error *reterr) {
        json_auto_t *enclaves = NULL;
        enum output_format format;
        int r;

        r = verb_output_format(o, &format, reterr);
        if (r >= 0)
                r = daemon_describe(o, name, options_flag(o, "all"), &enclaves, reterr);
        if (r < 0)
                return r;
        if (options_flag(o, "timeline") || options_value(o, "svg"))
                return show_timeline(o, json_array_get(enclaves, 0), reterr);
        if (format == OUTPUT_JSON)
                return print_json(enclaves, reterr);
        if (name)
                print_one(json_array_get(enclaves, 0));
        else if (json_array_size(enclaves) > 0)
                print_table(enclaves);
        else
                (void)printf("no enclaves%s\n",
                             options_flag(o, "all") ? "" : " are alive; --all shows ended ones");
        return 0;
}

/* Again at each event, and with each new daemon; on a terminal in the same place. */
static int watch(const struct options *o, const char *name, struct error *reterr) {
        _cleanup_event_stream_ struct event_stream s = EVENT_STREAM_NULL;
        bool shown = false;
        int r;

        r = event_stream_open(&s, o, reterr);
        while (r >= 0) {
                _cleanup_error_ struct error e = ERROR_NULL;
                _cleanup_reply_ struct reply reply = REPLY_NULL;

                if (isatty(STDOUT_FILENO))
                        (void)fputs("\033[H\033[2J", stdout);
                r = show(o, name, &e);
                (void)fflush(stdout);
                if (r < 0 && (!shown || e.kind != ERROR_DAEMON_UNREACHABLE))
                        return error_move(reterr, r, &e);
                shown = true; /* and the stream knows about a daemon that has gone */
                r = event_stream_next(&s, &reply, reterr);
        }
        return r;
}

static int run(const struct options *o, struct error *reterr) {
        const char *name = o->n_positional > 0 ? o->positional[0] : NULL;

        if (!name && (options_flag(o, "timeline") || options_value(o, "svg")))
                return error_set(reterr, ERROR_USAGE,
                                 "--timeline and --svg show the start of one enclave; give its name");
        return options_flag(o, "watch") ? watch(o, name, reterr) : show(o, name, reterr);
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS,
                                              VERB_DAEMON_OPTIONS,
                                              { "all", 'a', NULL, "also enclaves that have ended" },
                                              { "watch", 'w', NULL,
                                                "show it again whenever something happens" },
                                              { "timeline", 0, NULL, "where the time of its start went" },
                                              { "svg", 0, "FILE", "the same as a picture in a file" },
                                              VERB_OPTIONS_END };

const struct verb verb_describe = {
        .name = "describe",
        .synopsis = "[NAME]",
        .help = "Show the living enclaves, or everything about one",
        .options = options,
        .max_arguments = 1,
        .run = run,
};
