#!/bin/bash
# As record.sh, for reports in other forms, selection, commands run for each device, and deferred
# removal; its output, without the lists of all fields and operators, is kept as reports.txt:
#
#   test/kernel-vm/run --disk d0 --disk d1 -- test/golden-dmsetup/record-reports.sh |
#     awk '/^(Mapped Device Name Fields|Selection operands)$/ { list = 1 }
#       /^(Unrecognised|Operator|rc=)/ { list = 0 }
#       !list' > reports.txt
exec 2>&1
export TERM=dumb
r() {
  echo "\$ ${*@Q}"
  out=$(timeout 20 "$@" < /dev/null | head -c 20000; echo "rc=${PIPESTATUS[0]}")
  printf '%s\n' "$out"
}

r dmsetup splitname vg0-lv0
r dmsetup splitname vg0-lv0_mimage_0 LVM
r dmsetup splitname my--vg-my--lv-real
r dmsetup splitname my--vg-my--lv-real LVM
r dmsetup splitname plain
r dmsetup splitname vg-lv NOSUCH
r dmsetup splitname -c --noheadings vg0-lv0-cow
r dmsetup splitname --noheadings vg0-lv0-cow
r dmsetup splitname -o lv_name,vg_name vg0-lv0-cow
r dmsetup splitname --nameprefixes --noheadings vg0-lv0-cow
r dmsetup splitname --nameprefixes --unquoted --noheadings vg0-lv0-cow
r dmsetup splitname --rows vg0-lv0-cow
r dmsetup splitname --separator / vg0-lv0-cow

# Nothing there
r dmsetup info -c -S 'name=x'
r dmsetup ls --exec echo
r dmsetup remove --deferred nosuch

r dmsetup create l0 --table '0 4096 linear 254:0 0'
r dmsetup create l1 --table '0 4096 linear 254:16 0'
r dmsetup create m -u LVM-abc --table '0 4096 mirror core 2 1024 nosync 2 /dev/mapper/l0 0 /dev/mapper/l1 0 1 handle_errors'
r dmsetup create vg0-lv0 -u LVM-def -r --table $'0 8 zero\n8 8 error'
r dmsetup create none --notable
r dmsetup suspend vg0-lv0

# Commands for each device
r dmsetup ls --exec echo
r dmsetup ls --exec 'echo device is'
r dmsetup ls --target zero --exec 'echo device is'
r dmsetup ls --target mirror
r dmsetup ls --exec false
r dmsetup ls --exec /nosuch/command
r dmsetup status --exec 'echo S'
r dmsetup table --exec 'echo T'
r dmsetup status --target mirror --exec 'echo S'
r dmsetup table --exec 'echo T' m

# Columns
r dmsetup info -c -o name,mangled_name,unmangled_name,mangled_uuid,unmangled_uuid,read_ahead
r dmsetup info -c -o name,device_count,devs_used,devnos_used
r dmsetup info -c -o name,blkdevs_used m
r dmsetup info -c -o name,device_ref_count,names_using_dev,devnos_using_dev
r dmsetup info -c -o name,subsystem,vg_name,lv_name,lv_layer
r dmsetup info -c -o subsystem,name m
r dmsetup info -c -o Name,UUID
r dmsetup info -c -o name,attr,suspended,readonly,tables_loaded
r dmsetup info -c -o name_all
r dmsetup info -c -o splitname
r dmsetup info -c -o name,bad
r dmsetup info -c -o name -o uuid
r dmsetup info -c -o +devno
r dmsetup info -c -o all-uuid,name
r dmsetup info -c -o -uuid
r dmsetup info -c -o ''
r dmsetup info -c --noheadings -o name,devno
r dmsetup info -c --noheadings --separator ' ' -o name,open
r dmsetup info -c --separator '|' -o name,open
r dmsetup info -c --separator '|' --unbuffered -o name,open
r dmsetup info -c --unbuffered -o name,open,uuid
r dmsetup info -c --rows -o name,open,uuid
r dmsetup info -c --rows --noheadings -o name,open,uuid
r dmsetup info -c --rows --nameprefixes --noheadings -o name,open,uuid
r dmsetup info -c --nameprefixes -o name,open,uuid
r dmsetup info -c --nameprefixes --unquoted --noheadings -o name,open,uuid,attr
r dmsetup info -c --nameprefixes --noheadings --separator ' ' -o name,open,uuid
r dmsetup info -c --noheadings -O -name -o name
r dmsetup info -c --sort open,-name -o name,open
r dmsetup info -c --sort uuid -o name
r dmsetup info --noheadings m
r dmsetup info -c --count 1 -o name

# Selection
r dmsetup info -c -S 'name=m' -o name
r dmsetup info -c -S 'name!=m' -o name
r dmsetup info -c -S 'name=~^l' -o name
r dmsetup info -c -S 'name!~^l' -o name
r dmsetup info -c -S 'open>0' -o name,open
r dmsetup info -c -S 'open>=1' -o name,open
r dmsetup info -c -S 'open=0 && segments>0' -o name
r dmsetup info -c -S 'open=0, segments>0' -o name
r dmsetup info -c -S 'name=m || name=l0' -o name
r dmsetup info -c -S 'name=m # name=l0' -o name
r dmsetup info -c -S '(name=m || name=l0) && open>0' -o name
r dmsetup info -c -S '!(name=m || name=l0)' -o name
r dmsetup info -c -S '!name=m' -o name
r dmsetup info -c -S 'name="m"' -o name
r dmsetup info -c -S "name='m'" -o name
r dmsetup info -c -S 'name = m' -o name
r dmsetup info -c -S 'suspended=Suspended' -o name
r dmsetup info -c -S 'suspended=1' -o name
r dmsetup info -c -S 'suspended=suspended' -o name
r dmsetup info -c -S 'readonly=Read-only' -o name
r dmsetup info -c -S 'tables_loaded=Live' -o name
r dmsetup info -c -S 'tables_loaded=None' -o name
r dmsetup info -c -S 'uuid=~^LVM-' -o name,uuid
r dmsetup info -c -S 'uuid=""' -o name
r dmsetup info -c -S 'minor>1 && minor<=3' -o name,minor
r dmsetup info -c -S 'devno=253:0' -o name
r dmsetup info -c -S 'events!=0' -o name,events
r dmsetup info -c -S 'attr=L--w' -o name
r dmsetup info -c -S 'lv_name=lv0' -o name
r dmsetup info -c -S 'device_count=2' -o name
r dmsetup info -c -S 'devs_used={l0,l1}' -o name
r dmsetup info -c -S 'names_using_dev=m' -o name
r dmsetup info -c -S 'blkdevs_used=[dm-0]' -o name
r dmsetup info -c -S 'name=nosuch' -o name
r dmsetup info -c -S 'name' -o name
r dmsetup info -c -S 'bad=1' -o name
r dmsetup info -c -S 'open>x' -o name
r dmsetup info -c -S 'open=~1' -o name
r dmsetup info -c -S 'name>m' -o name
r dmsetup info -c -S '(name=m' -o name
r dmsetup info -c -S 'name=m)' -o name
r dmsetup info -c -S 'name=m &&' -o name
r dmsetup info -c -S 'name=~(' -o name
r dmsetup info -c -S 'name=~^l.*|^m' -o name
r dmsetup info -c -S "name=~'^(l0|m)\$'" -o name
r dmsetup info -c -S 'name=~"^(l0|m)$"' -o name
r dmsetup info -c -S 'name=~/^l/' -o name
r dmsetup info -c -S 'name=~[lm]' -o name
r dmsetup info -c -S 'name=~l0|m' -o name
r dmsetup info -c -S 'name=~.g' -o name
r dmsetup info -c -S 'name=~0$' -o name
r dmsetup info -c -S 'name=~(l0)' -o name
r dmsetup info -c -S 'name=l0&&open>0' -o name
r dmsetup info -c -S 'name=l0#name=m' -o name
r dmsetup info -c -S 'name=l0||name=m' -o name
r dmsetup info -c -S 'name=l0,open>0' -o name
r dmsetup info -c -S 'name = "l0" || (minor >= 2 && !(name = none))' -o name
r dmsetup info -c -S 'name==m' -o name
r dmsetup info -c -S 'name="m' -o name
r dmsetup info -c -S 'name="vg0-lv0"&&readonly="Read-only"' -o name
r dmsetup info -c -S 'open>=-1' -o name
r dmsetup info -c -S 'open=1.5' -o name
r dmsetup info -c -S 'open=99999999999999999999999' -o name
r dmsetup info -c -S 'NAME=m' -o name
r dmsetup info -c -S 'name=M' -o name
r dmsetup info -c -S 'read_ahead=256' -o name
r dmsetup info -c -S '((name=m))' -o name
r dmsetup info -c -S '  name=m  ' -o name
r dmsetup info -c -S 'name!=' -o name
r dmsetup info -c -S 'name=' -o name
r dmsetup info -c -S '=m' -o name
r dmsetup info -c -S 'name=m name=l0' -o name
r dmsetup info -c -S '' -o name
r dmsetup info -c -S 'all' -o name
r dmsetup info -c -S 'name=m' -o name m l0
r dmsetup info -c -S 'name=m' -o name m
r dmsetup info -S 'name=m'
r dmsetup info -S 'name=~^l'
r dmsetup ls -S 'name=m'
r dmsetup ls -S 'open>0'
r dmsetup ls --tree -S 'name=m'
r dmsetup status -S 'name=m'
r dmsetup table -S 'name=~^l'
r dmsetup table -S 'bad=1'
r dmsetup table -S 'name=m' l0
r dmsetup deps -S 'name=~^[ml]'
r dmsetup measure -S 'name=m'
r dmsetup suspend -S 'name=~^l'
r dmsetup info -c -o name,suspended
r dmsetup resume -S 'suspended=Suspended'
r dmsetup info -c -o name,suspended
r dmsetup message -S 'name=m' 0 x
r dmsetup wait -S 'name=m' 0
r dmsetup clear -S 'name=m'
r dmsetup suspend -S 'name=nosuch'
r dmsetup suspend -S 'bad=1'
r dmsetup rename -S 'name=none' other
r dmsetup wipe_table -S 'name=vg0-lv0'
r dmsetup table vg0-lv0
r dmsetup remove -S 'name=none'
r dmsetup ls

# Removal that waits for the last user
r dmsetup remove --deferred l0
r dmsetup info l0
r dmsetup info -c l0
r dmsetup table l0
r dmsetup suspend l0
r dmsetup resume l0
r dmsetup message l0 0 @cancel_deferred_remove now
r dmsetup message l0 0 @cancel_deferred_remove
r dmsetup info l0
r dmsetup message l0 0 @cancel_deferred_remove
r dmsetup message l0 0 @nosuch
r dmsetup remove --deferred l0
r dmsetup create l0x --table '0 8 linear 253:0 0'
r dmsetup create l0 --table '0 8 zero'
r dmsetup rename l0 l00
r dmsetup info l00
r dmsetup remove l00
r dmsetup remove --deferred l00
r dmsetup remove m
r dmsetup ls
r dmsetup remove --deferred l1
r dmsetup ls
r dmsetup create a --table '0 8 zero'
r dmsetup create b --table '0 8 linear /dev/mapper/a 0'
r dmsetup create c --table '0 8 linear /dev/mapper/b 0'
r dmsetup remove --deferred a b
r dmsetup info -c -o name,attr,open
r dmsetup remove --force --deferred a
r dmsetup remove_all --deferred
r dmsetup ls
r dmsetup remove --deferred c
r dmsetup ls
r dmsetup create a --table '0 8 zero'
r dmsetup create b --table '0 8 linear /dev/mapper/a 0'
r dmsetup remove --deferred a
r dmsetup load b --table '0 8 zero'
r dmsetup resume b
r dmsetup ls

# What is left
r dmsetup mknodes
r dmsetup mknodes b
r dmsetup mknodes nosuch
r dmsetup remove_all
