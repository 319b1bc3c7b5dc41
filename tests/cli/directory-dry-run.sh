# the plan of a packed output: what is packed, what is not and why, every stored tensor
"$QCONV" "$DATA/models/tiny-llama" out --q nvfp4 --layout compressed-tensors --skip 'o_proj' --threads 2 --dry-run |
	sed -e 's/disk .* free/disk ... free/' -e 's/memory [0-9.]* MB/memory ... MB/' -e '/layers\.[1-3]/d'
ls
