"$QCONV" types
