/* SPDX-License-Identifier: Apache-2.0 */

#include "eif/modules.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct module_wanted wanted[] = {
        { "virtio_mmio", false, "devices" },
        { "vsock_transport", false, "the way in" },
        { "virtio_rng", true, "random" },
        { NULL, false, NULL },
};

struct row {
        const char *dep, *builtin;
        const char *loads; /* space-separated, or NULL: refused */
        const char *message;
};

static const struct row rows[] = {
        { "k/virtio_mmio.ko: k/virtio.ko k/virtio_ring.ko\nk/virtio.ko: k/virtio_ring.ko\nk/virtio_ring.ko:\n"
          "n/vsock_transport.ko.xz: k/virtio.ko\nk/virtio-rng.ko: k/virtio.ko\n",
          "", "k/virtio_ring.ko k/virtio.ko k/virtio_mmio.ko n/vsock_transport.ko.xz k/virtio-rng.ko", NULL },
        { "", "k/virtio_mmio.ko\nk/vsock-transport.ko\n", "", NULL },
        { "k/vsock_transport.ko:", "k/virtio_mmio.ko", "k/vsock_transport.ko", NULL },
        { "", "", NULL, "no module virtio_mmio" },
        { "k/xvirtio_mmio.ko:\nk/virtio_mmio2.ko:\n", "", NULL, "no module virtio_mmio" },
        { "k/virtio_mmio.ko: k/gone.ko\n", "n/vsock_transport.ko", NULL, "no file for module gone" },
        { "k/virtio_mmio.ko: k/a.ko\nk/a.ko: k/virtio_mmio.ko\n", "n/vsock_transport.ko", NULL,
          "depends on itself" },
        { "../virtio_mmio.ko:\n", "n/vsock_transport.ko", NULL, "no file for module virtio_mmio" },
        { "/etc/virtio_mmio.ko:\n", "n/vsock_transport.ko", NULL, "no file for module virtio_mmio" },
};

static void resolves(void **state _unused_) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_module_list_ struct module_list l = MODULE_LIST_NULL;
                _cleanup_error_ struct error e = ERROR_NULL;
                char text[512] = "";
                int r = modules_resolve(rows[i].dep, rows[i].builtin, wanted, &l, &e);

                print_message("# row %zu: %s\n", i, e.message ? e.message : "resolved");
                assert_int_equal(r, rows[i].loads ? 0 : ERROR_DESCRIBED);
                if (!rows[i].loads) {
                        assert_int_equal(e.kind, ERROR_KERNEL_UNSUITABLE);
                        assert_non_null(strstr(e.message, rows[i].message));
                        continue;
                }
                for (size_t m = 0; m < l.n; m++)
                        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", m ? " " : "",
                                       l.paths[m]);
                assert_string_equal(text, rows[i].loads);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = { cmocka_unit_test(resolves) };

        return unit_run("modules", tests);
}
