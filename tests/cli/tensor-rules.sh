cat >recipe.txt <<'R'
# the heads of the model stay wide
attn_v\.weight = q8_0   # values
ffn_down = q5_1
R
"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q4_0 --tensor 'blk\.0\.attn_v=f16' --recipe recipe.txt --threads 1 --dry-run |
	grep -E 'blk\.[01]\.(attn_v|ffn_down|ffn_up)'
