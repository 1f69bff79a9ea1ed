# title: power cut in the middle of copying, then a longer table, then another power cut
case $phase in
  1)
    held_after leg1h $leg1 5120
    act dmsetup create m --table "0 10240 mirror disk 2 $log 1024 3 $leg0 0 $leg1h 0 $leg2 0 1 handle_errors"
    settle
    show m
    next_phase
    ;;
  2)
    keep_log first
    over leg1m $leg1
    hold leg1m
    act dmsetup create m --table "0 20480 mirror disk 2 $log 1024 3 $leg0 0 $leg1m 0 $leg2 0 1 handle_errors"
    settle 1
    show m
    keep_log extended
    write_sector /dev/mapper/m 0
    background_state
    keep_log written
    next_phase
    ;;
  3)
    keep_log second
    act dmsetup create m --table "0 4096 mirror disk 2 $log 1024 2 $leg0 0 $leg1 0"
    wait_sync m
    settle
    show m
    keep_log shrunk
    ;;
esac
