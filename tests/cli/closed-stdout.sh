"$QCONV" types >/dev/full
