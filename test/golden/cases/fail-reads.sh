# title: reads with bad legs: without handle_errors, out of sync, and of both legs
over leg0m $leg0
over leg1m $leg1
fill /dev/vdb B 0 64
act dmsetup create m --table "0 16384 mirror core 2 1024 nosync 2 $leg0m 0 $leg1m 0"
retable leg0m "0 65536 error"
letters /dev/mapper/m 0 8
show m
act dmsetup info -c --noheadings -o name,events m
retable leg1m "0 65536 error"
act dd if=/dev/mapper/m of=/dev/null bs=4096 count=1 iflag=direct status=none
show m
act dmsetup info -c --noheadings -o name,events m
act dmsetup remove m
retable leg0m "0 65536 linear $leg0 0"
retable leg1m "0 65536 linear $leg1 0"
hold leg1m
act dmsetup create m --table "0 16384 mirror core 1 1024 2 $leg0m 0 $leg1m 0 1 handle_errors"
settle 1
retable leg0m "0 65536 error"
act dd if=/dev/mapper/m of=/dev/null bs=4096 count=1 iflag=direct status=none
write_sector /dev/mapper/m 10240
background_state
show m
act dmsetup info -c --noheadings -o name,events m
release leg1m
settle 1
show m
act dmsetup info -c --noheadings -o name,events m
act dmsetup suspend m
end_background
show m
