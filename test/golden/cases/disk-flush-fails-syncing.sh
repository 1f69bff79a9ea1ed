# title: flushes while regions are copied, with a leg that fails them
flush_fails leg1f $leg1 65536
act dmsetup create m --table "0 16384 mirror disk 2 $log 1024 2 $leg0 0 $leg1f 0 1 handle_errors"
settle
show m
act dmsetup info -c --noheadings -o name,events m
keep_log created
write_sector /dev/mapper/m 5600
background_state
background dd if=/dev/zero of=/dev/mapper/m bs=4096 count=1 seek=0 oflag=direct conv=fsync status=none
background_state
show m
act dmsetup info -c --noheadings -o name,events m
act dmsetup suspend --noflush --nolockfs m
act dmsetup load m --table "0 16384 mirror disk 2 $log 1024 2 $leg0 0 $leg2 0 1 handle_errors"
act dmsetup resume m
end_background
wait_sync m
settle
show m
keep_log replaced
