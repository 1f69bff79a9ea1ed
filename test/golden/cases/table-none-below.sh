# title: a table over a device that has none
act dmsetup create low --notable
note 'no table was ever loaded'
attempt "0 8 linear 253:0 0"
attempt "0 8 mirror core 2 2 nosync 2 253:0 0 $leg1 0"
attempt "0 8 mirror core 2 2 nosync 2 $leg1 0 253:0 0"
note 'loaded, not live'
act dmsetup load low --table "0 64 linear $leg0 0"
act dmsetup create top --table "0 8 linear 253:0 0"
act dd if=/dev/mapper/top of=/dev/null bs=4096 count=1 iflag=direct status=none
act dd if=/dev/zero of=/dev/mapper/top bs=4096 count=1 oflag=direct status=none
note 'cleared'
act dmsetup clear low
act dd if=/dev/mapper/top of=/dev/null bs=4096 count=1 iflag=direct status=none
act dmsetup create top2 --table "0 8 linear 253:0 0"
note 'suspended'
act dmsetup suspend low
act dd if=/dev/mapper/top of=/dev/null bs=4096 count=1 iflag=direct status=none
note 'live'
act dmsetup load low --table "0 64 linear $leg0 0"
act dmsetup resume low
act dd if=/dev/zero of=/dev/mapper/top bs=4096 count=1 oflag=direct status=none
act dd if=/dev/mapper/top of=/dev/null bs=4096 count=1 iflag=direct status=none
