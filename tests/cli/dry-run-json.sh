"$QCONV" "$DATA/models/tiny-llama" out.gguf --q q5_0 --threads 2 --dry-run --json |
	sed -e 's/"disk_free_bytes": [0-9]*/"disk_free_bytes": 0/' -e '/blk\.[1-9]/d'
