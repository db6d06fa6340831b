"""I know where every voxel lies, and align one volume with another.

World coordinates are millimetres, RAS+ (x to the right, y to the front, z to the top of the person), as in NIfTI. A *matrix* that aligns
two volumes maps world points of the fixed volume to world points of the moving one: that is the direction in which resampling asks.
Nothing here knows what a header, a name or a file of a person is.
"""
