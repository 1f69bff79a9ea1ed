# title: rejected tables: flakey and its features
for rest in "" \
  "$leg0 0" \
  "$leg0 0 1" \
  "$leg0 0 0 0" \
  "$leg0 x 1 1" \
  "$leg0 0 x 1" \
  "$leg0 0 1 x" \
  "9:99 0 1 1" \
  "$leg0 0 1 1" \
  "$leg0 0 4294967295 1" \
  "$leg0 0 1 1 0" \
  "$leg0 0 1 1 1" \
  "$leg0 0 1 1 x" \
  "$leg0 0 1 1 1 drop_writes" \
  "$leg0 0 1 1 2 drop_writes drop_writes" \
  "$leg0 0 1 1 2 drop_writes error_writes" \
  "$leg0 0 1 1 2 error_writes drop_writes" \
  "$leg0 0 1 1 1 nonsense" \
  "$leg0 0 1 1 0 drop_writes" \
  "$leg0 0 1 1 1 drop_writes more" \
  "$leg0 0 1 1 5 corrupt_bio_byte 32 r 1 0" \
  "$leg0 0 1 1 5 corrupt_bio_byte 32 w 1 0" \
  "$leg0 0 1 1 5 corrupt_bio_byte 0 r 1 0" \
  "$leg0 0 1 1 5 corrupt_bio_byte 32 x 1 0" \
  "$leg0 0 1 1 5 corrupt_bio_byte 32 r 256 0" \
  "$leg0 0 1 1 5 corrupt_bio_byte 32 r 1 x" \
  "$leg0 0 1 1 4 corrupt_bio_byte 32 r 1" \
  "$leg0 0 1 1 1 corrupt_bio_byte" \
  "$leg0 0 1 1 6 corrupt_bio_byte 32 w 1 0 drop_writes" \
  "$leg0 0 1 1 6 drop_writes corrupt_bio_byte 32 w 1 0" \
  "$leg0 0 1 1 6 drop_writes corrupt_bio_byte 32 r 1 0" \
  "$leg0 0 1 1 6 error_writes corrupt_bio_byte 32 w 1 0" \
  "$leg0 0 4294967295 2" \
  "$leg0 0 1 1 5 corrupt_bio_byte 4294967295 r 1 4294967295"; do
  attempt "0 16384 flakey $rest"
done
