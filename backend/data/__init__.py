"""Reading meshes, sampling surfaces and signed distances, packing a data set."""
