/* SPDX-License-Identifier: Apache-2.0 */

/* Images: header and section table, then everything a reader does with one that was accepted. */

#include "eif/load.h"
#include "eif/reader.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct eif *e) {
        _cleanup_free_ char *cmdline = NULL, *metadata = NULL;
        struct eif_measurements m;
        uint64_t end = EIF_HEADER_SIZE;
        bool crc_ok;

        for (size_t i = 0; i < eif_n_sections(e); i++) {
                assert(eif_section(e, i)->offset == end + EIF_SECTION_HEADER_SIZE);
                end = eif_section(e, i)->offset + eif_section(e, i)->size;
        }
        assert(end == eif_file_size(e));
        (void)eif_read_cmdline(e, &cmdline, NULL);
        (void)eif_read_metadata(e, &metadata, NULL);
        assert(eif_measure(e, &m, &crc_ok, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_eif_findings_ struct eif_findings findings = EIF_FINDINGS_NULL;
        _cleanup_error_ struct error error = ERROR_NULL;
        _cleanup_eif_ struct eif *inspected = NULL, *e = NULL;

        assert(eif_inspect_buffer(&inspected, data, size, &findings, &error) == 0);
        assert(eif_is_readable(inspected) || eif_findings_first(&findings, EIF_SEVERITY_UNREADABLE));
        if (eif_open_buffer(&e, data, size, &error) == 0)
                use(e);
        return 0;
}
