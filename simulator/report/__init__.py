"""Renderings of one verdict. They read the verdict and, for the picture, histories; they decide nothing."""
