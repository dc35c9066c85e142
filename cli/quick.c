/* SPDX-License-Identifier: Apache-2.0 */

/*
 * qt-enclave as it is called: verbs that only talk to the daemon run here, at once. Everything else needs the
 * libraries of images, signatures and documents, whose loading takes several times as long as a question to
 * the daemon; the whole program has it and takes this one's place.
 */

#include "cli/verb.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define WHOLE "qt-enclave-whole"

static const struct verb *const verbs[] = {
#define VERB(id)
#define DAEMON_VERB(id) &verb_##id,
#include "cli/verbs.def"
#undef VERB
};

/* Beside this program, as in a build, or where it is installed. Returns only when it is in neither place. */
static int become_whole(char **argv) {
        char beside[4096];
        ssize_t n = readlink("/proc/self/exe", beside, sizeof(beside) - sizeof(WHOLE));
        _cleanup_error_ struct error e = ERROR_NULL;
        int r;
        char *slash = n > 0 ? memrchr(beside, '/', (size_t)n) : NULL;

        if (slash) {
                memcpy(slash + 1, WHOLE, sizeof(WHOLE));
                (void)execv(beside, argv);
        }
        (void)execv(QT_LIBEXECDIR "/" WHOLE, argv);
        r = error_set(&e, ERROR_TOOL_MISSING,
                      "cannot execute " QT_LIBEXECDIR "/" WHOLE ": %s; install qt-enclave again",
                      strerror(errno));
        return (int)error_report("qt-enclave", r, &e);
}

int main(int argc, char **argv) {
        const struct verb *v = NULL;
        int words = 0;

        /* By another name it is another tool. */
        if (argc >= 2 && strcmp(program_invocation_short_name, "qt-enclave") == 0)
                v = verb_find(verbs, ELEMENTSOF(verbs), argc - 1, argv + 1, &words);
        if (!v)
                return become_whole(argv);
        (void)signal(SIGPIPE, SIG_IGN);
        return verb_main(v, argc - words, argv + words);
}
