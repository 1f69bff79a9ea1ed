# title: a table of several targets, two of them mirrors
act dmsetup create m --table "0 4096 mirror core 2 1024 nosync 2 $leg0 0 $leg1 0
4096 4096 linear $spare 0
8192 8192 mirror core 1 1024 2 $leg0 8192 $leg1 8192 1 handle_errors"
wait_sync m
settle 1
show m
fill /dev/mapper/m C 4092 8
letters /dev/vda 4092 4095
letters /dev/vdb 4095
letters /dev/vdd 0 3
letters /dev/mapper/m 4091 4092 4099 4100
act dmsetup info -c --noheadings -o name,events m
act dmsetup suspend m
act dmsetup load m --table "0 4096 mirror core 2 1024 nosync 2 $leg0 0 $leg1 0
4096 4096 error"
act dmsetup resume m
show m
act dd if=/dev/mapper/m of=/dev/null bs=4096 count=1 skip=512 iflag=direct status=none
act dd if=/dev/zero of=/dev/mapper/m bs=8192 count=1 seek=2093056 oflag=direct,seek_bytes status=none
act dd if=/dev/mapper/m of=/dev/null bs=4096 count=1 skip=1024 iflag=direct status=none
act dd if=/dev/zero of=/dev/mapper/m bs=4096 count=1 seek=1024 oflag=direct status=none
