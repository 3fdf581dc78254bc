echo sown > "$STORE_DATA/seed"
