# title: keep_log with a disk log: the first leg fails, then works again under a new table
over leg0m $leg0
act dmsetup create m --table "0 16384 mirror disk 2 $log 1024 2 $leg0m 0 $leg1 0 2 handle_errors keep_log"
wait_sync m
settle
keep_log synced
retable leg0m "0 65536 error"
act dd if=/dev/zero of=/dev/mapper/m bs=4096 count=1 seek=700 oflag=direct status=none
settle
show m
keep_log failed
act dd if=/dev/zero of=/dev/mapper/m bs=4096 count=1 seek=701 oflag=direct conv=fsync status=none
act dd if=/dev/zero of=/dev/mapper/m bs=4096 count=1 seek=0 oflag=direct conv=fsync status=none
settle
show m
keep_log more
retable leg0m "0 65536 linear $leg0 0"
act dmsetup suspend m
act dmsetup resume m
settle 1
show m
act dmsetup info -c --noheadings -o name,events m
keep_log resumed
act dmsetup load m --table "0 16384 mirror disk 2 $log 1024 2 $leg1 0 $leg0m 0 2 handle_errors keep_log"
act dmsetup suspend --noflush --nolockfs m
act dmsetup resume m
wait_sync m
settle
show m
keep_log reloaded
