# Types chosen for a size; divergences are not printed, as they depend on the BLAS library's last digits.
head -c 1500 "$ROOT/samples/generated-train.txt" > text
"$QCONV" "$DATA/models/tiny-llama" a.gguf --target-size 1900000 --calib text --ladder q4_0,q5_0,q6_K,q8_0,q3_K --quiet
size=$(wc -c <a.gguf)
[ "$size" -le 1900000 ] && [ "$size" -ge 1880000 ] || echo "size $size"
"$QCONV" verify a.gguf --quiet >/dev/null
# no text: errors alone
"$QCONV" "$DATA/models/tiny-llama" c.gguf --target-bpw 5 --ladder q4_0,q5_0,q8_0 --dry-run --json | grep -o '"bits_per_weight": [45][.][90]'
try() { "$QCONV" "$DATA/models/tiny-llama" d.gguf "$@" || echo "code $?"; }
try --target-bpw 1
try --target-size 10K
try --target-bpw 4 --target-size 2M
try --target-bpw 4 --pure
try --target-bpw 4 --ladder q4_0,q9
"$QCONV" "$DATA/models/tiny-llama" d/ --q nf4 --target-bpw 4 || echo "code $?"
