# title: three legs with handle_errors: one fails after the other
over leg0m $leg0
over leg1m $leg1
act dmsetup create m --table "0 16384 mirror core 2 1024 nosync 3 $leg0m 0 $leg1m 0 $leg2 0 1 handle_errors"
retable leg1m "0 65536 error"
write_sector /dev/mapper/m 5600
background_state
show m
act dmsetup suspend --noflush --nolockfs m
act dmsetup load m --table "0 16384 mirror core 1 1024 2 $leg0m 0 $leg2 0 1 handle_errors"
act dmsetup resume m
end_background
wait_sync m
show m
retable leg0m "0 65536 error"
act dd if=/dev/mapper/m of=/dev/null bs=4096 count=1 iflag=direct status=none
show m
write_sector /dev/mapper/m 9000
background_state
show m
act dmsetup info -c --noheadings -o name,events m
act dmsetup suspend m
end_background
act dmsetup resume m
settle 1
show m
act dmsetup info -c --noheadings -o name,events m
act dmsetup remove m
