def building(table, directory):
    raise RuntimeError("x")
