/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What `build-eif` is asked for: settings from a file (-f), then those of the command line, which replace a
 * single value and add to a list. The file is lines "name = value" with the names of the options; "#" begins
 * a comment line. Relative paths in it are relative to the file, so that it can be committed with what it
 * names. An unknown name, or a single value given twice, is refused.
 */

#include "base/options.h"
#include "eif/string_list.h"

struct build_request {
        char *arch, *cmd, *cmdline, *compare_to, *compat, *compress, *entrypoint, *image, *init, *kernel,
                *kernel_config;
        char *max_size, *metadata, *modules_dir, *name, *output, *provenance, *rootfs, *user, *version,
                *workdir;
        char *keep_owners;                           /* "yes" or "no" */
        struct string_list add_binary, env, ramdisk; /* in the order given */
        struct string_list arguments;                /* what followed -- */
};

#define BUILD_REQUEST_NULL ((struct build_request){ .arch = NULL })

void build_request_done(struct build_request *q);
#define _cleanup_build_request_ _cleanup_(build_request_done)

/* text is the file's, what its name for messages; directory is what its relative paths start from. */
int build_request_parse(struct build_request *q, char *text, const char *what, const char *directory,
                        struct error *reterr);

/* The file named by --file, if any, then the options. */
int build_request_read(struct build_request *q, const struct options *o, struct error *reterr);

/* clang-format off: a table */
/* The rows of the option table, for the verb. */
#define BUILD_REQUEST_OPTIONS                                                                               \
        { "file", 'f', "FILE", "read these options from a file of NAME = VALUE lines first" },              \
                { "output", 0, "FILE", "the image to write" },                                              \
                { "image", 0, "SOURCE",                                                                     \
                  "oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, dir:PATH, docker://REF" },         \
                { "rootfs", 0, "DIR", "a directory as root file system; the same as --image dir:DIR" },     \
                { "ramdisk", 0, "FILE",                                                                     \
                  "a ready-made ramdisk (repeatable); alone: first the boot ramdisk" },                     \
                { "cmd", 0, "COMMAND", "what to run: words, or a JSON array; replaces the image's Cmd" },   \
                { "entrypoint", 0, "COMMAND",                                                               \
                  "replaces the image's Entrypoint and drops its Cmd; may be empty" },                      \
                { "env", 'e', "NAME=VALUE", "add to or replace in the environment (repeatable)" },          \
                { "workdir", 0, "DIR", "where the application starts" },                                    \
                { "user", 0, "USER[:GROUP]", "who runs the application, by name or number" },               \
                { "add-binary", 0, "PATH",                                                                  \
                  "add a program of this machine with its libraries (repeatable)" },                        \
                { "keep-owners", 0, "yes|no",                                                               \
                  "keep owners of a directory's files (default: no, all root's)" },                         \
                { "kernel", 0, "FILE", "the kernel (default: the one of scripts/fetch-kernel)" },           \
                { "kernel-config", 0, "FILE",                                                               \
                  "its configuration, to check (default: config beside the kernel)" },                      \
                { "modules-dir", 0, "DIR", "its modules (default: modules beside the kernel, if there)" },  \
                { "cmdline", 0, "TEXT", "the kernel's command line" },                                      \
                { "init", 0, "FILE", "the first process (default: qt-init of this package)" },              \
                { "arch", 0, "x86_64|aarch64", "the enclave's architecture (default: this machine's)" },    \
                { "compress", 0, "none|gzip|zstd", "pack the ramdisks made here (default: none)" },         \
                { "compat", 0, "nitro-cli", "lay ramdisks out as nitro-cli does, for the same PCR2" },      \
                { "max-size", 0, "SIZE", "limit of the unpacked image (default: 8G)" },                     \
                { "name", 0, "NAME", "ImageName of the metadata" },                                         \
                { "version", 0, "TEXT", "ImageVersion of the metadata" },                                   \
                { "metadata", 0, "FILE", "a JSON object for CustomMetadata of the metadata" },              \
                { "provenance", 0, "FILE", "write an in-toto statement of inputs and measurements there" }, \
        {                                                                                                   \
                "compare-to", 0, "FILE", "say what differs from that image, if anything does"               \
        }
/* clang-format on */
