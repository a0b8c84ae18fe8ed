"""Street scenes drawn with whole numbers alone, with the trainId of every pixel: a data set that needs no licence."""
