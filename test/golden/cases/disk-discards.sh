# title: discards: across regions, in a region out of sync, with a leg that fails
fill /dev/vda A 0 2048
held_after leg1h $leg1 5120
act dmsetup create m --table "0 16384 mirror disk 2 $log 1024 2 $leg0 0 $leg1h 0 1 handle_errors"
settle
show m
act blkdiscard -o 4096 -l 1048576 /dev/mapper/m
letters /dev/vda 7 8 1024 2047
letters /dev/vdb 7 8 1024 2047
keep_log discarded
show m
release_rest leg1h $leg1 5120
wait_sync m
settle
keep_log synced
retable leg1h "0 65536 error"
act blkdiscard -o 4096 -l 8192 /dev/mapper/m
settle 1
show m
act dmsetup info -c --noheadings -o name,events m
keep_log failed
