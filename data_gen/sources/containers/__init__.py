"""Images, texts and labels that lie inside of larger files: tars, Parquet, NumPy archives."""
