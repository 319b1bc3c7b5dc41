"$QCONV" --version
