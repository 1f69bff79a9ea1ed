#!/bin/bash
# Records what dmsetup prints: run it in a kernel with two disks 254:0 and 254:16 of 16 MiB,
# and keep its output as verbs.txt:
#
#   test/kernel-vm/run --disk d0 --disk d1 -- test/golden-dmsetup/record.sh > verbs.txt
#
# Each command stands behind "$ ", its words quoted for a shell; then standard error and standard
# output as they come (dmsetup writes errors first), then the exit status.
exec 2>&1
r() {
  echo "\$ ${*@Q}${stdin:+ < $stdin}"
  out=$("$@" < "${stdin:-/dev/null}"; echo "rc=$?")
  printf '%s\n' "$out"
}

# Nothing there
r dmsetup ls
for v in status table deps info; do r dmsetup $v; done
r dmsetup info -c
r dmsetup ls --target mirror
for v in status table deps info suspend resume clear remove wait load reload; do
  r dmsetup $v nosuch
done
r dmsetup load nosuch --table '0 8 zero'
r dmsetup message nosuch 0 x
r dmsetup rename nosuch x
for v in create remove suspend resume load clear wait; do r dmsetup $v; done

# Several devices
r dmsetup create a --table '0 8192 linear 254:0 0'
r dmsetup create b -u U1 -r --table '0 4096 linear 254:16 0'
r dmsetup create c --notable
r dmsetup create d --table $'0 8 zero\n8 8 error'
r dmsetup create a --table '0 8192 linear 254:0 0'
r dmsetup create x -u U1 --table '0 4096 linear 254:16 0'
for v in status table deps info 'info -c'; do
  for devices in 'a b' 'a nosuch b' nosuch c d ''; do r dmsetup $v $devices; done
done
r dmsetup ls
r dmsetup ls --target zero
r dmsetup ls -o devno
r dmsetup status --target zero
r dmsetup status --target zero b
r dmsetup table --target mirror
r dmsetup deps -o devno a
r dmsetup info -u U1
r dmsetup table -u U1
r dmsetup status -u nosuch
r dmsetup remove -u nosuch
r dmsetup info -c -o name,uuid
r dmsetup info -c --noheadings -o name,open a
r dmsetup info -c --noheadings --separator , -o name,major,minor,attr,open,segments,events,uuid
r dmsetup info -c -o name,suspended,readonly,devno a
r dmsetup info -c -o +devno a
r dmsetup info -c --noheadings

# Names
r dmsetup rename a b
r dmsetup rename a a
r dmsetup rename a
r dmsetup create q1 /nosuch/table
n=$(printf 'n%.0s' {1..127})
r dmsetup create "$n" --table '0 8 zero'
r dmsetup info -c
r dmsetup remove "$n"

# Life
r dmsetup suspend c
r dmsetup info c
r dmsetup info -c c
r dmsetup resume c
r dmsetup info c
r dmsetup suspend a
r dmsetup suspend a
r dmsetup info -c
r dmsetup table a
r dmsetup status a
r dmsetup load a --table '0 16384 linear 254:0 0'
r dmsetup info a
r dmsetup info -c a
r dmsetup table --inactive a
r dmsetup table --inactive b
r dmsetup table --inactive
r dmsetup status --inactive a
r dmsetup deps --inactive a
r dmsetup table a
r dmsetup resume a
r dmsetup resume a
r dmsetup table a
r dmsetup clear a
r dmsetup load a --table '0 8 zero'
r dmsetup clear a
r dmsetup info -c a
r dmsetup load a -r --table '0 8192 linear 254:0 0'
r dmsetup info -c a
r dmsetup resume a
r dmsetup info -c a
r dmsetup load a --table '0 8192 linear 254:0 0'
r dmsetup resume a
r dmsetup info -c a
r dmsetup load c --table '0 8 zero'
r dmsetup info c
r dmsetup resume c
r dmsetup info c
r dmsetup suspend --noflush --nolockfs a
r dmsetup suspend --noflush a
r dmsetup resume --noflush --nolockfs a
r dmsetup rename a a2
r dmsetup info a2
r dmsetup rename a2 --setuuid U2
r dmsetup info a2
r dmsetup rename a2 --setuuid U3
r dmsetup rename b --setuuid U2
r dmsetup wait a2 5
r dmsetup wait a2 0

# Messages
r dmsetup message a2 0
r dmsetup message a2 0 hello
r dmsetup message a2 x y
r dmsetup message a2 8192 x
r dmsetup create e --notable
r dmsetup message e 0 x
r dmsetup remove e

# Tables from elsewhere
echo '0 8 zero' > /tmp/table
r dmsetup create f1 /tmp/table
stdin=/tmp/table r dmsetup create f2
stdin=/tmp/table r dmsetup load f2
r dmsetup create f3 --table $'# comment\n\n0 8 zero'
r dmsetup table
r dmsetup remove f1 f2 nosuch f3
r dmsetup remove f3
r dmsetup ls

# Stacks
r dmsetup create s1 --table '0 4096 linear /dev/mapper/a2 0'
r dmsetup info -c a2
r dmsetup deps s1
r dmsetup remove a2
r dmsetup table a2
r dmsetup remove --force a2
r dmsetup table a2
r dmsetup deps s1 a2
r dmsetup remove s1 a2
r dmsetup suspend b
r dmsetup remove b
r dmsetup ls

# Tables that are refused
for table in '0 4096 linear /dev/nosuch 0' '0 8 nosuchtarget' $'0 8 zero\n16 8 zero' '8 8 zero' \
  '0 8 zero 1' '0 8192 linear 254:0' '0 8192 linear 254:0 x' '0 8192 linear 254:0 32768' '0 0 zero' \
  '0 64 mirror core 1 16 1 254:0 0' '0 64 mirror core 1 15 2 254:0 0 254:16 0' \
  '0 64 mirror nolog 1 16 2 254:0 0 254:16 0' '0 64 mirror core 1 16 2 254:0 0'; do
  r dmsetup create bad --table "$table"
done
r dmsetup ls

# Mirrors
r dmsetup create m --table '0 64 mirror core 1 16 2 254:0 0 254:16 0 1 handle_errors'
r dmsetup wait m 0
r dmsetup status m
r dmsetup table m
r dmsetup deps m
r dmsetup info -c
r dmsetup message m 0 hi
r dmsetup ls --target mirror
r dmsetup status --target mirror
r dmsetup status m d
r dmsetup create m2 --table '0 64 mirror disk 3 254:16 16 nosync 2 254:0 64 254:0 128'
r dmsetup status m2
r dmsetup table m2
r dmsetup deps m2
r dmsetup info m2
r dmsetup suspend m2
r dmsetup remove m2 m d c
r dmsetup ls
