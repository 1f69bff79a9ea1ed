# title: a log that fails for a while, a new table over it, and a write that waits for it
over logm $log 2048
act dmsetup create m --table "0 16384 mirror disk 2 $logm 1024 2 $leg0 0 $leg1 0 1 handle_errors"
wait_sync m
settle
retable logm "0 2048 error"
write_sector /dev/mapper/m 5600
background_state
show m
act dmsetup info -c --noheadings -o name,events m
retable logm "0 2048 linear $log 0"
act dmsetup suspend --noflush --nolockfs m
background_state
act dmsetup load m --table "0 16384 mirror disk 2 $logm 1024 2 $leg0 0 $leg1 0 1 handle_errors"
act dmsetup resume m
end_background
settle
show m
act dmsetup info -c --noheadings -o name,events m
keep_log again
