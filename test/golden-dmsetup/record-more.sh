#!/bin/bash
# As record.sh, for what stands beside the everyday verbs; its output is kept as more.txt:
#
#   test/kernel-vm/run --disk d0 --disk d1 -- test/golden-dmsetup/record-more.sh > more.txt
exec 2>&1
export TERM=dumb
r() {
  echo "\$ ${*@Q}${stdin:+ < $stdin}"
  out=$(timeout 20 "$@" < "${stdin:-/dev/null}" | head -c 20000; echo "rc=${PIPESTATUS[0]}")
  printf '%s\n' "$out"
}

# Nothing there
r dmsetup ls --tree
r dmsetup measure
r dmsetup measure nosuch
r dmsetup wipe_table
r dmsetup wipe_table nosuch
r dmsetup -y remove_all
r dmsetup target-version linear
r dmsetup target-version nosuchtarget
r dmsetup target-version linear zero nosuchtarget error

# Stacks, as trees
r dmsetup create l0 --table '0 4096 striped 2 16 254:0 0 254:16 0'
r dmsetup create l1 --table '0 4096 striped 2 16 254:0 4096 254:16 4096'
r dmsetup create l2 -u LOG-uuid --table '0 64 striped 2 16 254:0 16384 254:16 16384'
r dmsetup create m --table '0 4096 mirror disk 2 /dev/mapper/l2 1024 2 /dev/mapper/l0 0 /dev/mapper/l1 0 1 handle_errors'
r dmsetup wait m 0
r dmsetup create top -r --table '0 1024 linear /dev/mapper/m 0'
r dmsetup create other --table $'0 8 zero\n8 8 error'
r dmsetup create none --notable
r dmsetup suspend other
r dmsetup ls --tree
for o in compact inverted 'compact,inverted' ascii utf vt100 notrunc nodevice device blkdevname active open rw uuid \
  'ascii,active,open,rw,uuid' 'nodevice,active,open,rw,uuid' 'blkdevname,ascii' 'blkdevname,nodevice' 'compact,utf'; do
  r dmsetup ls --tree -o "$o"
done
r dmsetup ls --tree --target mirror
r dmsetup resume other

# What the kernel would have measured
r dmsetup measure
r dmsetup measure m
r dmsetup measure l0 other none
r dmsetup create k --table '0 4096 mirror core 2 1024 nosync 3 254:0 8192 254:16 8192 254:0 16384 2 handle_errors keep_log'
r dmsetup create s --table '0 4096 striped 2 16 254:0 20480 254:16 20480'
r dmsetup create f --table '0 4096 flakey 254:0 8192 1 2'
r dmsetup create f1 --table '0 4096 flakey 254:0 8192 1 2 1 drop_writes'
r dmsetup create f5 --table '0 4096 flakey 254:0 8192 1 2 5 corrupt_bio_byte 32 r 1 0'
r dmsetup create y --table '0 4096 delay 254:0 8192 1'
r dmsetup create y2 --table '0 4096 delay 254:0 8192 0 254:16 8192 2'
r dmsetup measure k s f f1 f5 y y2
r dmsetup suspend k
r dmsetup measure k
r dmsetup resume k
r dmsetup remove k s f f1 f5 y y2

# Columns in another order
r dmsetup info -c -O name
r dmsetup info -c -O -name
r dmsetup info -c -O minor
r dmsetup info -c --sort -minor
r dmsetup info -c -o name,minor -O -open,name
r dmsetup info -C
r dmsetup info -c --nameprefixes --noheadings l0

# One line for each device
r dmsetup table --concise
r dmsetup table --concise m
r dmsetup table --concise m other
r dmsetup create --concise 'x1,,,,0 8 zero;x2,U-x2,,ro,0 8 error,8 8 zero'
r dmsetup table x1 x2
r dmsetup info -c x1 x2
r dmsetup create --concise 'x3,,,,0 8 nosuchtarget'
r dmsetup create --concise 'x1,,,,0 8 zero'
r dmsetup create --concise ''
r dmsetup create --concise 'x4'
r dmsetup create --concise 'x4,,,xx,0 8 zero'
stdin=/tmp/concise
echo 'x5,,,,0 8 zero' > $stdin
r dmsetup create --concise
stdin=
r dmsetup remove x1 x2 x5

# A table of errors
r dmsetup wipe_table l0
r dmsetup table l0
r dmsetup wipe_table l1 nosuch other
r dmsetup table
r dmsetup wipe_table --noflush --nolockfs none
r dmsetup table none
r dmsetup info -c none
r dmsetup suspend other
r dmsetup wipe_table other
r dmsetup info -c other

# Options that speak of udev
r dmsetup --noudevsync create z1 --table '0 8 zero'
r dmsetup create z2 --noudevsync --noudevrules --table '0 8 zero'
r dmsetup create z3 --verifyudev --addnodeoncreate --table '0 8 zero'
r dmsetup create z4 --readahead none --table '0 8 zero'
r dmsetup create z5 -U 0 -G 0 -M 0600 --table '0 8 zero'
r dmsetup remove --retry z1
r dmsetup remove --noudevsync z2
r dmsetup suspend --noudevsync z3
r dmsetup -y remove z3
r dmsetup table --showkeys z4
r dmsetup info -c --noopencount z4
r dmsetup create z6 -j 253 -m 77 --table '0 8 zero'
r dmsetup info -c -j 253 -m 77
r dmsetup create z7 -j 253 -m 77 --table '0 8 zero'
r dmsetup remove -j 253 -m 77
r dmsetup remove -j 253 -m 78

# All of them
r dmsetup -y remove_all
r dmsetup ls
r dmsetup create z --table '0 8 zero'
r dmsetup create zz --table '0 8 linear /dev/mapper/z 0'
r dmsetup remove_all --force
r dmsetup ls
