/* SPDX-License-Identifier: Apache-2.0 */

/* Parents of the vendors' platforms: what their tools only say as a number. */

#include "cli/doctor.h"

#include "base/bare_metal.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define QTBOX_MODULE "opt/qingtian/enclave/virtio-qtbox.ko"
#define QTBOX_DEVICE "dev/qtbox_service0"
#define NITRO_DEVICE "dev/nitro_enclaves"
#define QTBOX_SERVICE "qt-enclave-env"
#define QTBOX_LOG "var/log/qingtian_enclaves/qingtian-tool.log"
#define NITRO_ALLOCATOR "nitro-enclaves-allocator"
#define QTBOX_ENV "etc/qingtian/enclave/qt-enclave-env.conf"
#define MODULE_MAX (64 << 20)

/* An enclave reaches its parent at CID 3: a parent with another one never hears a heartbeat. */
static void check_parent_cid(struct doctor *d) {
        _cleanup_close_ int fd = d->live ? openat(d->root_fd, "dev/vsock", O_RDONLY | O_CLOEXEC) : -1;
        unsigned cid = 0;

        if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) < 0 || cid == 3)
                return;
        doctor_find(d, VERDICT_WARNING, "vsock", "unload vsock transports that this parent does not need",
                    "the parent's CID is %u, enclaves look for it at 3", cid);
}

/* systemd keeps a link for each unit that is active, a one-shot that has ended included. */
static bool unit_is_active(const struct doctor *d, const char *unit) {
        char path[128];

        (void)snprintf(path, sizeof(path), "run/systemd/units/invocation:%s.service", unit);
        return doctor_link(d, path);
}

/* The vendor's own tool and service beside ours: each would undo what the other did. */
static void check_nitro_neighbours(struct doctor *d) {
        unsigned n = doctor_count(d, "run/nitro_enclaves", "", ".sock");

        if (unit_is_active(d, NITRO_ALLOCATOR) && unit_is_active(d, "qt-enclaved"))
                doctor_find(d, VERDICT_WARNING, "nitro",
                            "systemctl disable --now " NITRO_ALLOCATOR
                            ", and qt-enclave import-config its allocator.yaml",
                            NITRO_ALLOCATOR
                            " is active beside qt-enclaved: it writes ne_cpus and empties huge "
                            "pages that a dedicated pool of ours has");
        if (n > 0)
                doctor_find(
                        d, VERDICT_WARNING, "nitro",
                        "end them with nitro-cli terminate-enclave, start them with qt-enclave --as "
                        "nitro-cli",
                        "%u enclaves of nitro-cli's own are alive: the driver changes no CPUs before they "
                        "end, and nitro-cli cannot start more while qt-enclaved has vsock port 9000",
                        n);
}

/* Both platforms have enclaves on virtual machines only. */
static void check_virtual(struct doctor *d, const char *topic, const char *instead) {
        if (machine_is_bare_metal(d->root_fd))
                doctor_find(d, VERDICT_WRONG, topic, instead,
                            "this machine is bare metal, which is no parent of such enclaves");
}

static bool is_nitro_device(const struct doctor *d, const char *address) {
        char path[320], vendor[16] = "", device[16] = "";

        (void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vendor", address);
        (void)doctor_read(d, path, vendor, sizeof(vendor));
        (void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/device", address);
        (void)doctor_read(d, path, device, sizeof(device));
        return strcmp(vendor, "0x1d0f") == 0 && strcmp(device, "0xe4c1") == 0;
}

/* What the driver binds to; only an instance that was launched for enclaves has it. */
static bool has_nitro_pci_device(const struct doctor *d) {
        int fd = openat(d->root_fd, "sys/bus/pci/devices", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedirp) DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *entry;

        while (directory && (entry = readdir(directory)))
                if (entry->d_name[0] != '.' && is_nitro_device(d, entry->d_name))
                        return true;
        return false;
}

static void explain_nitro_absent(struct doctor *d, bool module, bool amazon) {
        bool pci = has_nitro_pci_device(d);

        if (module && pci)
                doctor_find(d, VERDICT_WRONG, "nitro", "see `dmesg | grep nitro_enclaves`",
                            "the module nitro_enclaves is loaded and its PCI device is there, but /%s is not",
                            NITRO_DEVICE);
        else if (module)
                doctor_find(d, VERDICT_WRONG, "nitro",
                            "start the instance with --enclave-options Enabled=true",
                            "the module nitro_enclaves is loaded but its PCI device 1d0f:e4c1 is not there");
        else if (amazon && !pci)
                doctor_find(d, VERDICT_WARNING, "nitro",
                            "start the instance with --enclave-options Enabled=true",
                            "an EC2 instance without the PCI device 1d0f:e4c1 of Nitro Enclaves");
        else if (amazon)
                doctor_find(d, VERDICT_WARNING, "nitro", "modprobe nitro_enclaves",
                            "an EC2 instance without the module nitro_enclaves");
}

static void check_nitro(struct doctor *d) {
        char vendor[64] = "", cpus[512] = "";
        bool module = doctor_has(d, "sys/module/nitro_enclaves"), amazon;

        (void)doctor_read(d, "sys/class/dmi/id/sys_vendor", vendor, sizeof(vendor));
        amazon = strcmp(vendor, "Amazon EC2") == 0;
        if (amazon || module || doctor_has(d, NITRO_DEVICE))
                check_virtual(d, "nitro", "take an instance type whose name does not end in .metal");
        if (!doctor_device(d, "nitro", NITRO_DEVICE)) {
                explain_nitro_absent(d, module, amazon);
                return;
        }
        d->other_machine = true;
        if (doctor_read(d, "sys/module/nitro_enclaves/parameters/ne_cpus", cpus, sizeof(cpus))) {
                if (*cpus)
                        doctor_find(d, VERDICT_OK, "nitro", NULL, "CPUs %s are set aside", cpus);
                else
                        doctor_find(d, VERDICT_WARNING, "nitro", "qt-enclave pool set --cpus 2",
                                    "no CPUs are set aside (ne_cpus is empty)");
        }
        check_nitro_neighbours(d);
        check_parent_cid(d);
}

/* "vermagic=5.10.0-60… SMP mod_unload" stands among the module's strings. */
static bool module_release(const struct doctor *d, char *ret, size_t size) {
        static const char key[] = "vermagic=";
        _cleanup_close_ int fd = openat(d->root_fd, QTBOX_MODULE, O_RDONLY | O_CLOEXEC);
        const char *found, *data;
        size_t length;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
            st.st_size > MODULE_MAX)
                return false;
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
                return false;
        found = memmem(data, (size_t)st.st_size, key, sizeof(key) - 1);
        if (found) {
                found += sizeof(key) - 1;
                length = (size_t)(data + st.st_size - found);
                for (size_t i = 0; i < length; i++)
                        if ((unsigned char)found[i] <= ' ') {
                                length = i;
                                break;
                        }
                (void)snprintf(ret, size, "%.*s", (int)(length < size ? length : size - 1), found);
        }
        (void)munmap((void *)data, (size_t)st.st_size);
        return found;
}

static void explain_qtbox_absent(struct doctor *d) {
        char wanted[128], running[128] = "", enforcing[8] = "";
        bool known = module_release(d, wanted, sizeof(wanted));

        (void)doctor_read(d, "proc/sys/kernel/osrelease", running, sizeof(running));
        (void)doctor_read(d, "sys/fs/selinux/enforce", enforcing, sizeof(enforcing));
        if (known && *running && strcmp(wanted, running) != 0)
                doctor_find(
                        d, VERDICT_WRONG, "qingtian",
                        "boot the module's kernel (grubby --set-default), or build virtio-qtbox for this one",
                        "virtio-qtbox.ko is for kernel %s, running is %s: it cannot be loaded", wanted,
                        running);
        else if (strcmp(enforcing, "1") == 0)
                doctor_find(d, VERDICT_WRONG, "qingtian", "insmod /" QTBOX_MODULE,
                            "virtio-qtbox is not loaded; SELinux is enforcing and may have refused it to the "
                            "service");
        else
                doctor_find(d, VERDICT_WRONG, "qingtian",
                            "insmod /" QTBOX_MODULE
                            "; when no device comes, create the instance with QingTian Enclave enabled",
                            "virtio-qtbox is not loaded");
}

static bool has_python_module(const struct doctor *d, const char *name) {
        static const char *const libraries[] = { "usr/lib", "usr/lib64", "usr/local/lib", "usr/local/lib64" };
        static const char *const packages[] = { "site-packages", "dist-packages" };

        for (size_t i = 0; i < ELEMENTSOF(libraries); i++) {
                int fd = openat(d->root_fd, libraries[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                _cleanup_(closedirp) DIR *directory = fd < 0 ? NULL : fdopendir(fd);
                const struct dirent *entry;

                while (directory && (entry = readdir(directory)))
                        for (size_t p = 0; p < ELEMENTSOF(packages); p++) {
                                char path[512];

                                (void)snprintf(path, sizeof(path), "%s/%s/%s/%s", libraries[i], entry->d_name,
                                               packages[p], name);
                                if (strncmp(entry->d_name, "python3", strlen("python3")) == 0 &&
                                    doctor_has(d, path))
                                        return true;
                        }
        }
        return false;
}

/* The vendor's tool is a program in Python, and writes a log. */
static void check_qingtian_tool(struct doctor *d) {
        static const char *const modules[] = { "docker", "knack" };

        if (!doctor_has(d, "usr/local/bin/qt") && !doctor_has(d, "usr/bin/qt")) {
                doctor_find(d, VERDICT_WARNING, "qingtian", "yum install qingtian-tool",
                            "the vendor's tool qt is neither in /usr/bin nor in /usr/local/bin");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(modules); i++)
                if (!has_python_module(d, modules[i]))
                        doctor_find(
                                d, VERDICT_WARNING, "qingtian", "pip3 install docker knack",
                                "the vendor's tool qt needs the Python module %s, which no python3 of this "
                                "system has",
                                modules[i]);
        if (geteuid() != 0 && doctor_has(d, QTBOX_LOG) &&
            faccessat(d->root_fd, QTBOX_LOG, W_OK, AT_EACCESS) < 0)
                doctor_find(d, VERDICT_WARNING, "qingtian",
                            "qt-enclave --as qt, or give /var/log/qingtian_enclaves and /var/run/enclave to "
                            "who runs qt",
                            "/" QTBOX_LOG
                            " cannot be written by you: the vendor's qt ran as another user, and "
                            "complains or fails as you");
}

static void check_qingtian_surroundings(struct doctor *d) {
        if (!doctor_has(d, "dev/vsock"))
                doctor_find(d, VERDICT_WRONG, "vsock", "modprobe vmw_vsock_virtio_transport",
                            "there is no /dev/vsock: nothing can talk to an enclave");
        if (!doctor_has(d, QTBOX_ENV))
                doctor_find(d, VERDICT_WARNING, "qingtian", "yum install qingtian-tool",
                            "/" QTBOX_ENV " is not there: nothing is reserved for enclaves");
        else if (!unit_is_active(d, QTBOX_SERVICE))
                doctor_find(d, VERDICT_WARNING, "qingtian", "systemctl enable --now " QTBOX_SERVICE,
                            "the service " QTBOX_SERVICE
                            " has not run: no CPUs and huge pages are reserved for enclaves");
        else
                doctor_find(d, VERDICT_OK, "qingtian", NULL,
                            "the service " QTBOX_SERVICE " has run; `qt-enclave pool show` compares what it "
                            "reserved with its file");
}

static void check_qingtian(struct doctor *d) {
        bool module = doctor_has(d, "sys/module/virtio_qtbox");

        if (module || doctor_has(d, QTBOX_DEVICE) || doctor_has(d, QTBOX_MODULE))
                check_virtual(d, "qingtian", "take an elastic server of a QingTian flavor such as c7t");
        if (doctor_device(d, "qingtian", QTBOX_DEVICE)) {
                d->other_machine = true;
                check_qingtian_tool(d);
                check_qingtian_surroundings(d);
                check_parent_cid(d);
        } else if (module)
                doctor_find(d, VERDICT_WRONG, "qingtian", "create the instance with QingTian Enclave enabled",
                            "virtio-qtbox is loaded but /" QTBOX_DEVICE " is not there");
        else if (doctor_has(d, QTBOX_MODULE))
                explain_qtbox_absent(d);
}

void doctor_check_vendors(struct doctor *d) {
        check_nitro(d);
        check_qingtian(d);
}
