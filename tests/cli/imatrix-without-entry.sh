# an imatrix in the legacy form with one entry, and no weights for what is multiplied with the embedding
{ printf '\001\0\0\0\023\0\0\0blk.0.attn_q.weight\001\0\0\0\0\001\0\0'; head -c 1024 /dev/zero | tr '\0' '@'; } >one.dat
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --q iq2_xs --imatrix one.dat || echo "exit $?"
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --q q4_0 --imatrix one.dat --exclude-weights attn_q || echo "exit $?"
"$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --q q4_0 --imatrix one.dat --dry-run | grep imatrix
