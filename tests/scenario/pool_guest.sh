#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The first process of the machine of pool_vm.py: takes CPUs and gives them back, and says what it sees, part by part.

/bin/busybox --install -s /bin
export PATH=/bin QT_ENCLAVE_SOCKET=/run/qt-enclave/qt-enclaved.sock
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup /sys/fs/cgroup
GROUP=/sys/fs/cgroup/qt-enclave
CLI=/qt/cli/qt-enclave

part() {
        printf '\n@@ %s\n' "$1"
}

# start_daemon MONITOR LINE...
start_daemon() {
        monitor=$1
        shift
        printf '%s\n' mode:dedicated boot_timeout:3600 "$@" >/tmp/conf
        /qt/daemon/qt-enclaved --monitor "$monitor" --config /tmp/conf 2>>/tmp/log &
        daemon=$!
        until $CLI pool show >/dev/null 2>&1; do
                kill -0 $daemon 2>/dev/null || { cat /tmp/log; return; }
                sleep 0.1
        done
}

stop_daemon() {
        kill "-$1" $daemon
        wait $daemon 2>/dev/null
}

# until_gone PATH: a moment for what must go away
until_gone() {
        for _ in $(seq 100); do
                [ -e "$1" ] || { echo gone; return; }
                sleep 0.1
        done
        cat "$1/cgroup.procs"
}

one_line() {
        paste -s -d ' ' -
}

run() {
        $CLI run --eif /tmp/image --name "$1" --memory 128 >/dev/null 2>&1
}

where() {
        pid=$(head -n 1 "$GROUP/$1/cgroup.procs")
        cat "/proc/$pid/cgroup"
        sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$pid/status"
}

echo x >/tmp/image
STANDIN=/qt/tests/programs/monitor_standin

part before
taskset -c 6 sh -c 'while :; do :; done' &
hog=$!
sleep 0.5
cut -d ' ' -f 39 /proc/$hog/stat

start_daemon $STANDIN hugepage_size:2 memory_mib:512 cpu_count:4
part pool
$CLI pool show -o json
part partition
cat $GROUP/cpuset.cpus $GROUP/cpuset.cpus.partition /sys/fs/cgroup/cpuset.cpus.effective
part evicted
sleep 0.5
cut -d ' ' -f 39 /proc/$hog/stat
part steal
taskset -c 6 true 2>&1
part inside
run a
where a
part policy
sed -n '1s/^[0-9a-f]* \([a-z]*\)[a-z =]*:\([0-9]*\).*/\1:\2/p' "/proc/$(head -n 1 $GROUP/a/cgroup.procs)/numa_maps"

part killed
stop_daemon KILL
cat $GROUP/cpuset.cpus $GROUP/cpuset.cpus.partition | one_line
start_daemon $STANDIN hugepage_size:2
part again
cat $GROUP/cpuset.cpus $GROUP/cpuset.cpus.partition | one_line
part again-a
where a | one_line

part shrunk
$CLI pool set --cpus 2 >/dev/null
cat $GROUP/cpuset.cpus
part in-use
$CLI pool set --cpu-list 6-7 2>&1
part too-much
$CLI pool set --cpus 4 --memory 3G 2>&1
part rolled-back
cat $GROUP/cpuset.cpus
part grown
$CLI pool set --cpu-list 2-7 >/dev/null
cat $GROUP/cpuset.cpus

part monitor-killed
kill -9 "$(head -n 1 $GROUP/a/cgroup.procs)"
until_gone $GROUP/a
part both-killed
run b
pid=$(head -n 1 $GROUP/b/cgroup.procs)
stop_daemon KILL
kill -9 "$pid"
start_daemon $STANDIN hugepage_size:2 cpu_count:4
until_gone $GROUP/b
part stopped-with
run c
stop_daemon TERM
{ cat $GROUP/cpuset.cpus /sys/fs/cgroup/cpuset.cpus.effective; } | one_line
start_daemon $STANDIN hugepage_size:2 cpu_count:4
$CLI terminate c >/dev/null
until_gone $GROUP/c >/dev/null
part stopped
stop_daemon TERM
{ until_gone $GROUP; cat /sys/fs/cgroup/cpuset.cpus.effective; } | one_line

kill $hog
start_daemon $STANDIN hugepage_size:2 cpu_count:4
part offline
echo 0 >/sys/devices/system/cpu/cpu3/online
$CLI pool set --cpu-list 2-3 2>&1
echo 1 >/sys/devices/system/cpu/cpu3/online
$CLI pool set --memory 0 --cpus 0 >/dev/null
stop_daemon TERM

# Of 1 GiB: the one that the kernel reserved at boot
rm -r /run/qt-enclave
PAGES=/sys/devices/system/node/node1/hugepages/hugepages-1048576kB
gigantic() {
        $CLI pool show -o json | sed -n 's/.*"MemoryMiB": *\([0-9]*\).*/\1/p' | head -n 1
        cat $PAGES/nr_hugepages
}
part gigantic-others
start_daemon $STANDIN hugepage_size:1024 cpu_count:2
gigantic | one_line
stop_daemon TERM
rm -r /run/qt-enclave
part gigantic-ours
start_daemon $STANDIN hugepage_size:1024 cpu_count:2 memory_mib:1024 boot_pages:pool
gigantic | one_line
part gigantic-run
$CLI run --eif /tmp/image --name g --memory 1024 >/dev/null 2>&1
$CLI pool set --memory 0 2>&1
$CLI terminate g >/dev/null
part gigantic-back
$CLI pool set --memory 0 >/dev/null
gigantic | one_line
part gigantic-live
{ $CLI pool set --memory 1G >/dev/null; } 2>&1
gigantic | one_line
part gigantic-too-much
$CLI pool set --memory 3G 2>&1
gigantic | one_line
$CLI pool set --memory 0 --cpus 0 >/dev/null
stop_daemon TERM

mount -t tmpfs tmpfs /sys/fs/cgroup
: >/tmp/log
start_daemon $STANDIN hugepage_size:2 cpu_count:2
part v1
$CLI pool show 2>&1
part v1-log
cat /tmp/log
part doctor
$CLI doctor 2>&1 | grep cpuset
stop_daemon TERM
part end
poweroff -f
