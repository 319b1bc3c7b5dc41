# a directory is replaced by force, but only one that qconv has written
"$QCONV" "$DATA/models/tiny-llama" out --q f16 --quiet
"$QCONV" "$DATA/models/tiny-llama" out --q f16 --quiet || echo "again: $?"
"$QCONV" "$DATA/models/tiny-llama" out --q f16 --quiet --force
mkdir other
echo precious >other/notes.txt
"$QCONV" "$DATA/models/tiny-llama" other/ --q f16 --quiet --force || echo "not ours: $?"
ls -A . other
