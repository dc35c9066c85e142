/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/client.h"
#include "cli/doctor.h"
#include "cli/table.h"
#include "cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void print_findings(const json_t *findings) {
        const json_t *f;
        size_t i;

        json_array_foreach(findings, i, f) {
                const char *remedy = member_text(f, "Remedy");

                (void)printf("%-8s %-13s ", member_text(f, "Verdict"), member_text(f, "Topic"));
                print_clean(stdout, member_text(f, "Text"), 0);
                (void)putchar('\n');
                if (*remedy)
                        (void)printf("%-22s run: %s\n", "", remedy);
        }
}

static bool something_is_wrong(const json_t *findings) {
        const json_t *f;
        size_t i;

        json_array_foreach(findings, i, f) if (strcmp(member_text(f, "Verdict"),
                                                      verdict_name(VERDICT_WRONG)) == 0) return true;
        return false;
}

static int run(const struct options *o, struct error *reterr) {
        const char *root = options_value(o, "root");
        _cleanup_close_ int root_fd = open(root ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        json_auto_t *findings = json_array();
        struct doctor d = { .options = o, .root_fd = root_fd, .live = !root, .findings = findings };
        enum output_format format;
        int r;

        if (root_fd < 0)
                return error_set_errno(reterr, ERROR_FILE_UNREADABLE, errno, "--root %s", root ? root : "/");
        r = verb_output_format(o, &format, reterr);
        if (r < 0)
                return r;
        doctor_check_vendors(&d);
        doctor_check_local(&d);
        doctor_check_pages(&d);
        doctor_check_service(&d);
        if (format == OUTPUT_JSON)
                r = print_json(findings, reterr);
        else
                print_findings(findings);
        if (r < 0)
                return r;
        return something_is_wrong(findings) ? EXIT_REFUSED : EXIT_OK;
}

static const struct option_spec options[] = { VERB_COMMON_OPTIONS,
                                              VERB_DAEMON_OPTIONS,
                                              { "root", 0, "DIR",
                                                "look at the files of another root; nothing is tried then" },
                                              VERB_OPTIONS_END };

const struct verb verb_doctor = {
        .name = "doctor",
        .synopsis = "[--root DIR]",
        .help = "Say what is wrong with this machine, and what to run",
        .details = "Each line is ok, warning (something is slower or missing for some) or wrong (no enclave "
                   "starts "
                   "like that).\nThe exit status is 0 when nothing is wrong, else 1.\n",
        .options = options,
        .run = run,
};
