/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/hypervisor/qingtian_output.h"

#include "monitor/printable.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

static const struct code {
        int number;
        const char *text;
        enum error_kind kind;
        const char *advice;
} codes[] = {
#define CODE(number, text, kind, advice) { number, text, ERROR_##kind, advice },
#include "base/qingtian_errors.def"
#undef CODE
};

#define NO_INTERPRETER                                                                                   \
        "the interpreter of the tool's first line is not in PATH; install python3, or set PATH for the " \
        "daemon"

/* What is wrong around the tool, by words that it, Python or the kernel print. */
static const struct {
        const char *words;
        enum error_kind kind;
        const char *meaning;
} surroundings[] = {
        { "No module named 'docker'", ERROR_TOOL_MISSING,
          "the tool's Python has no module docker; install it for the python3 that the tool runs with: pip3 "
          "install docker knack" },
        { "No module named 'knack'", ERROR_TOOL_MISSING,
          "the tool's Python has no module knack; install it for the python3 that the tool runs with: pip3 "
          "install docker knack" },
        { "ModuleNotFoundError", ERROR_TOOL_MISSING,
          "the tool's Python lacks a module; install it for the python3 that the tool runs with" },
        { "env: \xe2\x80\x98", ERROR_TOOL_MISSING, NO_INTERPRETER },
        { "env: '", ERROR_TOOL_MISSING, NO_INTERPRETER },
        { "sandbox driver is uninstalled", ERROR_HYPERVISOR_MISSING,
          "the module virtio-qtbox is not loaded; it must be built for the running kernel: compare \"modinfo "
          "-F "
          "vermagic\" with \"uname -r\"" },
        { "insmod", ERROR_HYPERVISOR_MISSING,
          "the module virtio-qtbox cannot be loaded; SELinux may forbid it: load it by hand, or see "
          "\"ausearch "
          "-m avc\"" },
        { "not enough values to unpack", ERROR_CONFIG_INVALID,
          "the tool cannot read ~/.docker/config.json; point DOCKER_CONFIG to a clean directory" },
};

static const char *find(const char *text, size_t n, const char *words) {
        size_t length = strlen(words);

        for (size_t i = 0; length <= n && i <= n - length; i++)
                if (strncasecmp(text + i, words, length) == 0)
                        return text + i;
        return NULL;
}

static bool is_word(char c) {
        return isalnum((unsigned char)c) || c == '_';
}

/* Where the value of a name begins: `Name : value` and `"Name": value`, whatever is around it. */
static const char *find_value(const char *text, size_t n, const char *name) {
        const char *end = text + n, *from = text, *p;

        while ((p = find(from, (size_t)(end - from), name))) {
                from = p + strlen(name);
                if (p > text && is_word(p[-1]))
                        continue;
                for (p = from; p < end && (*p == '"' || *p == ' ' || *p == '\t'); p++)
                        ;
                if (p == end || *p != ':')
                        continue;
                for (p++; p < end && (*p == '"' || *p == ' ' || *p == '\t'); p++)
                        ;
                return p;
        }
        return NULL;
}

static bool find_number(const char *text, size_t n, const char *name, uint64_t *ret) {
        const char *p = find_value(text, n, name), *end = text + n;
        uint64_t value = 0;
        bool any = false;

        for (; p && p < end && isdigit((unsigned char)*p); p++) {
                if (value > (UINT64_MAX - 9) / 10)
                        return false;
                value = 10 * value + (uint64_t)(*p - '0');
                any = true;
        }
        if (!any || (p < end && is_word(*p)))
                return false;
        *ret = value;
        return true;
}

/* Of one enclave; false when it has no number or no CID. */
static bool read_enclave(const char *text, size_t n, struct qingtian_enclave *ret) {
        const char *mode = find_value(text, n, "LaunchMode");

        *ret = (struct qingtian_enclave){ .debug = false };
        if (!find_number(text, n, "EnclaveID", &ret->id) || !find_number(text, n, "EnclaveCID", &ret->cid))
                return false;
        (void)find_number(text, n, "ProcessID", &ret->pid);
        (void)find_number(text, n, "NumberOfCPUs", &ret->cpus);
        (void)find_number(text, n, "MemoryMiB", &ret->memory_mib);
        ret->debug =
                mode && find(mode, (size_t)(text + n - mode) < 5 ? (size_t)(text + n - mode) : 5, "debug");
        return true;
}

/* Past one of these words, if it is there, and what may stand behind it. */
static const char *skip_word(const char *p, const char *end, const char *word) {
        size_t n = strlen(word);

        if ((size_t)(end - p) >= n && strncasecmp(p, word, n) == 0)
                p += n;
        while (p < end && strchr(" _:=#[", *p) && *p)
                p++;
        return p;
}

/* A number behind "error", "error code", "errcode=" or the like, for versions that print it bare. Not
 * "errno", which is the system's. */
static int find_bare_code(const char *text, size_t n) {
        const char *end = text + n, *from = text, *p;

        while ((p = find(from, (size_t)(end - from), "err"))) {
                int value = 0;

                from = p + 3;
                p = skip_word(from, end, "or");
                p = skip_word(p, end, "code");
                p = skip_word(p, end, "number");
                for (int digits = 0; p < end && isdigit((unsigned char)*p) && digits < 3; p++, digits++)
                        value = 10 * value + (*p - '0');
                if (value > 0 && value <= (int)ELEMENTSOF(codes) && (p == end || !is_word(*p)))
                        return value;
        }
        return 0;
}

/* The longest sentence wins: 28 begins as 32 does. */
static const struct code *find_sentence(const char *text, size_t n) {
        const struct code *best = NULL;

        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (find(text, n, codes[i].text) && (!best || strlen(codes[i].text) > strlen(best->text)))
                        best = &codes[i];
        return best;
}

int qingtian_find_code(const char *text, size_t n) {
        const struct code *sentence = find_sentence(text, n);

        return sentence ? sentence->number : find_bare_code(text, n);
}

/* The last line with something on it, without warnings of the tool's own log. */
static void last_line(const char *text, size_t n, char *ret, size_t size) {
        const char *end = text + n;

        ret[0] = '\0';
        while (end > text) {
                const char *start = end;

                while (start > text && start[-1] != '\n')
                        start--;
                if (end - start > 1 && !find(start, (size_t)(end - start), "log file")) {
                        (void)printable_copy(ret, size, start, (size_t)(end - start));
                        return;
                }
                end = start > text ? start - 1 : text;
        }
}

static const struct code *code_row(int number) {
        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (codes[i].number == number)
                        return &codes[i];
        return NULL;
}

int qingtian_error_set(struct error *reterr, const char *what, const char *text, size_t n, int status) {
        const struct code *code = code_row(qingtian_find_code(text, n));
        char line[200];

        if (status == -ETIMEDOUT)
                return error_set(reterr, ERROR_TIMEOUT,
                                 "the vendor's tool did not finish \"%s\" in time and was ended; see "
                                 "/var/log/qingtian_enclaves/qingtian-tool.log",
                                 what);
        if (status == -ENOENT || status == -EACCES)
                return error_set_errno(reterr, ERROR_HYPERVISOR_MISSING, status,
                                       "the vendor's tool, or the interpreter that its first line names, "
                                       "cannot be run; install qingtian-tool and python3, or name the tool "
                                       "with the key qingtian_tool");
        if (status < 0)
                return error_set_errno(reterr, ERROR_HYPERVISOR_FAILED, status,
                                       "the vendor's tool could not do \"%s\"", what);
        if (code)
                return error_set(reterr, code->kind, "\"%s\" failed with code %02d, \"%s\"; %s", what,
                                 code->number, code->text, code->advice);
        for (size_t i = 0; i < ELEMENTSOF(surroundings); i++)
                if (find(text, n, surroundings[i].words))
                        return error_set(reterr, surroundings[i].kind, "\"%s\" failed: %s", what,
                                         surroundings[i].meaning);
        last_line(text, n, line, sizeof(line));
        if (find(text, n, "Permission denied") || find(text, n, "has no permission"))
                return error_set(
                        reterr, ERROR_PERMISSION_DENIED,
                        "\"%s\" failed: the tool may not use its files (%s); give /var/run/enclave and "
                        "/var/log/qingtian_enclaves to the user that runs it",
                        what, line);
        return error_set(reterr, ERROR_HYPERVISOR_FAILED, "\"%s\" failed with status %d: %s", what, status,
                         *line ? line : "the vendor's tool printed nothing; see its log");
}

int qingtian_parse_start(const char *text, size_t n, int status, struct qingtian_enclave *ret,
                         struct error *reterr) {
        if (status == 0 && !find_sentence(text, n) && read_enclave(text, n, ret))
                return 0;
        return qingtian_error_set(reterr, "start", text, n, status);
}

bool qingtian_is_blank(const char *text, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!isspace((unsigned char)text[i]))
                        return false;
        return true;
}

int qingtian_parse_query(const char *text, size_t n, int status, struct qingtian_enclave *ret, size_t *ret_n,
                         struct error *reterr) {
        const char *end = text + n, *p = text, *open;
        size_t found = 0;

        if (status != 0)
                return qingtian_error_set(reterr, "query", text, n, status);
        while (found < QINGTIAN_ENCLAVES_MAX && (open = memchr(p, '{', (size_t)(end - p)))) {
                const char *close = memchr(open, '}', (size_t)(end - open));

                if (!close)
                        return qingtian_error_set(reterr, "query", text, n, status);
                if (!read_enclave(open, (size_t)(close - open), &ret[found++]))
                        return qingtian_error_set(reterr, "query", text, n, status);
                p = close + 1;
        }
        /* Warnings may stand in front of "[]"; something else may not, and no sentence of failure. */
        if (found == 0 && !qingtian_is_blank(text, n) && (!find(text, n, "[]") || find_sentence(text, n)))
                return qingtian_error_set(reterr, "query", text, n, status);
        *ret_n = found;
        return 0;
}

int qingtian_parse_stop(const char *text, size_t n, int status, struct error *reterr) {
        if (status == 0 && !find_sentence(text, n) && find(text, n, "success"))
                return 0;
        return qingtian_error_set(reterr, "stop", text, n, status);
}

static bool find_pcr(const char *text, size_t n, const char *name, char ret[97]) {
        const char *p = find_value(text, n, name);

        if (!p || (size_t)(text + n - p) < 96)
                return false;
        for (size_t i = 0; i < 96; i++) {
                if (!isxdigit((unsigned char)p[i]))
                        return false;
                ret[i] = (char)tolower((unsigned char)p[i]);
        }
        ret[96] = '\0';
        return (size_t)(text + n - p) == 96 || !is_word(p[96]);
}

bool qingtian_parse_measurements(const char *text, size_t n, char pcr0[97], char pcr8[97]) {
        char zero[97];

        if (!find_pcr(text, n, "PCR0", pcr0)) {
                pcr0[0] = '\0';
                return false;
        }
        memset(zero, '0', 96);
        zero[96] = '\0';
        /* The tool prints zeros for an unsigned image. */
        if (!find_pcr(text, n, "PCR8", pcr8) || strcmp(pcr8, zero) == 0)
                pcr8[0] = '\0';
        return true;
}
