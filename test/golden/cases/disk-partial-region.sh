# title: a length that is no multiple of the region: the last region is short
fill /dev/vda A 0 16
fill /dev/vda B 9992 8
act dmsetup create m --table "0 10000 mirror disk 2 $log 1024 2 $leg0 0 $leg1 8 1 handle_errors"
wait_sync m
settle
show m
keep_log synced
letters /dev/vdb 8 10007
letters /dev/vdb 10008
act dd if=/dev/zero of=/dev/mapper/m bs=4096 count=1 seek=1249 oflag=direct status=none
settle 2
keep_log written
act dmsetup suspend m
act dmsetup load m --table "0 20480 mirror disk 2 $log 1024 2 $leg0 0 $leg1 8 1 handle_errors"
act dmsetup resume m
wait_sync m
settle
show m
keep_log extended
act dmsetup suspend m
act dmsetup load m --table "0 20480 mirror disk 2 $log 2048 2 $leg0 0 $leg1 8 1 handle_errors"
act dmsetup resume m
wait_sync m
settle
show m
keep_log larger-regions
act dmsetup info -c --noheadings -o name,events m
