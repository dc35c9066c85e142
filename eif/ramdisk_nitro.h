/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The ramdisks of an image as nitro-cli 1.x has them made (docker export, linuxkit 1.5 with AWS's patches,
 * gocpio), byte for byte, so that the same container image gets the same PCR2, and the same init and nsm.ko
 * the same PCR1. What that tool chain loses is lost here too: hard links become symbolic ones, extended
 * attributes go, /etc/hosts and /etc/resolv.conf are replaced, /tmp, /var and /run become 0755.
 */

#include "eif/sink.h"
#include "eif/source_application.h"

/* dev, init, nsm.ko. */
int ramdisk_nitro_boot_write(const char *init, const char *nsm, const struct sink *sink,
                             struct error *reterr);

/* The tree is changed as Docker changes the root of a container. Of the application Cmd is taken, or, when
 * there is none, Entrypoint; user and working directory are not. */
int ramdisk_nitro_application_write(struct source_tree *tree, const struct application *application,
                                    const struct sink *sink, struct error *reterr);
