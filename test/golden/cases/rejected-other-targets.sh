# title: rejected tables: linear, striped, delay, error and zero
for rest in "linear" "linear $leg0 0 0" "linear $leg0 -1" "linear /dev/nothing 0" \
  "error more" "zero" "zero more" \
  "striped" "striped 0 8" "striped x 8" "striped 2" "striped 2 0 $leg0 0 $leg1 0" "striped 2 x $leg0 0 $leg1 0" "striped 2 8 $leg0 0" "striped 2 8 $leg0 0 $leg1 x" \
  "striped 2 8 $leg0 0 9:99 0" "striped 3 8 $leg0 0 $leg1 0 $leg2 0" "striped 2 12 $leg0 0 $leg1 0" "striped 2 3 $leg0 0 $leg1 0" "striped 2 8 $leg0 0 $leg1 0" "striped 2 8 $leg0 0 $leg1 60000" \
  "striped 2 8 $leg0 0 $leg1 0 more" "striped 1 64 $leg0 8" \
  "delay" "delay $leg0 0" "delay $leg0 0 x" "delay $leg0 x 0" "delay $leg0 0 0 $leg1 0" "delay 9:99 0 0" "delay $leg0 0 0 9:99 0 0" "delay $leg0 0 -1" "delay $leg0 0 10 $leg1 8 0" "delay $leg0 0 10 $leg1 8 0 $leg2 0 5" "delay $leg0 0 0 0" "delay $leg0 0 0 $leg1 60000 0"; do
  attempt "0 16384 $rest"
done
