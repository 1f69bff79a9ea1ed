# title: a leg that is itself a mirror, and a log on a mirror
over leg1m $leg1
act dmsetup create low --table "0 16384 mirror core 2 1024 nosync 2 $leg0 0 $leg1m 0 1 handle_errors"
act dmsetup create loglow --table "0 1024 mirror core 2 512 nosync 2 $log 0 $log 1024"
act dmsetup create m --table "0 16384 mirror disk 2 253:2 1024 2 253:1 0 $leg2 0 1 handle_errors"
wait_sync m
settle
show m
keep_log synced
retable leg1m "0 65536 error"
write_sector /dev/mapper/m 5600
background_state
show m
show low
retable leg1m "0 65536 linear $leg1 0"
act dmsetup suspend --noflush --nolockfs low
act dmsetup load low --table "0 16384 linear $leg0 0"
act dmsetup resume low
end_background
settle
show m
keep_log after
act dmsetup info -c --noheadings -o name,events m
act dmsetup info -c --noheadings -o name,events low
act dmsetup remove low
act dmsetup remove m
act dmsetup remove low
