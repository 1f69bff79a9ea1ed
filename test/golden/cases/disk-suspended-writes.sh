# title: writes to a suspended mirror, with and without noflush, and a table that is replaced meanwhile
over leg1m $leg1
act dmsetup create m --table "0 16384 mirror disk 3 $log 1024 nosync 2 $leg0 0 $leg1m 0 1 handle_errors"
act dmsetup suspend m
write_sector /dev/mapper/m 5600
background_state
keep_log suspended
show m
act dmsetup resume m
end_background
keep_log resumed
hold leg1m
write_sector /dev/mapper/m 5600
background_state
release leg1m
end_background
act dmsetup suspend --noflush --nolockfs m
write_sector /dev/mapper/m 16376
act dmsetup load m --table "0 8192 mirror disk 3 $log 1024 nosync 2 $leg0 0 $leg1m 0 1 handle_errors"
act dmsetup resume m
end_background
show m
keep_log shorter
act dmsetup info -c --noheadings -o name,events m
