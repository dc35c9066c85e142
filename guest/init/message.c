/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/message.h"

#include "base/buffer.h"

#include <stdbool.h>
#include <string.h>

/* A word as this protocol has them: letters and "_" need no escapes. */
#define WORD_MAX 31

struct parsed {
        char command[WORD_MAX + 1];
        uint64_t usec, grace_ms;
        bool has_command, has_usec, has_grace_ms;
};

static int peek(const struct reader *r) {
        return reader_left(r) ? r->data[r->position] : -1;
}

static void skip_space(struct reader *r) {
        while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\r')
                r->position++;
}

/* The character, with space around it. */
static bool take_mark(struct reader *r, char mark) {
        skip_space(r);
        if (peek(r) != mark)
                return false;
        r->position++;
        skip_space(r);
        return true;
}

static bool take_word(struct reader *r, char ret[static WORD_MAX + 1]) {
        size_t n = 0;

        if (!take_mark(r, '"'))
                return false;
        for (int c; (c = peek(r)) != '"'; r->position++) {
                if (n == WORD_MAX || !((c >= 'a' && c <= 'z') || c == '_'))
                        return false;
                ret[n++] = (char)c;
        }
        ret[n] = 0;
        return take_mark(r, '"');
}

/* Digits as JSON has them: no sign, no leading zero, no fraction. */
static bool take_number(struct reader *r, uint64_t *ret) {
        bool leading_zero = peek(r) == '0';
        uint64_t value = 0;
        size_t n = 0;
        int c;

        for (; (c = peek(r)) >= '0' && c <= '9'; r->position++, n++)
                if (__builtin_mul_overflow(value, 10u, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
                        return false;
        if (n == 0 || (leading_zero && n > 1) || value > INT64_MAX)
                return false;
        skip_space(r);
        *ret = value;
        return true;
}

static bool take_member(struct reader *r, struct parsed *p) {
        char name[WORD_MAX + 1];
        uint64_t *number;
        bool *seen;

        if (!take_word(r, name) || !take_mark(r, ':'))
                return false;
        if (strcmp(name, "command") == 0) {
                if (p->has_command)
                        return false;
                p->has_command = true;
                return take_word(r, p->command);
        }
        if (strcmp(name, "usec") == 0) {
                number = &p->usec;
                seen = &p->has_usec;
        } else if (strcmp(name, "grace_ms") == 0) {
                number = &p->grace_ms;
                seen = &p->has_grace_ms;
        } else
                return false;
        if (*seen)
                return false;
        *seen = true;
        return take_number(r, number);
}

int command_parse(const char *line, size_t size, struct command *ret, struct error *reterr) {
        struct reader r = reader_over(line, size);
        struct parsed p = {};
        bool good;

        good = size <= MESSAGE_LINE_MAX && take_mark(&r, '{') && take_member(&r, &p);
        while (good && peek(&r) == ',')
                good = take_mark(&r, ',') && take_member(&r, &p);
        good = good && take_mark(&r, '}') && reader_left(&r) == 0 && p.has_command;
        if (good && strcmp(p.command, "time") == 0 && p.has_usec && !p.has_grace_ms)
                *ret = (struct command){ COMMAND_TIME, p.usec };
        else if (good && strcmp(p.command, "stop") == 0 && p.has_grace_ms && !p.has_usec)
                *ret = (struct command){ COMMAND_STOP, p.grace_ms };
        else
                return error_set(reterr, ERROR_PROTOCOL,
                                 "the parent sent \"%.*s\", which is no command known here",
                                 (int)(size < 80 ? size : 80), line);
        return 0;
}

void message_quote(const char *text, char *ret, size_t size) {
        size_t n = 0;

        ret[n++] = '"';
        for (; *text && n + 3 < size; text++) {
                if (*text == '"' || *text == '\\')
                        ret[n++] = '\\';
                ret[n++] = *text >= 0x20 && *text < 0x7f ? *text : '?';
        }
        ret[n++] = '"';
        ret[n] = 0;
}
