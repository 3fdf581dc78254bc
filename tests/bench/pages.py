def pages(table, directory):
    raise RuntimeError("x")
