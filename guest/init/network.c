/* SPDX-License-Identifier: Apache-2.0 */

#include "guest/init/network.h"
#include "guest/init/console.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

void network_start(void) {
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                console_say("the loopback interface cannot be brought up: %s", strerror(errno));
        if (sethostname(NETWORK_HOST_NAME, strlen(NETWORK_HOST_NAME)) < 0)
                console_say("the host name cannot be set: %s", strerror(errno));
}

void network_name_hosts(void) {
        static const char hosts[] = "127.0.0.1 localhost\n"
                                    "::1 localhost ip6-localhost ip6-loopback\n"
                                    "127.0.1.1 " NETWORK_HOST_NAME "\n";
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (mkdir("/etc", 0755) < 0 && errno != EEXIST)
                return;
        fd = open("/etc/hosts", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > 0)
                return;
        if (write_all(fd, hosts, sizeof(hosts) - 1) < 0)
                console_say("/etc/hosts cannot be written");
}
