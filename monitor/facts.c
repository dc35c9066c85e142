/* SPDX-License-Identifier: Apache-2.0 */

#include "monitor/facts.h"

#include "monitor/hypervisor.h"
#include "monitor/json.h"
#include "monitor/last_words.h"
#include "monitor/printable.h"

#include <string.h>
#include <unistd.h>

/* A failure to allocate leaves a hole that the caller's final check of the object finds: jansson's setters
 * take NULL and report it. */
static int set(json_t *object, const char *key, json_t *value) {
        return json_object_set_new(object, key, value);
}

/* An image's texts need not be UTF-8, which JSON must be; one of them must not cost all facts. */
static json_t *text_value(const char *text) {
        json_t *value = json_string(text);
        size_t n = strlen(text);
        _cleanup_free_ char *copy = value ? NULL : malloc(n + 1);

        if (value || !copy)
                return value;
        (void)printable_copy(copy, n + 1, text, n);
        return json_string(copy);
}

static int set_text(json_t *object, const char *key, const char *text) {
        return text && *text ? set(object, key, text_value(text)) : 0;
}

static int set_steps(const struct vm *vm, json_t *facts) {
        json_t *timeline = json_object();
        int r = 0;

        for (int step = 0; step < STEP_MAX; step++)
                if (vm->steps[step])
                        r |= set(timeline, vm_step_name((enum vm_step)step),
                                 json_integer((json_int_t)vm->steps[step]));
        return r | set(facts, "Timeline", timeline);
}

static int set_cpu_ids(const struct hypervisor_facts *h, json_t *facts) {
        json_t *ids = h->n_cpu_ids > 0 ? json_array() : NULL;
        int r = 0;

        if (h->n_cpu_ids == 0)
                return 0;
        for (size_t i = 0; i < h->n_cpu_ids; i++)
                r |= json_array_append_new(ids, json_integer(h->cpu_ids[i]));
        return r | set(facts, "CPUIDs", ids);
}

static int set_end(const struct vm *vm, json_t *facts) {
        const struct reason *reason = &vm->reason;
        int r = 0;

        if (reason->kind == REASON_NONE)
                return 0;
        r |= set(facts, "ReasonKind", json_string(reason_kind_name(reason->kind)));
        r |= set(facts, "ReasonText", text_value(reason->text));
        if (reason->code >= 0)
                r |= set(facts, "ExitCode", json_integer(reason->code));
        if (reason->signal > 0)
                r |= set(facts, "Signal", json_integer(reason->signal));
        if (vm->start_error != ERROR_NONE)
                r |= set(facts, "ErrorName", json_string(error_name(vm->start_error)));
        if (vm->state == VM_FAILED)
                r |= set_text(facts, "ConsoleTail", vm->console_tail);
        return r;
}

json_t *facts_of(const struct vm *vm) {
        _cleanup_json_ json_t *facts = json_object();
        const struct image *image = vm_image(vm);
        struct hypervisor_facts h = { .pid = 0 };
        int r = 0;

        if (vm->instance)
                vm->hypervisor->describe(vm->instance, &h);
        r |= set(facts, "State", json_string(vm_state_name(vm->state)));
        r |= set(facts, "SinceUSec", json_integer((json_int_t)vm->since_usec));
        r |= set(facts, "MonitorPID", json_integer(getpid()));
        r |= set(facts, "HypervisorPID", json_integer(h.pid));
        r |= set(facts, "Ready", json_boolean(vm->steps[STEP_READY] != 0));
        r |= set(facts, "ReadyAssumed", json_boolean(vm->ready_assumed));
        r |= set_text(facts, "Accelerator", h.accelerator);
        r |= set_text(facts, "AcceleratorReason", h.accelerator_reason);
        r |= set_text(facts, "KernelCommandLine", h.cmdline);
        r |= set_cpu_ids(&h, facts);
        r |= set_text(facts, "ImageName", image->name);
        r |= set_text(facts, "ImageVersion", image->version);
        r |= set_text(facts, "PCR0", image->pcr0);
        r |= set_text(facts, "PCR1", image->pcr1);
        r |= set_text(facts, "PCR2", image->pcr2);
        r |= set_text(facts, "PCR8", image->pcr8);
        r |= set_steps(vm, facts);
        r |= set_end(vm, facts);
        return r == 0 ? TAKE(facts) : NULL;
}

int facts_leave(const struct vm *vm) {
        _cleanup_json_ json_t *facts = facts_of(vm);
        _cleanup_free_ char *text = facts ? json_dumps(facts, JSON_INDENT(2)) : NULL;

        if (!text)
                return -ENOMEM;
        return last_words_leave(vm->directory_fd, text, strlen(text));
}
