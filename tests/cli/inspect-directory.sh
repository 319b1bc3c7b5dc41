"$QCONV" inspect "$DATA/models/tiny-llama" | sed '/blk\.[1-9]/d'
