"""Published p-values and their corrections."""

from __future__ import annotations

# Benjamini and Hochberg 1995, fifteen comparisons; the correction as R, statsmodels and SciPy give it
BH_1995 = (0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
           0.7590, 1.0)  # fmt: skip
BH_1995_ADJUSTED = (0.0015, 0.0030, 0.0095, 0.035625, 0.0603, 0.0638571, 0.0638571, 0.0645, 0.0765, 0.486, 0.5811818,
                    0.714875, 0.7532308, 0.8132143, 1.0)  # fmt: skip
