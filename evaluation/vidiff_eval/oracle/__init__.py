"""The MovingShapes oracle: which true scene is nearest to a video, and how near.

Every scene has exactly one rendering (``vidiff.data.shapes``), so "did the video follow its
prompt?" is a search for the best-matching rendering over all colours, shapes, motions, positions,
radii, speeds and backgrounds. ``search`` runs it in two stages:

1. ``grid``: a video's correlation with every shape, radius, motion and speed at every pixel. For a
   given mask, the best colour and grey level have a closed form (``paint``).
2. ``refine``: from the best grid points of the most promising motions, radii and shapes, damped
   Gauss-Newton steps through the true renderer, down to exact sub-pixel poses.
"""
