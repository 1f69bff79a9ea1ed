# title: what dmsetup says of things that are not there, or not so
act dmsetup table nothing
act dmsetup status nothing
act dmsetup suspend nothing
act dmsetup resume nothing
act dmsetup remove nothing
act dmsetup clear nothing
act dmsetup load nothing --table "0 8 linear $leg0 0"
act dmsetup info -c --noheadings -o name,events nothing
act dmsetup message nothing 0 hello
act dmsetup create m --table "0 16384 mirror core 2 1024 nosync 2 $leg0 0 $leg1 0"
act dmsetup create m --table "0 16384 mirror core 2 1024 nosync 2 $leg0 0 $leg1 0"
act dmsetup load m --table "0 16384 mirror core 2 1024 maybe 2 $leg0 0 $leg1 0"
show m
act dmsetup clear m
act dmsetup suspend m
act dmsetup suspend m
act dmsetup load m --table "0 8192 mirror core 2 1024 nosync 2 $leg0 0 $leg1 0"
show m
act dmsetup clear m
act dmsetup resume m
act dmsetup resume m
show m
act dmsetup message m 99999 hello
act dmsetup create over --table "0 16384 linear $(device_number m) 0"
act dmsetup remove m
act dmsetup remove over
act dmsetup remove m
act dmsetup create l --table "0 16384 linear $leg0"
act dmsetup create l --table "0 16384 linear $leg0 x"
act dmsetup create l --table "0 16384 linear $leg0 60000"
act dmsetup create l --table "0 16384 linear 9:99 0"
act dmsetup create l --table "0 16384 error"
act dmsetup create m --table "0 16384 mirror core 2 1024 nosync 2 253:0 0 253:0 8192"
act dmsetup info -c --noheadings -o name,events l
