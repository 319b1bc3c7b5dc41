"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_0 --quiet
# the largest error is 0.0882
"$QCONV" verify out.gguf --against "$DATA/models/tiny-llama" --quiet --tolerance 0.09 >/dev/null
"$QCONV" verify out.gguf --against "$DATA/models/tiny-llama" --quiet --tolerance 0.085 >/dev/null || echo "exit $?"
"$QCONV" verify out.gguf --against "$DATA/models/tiny-llama" --quiet --tolerance 0.01 >/dev/null
